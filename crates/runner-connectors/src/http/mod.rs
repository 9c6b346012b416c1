//! HTTP APIs as sources: REST and GraphQL, page by page.
//!
//! From the outside in: [`HttpSource`] is a stream, checked and ready; `chain` reads one chain of pages and delivers them in order;
//! `page` reads one page, its tries included, and `decoding` decodes it on a thread of its own; `exchange` sends one request, with
//! credentials (`auth`), at its turn (`rate_limit`), and follows redirects. What a chain does next is decided by `pages`, which waits
//! for nothing and asks nobody. Everything that waits stands inside the run's `bounds`.

mod auth;
mod body;
mod bounds;
mod chain;
mod charset;
mod client;
mod content;
mod decoding;
mod delivered;
mod exchange;
mod failure;
mod network;
mod origin;
mod page;
mod pages;
mod rate_limit;
mod registry;
mod request;
mod resolver;
mod retry;
mod scope;
mod sniff;
mod source;
mod status;
mod stream;
#[cfg(test)]
pub(crate) mod tests;

pub use network::{Egress, Network};
pub use registry::HttpRegistry;
pub use source::HttpSource;

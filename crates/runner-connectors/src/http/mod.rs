//! HTTP APIs as sources: REST and GraphQL, page by page.

mod bounds;
mod network;
mod pages;
mod rate_limit;
mod registry;

pub use network::{Egress, Network};
pub use registry::HttpRegistry;

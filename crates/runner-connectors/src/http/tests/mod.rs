//! Whole sources against a server of the test's own.

mod credentials;
mod faults;
pub(crate) mod fixture;
mod pagination;
mod property;
mod resume;
mod security;
mod server;
mod tls;

//! Whole sources against a server of the test's own.

mod bad_input;
mod credentials;
mod faults;
pub(crate) mod fixture;
mod pagination;
mod property;
mod proxy;
mod resume;
mod security;
mod server;
mod tls;

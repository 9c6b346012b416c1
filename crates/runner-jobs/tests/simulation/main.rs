//! Jobs in a small world whose processes die, stand still, repeat and come back at any step. Whatever happens, what the tables show
//! is what the source has.

#![expect(
    clippy::unwrap_used,
    reason = "code of tests: a panic is how it says that something is wrong"
)]

mod gates;
mod kills;
mod lab;
mod sinks;
mod stops;

//! What end-to-end tests stand on: real servers, readers that share no code with the runner, and the built binary.
//!
//! Nothing here is simulated. A server comes from a package registry ([`provision`]), is started on a free port of
//! the loopback address and is stopped when its handle goes out of scope ([`servers`]). A server that is not installed
//! makes a test *skip by name* on a developer's machine and *fail* in CI ([`require`]).

mod binary;
mod configuration;
mod flights;
mod generated_api;
mod http;
mod kills;
mod measure;
mod mock;
mod ports;
mod process;
pub mod provision;
pub mod readers;
mod requirement;
mod secrets;
pub mod servers;
mod small_disk;
mod three_sinks;

pub use binary::{Invocation, Outcome, Runner};
pub use configuration::Configuration;
pub use flights::Flights;
pub use generated_api::{GeneratedApi, Size};
pub use http::{Response, request};
pub use kills::{Random, SEED_VARIABLE, run_for, run_through_kills};
pub use measure::{Measured, Usage, measure};
pub use mock::Mock;
pub use ports::{free_port, free_ports};
pub use process::{Process, Signal, is_stopped, wait_until};
pub use requirement::{SKIPS_VARIABLE, in_ci, report_skip, require};
pub use secrets::write_secrets;
pub use small_disk::{Attempt, on_small_disk};
pub use three_sinks::ThreeSinks;

use std::path::PathBuf;

/// The root of the repository that this crate was compiled in.
pub fn repository() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest
        .parent()
        .map_or_else(|| manifest.clone(), PathBuf::from)
}

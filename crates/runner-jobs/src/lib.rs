//! Jobs: driven from `preparing` to their end through the ports of `runner-core` only.
//!
//! [`JobRunner`] is the shell that does what has to be done; what is legal is decided in [`runner_core::transition`], and what the
//! numbers mean in [`gates`] and [`drift`], which are pure.

pub mod cursors;
pub mod drift;
pub mod gates;
mod lease;
mod loads;
mod report;
mod runner;

pub use report::report;
pub use runner::{JobRunner, Ports};

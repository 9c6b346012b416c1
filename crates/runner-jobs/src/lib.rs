//! Jobs: driven from `preparing` to their end through the ports of `runner-core` only.
//!
//! [`JobRunner`] is the shell that does what has to be done. What comes next is decided by [`step::next`] from the stored job alone,
//! so that a new attempt goes on where the last one stopped; what is legal is decided in [`runner_core::transition`]; and what the
//! numbers mean in [`gates`], [`drift`], [`replace`] and [`cursors`], which are pure.

mod advancing;
mod attempt;
mod committing;
pub mod cursors;
mod discarding;
pub mod drift;
mod extraction;
mod fields;
pub mod gates;
mod gating;
mod lease;
mod loads;
pub mod replace;
mod report;
mod runner;
pub mod step;

pub use report::{report, warnings};
pub use runner::{JobRunner, Ports};

//! The job store: jobs, checkpoints, state of feeds, the index of the quarantine and the audit, in one SQLite file.
//!
//! What a change of a job means is decided in [`runner_core::transition`]; the store's part is that every change is one transaction
//! which checks the claim first. Expiry of leases is judged by the store's clock, never by a worker's.

mod error;
mod sqlite;

pub use sqlite::SqliteStore;

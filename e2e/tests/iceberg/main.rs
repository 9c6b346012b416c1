//! Iceberg tables written by the sink, and read, changed and contended for by pyiceberg and Spark.

#![expect(
    clippy::expect_used,
    clippy::similar_names,
    clippy::too_many_lines,
    reason = "a test that can't go on has failed, and its steps read best in one piece"
)]

mod contention;
mod harness;
mod history;
mod merge;
mod rest;
mod shape;
mod spark;
mod write_modes;

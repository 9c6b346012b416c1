//! Iceberg tables written by the sink, and read, changed and contended for by pyiceberg.

mod contention;
mod harness;
mod history;
mod merge;
mod rest;
mod shape;
mod write_modes;

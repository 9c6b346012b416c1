//! The contract of sinks, kept by each of them and read back by code that they share nothing with; beside it what only one
//! kind of sink can meet.

#![expect(clippy::unwrap_used, reason = "code of tests, beside its functions")]

mod bucket;
mod database;
mod disturbed;
mod folders;
mod lake;
mod parquet_crashes;
mod parquet_readers;
mod postgres_faults;
mod proxy;

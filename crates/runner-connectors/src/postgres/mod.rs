//! PostgreSQL tables: rows go by binary COPY into logged staging tables, and from there in one transaction into the table.
//!
//! A staging table belongs to one writer of one attempt. Its column `_uis_part` numbers the segments of parts, so that parts are
//! ranges of numbers and rows that were superseded can be told apart. The mark of the last load is a row of `_uis_loads`.

mod catalog;
mod check;
mod commit;
mod connect;
mod convert;
mod encode;
mod error;
mod evolve;
mod names;
mod prepare;
mod reject;
mod scope;
mod staging;
mod statements;
mod target;
mod types;
mod writer;

pub use target::PostgresTarget;

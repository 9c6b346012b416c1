//! Iceberg tables: data files written by any number of lanes, made visible by one commit to the table's catalog.
//!
//! The `iceberg` crate gives the specification's types and the reader of data files; its transactions append only, so commits
//! are made here: manifests and snapshots of our own, and the swap of the table's metadata in its catalog (SQLite or REST).
//! What a feed has loaded stands in the table itself, as a property that changes in the same swap as the rows.

mod arrays;
mod catalog;
mod commit;
mod connect;
mod credentials;
mod data_file;
mod data_reader;
mod error;
mod expire;
mod file_io;
mod files;
mod keyed;
mod manifests;
mod mark;
mod metadata_file;
mod partition_spec;
mod prepare;
mod projection;
mod replace;
mod rewrite;
mod scan;
mod schema;
mod snapshot;
mod stage;
mod sweep;
mod target;
mod writer;

pub use target::IcebergTarget;

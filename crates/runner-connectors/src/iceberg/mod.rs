//! Iceberg tables: data files written by any number of lanes, made visible by one commit to the table's catalog.
//!
//! The `iceberg` crate gives the specification's types and the reader of data files; its transactions append only, so the
//! commits are made here: snapshots ([`snapshot`], [`manifests`]) and their swap in a catalog ([`catalog`]).

mod arrays;
mod catalog;
mod data_file;
mod error;
mod files;
mod manifests;
mod mark;
mod metadata_file;
mod partition_spec;
mod scan;
mod schema;
mod snapshot;

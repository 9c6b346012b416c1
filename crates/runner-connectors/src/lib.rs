//! Everything that moves bytes: sources that turn them into Arrow batches, sinks that turn batches into tables.
//!
//! One folder per kind. What they share: [`rows`] (what a source delivers), [`lines`] (where in a file it stood), [`source`] and [`sink`] (the traits),
//! [`decode`] (bytes to rows), [`schema`] (the columns of a stream while it is read, and the Arrow types of columns),
//! [`context`] (what a source needs of the world), [`secrets`] with [`scrub`] (resolving secrets, and keeping them out of
//! texts) and [`meter`] (progress of a stream); for sinks [`storage`] (folders, local or in an object store), [`partition`],
//! [`table`] (rows in the columns of their table) and [`resolve`] (settings with their secrets put in).

mod chain_names;
mod compression;
pub mod context;
pub mod decode;
pub mod files;
pub mod http;
pub mod iceberg;
pub mod keys;
pub mod lines;
pub mod meter;
pub mod parquet;
pub mod partition;
pub mod postgres;
pub mod registry;
pub mod resolve;
pub mod row_scope;
pub mod rows;
pub mod schema;
pub mod scrub;
pub mod secrets;
pub mod sink;
pub mod source;
pub mod storage;
pub mod table;
mod unpacked;

pub use context::SourceContext;
pub use meter::StreamMeter;
pub use scrub::Scrubber;
pub use secrets::RunSecrets;

//! Everything that moves bytes: sources that turn them into Arrow batches, sinks that turn batches into tables.
//!
//! One folder per kind. What they share: [`rows`] (what a source delivers), [`source`] and [`sink`] (the traits),
//! [`decode`] (bytes to rows), [`schema`] (the columns of a stream while it is read, and the Arrow types of columns).

pub mod decode;
pub mod rows;
pub mod schema;
pub mod sink;
pub mod source;

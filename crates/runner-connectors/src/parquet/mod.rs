//! Parquet: the files ([`file`]).

pub mod dictionary;
pub mod file;
pub mod split;

pub use file::{FileFormat, ParquetFile, WrittenFile};
pub use split::{SealedFile, SplitWriter, SplitWriterOptions};

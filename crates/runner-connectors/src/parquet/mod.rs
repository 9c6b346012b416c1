//! Parquet: the files ([`mod@file`], [`split`]), and a folder of them as a table ([`ParquetTarget`]).

mod change;
mod commit;
mod concat;
pub mod dictionary;
pub mod file;
mod layout;
mod mark;
mod prepare;
mod rewrite;
mod scan;
mod scope;
pub mod split;
mod target;
mod writer;

pub use file::{FileFormat, ParquetFile, WrittenFile};
pub use split::{FilePath, SealedFile, SplitWriter, SplitWriterOptions};
pub use target::ParquetTarget;

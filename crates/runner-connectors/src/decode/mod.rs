//! From the bytes of a page (a response, a file) to Arrow batches, while the bytes stream.
//!
//! A [`PageDecoder`] is fed with pushes of any size and yields [`Rows`] as soon as a batch is full, so that memory is bounded by the batch
//! and not by the page. It is synchronous: run it on a blocking thread.
//!
//! ```text
//! let mut decoder = PageDecoder::new(format, &path, schema, options)?;
//! while let Some(bytes) = body.next() {
//!     decoder.push(bytes)?;
//!     while let Some(rows) = decoder.next_rows()? { … }
//! }
//! decoder.end()?;
//! while let Some(rows) = decoder.next_rows()? { … }
//! let summary = decoder.finish()?;
//! ```

#![expect(
    clippy::single_match_else,
    reason = "the two outcomes of a scan read as equals, not as one and its exception"
)]
#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method of a type with a lifetime is not general enough where a closure is"
)]
#![expect(
    clippy::match_same_arms,
    reason = "arms stand in the order of the rule that they spell out"
)]

mod batch;
mod captures;
mod column;
mod columnar;
mod convert;
mod csv;
mod error;
pub(crate) mod evolution;
mod input;
mod json;
mod keys;
mod names;
mod number;
mod options;
mod parquet;
mod records;
mod summary;
mod text;
mod time;
mod trace;
mod xml;

#[cfg(test)]
pub(crate) mod harness;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::{DataFormat, RowPath};

pub(crate) use columnar::Columnar;
pub(crate) use csv::{CsvForm, csv_header};
pub(crate) use json::row_path_text;
pub(crate) use names::snake_case;
pub use options::DecodeOptions;
pub use summary::PageSummary;
pub use trace::Trace;

use crate::rows::Rows;
use crate::schema::StreamSchema;

/// Decodes one page.
#[derive(Debug)]
pub struct PageDecoder {
    format: Box<dyn FormatDecoder>,
}

/// What a format does; [`PageDecoder`] is the same for all of them.
trait FormatDecoder: Send + std::fmt::Debug {
    fn push(&mut self, bytes: Bytes) -> Result<()>;
    fn end(&mut self) -> Result<()>;
    fn next_rows(&mut self) -> Result<Option<Rows>>;
    /// See [`PageDecoder::offset`] and [`PageDecoder::cut`]; a document can't be cut.
    fn offset(&self) -> Option<u64> {
        None
    }
    fn cut(&mut self) -> Option<PageSummary> {
        None
    }
    fn finish(self: Box<Self>) -> Result<PageSummary>;
}

impl PageDecoder {
    /// `rows` says where the rows are in a document; formats without one (JSON lines, CSV, Parquet) ignore it.
    pub fn new(
        format: DataFormat,
        rows: &RowPath,
        schema: StreamSchema,
        options: DecodeOptions,
    ) -> Result<Self> {
        check(&options)?;
        let format: Box<dyn FormatDecoder> = match format {
            DataFormat::Json => match rows {
                RowPath::Steps(steps) if !json::needs_whole(steps, &options.captures) => {
                    Box::new(json::JsonPage::new(steps, schema, options)?)
                }
                path => Box::new(json::JsonDocument::new(path, schema, options)?),
            },
            DataFormat::JsonLines => Box::new(json::json_lines(schema, options)?),
            DataFormat::Csv => Box::new(csv::csv_page(schema, options)?),
            DataFormat::Xml => Box::new(xml::XmlPage::new(rows, schema, options)?),
            DataFormat::Parquet => Box::new(parquet::ParquetPage::new(schema, options)),
        };
        Ok(Self { format })
    }

    /// Takes the next bytes, decompressed. They are decoded by [`PageDecoder::next_rows`].
    pub fn push(&mut self, bytes: Bytes) -> Result<()> {
        self.format.push(bytes)
    }

    /// Says that no more bytes follow: what is incomplete now is truncated.
    pub fn end(&mut self) -> Result<()> {
        self.format.end()
    }

    /// The next batch, or `None` when more bytes (or the end) are needed.
    pub fn next_rows(&mut self) -> Result<Option<Rows>> {
        self.format.next_rows()
    }

    /// Where in the file the first row stands that has not been delivered. None where rows can't be parted (they are in a document), or
    /// where some are still on their way.
    pub fn offset(&self) -> Option<u64> {
        self.format.offset()
    }

    /// Ends the page at [`PageDecoder::offset`]: what is known of it. The rows that follow are of the next one.
    pub fn cut(&mut self) -> Option<PageSummary> {
        self.format.cut()
    }

    /// What is known of the page when all its rows have been taken, after [`PageDecoder::end`].
    pub fn finish(self) -> Result<PageSummary> {
        self.format.finish()
    }
}

/// Texts of a batch are addressed with 31 bits, and nesting is followed by recursion.
fn check(options: &DecodeOptions) -> Result<()> {
    let bytes = options
        .max_document_bytes
        .saturating_add(options.batch_bytes as u64);
    if options.batch_rows == 0 || bytes > i32::MAX as u64 || options.max_depth > 512 {
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "pages can't be decoded with {} rows a batch, documents of {} bytes and {} levels: at least 1 row, fewer than 2 GiB and at most 512 levels are possible",
                options.batch_rows, options.max_document_bytes, options.max_depth
            ),
        )
        .with_help("lower `config.max_document_bytes`"));
    }
    Ok(())
}

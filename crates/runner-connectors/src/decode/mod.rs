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

mod options;
mod summary;
mod trace;

use bytes::Bytes;
use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::{DataFormat, RowPath};

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
    fn finish(self: Box<Self>) -> Result<PageSummary>;
}

impl PageDecoder {
    /// `rows` says where the rows are in a document; formats without one (JSON lines, CSV, Parquet) ignore it.
    pub fn new(
        format: DataFormat,
        _rows: &RowPath,
        _schema: StreamSchema,
        _options: DecodeOptions,
    ) -> Result<Self> {
        Err(Error::new(
            ErrorKind::Internal,
            format!("no decoder for `{format:?}` is linked in"),
        ))
    }

    /// Takes the next bytes, decompressed. They are decoded by [`PageDecoder::next_rows`].
    pub fn push(&mut self, bytes: Bytes) -> Result<()> {
        self.format.push(bytes)
    }

    /// Says that no more bytes follow: what is incomplete now is truncated, an error of kind `source_data` with
    /// [`runner_core::Retry::WithBackoff`], since another try may give the whole of it.
    pub fn end(&mut self) -> Result<()> {
        self.format.end()
    }

    /// The next batch, or `None` when more bytes (or the end) are needed.
    pub fn next_rows(&mut self) -> Result<Option<Rows>> {
        self.format.next_rows()
    }

    /// What is known of the page when all its rows have been taken, after [`PageDecoder::end`].
    pub fn finish(self) -> Result<PageSummary> {
        self.format.finish()
    }
}

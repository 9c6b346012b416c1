//! What a decoder is told beside the schema.

use std::collections::BTreeMap;
use std::sync::Arc;

use runner_plan::model::{RowPath, TextFormat};

use crate::lines::LineOrigin;

/// Settings of one page's decoding.
#[derive(Clone, Debug)]
pub struct DecodeOptions {
    /// Where rows come from, for people: the request (scrubbed of secrets) or the file. It stands in errors and in [`crate::rows::Rows::origin`].
    pub origin: Arc<str>,
    /// Values of the envelope that are wanted (cursor, next URL, total, errors): [`super::PageSummary::captured`] has them in this order.
    /// Each may have at most 64 KiB.
    pub captures: Vec<RowPath>,
    /// Values of the columns whose source is a template or a variable, by the column's name; a missing one is an error.
    pub constants: BTreeMap<String, String>,
    pub text: TextFormat,
    /// Names of the fields of CSV, where the page doesn't begin with them.
    pub header: Option<Arc<[String]>>,
    /// Where in its file the first byte stands: offsets count from the file's beginning, where alone a byte order mark can be.
    pub offset: u64,
    /// How many lines of its file come before that byte; none for what is no file. Errors and rows then say their lines.
    pub lines: Option<LineOrigin>,
    /// Number of the first row.
    pub first_row: u64,
    /// A batch ends at this many rows or bytes of rows, whichever comes first.
    pub batch_rows: usize,
    pub batch_bytes: usize,
    /// Rows that close an open schema.
    pub sample_size: usize,
    /// Of a document that has to be read whole, and of a single row.
    pub max_document_bytes: u64,
    /// Nesting of a document.
    pub max_depth: usize,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            origin: Arc::from(""),
            captures: Vec::new(),
            constants: BTreeMap::new(),
            text: TextFormat::default(),
            header: None,
            offset: 0,
            lines: None,
            first_row: 0,
            batch_rows: 8192,
            batch_bytes: 8 << 20,
            sample_size: 100,
            max_document_bytes: 64 << 20,
            max_depth: 128,
        }
    }
}

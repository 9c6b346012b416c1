//! What a source delivers: columns of the rows that decoded, and the rows that didn't, whole and with their reasons.

use arrow::array::RecordBatch;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Rows of one page (or of a piece of it), decoded.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Columns of the stream's schema at [`Rows::schema_version`], in its order.
    pub batch: RecordBatch,
    pub schema_version: u32,
    /// The same rows as they came, for the quarantine and for hashes; row `i` is row `i` of the batch.
    pub raw: RawRows,
    /// Index within the page of each row of the batch.
    pub numbers: Vec<u64>,
    /// Rows that could not be decoded without loss.
    pub invalid: Vec<InvalidRow>,
    /// What they came from, for people: the request (scrubbed of secrets) or the file.
    pub origin: std::sync::Arc<str>,
}

/// Texts of rows (JSON), each a slice of a shared buffer: nothing is copied until one is asked for.
#[derive(Clone, Debug, Default)]
pub struct RawRows {
    buffer: Bytes,
    ranges: Vec<std::ops::Range<usize>>,
}

/// A row that failed, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRow {
    /// JSON text.
    pub raw: String,
    pub reasons: Vec<Reason>,
    /// Index within its page.
    pub number: u64,
}

/// Why a row is in the quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reason {
    /// Stable: `type_changed`, `not_convertible`, `required`, `range`, …
    pub code: String,
    pub column: Option<String>,
    pub message: String,
}

impl Rows {
    /// Rows, the invalid ones included.
    pub fn count(&self) -> usize {
        self.numbers.len() + self.invalid.len()
    }

    /// Bytes that these rows keep in memory.
    pub fn memory(&self) -> usize {
        let invalid: usize = self.invalid.iter().map(|row| row.raw.len()).sum();
        self.batch.get_array_memory_size() + self.raw.bytes() + invalid
    }

    /// Without the rows that stand before this one in the page.
    #[must_use]
    pub fn since(mut self, first: u64) -> Self {
        // Rows come in the order of the page.
        let cut = self.numbers.partition_point(|number| *number < first);
        self.batch = self.batch.slice(cut, self.batch.num_rows() - cut);
        self.raw.ranges.drain(..cut);
        self.numbers.drain(..cut);
        self.invalid.retain(|row| row.number >= first);
        self
    }
}

impl RawRows {
    pub fn new(buffer: Bytes, ranges: Vec<std::ops::Range<usize>>) -> Self {
        Self { buffer, ranges }
    }

    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> usize {
        self.ranges.iter().map(std::ops::Range::len).sum()
    }

    /// Bytes of one row, as they came.
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        self.buffer.get(self.ranges.get(row)?.clone())
    }

    /// Text of one row; what is not UTF-8 in it is replaced.
    pub fn text(&self, row: usize) -> String {
        self.get(row)
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .unwrap_or_default()
    }
}

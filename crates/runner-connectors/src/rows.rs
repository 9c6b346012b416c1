//! What a source delivers: columns of the rows that decoded, and the rows that didn't, whole and with their reasons.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::decode::CsvForm;
use crate::lines::RowLines;
use crate::table::json::Encoder;

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

/// Rows as they came, each a piece of what is shared by all: nothing is copied until one is asked for.
#[derive(Clone, Debug, Default)]
pub struct RawRows {
    rows: RawForm,
    buffer: Bytes,
    ranges: Vec<std::ops::Range<usize>>,
    /// Of these rows, and of those beside them that are invalid.
    lines: Option<Arc<RowLines>>,
}

/// How rows are written in the bytes of [`RawRows`].
#[derive(Clone, Debug, Default)]
pub(crate) enum RawForm {
    /// Each is a JSON text.
    #[default]
    Json,
    /// Each is a line of CSV with these columns.
    Csv(Arc<CsvForm>),
    /// They have no bytes: they are the rows of this batch, in which nulls are allowed everywhere.
    Batch(RecordBatch),
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

/// The code of a row whose bytes are no text, so that what is shown of it has lost some.
pub const INVALID_TEXT: &str = "invalid_text";
/// The code of a value that needs a wider type than its column has, where the column can't be widened.
pub const TYPE_CHANGED: &str = "type_changed";

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
        self.raw.cut(cut);
        self.numbers.drain(..cut);
        self.invalid.retain(|row| row.number >= first);
        self
    }
}

impl RawRows {
    pub fn new(buffer: Bytes, ranges: Vec<std::ops::Range<usize>>) -> Self {
        Self::in_form(buffer, ranges, RawForm::Json)
    }

    pub(crate) fn in_form(
        buffer: Bytes,
        ranges: Vec<std::ops::Range<usize>>,
        rows: RawForm,
    ) -> Self {
        Self {
            rows,
            buffer,
            ranges,
            lines: None,
        }
    }

    /// With the lines in which they begin, where they stood in a file that has lines.
    #[must_use]
    pub fn with_lines(self, lines: Option<Arc<RowLines>>) -> Self {
        Self { lines, ..self }
    }

    /// Lines of all rows that came together, by their numbers: of invalid ones too.
    pub fn lines(&self) -> Option<&Arc<RowLines>> {
        self.lines.as_ref()
    }

    /// The rows of a batch in which nulls are allowed everywhere.
    pub(crate) fn of_batch(batch: RecordBatch) -> Self {
        Self::in_form(Bytes::new(), Vec::new(), RawForm::Batch(batch))
    }

    pub fn len(&self) -> usize {
        match &self.rows {
            RawForm::Json | RawForm::Csv(_) => self.ranges.len(),
            RawForm::Batch(batch) => batch.num_rows(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> usize {
        match &self.rows {
            RawForm::Json | RawForm::Csv(_) => self.ranges.iter().map(std::ops::Range::len).sum(),
            RawForm::Batch(batch) => batch.get_array_memory_size(),
        }
    }

    /// Bytes of one row, as they came; of a row of a columnar file its JSON text.
    pub fn get(&self, row: usize) -> Option<Cow<'_, [u8]>> {
        match &self.rows {
            RawForm::Json | RawForm::Csv(_) => Some(Cow::Borrowed(
                self.buffer.get(self.ranges.get(row)?.clone())?,
            )),
            RawForm::Batch(batch) => {
                (row < batch.num_rows()).then(|| Cow::Owned(row_json(batch, row).into_bytes()))
            }
        }
    }

    /// The rows with other bytes, which are written as theirs are.
    pub(crate) fn rewritten<'a>(
        &'a self,
        rewrite: impl Fn(Cow<'a, [u8]>) -> Cow<'a, [u8]>,
    ) -> Self {
        let mut buffer = BytesMut::new();
        let mut ranges = Vec::with_capacity(self.len());
        for row in 0..self.len() {
            let start = buffer.len();
            buffer.extend_from_slice(&rewrite(self.get(row).unwrap_or_default()));
            ranges.push(start..buffer.len());
        }
        let form = match &self.rows {
            RawForm::Csv(form) => RawForm::Csv(Arc::clone(form)),
            RawForm::Json | RawForm::Batch(_) => RawForm::Json,
        };
        Self {
            lines: self.lines.clone(),
            ..Self::in_form(buffer.freeze(), ranges, form)
        }
    }

    /// 128-bit hash of one row, as it came.
    pub fn hash(&self, row: usize) -> u128 {
        match &self.rows {
            RawForm::Json | RawForm::Csv(_) => xxh3_128(self.row(row)),
            RawForm::Batch(batch) => xxh3_128(row_json(batch, row).as_bytes()),
        }
    }

    /// JSON text of one row; what is not UTF-8 in it is replaced.
    pub fn text(&self, row: usize) -> String {
        match &self.rows {
            RawForm::Batch(batch) => row_json(batch, row),
            form => form.text(self.row(row)),
        }
    }

    /// Drops this many rows from the front.
    fn cut(&mut self, rows: usize) {
        match &mut self.rows {
            RawForm::Json | RawForm::Csv(_) => drop(self.ranges.drain(..rows)),
            RawForm::Batch(batch) => *batch = batch.slice(rows, batch.num_rows() - rows),
        }
    }

    fn row(&self, row: usize) -> &[u8] {
        self.ranges
            .get(row)
            .and_then(|range| self.buffer.get(range.clone()))
            .unwrap_or_default()
    }
}

impl RawForm {
    /// JSON text of a row of these bytes.
    pub(crate) fn text(&self, row: &[u8]) -> String {
        match self {
            Self::Json | Self::Batch(_) => String::from_utf8_lossy(row).into_owned(),
            Self::Csv(form) => form.json(row),
        }
    }
}

/// JSON text of one row of a batch. A value that can't be written as JSON leaves the row empty: no batch here holds one.
pub fn row_json(batch: &RecordBatch, row: usize) -> String {
    let schema = batch.schema();
    let mut text = String::from("{");
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let Ok(encoder) = Encoder::new(column.as_ref(), field) else {
            continue;
        };
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(field.name().as_str()).to_string());
        text.push(':');
        encoder.write(row, &mut text);
    }
    text.push('}');
    text
}

//! A batch while it is filled: rows go straight into columns; those that don't fit are set aside, looked at singly when the batch is
//! full, and either the columns are widened for them or they are invalid.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use bytes::Bytes;
use runner_core::checkpoint::{Observed, Warning};
use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::ColumnSource;
use xxhash_rust::xxh3::Xxh3;

use super::column::ColumnBuffer;
use super::csv::CsvRows;
use super::error;
use super::evolution::{MAX_COLUMNS, Sighting};
use super::json::Stop;
use super::options::DecodeOptions;
use super::summary::PageSummary;
use crate::lines::{LineCounter, RowLines};
use crate::rows::{InvalidRow, RawForm, RawRows, Reason, Rows};
use crate::schema::{SchemaVersion, StreamSchema};

/// Widening is monotone, so that a batch settles after a few rounds; this bounds a mistake.
const MAX_ROUNDS: usize = 64;

/// How rows of a format are taken into columns.
pub(crate) trait RowReader: Send + Debug {
    /// The columns changed: rows that follow go into these.
    fn bind(&mut self, version: &SchemaVersion) -> Result<()>;
    /// Takes the row that begins at `at` into columns that hold `len` rows, and returns where it ends. Columns that the row has
    /// nothing for are left; after a failure any of them may hold a piece of it.
    fn take(
        &mut self,
        bytes: &[u8],
        at: usize,
        columns: &mut [ColumnBuffer],
        len: usize,
    ) -> Result<usize, Stop>;
    /// What a row holds, for columns that may be widened.
    fn sight(&mut self, row: &[u8], version: &SchemaVersion, sighting: &mut Sighting);
    /// Every reason why a row does not fit.
    fn explain(&mut self, row: &[u8], version: &SchemaVersion) -> Vec<Reason>;
    /// Counts a row's fields.
    fn observe(&mut self, row: &[u8], columns: &mut [ColumnBuffer]);
    /// Takes back what [`RowReader::take`] counted of a row whose end is not there yet.
    fn unobserve(&mut self, bytes: &[u8], at: usize, columns: &mut [ColumnBuffer]);
    fn forget_observed(&mut self, columns: &mut [ColumnBuffer]);
    /// Adds the counts since the last call, and returns how many values were dropped.
    fn take_observed(&mut self, columns: &mut [ColumnBuffer], observed: &mut Observed) -> u64;
    /// How rows are written, for those who read them as text.
    fn form(&self) -> RawForm;
}

/// Rows of one page, a batch at a time.
#[derive(Debug)]
pub(crate) struct Batch<R> {
    pub(crate) reader: R,
    /// Bytes of the page from the first row of the batch on, and what follows it.
    pub(crate) buffer: Vec<u8>,
    schema: StreamSchema,
    version: Arc<SchemaVersion>,
    pub(crate) options: DecodeOptions,
    columns: Vec<ColumnBuffer>,
    /// Columns that rows fill; the others are constant.
    filled: Vec<usize>,
    /// Every row of the batch.
    rows: Vec<Range<usize>>,
    /// Those that are in the columns, in order.
    taken: Vec<usize>,
    /// Those that didn't fit.
    misfits: Vec<usize>,
    /// Those that no columns can take: they are no text.
    unreadable: Vec<usize>,
    /// Misfits whose values the shared schema has seen.
    sighted: usize,
    sighting: Sighting,
    has_settled_early: bool,
    /// Number of the batch's first row.
    first: u64,
    page: PageState,
}

#[derive(Debug, Default)]
struct PageState {
    rows: u64,
    hash: RowHash,
    observed: Observed,
    fields_dropped: u64,
    has_overflow: bool,
    warnings: Vec<Warning>,
}

/// Of every row of the page.
#[derive(Default)]
struct RowHash(Box<Xxh3>);

impl Debug for RowHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RowHash").field(&self.0.digest128()).finish()
    }
}

impl<R: RowReader> Batch<R> {
    pub(crate) fn new(mut reader: R, schema: StreamSchema, options: DecodeOptions) -> Result<Self> {
        let version = schema.current();
        reader.bind(&version)?;
        let first = options.first_row;
        let mut batch = Self {
            reader,
            buffer: Vec::new(),
            schema,
            version,
            options,
            columns: Vec::new(),
            filled: Vec::new(),
            rows: Vec::new(),
            taken: Vec::new(),
            misfits: Vec::new(),
            unreadable: Vec::new(),
            sighted: 0,
            sighting: Sighting::default(),
            has_settled_early: false,
            first,
            page: PageState::default(),
        };
        batch.make_columns(0);
        Ok(batch)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Where the batch's last row ends.
    pub(crate) fn end(&self) -> usize {
        self.rows.last().map_or(0, |row| row.end)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() >= self.options.batch_rows
            || self
                .rows
                .last()
                .is_some_and(|row| row.end >= self.options.batch_bytes)
    }

    /// Takes the row that begins at `at`, and returns where it ends; a row that doesn't fit ends where `end` says.
    #[inline]
    pub(crate) fn take(
        &mut self,
        at: usize,
        end: impl FnOnce(&[u8]) -> Result<usize, Stop>,
    ) -> Result<usize, Stop> {
        let len = self.taken.len();
        match self.reader.take(&self.buffer, at, &mut self.columns, len) {
            Ok(end) => {
                fill(&mut self.columns, &self.filled, len);
                self.taken.push(self.rows.len());
                self.rows.push(at..end);
                Ok(end)
            }
            Err(Stop::Misfit) => {
                truncate(&mut self.columns, len);
                let end = end(&self.buffer)?;
                self.set_aside(at..end);
                Ok(end)
            }
            Err(stop) => {
                truncate(&mut self.columns, len);
                self.reader.unobserve(&self.buffer, at, &mut self.columns);
                Err(stop)
            }
        }
    }

    /// Takes a row that is known to end where it ends, and that may be anything.
    pub(crate) fn take_row(&mut self, row: Range<usize>) {
        let len = self.taken.len();
        // One byte more: it ends what has no end of its own, a number.
        let bytes = &self.buffer[..self.buffer.len().min(row.end + 1)];
        let taken = self.reader.take(bytes, row.start, &mut self.columns, len);
        if taken == Ok(row.end) {
            fill(&mut self.columns, &self.filled, len);
            self.taken.push(self.rows.len());
            self.rows.push(row);
        } else {
            truncate(&mut self.columns, len);
            self.set_aside(row);
        }
    }

    /// Takes a row that is not UTF-8, whose pieces must not get into columns of texts.
    pub(crate) fn take_unreadable(&mut self, row: Range<usize>) {
        self.unreadable.push(self.rows.len());
        self.set_aside(row);
    }

    fn set_aside(&mut self, row: Range<usize>) {
        self.misfits.push(self.rows.len());
        self.rows.push(row);
    }

    /// The first rows of a stream whose columns are not known close them early, so that the rest of the batch is taken at once.
    pub(crate) fn settle_early(&mut self) -> Result<()> {
        if self.has_settled_early || self.misfits.len() < self.options.sample_size {
            return Ok(());
        }
        self.has_settled_early = true;
        self.sight();
        let version = self.schema.absorb(&self.sighting);
        self.adopt(version)?;
        Ok(())
    }

    /// Delivers the rows so far; bytes from `rest` on stay. `lines` are those at the buffer's first byte, where it holds the rows as they
    /// stand in a file.
    pub(crate) fn emit(&mut self, rest: usize, lines: Option<LineCounter>) -> Result<Option<Rows>> {
        if self.rows.is_empty() {
            self.buffer.drain(..rest);
            return Ok(None);
        }
        self.settle()?;
        let invalid = self.invalid_rows();
        self.account();
        let batch = self.finish_columns()?;
        // The next batch will be about as large.
        let mut tail = Vec::with_capacity(self.buffer.len() + self.buffer.len() / 8);
        tail.extend_from_slice(&self.buffer[rest..]);
        self.buffer.truncate(rest);
        let buffer = Bytes::from(std::mem::replace(&mut self.buffer, tail));
        let first = self.first;
        let rows = std::mem::take(&mut self.rows);
        let taken = std::mem::take(&mut self.taken);
        self.first += rows.len() as u64;
        self.page.rows += rows.len() as u64;
        let ranges = taken.iter().map(|row| rows[*row].clone()).collect();
        let numbers = taken.iter().map(|row| first + *row as u64).collect();
        self.misfits.clear();
        self.unreadable.clear();
        self.sighted = 0;
        self.sighting = Sighting::default();
        self.make_columns(rows.len());
        let lines = lines
            .map(|counter| Arc::new(RowLines::of_buffer(counter, buffer.clone(), rows, first)));
        Ok(Some(Rows {
            batch,
            schema_version: self.version.version,
            raw: RawRows::in_form(buffer, ranges, self.reader.form()).with_lines(lines),
            numbers,
            invalid,
            origin: Arc::clone(&self.options.origin),
        }))
    }

    /// What is known of the page; its rows have been delivered. What follows is another page's.
    pub(crate) fn summary(&mut self) -> PageSummary {
        let page = std::mem::take(&mut self.page);
        let mut warnings = page.warnings;
        if page.has_overflow {
            warnings.push(Warning {
                code: "too_many_columns".to_owned(),
                stream: None,
                message: format!(
                    "fields beyond the first {MAX_COLUMNS} columns were dropped: an object whose keys are values is better mapped as one field"
                ),
            });
        }
        let mut observed = page.observed;
        observed.rows = page.rows;
        PageSummary {
            rows: page.rows,
            hash: format!("{:032x}", page.hash.0.digest128()),
            observed,
            fields_dropped: page.fields_dropped,
            warnings,
            ..PageSummary::default()
        }
    }

    /// Widens the columns until every row that can be taken is.
    fn settle(&mut self) -> Result<()> {
        for _ in 0..MAX_ROUNDS {
            self.sight();
            let mut sighting = self.sighting.clone();
            for (column, buffer) in self.version.columns.iter().zip(&self.columns) {
                sighting.column(&column.name, &buffer.trace());
            }
            let version = self.schema.deliver(&sighting, &self.version);
            if let Some(reason) = self.schema.start_over() {
                return Err(error::start_over(&self.options.origin, reason));
            }
            if !self.adopt(version)? {
                return Ok(());
            }
        }
        Err(
            Error::new(ErrorKind::Internal, "the columns of a batch did not settle")
                .with_context("origin", &self.options.origin),
        )
    }

    /// Goes on with this version, and takes the batch's rows again where its columns are others.
    fn adopt(&mut self, version: Arc<SchemaVersion>) -> Result<bool> {
        let is_same = version.decodes_like(&self.version);
        self.version = version;
        if is_same {
            return Ok(false);
        }
        self.reader.bind(&self.version)?;
        self.make_columns(self.rows.len());
        self.taken.clear();
        self.misfits.clear();
        self.sighted = 0;
        let mut unreadable = self.unreadable.iter().copied().peekable();
        for (index, row) in self.rows.iter().enumerate() {
            if unreadable.next_if_eq(&index).is_some() {
                self.misfits.push(index);
                continue;
            }
            let len = self.taken.len();
            let bytes = &self.buffer[..self.buffer.len().min(row.end + 1)];
            match self.reader.take(bytes, row.start, &mut self.columns, len) {
                Ok(end) if end == row.end => {
                    fill(&mut self.columns, &self.filled, len);
                    self.taken.push(index);
                }
                Ok(_) | Err(_) => {
                    truncate(&mut self.columns, len);
                    self.misfits.push(index);
                }
            }
        }
        Ok(true)
    }

    fn sight(&mut self) {
        for index in &self.misfits[self.sighted..] {
            let row = &self.buffer[self.rows[*index].clone()];
            self.reader.sight(row, &self.version, &mut self.sighting);
        }
        self.sighted = self.misfits.len();
    }

    fn invalid_rows(&mut self) -> Vec<InvalidRow> {
        let form = self.reader.form();
        self.misfits
            .iter()
            .map(|index| {
                let row = &self.buffer[self.rows[*index].clone()];
                InvalidRow {
                    raw: form.text(row),
                    reasons: self.reader.explain(row, &self.version),
                    number: self.first + *index as u64,
                }
            })
            .collect()
    }

    /// Adds the batch to the page's hash and counts.
    fn account(&mut self) {
        for row in &self.rows {
            self.page.hash.0.update(&self.buffer[row.clone()]);
            // Rows are told apart, so that a row cut in two is another page.
            self.page.hash.0.update(b"\n");
        }
        if !self.misfits.is_empty() {
            // Pieces of rows that didn't fit have been counted: everything is counted again, each row once.
            self.reader.forget_observed(&mut self.columns);
            for row in &self.rows {
                self.reader
                    .observe(&self.buffer[row.clone()], &mut self.columns);
            }
        }
        self.page.fields_dropped += self
            .reader
            .take_observed(&mut self.columns, &mut self.page.observed);
        self.page.has_overflow |= self.version.is_open && self.version.columns.len() >= MAX_COLUMNS;
    }

    fn finish_columns(&mut self) -> Result<RecordBatch> {
        let len = self.taken.len();
        let columns = std::mem::take(&mut self.columns);
        let arrays = columns
            .into_iter()
            .zip(&self.version.columns)
            .map(|(buffer, column)| match &column.source {
                ColumnSource::Template(_) | ColumnSource::Variable(_) => {
                    constant_array(&self.options, buffer, &column.name, len)
                }
                ColumnSource::Field(_) | ColumnSource::Row => buffer
                    .finish()
                    .map_err(|cause| error::not_a_batch(&self.options.origin, cause)),
            })
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(len));
        RecordBatch::try_new_with_options(self.version.decoded(), arrays, &options)
            .map_err(|cause| error::not_a_batch(&self.options.origin, cause))
    }

    fn make_columns(&mut self, capacity: usize) {
        self.columns = self
            .version
            .columns
            .iter()
            .map(|column| {
                let mut buffer =
                    ColumnBuffer::new(&column.column_type, column.binding, &column.trace);
                buffer.reserve(capacity);
                buffer
            })
            .collect();
        self.filled = self
            .version
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| {
                matches!(column.source, ColumnSource::Field(_) | ColumnSource::Row)
            })
            .map(|(index, _)| index)
            .collect();
    }
}

/// The value of a column that is bound to a variable, as often as there are rows.
pub(crate) fn constant_array(
    options: &DecodeOptions,
    mut buffer: ColumnBuffer,
    name: &str,
    rows: usize,
) -> Result<ArrayRef> {
    let Some(text) = options.constants.get(name) else {
        return Err(Error::new(
            ErrorKind::Internal,
            format!("column `{name}` is bound to a variable that has no value"),
        ));
    };
    buffer
        .convert_text(text.as_bytes())
        .map_err(|_| error::constant(name, text, buffer.column_type()))?;
    let one = buffer
        .finish()
        .map_err(|cause| error::not_a_batch(&options.origin, cause))?;
    take(&one, &UInt32Array::from(vec![0; rows]), None)
        .map_err(|cause| error::not_a_batch(&options.origin, cause))
}

impl Batch<CsvRows> {
    /// The fields have these names.
    pub(crate) fn name(&mut self, fields: impl Iterator<Item = String>) -> Result<()> {
        self.reader.name(fields, &self.version)?;
        self.page
            .warnings
            .extend(self.reader.form().doubtful_header());
        Ok(())
    }
}

/// Makes the columns that a row had nothing for null there.
#[inline]
fn fill(columns: &mut [ColumnBuffer], filled: &[usize], len: usize) {
    for index in filled {
        let column = &mut columns[*index];
        if column.len() == len {
            column.push_null();
        }
    }
}

fn truncate(columns: &mut [ColumnBuffer], len: usize) {
    for column in columns {
        column.truncate(len);
    }
}

/// Whether fields that no column names become columns.
pub(crate) fn is_open(version: &SchemaVersion) -> bool {
    version.is_open && version.columns.len() < MAX_COLUMNS
}

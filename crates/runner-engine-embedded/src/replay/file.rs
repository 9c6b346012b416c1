//! One file of the quarantine, page by page: the rows that were reserved, each decoded again from the text that it came as.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use runner_connectors::decode::{DecodeOptions, PageDecoder};
use runner_connectors::lines::RowLines;
use runner_connectors::rows::{INVALID_TEXT, InvalidRow, RawRows, Reason, Rows};
use runner_connectors::source::{ChainProgress, Fetched, PageEnd, Provenance, StepSender};
use runner_core::checkpoint::{Observed, Warning};
use runner_core::{ChainEnd, Error, ErrorKind, PageCursor, Result, Seq, ranges};
use runner_plan::model::{DataFormat, ReplayPart, RowPath};
use serde::de::IgnoredAny;

use super::ReplayedStream;

/// Rows of one page; a barrier can stand behind each.
const PAGE_ROWS: usize = 500;

/// Reads one file on a thread of its own.
pub(super) struct FileReader {
    pub(super) stream: Arc<ReplayedStream>,
    pub(super) part: ReplayPart,
    pub(super) progress: ChainProgress,
    /// The first row of the file that was not read by an earlier attempt.
    pub(super) at: u64,
    pub(super) steps: StepSender,
}

/// A row of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StoredRow {
    request: String,
    provenance: Provenance,
    number: u64,
    line: Option<u64>,
    raw: String,
    /// Why it is there, where its text has lost something: what the quarantine has of it is not the whole row.
    lost: Option<Vec<Reason>>,
}

/// What decoding the rows of a page left to be said at its end.
#[derive(Debug, Default)]
struct PageNotes {
    fields_dropped: u64,
    warnings: Vec<Warning>,
}

impl FileReader {
    pub(super) fn run(mut self) {
        if let Err(error) = self.read() {
            let error = error
                .with_context("quarantine file", &self.part.path)
                .with_context("stream", &self.part.stream);
            // A driver that was dropped needs no answer.
            let _ = self.steps.blocking_send(Err(error));
        }
    }

    fn read(&mut self) -> Result<()> {
        let left = ranges::subtract(&self.part.rows, &[(0, self.at)]);
        let mut numbers = left.iter().flat_map(|(from, to)| *from..*to);
        let count: u64 = left.iter().map(|(from, to)| to - from).sum();
        let mut unread = count;
        if count == 0 {
            self.end_page(PageNotes::default(), 0, None);
            return Ok(());
        }
        for batch in self.open(&left)? {
            let batch = batch.map_err(|cause| unreadable(&self.part.path, cause))?;
            let rows = stored_rows(&batch, Seq(self.part.seq))?;
            let mut notes = PageNotes::default();
            let is_same = |left: &StoredRow, right: &StoredRow| {
                left.request == right.request && left.provenance == right.provenance
            };
            for group in rows.chunk_by(is_same) {
                if !self.deliver(group, &mut notes)? {
                    return Ok(());
                }
            }
            let last = numbers.nth(rows.len().saturating_sub(1));
            unread = unread.saturating_sub(rows.len() as u64);
            self.progress.rows += rows.len() as u64;
            let next = last.map(|last| last + 1).filter(|_| unread > 0);
            if !self.end_page(notes, rows.len() as u64, next) {
                return Ok(());
            }
        }
        if unread > 0 {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("{unread} rows are missing from a file of the quarantine"),
            )
            .with_help("the file was changed after it was sealed"));
        }
        Ok(())
    }

    fn open(&self, rows: &[(u64, u64)]) -> Result<ParquetRecordBatchReader> {
        let path = &self.part.path;
        let file = File::open(path).map_err(|cause| unreadable(path, cause))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|cause| unreadable(path, cause))?;
        let total = usize::try_from(builder.metadata().file_metadata().num_rows())
            .map_err(|cause| unreadable(path, cause))?;
        let place = |row: u64| usize::try_from(row).unwrap_or(usize::MAX).min(total);
        let selected = rows.iter().map(|(from, to)| place(*from)..place(*to));
        builder
            .with_row_selection(RowSelection::from_consecutive_ranges(selected, total))
            .with_batch_size(PAGE_ROWS)
            .build()
            .map_err(|cause| unreadable(path, cause))
    }

    /// Rows that came alike; false where nobody takes them any more.
    fn deliver(&self, rows: &[StoredRow], notes: &mut PageNotes) -> Result<bool> {
        let Some(first) = rows.first() else {
            return Ok(true);
        };
        if !self.send(Fetched::Replayed(first.provenance.clone())) {
            return Ok(false);
        }
        let is_whole = |row: &&StoredRow| {
            row.lost.is_none() && serde_json::from_str::<IgnoredAny>(&row.raw).is_ok()
        };
        let (whole, broken): (Vec<&StoredRow>, Vec<&StoredRow>) = rows.iter().partition(is_whole);
        for rows in self.decode(&whole, notes)? {
            if !self.send(Fetched::Rows(rows)) {
                return Ok(false);
            }
        }
        if broken.is_empty() {
            return Ok(true);
        }
        Ok(self.send(Fetched::Rows(self.refused(&broken))))
    }

    fn decode(&self, rows: &[&StoredRow], notes: &mut PageNotes) -> Result<Vec<Rows>> {
        let Some(first) = rows.first() else {
            return Ok(Vec::new());
        };
        let options = DecodeOptions {
            origin: first.request.as_str().into(),
            constants: self.stream.constants(&first.provenance.chain)?,
            sample_size: usize::try_from(self.stream.plan.sample_size).unwrap_or(usize::MAX),
            max_document_bytes: self.stream.context.plan.limits.max_document_bytes,
            ..DecodeOptions::default()
        };
        let schema = self.stream.context.schema.clone();
        let list = RowPath::Steps(Vec::new());
        let mut decoder = PageDecoder::new(DataFormat::Json, &list, schema, options)?;
        let mut batches = Vec::new();
        let mut separator = "[";
        for row in rows {
            decoder.push(Bytes::from_static(separator.as_bytes()))?;
            decoder.push(Bytes::copy_from_slice(row.raw.as_bytes()))?;
            separator = ",";
            while let Some(rows) = decoder.next_rows()? {
                batches.push(rows);
            }
        }
        decoder.push(Bytes::from_static(b"]"))?;
        decoder.end()?;
        while let Some(rows) = decoder.next_rows()? {
            batches.push(rows);
        }
        let summary = decoder.finish()?;
        notes.fields_dropped += summary.fields_dropped;
        notes.warnings.extend(summary.warnings);
        let number = |place: u64| {
            let row = usize::try_from(place)
                .ok()
                .and_then(|place| rows.get(place));
            row.map_or(place, |row| row.number)
        };
        let lines = known_lines(rows);
        for rows in &mut batches {
            rows.raw = std::mem::take(&mut rows.raw).with_lines(Some(Arc::clone(&lines)));
            for place in &mut rows.numbers {
                *place = number(*place);
            }
            for invalid in &mut rows.invalid {
                invalid.number = number(invalid.number);
            }
        }
        Ok(batches)
    }

    /// Rows whose text is no value, or not the whole of theirs: they go back as they are.
    fn refused(&self, rows: &[&StoredRow]) -> Rows {
        let version = self.stream.context.schema.current();
        let origin = rows.first().map_or("", |row| row.request.as_str());
        let invalid = rows.iter().map(|row| InvalidRow {
            raw: row.raw.clone(),
            reasons: row.lost.clone().unwrap_or_else(|| {
                vec![Reason {
                    code: "malformed".to_owned(),
                    column: None,
                    message: "what the quarantine has of the row is no JSON".to_owned(),
                }]
            }),
            number: row.number,
        });
        Rows {
            batch: RecordBatch::new_empty(version.decoded()),
            schema_version: version.version,
            raw: RawRows::default().with_lines(Some(known_lines(rows))),
            numbers: Vec::new(),
            invalid: invalid.collect(),
            origin: origin.into(),
        }
    }

    fn end_page(&mut self, notes: PageNotes, rows: u64, next: Option<u64>) -> bool {
        let page = PageCursor::Offset(self.at);
        self.at = next.unwrap_or(self.at);
        let position = self.progress.end_page(
            page,
            String::new(),
            next.map(PageCursor::Offset),
            next.is_none().then_some(ChainEnd::Natural),
            self.stream.context.clock.now().timestamp_millis(),
        );
        self.send(Fetched::PageEnd(Box::new(PageEnd {
            position,
            rows,
            requests: 0,
            bytes: 0,
            // The source's schema was seen by the run that read it.
            observed: Observed::default(),
            fields_dropped: notes.fields_dropped,
            total: None,
            warnings: notes.warnings,
        })))
    }

    /// False where the driver was dropped.
    fn send(&self, step: Fetched) -> bool {
        self.steps.blocking_send(Ok(step)).is_ok()
    }
}

/// Rows that fail again keep their lines.
fn known_lines(rows: &[&StoredRow]) -> Arc<RowLines> {
    let lines = rows.iter().filter_map(|row| Some((row.number, row.line?)));
    Arc::new(RowLines::known(lines.collect()))
}

/// `seq` is the run's of the file: rows of older files don't tell themselves, nor their lines.
fn stored_rows(batch: &RecordBatch, seq: Seq) -> Result<Vec<StoredRow>> {
    let text = |name: &str| {
        let column = batch.column_by_name(name);
        column
            .and_then(|column| column.as_string_opt::<i32>())
            .ok_or_else(|| lacks(name))
    };
    let number = |name: &str| {
        let column = batch.column_by_name(name);
        column.and_then(|column| column.as_primitive_opt::<Int64Type>())
    };
    let (request, chain, raw) = (text("request")?, text("chain")?, text("raw")?);
    let reasons = text("reasons")?;
    let page = number("page").ok_or_else(|| lacks("page"))?;
    let row_number = number("row").ok_or_else(|| lacks("row"))?;
    let (seqs, lines) = (number("seq"), number("line"));
    let unsigned = |value: i64| u64::try_from(value).unwrap_or_default();
    Ok((0..batch.num_rows())
        .map(|row| StoredRow {
            request: request.value(row).to_owned(),
            provenance: Provenance {
                seq: seqs
                    .filter(|seqs| seqs.is_valid(row))
                    .map_or(seq, |seqs| Seq(unsigned(seqs.value(row)))),
                chain: chain.value(row).into(),
                page: unsigned(page.value(row)),
            },
            number: unsigned(row_number.value(row)),
            line: lines
                .filter(|lines| lines.is_valid(row))
                .map(|lines| unsigned(lines.value(row))),
            raw: raw.value(row).to_owned(),
            lost: lost(reasons.value(row)),
        })
        .collect())
}

/// The reasons of a row whose text could not be kept as it came: bytes that are no text are not in the quarantine.
fn lost(reasons: &str) -> Option<Vec<Reason>> {
    let reasons: Vec<Reason> = serde_json::from_str(reasons).ok()?;
    reasons
        .iter()
        .any(|reason| reason.code == INVALID_TEXT)
        .then_some(reasons)
}

fn lacks(column: &str) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("a file of the quarantine lacks the column `{column}`"),
    )
}

fn unreadable(path: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("failed to read the quarantine file `{path}`"),
    )
    .with_source(cause)
    .with_help("`gc` takes away what is older than its retention")
}

//! One piece as a chain: read by a thread, delivered in order. A file that can't be read to its end goes to the quarantine as a whole,
//! where the stream has others that can.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use runner_core::checkpoint::Warning;
use runner_core::{Cancel, ChainEnd, Clock, Error, ErrorKind, PageCursor, Position, Result};
use runner_plan::model::{RowPath, TextFormat};

use super::content::Access;
use super::lines::CountedLines;
use super::piece::Piece;
use super::{columnar, text};
use crate::decode::{DecodeOptions, PageSummary};
use crate::meter::StreamMeter;
use crate::rows::{InvalidRow, RawRows, Reason, Rows};
use crate::schema::StreamSchema;
use crate::scrub::Scrubber;
use crate::source::{
    self, Chain, ChainProgress, ChainRequest, Fetched, Gone, PageEnd, StepSender, Steps,
};

/// One stream, ready to be read.
#[derive(Debug)]
pub(super) struct StreamState {
    pub(super) name: String,
    pub(super) rows: RowPath,
    pub(super) text: TextFormat,
    /// Without what differs from piece to piece.
    pub(super) options: DecodeOptions,
    pub(super) schema: StreamSchema,
    pub(super) access: Access,
    pub(super) scrubber: Scrubber,
    pub(super) meter: StreamMeter,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) cancel: Cancel,
    /// Decoded bytes of a page; none for the usual.
    pub(super) page_bytes: Option<u64>,
    /// Pieces of the stream.
    pub(super) pieces: usize,
    pub(super) unreadable: Mutex<BTreeMap<u64, Unreadable>>,
    pub(super) counted_lines: CountedLines,
}

/// Why a file can't be read.
#[derive(Clone, Debug)]
pub(super) struct Unreadable {
    message: String,
}

/// A piece while its thread reads it.
pub(super) struct Reading {
    pub(super) stream: Arc<StreamState>,
    pub(super) piece: Piece,
    pub(super) constants: BTreeMap<String, String>,
    /// Rows of the file, where it says so.
    pub(super) total: Option<u64>,
    progress: ChainProgress,
    at: PageCursor,
    steps: StepSender,
}

/// A piece being delivered. Dropping it stops its thread at the next batch.
pub(super) struct FileChain {
    stream: Arc<StreamState>,
    opening: Opening,
    steps: Steps,
    has_delivered: bool,
}

/// What a chain is opened with.
#[derive(Clone)]
pub(super) struct Opening {
    pub(super) piece: Piece,
    pub(super) request: ChainRequest,
    pub(super) from: Option<Position>,
    pub(super) constants: BTreeMap<String, String>,
}

impl FileChain {
    pub(super) fn start(stream: &Arc<StreamState>, opening: Opening) -> Self {
        let (sender, steps) = source::steps("the thread that reads a file");
        let from = opening.from.as_ref();
        let reading = Reading {
            stream: Arc::clone(stream),
            piece: opening.piece.clone(),
            constants: opening.constants.clone(),
            total: None,
            progress: ChainProgress::new(&opening.request, from),
            at: from
                .and_then(|position| position.next.clone())
                .unwrap_or(PageCursor::First),
            steps: sender,
        };
        let has_delivered = from.is_some();
        let known = stream.unreadable(opening.request.key.index);
        tokio::task::spawn_blocking(move || match known {
            Some(unreadable) => reading.set_aside(&unreadable),
            None => reading.run(),
        });
        Self {
            stream: Arc::clone(stream),
            opening,
            steps,
            has_delivered,
        }
    }

    /// A file whose content can't be read is one bad file among others, unless there is no other. What was delivered of it is read anew
    /// as nothing; none where nothing was, and the file's own row follows at once.
    fn failed(&mut self, error: Error) -> Result<Option<Fetched>> {
        let error = self.stream.located(error, &self.opening.piece);
        let is_bad_file = error.kind() == ErrorKind::SourceData
            && self.stream.schema.start_over().is_none()
            && !self.stream.cancel.is_cancelled();
        let index = self.opening.request.key.index;
        if !is_bad_file || !self.stream.set_aside(index, &error) {
            return Err(error);
        }
        if self.has_delivered {
            return Ok(Some(Fetched::Restart {
                reason: "it can't be read to its end, and is set aside as a whole".to_owned(),
            }));
        }
        let stream = Arc::clone(&self.stream);
        *self = Self::start(&stream, self.opening.clone());
        Ok(None)
    }
}

#[async_trait]
impl Chain for FileChain {
    async fn next(&mut self) -> Result<Option<Fetched>> {
        loop {
            match self.steps.next().await {
                Ok(step) => {
                    self.has_delivered |= step.is_some();
                    return Ok(step);
                }
                Err(error) => {
                    if let Some(step) = self.failed(error)? {
                        return Ok(Some(step));
                    }
                }
            }
        }
    }
}

impl StreamState {
    fn unreadable(&self, chain: u64) -> Option<Unreadable> {
        self.unreadable_files().get(&chain).cloned()
    }

    /// Takes note of a file that can't be read; false where no other is left.
    fn set_aside(&self, chain: u64, error: &Error) -> bool {
        let mut unreadable = self.unreadable_files();
        if unreadable.len() + 1 >= self.pieces {
            return false;
        }
        let mut message = error.chain();
        if let Some(help) = error.help() {
            message = format!("{message}; {help}");
        }
        unreadable.insert(chain, Unreadable { message });
        true
    }

    fn unreadable_files(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Unreadable>> {
        // Entries are inserted whole.
        self.unreadable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn located(&self, error: Error, piece: &Piece) -> Error {
        let names_file = error.message().contains(&piece.path)
            || error.context().iter().any(|(name, _)| *name == "origin");
        let error = if names_file {
            error
        } else {
            error.with_context("file", piece.origin())
        };
        self.scrubber
            .hide_error(error.with_context("stream", &self.name))
    }
}

impl Reading {
    fn run(mut self) {
        let read = if self.piece.is_columnar() {
            columnar::read(&mut self)
        } else {
            text::read(&mut self)
        };
        if let Err(error) = read {
            let error = if self.progress.rows > 0 {
                error.with_context("after row", self.progress.rows)
            } else {
                error
            };
            // A driver that was dropped needs no answer.
            let _ = self.steps.blocking_send(Err(error));
        }
    }

    /// Where reading begins: in the file's bytes, or its row groups.
    pub(super) fn start(&self) -> u64 {
        match self.at {
            PageCursor::Byte(offset) => offset,
            _ => self.piece.part.map_or(0, |part| part.start),
        }
    }

    pub(super) fn options(&self) -> DecodeOptions {
        DecodeOptions {
            origin: self.piece.origin().into(),
            constants: self.constants.clone(),
            text: self.piece.kind.text(&self.stream.text),
            first_row: self.progress.rows,
            ..self.stream.options.clone()
        }
    }

    pub(super) fn deliver(&mut self, rows: Rows) -> Result<(), Gone> {
        self.progress.rows += rows.count() as u64;
        let rows = self.stream.scrubber.hide_rows(rows);
        self.send(Fetched::Rows(rows))
    }

    /// Ends a page behind the rows that were delivered; the piece, where nothing follows.
    pub(super) fn end(
        &mut self,
        summary: PageSummary,
        bytes: u64,
        next: Option<PageCursor>,
    ) -> Result<(), Gone> {
        let end = next.is_none().then_some(ChainEnd::Natural);
        self.end_page(summary, bytes, next, end)
    }

    fn end_page(
        &mut self,
        summary: PageSummary,
        bytes: u64,
        next: Option<PageCursor>,
        end: Option<ChainEnd>,
    ) -> Result<(), Gone> {
        self.stream.meter.update(|progress| progress.bytes += bytes);
        let page = match &next {
            Some(next) => std::mem::replace(&mut self.at, next.clone()),
            None => self.at.clone(),
        };
        let now = self.stream.clock.now().timestamp_millis();
        let position = self.progress.end_page(page, summary.hash, next, end, now);
        self.send(Fetched::PageEnd(Box::new(PageEnd {
            position,
            rows: summary.rows,
            requests: 0,
            bytes,
            observed: summary.observed,
            fields_dropped: summary.fields_dropped,
            total: self.total,
            warnings: summary.warnings,
        })))
    }

    /// The file as one row of the quarantine, and the chain's end: one that moves no cursor.
    fn set_aside(mut self, unreadable: &Unreadable) {
        let version = self.stream.schema.current();
        let message = unreadable.message.clone();
        let raw = serde_json::json!({"file": self.piece.path}).to_string();
        let row = Rows {
            batch: RecordBatch::new_empty(version.decoded()),
            schema_version: version.version,
            raw: RawRows::default(),
            numbers: Vec::new(),
            invalid: vec![InvalidRow {
                raw,
                reasons: vec![Reason {
                    code: "unreadable_file".to_owned(),
                    column: None,
                    message: message.clone(),
                }],
                number: 0,
            }],
            origin: self.piece.origin().into(),
        };
        let summary = PageSummary {
            rows: 1,
            warnings: vec![Warning {
                code: "unreadable_file".to_owned(),
                stream: Some(self.stream.name.clone()),
                message: format!(
                    "the file `{}` was not loaded: {message}",
                    self.piece.origin()
                ),
            }],
            ..PageSummary::default()
        };
        if self.deliver(row).is_ok() {
            let _ = self.end_page(summary, 0, None, Some(ChainEnd::Skipped));
        }
    }

    fn send(&self, step: Fetched) -> Result<(), Gone> {
        self.steps.blocking_send(Ok(step))
    }
}

//! A page whose rows stand one behind the other (CSV, JSON lines): where one ends another may begin, and so may a page.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use runner_core::{Error, Result};

use super::FormatDecoder;
use super::batch::{Batch, RowReader};
use super::error;
use super::input::Input;
use super::options::DecodeOptions;
use super::summary::PageSummary;
use crate::rows::Rows;
use crate::schema::StreamSchema;

/// How such rows are told apart.
pub(crate) trait RecordFormat: Send + Debug {
    type Reader: RowReader;
    /// For messages: the format, and one row of it.
    const NAME: &'static str;
    const ROW: &'static str;

    /// Takes rows until the batch is full or no whole one is left.
    fn take(&mut self, records: &mut Records<Self::Reader>) -> Result<()>;

    /// The first bytes of the buffer are gone, all of them taken.
    fn dropped(&mut self, _count: usize) {}

    /// What may be the matter with a row whose end doesn't come.
    fn endless(error: Error) -> Error {
        error
    }
}

/// Bytes, and the rows that have been taken from them.
#[derive(Debug)]
pub(crate) struct Records<R> {
    pub(crate) batch: Batch<R>,
    pub(crate) input: Input,
    /// The next byte of the batch's buffer.
    pub(crate) at: usize,
}

/// Decodes rows that stand one behind the other.
#[derive(Debug)]
pub(crate) struct RecordPage<F: RecordFormat> {
    format: F,
    records: Records<F::Reader>,
}

impl<F: RecordFormat> RecordPage<F> {
    pub(crate) fn new(
        format: F,
        reader: F::Reader,
        schema: StreamSchema,
        options: DecodeOptions,
    ) -> Result<Self> {
        let records = Records {
            input: Input::new(&options),
            batch: Batch::new(reader, schema, options)?,
            at: 0,
        };
        Ok(Self { format, records })
    }

    /// The columns find their fields by these names.
    pub(crate) fn batch(&mut self) -> &mut Batch<F::Reader> {
        &mut self.records.batch
    }

    fn emit(&mut self) -> Result<Option<Rows>> {
        let Records { batch, input, at } = &mut self.records;
        let from = std::mem::take(at);
        let lines = input.lines();
        input.pass(&batch.buffer[..from]);
        self.format.dropped(from);
        batch.emit(from, lines)
    }

    fn summary(&mut self) -> PageSummary {
        let batch = &mut self.records.batch;
        PageSummary {
            rows_found: true,
            captured: vec![None; batch.options.captures.len()],
            ..batch.summary()
        }
    }

    fn begun_row(&self) -> usize {
        self.records.batch.buffer.len() - self.records.at
    }

    fn check_size(&self, row: usize) -> Result<()> {
        let options = &self.records.batch.options;
        let limit = options.max_document_bytes;
        if row as u64 <= limit {
            return Ok(());
        }
        let error = error::too_large(&options.origin, F::ROW, limit);
        Err(F::endless(self.records.located(error)))
    }

    /// The end has come: nothing may have begun.
    fn check_end(&self) -> Result<()> {
        if self.begun_row() == 0 {
            return Ok(());
        }
        let origin = &self.records.batch.options.origin;
        let offset = self.records.offset();
        let error = error::truncated(origin, F::NAME, offset);
        Err(F::endless(self.records.located(error)))
    }
}

impl<R> Records<R> {
    /// Where in the file the next byte stands.
    fn offset(&self) -> u64 {
        self.input.before + self.at as u64
    }

    /// An error with the line in which the row that has begun begins.
    fn located(&self, error: Error) -> Error {
        self.input.with_line(error, &self.batch.buffer[..self.at])
    }
}

impl<F: RecordFormat> FormatDecoder for RecordPage<F> {
    fn push(&mut self, bytes: Bytes) -> Result<()> {
        self.records.input.push(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.records.input.end();
        Ok(())
    }

    fn next_rows(&mut self) -> Result<Option<Rows>> {
        loop {
            self.format.take(&mut self.records)?;
            if self.records.batch.is_full() {
                return self.emit();
            }
            let row = self.begun_row();
            let batch = &self.records.batch;
            if row > batch.options.batch_bytes || batch.is_empty() {
                let rows = self.emit()?;
                if rows.is_some() {
                    return Ok(rows);
                }
            }
            self.check_size(row)?;
            let Records { batch, input, .. } = &mut self.records;
            let origin = Arc::clone(&batch.options.origin);
            if !input.refill(&mut batch.buffer, &origin, b"\n")? {
                if !self.records.input.is_sealed() {
                    return Ok(None);
                }
                self.check_end()?;
                return self.emit();
            }
        }
    }

    fn offset(&self) -> Option<u64> {
        self.records.batch.is_empty().then(|| self.records.offset())
    }

    fn cut(&mut self) -> Option<PageSummary> {
        self.records.batch.is_empty().then(|| self.summary())
    }

    fn finish(mut self: Box<Self>) -> Result<PageSummary> {
        Ok(self.summary())
    }
}

//! JSON lines: one row a line. A line that is no JSON is an invalid row, and the lines after it are read.

use bytes::Bytes;
use runner_core::Result;

use super::rows::JsonRows;
use crate::decode::FormatDecoder;
use crate::decode::batch::Batch;
use crate::decode::error;
use crate::decode::input::Input;
use crate::decode::options::DecodeOptions;
use crate::decode::summary::PageSummary;
use crate::rows::Rows;
use crate::schema::StreamSchema;

/// Decodes lines of JSON.
#[derive(Debug)]
pub(crate) struct JsonLines {
    batch: Batch<JsonRows>,
    input: Input,
    /// Where the next line begins.
    at: usize,
    /// Bytes of that line in which no end was found.
    searched: usize,
}

impl JsonLines {
    pub(crate) fn new(schema: StreamSchema, options: DecodeOptions) -> Result<Self> {
        let reader = JsonRows::new(options.max_depth);
        Ok(Self {
            input: Input::at(options.offset),
            batch: Batch::new(reader, schema, options)?,
            at: 0,
            searched: 0,
        })
    }

    /// Takes lines until the batch is full or the bytes are used up.
    fn lines(&mut self) -> Result<()> {
        while !self.batch.is_full() {
            let rest = &self.batch.buffer[self.at..];
            let Some(found) = memchr::memchr(b'\n', &rest[self.searched..]) else {
                self.searched = rest.len();
                return Ok(());
            };
            let length = self.searched + found;
            let line = &rest[..length];
            let start = self.at + line.len() - line.trim_ascii_start().len();
            let end = start + line.trim_ascii().len();
            let is_text = !self.input.is_suspect || std::str::from_utf8(line).is_ok();
            self.at += length + 1;
            self.searched = 0;
            if start >= end {
                continue;
            }
            if is_text {
                self.batch.take_row(start..end);
            } else {
                self.batch.take_unreadable(start..end);
            }
            self.batch.settle_early()?;
        }
        Ok(())
    }

    fn summary(&mut self) -> PageSummary {
        PageSummary {
            rows_found: true,
            captured: vec![None; self.batch.options.captures.len()],
            ..self.batch.summary()
        }
    }

    fn emit(&mut self) -> Result<Option<Rows>> {
        let from = self.at;
        let rows = self.batch.emit(from)?;
        self.input.dropped(from);
        self.at = 0;
        Ok(rows)
    }
}

impl FormatDecoder for JsonLines {
    fn push(&mut self, bytes: Bytes) -> Result<()> {
        self.input.push(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.input.end();
        Ok(())
    }

    fn next_rows(&mut self) -> Result<Option<Rows>> {
        loop {
            self.lines()?;
            if self.batch.is_full() {
                return self.emit();
            }
            let line = self.batch.buffer.len() - self.at;
            if line > self.batch.options.batch_bytes || self.batch.is_empty() {
                let rows = self.emit()?;
                if rows.is_some() {
                    return Ok(rows);
                }
            }
            let limit = self.batch.options.max_document_bytes;
            if line as u64 > limit {
                return Err(error::too_large(
                    &self.batch.options.origin,
                    "a line",
                    limit,
                ));
            }
            let origin = std::sync::Arc::clone(&self.batch.options.origin);
            if !self.input.refill(&mut self.batch.buffer, &origin, b"\n")? {
                return if self.input.is_sealed() {
                    self.emit()
                } else {
                    Ok(None)
                };
            }
        }
    }

    fn offset(&self) -> Option<u64> {
        let offset = self.input.before + self.at as u64;
        self.batch.is_empty().then_some(offset)
    }

    fn cut(&mut self) -> Option<PageSummary> {
        self.batch.is_empty().then(|| self.summary())
    }

    fn finish(mut self: Box<Self>) -> Result<PageSummary> {
        Ok(self.summary())
    }
}

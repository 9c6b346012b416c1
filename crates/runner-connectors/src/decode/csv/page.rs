//! A page of CSV while it streams.

use std::sync::Arc;

use bytes::Bytes;
use runner_core::Result;

use super::CsvForm;
use super::record::RecordScanner;
use super::rows::CsvRows;
use crate::decode::FormatDecoder;
use crate::decode::batch::Batch;
use crate::decode::error;
use crate::decode::input::Input;
use crate::decode::json::Stop;
use crate::decode::options::DecodeOptions;
use crate::decode::summary::PageSummary;
use crate::rows::Rows;
use crate::schema::StreamSchema;

/// Decodes records.
#[derive(Debug)]
pub(crate) struct CsvPage {
    batch: Batch<CsvRows>,
    input: Input,
    /// The next byte of the buffer.
    at: usize,
    /// A record whose end has not come yet.
    scanner: Option<RecordScanner>,
    /// The fields have names.
    is_named: bool,
}

impl CsvPage {
    pub(crate) fn new(schema: StreamSchema, options: DecodeOptions) -> Result<Self> {
        let form = CsvForm::new(&options.text)?;
        let header = options.header.clone();
        let reader = CsvRows::new(form, options.max_depth);
        let mut batch = Batch::new(reader, schema, options)?;
        if let Some(header) = &header {
            batch.name(header.iter().cloned())?;
        }
        Ok(Self {
            input: Input::at(batch.options.offset),
            batch,
            at: 0,
            scanner: None,
            is_named: header.is_some(),
        })
    }

    /// Takes records until the batch is full or the bytes are used up.
    fn records(&mut self) -> Result<()> {
        while !self.batch.is_full() {
            match self.batch.buffer.get(self.at) {
                Some(b'\n' | b'\r') => {
                    self.at += 1;
                    continue;
                }
                Some(_) => {}
                None => return Ok(()),
            }
            if !self.is_named || self.input.is_suspect || self.scanner.is_some() {
                let Some(end) = self.record_end() else {
                    return Ok(());
                };
                self.whole_record(end)?;
                self.at = end;
            } else {
                let at = self.at;
                let dialect = self.batch.reader.form().dialect;
                let taken = self.batch.take(at, |bytes| {
                    RecordScanner::new(dialect, at)
                        .scan(bytes)
                        .ok_or(Stop::Incomplete)
                });
                match taken {
                    Ok(end) => self.at = end,
                    Err(_) => {
                        self.scanner = Some(RecordScanner::new(dialect, at));
                        continue;
                    }
                }
            }
            self.batch.settle_early()?;
        }
        Ok(())
    }

    fn record_end(&mut self) -> Option<usize> {
        let dialect = self.batch.reader.form().dialect;
        let at = self.at;
        let scanner = self
            .scanner
            .get_or_insert_with(|| RecordScanner::new(dialect, at));
        let end = scanner.scan(&self.batch.buffer)?;
        self.scanner = None;
        Some(end)
    }

    /// Takes a record all of whose bytes are here.
    fn whole_record(&mut self, end: usize) -> Result<()> {
        let start = self.at;
        if !self.is_named {
            self.is_named = true;
            let fields = self
                .batch
                .reader
                .form()
                .dialect
                .fields(&self.batch.buffer[start..end]);
            if self.batch.options.text.has_header {
                let names = fields
                    .into_iter()
                    .map(|(text, _)| String::from_utf8_lossy(&text).into_owned());
                return self.batch.name(names);
            }
            self.batch.name(fields.iter().map(|_| String::new()))?;
        }
        let is_text =
            !self.input.is_suspect || std::str::from_utf8(&self.batch.buffer[start..end]).is_ok();
        if is_text {
            self.batch.take_row(start..end);
        } else {
            self.batch.take_unreadable(start..end);
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
        if let Some(scanner) = &mut self.scanner {
            scanner.at -= from;
        }
        Ok(rows)
    }
}

impl FormatDecoder for CsvPage {
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
            self.records()?;
            if self.batch.is_full() {
                return self.emit();
            }
            let record = self.batch.buffer.len() - self.at;
            if record > self.batch.options.batch_bytes || self.batch.is_empty() {
                let rows = self.emit()?;
                if rows.is_some() {
                    return Ok(rows);
                }
            }
            let limit = self.batch.options.max_document_bytes;
            if record as u64 > limit {
                let error = error::too_large(&self.batch.options.origin, "a record", limit);
                return Err(error
                    .with_help("a quote that is never closed makes the rest of a file one field"));
            }
            let origin = Arc::clone(&self.batch.options.origin);
            if !self.input.refill(&mut self.batch.buffer, &origin, b"\n")? {
                if !self.input.is_sealed() {
                    return Ok(None);
                }
                if self.at < self.batch.buffer.len() {
                    let offset = self.input.before + self.at as u64;
                    return Err(error::truncated(&origin, "CSV", offset)
                        .with_help("a quote is never closed"));
                }
                return self.emit();
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

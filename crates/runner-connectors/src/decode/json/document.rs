//! A JSON document whose rows are found by a JSONPath that needs all of it: filters, slices, descendants.
//!
//! The path is answered on a tree, but the rows are the pieces of the text that it points at, so that nothing of them is lost.

use std::ops::Range;

use bytes::Bytes;
use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::{RowPath, RowPathStep};
use serde_json::Value;
use serde_json_path::JsonPath;

use super::cursor::{Cursor, Stop};
use super::paths::{self, Located, row_path_text};
use super::rows::JsonRows;
use crate::decode::FormatDecoder;
use crate::decode::batch::Batch;
use crate::decode::captures::Captures;
use crate::decode::error;
use crate::decode::input::Input;
use crate::decode::options::DecodeOptions;
use crate::decode::summary::PageSummary;
use crate::rows::Rows;
use crate::schema::StreamSchema;

/// Decodes one document that is read whole.
#[derive(Debug)]
pub(crate) struct JsonDocument {
    batch: Batch<JsonRows>,
    input: Input,
    rows: JsonPath,
    path: String,
    captures: Vec<JsonPath>,
    captured: Vec<Option<Value>>,
    envelope: Captures,
    text: Vec<u8>,
    /// What is there where no row is.
    instead: Option<String>,
    /// Rows of the text that have not been taken yet, the next last.
    left: Option<Vec<Range<usize>>>,
}

impl JsonDocument {
    pub(crate) fn new(
        path: &RowPath,
        schema: StreamSchema,
        options: DecodeOptions,
    ) -> Result<Self> {
        let text = row_path_text(path);
        let rows = parse(path)?;
        let captures = options.captures.iter().map(parse).collect::<Result<_>>()?;
        let reader = JsonRows::new(options.max_depth);
        Ok(Self {
            input: Input::new(&options),
            batch: Batch::new(reader, schema, options)?,
            rows,
            path: text,
            captures,
            captured: Vec::new(),
            envelope: Captures::new(&[]),
            text: Vec::new(),
            instead: None,
            left: None,
        })
    }

    fn read(&mut self) -> Result<Vec<Range<usize>>> {
        let origin = std::sync::Arc::clone(&self.batch.options.origin);
        if self.text.trim_ascii().is_empty() {
            return Err(error::empty(&origin, "JSON"));
        }
        if self.text.trim_ascii().first() == Some(&b'<') {
            return Err(error::markup(&origin, self.text.trim_ascii()));
        }
        if self.input.is_suspect {
            let valid =
                std::str::from_utf8(&self.text).map_or_else(|error| error.valid_up_to(), str::len);
            let error = error::not_utf8(&origin, valid as u64);
            return Err(self.input.with_column(error, &self.text[..valid]));
        }
        let document: Value = serde_json::from_slice(&self.text).map_err(|cause| {
            let what = if cause.is_eof() {
                "it ends within a value"
            } else {
                "it is malformed"
            };
            Error::new(
                ErrorKind::SourceData,
                format!("failed to read a JSON document as a whole: {what}"),
            )
            .with_context("origin", &origin)
            .with_source(cause)
        })?;
        self.captured = self
            .captures
            .iter()
            .map(|path| path.query(&document).first().cloned())
            .collect();
        let mut found = Vec::new();
        for node in self.rows.query_located(&document).iter() {
            found.push(paths::steps_to(node.location()));
        }
        if found.is_empty() && !self.path.ends_with(']') {
            let there = match &document {
                Value::Object(fields) => {
                    let keys: Vec<&str> = fields.keys().take(32).map(String::as_str).collect();
                    format!("$ has the keys `{}`", keys.join("`, `"))
                }
                Value::Array(items) => format!("$ is a list of {} items", items.len()),
                _ => "$ is a plain value".to_owned(),
            };
            self.instead = Some(there);
        }
        drop(document);
        let max_depth = self.batch.options.max_depth;
        // The document has been parsed: nothing can stop this.
        let _ = self.envelope.take_all(&self.text, max_depth);
        self.ranges(&found).map_err(|_| {
            Error::new(
                ErrorKind::Internal,
                "a row was not found where its path leads",
            )
        })
    }

    /// Where in the text the rows are.
    fn ranges(&self, found: &[Vec<RowPathStep>]) -> Result<Vec<Range<usize>>, Stop> {
        let max_depth = self.batch.options.max_depth;
        let mut located = Located::new(found);
        located.locate(&self.text, max_depth)?;
        let mut rows = Vec::new();
        for range in located.ranges() {
            let value = &self.text[range.clone()];
            // A list at the path holds the rows, unless the path has gone into lists itself.
            if value.first() == Some(&b'[') && !self.path.ends_with(']') {
                let items = paths::items(value, max_depth)?;
                rows.extend(
                    items
                        .into_iter()
                        .map(|item| range.start + item.start..range.start + item.end),
                );
            } else if value != b"null" {
                rows.push(range);
            }
        }
        rows.reverse();
        Ok(rows)
    }
}

fn parse(path: &RowPath) -> Result<JsonPath> {
    let text = row_path_text(path);
    runner_spec::parse_json_path(&text).map_err(|cause| {
        Error::new(ErrorKind::Spec, format!("`{text}` is no JSONPath")).with_source(cause)
    })
}

impl FormatDecoder for JsonDocument {
    fn push(&mut self, bytes: Bytes) -> Result<()> {
        let limit = self.batch.options.max_document_bytes;
        if self.text.len() as u64 + bytes.len() as u64 > limit {
            let what = format!("a document that `{}` needs whole", self.path);
            return Err(error::too_large(&self.batch.options.origin, &what, limit));
        }
        self.input.push(bytes);
        let origin = std::sync::Arc::clone(&self.batch.options.origin);
        while self.input.refill(&mut self.text, &origin, b"\n")? {}
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.input.end();
        let origin = std::sync::Arc::clone(&self.batch.options.origin);
        while self.input.refill(&mut self.text, &origin, b"\n")? {}
        Ok(())
    }

    fn next_rows(&mut self) -> Result<Option<Rows>> {
        if !self.input.is_sealed() {
            return Ok(None);
        }
        let mut left = match self.left.take() {
            Some(left) => left,
            None => self.read()?,
        };
        while !self.batch.is_full()
            && let Some(row) = left.pop()
        {
            let start = self.batch.buffer.len();
            self.batch.buffer.extend_from_slice(&self.text[row]);
            let end = self.batch.buffer.len();
            self.batch.buffer.push(b'\n');
            let max_depth = self.batch.options.max_depth;
            let taken = self.batch.take(start, |bytes| {
                let mut cursor = Cursor::new(bytes, start, max_depth);
                cursor.skip().map(|_| cursor.at)
            });
            if taken != Ok(end) {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "a row of a document is no JSON",
                ));
            }
            self.batch.settle_early()?;
        }
        self.left = Some(left);
        let end = self.batch.buffer.len();
        self.batch.emit(end, None)
    }

    fn finish(mut self: Box<Self>) -> Result<PageSummary> {
        let (_, envelope) = self.envelope.finish();
        Ok(PageSummary {
            rows_found: self.instead.is_none(),
            instead: self.instead,
            captured: self.captured,
            envelope,
            ..self.batch.summary()
        })
    }
}

//! A page of XML while it streams.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::{RowPath, RowPathStep};

use super::element;
use super::token::{self, Token, token};
use crate::decode::FormatDecoder;
use crate::decode::batch::Batch;
use crate::decode::captures::{Captures, Place};
use crate::decode::error;
use crate::decode::input::Input;
use crate::decode::json::JsonRows;
use crate::decode::options::DecodeOptions;
use crate::decode::summary::PageSummary;
use crate::decode::text::shortened;
use crate::rows::Rows;
use crate::schema::StreamSchema;

const FORMAT: &str = "XML";

/// Decodes elements.
#[derive(Debug)]
pub(crate) struct XmlPage {
    /// Its buffer holds the rows as JSON.
    batch: Batch<JsonRows>,
    input: Input,
    /// Bytes of the document that are still needed.
    text: Vec<u8>,
    at: usize,
    searched: usize,
    /// Names from the root down to the rows.
    names: Vec<String>,
    /// Elements around the place that is being read.
    open: Vec<Open>,
    /// Where the row begins, and how many of its elements are open.
    row: Option<(usize, usize)>,
    place: Place,
    captures: Captures,
    has_root: bool,
    has_found: bool,
}

#[derive(Debug)]
struct Open {
    name: String,
    /// Its text, while it has no children.
    text: Option<Vec<u8>>,
}

impl XmlPage {
    pub(crate) fn new(
        path: &RowPath,
        schema: StreamSchema,
        options: DecodeOptions,
    ) -> Result<Self> {
        let captures = Captures::new(&options.captures);
        let reader = JsonRows::new(options.max_depth);
        Ok(Self {
            input: Input::new(&options),
            batch: Batch::new(reader, schema, options)?,
            text: Vec::new(),
            at: 0,
            searched: 0,
            names: names(path)?,
            open: Vec::new(),
            row: None,
            place: Place::default(),
            captures,
            has_root: false,
            has_found: false,
        })
    }

    /// Takes tokens until the batch is full or the bytes are used up.
    fn advance(&mut self) -> Result<()> {
        while !self.batch.is_full() && self.at < self.text.len() {
            let found = token(&self.text, self.at, &mut self.searched)
                .map_err(|what| self.malformed(what))?;
            let Some((token, end)) = found else {
                return Ok(());
            };
            self.searched = 0;
            if self.row.is_some() {
                self.within_row(&token, end)?;
            } else {
                self.outside(token, end)?;
            }
            self.at = end;
        }
        Ok(())
    }

    fn within_row(&mut self, token: &Token, end: usize) -> Result<()> {
        let Some((start, depth)) = &mut self.row else {
            return Ok(());
        };
        match token {
            Token::Open(_) => *depth += 1,
            Token::Close(_) => *depth -= 1,
            _ => {}
        }
        if *depth == 0 {
            let row = *start..end;
            self.row = None;
            self.take(row)?;
        }
        Ok(())
    }

    fn outside(&mut self, token: Token, end: usize) -> Result<()> {
        match token {
            Token::Open(tag) => {
                let name = self.name(&tag);
                if self.is_row(&name) {
                    self.row = Some((self.at, 1));
                } else {
                    self.enter(name, &tag)?;
                }
            }
            Token::Empty(tag) => {
                let name = self.name(&tag);
                if self.is_row(&name) {
                    self.take(self.at..end)?;
                } else {
                    self.enter(name, &tag)?;
                    self.leave();
                }
            }
            Token::Close(tag) => {
                let name = self.name(&tag);
                if self.open.last().is_none_or(|open| open.name != name) {
                    return Err(self.malformed("a tag closes what is not open"));
                }
                self.leave();
            }
            Token::Text(text) => self.keep_text(text, true)?,
            Token::CData(text) => self.keep_text(text, false)?,
            Token::Declaration(declaration) => self.check_encoding(&declaration)?,
            Token::Other => {}
        }
        Ok(())
    }

    fn name(&self, tag: &Range<usize>) -> String {
        String::from_utf8_lossy(token::name(&self.text[tag.clone()])).into_owned()
    }

    /// Whether an element of this name is a row, where the reader stands.
    fn is_row(&self, name: &str) -> bool {
        match self.names.split_last() {
            // Without a path the root's children are the rows.
            None => self.open.len() == 1,
            Some((last, above)) => {
                self.open.len() == above.len()
                    && is_called(name, last)
                    && self
                        .open
                        .iter()
                        .zip(above)
                        .all(|(open, wanted)| is_called(&open.name, wanted))
            }
        }
    }

    fn enter(&mut self, name: String, tag: &Range<usize>) -> Result<()> {
        if self.open.is_empty() && self.has_root {
            return Err(self.malformed("something follows the end of the document"));
        }
        if self.open.len() >= self.batch.options.max_depth {
            return Err(self.malformed("too many levels of nesting"));
        }
        self.has_root = true;
        if let Some(parent) = self.open.last_mut() {
            parent.text = None;
        }
        self.place.open();
        self.place.enter_key(name.clone());
        let tag = String::from_utf8_lossy(&self.text[tag.clone()]).into_owned();
        self.open.push(Open {
            name,
            text: Some(Vec::new()),
        });
        let above = self.names.len().saturating_sub(1);
        let leads_to_rows = |open: &[Open]| {
            open.iter()
                .zip(&self.names)
                .all(|(open, wanted)| is_called(&open.name, wanted))
        };
        self.has_found |= if self.names.is_empty() {
            self.open.len() == 1
        } else {
            self.open.len() == above.max(1) && leads_to_rows(&self.open)
        };
        let name_end = token::name(tag.as_bytes()).len();
        let start = quick_xml::events::BytesStart::from_content(tag, name_end);
        for attribute in start.attributes() {
            let Ok(attribute) = attribute else {
                return Err(self.malformed("a malformed attribute"));
            };
            let name = format!("@{}", String::from_utf8_lossy(attribute.key.as_ref()));
            if let Ok(value) = attribute.unescape_value() {
                self.place.open();
                self.place.enter_key(name);
                let value = serde_json::Value::from(value.as_ref()).to_string();
                self.captures.take(&self.place, value.as_bytes());
                self.place.close();
            }
        }
        Ok(())
    }

    fn leave(&mut self) {
        if let Some(open) = self.open.pop()
            && let Some(text) = open.text
        {
            let text = String::from_utf8_lossy(&text);
            let plain = quick_xml::escape::unescape(&text).unwrap_or(Cow::Borrowed(&text));
            let value = serde_json::Value::from(plain.trim()).to_string();
            self.captures.take(&self.place, value.as_bytes());
        }
        self.place.close();
    }

    fn keep_text(&mut self, text: Range<usize>, is_escaped: bool) -> Result<()> {
        let text = &self.text[text];
        let Some(open) = self.open.last_mut() else {
            return if text.trim_ascii().is_empty() {
                Ok(())
            } else {
                Err(self.malformed("text outside of the root element"))
            };
        };
        if let Some(known) = &mut open.text
            && known.len() as u64 + text.len() as u64 <= Captures::LIMIT
        {
            // A piece of it may end within a character or an entity: it is made plain when it is whole.
            if is_escaped {
                known.extend_from_slice(text);
            } else {
                let text = String::from_utf8_lossy(text);
                known.extend_from_slice(quick_xml::escape::escape(text).as_bytes());
            }
        }
        Ok(())
    }

    fn check_encoding(&self, declaration: &Range<usize>) -> Result<()> {
        let content = String::from_utf8_lossy(&self.text[declaration.clone()]).into_owned();
        let start = quick_xml::events::BytesStart::from_content(content, "xml".len());
        let declared = quick_xml::events::BytesDecl::from_start(start);
        let Some(Ok(encoding)) = declared.encoding() else {
            return Ok(());
        };
        let encoding = String::from_utf8_lossy(&encoding).to_ascii_uppercase();
        if matches!(encoding.as_str(), "UTF-8" | "UTF8" | "US-ASCII" | "ASCII") {
            return Ok(());
        }
        Err(error::encoding(&self.batch.options.origin, &encoding))
    }

    fn take(&mut self, row: Range<usize>) -> Result<()> {
        self.has_found = true;
        let options = &self.batch.options;
        let json = element::to_json(
            &self.text[row.clone()],
            &options.text.nulls,
            options.max_depth,
        )
        .map_err(|what| {
            let (before, near) = (&self.text[..row.start], &self.text[row.clone()]);
            let offset = self.input.before + row.start as u64;
            let error = error::malformed(&options.origin, FORMAT, offset, &what, near);
            self.input.with_column(error, before)
        })?;
        let start = self.batch.buffer.len();
        self.batch.buffer.extend_from_slice(json.as_bytes());
        let end = self.batch.buffer.len();
        self.batch.buffer.push(b'\n');
        self.batch.take_row(start..end);
        self.batch.settle_early()
    }

    /// Forgets the bytes that are not needed any more.
    fn forget(&mut self) {
        let from = self.row.map_or(self.at, |(start, _)| start);
        self.input.pass(&self.text[..from]);
        self.text.drain(..from);
        self.at -= from;
        if let Some((start, _)) = &mut self.row {
            *start -= from;
        }
    }

    fn emit(&mut self) -> Result<Option<Rows>> {
        let end = self.batch.buffer.len();
        self.batch.emit(end, None)
    }

    fn malformed(&self, what: &str) -> Error {
        let (before, near) = self.text.split_at(self.at.min(self.text.len()));
        let offset = self.input.before + self.at as u64;
        let error = error::malformed(&self.batch.options.origin, FORMAT, offset, what, near);
        self.input.with_column(error, before)
    }

    /// The text is not UTF-8.
    fn not_utf8(&self) -> Error {
        let valid =
            std::str::from_utf8(&self.text).map_or_else(|error| error.valid_up_to(), str::len);
        let offset = self.input.before + valid as u64;
        let error = error::not_utf8(&self.batch.options.origin, offset);
        self.input.with_column(error, &self.text[..valid])
    }

    /// The end has come: everything has to be closed.
    fn check_end(&self) -> Result<()> {
        let origin = &self.batch.options.origin;
        if self.at < self.text.len() || self.row.is_some() || !self.open.is_empty() {
            let offset = self.input.before + self.text.len() as u64;
            let error = error::truncated(origin, FORMAT, offset);
            return Err(self.input.with_column(error, &self.text));
        }
        if !self.has_root && !self.has_found {
            return Err(error::empty(origin, FORMAT));
        }
        Ok(())
    }
}

/// Names of elements; `[*]` says what is so anyway.
fn names(path: &RowPath) -> Result<Vec<String>> {
    let unusable = |text: String| {
        Error::new(
            ErrorKind::Spec,
            format!("`{text}` is no path of element names, which is what rows in XML have"),
        )
    };
    let steps = match path {
        RowPath::Query(query) => return Err(unusable(query.clone())),
        RowPath::Steps(steps) => steps,
    };
    let mut names = Vec::new();
    for step in steps {
        match step {
            RowPathStep::Name(name) => names.push(name.clone()),
            RowPathStep::Each => {}
            RowPathStep::Index(index) => return Err(unusable(format!("[{index}]"))),
        }
    }
    Ok(names)
}

/// Whether an element has this name, with its prefix or without.
fn is_called(element: &str, wanted: &str) -> bool {
    element == wanted
        || element
            .split_once(':')
            .is_some_and(|(_, local)| local == wanted)
}

impl FormatDecoder for XmlPage {
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
            self.advance()?;
            if self.batch.is_full() {
                return self.emit();
            }
            self.forget();
            let limit = self.batch.options.max_document_bytes;
            if self.text.len() as u64 > limit {
                let error = error::too_large(&self.batch.options.origin, "an element", limit);
                return Err(self.input.with_line(error, &[]));
            }
            let origin = Arc::clone(&self.batch.options.origin);
            if !self.input.refill(&mut self.text, &origin, b"")? {
                if !self.input.is_sealed() {
                    return Ok(None);
                }
                if self.input.is_suspect {
                    return Err(self.not_utf8());
                }
                self.check_end()?;
                return self.emit();
            }
            if self.input.is_suspect {
                return Err(self.not_utf8());
            }
        }
    }

    fn finish(mut self: Box<Self>) -> Result<PageSummary> {
        let instead = (!self.has_found).then(|| {
            let wanted = self.names.join("/");
            format!(
                "the document has no element at `{}`",
                shortened(wanted.as_bytes(), 200)
            )
        });
        let (captured, envelope) = self.captures.finish();
        Ok(PageSummary {
            rows_found: self.has_found,
            instead,
            captured,
            envelope,
            ..self.batch.summary()
        })
    }
}

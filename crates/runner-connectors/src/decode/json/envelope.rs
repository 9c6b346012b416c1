//! A JSON document whose rows lie at a path of names, indices and `[*]`: read as it streams, whatever its size.
//!
//! What surrounds the rows is the envelope. Its scalars are kept, since they say where the next page is.

use bytes::Bytes;
use runner_core::{Error, Result};
use runner_plan::model::RowPathStep;

use super::cursor::{Cursor, Stop};
use super::missed::Missed;
use super::rows::JsonRows;
use super::scanner::{Scanner, is_begun};
use crate::decode::FormatDecoder;
use crate::decode::batch::Batch;
use crate::decode::captures::{Captures, Place};
use crate::decode::error;
use crate::decode::input::Input;
use crate::decode::options::DecodeOptions;
use crate::decode::summary::PageSummary;
use crate::rows::Rows;
use crate::schema::StreamSchema;

const FORMAT: &str = "JSON";
/// Bytes of a key or literal of the envelope; values have limits of their own.
const MAX_TOKEN: usize = 1 << 20;

/// Decodes one document.
#[derive(Debug)]
pub(crate) struct JsonPage {
    batch: Batch<JsonRows>,
    input: Input,
    /// Where the rows are.
    steps: Vec<RowPathStep>,
    /// Containers around the place that is being read.
    frames: Vec<Frame>,
    /// Keys and indices down to that place.
    place: Place,
    expects: Expects,
    /// The next byte of the buffer.
    at: usize,
    passing: Option<Passing>,
    captures: Captures,
    /// Something was at the path, be it an empty list.
    has_found: bool,
    /// The document itself is the row.
    is_document: bool,
    missed: Missed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    Value,
    /// A key, or the end of an object that has none.
    FirstKey,
    Key,
    /// An item, or the end of a list that has none.
    FirstItem,
    /// A comma, or the end of the container.
    Next,
    /// Nothing but blanks.
    End,
}

#[derive(Debug)]
struct Frame {
    is_object: bool,
    /// Steps of the path that lead here; none off the path.
    matched: Option<usize>,
    /// Every item is a row.
    holds_rows: bool,
    /// Index of the item that is being read.
    index: u64,
    /// Keys of an object on the path, for the message that says what is there.
    keys: Vec<String>,
}

/// A value whose end has not come yet, or is not wanted before.
#[derive(Debug)]
struct Passing {
    scanner: Scanner,
    start: usize,
    purpose: Purpose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Row,
    Capture,
    Skip,
}

enum Step {
    Done,
    NeedsBytes,
    Full,
}

impl JsonPage {
    pub(crate) fn new(
        steps: &[RowPathStep],
        schema: StreamSchema,
        options: DecodeOptions,
    ) -> Result<Self> {
        let captures = Captures::new(&options.captures);
        let reader = JsonRows::new(options.max_depth);
        Ok(Self {
            input: Input::new(&options),
            batch: Batch::new(reader, schema, options)?,
            steps: steps.to_vec(),
            frames: Vec::new(),
            place: Place::default(),
            expects: Expects::Value,
            at: 0,
            passing: None,
            captures,
            has_found: false,
            is_document: false,
            missed: Missed::default(),
        })
    }

    /// Reads on until the batch is full, bytes are missing or the document has ended.
    fn advance(&mut self) -> Result<Step> {
        loop {
            if self.batch.is_full() {
                return Ok(Step::Full);
            }
            let advanced = match &self.passing {
                Some(_) => self.pass(),
                None => self.token(),
            };
            match advanced {
                Ok(()) => {}
                Err(Fault::Stop(Stop::Incomplete)) if self.is_done() => return Ok(Step::Done),
                Err(Fault::Stop(Stop::Incomplete)) => return Ok(Step::NeedsBytes),
                Err(Fault::Stop(Stop::Syntax { at, what })) => return Err(self.malformed(at, what)),
                // Only rows have columns.
                Err(Fault::Stop(Stop::Misfit)) => {
                    return Err(self.malformed(self.at, "a value that JSON does not have"));
                }
                Err(Fault::Error(error)) => return Err(error),
            }
        }
    }

    /// Whether nothing but the end is to come, and it has.
    fn is_done(&self) -> bool {
        self.expects == Expects::End && self.input.is_sealed()
    }

    fn token(&mut self) -> Result<(), Fault> {
        let mut cursor = Cursor::new(&self.batch.buffer, self.at, self.batch.options.max_depth);
        let peeked = cursor.peek();
        // Blanks are passed even where nothing follows them yet: they are no part of what comes.
        self.at = cursor.at;
        let byte = peeked?;
        match self.expects {
            Expects::Value => self.value(byte),
            Expects::FirstItem if byte == b']' => self.close(byte),
            Expects::FirstItem => self.value(byte),
            Expects::FirstKey if byte == b'}' => self.close(byte),
            Expects::FirstKey | Expects::Key => self.key(),
            Expects::Next if byte == b',' => {
                self.at += 1;
                self.next_item();
                Ok(())
            }
            Expects::Next => self.close(byte),
            Expects::End => Err(Fault::Error(self.trailing(byte))),
        }
    }

    fn next_item(&mut self) {
        match self.frames.last_mut() {
            Some(frame) if frame.is_object => self.expects = Expects::Key,
            Some(frame) => {
                frame.index += 1;
                self.place.enter_index(frame.index);
                self.expects = Expects::Value;
            }
            None => self.expects = Expects::End,
        }
    }

    fn key(&mut self) -> Result<(), Fault> {
        let mut cursor = Cursor::new(&self.batch.buffer, self.at, self.batch.options.max_depth);
        if cursor.peek()? != b'"' {
            return Err(cursor.syntax("a key was expected").into());
        }
        let text = cursor.string()?;
        let mut name = Vec::with_capacity(text.raw.len());
        if text.write(&mut name).is_err() {
            return Err(cursor.syntax("a key with half a surrogate pair").into());
        }
        cursor.expect(b':', "`:` was expected after a key")?;
        self.at = cursor.at;
        let name = String::from_utf8_lossy(&name).into_owned();
        if let Some(frame) = self.frames.last_mut()
            && frame.matched.is_some()
            && frame.keys.len() < 32
        {
            frame.keys.push(name.clone());
        }
        self.place.enter_key(name);
        self.expects = Expects::Value;
        Ok(())
    }

    /// Reads the value that begins here: a row, a container to go into, a scalar to keep, or something to pass over.
    fn value(&mut self, first: u8) -> Result<(), Fault> {
        if self.frames.is_empty() && first == b'<' {
            let near = &self.batch.buffer[self.at..];
            return Err(Fault::Error(error::markup(
                &self.batch.options.origin,
                near,
            )));
        }
        if self.frames.last().is_some_and(|frame| frame.holds_rows) {
            return self.row();
        }
        let matched = self.matched();
        if matched == Some(self.steps.len()) {
            return self.rows(first);
        }
        let is_container = matches!(first, b'{' | b'[');
        if is_container
            && (matched.is_some() || self.captures.wants_below(&self.place, first == b'{'))
        {
            if !self.captures.wants(&self.place) {
                self.open(first == b'{', matched, false);
                return Ok(());
            }
        } else if let Some(depth) = matched {
            self.missed.value(&self.steps[..depth], first);
        }
        let purpose = if self.captures.wants(&self.place)
            || (!is_container && self.captures.keeps(&self.place))
        {
            Purpose::Capture
        } else {
            Purpose::Skip
        };
        self.begin_passing(purpose);
        Ok(())
    }

    /// The value at the path.
    fn rows(&mut self, first: u8) -> Result<(), Fault> {
        self.has_found = true;
        match first {
            b'[' if self.steps.last() != Some(&RowPathStep::Each) => {
                self.open(false, None, true);
                Ok(())
            }
            // No list at all is how many APIs write an empty one. A document that is the row is looked into when it is there.
            _ if first == b'n' || self.frames.is_empty() => {
                let is_null = first == b'n';
                self.is_document = !is_null;
                self.begin_passing(if is_null { Purpose::Skip } else { Purpose::Row });
                Ok(())
            }
            _ => self.row(),
        }
    }

    /// Takes the row that begins here.
    fn row(&mut self) -> Result<(), Fault> {
        if self.input.is_suspect {
            self.begin_passing(Purpose::Row);
            return Ok(());
        }
        let (at, max_depth) = (self.at, self.batch.options.max_depth);
        let taken = self.batch.take(at, |bytes| {
            let mut cursor = Cursor::new(bytes, at, max_depth);
            cursor.skip().map(|_| cursor.at)
        });
        match taken {
            Ok(end) => {
                self.at = end;
                self.leave();
                self.batch.settle_early().map_err(Fault::Error)
            }
            // Bytes that are no text yet may be none at all: such a row is set aside when it is whole.
            Err(stop @ Stop::Syntax { .. }) if !self.input.is_undecided(&self.batch.buffer) => {
                Err(stop.into())
            }
            Err(_) => {
                self.begin_passing(Purpose::Row);
                Ok(())
            }
        }
    }

    fn begin_passing(&mut self, purpose: Purpose) {
        self.passing = Some(Passing {
            scanner: Scanner::new(self.at, self.batch.options.max_depth),
            start: self.at,
            purpose,
        });
    }

    fn pass(&mut self) -> Result<(), Fault> {
        let Some(passing) = &mut self.passing else {
            return Ok(());
        };
        let Some(end) = passing.scanner.scan(&self.batch.buffer)? else {
            let length = (self.batch.buffer.len() - passing.start) as u64;
            let limit = self.batch.options.max_document_bytes;
            if passing.purpose == Purpose::Row && length > limit {
                let error = error::too_large(&self.batch.options.origin, "a row", limit);
                let before = &self.batch.buffer[..passing.start];
                return Err(Fault::Error(self.input.with_column(error, before)));
            }
            if passing.purpose == Purpose::Capture && length > Captures::LIMIT {
                passing.purpose = Purpose::Skip;
            }
            return Err(Stop::Incomplete.into());
        };
        let (start, purpose) = (passing.start, passing.purpose);
        self.passing = None;
        match purpose {
            Purpose::Row => {
                self.whole_row(start, end)?;
                if self.frames.is_empty() {
                    // One byte more: it ends what has no end of its own, a number.
                    let more = self.batch.buffer.len().min(end + 1);
                    let text = &self.batch.buffer[start..more];
                    self.captures.take_all(text, self.batch.options.max_depth)?;
                }
            }
            Purpose::Capture => {
                let text = &self.batch.buffer[start..end];
                let mut cursor =
                    Cursor::new(&self.batch.buffer, start, self.batch.options.max_depth);
                cursor.skip()?;
                self.captures.take(&self.place, text);
            }
            Purpose::Skip => {}
        }
        self.at = end;
        self.leave();
        self.batch.settle_early().map_err(Fault::Error)
    }

    /// Takes a row all of whose bytes are here.
    fn whole_row(&mut self, start: usize, end: usize) -> Result<(), Stop> {
        if self.input.is_suspect && std::str::from_utf8(&self.batch.buffer[start..end]).is_err() {
            self.batch.take_unreadable(start..end);
            return Ok(());
        }
        let max_depth = self.batch.options.max_depth;
        let taken = self.batch.take(start, |bytes| {
            let mut cursor = Cursor::new(bytes, start, max_depth);
            cursor.skip().map(|_| cursor.at)
        })?;
        if taken != end {
            return Err(Stop::Syntax {
                at: taken,
                what: "brackets that don't match",
            });
        }
        Ok(())
    }

    fn open(&mut self, is_object: bool, matched: Option<usize>, holds_rows: bool) {
        self.frames.push(Frame {
            is_object,
            matched,
            holds_rows,
            index: 0,
            keys: Vec::new(),
        });
        self.at += 1;
        if is_object {
            self.place.open();
            self.expects = Expects::FirstKey;
        } else {
            self.place.open();
            self.place.enter_index(0);
            self.expects = Expects::FirstItem;
        }
    }

    fn close(&mut self, byte: u8) -> Result<(), Fault> {
        let wanted = match self.frames.last() {
            Some(frame) if frame.is_object => b'}',
            _ => b']',
        };
        if byte != wanted {
            let stop = Stop::Syntax {
                at: self.at,
                what: "`,` or the end of the list or object was expected",
            };
            return Err(stop.into());
        }
        if let Some(frame) = self.frames.pop() {
            self.closed(&frame);
        }
        self.at += 1;
        self.place.close();
        self.leave();
        Ok(())
    }

    /// Notes what a container on the path had, for the case that the path leads nowhere.
    fn closed(&mut self, frame: &Frame) {
        let Some(depth) = frame.matched else {
            return;
        };
        let is_empty_list = self.expects == Expects::FirstItem;
        if is_empty_list && self.steps.get(depth) == Some(&RowPathStep::Each) {
            self.has_found = true;
        }
        if self.has_found {
            return;
        }
        let path = &self.steps[..depth];
        if frame.is_object {
            self.missed.object(path, &frame.keys);
        } else {
            let items = if is_empty_list { 0 } else { frame.index + 1 };
            self.missed.list(path, items);
        }
    }

    /// A value has been read to its end.
    fn leave(&mut self) {
        self.expects = if self.frames.is_empty() {
            Expects::End
        } else {
            Expects::Next
        };
    }

    /// Steps of the path that lead to the value that begins here.
    fn matched(&self) -> Option<usize> {
        let Some(frame) = self.frames.last() else {
            return Some(0);
        };
        let depth = frame.matched?;
        let is_next = match self.steps.get(depth)? {
            RowPathStep::Name(name) => frame.is_object && self.place.key() == Some(name.as_str()),
            RowPathStep::Index(index) => !frame.is_object && *index == frame.index,
            RowPathStep::Each => true,
        };
        is_next.then_some(depth + 1)
    }

    /// The first byte of the buffer that is still needed.
    fn needed_from(&self) -> usize {
        match &self.passing {
            Some(passing) if passing.purpose == Purpose::Skip => {
                passing.scanner.at.min(self.batch.buffer.len())
            }
            Some(passing) => passing.start,
            None => self.at,
        }
    }

    fn emit(&mut self) -> Result<Option<Rows>> {
        let from = self.needed_from();
        let lines = self.input.lines();
        self.input.pass(&self.batch.buffer[..from]);
        let rows = self.batch.emit(from, lines)?;
        self.at = self.at.saturating_sub(from);
        if let Some(passing) = &mut self.passing {
            passing.start = passing.start.saturating_sub(from);
            passing.scanner.at -= from;
        }
        Ok(rows)
    }

    fn malformed(&self, at: usize, what: &str) -> Error {
        let offset = self.input.before + at as u64;
        let origin = &self.batch.options.origin;
        let near = self.batch.buffer.get(at..).unwrap_or_default();
        let is_last = at + 1 >= self.batch.buffer.len();
        let error =
            if self.input.is_sealed() && (is_last || (!self.frames.is_empty() && is_begun(near))) {
                error::truncated(origin, FORMAT, offset)
            } else {
                error::malformed(origin, FORMAT, offset, what, near)
            };
        self.located(error, at)
    }

    /// An error with its line and column, by its place in the buffer.
    fn located(&self, error: Error, at: usize) -> Error {
        let before = self.batch.buffer.get(..at).unwrap_or(&self.batch.buffer);
        self.input.with_column(error, before)
    }

    fn trailing(&self, byte: u8) -> Error {
        let error = self.malformed(self.at, "something follows the end of the document");
        if matches!(byte, b'{' | b'[') {
            error.with_help(
                "documents one after another are JSON lines: say so with `config.format: jsonl`",
            )
        } else {
            error
        }
    }
}

enum Fault {
    Stop(Stop),
    Error(Error),
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl FormatDecoder for JsonPage {
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
            match self.advance()? {
                Step::Full => return self.emit(),
                Step::Done => return self.emit(),
                Step::NeedsBytes => {}
            }
            let unread = self.batch.buffer.len() - self.batch.end();
            if !self.batch.is_empty() && unread > self.batch.options.batch_bytes {
                return self.emit();
            }
            if self.batch.is_empty() {
                self.emit()?;
            }
            if self.passing.is_none() && self.batch.buffer.len() - self.at > MAX_TOKEN {
                return Err(self.malformed(self.at, "a key that is too long"));
            }
            let origin = std::sync::Arc::clone(&self.batch.options.origin);
            if self.input.refill(&mut self.batch.buffer, &origin, b"\n")? {
                continue;
            }
            if !self.input.is_sealed() {
                return Ok(None);
            }
            let at = self.batch.buffer.len().saturating_sub(1);
            let end = self.input.before + at as u64;
            let is_empty = self.frames.is_empty() && self.passing.is_none();
            return Err(if is_empty && self.expects == Expects::Value {
                error::empty(&origin, "JSON")
            } else {
                self.located(error::truncated(&origin, FORMAT, end), at)
            });
        }
    }

    fn finish(mut self: Box<Self>) -> Result<PageSummary> {
        let (captured, envelope) = self.captures.finish();
        Ok(PageSummary {
            rows_found: self.has_found,
            is_document: self.is_document,
            instead: self.missed.into_text().filter(|_| !self.has_found),
            captured,
            envelope,
            ..self.batch.summary()
        })
    }
}

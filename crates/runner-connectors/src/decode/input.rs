//! Bytes on their way into a batch's buffer: pushed in pieces of any size, taken in pieces of a bounded one.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use runner_core::{Error, Result};

use super::error;
use super::options::DecodeOptions;
use super::text::{Encoding, encoding};
use crate::lines::LineCounter;

/// Bytes that are taken at once: small enough that what is left behind a batch is copied cheaply.
const PIECE: usize = 256 << 10;

/// Pushed bytes that a batch has not taken yet.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about the bytes, and none excludes another"
)]
#[derive(Debug, Default)]
pub(crate) struct Input {
    pieces: VecDeque<Bytes>,
    has_ended: bool,
    has_begun: bool,
    /// Bytes of the page that came before the buffer's first.
    pub(crate) before: u64,
    /// Lines of the page at the buffer's first byte, where it is one of a file.
    lines: Option<LineCounter>,
    /// Bytes at the buffer's beginning that are known to be UTF-8.
    valid: usize,
    /// Something in the page is not UTF-8: rows are checked one by one from then on.
    pub(crate) is_suspect: bool,
    is_sealed: bool,
}

impl Input {
    /// Bytes that stand where the options say.
    pub(crate) fn new(options: &DecodeOptions) -> Self {
        Self {
            before: options.offset,
            has_begun: options.offset > 0,
            lines: options.lines.clone().map(LineCounter::new),
            ..Self::default()
        }
    }

    pub(crate) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.pieces.push_back(bytes);
        }
    }

    pub(crate) fn end(&mut self) {
        self.has_ended = true;
    }

    /// The end has been reached, and a mark stands behind the last byte.
    pub(crate) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// Appends the next bytes to the buffer; the last are followed by `mark`, which ends what has no end of its own.
    /// False where there are none yet, or none any more.
    pub(crate) fn refill(
        &mut self,
        buffer: &mut Vec<u8>,
        origin: &str,
        mark: &[u8],
    ) -> Result<bool> {
        if !self.has_begun && !self.begin(origin)? {
            return Ok(false);
        }
        let mut room = PIECE;
        while room > 0 {
            let Some(piece) = self.pieces.front_mut() else {
                break;
            };
            let taken = piece.len().min(room);
            buffer.extend_from_slice(&piece[..taken]);
            room -= taken;
            piece.advance(taken);
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        let mut has_more = room < PIECE;
        if !has_more && self.has_ended && !self.is_sealed {
            self.is_sealed = true;
            buffer.extend_from_slice(mark);
            has_more = true;
        }
        self.check(buffer);
        Ok(has_more)
    }

    /// The buffer ends within what may be a character, or no UTF-8.
    pub(crate) fn is_undecided(&self, buffer: &[u8]) -> bool {
        !self.is_suspect && self.valid < buffer.len()
    }

    /// The first bytes of the buffer, which are these, are no longer needed.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        self.before += bytes.len() as u64;
        self.valid = self.valid.saturating_sub(bytes.len());
        if let Some(lines) = &mut self.lines {
            lines.pass(bytes);
        }
    }

    /// The lines at the buffer's first byte, where rows are to tell theirs.
    pub(crate) fn lines(&self) -> Option<LineCounter> {
        self.lines.clone().filter(LineCounter::tells_rows)
    }

    /// An error with the line of its place, which is behind these bytes of the buffer.
    pub(crate) fn with_line(&self, error: Error, before: &[u8]) -> Error {
        match self.lines.as_ref().and_then(|lines| lines.place(before)) {
            Some(place) => error.with_context("line", place.line),
            None => error,
        }
    }

    /// The same with the column, for documents that may be one line as a whole.
    pub(crate) fn with_column(&self, error: Error, before: &[u8]) -> Error {
        let Some(place) = self.lines.as_ref().and_then(|lines| lines.place(before)) else {
            return error;
        };
        let error = error.with_context("line", place.line);
        match place.column {
            Some(column) => error.with_context("column", column),
            None => error,
        }
    }

    /// Passes over a byte order mark, and refuses other encodings. Waits for the bytes that tell.
    fn begin(&mut self, origin: &str) -> Result<bool> {
        let there: usize = self.pieces.iter().map(Bytes::len).sum();
        if there < 4 && !self.has_ended {
            return Ok(false);
        }
        self.has_begun = true;
        let first: Vec<u8> = self.pieces.iter().flatten().take(4).copied().collect();
        match encoding(&first) {
            Encoding::Utf8(mark) => {
                self.before += mark as u64;
                let mut left = mark;
                while left > 0 {
                    let Some(piece) = self.pieces.front_mut() else {
                        break;
                    };
                    let taken = left.min(piece.len());
                    piece.advance(taken);
                    left -= taken;
                    if piece.is_empty() {
                        self.pieces.pop_front();
                    }
                }
                Ok(true)
            }
            Encoding::Other(name) => Err(error::encoding(origin, name)),
        }
    }

    fn check(&mut self, buffer: &[u8]) {
        if self.is_suspect {
            return;
        }
        match std::str::from_utf8(&buffer[self.valid..]) {
            Ok(_) => self.valid = buffer.len(),
            // A character may be cut in two; at the end it is cut for good.
            Err(error) if error.error_len().is_none() && !self.is_sealed => {
                self.valid += error.valid_up_to();
            }
            Err(_) => self.is_suspect = true,
        }
    }
}

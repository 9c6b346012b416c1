//! The text of a document or an overlay, and the places in it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Severity};
use crate::{Code, FieldPath};

/// The longest document or overlay that is read, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// The longest excerpt of a line that a diagnostic carries, in characters.
const MAX_EXCERPT_CHARACTERS: usize = 240;

/// One text with the name that its diagnostics give it (usually its path).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    pub text: String,
}

impl Source {
    /// Takes bytes as they were read: refuses what is too large, binary or not UTF-8, and drops a byte order mark.
    pub fn from_bytes(name: impl Into<String>, bytes: &[u8]) -> Result<Self, Box<Diagnostic>> {
        let name = name.into();
        let refuse = |code, message: String, help: &str| {
            let mut diagnostic = Diagnostic::error(code, FieldPath::root(), message).help(help);
            diagnostic.location = Some(Location::whole_file(&name));
            Err(Box::new(diagnostic))
        };
        if bytes.len() > MAX_DOCUMENT_BYTES {
            let message = format!(
                "the document has {} bytes, more than the {MAX_DOCUMENT_BYTES} that are read",
                bytes.len()
            );
            return refuse(
                Code::DocumentTooLarge,
                message,
                "split the feed into several documents, or move lists of values to the source",
            );
        }
        if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
            return refuse(
                Code::NotUtf8,
                "the document is UTF-16, and only UTF-8 is read".to_owned(),
                "save it as UTF-8",
            );
        }
        if bytes.contains(&0) {
            return refuse(
                Code::BinaryDocument,
                "the document is binary: it contains a zero byte".to_owned(),
                "name a YAML or JSON file",
            );
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(name, text)),
            Err(error) => {
                let lines = bytes[..error.valid_up_to()]
                    .split(|byte| *byte == b'\n')
                    .count();
                let message = format!(
                    "line {lines} is not UTF-8 (byte {} of the document)",
                    error.valid_up_to()
                );
                refuse(Code::NotUtf8, message, "save it as UTF-8")
            }
        }
    }

    /// Takes a text; a byte order mark is dropped.
    pub fn new(name: impl Into<String>, text: &str) -> Self {
        Self {
            name: name.into(),
            text: text.strip_prefix('\u{feff}').unwrap_or(text).to_owned(),
        }
    }

    /// The location of a range of bytes, which is clipped to the text.
    pub fn location(&self, range: Range<usize>) -> Location {
        Lines::of(&self.text).location(self, range)
    }
}

/// Where the lines of a text begin, so that a place is found without reading the text again.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub(crate) fn of(text: &str) -> Self {
        let starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self { starts }
    }

    pub(crate) fn location(&self, source: &Source, range: Range<usize>) -> Location {
        let text = &source.text;
        let start = floor_boundary(text, range.start);
        let end = floor_boundary(text, range.end.max(start));
        let (line, column) = self.line_and_column(text, start);
        let (end_line, end_column) = self.line_and_column(text, end);
        let excerpt = text[line_start(text, start)..]
            .lines()
            .next()
            .unwrap_or_default();
        Location {
            file: source.name.clone(),
            line,
            column,
            end_line,
            end_column,
            bytes: start..end,
            excerpt: excerpt.chars().take(MAX_EXCERPT_CHARACTERS).collect(),
        }
    }

    /// Line and column of a byte offset, which must be a character boundary.
    fn line_and_column(&self, text: &str, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self
            .starts
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or_default();
        (line, text[start..offset].chars().count() + 1)
    }
}

/// A place in a source. Lines and columns count from 1, columns in characters; the end is exclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
    /// The same place in bytes of the text.
    pub bytes: Range<usize>,
    /// The first line of the place, cut where it is very long.
    pub excerpt: String,
}

impl Location {
    /// For what is wrong with a file as a whole.
    pub(crate) fn whole_file(name: &str) -> Self {
        Self {
            file: name.to_owned(),
            line: 1,
            column: 1,
            end_line: 1,
            end_column: 1,
            bytes: 0..0,
            excerpt: String::new(),
        }
    }
}

/// Where the line of a byte offset starts.
pub(crate) fn line_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind('\n').map_or(0, |newline| newline + 1)
}

/// The nearest character boundary at or before an offset, within the text.
pub(crate) fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// Whether one diagnostic at least is an error.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error)
}

//! What is wrong with a document, or could be better: one shape for every phase that looks at it.
//!
//! A phase makes diagnostics by field path; [`crate::SourceMap::place`] then finds their places in the text.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::source::Location;
use crate::{Code, FieldPath};

/// The most findings that one document gets.
pub(crate) const MAX_FINDINGS: usize = 1000;

/// How much a diagnostic weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document can't be used as it stands.
    Error,
    /// It can, but probably doesn't do what its author wants.
    Warning,
    /// Something a reader may want to know.
    Hint,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Hint => "hint",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Which part of a field a diagnostic is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The value; of an object or a list, the key that holds it.
    #[default]
    Value,
    /// The key.
    Key,
    /// Bytes of the scalar's value, whatever quoting, escapes or indentation it is written with.
    Within(Range<usize>),
    /// Nothing in the document: something that its reader was given beside it.
    Beside,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Wire", from = "Wire")]
pub struct Diagnostic {
    pub code: Code,
    pub severity: Severity,
    /// The field it is about; for a missing field the path that it would have.
    pub path: FieldPath,
    pub place: Place,
    pub location: Option<Location>,
    /// What is wrong: lowercase, no full stop, values in backticks.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    pub notes: Vec<String>,
}

impl Diagnostic {
    pub fn new(
        severity: Severity,
        code: Code,
        path: FieldPath,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity,
            path,
            place: Place::Value,
            location: None,
            message: message.into(),
            help: None,
            notes: Vec::new(),
        }
    }

    pub fn error(code: Code, path: FieldPath, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, path, message)
    }

    pub fn warning(code: Code, path: FieldPath, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, path, message)
    }

    pub fn hint(code: Code, path: FieldPath, message: impl Into<String>) -> Self {
        Self::new(Severity::Hint, code, path, message)
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Points at the key instead of the value.
    #[must_use]
    pub fn at_key(mut self) -> Self {
        self.place = Place::Key;
        self
    }

    /// Points at bytes of the scalar's value, say at a column name in a query.
    #[must_use]
    pub fn within(mut self, bytes: Range<usize>) -> Self {
        self.place = Place::Within(bytes);
        self
    }

    /// Points nowhere: the caller gave it, and not the document.
    #[must_use]
    pub fn beside(mut self) -> Self {
        self.place = Place::Beside;
        self
    }

    #[must_use]
    pub fn located(mut self, location: Option<Location>) -> Self {
        self.location = location;
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// One line, for logs: `error[UIS0201] feed.yaml:3:7: … (provider.parallelism)`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}[{}] ", self.severity, self.code)?;
        if let Some(location) = &self.location {
            write!(
                formatter,
                "{}:{}:{}: ",
                location.file, location.line, location.column
            )?;
        }
        formatter.write_str(&self.message)?;
        if !self.path.is_root() {
            write!(formatter, " (`{}`)", self.path)?;
        }
        Ok(())
    }
}

/// The stable JSON form: flat, so that editors and scripts need no knowledge of ours.
#[derive(Serialize, Deserialize)]
struct Wire {
    code: Code,
    severity: Severity,
    message: String,
    path: FieldPath,
    file: Option<String>,
    line: Option<usize>,
    column: Option<usize>,
    end: Option<End>,
    help: Option<String>,
    #[serde(default)]
    notes: Vec<String>,
    excerpt: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct End {
    line: usize,
    column: usize,
}

impl From<Diagnostic> for Wire {
    fn from(diagnostic: Diagnostic) -> Self {
        let location = diagnostic.location;
        Self {
            code: diagnostic.code,
            severity: diagnostic.severity,
            message: diagnostic.message,
            path: diagnostic.path,
            line: location.as_ref().map(|location| location.line),
            column: location.as_ref().map(|location| location.column),
            end: location.as_ref().map(|location| End {
                line: location.end_line,
                column: location.end_column,
            }),
            help: diagnostic.help,
            notes: diagnostic.notes,
            excerpt: location.as_ref().map(|location| location.excerpt.clone()),
            file: location.map(|location| location.file),
        }
    }
}

impl From<Wire> for Diagnostic {
    fn from(wire: Wire) -> Self {
        let location = match (wire.file, wire.line, wire.column) {
            (Some(file), Some(line), Some(column)) => {
                let end = wire.end.unwrap_or(End { line, column });
                Some(Location {
                    file,
                    line,
                    column,
                    end_line: end.line,
                    end_column: end.column,
                    bytes: 0..0,
                    excerpt: wire.excerpt.unwrap_or_default(),
                })
            }
            _ => None,
        };
        Self {
            code: wire.code,
            severity: wire.severity,
            path: wire.path,
            place: Place::Value,
            location,
            message: wire.message,
            help: wire.help,
            notes: wire.notes,
        }
    }
}

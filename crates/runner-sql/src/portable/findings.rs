//! What is wrong with a query, each thing at its place in the query's text.

use std::ops::Range;

use datafusion_common::Spans;
use runner_spec::{Code, Diagnostic, FieldPath, Place, Severity};
use sqlparser::tokenizer::Span;

/// Collects the diagnostics of one query.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    sql: &'a str,
    path: FieldPath,
    found: Vec<Diagnostic>,
}

impl<'a> Findings<'a> {
    /// `path` leads to the query's text in the document.
    pub(crate) fn new(sql: &'a str, path: FieldPath) -> Self {
        Self {
            sql,
            path,
            found: Vec::new(),
        }
    }

    /// Where the parser says that something stands; nothing where it doesn't say.
    pub(crate) fn place(&self, span: Span) -> Option<Range<usize>> {
        let start = offset(self.sql, span.start.line, span.start.column)?;
        let end = offset(self.sql, span.end.line, span.end.column)?;
        (start < end).then_some(start..end)
    }

    /// The text from the first to the last of these places.
    pub(crate) fn place_of_spans(&self, spans: &[Spans]) -> Option<Range<usize>> {
        let places = spans.iter().flat_map(Spans::iter);
        places
            .filter_map(|span| {
                let start = offset(self.sql, span.start.line, span.start.column)?;
                let end = offset(self.sql, span.end.line, span.end.column)?;
                Some(start..end)
            })
            .reduce(|left, right| left.start.min(right.start)..left.end.max(right.end))
    }

    /// A place by line and column, up to the end of the word that stands there.
    pub(crate) fn place_of_word(&self, line: u64, column: u64) -> Option<Range<usize>> {
        let start = offset(self.sql, line, column)?;
        let word = self.sql[start..]
            .find(|character: char| !(character.is_alphanumeric() || character == '_'))
            .unwrap_or(self.sql.len() - start);
        let first = self.sql[start..].chars().next().map_or(0, char::len_utf8);
        Some(start..start + word.max(first))
    }

    pub(crate) fn error(
        &mut self,
        code: Code,
        place: Option<Range<usize>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Severity::Error, code, place, message.into(), help.into());
    }

    pub(crate) fn warning(
        &mut self,
        code: Code,
        place: Option<Range<usize>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Severity::Warning, code, place, message.into(), help.into());
    }

    pub(crate) fn hint(
        &mut self,
        code: Code,
        place: Option<Range<usize>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Severity::Hint, code, place, message.into(), help.into());
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(Diagnostic::is_error)
    }

    pub(crate) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.found
    }

    fn push(
        &mut self,
        severity: Severity,
        code: Code,
        place: Option<Range<usize>>,
        message: String,
        help: String,
    ) {
        let mut diagnostic = Diagnostic::new(severity, code, self.path.clone(), message).help(help);
        if let Some(range) = place {
            diagnostic.place = Place::Within(range);
        }
        // A common table expression that is used twice is analysed twice.
        if !self.found.contains(&diagnostic) {
            self.found.push(diagnostic);
        }
    }
}

/// Lines and columns count from 1, columns in characters; 0 stands for "nowhere".
fn offset(text: &str, line: u64, column: u64) -> Option<usize> {
    let line = usize::try_from(line.checked_sub(1)?).ok()?;
    let column = usize::try_from(column.checked_sub(1)?).ok()?;
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(start..)?;
    let within = rest
        .char_indices()
        .nth(column)
        .map_or(rest.len(), |(index, _)| index);
    Some(start + within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters() {
        let text = "SELECT 'é',\n  prise";
        assert_eq!(offset(text, 1, 1), Some(0));
        assert_eq!(offset(text, 1, 11), Some("SELECT 'é'".len()));
        assert_eq!(&text[offset(text, 2, 3).unwrap()..], "prise");
        assert_eq!(offset(text, 0, 0), None);
        assert_eq!(offset(text, 9, 9), Some(text.len()));
    }
}

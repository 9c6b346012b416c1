//! Which bytes of the source a part of a scalar's value was written with.
//!
//! Quotes, escapes, indentation and folded lines make a value shorter than its text, so the two are walked side by side.

use std::ops::Range;

use crate::source::{floor_boundary, line_start};
use crate::tree::{Node, Style, Text, Value};

/// The bytes in the source of the bytes `part` of the value, or nothing where value and text can't be brought together.
pub(crate) fn source_range(text: &str, node: &Node, part: Range<usize>) -> Option<Range<usize>> {
    let Value::Text(Text { value, style }) = &node.value else {
        return None;
    };
    let span = node.span.range();
    let (origin, indentation) = match style {
        Style::Literal | Style::Folded => block_start(text, span.start),
        Style::Plain | Style::Single | Style::Double => (span.start, 0),
    };
    let start = part.start.min(value.len());
    let end = part.end.clamp(start, value.len());
    let mut walk = Walk::new(text.get(origin..span.end)?, value, *style, indentation);
    let first = walk.advance_to(start)?;
    let last = if end > start {
        walk.advance_to_end_of(end)?
    } else {
        first
    };
    Some(origin + first..origin + last.max(first))
}

/// A pair of positions: `read` bytes of the value were written with the first `at` bytes of the text.
struct Walk<'text> {
    written: &'text str,
    value: &'text str,
    style: Style,
    indentation: usize,
    at: usize,
    read: usize,
    /// Where the character before `read` ended, so that a range ends before the indentation of the next line.
    previous_end: usize,
}

impl<'text> Walk<'text> {
    fn new(written: &'text str, value: &'text str, style: Style, indentation: usize) -> Self {
        let quote =
            matches!(style, Style::Single | Style::Double) && written.starts_with(['\'', '"']);
        let at = usize::from(quote);
        let mut walk = Self {
            written,
            value,
            style,
            indentation,
            at,
            read: 0,
            previous_end: at,
        };
        if indentation > 0 {
            walk.skip_indentation();
        }
        walk
    }

    /// The position in the text of byte `target` of the value.
    fn advance_to(&mut self, target: usize) -> Option<usize> {
        while self.read < target {
            self.step()?;
        }
        self.skip_escaped_breaks();
        Some(self.at)
    }

    /// The end in the text of the character that ends at byte `target` of the value.
    fn advance_to_end_of(&mut self, target: usize) -> Option<usize> {
        self.advance_to(target)?;
        Some(self.previous_end)
    }

    /// Takes one character of the value and what it was written with.
    fn step(&mut self) -> Option<()> {
        let character = self.value[self.read..].chars().next()?;
        self.skip_escaped_breaks();
        match self.style {
            Style::Literal => self.literal_step(character)?,
            Style::Double if self.rest().starts_with('\\') => self.escape_step(character)?,
            Style::Single if character == '\'' => {
                self.take(if self.rest().starts_with("''") { 2 } else { 1 });
            }
            Style::Plain | Style::Single | Style::Double | Style::Folded => {
                self.flow_step(character)?;
            }
        }
        self.read += character.len_utf8();
        Some(())
    }

    fn literal_step(&mut self, character: char) -> Option<()> {
        if character == '\n' {
            self.take_line_break()?;
            self.skip_indentation();
            return Some(());
        }
        self.take_same(character)
    }

    /// A line break of the text is a space of the value, and every further one a line break.
    fn flow_step(&mut self, character: char) -> Option<()> {
        let blank = self.rest().len() - self.rest().trim_start_matches([' ', '\t']).len();
        let at_break = self.rest()[blank..].starts_with(['\n', '\r']);
        if !(at_break && matches!(character, ' ' | '\n')) {
            return self.take_same(character);
        }
        self.at += blank;
        let breaks = self.count_breaks();
        let value_breaks = self.value[self.read..]
            .chars()
            .take_while(|next| *next == '\n')
            .count();
        self.take_line_break()?;
        // The first of several breaks is swallowed, unless the value has one for each (as beside more indented lines).
        if character == '\n' && breaks > value_breaks {
            self.take_line_break();
        }
        let more = self.value[self.read + character.len_utf8()..].starts_with('\n');
        if !more {
            self.skip_line_starts();
        }
        Some(())
    }

    fn escape_step(&mut self, character: char) -> Option<()> {
        let rest = self.rest();
        let length = match rest.as_bytes().get(1)? {
            b'x' => 4,
            b'u' if character.len_utf8() == 4 => 12,
            b'u' => 6,
            b'U' => 10,
            _ => 1 + rest[1..].chars().next()?.len_utf8(),
        };
        if rest.len() < length {
            return None;
        }
        self.take(length);
        Some(())
    }

    /// In double quotes an escaped line break joins two lines and stands for nothing.
    fn skip_escaped_breaks(&mut self) {
        while self.style == Style::Double
            && (self.rest().starts_with("\\\n") || self.rest().starts_with("\\\r\n"))
        {
            self.at += self.rest().find('\n').map_or(0, |newline| newline + 1);
            self.skip_line_starts();
        }
    }

    fn rest(&self) -> &'text str {
        self.written.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, bytes: usize) {
        self.at += bytes;
        self.previous_end = self.at;
    }

    fn take_same(&mut self, character: char) -> Option<()> {
        if !self.rest().starts_with(character) {
            return None;
        }
        self.take(character.len_utf8());
        Some(())
    }

    fn take_line_break(&mut self) -> Option<()> {
        let rest = self.rest();
        let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let length = if rest[blank..].starts_with("\r\n") {
            2
        } else if rest[blank..].starts_with(['\n', '\r']) {
            1
        } else {
            return if rest.is_empty() { Some(()) } else { None };
        };
        self.take(blank + length);
        Some(())
    }

    fn count_breaks(&self) -> usize {
        let rest = self.rest();
        let blank = &rest[..rest.len() - rest.trim_start().len()];
        blank.matches('\n').count().max(1)
    }

    /// Past what stands before the content of a line.
    fn skip_line_starts(&mut self) {
        match self.style {
            Style::Folded | Style::Literal => self.skip_indentation(),
            Style::Plain | Style::Single | Style::Double => {
                self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t']).len();
            }
        }
    }

    fn skip_indentation(&mut self) {
        let spaces = self
            .rest()
            .bytes()
            .take(self.indentation)
            .take_while(|byte| *byte == b' ')
            .count();
        self.at += spaces;
    }
}

/// Where the lines of a block scalar begin, behind its header, and how far they are indented.
///
/// The place of a block begins at its first character; blank lines before that belong to its value.
fn block_start(text: &str, first: usize) -> (usize, usize) {
    let mut line = line_start(text, floor_boundary(text, first));
    let indentation = first.saturating_sub(line);
    while line > 0 {
        let previous = line_start(text, line - 1);
        if !text[previous..line].trim().is_empty() {
            break;
        }
        line = previous;
    }
    (line, indentation)
}

#[cfg(test)]
mod tests {
    use crate::read;
    use crate::source::Source;
    use crate::tree::Node;

    use super::*;

    /// Every word of the value is found at the same word of the text.
    fn check(text: &str) {
        let source = Source::new("test.yaml", text);
        let root = read::read(&source, 0).root.expect("a document");
        let node = root.get("a").expect("the value");
        let value = node.as_text().expect("a text").to_owned();
        let mut words = 0;
        for word in value
            .split(|character: char| !character.is_alphanumeric())
            .filter(|word| !word.is_empty())
        {
            let start = word.as_ptr() as usize - value.as_ptr() as usize;
            let range = source_range(&source.text, node, start..start + word.len())
                .unwrap_or_else(|| panic!("`{word}` in {text:?}"));
            assert_eq!(&source.text[range], word, "in {text:?}");
            words += 1;
        }
        assert!(words > 0, "{text:?} has no words");
    }

    #[test]
    fn words_of_a_value_are_found_in_its_text() {
        for text in [
            "a: one two three\n",
            "a: one\n  two\n\n  three\n   four\n",
            "a: 'it''s one two'\n",
            "a: \"one\\ttwo \\u2014t\\x2D \\U0001F600 three \\\"four\\\"\"\n",
            "a: \"one two\n   three \\\n   four\n\n   five\"\n",
            "a: |\n  one two\n    three\n\n  four\n",
            "a: |-\n\n\n  one\n  two\n",
            "a: |2\n    one\n  two\n",
            "a: >\n  one two\n  three\n\n  four\n    five\n    six\n  seven\n\n\n  eight\n",
            "a: >-\n\n  one\n\n\n   two\n  three\n",
            "a: |\r\n  one\r\n  two\r\n",
            "a: &anchor one two\n",
            "x: ü\na: |\n  ünï ö two\n  three\n",
        ] {
            check(text);
        }
        check("{\"a\": \"one \\ud83d\\ude00 two \\/ three\\nfour\"}");
    }

    #[test]
    fn what_is_no_text_has_no_parts() {
        let root = read::read(&Source::new("test.yaml", "a: 5\n"), 0)
            .root
            .expect("a document");
        let node: &Node = root.get("a").expect("the value");
        assert_eq!(source_range("a: 5\n", node, 0..1), None);
    }
}

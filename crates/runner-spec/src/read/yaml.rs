//! Reads YAML 1.2 from the events of the parser.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marks};

use super::build::{Builder, Stop};
use super::explain;
use super::scalar::resolve_plain;
use super::{MAX_DEPTH, Reading};
use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::path::FieldPath;
use crate::source::MAX_DOCUMENT_BYTES;
use crate::tree::{Node, Span, Style, Text, Value};

pub(super) fn read(text: &str, index: usize) -> Reading {
    let mut reader = Reader {
        text,
        offsets: Offsets::new(text),
        builder: Builder::new(index),
        anchors: HashMap::new(),
        expanded: text.len(),
        documents: 0,
    };
    let complete = reader.run().is_ok();
    let Reader { mut builder, .. } = reader;
    if complete && !builder.is_complete() {
        let diagnostic = Diagnostic::error(
            Code::EmptyDocument,
            FieldPath::root(),
            "the document is empty",
        )
        .help("a document has `name`, `created_by` and `provider` at least");
        let span = builder.span(0..0);
        builder.report(diagnostic, span);
    }
    let (root, findings) = builder.finish();
    Reading {
        root: root.filter(|_| complete),
        findings,
    }
}

struct Reader<'text> {
    text: &'text str,
    offsets: Offsets,
    builder: Builder,
    anchors: HashMap<usize, Node>,
    /// Bytes of the document with every alias written out.
    expanded: usize,
    documents: usize,
}

impl Reader<'_> {
    fn run(&mut self) -> Result<(), Stop> {
        let text = self.text;
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            match event {
                Ok((event, marks)) => {
                    if matches!(event, Event::DocumentStart(_)) && self.documents == 1 {
                        self.report_second_document(marks);
                        return Ok(());
                    }
                    self.event(event, marks)?;
                }
                Err(error) => {
                    let at = self.offsets.byte(error.marker().index());
                    let (diagnostic, range) =
                        explain::yaml_error(text, error.info(), at, self.builder.path());
                    let span = self.builder.span(range);
                    return Err(self.builder.stop(diagnostic, span));
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, marks: Marks) -> Result<(), Stop> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => self.documents += 1,
            Event::Alias(anchor) => self.alias(anchor, marks)?,
            Event::Scalar(text, style, anchor, tag) => {
                let span = self.node_span(marks, anchor, tag.is_some());
                let span = self.without_comment(span, style);
                self.refuse_tag(tag.as_deref(), marks);
                self.scalar(&text, style, anchor, span);
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), marks);
                let span = self.collection(marks, anchor, tag.is_some())?;
                self.builder.open_list(span, anchor)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), marks);
                let span = self.collection(marks, anchor, tag.is_some())?;
                self.builder.open_object(span, anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let end = self.trimmed_end(self.offsets.byte(marks.end.index()));
                if let Some((node, anchor)) = self.builder.close(end) {
                    self.finish(node, anchor);
                }
            }
        }
        Ok(())
    }

    /// The place of a list or an object, which can't be a key.
    fn collection(&mut self, marks: Marks, anchor: usize, tagged: bool) -> Result<Span, Stop> {
        let span = self.node_span(marks, anchor, tagged);
        if !self.builder.expects_key() {
            return Ok(span);
        }
        let (message, help) = if self.text[span.range().start..].starts_with('{') {
            (
                "a key is an object; braces open one, in YAML also those of a template",
                "put a template into quotes: `\"{{ name }}\"`",
            )
        } else {
            (
                "a key is a list or an object",
                "keys are texts: `key: value`",
            )
        };
        Err(self.builder.stop(
            Diagnostic::error(Code::KeyNotScalar, self.builder.path(), message).help(help),
            span,
        ))
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, span: Span) {
        if self.builder.expects_key() {
            let is_merge = text == "<<" && style == ScalarStyle::Plain;
            if anchor > 0 {
                let value = Value::Text(Text {
                    value: text.to_owned(),
                    style: Style::Plain,
                });
                self.anchors.insert(anchor, Node { span, value });
            }
            self.builder.key(text.to_owned(), span, is_merge);
            return;
        }
        let value = match style {
            ScalarStyle::Plain => resolve_plain(text).unwrap_or_else(|_| {
                self.builder
                    .report(explain::unrepresentable(text, self.builder.path()), span);
                Value::Null
            }),
            ScalarStyle::SingleQuoted => quoted(text, Style::Single),
            ScalarStyle::DoubleQuoted => quoted(text, Style::Double),
            ScalarStyle::Literal => quoted(text, Style::Literal),
            ScalarStyle::Folded => quoted(text, Style::Folded),
        };
        self.finish(Node { span, value }, anchor);
    }

    fn alias(&mut self, anchor: usize, marks: Marks) -> Result<(), Stop> {
        let span = self.span(marks);
        let Some(node) = self.anchors.get(&anchor) else {
            let message = "this alias stands inside the value that it repeats";
            let diagnostic = Diagnostic::error(Code::AliasLoop, self.builder.path(), message)
                .help("move the anchor to a value that doesn't contain the alias");
            return Err(self.builder.stop(diagnostic, span));
        };
        let (size, depth) = measure(node);
        self.expanded = self.expanded.saturating_add(size);
        if self.expanded > MAX_DOCUMENT_BYTES {
            let message = format!(
                "with its aliases written out the document has more than {MAX_DOCUMENT_BYTES} bytes"
            );
            let diagnostic = Diagnostic::error(Code::AliasExpansion, self.builder.path(), message)
                .help("use fewer aliases of large values");
            return Err(self.builder.stop(diagnostic, span));
        }
        if self.builder.depth() + depth > MAX_DEPTH {
            let message = format!(
                "with its aliases written out, values are nested more than {MAX_DEPTH} levels deep"
            );
            return Err(self.builder.stop(
                Diagnostic::error(Code::TooDeep, self.builder.path(), message),
                span,
            ));
        }
        if !self.builder.expects_key() {
            let node = node.clone();
            self.builder.value(node);
            return Ok(());
        }
        let Some(key) = node.as_text().map(str::to_owned) else {
            let diagnostic = Diagnostic::error(
                Code::KeyNotScalar,
                self.builder.path(),
                "a key is an alias of something that is no text",
            )
            .help("keys are texts: `key: value`");
            return Err(self.builder.stop(diagnostic, span));
        };
        self.builder.key(key, span, false);
        Ok(())
    }

    fn finish(&mut self, node: Node, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.builder.value(node);
    }

    fn refuse_tag(&mut self, tag: Option<&saphyr_parser::Tag>, marks: Marks) {
        if let Some(tag) = tag {
            let written = if tag.is_yaml_core_schema() {
                format!("!!{}", tag.suffix)
            } else {
                tag.to_string()
            };
            let diagnostic = Diagnostic::error(
                Code::TagRefused,
                self.builder.path(),
                format!("the tag `{written}` is not allowed"),
            )
            .help("leave it out; put quotes around a value that is to be a string");
            let start = self.span(marks).range().start;
            let length = self.text[start..]
                .find(char::is_whitespace)
                .unwrap_or(self.text.len() - start);
            let span = self.builder.span(start..start + length);
            self.builder.report(diagnostic, span);
        }
    }

    fn report_second_document(&mut self, marks: Marks) {
        let span = self.span(marks);
        let diagnostic = Diagnostic::error(
            Code::SeveralDocuments,
            FieldPath::root(),
            "a second document begins here, and a file holds one",
        )
        .help("put it into a file of its own; several files can be named in one command");
        self.builder.report(diagnostic, span);
    }

    fn span(&self, marks: Marks) -> Span {
        self.builder
            .span(self.offsets.byte(marks.start.index())..self.offsets.byte(marks.end.index()))
    }

    /// The place of a value without the anchor or tag before it.
    fn node_span(&self, marks: Marks, anchor: usize, tagged: bool) -> Span {
        let mut range = self.span(marks).range();
        if anchor > 0 || tagged {
            while let Some(rest) = self
                .text
                .get(range.clone())
                .filter(|rest| rest.starts_with(['&', '!']))
            {
                let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
                let blank = rest[word..].len() - rest[word..].trim_start().len();
                range.start += word + blank;
            }
        }
        self.builder.span(range)
    }

    /// The parser's place of a quoted text reaches over the blanks and the comment behind it.
    fn without_comment(&self, span: Span, style: ScalarStyle) -> Span {
        let range = span.range();
        let written = self.text.get(range.clone()).unwrap_or_default();
        let length = match style {
            ScalarStyle::SingleQuoted => closing_quote(written, '\''),
            ScalarStyle::DoubleQuoted => closing_quote(written, '"'),
            ScalarStyle::Plain | ScalarStyle::Literal | ScalarStyle::Folded => None,
        };
        match length {
            Some(length) => self.builder.span(range.start..range.start + length),
            None => span,
        }
    }

    /// Block collections end where the next thing begins; their last line is what counts.
    fn trimmed_end(&self, end: usize) -> usize {
        self.text
            .get(..end)
            .map_or(end, |before| before.trim_end().len())
    }
}

/// The length of a text in quotes, both of them included.
fn closing_quote(written: &str, quote: char) -> Option<usize> {
    let mut characters = written.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character == '\\' && quote == '"' {
            characters.next();
        } else if character == quote {
            let is_escaped =
                quote == '\'' && characters.next_if(|(_, next)| *next == quote).is_some();
            if !is_escaped {
                return Some(at + 1);
            }
        }
    }
    None
}

fn quoted(text: &str, style: Style) -> Value {
    Value::Text(Text {
        value: text.to_owned(),
        style,
    })
}

/// How many bytes a value would add if it were written out, and how deeply it is nested.
fn measure(node: &Node) -> (usize, usize) {
    match &node.value {
        Value::Null => (1, 0),
        Value::Boolean(_) => (5, 0),
        Value::Number(number) => (number.written.len() + 1, 0),
        Value::Text(text) => (text.value.len() + 3, 0),
        Value::List(items) => items.iter().map(measure).fold((2, 1), grow),
        Value::Object(entries) => entries
            .iter()
            .map(|entry| {
                let (size, depth) = measure(&entry.value);
                (size + entry.key.len() + 2, depth)
            })
            .fold((2, 1), grow),
    }
}

fn grow(whole: (usize, usize), part: (usize, usize)) -> (usize, usize) {
    (whole.0.saturating_add(part.0), whole.1.max(part.1 + 1))
}

/// The parser counts characters; everything else here counts bytes.
struct Offsets {
    /// Empty where every character is one byte.
    bytes: Vec<usize>,
    length: usize,
}

impl Offsets {
    fn new(text: &str) -> Self {
        let bytes = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().map(|(offset, _)| offset).collect()
        };
        Self {
            bytes,
            length: text.len(),
        }
    }

    fn byte(&self, character: usize) -> usize {
        if self.bytes.is_empty() {
            character.min(self.length)
        } else {
            self.bytes.get(character).copied().unwrap_or(self.length)
        }
    }
}

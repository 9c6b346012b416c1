//! The document as a tree whose every value and key knows its place.

use std::ops::Range;

/// Which source, and which bytes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) source: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(source: usize, range: Range<usize>) -> Self {
        // Sources are at most a mebibyte each, so that the conversion can't saturate.
        let narrow = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Self {
            source: narrow(source),
            start: narrow(range.start),
            end: narrow(range.end),
        }
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A value and the bytes that it is written in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Number(Number),
    Text(Text),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

/// A number together with how it was written, for `1.10` is a version before it is a number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Number {
    pub(crate) written: String,
    pub(crate) value: serde_json::Number,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) style: Style,
}

/// How a text is written, which decides where in the source a byte of its value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    /// In single quotes: `''` is one quote.
    Single,
    /// In double quotes, with escapes: YAML's and JSON's.
    Double,
    /// A block scalar that keeps its line breaks.
    Literal,
    /// A block scalar whose lines are joined.
    Folded,
}

/// A key of an object with its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(&text.value),
            _ => None,
        }
    }

    pub(crate) fn as_object(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Object(entries) => Some(entries),
            _ => None,
        }
    }

    pub(crate) fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.as_object()?.iter().find(|entry| entry.key == key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The value without its places.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Boolean(value) => serde_json::Value::Bool(*value),
            Value::Number(number) => serde_json::Value::Number(number.value.clone()),
            Value::Text(text) => serde_json::Value::String(text.value.clone()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Object(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

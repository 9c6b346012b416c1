//! From field paths to places in the text.

use std::fmt;

use crate::alignment::source_range;
use crate::diagnostic::{Diagnostic, Place};
use crate::names::to_snake_case;
use crate::path::{FieldPath, Segment};
use crate::source::{Lines, Location, Source};
use crate::tree::{Entry, Node, Span, Value};

/// The texts of a document and its overlays, and where each field of the merged document stands in them.
///
/// The texts are kept for drawing only: what looks like a secret is masked in them.
#[derive(Clone, Default)]
pub struct SourceMap {
    sources: Vec<Source>,
    lines: Vec<Lines>,
    root: Option<Node>,
}

/// Names the sources and nothing of what stands in them: the tree has the values as they are written.
impl fmt::Debug for SourceMap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self
            .sources
            .iter()
            .map(|source| source.name.as_str())
            .collect();
        formatter
            .debug_struct("SourceMap")
            .field("sources", &names)
            .finish_non_exhaustive()
    }
}

/// What a path leads to: the value, and the key that holds it unless it is a list element or the document.
struct Found<'tree> {
    node: &'tree Node,
    key: Option<Span>,
    /// The path itself is there, and not only a parent of it.
    exact: bool,
}

impl SourceMap {
    pub(crate) fn new(sources: Vec<Source>, root: Option<Node>) -> Self {
        let lines = sources
            .iter()
            .map(|source| Lines::of(&source.text))
            .collect();
        Self {
            sources,
            lines,
            root,
        }
    }

    /// The document, then its overlays.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The place of a field's value (of an object or a list: of its key), or of the nearest parent that is there.
    pub fn locate(&self, path: &FieldPath) -> Option<Location> {
        self.locate_place(path, &Place::Value)
    }

    /// The place of a field's key, or of the nearest parent that is there.
    pub fn locate_key(&self, path: &FieldPath) -> Option<Location> {
        self.locate_place(path, &Place::Key)
    }

    /// The place of some bytes of a scalar's value: of a column name in a query that is written as a block, say.
    pub fn locate_within(
        &self,
        path: &FieldPath,
        bytes: std::ops::Range<usize>,
    ) -> Option<Location> {
        self.locate_place(path, &Place::Within(bytes))
    }

    /// Finds the place of every diagnostic that has none yet.
    pub fn place(&self, diagnostics: &mut [Diagnostic]) {
        for diagnostic in diagnostics
            .iter_mut()
            .filter(|diagnostic| diagnostic.location.is_none())
        {
            diagnostic.location = self.locate_place(&diagnostic.path, &diagnostic.place);
        }
    }

    pub(crate) fn location(&self, span: Span) -> Option<Location> {
        let index = span.source as usize;
        Some(
            self.lines
                .get(index)?
                .location(self.sources.get(index)?, span.range()),
        )
    }

    /// The document as a whole.
    pub(crate) fn whole(&self) -> Option<Location> {
        self.location(Span::default())
    }

    fn locate_place(&self, path: &FieldPath, place: &Place) -> Option<Location> {
        if *place == Place::Beside {
            return None;
        }
        let found = self.find(path)?;
        if !found.exact {
            return self.location(self.headline(&found));
        }
        match place {
            Place::Value | Place::Beside => self.location(self.headline(&found)),
            Place::Key => self.location(found.key.unwrap_or_else(|| self.headline(&found))),
            Place::Within(bytes) => {
                let source = self.sources.get(found.node.span.source as usize)?;
                match source_range(&source.text, found.node, bytes.clone()) {
                    Some(range) => self.location(Span::new(found.node.span.source as usize, range)),
                    None => self.location(self.headline(&found)),
                }
            }
        }
    }

    fn find(&self, path: &FieldPath) -> Option<Found<'_>> {
        let mut found = Found {
            node: self.root.as_ref()?,
            key: None,
            exact: true,
        };
        for segment in path.segments() {
            let next = match (segment, &found.node.value) {
                (Segment::Key(key), Value::Object(entries)) => {
                    find_entry(entries, key).map(|entry| (&entry.value, Some(entry.key_span)))
                }
                (Segment::Index(index), Value::List(items)) => {
                    items.get(*index).map(|item| (item, None))
                }
                _ => None,
            };
            match next {
                Some((node, key)) => {
                    found = Found {
                        node,
                        key,
                        exact: true,
                    }
                }
                None => {
                    return Some(Found {
                        exact: false,
                        ..found
                    });
                }
            }
        }
        Some(found)
    }

    /// One place to point at: a scalar itself, else the key of an object or a list, else its first line.
    fn headline(&self, found: &Found<'_>) -> Span {
        let span = found.node.span;
        match &found.node.value {
            Value::List(_) | Value::Object(_) => {
                found.key.unwrap_or_else(|| self.first_entry(found.node))
            }
            Value::Null if span.start == span.end => found.key.unwrap_or(span),
            Value::Null | Value::Boolean(_) | Value::Number(_) | Value::Text(_) => {
                self.first_line(found.node)
            }
        }
    }

    /// The first key of an object with its value, as far as both stand on one line.
    fn first_entry(&self, node: &Node) -> Span {
        let Some(entry) = node.as_object().and_then(<[Entry]>::first) else {
            return self.first_line(node);
        };
        let value = entry.value.span;
        let mut span = entry.key_span;
        if span.source == value.source && span.end <= value.start {
            span.end = value.end.max(span.end);
            span.end = self.line_end(span);
        }
        span
    }

    fn first_line(&self, node: &Node) -> Span {
        Span {
            end: self.line_end(node.span),
            ..node.span
        }
    }

    /// Where a place ends, or its first line if it has several.
    fn line_end(&self, span: Span) -> u32 {
        let source = self.sources.get(span.source as usize);
        let text = source
            .and_then(|source| source.text.get(span.range()))
            .unwrap_or_default();
        let line = text.lines().next().unwrap_or_default().trim_end();
        span.start
            .saturating_add(u32::try_from(line.len()).unwrap_or(u32::MAX))
    }
}

/// The entry of a key in either spelling.
fn find_entry<'tree>(entries: &'tree [Entry], key: &str) -> Option<&'tree Entry> {
    entries.iter().find(|entry| entry.key == key).or_else(|| {
        let key = to_snake_case(key);
        entries
            .iter()
            .find(|entry| to_snake_case(&entry.key) == key)
    })
}

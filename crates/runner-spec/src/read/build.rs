//! Puts values together into a tree, for both formats: depth, duplicate keys, merge keys and paths are the same in each.

use std::collections::HashSet;

use super::{Finding, MAX_DEPTH};
use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::path::FieldPath;
use crate::tree::{Entry, Node, Span, Value};

/// Reading can't go on; the findings say why.
#[derive(Debug)]
pub(super) struct Stop;

/// A tree under construction.
#[derive(Debug)]
pub(super) struct Builder {
    source: usize,
    frames: Vec<Frame>,
    root: Option<Node>,
    pub(super) findings: Vec<Finding>,
}

#[derive(Debug)]
enum Frame {
    List {
        span: Span,
        anchor: usize,
        items: Vec<Node>,
    },
    Object(ObjectFrame),
}

#[derive(Debug)]
struct ObjectFrame {
    span: Span,
    anchor: usize,
    entries: Vec<Entry>,
    keys: HashSet<String>,
    /// The key whose value comes next, and whether it is a merge key.
    key: Option<(String, Span, bool)>,
    merged: Vec<Node>,
}

impl Builder {
    pub(super) fn new(source: usize) -> Self {
        Self {
            source,
            frames: Vec::new(),
            root: None,
            findings: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> (Option<Node>, Vec<Finding>) {
        (self.root, self.findings)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.root.is_some()
    }

    pub(super) fn span(&self, range: std::ops::Range<usize>) -> Span {
        Span::new(self.source, range)
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic, span: Span) {
        self.findings.push(Finding { diagnostic, span });
    }

    pub(super) fn stop(&mut self, diagnostic: Diagnostic, span: Span) -> Stop {
        self.report(diagnostic, span);
        Stop
    }

    /// Whether the next scalar is a key.
    pub(super) fn expects_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame::Object(object)) if object.key.is_none())
    }

    pub(super) fn depth(&self) -> usize {
        self.frames.len()
    }

    /// The path of the value that comes next.
    pub(super) fn path(&self) -> FieldPath {
        self.frames
            .iter()
            .fold(FieldPath::root(), |path, frame| match frame {
                Frame::List { items, .. } => path.index(items.len()),
                Frame::Object(object) => match &object.key {
                    Some((key, ..)) => path.key(key.as_str()),
                    None => path,
                },
            })
    }

    pub(super) fn open_list(&mut self, span: Span, anchor: usize) -> Result<(), Stop> {
        self.guard(span)?;
        self.frames.push(Frame::List {
            span,
            anchor,
            items: Vec::new(),
        });
        Ok(())
    }

    pub(super) fn open_object(&mut self, span: Span, anchor: usize) -> Result<(), Stop> {
        self.guard(span)?;
        self.frames.push(Frame::Object(ObjectFrame {
            span,
            anchor,
            entries: Vec::new(),
            keys: HashSet::new(),
            key: None,
            merged: Vec::new(),
        }));
        Ok(())
    }

    pub(super) fn key(&mut self, key: String, span: Span, is_merge: bool) {
        let path = self.path();
        let Some(Frame::Object(object)) = self.frames.last_mut() else {
            return;
        };
        let is_new = is_merge || object.keys.insert(key.clone());
        object.key = Some((key.clone(), span, is_merge));
        if !is_new {
            let message = format!("the key `{key}` is written twice in this object");
            let diagnostic = Diagnostic::error(Code::DuplicateKey, path.key(key), message).help(
                "keep one of the two; which of them counts would otherwise depend on the reader",
            );
            self.report(diagnostic, span);
        }
    }

    /// Takes a finished value. Returns whether the document is complete with it.
    pub(super) fn value(&mut self, node: Node) {
        match self.frames.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Object(object)) => match object.key.take() {
                Some((_, _, true)) => object.merged.push(node),
                Some((key, key_span, false)) => object.entries.push(Entry {
                    key,
                    key_span,
                    value: node,
                }),
                None => {}
            },
        }
    }

    /// Closes the innermost list or object; gives it with its anchor, for aliases, before it is put into its place.
    pub(super) fn close(&mut self, end: usize) -> Option<(Node, usize)> {
        let (value, span, anchor) = match self.frames.pop()? {
            Frame::List {
                span,
                anchor,
                items,
            } => (Value::List(items), span, anchor),
            Frame::Object(object) => {
                let (span, anchor) = (object.span, object.anchor);
                (Value::Object(self.merge(object)), span, anchor)
            }
        };
        let span = self.span(span.range().start..end.max(span.range().start));
        Some((Node { span, value }, anchor))
    }

    /// Entries of merged objects stand behind the object's own, which win; of several merged ones the first wins.
    fn merge(&mut self, object: ObjectFrame) -> Vec<Entry> {
        let ObjectFrame {
            mut entries,
            mut keys,
            merged,
            ..
        } = object;
        for node in merged {
            let parts = match node.value {
                Value::List(items) => items,
                _ => vec![node],
            };
            for part in parts {
                let span = part.span;
                let Value::Object(part) = part.value else {
                    let diagnostic = Diagnostic::error(
                        Code::MergeKey,
                        self.path(),
                        "`<<` merges objects, and this is none",
                    )
                    .help(
                        "write `<<: *name` with an alias of an object, or a list of such aliases",
                    );
                    self.report(diagnostic, span);
                    continue;
                };
                entries.extend(
                    part.into_iter()
                        .filter(|entry| keys.insert(entry.key.clone())),
                );
            }
        }
        entries
    }

    fn guard(&mut self, span: Span) -> Result<(), Stop> {
        if self.frames.len() < MAX_DEPTH {
            return Ok(());
        }
        let message = format!("values are nested more than {MAX_DEPTH} levels deep");
        Err(self.stop(
            Diagnostic::error(Code::TooDeep, self.path(), message)
                .help("no setting needs such depth; check the brackets"),
            span,
        ))
    }
}

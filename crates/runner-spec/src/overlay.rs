//! Overlays: one document, several environments.
//!
//! The rule is that of JSON Merge Patch (RFC 7396): objects are merged key by key, `null` takes a key away, and everything
//! else, lists included, takes the place of what was there. One thing is added, since the lists of a document are lists of
//! named things: an object laid over a list changes single elements of it, by their `name`, else their `type`, else their
//! position. `sinks: {iceberg: {config: {catalog: dev}}}` changes one setting and leaves the rest of the list alone.

use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::fields::{Object, Shape};
use crate::names::{nearest, one_of};
use crate::path::FieldPath;
use crate::read::Finding;
use crate::tree::{Entry, Node, Value};

/// Lays an overlay over a document. Places of what it brings are in the overlay.
pub(crate) fn merge(
    base: Node,
    overlay: Node,
    object: Option<&'static Object>,
    findings: &mut Vec<Finding>,
) -> Node {
    merge_node(
        base,
        overlay,
        object.map(Shapes::Object),
        &FieldPath::root(),
        findings,
    )
}

/// What the table says about a place, as far as merging needs it: which keys are spellings of one field.
#[derive(Clone, Copy)]
enum Shapes {
    Object(&'static Object),
    List(&'static Object),
}

impl Shapes {
    fn of(shape: &Shape) -> Option<Self> {
        match shape {
            Shape::Object(object) => Some(Self::Object(object)),
            Shape::List(object) => Some(Self::List(object)),
            _ => None,
        }
    }
}

fn merge_node(
    base: Node,
    overlay: Node,
    shapes: Option<Shapes>,
    path: &FieldPath,
    findings: &mut Vec<Finding>,
) -> Node {
    match (base.value, overlay.value) {
        (Value::Object(entries), Value::Object(changes)) => {
            let object = match shapes {
                Some(Shapes::Object(object)) => Some(object),
                _ => None,
            };
            Node {
                span: base.span,
                value: Value::Object(merge_entries(entries, changes, object, path, findings)),
            }
        }
        (Value::List(items), Value::Object(changes))
            if items.iter().any(|item| item.as_object().is_some()) =>
        {
            let object = match shapes {
                Some(Shapes::List(object)) => Some(Shapes::Object(object)),
                _ => None,
            };
            Node {
                span: base.span,
                value: Value::List(merge_items(items, changes, object, path, findings)),
            }
        }
        (_, value) => Node {
            span: overlay.span,
            value: without_nulls(value),
        },
    }
}

/// Whether an overlay's value changes parts of what is there, and doesn't take its place.
fn is_merged(base: &Node, overlay: &Node) -> bool {
    let is_mergeable = match &base.value {
        Value::Object(_) => true,
        Value::List(items) => items.iter().any(|item| item.as_object().is_some()),
        Value::Null | Value::Boolean(_) | Value::Number(_) | Value::Text(_) => false,
    };
    is_mergeable && overlay.as_object().is_some()
}

fn merge_entries(
    mut entries: Vec<Entry>,
    changes: Vec<Entry>,
    object: Option<&'static Object>,
    path: &FieldPath,
    findings: &mut Vec<Finding>,
) -> Vec<Entry> {
    let mut seen: Vec<&'static str> = Vec::new();
    for change in changes {
        let field = object.and_then(|object| object.field(&change.key));
        if let Some(field) = field {
            // A second spelling in one overlay is a mistake, which the check reports if it gets to see both.
            if seen.contains(&field.name) {
                entries.push(change);
                continue;
            }
            seen.push(field.name);
        }
        let same = |entry: &Entry| {
            entry.key == change.key
                || field.is_some_and(|field| {
                    object
                        .and_then(|object| object.field(&entry.key))
                        .is_some_and(|other| std::ptr::eq(field, other))
                })
        };
        let position = entries.iter().position(same);
        match (position, change.value.is_null()) {
            (Some(position), true) => {
                entries.remove(position);
            }
            (None, true) => {}
            (Some(position), false) => {
                let entry = entries.remove(position);
                let shapes = field.and_then(|field| Shapes::of(&field.shape));
                let path = path.key(entry.key.as_str());
                let replaces = !is_merged(&entry.value, &change.value);
                let key_span = if replaces {
                    change.key_span
                } else {
                    entry.key_span
                };
                let value = merge_node(entry.value, change.value, shapes, &path, findings);
                entries.insert(
                    position,
                    Entry {
                        key: entry.key,
                        key_span,
                        value,
                    },
                );
            }
            (None, false) => {
                let value = Node {
                    span: change.value.span,
                    value: without_nulls(change.value.value),
                };
                entries.push(Entry { value, ..change });
            }
        }
    }
    entries
}

fn merge_items(
    mut items: Vec<Node>,
    changes: Vec<Entry>,
    object: Option<Shapes>,
    path: &FieldPath,
    findings: &mut Vec<Finding>,
) -> Vec<Node> {
    for change in changes {
        let Some(position) = find_item(&items, &change.key) else {
            let names: Vec<&str> = items.iter().filter_map(item_name).collect();
            let message = format!(
                "`{path}` has no element `{}` for this overlay to change",
                change.key
            );
            let diagnostic =
                Diagnostic::error(Code::OverlayTarget, path.key(change.key.as_str()), message);
            let diagnostic = match nearest(&change.key, names.iter().copied()) {
                Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
                None => diagnostic.help(format!(
                    "name one of {}, or write the whole list to replace it",
                    one_of(names)
                )),
            };
            findings.push(Finding {
                diagnostic,
                span: change.key_span,
            });
            continue;
        };
        let item = items.remove(position);
        if !change.value.is_null() {
            let item = merge_node(item, change.value, object, &path.index(position), findings);
            items.insert(position, item);
        }
    }
    items
}

fn find_item(items: &[Node], key: &str) -> Option<usize> {
    let by = |field: &str| {
        items
            .iter()
            .position(|item| item.get(field).and_then(Node::as_text) == Some(key))
    };
    by("name")
        .or_else(|| by("type"))
        .or_else(|| key.parse().ok().filter(|index| *index < items.len()))
}

fn item_name(item: &Node) -> Option<&str> {
    item.get("name")
        .or_else(|| item.get("type"))
        .and_then(Node::as_text)
}

/// In what an overlay adds, `null` says that a key is absent, as everywhere in an overlay.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(entries) => Value::Object(
            entries
                .into_iter()
                .filter(|entry| !entry.value.is_null())
                .map(|entry| Entry {
                    value: Node {
                        span: entry.value.span,
                        value: without_nulls(entry.value.value),
                    },
                    ..entry
                })
                .collect(),
        ),
        other => other,
    }
}

//! Overlays: one document, several environments.
//!
//! The rule is that of JSON Merge Patch (RFC 7396): objects are merged key by key, `null` takes a key away, and everything
//! else, lists included, takes the place of what was there. One thing is added, since the lists of a document are lists of
//! named things: an object laid over a list changes single elements of it, by their `name`, else their `type`, else their
//! position. `sinks: {iceberg: {config: {catalog: dev}}}` changes one setting and leaves the rest of the list alone. A name that
//! several elements have is a mistake: none of them is guessed.

use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::fields::{Object, Shape};
use crate::names::{nearest, one_of};
use crate::path::FieldPath;
use crate::read::Finding;
use crate::tree::{Entry, Node, Value};

/// What is noticed while overlays are laid over a document.
#[derive(Debug, Default)]
pub(crate) struct Merging {
    pub(crate) findings: Vec<Finding>,
    /// Lists of objects that a list of an overlay took the place of.
    pub(crate) replaced: Vec<FieldPath>,
}

/// Lays an overlay over a document. Places of what it brings are in the overlay.
pub(crate) fn merge(
    base: Node,
    overlay: Node,
    object: Option<&'static Object>,
    merging: &mut Merging,
) -> Node {
    merge_node(
        base,
        overlay,
        object.map(Shapes::Object),
        &FieldPath::root(),
        merging,
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
    merging: &mut Merging,
) -> Node {
    match (base.value, overlay.value) {
        (Value::Object(entries), Value::Object(changes)) => {
            let object = match shapes {
                Some(Shapes::Object(object)) => Some(object),
                _ => None,
            };
            Node {
                span: base.span,
                value: Value::Object(merge_entries(entries, changes, object, path, merging)),
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
                value: Value::List(merge_items(items, changes, object, path, merging)),
            }
        }
        (base, value) => {
            if is_list_of_objects(&base) && matches!(value, Value::List(_)) {
                merging.replaced.push(path.clone());
            }
            Node {
                span: overlay.span,
                value: without_nulls(value),
            }
        }
    }
}

fn is_list_of_objects(value: &Value) -> bool {
    match value {
        Value::List(items) => items.iter().any(|item| item.as_object().is_some()),
        Value::Object(_) | Value::Null | Value::Boolean(_) | Value::Number(_) | Value::Text(_) => {
            false
        }
    }
}

/// Whether an overlay's value changes parts of what is there, and doesn't take its place.
fn is_merged(base: &Node, overlay: &Node) -> bool {
    let is_mergeable = base.as_object().is_some() || is_list_of_objects(&base.value);
    is_mergeable && overlay.as_object().is_some()
}

fn merge_entries(
    mut entries: Vec<Entry>,
    changes: Vec<Entry>,
    object: Option<&'static Object>,
    path: &FieldPath,
    merging: &mut Merging,
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
                let value = merge_node(entry.value, change.value, shapes, &path, merging);
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
    merging: &mut Merging,
) -> Vec<Node> {
    for change in changes {
        let position = match find_item(&items, &change.key) {
            Target::One(position) => position,
            target => {
                merging.findings.push(Finding {
                    diagnostic: no_target(&items, &change.key, &target, path),
                    span: change.key_span,
                });
                continue;
            }
        };
        let item = items.remove(position);
        if !change.value.is_null() {
            let item = merge_node(item, change.value, object, &path.index(position), merging);
            items.insert(position, item);
        }
    }
    items
}

/// Which element of a list an overlay's key means.
#[derive(Debug)]
enum Target {
    One(usize),
    /// These have the same name, or the same type.
    Several(Vec<usize>),
    None,
}

fn find_item(items: &[Node], key: &str) -> Target {
    for field in ["name", "type"] {
        let is_meant = |item: &Node| item.get(field).and_then(Node::as_text) == Some(key);
        let found: Vec<usize> = (0..items.len())
            .filter(|position| is_meant(&items[*position]))
            .collect();
        match found.as_slice() {
            [] => {}
            [position] => return Target::One(*position),
            _ => return Target::Several(found),
        }
    }
    let position = key.parse().ok().filter(|index| *index < items.len());
    position.map_or(Target::None, Target::One)
}

fn no_target(items: &[Node], key: &str, target: &Target, path: &FieldPath) -> Diagnostic {
    let diagnostic =
        |message: String| Diagnostic::error(Code::OverlayTarget, path.key(key), message);
    if let Target::Several(positions) = target {
        let message = format!(
            "`{path}` has {} elements `{key}`, and this overlay doesn't say which one it changes",
            positions.len()
        );
        let positions: Vec<String> = positions.iter().map(ToString::to_string).collect();
        return diagnostic(message).help(format!(
            "write the position instead of `{key}`: {}; or give each a `name` in the document, and write that",
            one_of(positions.iter().map(String::as_str))
        ));
    }
    let names: Vec<&str> = items.iter().filter_map(item_name).collect();
    let diagnostic = diagnostic(format!(
        "`{path}` has no element `{key}` for this overlay to change"
    ));
    match nearest(key, names.iter().copied()) {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
        None => diagnostic.help(format!(
            "name one of {}, or write the whole list to replace it",
            one_of(names)
        )),
    }
}

/// A list of an overlay takes the place of the document's: what its elements then lack was mostly meant to stay. Said once a list.
pub(crate) fn explain_replaced_lists(diagnostics: &mut [Diagnostic], replaced: &[FieldPath]) {
    for list in replaced {
        let is_of_element = |diagnostic: &&mut Diagnostic| {
            let element = diagnostic.path.parent();
            diagnostic.code == Code::MissingField
                && element.and_then(|element| element.parent()).as_ref() == Some(list)
        };
        if let Some(diagnostic) = diagnostics.iter_mut().find(is_of_element) {
            diagnostic.notes.push(format!(
                "the overlay's list takes the place of the whole `{list}`; to change one element, write an object with its name, \
                 type or position instead: `{}: {{NAME: {{…}}}}`",
                list.last_key().unwrap_or_default()
            ));
        }
    }
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

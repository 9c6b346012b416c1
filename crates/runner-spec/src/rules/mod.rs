//! What can only be seen by looking at several fields at once: references, and lint.
//!
//! Rules look at the model; the tree serves to find out what was written. Each rule is a file with one entry point.

mod activity;
mod auth;
mod mapping;
mod names;
mod pagination;
mod references;
mod schedule;
mod secrets;
mod sinks;
mod source;
mod templates;
mod transforms;

use crate::Spec;
use crate::diagnostic::{Diagnostic, MAX_FINDINGS};
use crate::path::FieldPath;
use crate::tree::{Node, Value};

pub use mapping::is_reversed;

/// What every rule sees.
struct Context<'a> {
    spec: &'a Spec,
    document: &'a Node,
    diagnostics: Vec<Diagnostic>,
}

/// Every finding of the rules.
pub(crate) fn run(spec: &Spec, document: &Node) -> Vec<Diagnostic> {
    let mut context = Context {
        spec,
        document,
        diagnostics: Vec::new(),
    };
    names::run(&mut context);
    references::run(&mut context);
    templates::run(&mut context);
    source::run(&mut context);
    auth::run(&mut context);
    pagination::run(&mut context);
    mapping::run(&mut context);
    schedule::run(&mut context);
    sinks::run(&mut context);
    transforms::run(&mut context);
    activity::run(&mut context);
    secrets::run(&mut context);
    context.diagnostics
}

impl<'a> Context<'a> {
    fn report(&mut self, diagnostic: Diagnostic) {
        if !self.is_full() {
            self.diagnostics.push(diagnostic);
        }
    }

    /// One more than is shown has been found, so that it is known that there are more.
    fn is_full(&self) -> bool {
        self.diagnostics.len() > MAX_FINDINGS
    }

    /// The value at a path, keys in the canonical spelling.
    fn node(&self, path: &FieldPath) -> Option<&'a Node> {
        path.segments()
            .iter()
            .try_fold(self.document, |node, segment| {
                match (segment, &node.value) {
                    (crate::Segment::Key(key), Value::Object(_)) => entry(node, key),
                    (crate::Segment::Index(index), Value::List(items)) => items.get(*index),
                    _ => None,
                }
            })
    }

    /// Whether a field is written and not null.
    fn is_written(&self, path: &FieldPath) -> bool {
        self.node(path).is_some_and(|node| !node.is_null())
    }
}

/// The value of a key in either spelling.
fn entry<'tree>(node: &'tree Node, key: &str) -> Option<&'tree Node> {
    node.get(key)
        .or_else(|| node.get(&crate::names::to_camel_case(key)))
}

fn provider_path() -> FieldPath {
    FieldPath::root().key("provider")
}

fn endpoint_path(index: usize) -> FieldPath {
    provider_path().key("endpoints").index(index)
}

/// Every text of a tree with its path.
fn texts(node: &Node, path: &FieldPath, found: &mut Vec<(FieldPath, String)>) {
    match &node.value {
        Value::Text(text) => found.push((path.clone(), text.value.clone())),
        Value::List(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| texts(item, &path.index(index), found)),
        Value::Object(entries) => entries
            .iter()
            .for_each(|entry| texts(&entry.value, &path.key(entry.key.as_str()), found)),
        Value::Null | Value::Boolean(_) | Value::Number(_) => {}
    }
}

//! Checks a tree against the table of fields, collecting every mistake.
//!
//! What is wrong with one value never hides what is wrong with the next: a value of the wrong type is reported and skipped.

mod describe;
mod numbers;

use crate::Code;
use crate::contract;
use crate::diagnostic::{Diagnostic, MAX_FINDINGS, Severity};
use crate::fields::{ByKind, Choices, Extra, Field, Object, Shape, Text};
use crate::for_each;
use crate::names::{meant, misspelt, one_of};
use crate::path::FieldPath;
use crate::redact::Masks;
use crate::tree::{Entry, Node, Value};
use crate::values;
use crate::version;

pub(crate) use describe::describe;
pub(crate) use numbers::{Settled, real_number, settle, whole_number};

/// Every finding of the check of a document.
pub(crate) fn check(
    document: &Node,
    object: &'static Object,
    strict: bool,
    masks: &Masks,
) -> Vec<Diagnostic> {
    let mut checker = Checker {
        document,
        strict,
        masks,
        diagnostics: Vec::new(),
    };
    checker.object(document, object, &FieldPath::root());
    checker.diagnostics
}

struct Checker<'tree> {
    document: &'tree Node,
    strict: bool,
    masks: &'tree Masks,
    diagnostics: Vec<Diagnostic>,
}

impl<'tree> Checker<'tree> {
    fn report(&mut self, diagnostic: Diagnostic) {
        if !self.is_full() {
            self.diagnostics.push(diagnostic);
        }
    }

    /// One more than is shown has been found, so that it is known that there are more.
    fn is_full(&self) -> bool {
        self.diagnostics.len() > MAX_FINDINGS
    }

    fn object(&mut self, node: &'tree Node, object: &'static Object, path: &FieldPath) {
        let Some(entries) = node.as_object() else {
            let name = if path.is_root() {
                "the document"
            } else {
                path.last_key().unwrap_or(object.name)
            };
            self.wrong_type(
                node,
                name,
                "an object",
                path,
                describe::object_example(node, object),
            );
            return;
        };
        let mut seen: Vec<(&'static str, &str)> = Vec::new();
        for entry in entries {
            let Some(field) = object.field(&entry.key) else {
                self.extra_key(object, entry, path);
                continue;
            };
            if let Some((_, other)) = seen.iter().find(|(name, _)| *name == field.name) {
                if entry.key == *other {
                    continue; // The reader has told of it already.
                }
                let message = format!(
                    "`{}` and `{other}` are two spellings of one field",
                    entry.key
                );
                self.report(
                    Diagnostic::error(Code::GivenTwice, path.key(entry.key.as_str()), message)
                        .at_key()
                        .help("keep one of the two"),
                );
                continue;
            }
            seen.push((field.name, &entry.key));
            self.field(field, entry, node, path);
        }
        for field in object
            .fields
            .iter()
            .filter(|field| field.required && !seen.iter().any(|(name, _)| *name == field.name))
        {
            self.missing(field, path);
        }
    }

    fn field(
        &mut self,
        field: &'static Field,
        entry: &'tree Entry,
        siblings: &'tree Node,
        path: &FieldPath,
    ) {
        let path = path.key(entry.key.as_str());
        if entry.value.is_null() {
            if field.required {
                let message = format!("`{}` has no value", entry.key);
                self.report(
                    Diagnostic::error(Code::MissingField, path, message)
                        .help(describe::add_help(field)),
                );
            }
            return;
        }
        self.value(&entry.value, &field.shape, &path, siblings);
    }

    fn missing(&mut self, field: &'static Field, path: &FieldPath) {
        let holder = match path.segments().last() {
            None => "the document".to_owned(),
            Some(_) => format!("`{path}`"),
        };
        let message = format!("{holder} has no `{}`, which is required", field.name);
        self.report(
            Diagnostic::error(Code::MissingField, path.key(field.name), message)
                .help(describe::add_help(field)),
        );
    }

    fn extra_key(&mut self, object: &'static Object, entry: &Entry, path: &FieldPath) {
        if self.is_full() {
            return;
        }
        let path = path.key(entry.key.as_str());
        match object.extra {
            Extra::Extensions if entry.key.starts_with("x-") => return,
            Extra::Settings => {
                if let Some(known) =
                    misspelt(&entry.key, object.fields.iter().map(|field| field.name))
                {
                    let message = format!(
                        "`{}` is a setting of your own here; the runner reads one named `{known}`",
                        entry.key
                    );
                    let hint = Diagnostic::hint(Code::SimilarSetting, path, message).at_key();
                    self.report(hint.help(format!("write `{known}` if that is meant")));
                }
                return;
            }
            Extra::Extensions | Extra::Refused => {}
        }
        let severity = if self.strict {
            Severity::Error
        } else {
            Severity::Warning
        };
        let holder = if object.name == "document" {
            "at the top level".to_owned()
        } else {
            format!("in {}", describe::with_article(object.name))
        };
        let message = format!("`{}` is not known {holder}, and has no effect", entry.key);
        let diagnostic = Diagnostic::new(severity, Code::UnknownKey, path, message).at_key();
        self.report(match object.nearest(&entry.key) {
            Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
            None => diagnostic.help(format!(
                "known are {}",
                one_of(object.fields.iter().map(|field| field.name))
            )),
        });
    }

    fn value(
        &mut self,
        node: &'tree Node,
        shape: &'static Shape,
        path: &FieldPath,
        siblings: &'tree Node,
    ) {
        match shape {
            Shape::Text(text) => self.text(node, *text, path),
            Shape::Flag => self.flag(node, path),
            Shape::Whole(whole) => self.whole(node, *whole, path),
            Shape::Real(real) => self.real(node, *real, path),
            Shape::Choice(choices) => self.choice(node, choices, path),
            Shape::Texts(text) => self.texts(node, *text, path),
            Shape::OneOrMore(text) => match node.value {
                Value::List(_) => self.texts(node, *text, path),
                _ => self.text(node, *text, path),
            },
            Shape::List(object) => self.list(node, object, path),
            Shape::Object(object) => self.object(node, object, path),
            Shape::ByKind(by_kind) => self.by_kind(node, by_kind, path, siblings),
            Shape::Map(keys, values) => self.map(node, *keys, values, path),
            Shape::Settings => self.settings(node, path),
            Shape::Body => self.body(node, path),
            Shape::Range => self.range(node, path),
            Shape::ForEach => {
                for_each::lower(node, path, self.document, &mut self.diagnostics);
            }
            Shape::Contract => {
                contract::lower(node, path, &mut self.diagnostics);
            }
            Shape::Version => {
                version::lower(node, path, &mut self.diagnostics);
            }
        }
    }

    fn text(&mut self, node: &Node, kind: Text, path: &FieldPath) {
        let node = match kind {
            Text::Duration => match settle(node, self.document) {
                Settled::Value(node) => node,
                Settled::Unknown(setting) => return self.unknown_setting(&setting, path),
                Settled::Late => return self.unresolvable(path),
            },
            _ => node,
        };
        let written = match &node.value {
            Value::Text(text) => text.value.clone(),
            Value::Number(number) if kind.takes_scalars() => number.written.clone(),
            Value::Boolean(value) if kind.takes_scalars() => value.to_string(),
            _ => {
                let name = path.last_key().unwrap_or_default();
                self.wrong_type(
                    node,
                    name,
                    "a text",
                    path,
                    describe::text_example(node, name),
                );
                return;
            }
        };
        if let Err(problem) = values::check(kind, &written) {
            self.problem(problem, path, false);
        }
    }

    fn problem(&mut self, problem: values::Problem, path: &FieldPath, at_key: bool) {
        let mut diagnostic = Diagnostic::error(problem.code, path.clone(), problem.message);
        diagnostic.help = problem.help;
        if at_key {
            diagnostic = diagnostic.at_key();
        } else if let Some(within) = problem.within {
            diagnostic = diagnostic.within(within);
        }
        self.report(diagnostic);
    }

    fn flag(&mut self, node: &Node, path: &FieldPath) {
        let settled = match settle(node, self.document) {
            Settled::Value(node) => node,
            Settled::Unknown(setting) => return self.unknown_setting(&setting, path),
            Settled::Late => return self.unresolvable(path),
        };
        if !matches!(settled.value, Value::Boolean(_)) {
            let name = path.last_key().unwrap_or_default();
            self.wrong_type(
                settled,
                name,
                "`true` or `false`",
                path,
                describe::flag_example(settled, name),
            );
        }
    }

    fn choice(&mut self, node: &Node, choices: &'static Choices, path: &FieldPath) {
        let name = path.last_key().unwrap_or_default();
        let Some(text) = node.as_text() else {
            let help = format!("write {}", one_of(choices.names()));
            self.wrong_type(node, name, "a text", path, help);
            return;
        };
        if choices.find(text).is_some() {
            return;
        }
        let shown = if self.masks.covers(node.span) {
            "this value".to_owned()
        } else {
            format!("`{text}`")
        };
        let diagnostic = Diagnostic::error(
            Code::UnknownValue,
            path.clone(),
            format!("{shown} is no value of `{name}`"),
        );
        let known = one_of(choices.names());
        self.report(match meant(text, &choices.names().collect::<Vec<_>>()) {
            Some(value) => diagnostic.help(format!("did you mean `{value}`? known are {known}")),
            None => diagnostic.help(format!("write {known}")),
        });
    }

    fn texts(&mut self, node: &Node, kind: Text, path: &FieldPath) {
        let Some(items) = node.as_list() else {
            let name = path.last_key().unwrap_or_default();
            self.wrong_type(
                node,
                name,
                "a list of texts",
                path,
                describe::texts_example(node, name),
            );
            return;
        };
        for (index, item) in items.iter().enumerate() {
            self.text(item, kind, &path.index(index));
        }
    }

    fn list(&mut self, node: &'tree Node, object: &'static Object, path: &FieldPath) {
        let name = path.last_key().unwrap_or_default();
        let Some(items) = node.as_list() else {
            self.wrong_type(
                node,
                name,
                "a list of objects",
                path,
                format!(
                    "begin each {} with `- `, even if there is only one",
                    object.name
                ),
            );
            return;
        };
        if items.is_empty() && name == "sinks" {
            let diagnostic = Diagnostic::error(
                Code::EmptyValue,
                path.clone(),
                "`sinks` is empty, and rows need somewhere to go",
            );
            self.report(
                diagnostic
                    .help("name one sink at least, as in `- {type: parquet, table_name: rows}`"),
            );
        }
        for (index, item) in items.iter().enumerate() {
            self.object(item, object, &path.index(index));
        }
    }

    fn by_kind(
        &mut self,
        node: &'tree Node,
        by_kind: &'static ByKind,
        path: &FieldPath,
        siblings: &Node,
    ) {
        let kind = siblings.get(by_kind.sibling).filter(|kind| !kind.is_null());
        let object = match kind {
            Some(kind) => kind.as_text().and_then(|kind| by_kind.object(Some(kind))),
            None => by_kind.object(None),
        };
        match object {
            Some(object) => self.object(node, object, path),
            // The kind is wrong or missing, which has been reported; which fields belong here can't be known.
            None => self.settings(node, path),
        }
    }

    fn map(&mut self, node: &'tree Node, keys: Text, values: &'static Shape, path: &FieldPath) {
        let Some(entries) = node.as_object() else {
            let name = path.last_key().unwrap_or_default();
            self.wrong_type(
                node,
                name,
                "an object",
                path,
                format!("write one `key: value` a line below `{name}`"),
            );
            return;
        };
        for entry in entries {
            let path = path.key(entry.key.as_str());
            if let Err(problem) = values::check(keys, &entry.key) {
                self.problem(problem, &path, true);
            }
            self.value(&entry.value, values, &path, node);
        }
    }

    fn settings(&mut self, node: &Node, path: &FieldPath) {
        if node.as_object().is_none() {
            let name = path.last_key().unwrap_or_default();
            self.wrong_type(
                node,
                name,
                "an object",
                path,
                format!("write one `key: value` a line below `{name}`"),
            );
        }
    }

    fn body(&mut self, node: &Node, path: &FieldPath) {
        match &node.value {
            Value::Text(_) | Value::List(_) | Value::Object(_) => self.body_templates(node, path),
            Value::Null | Value::Boolean(_) | Value::Number(_) => {
                let name = path.last_key().unwrap_or_default();
                self.wrong_type(
                    node,
                    name,
                    "a text, an object or a list",
                    path,
                    "write the body as a text or as an object".to_owned(),
                );
            }
        }
    }

    fn body_templates(&mut self, node: &Node, path: &FieldPath) {
        match &node.value {
            Value::Text(text) => {
                if let Err(problem) = values::check(Text::Template, &text.value) {
                    self.problem(problem, path, false);
                }
            }
            Value::List(items) => items
                .iter()
                .enumerate()
                .for_each(|(index, item)| self.body_templates(item, &path.index(index))),
            Value::Object(entries) => entries
                .iter()
                .for_each(|entry| self.body_templates(&entry.value, &path.key(entry.key.as_str()))),
            Value::Null | Value::Boolean(_) | Value::Number(_) => {}
        }
    }

    fn wrong_type(
        &mut self,
        node: &Node,
        name: &str,
        wanted: &str,
        path: &FieldPath,
        help: String,
    ) {
        let found = describe(node, self.masks);
        let name = if name.contains(' ') || name.is_empty() {
            name.to_owned()
        } else {
            format!("`{name}`")
        };
        let element = matches!(path.segments().last(), Some(crate::Segment::Index(_)));
        let subject = if element {
            format!("an element of {name}")
        } else {
            name
        };
        let diagnostic = Diagnostic::error(
            Code::WrongType,
            path.clone(),
            format!("{subject} takes {wanted}, and this is {found}"),
        );
        self.report(diagnostic.help(help));
    }
}

//! `for_each`: a list, a range or the rows of another stream, with or without the name of the variable.

use crate::Code;
use crate::check::{Settled, settle, whole_number};
use crate::diagnostic::Diagnostic;
use crate::fields::Text;
use crate::model::ForEach;
use crate::names::{nearest, one_of};
use crate::path::FieldPath;
use crate::tree::{Node, Value};
use crate::values;

/// Keys of the forms that name no variable before them.
const KEYS: [&str; 8] = [
    "variable",
    "values",
    "from",
    "to",
    "step",
    "endpoint",
    "field",
    "incremental",
];

/// The most values that a range has, so that a typing error doesn't make billions of requests.
const MAX_RANGE: i128 = 10_000_000;

const FORMS: &str = "write `[a, b]`, `{name: [a, b]}`, `{name: {from: 1, to: 9}}` or `{endpoint: parent, field: id}`";

/// Reads any of the forms; nothing where none fits, which is reported.
pub(crate) fn lower(
    node: &Node,
    path: &FieldPath,
    document: &Node,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<ForEach> {
    let mut reader = Reader {
        document,
        diagnostics,
    };
    match &node.value {
        Value::Object(entries)
            if entries.len() == 1 && !KEYS.contains(&entries[0].key.as_str()) =>
        {
            let entry = &entries[0];
            let path = path.key(entry.key.as_str());
            if let Err(problem) = values::check(Text::Variable, &entry.key) {
                let mut diagnostic =
                    Diagnostic::error(problem.code, path.clone(), problem.message).at_key();
                diagnostic.help = problem.help;
                reader.diagnostics.push(diagnostic);
            }
            reader.form(&entry.value, &path, Some(entry.key.clone()))
        }
        _ => reader.form(node, path, None),
    }
}

struct Reader<'a> {
    document: &'a Node,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn form(&mut self, node: &Node, path: &FieldPath, variable: Option<String>) -> Option<ForEach> {
        match &node.value {
            Value::List(_) => self.list(node, path, variable),
            Value::Object(_) => self.object(node, path, variable),
            Value::Text(_) => match settle(node, self.document) {
                Settled::Value(found) if found.as_list().is_some() => {
                    self.list(found, path, variable)
                }
                Settled::Unknown(setting) => {
                    let message = format!("`provider.config` has no `{setting}`");
                    self.diagnostics.push(
                        Diagnostic::error(Code::UnknownConfigKey, path.clone(), message)
                            .help("add the list to `config`, or write it here"),
                    );
                    None
                }
                Settled::Value(_) | Settled::Late => {
                    self.bad(path, "`for_each` is no list, range or stream")
                }
            },
            Value::Null | Value::Boolean(_) | Value::Number(_) => {
                self.bad(path, "`for_each` is no list, range or stream")
            }
        }
    }

    fn object(
        &mut self,
        node: &Node,
        path: &FieldPath,
        variable: Option<String>,
    ) -> Option<ForEach> {
        let variable = variable.or_else(|| self.text(node, "variable", path));
        for entry in node
            .as_object()
            .unwrap_or_default()
            .iter()
            .filter(|entry| !KEYS.contains(&entry.key.as_str()))
        {
            let help = nearest(&entry.key, KEYS).map_or_else(
                || format!("known are {}", one_of(KEYS)),
                |known| format!("did you mean `{known}`?"),
            );
            let message = format!("`{}` is not known in `for_each`", entry.key);
            self.diagnostics.push(
                Diagnostic::error(Code::BadForEach, path.key(entry.key.as_str()), message)
                    .at_key()
                    .help(help),
            );
        }
        let has = |key: &str| node.get(key).is_some();
        match (
            has("endpoint") || has("field"),
            has("from") || has("to"),
            node.get("values"),
        ) {
            (true, false, None) => self.parent(node, path, variable),
            (false, true, None) => self.range(node, path, variable),
            (false, false, Some(values)) => self.list(values, &path.key("values"), variable),
            (false, false, None) => self.bad(path, "`for_each` is no list, range or stream"),
            _ => self.bad(
                path,
                "`for_each` is several of a list, a range and a stream at once",
            ),
        }
    }

    fn parent(
        &mut self,
        node: &Node,
        path: &FieldPath,
        variable: Option<String>,
    ) -> Option<ForEach> {
        let endpoint = self.required(node, "endpoint", path);
        let field = self.required(node, "field", path);
        let incremental = match node.get("incremental").map(|node| &node.value) {
            None | Some(Value::Null) => false,
            Some(Value::Boolean(incremental)) => *incremental,
            Some(_) => {
                let diagnostic = Diagnostic::error(
                    Code::WrongType,
                    path.key("incremental"),
                    "`incremental` takes `true` or `false`",
                );
                self.diagnostics.push(
                    diagnostic.help("write `incremental: true` to go through new parent rows only"),
                );
                false
            }
        };
        Some(ForEach::Parent {
            variable,
            endpoint: endpoint?,
            field: field?,
            incremental,
        })
    }

    fn range(
        &mut self,
        node: &Node,
        path: &FieldPath,
        variable: Option<String>,
    ) -> Option<ForEach> {
        let from = self.whole(node, "from", path);
        let to = self.whole(node, "to", path);
        let step = if node.get("step").is_some_and(|step| !step.is_null()) {
            self.whole(node, "step", path)
        } else {
            Some(1)
        };
        let (from, to, step) = (from?, to?, step?);
        if step == 0 || (step > 0) != (to >= from) && from != to {
            let message = format!("the range from {from} to {to} by {step} has no values");
            self.diagnostics.push(
                Diagnostic::error(Code::RangeReversed, path.clone(), message).help(
                    "`from` and `to` are both part of the range; a negative `step` counts down",
                ),
            );
            return None;
        }
        let count = (i128::from(to) - i128::from(from)) / i128::from(step) + 1;
        if count > MAX_RANGE {
            let message = format!(
                "the range from {from} to {to} has {count} values, and at most {MAX_RANGE} are allowed"
            );
            self.diagnostics.push(
                Diagnostic::error(Code::OutOfRange, path.clone(), message)
                    .help("write a larger `step`, or several streams"),
            );
            return None;
        }
        Some(ForEach::Range {
            variable,
            from,
            to,
            step,
        })
    }

    fn list(&mut self, node: &Node, path: &FieldPath, variable: Option<String>) -> Option<ForEach> {
        let Some(items) = node.as_list() else {
            return self.bad(path, "the values of `for_each` are no list");
        };
        if items.is_empty() {
            let diagnostic = Diagnostic::error(
                Code::EmptyValue,
                path.clone(),
                "`for_each` has no values, so that nothing is requested",
            );
            self.diagnostics.push(diagnostic.help(
                "write one value at least, or switch the stream off with `is_active: false`",
            ));
            return None;
        }
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match &item.value {
                Value::Text(text) => values.push(text.value.clone()),
                Value::Number(number) => values.push(number.written.clone()),
                Value::Boolean(value) => values.push(value.to_string()),
                Value::Null | Value::List(_) | Value::Object(_) => {
                    let diagnostic = Diagnostic::error(
                        Code::WrongType,
                        path.index(index),
                        "a value of `for_each` is no text or number",
                    );
                    self.diagnostics
                        .push(diagnostic.help("write texts or numbers: `[AAPL, MSFT]`"));
                }
            }
        }
        Some(ForEach::List { variable, values })
    }

    fn required(&mut self, node: &Node, key: &str, path: &FieldPath) -> Option<String> {
        if node.get(key).is_none_or(Node::is_null) {
            let message = format!("`for_each` over another stream has no `{key}`");
            self.diagnostics.push(
                Diagnostic::error(Code::MissingField, path.key(key), message)
                    .help("write `{endpoint: parent, field: id}`"),
            );
            return None;
        }
        self.text(node, key, path)
    }

    fn text(&mut self, node: &Node, key: &str, path: &FieldPath) -> Option<String> {
        let value = node.get(key).filter(|value| !value.is_null())?;
        let text = value
            .as_text()
            .filter(|text| !text.trim().is_empty())
            .map(str::to_owned);
        if text.is_none() {
            let diagnostic = Diagnostic::error(
                Code::WrongType,
                path.key(key),
                format!("`{key}` takes a text"),
            );
            self.diagnostics
                .push(diagnostic.help(format!("write `{key}: name`")));
        }
        text
    }

    fn whole(&mut self, node: &Node, key: &str, path: &FieldPath) -> Option<i64> {
        let Some(value) = node.get(key) else {
            let diagnostic = Diagnostic::error(
                Code::MissingField,
                path.key(key),
                format!("a range has no `{key}`"),
            );
            self.diagnostics
                .push(diagnostic.help("write `{from: 1, to: 9}`, and a `step` if it is not 1"));
            return None;
        };
        let settled = match settle(value, self.document) {
            Settled::Value(node) => whole_number(node),
            Settled::Unknown(_) | Settled::Late => None,
        };
        let number = settled.and_then(|number| i64::try_from(number).ok());
        if number.is_none() {
            let diagnostic = Diagnostic::error(
                Code::WrongType,
                path.key(key),
                format!("`{key}` takes a whole number"),
            );
            self.diagnostics
                .push(diagnostic.help(format!("write `{key}: 1`")));
        }
        number
    }

    fn bad(&mut self, path: &FieldPath, message: &str) -> Option<ForEach> {
        self.diagnostics
            .push(Diagnostic::error(Code::BadForEach, path.clone(), message).help(FORMS));
        None
    }
}

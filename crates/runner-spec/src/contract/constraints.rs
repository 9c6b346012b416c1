//! What a property demands of its values beside their type.

use super::Reader;
use super::keywords::CHECKED_FORMATS;
use crate::Code;
use crate::check::{real_number, whole_number};
use crate::diagnostic::Diagnostic;
use crate::model::{Constraints, PropertyType};
use crate::path::FieldPath;
use crate::tree::{Node, Value};
use crate::values;

impl Reader<'_> {
    pub(super) fn constraints(
        &mut self,
        node: &Node,
        kind: Option<PropertyType>,
        path: &FieldPath,
    ) -> Constraints {
        let constraints = Constraints {
            minimum: self.number(node, "minimum", path),
            maximum: self.number(node, "maximum", path),
            exclusive_minimum: self.number(node, "exclusiveMinimum", path),
            exclusive_maximum: self.number(node, "exclusiveMaximum", path),
            multiple_of: self.divisor(node, path),
            min_length: self.count(node, "minLength", path),
            max_length: self.count(node, "maxLength", path),
            pattern: self.pattern(node, path),
            min_items: self.count(node, "minItems", path),
            max_items: self.count(node, "maxItems", path),
            unique_items: self.flag(node, "uniqueItems", path),
            enumeration: self
                .enumeration(node, path)
                .filter(|_| self.has_values(node, kind, "enum", path)),
            constant: node
                .get("const")
                .map(Node::to_json)
                .filter(|_| self.has_values(node, kind, "const", path)),
            format: checked_format(node, kind),
        };
        let lengths = |value: Option<u64>| value.map(|value| value.to_string());
        self.check_order(
            constraints.minimum,
            constraints.maximum,
            ["minimum", "maximum"],
            path,
        );
        self.check_order(
            constraints.exclusive_minimum,
            constraints.exclusive_maximum,
            ["exclusiveMinimum", "exclusiveMaximum"],
            path,
        );
        for (minimum, maximum, names) in [
            (
                constraints.min_length,
                constraints.max_length,
                ["minLength", "maxLength"],
            ),
            (
                constraints.min_items,
                constraints.max_items,
                ["minItems", "maxItems"],
            ),
        ] {
            if minimum
                .zip(maximum)
                .is_some_and(|(minimum, maximum)| minimum > maximum)
            {
                self.reversed(
                    &lengths(minimum).unwrap_or_default(),
                    &lengths(maximum).unwrap_or_default(),
                    names,
                    path,
                );
            }
        }
        constraints
    }

    fn check_order(
        &mut self,
        minimum: Option<f64>,
        maximum: Option<f64>,
        names: [&str; 2],
        path: &FieldPath,
    ) {
        if let (Some(minimum), Some(maximum)) = (minimum, maximum)
            && minimum > maximum
        {
            self.reversed(&minimum.to_string(), &maximum.to_string(), names, path);
        }
    }

    fn reversed(&mut self, minimum: &str, maximum: &str, names: [&str; 2], path: &FieldPath) {
        let message = format!(
            "`{}` {minimum} is above `{}` {maximum}, so that no value fits",
            names[0], names[1]
        );
        self.diagnostics.push(
            Diagnostic::error(Code::RangeReversed, path.key(names[0]), message)
                .help("swap the two"),
        );
    }

    fn number(&mut self, node: &Node, keyword: &str, path: &FieldPath) -> Option<f64> {
        let value = node.get(keyword).filter(|value| !value.is_null())?;
        let number = if matches!(value.value, Value::Number(_)) {
            real_number(value)
        } else {
            None
        };
        if number.is_none() {
            let diagnostic = Diagnostic::error(
                Code::WrongType,
                path.key(keyword),
                format!("`{keyword}` takes a number"),
            );
            let help = match value.value {
                Value::Boolean(_) => {
                    format!("since draft 6 of JSON Schema it is the bound itself: `{keyword}: 0`")
                }
                _ => format!("write `{keyword}: 0`, without quotes"),
            };
            self.diagnostics.push(diagnostic.help(help));
        }
        number
    }

    fn divisor(&mut self, node: &Node, path: &FieldPath) -> Option<f64> {
        let divisor = self.number(node, "multipleOf", path)?;
        if divisor > 0.0 {
            return Some(divisor);
        }
        let diagnostic = Diagnostic::error(
            Code::WrongType,
            path.key("multipleOf"),
            "`multipleOf` takes a number above 0",
        );
        self.diagnostics
            .push(diagnostic.help("write `multipleOf: 1` for whole numbers"));
        None
    }

    pub(super) fn flag(&mut self, node: &Node, keyword: &str, path: &FieldPath) -> bool {
        match node.get(keyword).map(|node| &node.value) {
            None | Some(Value::Null) => false,
            Some(Value::Boolean(flag)) => *flag,
            Some(_) => {
                let diagnostic = Diagnostic::error(
                    Code::WrongType,
                    path.key(keyword),
                    format!("`{keyword}` takes `true` or `false`"),
                );
                self.diagnostics
                    .push(diagnostic.help(format!("write `{keyword}: true`, without quotes")));
                false
            }
        }
    }

    /// Whether values of this type are compared with those of `enum` and `const`; where they aren't, it is said.
    fn has_values(
        &mut self,
        node: &Node,
        kind: Option<PropertyType>,
        keyword: &str,
        path: &FieldPath,
    ) -> bool {
        if !matches!(kind, Some(PropertyType::Array | PropertyType::Object)) {
            return true;
        }
        if node.get(keyword).is_some() {
            let diagnostic = Diagnostic::warning(
                Code::ContractKeyword,
                path.key(keyword),
                format!("`{keyword}` of an array or object is not checked"),
            );
            self.diagnostics.push(
                diagnostic
                    .at_key()
                    .help("state it of the items or properties that are single values"),
            );
        }
        false
    }

    fn count(&mut self, node: &Node, keyword: &str, path: &FieldPath) -> Option<u64> {
        let value = node.get(keyword).filter(|value| !value.is_null())?;
        let count = if matches!(value.value, Value::Number(_)) {
            whole_number(value)
        } else {
            None
        };
        let count = count.and_then(|count| u64::try_from(count).ok());
        if count.is_none() {
            let diagnostic = Diagnostic::error(
                Code::WrongType,
                path.key(keyword),
                format!("`{keyword}` takes a whole number from 0"),
            );
            self.diagnostics
                .push(diagnostic.help(format!("write `{keyword}: 1`")));
        }
        count
    }

    fn pattern(&mut self, node: &Node, path: &FieldPath) -> Option<String> {
        let value = node.get("pattern").filter(|value| !value.is_null())?;
        let path = path.key("pattern");
        let Some(pattern) = value.as_text() else {
            let diagnostic = Diagnostic::error(
                Code::WrongType,
                path,
                "`pattern` takes a regular expression",
            );
            self.diagnostics
                .push(diagnostic.help("write it in single quotes: `pattern: '^[A-Z]+$'`"));
            return None;
        };
        match values::check_regex(pattern) {
            Ok(()) => Some(pattern.to_owned()),
            Err(problem) => {
                let mut diagnostic = Diagnostic::error(problem.code, path, problem.message);
                diagnostic.help = problem.help;
                self.diagnostics.push(diagnostic);
                None
            }
        }
    }

    fn enumeration(&mut self, node: &Node, path: &FieldPath) -> Option<Vec<serde_json::Value>> {
        let value = node.get("enum").filter(|value| !value.is_null())?;
        match value.as_list() {
            Some(items) if !items.is_empty() => Some(items.iter().map(Node::to_json).collect()),
            _ => {
                let diagnostic = Diagnostic::error(
                    Code::WrongType,
                    path.key("enum"),
                    "`enum` takes a list of the values that are allowed",
                );
                self.diagnostics
                    .push(diagnostic.help("write `enum: [buy, sell]`"));
                None
            }
        }
    }
}

/// A format that is checked and isn't a type of its own.
fn checked_format(node: &Node, kind: Option<PropertyType>) -> Option<String> {
    let format = node.get("format")?.as_text()?;
    let is_text = matches!(kind, None | Some(PropertyType::String));
    let is_checked = CHECKED_FORMATS.contains(&format);
    (is_checked && is_text).then(|| format.to_owned())
}

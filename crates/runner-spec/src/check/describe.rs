//! Words for values and fields: what was found, what is wanted, how it is written.

use crate::fields::{Field, Object, Shape};
use crate::redact::Masks;
use crate::tree::{Node, Value};

/// The longest value that a message repeats, in characters.
const MAX_SHOWN_CHARACTERS: usize = 60;

/// What a value is, as in "this is the text `abc`". Secrets are not shown.
pub(crate) fn describe(node: &Node, masks: &Masks) -> String {
    match &node.value {
        Value::Null => "nothing".to_owned(),
        Value::Boolean(value) => format!("`{value}`"),
        Value::Number(_) | Value::Text(_) if masks.covers(node.span) => "a text".to_owned(),
        Value::Number(number) => format!("the number `{}`", shorten(&number.written)),
        Value::Text(text) => format!("the text `{}`", shorten(&text.value)),
        Value::List(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= MAX_SHOWN_CHARACTERS && line.len() == text.trim_end().len() {
        return line.to_owned();
    }
    format!(
        "{}…",
        line.chars().take(MAX_SHOWN_CHARACTERS).collect::<String>()
    )
}

/// "a sink", "an endpoint", "the `slos`".
pub(super) fn with_article(object: &str) -> String {
    match object {
        "document" => "a document".to_owned(),
        "endpoint" => "an endpoint".to_owned(),
        "provider" | "sink" | "transform" => format!("a {object}"),
        _ => format!("`{object}`"),
    }
}

/// How a missing field is added.
pub(super) fn add_help(field: &Field) -> String {
    let example = match field.shape {
        Shape::List(_) | Shape::Texts(_) => ": […]",
        Shape::Object(_)
        | Shape::Map(..)
        | Shape::Settings
        | Shape::ByKind(_)
        | Shape::Contract => ": {…}",
        _ => ": …",
    };
    let mut description = field.description.to_owned();
    if let Some(first) = description.get(..1) {
        let first = first.to_lowercase();
        // A word in capitals stays as it is.
        if !description
            .get(1..2)
            .is_some_and(|second| second.chars().all(char::is_uppercase))
        {
            description.replace_range(..1, &first);
        }
    }
    format!("add `{}{example}` ({description})", field.name)
}

pub(super) fn object_example(node: &Node, object: &Object) -> String {
    match &node.value {
        Value::List(items) if items.iter().any(|item| item.as_object().is_some()) => {
            "remove the `- `: one object is needed, not a list of them".to_owned()
        }
        _ => {
            let names: Vec<String> = object
                .fields
                .iter()
                .take(2)
                .map(|field| format!("`{}: …`", field.name))
                .collect();
            format!("write its fields a line each, as in {}", names.join(", "))
        }
    }
}

pub(super) fn text_example(node: &Node, name: &str) -> String {
    match &node.value {
        Value::Number(number) => format!("put it into quotes: `{name}: \"{}\"`", number.written),
        Value::Boolean(value) => format!("put it into quotes: `{name}: \"{value}\"`"),
        Value::List(items) if items.len() == 1 => {
            "remove the brackets or the `- `: one text is needed".to_owned()
        }
        Value::Object(_) => {
            format!("write `{name}: text`; a template needs quotes: `{name}: \"{{{{ name }}}}\"`")
        }
        Value::Null | Value::Text(_) | Value::List(_) => format!("write `{name}: text`"),
    }
}

pub(super) fn texts_example(node: &Node, name: &str) -> String {
    match &node.value {
        Value::Text(text) if !text.value.contains(['\n', ':']) && text.value.len() <= 40 => {
            let items: Vec<&str> = text.value.split(',').map(str::trim).collect();
            format!("write `{name}: [{}]`", items.join(", "))
        }
        _ => format!("write `{name}: [one, two]`"),
    }
}

pub(super) fn flag_example(node: &Node, name: &str) -> String {
    let text = node.as_text().unwrap_or_default().to_ascii_lowercase();
    match text.as_str() {
        "yes" | "on" | "y" => format!("write `{name}: true`: in YAML 1.2 `{text}` is a text"),
        "no" | "off" | "n" => format!("write `{name}: false`: in YAML 1.2 `{text}` is a text"),
        "true" | "false" => format!("write `{name}: {text}`, without quotes"),
        _ => format!("write `{name}: true` or `{name}: false`"),
    }
}

pub(super) fn number_example(node: &Node, name: &str, example: &str) -> String {
    let digits: String = node
        .as_text()
        .unwrap_or_default()
        .trim()
        .chars()
        .take_while(|character| character.is_ascii_digit() || *character == '.')
        .collect();
    let example = if digits.is_empty() {
        example
    } else {
        digits.trim_end_matches('.')
    };
    format!("write `{name}: {example}`")
}

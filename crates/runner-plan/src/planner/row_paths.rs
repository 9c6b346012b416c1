//! Paths into documents and rows: keys, dotted paths and JSONPath.

use crate::model::{RowPath, RowPathStep};

/// A path as a mapping or a setting writes it: a key, a dotted path, or a JSONPath (which begins with `$`).
pub(crate) fn parse_field_path(text: &str) -> Option<RowPath> {
    if is_json_path(text) {
        return parse_json_path(text);
    }
    if text.contains('[') {
        return parse_json_path(&format!("$.{text}")).or_else(|| Some(key(text)));
    }
    let names: Vec<&str> = text.split('.').collect();
    if names.iter().any(|name| name.is_empty()) {
        // No path: a key that happens to have a dot.
        return Some(key(text));
    }
    let steps = names
        .into_iter()
        .map(|name| RowPathStep::Name(name.to_owned()));
    Some(RowPath::Steps(steps.collect()))
}

/// A JSONPath: steps where it is names, indices and `[*]`, else a query (RFC 9535). Nothing where it is neither.
pub fn parse_json_path(text: &str) -> Option<RowPath> {
    let text = text.trim();
    if let Some(steps) = text.strip_prefix('$').and_then(parse_steps) {
        return Some(RowPath::Steps(steps));
    }
    runner_spec::parse_json_path(text).ok()?;
    Some(RowPath::Query(text.to_owned()))
}

fn is_json_path(text: &str) -> bool {
    text == "$" || text.starts_with("$.") || text.starts_with("$[")
}

fn key(text: &str) -> RowPath {
    RowPath::Steps(vec![RowPathStep::Name(text.to_owned())])
}

fn parse_steps(mut rest: &str) -> Option<Vec<RowPathStep>> {
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = if let Some(inner) = rest.strip_prefix('[') {
            bracketed(inner)?
        } else {
            named(rest.strip_prefix('.')?)?
        };
        steps.push(step);
        rest = after;
    }
    Some(steps)
}

fn named(text: &str) -> Option<(RowPathStep, &str)> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let mut characters = name.chars();
    let is_name = characters
        .next()
        .is_some_and(|first| first.is_alphabetic() || first == '_')
        && characters.all(|character| character.is_alphanumeric() || character == '_');
    is_name.then(|| (RowPathStep::Name(name.to_owned()), rest))
}

fn bracketed(text: &str) -> Option<(RowPathStep, &str)> {
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote) {
            let (name, rest) = inner.split_once(quote)?;
            let rest = rest.strip_prefix(']')?;
            // An escape needs the real parser.
            return (!name.contains('\\')).then(|| (RowPathStep::Name(name.to_owned()), rest));
        }
    }
    let (selector, rest) = text.split_once(']')?;
    if selector == "*" {
        return Some((RowPathStep::Each, rest));
    }
    let is_canonical = selector == "0" || !selector.starts_with('0');
    let is_index = is_canonical && selector.bytes().all(|byte| byte.is_ascii_digit());
    let index = selector.parse().ok().filter(|_| is_index)?;
    Some((RowPathStep::Index(index), rest))
}

/// The path as people write it.
pub(crate) fn path_text(path: &RowPath) -> String {
    let steps = match path {
        RowPath::Query(query) => return query.clone(),
        RowPath::Steps(steps) => steps,
    };
    if steps.is_empty() {
        return "$".to_owned();
    }
    let mut text = String::new();
    for step in steps {
        match step {
            RowPathStep::Name(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            RowPathStep::Index(index) => text.extend(["[", &index.to_string(), "]"]),
            RowPathStep::Each => text.push_str("[*]"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(path: Option<RowPath>) -> String {
        match path {
            None => "none".to_owned(),
            Some(RowPath::Query(query)) => format!("query {query}"),
            Some(steps) => path_text(&steps),
        }
    }

    #[test]
    fn names_indices_and_each_are_steps() {
        for (text, expected) in [
            ("$", "$"),
            ("$.data.items", "data.items"),
            ("$.data.items[*]", "data.items[*]"),
            ("$['odd name'][0].x", "odd name[0].x"),
            ("$[\"a\"]", "a"),
            ("$[*].row", "[*].row"),
            ("$..items", "query $..items"),
            ("$.items[?@.ok == true]", "query $.items[?@.ok == true]"),
            ("$.items[-1]", "query $.items[-1]"),
            ("$.items[0:2]", "query $.items[0:2]"),
            ("$.*", "query $.*"),
            ("$['it\\'s']", "query $['it\\'s']"),
            ("$.items[", "none"),
            ("$items", "none"),
            ("items", "none"),
        ] {
            assert_eq!(
                shown(parse_json_path(text)).replace('"', "'"),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn fields_are_keys_dotted_paths_or_json_paths() {
        for (text, expected) in [
            ("o", "o"),
            ("quote.price", "quote.price"),
            ("1. open", "1. open"),
            ("items[0].id", "items[0].id"),
            ("tags[*]", "tags[*]"),
            ("$.a.b", "a.b"),
            ("a..b", "a..b"),
            ("odd name", "odd name"),
            ("$price", "$price"),
            ("a[b", "a[b"),
        ] {
            assert_eq!(shown(parse_field_path(text)), expected, "{text}");
        }
        assert_eq!(parse_field_path("a..b"), Some(key("a..b")));
        assert_eq!(parse_field_path("$price"), Some(key("$price")));
    }

    proptest! {
        #[test]
        fn any_text_is_a_path_or_none(text in "[$.a-z\\[\\]*'\"0-9?@ ]{0,20}") {
            let _ = parse_json_path(&text);
            prop_assert!(is_json_path(&text) || parse_field_path(&text).is_some());
        }
    }
}

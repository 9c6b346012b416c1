//! JSONPath, and the shorter ways to name a field.

use serde_json_path::{JsonPath, ParseError};

use super::Problem;
use crate::Code;

/// Whether a field is named by a JSONPath rather than by a key or a dotted path.
pub fn is_json_path(text: &str) -> bool {
    text == "$" || text.starts_with("$.") || text.starts_with("$[")
}

/// A JSONPath (RFC 9535).
pub fn parse_json_path(text: &str) -> Result<JsonPath, ParseError> {
    // The parser panics on a text that ends within such an escape. Without the rest of the escape it is the same mistake.
    let cut_off = [r"\u", r"\uD", r"\ud"]
        .iter()
        .find_map(|escape| text.strip_suffix(escape));
    match cut_off {
        Some(before) => JsonPath::parse(&format!(r"{before}\")),
        None => JsonPath::parse(text),
    }
}

pub(super) fn check_json_path(text: &str) -> Result<(), Problem> {
    if text.trim().is_empty() {
        return Err(Problem::new(Code::EmptyValue, "the path is empty")
            .help("write `$` for the whole response"));
    }
    if !text.starts_with('$') {
        return Err(Problem::new(
            Code::BadJsonPath,
            format!("`{text}` is no JSONPath: it doesn't begin with `$`"),
        )
        .help(format!("write `{}`", suggestion(text))));
    }
    match parse_json_path(text) {
        Ok(_) => Ok(()),
        Err(error) => {
            let at = error.position().saturating_sub(1).min(text.len());
            let within = text
                .get(at..)
                .and_then(|rest| rest.chars().next())
                .map(|character| at..at + character.len_utf8());
            let reason = error
                .message()
                .lines()
                .next()
                .unwrap_or_default()
                .to_lowercase();
            // All that the parser says of most mistakes; the place says more.
            let reason = if reason == "parser error" {
                String::new()
            } else {
                format!(": {reason}")
            };
            Err(Problem::new(Code::BadJsonPath, format!("`{text}` is no JSONPath{reason}"))
                .help("write a path like `$.data.items[*]`; a name with other characters is written `$['odd-name']`")
                .within(within))
        }
    }
}

/// A key, a dotted path or a JSONPath of the raw row.
pub(super) fn check_field_path(text: &str) -> Result<(), Problem> {
    if is_json_path(text) {
        return check_json_path(text);
    }
    if text.trim().is_empty() {
        return Err(
            Problem::new(Code::EmptyValue, "the name of a field is empty")
                .help("write a key, a dotted path or a JSONPath of the raw row"),
        );
    }
    Ok(())
}

/// `data.items` → `$.data.items`.
fn suggestion(text: &str) -> String {
    let plain = |part: &str| {
        part.starts_with(|character: char| character.is_alphabetic() || character == '_')
            && part.chars().all(|character| {
                character.is_alphanumeric() || matches!(character, '_' | '[' | ']' | '*')
            })
    };
    let text = text.trim_start_matches('.');
    text.split('.').fold("$".to_owned(), |path, part| {
        if plain(part) {
            format!("{path}.{part}")
        } else {
            format!("{path}['{part}']")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_ends_within_an_escape_is_refused() {
        for text in [
            r"$['a\u",
            r"$['a\uD",
            r"$['a\ud",
            r"$['\uD83D\u",
            r"$['\uD83D\ud",
            r"$['a\u00",
            r"$.a\u",
            r"$['a\\u",
        ] {
            assert!(parse_json_path(text).is_err(), "{text}");
            assert!(check_json_path(text).is_err(), "{text}");
        }
        assert!(parse_json_path(r"$['\uD83D\uDE00']").is_ok());
        assert!(parse_json_path(r"$['a\\u']").is_ok());
    }
}

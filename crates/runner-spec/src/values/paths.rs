//! JSONPath, and the shorter ways to name a field.

use serde_json_path::JsonPath;

use super::Problem;
use crate::Code;

/// Whether a field is named by a JSONPath rather than by a key or a dotted path.
pub fn is_json_path(text: &str) -> bool {
    text == "$" || text.starts_with("$.") || text.starts_with("$[")
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
    match JsonPath::parse(text) {
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

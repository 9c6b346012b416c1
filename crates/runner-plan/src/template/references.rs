//! Which names a template uses.

use std::sync::LazyLock;

use minijinja::Environment;
use regex::Regex;
use serde::{Deserialize, Serialize};

use super::error::TemplateError;

/// A name in a template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VariableRef {
    /// `ticker`, `config.api.version`, `secrets.NAME`.
    pub name: String,
    /// The template says itself what happens without it: `{{ name | default('x') }}`, `{% if name is defined %}`.
    pub is_optional: bool,
}

/// Names below which every entry has to be named.
const SECRET_NAMESPACES: [&str; 2] = ["secrets", "secret"];

/// `name["entry"]`, which the parser reports as `name` alone.
#[expect(clippy::expect_used, reason = "a constant pattern, compiled by a test")]
static SUBSCRIPT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"\b([A-Za-z_]\w*)\s*\[\s*(?:"([^"\\]+)"|'([^'\\]+)')\s*\]"#)
        .expect("the pattern is valid")
});

impl VariableRef {
    /// The name up to the first dot.
    pub fn root(&self) -> &str {
        self.name.split('.').next().unwrap_or(&self.name)
    }
}

pub(super) fn references(
    environment: &Environment<'static>,
    name: &str,
    source: &str,
) -> Result<Vec<VariableRef>, TemplateError> {
    let template = environment
        .get_template(name)
        .map_err(|error| TemplateError::syntax(&error))?;
    let mut names = Vec::new();
    for name in template.undeclared_variables(true) {
        if environment.globals().any(|(global, _)| global == name) {
            continue;
        }
        let is_secret = SECRET_NAMESPACES.contains(&name.as_str());
        if is_secret || name == "run" {
            let entries = subscripts(source, &name);
            if entries.is_empty() {
                return Err(TemplateError::WholeNamespace { namespace: name });
            }
            names.extend(entries.into_iter().map(|entry| format!("{name}.{entry}")));
        } else {
            names.push(name);
        }
    }
    names.sort();
    names.dedup();
    Ok(names
        .into_iter()
        .map(|name| VariableRef {
            is_optional: is_optional(source, &name),
            name,
        })
        .collect())
}

fn subscripts(source: &str, name: &str) -> Vec<String> {
    SUBSCRIPT
        .captures_iter(source)
        .filter(|captures| captures.get(1).is_some_and(|root| root.as_str() == name))
        .filter_map(|captures| captures.get(2).or_else(|| captures.get(3)))
        .map(|entry| entry.as_str().to_owned())
        .collect()
}

/// Whether some use of the name is guarded by `default` or a test for being there.
fn is_optional(source: &str, name: &str) -> bool {
    source.match_indices(name).any(|(start, _)| {
        let before = source[..start].chars().next_back();
        let is_whole_word = before.is_none_or(|character| !is_word(character) && character != '.');
        let rest = source[start + name.len()..].trim_start();
        is_whole_word && is_guarded(rest)
    })
}

fn is_guarded(rest: &str) -> bool {
    let next_word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|character| is_word(*character))
            .collect()
    };
    if let Some(filter) = rest.strip_prefix('|') {
        return matches!(next_word(filter).as_str(), "default" | "d");
    }
    let Some(test) = rest.strip_prefix("is ") else {
        return false;
    };
    let test = test.trim_start();
    let test = test.strip_prefix("not ").unwrap_or(test);
    matches!(next_word(test).as_str(), "defined" | "undefined")
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

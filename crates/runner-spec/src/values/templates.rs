//! Templates: whether they are well formed, and what they refer to.

use minijinja::Environment;

use super::Problem;
use crate::Code;

/// A name that a template looks up, with what it is read from: `config.a.b` is `["config", "a", "b"]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    pub(crate) parts: Vec<String>,
}

impl Reference {
    pub(crate) fn root(&self) -> &str {
        self.parts.first().map_or("", String::as_str)
    }
}

/// Whether a text has anything that is rendered.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

pub(super) fn check(text: &str) -> Result<(), Problem> {
    let mut environment = Environment::empty();
    environment.set_debug(true);
    let Err(error) = environment.template_from_str(text) else {
        return Ok(());
    };
    let reason = error.detail().unwrap_or("it can't be parsed").to_owned();
    let (message, help) = if text.matches("{{").count() > text.matches("}}").count() {
        (
            "a `{{` of this template is never closed".to_owned(),
            "write `{{ name }}`".to_owned(),
        )
    } else {
        (
            format!("the template is not well formed: {reason}"),
            "write `{{ name }}`, or `{{ name | filter }}`".to_owned(),
        )
    };
    let within = error
        .range()
        .filter(|range| range.start < range.end && text.get(range.clone()).is_some());
    Err(Problem::new(Code::TemplateSyntax, message)
        .help(help)
        .within(within))
}

/// What a template looks up; nothing where it is none or can't be parsed.
pub(crate) fn references(text: &str) -> Vec<Reference> {
    if !is_template(text) {
        return Vec::new();
    }
    let environment = Environment::empty();
    let Ok(template) = environment.template_from_str(text) else {
        return Vec::new();
    };
    let mut found: Vec<Reference> = template
        .undeclared_variables(true)
        .into_iter()
        .map(|name| Reference {
            parts: name.split('.').map(str::to_owned).collect(),
        })
        .collect();
    found.sort();
    found
}

/// The path of a setting where a text is nothing but `{{ config.a.b }}`.
pub(crate) fn setting(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
    let path = inner.strip_prefix("config.")?;
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|character| character.is_alphanumeric() || character == '_')
    };
    path.split('.')
        .all(plain)
        .then(|| path.split('.').map(str::to_owned).collect())
}

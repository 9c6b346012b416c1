//! Templates: text with `{{ variables }}`, rendered when a value is needed.
//!
//! The language is Jinja's. A template is stored as its text ([`Template`]), compiled once ([`CompiledTemplate`]) and rendered
//! against a [`Scope`], which is asked for every name before rendering starts: a name that is nowhere is an error that says
//! where it was looked for, unless the template itself provides for it (`default`, `is defined`).
//!
//! Three renderings: to text; to a URL, where the values of variables are percent-encoded and the template's own text is not;
//! to a JSON value, where a text that is exactly one expression keeps the type of its value.

mod compiled;
mod dates;
mod error;
mod filters;
mod json;
mod references;
mod scope;
mod urls;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub(crate) use dates::{format_time, from_epoch, parse_instant};

pub use compiled::{CompiledTemplate, Rendered, RenderedJson};
pub use error::TemplateError;
pub use filters::FILTERS;
pub use json::JsonTemplate;
pub use references::VariableRef;
pub use scope::{ConfigScope, Layers, NamedTexts, RunScope, Scope, ScopeValue};

/// A text that may hold `{{ variables }}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Template(pub String);

impl Template {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A template that renders to exactly this text, whatever is in it.
    pub fn literal(text: &str) -> Self {
        if Self::new(text).is_constant() {
            return Self::new(text);
        }
        // A string literal of the template language: no delimiter in it means anything.
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        Self(format!("{{{{ \"{quoted}\" | safe }}}}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it needs rendering at all.
    pub fn is_constant(&self) -> bool {
        !["{{", "{%", "{#"]
            .iter()
            .any(|delimiter| self.0.contains(delimiter))
    }

    pub fn compile(&self) -> Result<CompiledTemplate, TemplateError> {
        CompiledTemplate::new(&self.0)
    }

    /// The names it uses, sorted.
    pub fn variables(&self) -> Result<Vec<VariableRef>, TemplateError> {
        Ok(self.compile()?.variables().to_vec())
    }
}

impl From<&str> for Template {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl std::fmt::Display for Template {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

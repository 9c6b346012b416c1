//! Where the names of a template are looked up.

use std::collections::BTreeMap;

use runner_spec::model::Settings;
use serde_json::Value;

/// A value that a scope has for a name.
#[derive(Clone, PartialEq)]
pub enum ScopeValue {
    /// Parameters, window bounds, values of parents: always text.
    Text(String),
    /// A setting, with its JSON type.
    Json(Value),
    /// A secret's value; what it is rendered into has to be treated as secret too.
    Secret(String),
}

impl std::fmt::Debug for ScopeValue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => formatter.debug_tuple("Text").field(text).finish(),
            Self::Json(value) => formatter.debug_tuple("Json").field(value).finish(),
            Self::Secret(_) => formatter.write_str("Secret(***)"),
        }
    }
}

/// A place where names are looked up.
pub trait Scope {
    /// The value of a name: plain (`ticker`), or dotted in a namespace (`config.api.version`, `secrets.NAME`, `run.id`).
    fn lookup(&self, name: &str) -> Option<ScopeValue>;

    /// What it looks through, for the message about a name that is nowhere: `the run's parameters`.
    fn places(&self) -> Vec<String>;
}

/// Scopes in the order in which they are asked; the first that knows a name decides.
#[derive(Clone)]
pub struct Layers<'a>(pub Vec<&'a dyn Scope>);

impl std::fmt::Debug for Layers<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("Layers")
            .field(&self.places())
            .finish()
    }
}

impl Scope for Layers<'_> {
    fn lookup(&self, name: &str) -> Option<ScopeValue> {
        self.0.iter().find_map(|scope| scope.lookup(name))
    }

    fn places(&self) -> Vec<String> {
        self.0.iter().flat_map(|scope| scope.places()).collect()
    }
}

/// Texts by name: parameters, window bounds, the values of a chain.
#[derive(Clone, Copy, Debug)]
pub struct NamedTexts<'a> {
    /// What they are, for messages.
    pub place: &'a str,
    pub values: &'a BTreeMap<String, String>,
}

impl Scope for NamedTexts<'_> {
    fn lookup(&self, name: &str) -> Option<ScopeValue> {
        self.values.get(name).cloned().map(ScopeValue::Text)
    }

    fn places(&self) -> Vec<String> {
        vec![self.place.to_owned()]
    }
}

/// `{{ config.a.b }}`: the provider's settings.
#[derive(Clone, Copy, Debug)]
pub struct ConfigScope<'a>(pub &'a Settings);

impl Scope for ConfigScope<'_> {
    fn lookup(&self, name: &str) -> Option<ScopeValue> {
        let mut steps = name.split('.');
        if steps.next() != Some("config") {
            return None;
        }
        let mut steps = steps.peekable();
        if steps.peek().is_none() {
            return Some(ScopeValue::Json(Value::Object(self.0.clone())));
        }
        let first = self.0.get(steps.next()?)?;
        let value = steps.try_fold(first, |value, step| match value {
            Value::Object(entries) => entries.get(step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })?;
        Some(ScopeValue::Json(value.clone()))
    }

    fn places(&self) -> Vec<String> {
        vec!["`config`".to_owned()]
    }
}

/// `{{ run.id }}`, `{{ run.started_at }}` and `{{ tenant_id }}`.
#[derive(Clone, Debug)]
pub struct RunScope {
    pub job_id: String,
    /// The nominal time, RFC 3339.
    pub started_at: String,
    pub tenant_id: String,
}

impl Scope for RunScope {
    fn lookup(&self, name: &str) -> Option<ScopeValue> {
        let text = match name {
            "run.id" => &self.job_id,
            "run.started_at" => &self.started_at,
            "tenant_id" => &self.tenant_id,
            _ => return None,
        };
        Some(ScopeValue::Text(text.clone()))
    }

    fn places(&self) -> Vec<String> {
        vec!["`run`".to_owned()]
    }
}

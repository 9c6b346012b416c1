//! Templates in JSON, and values on their way between JSON and the template language.

use minijinja::Value;
use minijinja::value::ValueKind;
use serde_json::{Map, Number};

use super::compiled::{CompiledTemplate, RenderedJson};
use super::error::TemplateError;
use super::scope::Scope;
use super::{Template, VariableRef};

/// A JSON value whose strings are templates, compiled. Keys are left as they are.
#[derive(Clone, Debug)]
pub enum JsonTemplate {
    Constant(serde_json::Value),
    Text(CompiledTemplate),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl JsonTemplate {
    pub fn compile(value: &serde_json::Value) -> Result<Self, TemplateError> {
        Ok(match value {
            serde_json::Value::String(text) if Template::new(text).is_constant() => {
                Self::Constant(value.clone())
            }
            serde_json::Value::String(text) => Self::Text(Template::new(text).compile()?),
            serde_json::Value::Array(items) => {
                Self::List(items.iter().map(Self::compile).collect::<Result<_, _>>()?)
            }
            serde_json::Value::Object(entries) => Self::Object(
                entries
                    .iter()
                    .map(|(key, entry)| Ok((key.clone(), Self::compile(entry)?)))
                    .collect::<Result<_, TemplateError>>()?,
            ),
            _ => Self::Constant(value.clone()),
        })
    }

    /// The names that it uses, sorted.
    pub fn variables(&self) -> Vec<VariableRef> {
        let mut variables = match self {
            Self::Constant(_) => Vec::new(),
            Self::Text(template) => template.variables().to_vec(),
            Self::List(items) => items.iter().flat_map(Self::variables).collect(),
            Self::Object(entries) => entries
                .iter()
                .flat_map(|(_, entry)| entry.variables())
                .collect(),
        };
        variables.sort();
        variables.dedup();
        variables
    }

    /// Renders every string as [`CompiledTemplate::render_json`] does.
    pub fn render(&self, scope: &dyn Scope) -> Result<RenderedJson, TemplateError> {
        let mut secrets = Vec::new();
        let value = self.render_into(scope, &mut secrets)?;
        Ok(RenderedJson { value, secrets })
    }

    fn render_into(
        &self,
        scope: &dyn Scope,
        secrets: &mut Vec<String>,
    ) -> Result<serde_json::Value, TemplateError> {
        Ok(match self {
            Self::Constant(value) => value.clone(),
            Self::Text(template) => {
                let rendered = template.render_json(scope)?;
                secrets.extend(rendered.secrets);
                rendered.value
            }
            Self::List(items) => items
                .iter()
                .map(|item| item.render_into(scope, secrets))
                .collect::<Result<_, _>>()?,
            Self::Object(entries) => entries
                .iter()
                .map(|(key, entry)| Ok((key.clone(), entry.render_into(scope, secrets)?)))
                .collect::<Result<Map<_, _>, TemplateError>>()?
                .into(),
        })
    }
}

/// The expression of a text that is nothing but `{{ expression }}`.
pub(super) fn single_expression(source: &str) -> Option<&str> {
    let inner = source.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let is_single = ["{{", "}}", "{%", "%}", "{#"]
        .iter()
        .all(|delimiter| !inner.contains(delimiter));
    let inner = inner.strip_prefix('-').unwrap_or(inner);
    let inner = inner.strip_suffix('-').unwrap_or(inner);
    is_single.then(|| inner.trim())
}

pub(super) fn to_value(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(flag) => Value::from(*flag),
        serde_json::Value::Number(number) => number_to_value(number),
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => items.iter().map(to_value).collect(),
        serde_json::Value::Object(entries) => Value::from_pairs(
            entries
                .iter()
                .map(|(key, entry)| (key.clone(), to_value(entry))),
        ),
    }
}

fn number_to_value(number: &Number) -> Value {
    if let Some(integer) = number.as_i64() {
        return Value::from(integer);
    }
    if let Some(integer) = number.as_u64() {
        return Value::from(integer);
    }
    number
        .as_f64()
        .map_or_else(|| Value::from(number.to_string()), Value::from)
}

pub(super) fn from_value(value: &Value) -> Result<serde_json::Value, minijinja::Error> {
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => serde_json::Value::Null,
        ValueKind::Bool => value.is_true().into(),
        ValueKind::Number => number_from_value(value),
        ValueKind::Seq | ValueKind::Iterable => value
            .try_iter()?
            .map(|item| from_value(&item))
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        ValueKind::Map => {
            let mut entries = Map::new();
            for key in value.try_iter()? {
                let entry = value.get_item(&key)?;
                entries.insert(key.to_string(), from_value(&entry)?);
            }
            entries.into()
        }
        _ => value.to_string().into(),
    })
}

fn number_from_value(value: &Value) -> serde_json::Value {
    if let Ok(integer) = i64::try_from(value.clone())
        && value.is_integer()
    {
        return integer.into();
    }
    let parsed = value.to_string().parse::<Number>();
    parsed.map_or_else(|_| value.to_string().into(), serde_json::Value::Number)
}

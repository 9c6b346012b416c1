//! Where the templates of a stream that asks no server find their names: parameters, the window, the chain's values, config, the run.

use std::collections::BTreeMap;

use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::{ColumnSource, IncrementalPlan};
use runner_plan::template::{Scope, ScopeValue, Template, TemplateError};
use serde_json::Value;

use crate::chain_names::ChainNames;
use crate::context::SourceContext;
use crate::source::WindowBounds;

/// Renders templates of a stream, or of one of its chains.
#[derive(Debug)]
pub struct RowScope<'a> {
    context: &'a SourceContext,
    names: ChainNames,
}

impl<'a> RowScope<'a> {
    pub fn new(
        context: &'a SourceContext,
        window: Option<&WindowBounds>,
        incremental: Option<&IncrementalPlan>,
    ) -> Self {
        Self {
            context,
            names: ChainNames::of_stream(context).with_window(window, incremental),
        }
    }

    /// With the values of the parent or of `for_each`.
    #[must_use]
    pub fn with_values(self, values: BTreeMap<String, String>) -> Self {
        Self {
            names: self.names.with_values(values),
            ..self
        }
    }

    pub(crate) fn render(&self, what: &str, template: &Template) -> Result<String> {
        let failed = |cause: TemplateError| {
            Error::new(ErrorKind::Spec, format!("failed to render {what}")).with_source(cause)
        };
        let compiled = template.compile().map_err(failed)?;
        self.names
            .layers(&[], |layers| compiled.render(&layers))
            .map(|rendered| rendered.text)
            .map_err(failed)
    }

    /// Values of the columns that every row of a chain has alike, by column.
    pub fn constants(&self) -> Result<BTreeMap<String, String>> {
        let mut constants = BTreeMap::new();
        for column in &self.context.schema.current().columns {
            let value = match &column.source {
                ColumnSource::Template(template) => Some(self.render("a mapped column", template)?),
                ColumnSource::Variable(name) => {
                    let value = self.names.layers(&[], |layers| layers.lookup(name));
                    value.map(plain_text)
                }
                ColumnSource::Field(_) | ColumnSource::Row => None,
            };
            constants.extend(value.map(|value| (column.name.clone(), value)));
        }
        Ok(constants)
    }
}

/// A name's value as a text of its own.
pub(crate) fn plain_text(value: ScopeValue) -> String {
    match value {
        ScopeValue::Text(text)
        | ScopeValue::Secret(text)
        | ScopeValue::Json(Value::String(text)) => text,
        ScopeValue::Json(Value::Null) => String::new(),
        ScopeValue::Json(value) => value.to_string(),
    }
}

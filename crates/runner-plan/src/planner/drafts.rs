//! Endpoints on their way to streams: their mapping, and every template that a request of theirs is made of.

use std::collections::BTreeMap;

use runner_spec::FieldPath;
use runner_spec::model::{Auth, Endpoint, ProviderType};

use super::context::Context;
use super::credentials;
use super::findings::{Findings, at};
use super::mapping::{EntrySource, Mapping};
use crate::model::{SIGNING_VARIABLES, TypeOrigin};
use crate::template::{JsonTemplate, Template, VariableRef};

/// An active endpoint.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) path: FieldPath,
    pub(crate) mapping: Mapping,
    pub(crate) uses: Vec<Use>,
    /// Columns that earlier runs stored or a probe saw.
    pub(crate) stored: &'a [crate::model::ColumnField],
    /// The fields that those were read from.
    pub(crate) stored_fields: Option<&'a BTreeMap<String, String>>,
    /// Which of the two it was.
    pub(crate) stored_origin: TypeOrigin,
}

/// A name that a template of the endpoint uses.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) variable: VariableRef,
    pub(crate) path: FieldPath,
    pub(crate) place: UsePlace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsePlace {
    Request,
    Credentials,
    Column,
}

pub(crate) fn drafts<'a>(context: Context<'a>, findings: &mut Findings) -> Vec<Draft<'a>> {
    let provider = &context.spec().provider;
    let active = provider
        .endpoints
        .iter()
        .enumerate()
        .filter(|(_, endpoint)| endpoint.is_active);
    active
        .map(|(index, endpoint)| {
            let path = at::endpoint(index);
            let state = context.inputs.state;
            let mapping = Mapping::new(
                endpoint,
                &path,
                provider.schema_contract.as_ref(),
                state.fields.get(&endpoint.name),
                findings,
            );
            Draft {
                uses: uses(context, endpoint, &path, &mapping, findings),
                endpoint,
                path,
                mapping,
                stored_origin: if state.sampled.contains(&endpoint.name) {
                    TypeOrigin::Sample
                } else {
                    TypeOrigin::Stored
                },
                stored_fields: state.sources.get(&endpoint.name),
                stored: state.streams.get(&endpoint.name).map_or(&[], Vec::as_slice),
            }
        })
        .collect()
}

impl Draft<'_> {
    pub(crate) fn name(&self) -> &str {
        &self.endpoint.name
    }

    /// Whether a template of a request or a column uses the name.
    pub(crate) fn uses_name(&self, name: &str) -> bool {
        self.uses.iter().any(|used| used.variable.name == name)
    }

    /// Columns that are known before anything is read, without those of bound variables.
    pub(crate) fn known_columns(&self) -> Vec<String> {
        if self.mapping.is_pass_through {
            return self
                .stored
                .iter()
                .map(|column| column.name.clone())
                .collect();
        }
        self.mapping
            .entries
            .iter()
            .map(|entry| entry.column.clone())
            .collect()
    }

    /// Whether the rows may have more columns than the known ones.
    pub(crate) fn is_open(&self) -> bool {
        self.mapping.is_pass_through && self.stored.is_empty()
    }
}

fn uses(
    context: Context<'_>,
    endpoint: &Endpoint,
    path: &FieldPath,
    mapping: &Mapping,
    findings: &mut Findings,
) -> Vec<Use> {
    let mut collector = Collector {
        uses: Vec::new(),
        findings,
    };
    if let Some(base_url) = &context.spec().provider.base_url
        && context.inputs.options.base_url.is_none()
    {
        collector.text(base_url, &at::provider().key("base_url"), UsePlace::Request);
    }
    collector.text(&endpoint.path, &path.key("path"), UsePlace::Request);
    for (name, value) in &endpoint.headers {
        collector.text(value, &path.key("headers").key(name), UsePlace::Request);
    }
    for (name, value) in &endpoint.query_params {
        collector.text(
            value,
            &path.key("query_params").key(name),
            UsePlace::Request,
        );
    }
    if let Some(body) = &endpoint.body_template {
        collector.json(body, &path.key("body_template"));
    }
    if context.spec().provider.provider_type == ProviderType::Graphql {
        for name in ["query", "variables"] {
            if let Some(value) = context.setting(name) {
                collector.json(value, &at::config().key(name));
            }
        }
    }
    collector.auth(&endpoint.auth, &path.key("auth_config"));
    for entry in &mapping.entries {
        if let EntrySource::Template(template) = &entry.source {
            collector.text(template.as_str(), &entry.path, UsePlace::Column);
        }
    }
    collector.uses
}

struct Collector<'f> {
    uses: Vec<Use>,
    findings: &'f mut Findings,
}

impl Collector<'_> {
    fn text(&mut self, text: &str, path: &FieldPath, place: UsePlace) {
        match Template::new(text).variables() {
            Ok(variables) => self.add(variables, path, place),
            Err(error) => self.malformed(&error, path),
        }
    }

    fn json(&mut self, value: &serde_json::Value, path: &FieldPath) {
        match JsonTemplate::compile(value) {
            Ok(template) => self.add(template.variables(), path, UsePlace::Request),
            Err(error) => self.malformed(&error, path),
        }
    }

    fn add(&mut self, variables: Vec<VariableRef>, path: &FieldPath, place: UsePlace) {
        self.uses.extend(variables.into_iter().map(|variable| Use {
            variable,
            path: path.clone(),
            place,
        }));
    }

    fn malformed(&mut self, error: &crate::template::TemplateError, path: &FieldPath) {
        self.findings.error(
            runner_spec::Code::TemplateSyntax,
            path,
            error.to_string(),
            "write `{{ name }}`, or `{{ name | filter }}`",
        );
    }

    fn auth(&mut self, auth: &Auth, path: &FieldPath) {
        for (name, text) in credentials::templates(auth) {
            let before = self.uses.len();
            self.text(&text, &path.key(name), UsePlace::Credentials);
            if name == "string_to_sign" {
                let given = |used: &Use| SIGNING_VARIABLES.contains(&used.variable.name.as_str());
                let mut index = 0;
                self.uses.retain(|used| {
                    index += 1;
                    index <= before || !given(used)
                });
            }
        }
    }
}

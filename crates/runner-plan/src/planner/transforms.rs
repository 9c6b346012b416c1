//! Transforms: the views that each reads, and the checks of what comes out.

use std::collections::BTreeMap;

use runner_spec::model::Transform;
use runner_spec::{Code, FieldPath};

use super::checks;
use super::context::Context;
use super::drafts::Draft;
use super::findings::{Findings, at, did_you_mean};
use super::routing::Routing;
use super::sql_tables::tables;
use super::types;
use crate::model::{CheckKind, CheckOrigin, Input, TransformPlan};

/// Transforms with the views that their queries read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Views {
    transforms: Vec<TransformViews>,
}

#[derive(Clone, Debug)]
struct TransformViews {
    name: String,
    path: FieldPath,
    sql: String,
    views: BTreeMap<String, Input>,
}

impl Views {
    /// Transforms that no later one reads: what they yield is loaded, and the last goes to the declared table.
    pub(crate) fn outputs(&self) -> Vec<String> {
        self.transforms
            .iter()
            .map(|transform| transform.name.clone())
            .filter(|name| !self.is_read(&Input::Transform(name.clone())))
            .collect()
    }

    /// Whether a transform reads the stream.
    pub(crate) fn reads(&self, stream: &str) -> bool {
        self.is_read(&Input::Stream(stream.to_owned()))
    }

    pub(crate) fn has_transform(&self, name: &str) -> bool {
        self.transforms
            .iter()
            .any(|transform| transform.name == name)
    }

    fn is_read(&self, input: &Input) -> bool {
        self.transforms
            .iter()
            .any(|transform| transform.views.values().any(|view| view == input))
    }
}

pub(crate) fn views(context: Context<'_>, drafts: &[Draft<'_>], findings: &mut Findings) -> Views {
    let mut done: Vec<TransformViews> = Vec::new();
    for (index, transform) in context.spec().provider.transforms.iter().enumerate() {
        let path = at::transform(index);
        let name = transform
            .name
            .clone()
            .unwrap_or_else(|| format!("transform_{}", index + 1));
        let Some(sql) = &transform.sql_query else {
            // The other kinds are refused as such.
            continue;
        };
        let is_active = |target: &String| drafts.iter().any(|draft| draft.name() == target);
        let targets = &transform.target_endpoints;
        if !targets.is_empty() && !targets.iter().any(is_active) {
            // Validation warns of it: every endpoint that it works on is switched off.
            continue;
        }
        let known = known_views(context, transform, drafts, &done, &path, findings);
        let mut views = BTreeMap::new();
        for table in tables(sql) {
            if let Some((view, input)) = known
                .iter()
                .find(|(view, _)| view.eq_ignore_ascii_case(&table))
            {
                views.insert(view.clone(), input.clone());
            }
        }
        if views.is_empty() {
            let names = known.keys().map(String::as_str);
            let first = tables(sql).into_iter().next().unwrap_or_default();
            findings.error(
                Code::UnknownView,
                &path.key("sql_query"),
                format!("the query of `{name}` reads no view of this document"),
                did_you_mean(
                    &first,
                    names.clone(),
                    format!(
                        "views are named by endpoints: {}",
                        super::findings::list(&names.collect::<Vec<_>>())
                    ),
                ),
            );
        }
        done.push(TransformViews {
            name,
            path,
            sql: sql.clone(),
            views,
        });
    }
    Views { transforms: done }
}

/// View names that the query may use → what they stand for.
fn known_views(
    context: Context<'_>,
    transform: &Transform,
    drafts: &[Draft<'_>],
    earlier: &[TransformViews],
    path: &FieldPath,
    findings: &mut Findings,
) -> BTreeMap<String, Input> {
    let targets = &transform.target_endpoints;
    let names = || drafts.iter().map(Draft::name);
    let mut views = BTreeMap::new();
    for name in
        names().filter(|name| targets.is_empty() || targets.iter().any(|target| target == name))
    {
        let input = Input::Stream(name.to_owned());
        views.insert(format!("rest_{name}"), input.clone());
        views.insert(format!("{}_{name}", prefix(context)), input.clone());
        views.insert(name.to_owned(), input);
    }
    for transform in earlier {
        views.insert(
            transform.name.clone(),
            Input::Transform(transform.name.clone()),
        );
    }
    for (alias, view) in &transform.views {
        match views.get(view).cloned() {
            Some(input) => {
                views.insert(alias.clone(), input);
            }
            None => findings.error(
                Code::UnknownView,
                &path.key("parameters").key("views").key(alias),
                format!("no view has the name `{view}`"),
                did_you_mean(
                    view,
                    views.keys().map(String::as_str),
                    "views are named by endpoints and earlier transforms",
                ),
            ),
        }
    }
    views
}

fn prefix(context: Context<'_>) -> &'static str {
    use runner_spec::model::ProviderType as P;
    match context.spec().provider.provider_type {
        P::RestApi => "rest",
        P::Graphql => "graphql",
        P::Websocket => "websocket",
        P::Webhook => "webhook",
        P::FileFtp => "file",
        P::Database => "database",
        P::Kafka => "kafka",
        P::S3 => "s3",
    }
}

pub(crate) fn build(context: Context<'_>, views: &Views, routing: &Routing) -> Vec<TransformPlan> {
    let provider = &context.spec().provider;
    views
        .transforms
        .iter()
        .map(|transform| {
            let contract = provider
                .schema_contract
                .as_ref()
                .filter(|_| routing.has_contract_for_transform(&transform.name));
            let mut checks = contract.map(checks::contract).unwrap_or_default();
            let (primary_key, key_path) = declared_key(context, routing, &transform.name);
            let is_checked = |key: &String| {
                checks
                    .iter()
                    .any(|check| check.kind == CheckKind::Required && check.column == *key)
            };
            // A null key can't be loaded.
            let unchecked: Vec<String> = primary_key
                .iter()
                .filter(|key| !is_checked(key))
                .cloned()
                .collect();
            checks::presence(&unchecked, CheckOrigin::PrimaryKey, &key_path, &mut checks);
            TransformPlan {
                name: transform.name.clone(),
                path: transform.path.to_string(),
                sql: transform.sql.clone(),
                views: transform.views.clone(),
                checks,
                columns: contract.map(types::contract_fields).unwrap_or_default(),
                output: Vec::new(),
                primary_key,
            }
        })
        .collect()
}

/// The key of the sink whose declared table takes the output, and where it stands; several sinks may name the same one.
fn declared_key(
    context: Context<'_>,
    routing: &Routing,
    transform: &str,
) -> (Vec<String>, FieldPath) {
    let sinks = context.spec().provider.sinks.iter().zip(&routing.sinks);
    sinks
        .enumerate()
        .filter(|(_, (_, routes))| {
            routes.routes.iter().any(|route| {
                route.is_declared
                    && route
                        .inputs
                        .contains(&Input::Transform(transform.to_owned()))
            })
        })
        .map(|(index, (sink, _))| {
            let path = at::sink(index).key("primary_key");
            (sink.load.primary_key.clone(), path)
        })
        .find(|(key, _)| !key.is_empty())
        .unwrap_or_default()
}

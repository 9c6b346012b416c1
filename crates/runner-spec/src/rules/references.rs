//! Names of endpoints and views that stand in other places.

use super::{Context, endpoint_path, provider_path};
use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::model::ForEach;
use crate::names::{nearest, one_of};
use crate::path::FieldPath;

pub(super) fn run(context: &mut Context<'_>) {
    let provider = &context.spec.provider;
    for (index, endpoint) in provider.endpoints.iter().enumerate() {
        if let Some(ForEach::Parent {
            variable,
            endpoint: parent,
            ..
        }) = &endpoint.for_each
        {
            let base = endpoint_path(index).key("for_each");
            let named = variable
                .as_ref()
                .map(|variable| base.key(variable.as_str()))
                .filter(|path| {
                    context
                        .node(path)
                        .is_some_and(|node| node.as_object().is_some())
                });
            let path = named.unwrap_or(base).key("endpoint");
            endpoint_exists(context, parent, path, endpoint.is_active);
        }
    }
    for (index, transform) in provider.transforms.iter().enumerate() {
        let parameters = provider_path()
            .key("transforms")
            .index(index)
            .key("parameters");
        let path = parameters.key("target_endpoints");
        for (position, target) in transform.target_endpoints.iter().enumerate() {
            endpoint_exists(context, target, element(context, &path, position), false);
        }
        for (alias, view) in &transform.views {
            view_exists(
                context,
                view,
                parameters.key("views").key(alias.as_str()),
                index,
            );
        }
    }
    for (index, sink) in provider.sinks.iter().enumerate() {
        let path = provider_path()
            .key("sinks")
            .index(index)
            .keys(["config", "endpoints"]);
        for (position, name) in sink.endpoints.iter().enumerate() {
            endpoint_exists(context, name, element(context, &path, position), true);
        }
    }
}

/// The path of an element, or of the field where one text stands for a list.
fn element(context: &Context<'_>, path: &FieldPath, position: usize) -> FieldPath {
    if context
        .node(path)
        .is_some_and(|node| node.as_list().is_some())
    {
        path.index(position)
    } else {
        path.clone()
    }
}

fn endpoint_exists(context: &mut Context<'_>, name: &str, path: FieldPath, must_be_active: bool) {
    if context.is_full() {
        return;
    }
    let endpoints = &context.spec.provider.endpoints;
    let names: Vec<&str> = endpoints
        .iter()
        .map(|endpoint| endpoint.name.as_str())
        .filter(|name| !name.is_empty())
        .collect();
    match endpoints.iter().find(|endpoint| endpoint.name == name) {
        Some(endpoint) if endpoint.is_active || !must_be_active => {}
        Some(_) => {
            let message = format!("the endpoint `{name}` is switched off, and has no rows");
            context.report(
                Diagnostic::warning(Code::InactiveEndpoint, path, message)
                    .help("set its `is_active: true`, or take its name away here"),
            );
        }
        None => {
            let diagnostic = Diagnostic::error(
                Code::UnknownEndpoint,
                path,
                format!("no endpoint is called `{name}`"),
            );
            context.report(with_names(diagnostic, name, &names));
        }
    }
}

/// A view is an endpoint, with or without `rest_` before it, or a transform before this one.
fn view_exists(context: &mut Context<'_>, name: &str, path: FieldPath, transform: usize) {
    if context.is_full() {
        return;
    }
    let provider = &context.spec.provider;
    let mut names: Vec<&str> = provider
        .endpoints
        .iter()
        .map(|endpoint| endpoint.name.as_str())
        .filter(|name| !name.is_empty())
        .collect();
    names.extend(
        provider
            .transforms
            .iter()
            .take(transform)
            .filter_map(|transform| transform.name.as_deref()),
    );
    let plain = name.strip_prefix("rest_").unwrap_or(name);
    if names.contains(&name)
        || provider
            .endpoints
            .iter()
            .any(|endpoint| endpoint.name == plain)
    {
        return;
    }
    let diagnostic = Diagnostic::error(
        Code::UnknownView,
        path,
        format!("no endpoint and no transform before this one is called `{name}`"),
    );
    context.report(with_names(diagnostic, name, &names));
}

fn with_names(diagnostic: Diagnostic, name: &str, names: &[&str]) -> Diagnostic {
    match nearest(name, names.iter().copied()) {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
        None if names.is_empty() => diagnostic.help("the document has no endpoints"),
        None => diagnostic.help(format!("write {}", one_of(names.iter().copied()))),
    }
}

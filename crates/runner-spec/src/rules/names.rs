//! Names that must be unlike each other: streams and transforms share the names of views, sinks have their own.

use std::collections::HashMap;

use super::{Context, provider_path};
use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::path::FieldPath;

pub(super) fn run(context: &mut Context<'_>) {
    let provider = &context.spec.provider;
    let endpoints = provider
        .endpoints
        .iter()
        .map(|endpoint| Some(endpoint.name.clone()))
        .collect::<Vec<_>>();
    let transforms = provider
        .transforms
        .iter()
        .map(|transform| transform.name.clone())
        .collect::<Vec<_>>();
    let sinks = provider
        .sinks
        .iter()
        .map(|sink| sink.name.clone())
        .collect::<Vec<_>>();
    let mut views = HashMap::new();
    unlike(context, &mut views, &endpoints, "endpoints", "an endpoint");
    unlike(
        context,
        &mut views,
        &transforms,
        "transforms",
        "a transform",
    );
    unlike(context, &mut HashMap::new(), &sinks, "sinks", "a sink");
}

fn unlike(
    context: &mut Context<'_>,
    seen: &mut HashMap<String, FieldPath>,
    names: &[Option<String>],
    list: &str,
    kind: &str,
) {
    for (index, name) in names.iter().enumerate() {
        let Some(name) = name.as_ref().filter(|name| !name.is_empty()) else {
            continue;
        };
        let path = provider_path().key(list).index(index).key("name");
        match seen.get(name) {
            Some(first) => {
                let message = format!(
                    "{kind} is called `{name}`, and so is `{}`",
                    first.parent().unwrap_or_default()
                );
                context
                    .report(Diagnostic::error(Code::DuplicateName, path, message).help(
                        "give it a name of its own: tables, views and state are found by it",
                    ));
            }
            None => {
                seen.insert(name.clone(), path);
            }
        }
    }
}

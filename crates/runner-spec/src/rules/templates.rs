//! What templates refer to, as far as the document alone decides it: secrets and settings.

use std::collections::BTreeSet;

use super::{Context, provider_path, texts};
use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::names::{nearest, one_of};
use crate::path::FieldPath;
use crate::values::{Reference, references};

pub(super) fn run(context: &mut Context<'_>) {
    let mut found = Vec::new();
    texts(context.document, &FieldPath::root(), &mut found);
    let mut used = BTreeSet::new();
    for (path, text) in &found {
        for reference in references(text) {
            match reference.root() {
                "secrets" | "secret" => {
                    if let Some(name) = reference.parts.get(1) {
                        used.insert(name.clone());
                        secret_exists(context, name, &reference, path, text);
                    }
                }
                "config" if is_rendered(path) => setting_exists(context, &reference, path, text),
                root => {
                    used.insert(root.to_owned());
                }
            }
        }
    }
    for name in context
        .spec
        .global
        .secrets
        .keys()
        .filter(|name| !used.contains(*name))
    {
        let path = FieldPath::root()
            .keys(["global_config", "secrets"])
            .key(name.as_str());
        let diagnostic = Diagnostic::hint(
            Code::UnusedSecret,
            path,
            format!("the secret `{name}` is used by no template"),
        )
        .at_key();
        context.diagnostics.push(diagnostic.help(format!(
            "use it as `{{{{ secrets.{name} }}}}`, or remove it"
        )));
    }
}

/// Texts that are rendered with the settings at hand: those of endpoints, and the base URL.
fn is_rendered(path: &FieldPath) -> bool {
    let text = path.to_string();
    text.starts_with("provider.endpoints[")
        || text == "provider.base_url"
        || text == "provider.baseUrl"
}

fn secret_exists(
    context: &mut Context<'_>,
    name: &str,
    reference: &Reference,
    path: &FieldPath,
    text: &str,
) {
    let spec = context.spec;
    if spec.global.secrets.contains_key(name) || spec.provider.credentials_ref.is_some() {
        return;
    }
    let global = FieldPath::root().key("global_config");
    let is_broken = |path: &FieldPath| {
        context
            .node(path)
            .is_some_and(|node| !node.is_null() && node.as_object().is_none())
    };
    if is_broken(&global) || is_broken(&global.key("secrets")) {
        // Nobody knows what was to be declared there, which has been reported.
        return;
    }
    let names: Vec<&str> = spec.global.secrets.keys().map(String::as_str).collect();
    let diagnostic = Diagnostic::error(
        Code::UnknownSecret,
        path.clone(),
        format!("no secret is declared as `{name}`"),
    );
    let diagnostic = match nearest(name, names.iter().copied()) {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
        None => diagnostic.help(format!(
            "declare it: `global_config: {{secrets: {{{name}: \"vault://path#key\"}}}}`"
        )),
    };
    context.report(within(diagnostic, reference, text));
}

fn setting_exists(context: &mut Context<'_>, reference: &Reference, path: &FieldPath, text: &str) {
    if text.replace(' ', "").contains("|default(") {
        // The template itself says what to do without the setting.
        return;
    }
    let config = context.node(&provider_path().key("config"));
    let mut node = config;
    for (depth, key) in reference.parts.iter().enumerate().skip(1) {
        let next = node.and_then(|node| node.get(key));
        if next.is_none() {
            // An index of a list, or a method of a value, is the template's affair.
            if node.is_some_and(|node| node.as_object().is_none()) {
                return;
            }
            let keys: Vec<&str> = node
                .and_then(|node| node.as_object())
                .unwrap_or_default()
                .iter()
                .map(|entry| entry.key.as_str())
                .collect();
            let holder = reference.parts[..depth].join(".");
            let diagnostic = Diagnostic::error(
                Code::UnknownConfigKey,
                path.clone(),
                format!("`provider.{holder}` has no `{key}`"),
            );
            let diagnostic = match nearest(key, keys.iter().copied()) {
                Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
                None if keys.is_empty() => {
                    diagnostic.help(format!("add `{key}: …` to `provider.config`"))
                }
                None => diagnostic.help(format!("known are {}", one_of(keys))),
            };
            context.report(within(diagnostic, reference, text));
            return;
        }
        node = next;
    }
}

/// Points at the name in the template.
fn within(diagnostic: Diagnostic, reference: &Reference, text: &str) -> Diagnostic {
    let name = reference.parts.join(".");
    match text.find(&name) {
        Some(start) => diagnostic.within(start..start + name.len()),
        None => diagnostic,
    }
}

//! Secrets that were written down.

use super::Context;
use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::path::FieldPath;
use crate::redact::Masks;
use crate::redact::has_credentials;
use crate::tree::{Node, Value};

pub(super) fn run(context: &mut Context<'_>) {
    let masks = Masks::of(context.document);
    visit(context.document, &FieldPath::root(), &masks, context);
}

fn visit(node: &Node, path: &FieldPath, masks: &Masks, context: &mut Context<'_>) {
    match &node.value {
        Value::Object(entries) => entries
            .iter()
            .for_each(|entry| visit(&entry.value, &path.key(entry.key.as_str()), masks, context)),
        Value::List(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| visit(item, &path.index(index), masks, context)),
        // What should refer to a secret and doesn't has a finding of its own.
        Value::Text(_) if holds_references(path) => {}
        Value::Text(text) if has_credentials(&text.value) => {
            let message = "this URL contains a password, or another secret";
            let diagnostic = Diagnostic::warning(Code::CredentialsInUrl, path.clone(), message);
            context.report(diagnostic.help(
                "take it out, and write it as `auth: basic`, or as a template of a secret: `{{ secrets.NAME }}`",
            ));
        }
        Value::Text(_) | Value::Number(_) if masks.covers(node.span) => {
            let message = format!(
                "`{}` is a secret in plain text, and everybody who can read the document can read it",
                path.last_key().unwrap_or_default()
            );
            let diagnostic = Diagnostic::warning(Code::PlainTextSecret, path.clone(), message);
            context.report(diagnostic.help("declare it in `global_config.secrets` as `NAME: \"vault://path#key\"` and write `\"{{ secrets.NAME }}\"` here"));
        }
        Value::Null | Value::Boolean(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

fn holds_references(path: &FieldPath) -> bool {
    path.segments().iter().any(|segment| matches!(segment, crate::Segment::Key(key) if matches!(key.as_str(), "secrets" | "credentials_ref" | "credentialsRef")))
}

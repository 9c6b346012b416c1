//! What each kind of transform needs, and what belongs to another kind.

use super::{Context, provider_path};
use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::model::{Transform, TransformKind};

pub(super) fn run(context: &mut Context<'_>) {
    for (index, transform) in context.spec.provider.transforms.iter().enumerate() {
        let path = provider_path().key("transforms").index(index);
        if context
            .node(&path.key("type"))
            .and_then(|kind| kind.as_text())
            .is_none_or(|kind| kind != name(transform.kind))
        {
            continue;
        }
        let own = fields(transform.kind);
        for field in own {
            if context.is_written(&path.key(*field)) {
                continue;
            }
            let message = format!("this {} transform has no `{field}`", name(transform.kind));
            context.report(
                Diagnostic::error(Code::MissingField, path.key(*field), message)
                    .help(format!("add `{field}: …`")),
            );
        }
        for kind in [
            TransformKind::Sql,
            TransformKind::Python,
            TransformKind::Wasm,
        ] {
            for field in fields(kind) {
                if own.contains(field) || !context.is_written(&path.key(*field)) {
                    continue;
                }
                let message = format!(
                    "`{field}` has no effect in a {} transform",
                    name(transform.kind)
                );
                let diagnostic =
                    Diagnostic::warning(Code::FieldWithoutEffect, path.key(*field), message)
                        .at_key();
                context.report(diagnostic.help(format!("it belongs to `type: {}`", name(kind))));
            }
        }
        if has_nothing_to_do(context, transform) {
            let diagnostic = Diagnostic::warning(
                Code::UnusedTransform,
                path,
                "every endpoint that this transform works on is switched off",
            );
            context.report(
                diagnostic
                    .help("switch one of them on with `is_active: true`, or remove the transform"),
            );
        }
    }
}

fn name(kind: TransformKind) -> &'static str {
    match kind {
        TransformKind::Sql => "sql",
        TransformKind::Spark => "spark",
        TransformKind::Flink => "flink",
        TransformKind::Python => "python",
        TransformKind::Wasm => "wasm",
    }
}

fn fields(kind: TransformKind) -> &'static [&'static str] {
    match kind {
        TransformKind::Sql | TransformKind::Spark | TransformKind::Flink => &["sql_query"],
        TransformKind::Python => &["python_module", "python_function"],
        TransformKind::Wasm => &["wasm_module", "wasm_function"],
    }
}

fn has_nothing_to_do(context: &Context<'_>, transform: &Transform) -> bool {
    let endpoints = &context.spec.provider.endpoints;
    let mut targets = endpoints
        .iter()
        .filter(|endpoint| transform.target_endpoints.contains(&endpoint.name))
        .peekable();
    targets.peek().is_some() && targets.all(|endpoint| !endpoint.is_active)
}

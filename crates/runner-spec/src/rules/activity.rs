//! Settings that leave nothing to be done, or do nothing themselves.

use super::{Context, endpoint_path, provider_path};
use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::model::{Mode, WriteMode};

pub(super) fn run(context: &mut Context<'_>) {
    let provider = &context.spec.provider;
    let path = provider_path().key("endpoints");
    if provider.endpoints.is_empty() {
        if context
            .node(&path)
            .is_none_or(|node| node.is_null() || node.as_list().is_some())
        {
            let diagnostic = Diagnostic::warning(
                Code::NothingActive,
                path,
                "the provider has no endpoints, so that nothing is read",
            );
            context.report(diagnostic.help("add one: `endpoints: [{name: rows, path: /rows}]`"));
        }
    } else if provider
        .endpoints
        .iter()
        .all(|endpoint| !endpoint.is_active)
    {
        let diagnostic = Diagnostic::warning(
            Code::NothingActive,
            path,
            "every endpoint is switched off, so that nothing is read",
        );
        context.report(diagnostic.help("set `is_active: true` at one of them"));
    }
    for (index, endpoint) in provider.endpoints.iter().enumerate() {
        let path = endpoint_path(index);
        let is_streaming = !matches!(
            provider.mode.unwrap_or_default(),
            Mode::Batch | Mode::MicroBatch
        );
        for (field, is_given) in [
            ("event_time", endpoint.event_time.is_some()),
            ("dedupe", endpoint.dedupe.is_some()),
        ] {
            if is_given && !is_streaming {
                let message = format!("`{field}` has no effect in a feed that isn't streaming");
                context.report(
                    Diagnostic::warning(Code::FieldWithoutEffect, path.key(field), message)
                        .at_key()
                        .help("write `mode: streaming`, or leave it out"),
                );
            }
        }
        if !endpoint.load.replace_scope.is_empty()
            && endpoint
                .load
                .write_mode
                .is_some_and(|mode| mode != WriteMode::Replace)
        {
            let diagnostic = Diagnostic::warning(
                Code::FieldWithoutEffect,
                path.key("replace_scope"),
                "`replace_scope` has no effect without `write_mode: replace`",
            )
            .at_key();
            context.report(diagnostic.help("write `write_mode: replace`, or leave the scope out"));
        }
    }
    backoff(context);
}

fn backoff(context: &mut Context<'_>) {
    let retry = &context.spec.provider.retry;
    let fallback = |name: &str| -> Option<f64> {
        context
            .spec
            .provider
            .config
            .get("retry")?
            .get(name)?
            .as_f64()
    };
    let global = context.spec.global.retry_backoff_seconds;
    let initial = retry
        .initial_backoff_seconds
        .or(global)
        .or_else(|| fallback("initial_backoff_seconds"));
    let maximum = retry
        .max_backoff_seconds
        .or_else(|| fallback("max_backoff_seconds"));
    let own = provider_path().key("retry_config");
    // What `global_config` says is meant for many documents: a shorter maximum of this one just holds.
    let is_own = retry.initial_backoff_seconds.is_some() || global.is_none();
    if let (Some(initial), Some(maximum)) = (initial, maximum)
        && initial > maximum
        && is_own
    {
        let path = if context.is_written(&own.key("initial_backoff_seconds")) {
            own
        } else {
            provider_path().keys(["config", "retry"])
        };
        let message =
            format!("`initial_backoff_seconds` {initial} is above `max_backoff_seconds` {maximum}");
        context.report(
            Diagnostic::error(
                Code::RangeReversed,
                path.key("initial_backoff_seconds"),
                message,
            )
            .help("swap the two"),
        );
    }
}

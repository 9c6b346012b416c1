//! File sources: a file, a folder or a glob, local or in an object store.

use runner_spec::Code;
use runner_spec::model::ProviderType;

use super::bindings::Binding;
use super::context::Context;
use super::drafts::Draft;
use super::findings::{Findings, at, did_you_mean};
use super::formats;
use super::row_paths::parse_json_path;
use super::storage::{storage_settings, without_secrets};
use crate::environment::ConnectionKind;
use crate::model::{Chains, FileSource, RowPath, SourcePlan, VariableSource};
use crate::template::Template;

pub(crate) fn build(
    context: Context<'_>,
    draft: &Draft<'_>,
    binding: &Binding,
    findings: &mut Findings,
) -> SourcePlan {
    if binding.chains != Chains::Single {
        findings.error(
            Code::UnsupportedSetting,
            &draft.path.key("for_each"),
            format!("`{}` reads files, and each file is a chain of its own: they can't be repeated for a list of values", draft.name()),
            "write a glob (`*`) where the values stand",
        );
    }
    for used in &draft.uses {
        let is_secret = binding.variables.iter().any(|variable| {
            variable.name == used.variable.name && variable.source == VariableSource::Secret
        });
        if is_secret {
            findings.error(
                Code::UnsupportedSetting,
                &used.path,
                format!("`{}` is a secret, and the location of files is shown and stored", used.variable.name),
                "put credentials into a connection, or into `config.access_key_id` and `config.secret_access_key`",
            );
        }
    }
    let text = draft.endpoint.response_path.as_deref().unwrap_or("$");
    let connection = connection_name(context, findings);
    SourcePlan::Files(FileSource {
        location: location(context, draft, findings),
        storage: storage(context, connection.as_deref(), findings),
        connection,
        format: formats::data_format(context, findings),
        rows: parse_json_path(text).unwrap_or(RowPath::Steps(Vec::new())),
        text: formats::text_format(context, findings),
        variables: binding.variables.clone(),
    })
}

/// Base URL and path; for `s3` also `config.bucket` and `config.prefix`.
fn location(context: Context<'_>, draft: &Draft<'_>, findings: &mut Findings) -> Template {
    let provider = &context.spec().provider;
    let path = draft.endpoint.path.as_str();
    let stand_in = context.inputs.options.base_url.as_deref();
    let bucket = || {
        let bucket = context.setting("bucket")?.as_str()?;
        let prefix = context
            .setting("prefix")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        Some(format!("s3://{bucket}/{prefix}"))
    };
    if path.contains("://") && stand_in.is_none() {
        return Template::new(path);
    }
    let base = stand_in
        .map(str::to_owned)
        .or_else(|| provider.base_url.clone())
        .or_else(bucket);
    match base {
        Some(base) => Template::new(joined(&base, path)),
        None if provider.provider_type == ProviderType::S3 => {
            findings.error(
                Code::BaseUrlMissing,
                &draft.path.key("path"),
                format!("`{path}` is relative, and nothing names the bucket"),
                "write `provider.base_url: s3://bucket/prefix`, or `config.bucket`",
            );
            Template::new(path)
        }
        // A path of the local file system, relative to the working folder.
        None => Template::new(path),
    }
}

fn joined(base: &str, path: &str) -> String {
    let path = path.trim_start_matches('/');
    let base = base.trim_end_matches('/');
    if path.is_empty() {
        base.to_owned()
    } else {
        format!("{base}/{path}")
    }
}

fn connection_name(context: Context<'_>, findings: &mut Findings) -> Option<String> {
    context.setting_text("connection", findings)
}

fn storage(
    context: Context<'_>,
    connection: Option<&str>,
    findings: &mut Findings,
) -> runner_spec::model::Settings {
    let mut settings = runner_spec::model::Settings::new();
    if let Some(name) = connection {
        let connections = &context.environment().connections;
        let found = connections
            .get(name)
            .filter(|found| found.kind == ConnectionKind::S3);
        if let Some(found) = found {
            settings.extend(storage_settings(&without_secrets(name, &found.settings)));
        } else {
            findings.error(
                Code::UnknownConnection,
                &at::config().key("connection"),
                format!("the runner's configuration has no object store `{name}`"),
                did_you_mean(
                    name,
                    connections.keys().map(String::as_str),
                    "add it to `connections`, or write the store's settings into `config`",
                ),
            );
        }
    }
    settings.extend(storage_settings(context.config()));
    settings
}

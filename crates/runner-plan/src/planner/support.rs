//! What this version can't do: each refusal says so, and what works instead.

use runner_spec::model::{Mode, ProviderType, TransformKind};
use runner_spec::{Code, Diagnostic, FieldPath};

use super::context::Context;
use super::findings::{Findings, at};

pub(crate) fn check(context: Context<'_>, findings: &mut Findings) {
    provider_type(context, findings);
    scheme(context, findings);
    stand_in(context, findings);
    mode(context, findings);
    for (index, transform) in context.spec().provider.transforms.iter().enumerate() {
        let kind = match transform.kind {
            TransformKind::Sql | TransformKind::Spark | TransformKind::Flink => continue,
            TransformKind::Python => "python",
            TransformKind::Wasm => "wasm",
        };
        findings.error(
            Code::UnsupportedTransform,
            &at::transform(index).key("type"),
            format!("transforms of type `{kind}` are not supported yet"),
            "write the transform as `type: sql`",
        );
    }
    tenant(context, findings);
}

fn provider_type(context: Context<'_>, findings: &mut Findings) {
    let (name, instead) = match context.spec().provider.provider_type {
        ProviderType::RestApi
        | ProviderType::Graphql
        | ProviderType::S3
        | ProviderType::FileFtp => return,
        ProviderType::Websocket => ("websocket", "poll the API's `rest_api` endpoints"),
        ProviderType::Webhook => (
            "webhook",
            "poll the API with `rest_api`, or have the sender write files and read them with `s3`",
        ),
        ProviderType::Database => (
            "database",
            "export the tables to files and read them with `s3` or `file_ftp`",
        ),
        ProviderType::Kafka => ("kafka", "write the topic to files and read them with `s3`"),
    };
    findings.error(
        Code::UnsupportedProvider,
        &at::provider().key("provider_type"),
        format!("sources of type `{name}` are not supported yet"),
        instead,
    );
}

/// Schemes of file sources. Those of HTTP are checked where URLs are made.
fn scheme(context: Context<'_>, findings: &mut Findings) {
    let provider = &context.spec().provider;
    if !context.reads_files() {
        return;
    }
    let addresses = provider
        .base_url
        .iter()
        .map(|url| (url, at::provider().key("base_url")))
        .chain(
            provider
                .endpoints
                .iter()
                .enumerate()
                .filter(|(_, endpoint)| endpoint.is_active)
                .map(|(index, endpoint)| (&endpoint.path, at::endpoint(index).key("path"))),
        );
    for (address, path) in addresses {
        let Some((scheme, _)) = address.split_once("://") else {
            continue;
        };
        let instead = match scheme.to_ascii_lowercase().as_str() {
            "file" | "s3" | "s3a" => continue,
            "ftp" | "ftps" | "sftp" => {
                "copy the files to a folder (`file://`) or an object store (`s3://`) and read them there"
            }
            _ => {
                "read files from a folder (`file:///folder`) or an object store (`s3://bucket/prefix`)"
            }
        };
        findings.error(
            Code::UnsupportedScheme,
            &path,
            format!("files can't be read from `{scheme}://` addresses yet"),
            instead,
        );
    }
}

/// The server that a caller puts in the place of the source's.
fn stand_in(context: Context<'_>, findings: &mut Findings) {
    let Some(base) = &context.inputs.options.base_url else {
        return;
    };
    if context.reads_files() || base.contains("{{") {
        return;
    }
    let host = base
        .split_once("://")
        .filter(|(scheme, _)| ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()))
        .map(|(_, host)| host);
    if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
        let message = "what `--base-url` gives is no address of an HTTP server";
        findings.push(
            Diagnostic::error(Code::BadUrl, FieldPath::root(), message)
                .beside()
                .help("write it with its scheme and host, as in `http://127.0.0.1:8000`"),
        );
    }
}

fn mode(context: Context<'_>, findings: &mut Findings) {
    let name = match context.spec().provider.mode.unwrap_or_default() {
        Mode::Batch | Mode::MicroBatch => return,
        Mode::Streaming => "streaming",
        Mode::Websocket => "websocket",
        Mode::Webhook => "webhook",
        Mode::GraphqlSubscription => "graphql_subscription",
    };
    findings.error(
        Code::UnsupportedMode,
        &at::provider().key("mode"),
        format!("the mode `{name}` is not supported yet"),
        "write `mode: micro_batch` with a `schedule_cron` or `config.interval_seconds`, or `mode: batch`",
    );
}

fn tenant(context: Context<'_>, findings: &mut Findings) {
    let own = &context.spec().provider.tenant_id;
    if let Some(tenant) = &context.environment().tenant
        && tenant != own
    {
        findings.error(
            Code::TenantMismatch,
            &at::provider().key("tenant_id"),
            format!(
                "the document belongs to the tenant `{own}`, and the caller acts for `{tenant}`"
            ),
            "run it as the tenant that it belongs to",
        );
    }
}

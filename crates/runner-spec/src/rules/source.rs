//! The address of the source: its scheme, and what goes over the wire in the open.

use url::{Host, Url};

use super::{Context, endpoint_path, provider_path};
use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::model::{AuthKind, ProviderType};
use crate::names::one_of;
use crate::path::FieldPath;
use crate::redact::is_secret_name;
use crate::values::{is_local_path, is_template, without_credentials};

pub(super) fn run(context: &mut Context<'_>) {
    let path = provider_path().key("base_url");
    if let Some(base_url) = context
        .spec
        .provider
        .base_url
        .clone()
        .filter(|url| !url.trim().is_empty())
    {
        check_scheme(context, &base_url, path.clone());
        check_open(context, &base_url, &path);
    }
    for (index, endpoint) in context.spec.provider.endpoints.iter().enumerate() {
        if let AuthKind::Oauth2 { token_url, .. } = &endpoint.auth.kind
            && is_open(token_url)
        {
            let path = endpoint_path(index).keys(["auth_config", "token_url"]);
            context.report(open(
                "the token server is asked over an unencrypted connection",
                path,
            ));
        }
        let body = endpoint_path(index).key("body_template");
        let method = endpoint.method.as_deref().unwrap_or("GET");
        if endpoint.body_template.is_some()
            && matches!(method, "GET" | "HEAD")
            && context.spec.provider.provider_type == ProviderType::RestApi
        {
            let message = format!("a {method} request has a body here, and most servers ignore it");
            context.report(
                Diagnostic::warning(Code::BodyIgnored, body, message)
                    .at_key()
                    .help("write `method: POST`, or move the values to `query_params`"),
            );
        }
    }
}

/// The schemes that make sense for a kind of source; nothing where any does.
fn schemes(kind: ProviderType) -> Option<&'static [&'static str]> {
    match kind {
        ProviderType::RestApi | ProviderType::Graphql => Some(&["https", "http"]),
        ProviderType::Websocket => Some(&["wss", "ws", "https", "http"]),
        ProviderType::FileFtp => Some(&["file", "ftp", "ftps", "sftp"]),
        ProviderType::S3 => Some(&["s3", "s3a", "https", "http", "gs", "az", "abfs", "file"]),
        ProviderType::Webhook | ProviderType::Database | ProviderType::Kafka => None,
    }
}

fn check_scheme(context: &mut Context<'_>, base_url: &str, path: FieldPath) {
    let kind = context.spec.provider.provider_type;
    let Some(known) = schemes(kind) else { return };
    if !context.is_written(&provider_path().key("provider_type")) || is_template(base_url) {
        return;
    }
    if is_local_path(base_url) {
        if !matches!(kind, ProviderType::FileFtp | ProviderType::S3) {
            let message = format!(
                "`{}` is no URL: it has no scheme",
                without_credentials(base_url)
            );
            context.report(Diagnostic::error(Code::BadUrl, path, message).help(format!(
                "write it in full, as in `https://{}`",
                without_credentials(base_url.trim_start_matches('/'))
            )));
        }
        return;
    }
    let Ok(url) = Url::parse(base_url) else {
        return;
    };
    if !known.contains(&url.scheme()) {
        let message = format!(
            "the scheme `{}` doesn't fit this kind of source",
            url.scheme()
        );
        let help = format!(
            "write {}, or another `provider_type`",
            one_of(known.iter().copied())
        );
        context.report(Diagnostic::error(Code::BadUrlScheme, path, message).help(help));
    }
}

/// Credentials that are sent without encryption.
fn check_open(context: &mut Context<'_>, base_url: &str, path: &FieldPath) {
    let provider = &context.spec.provider;
    let sends = provider.credentials_ref.is_some()
        || provider.endpoints.iter().any(|endpoint| {
            let in_header = endpoint
                .headers
                .keys()
                .chain(endpoint.query_params.keys())
                .any(|name| is_secret_name(name));
            in_header || endpoint.auth.kind != AuthKind::None
        });
    if sends
        && is_open(base_url)
        && matches!(
            provider.provider_type,
            ProviderType::RestApi | ProviderType::Graphql
        )
    {
        context.report(open(
            "credentials are sent over an unencrypted connection",
            path.clone(),
        ));
    }
}

fn open(message: &str, path: FieldPath) -> Diagnostic {
    Diagnostic::warning(Code::CredentialsOverHttp, path, message)
        .help("write `https://` if the server has it")
}

/// Whether an address is unencrypted and on another machine.
fn is_open(address: &str) -> bool {
    let Ok(url) = Url::parse(address) else {
        return false;
    };
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => true,
    };
    matches!(url.scheme(), "http" | "ws" | "ftp") && !is_local
}

//! Whether an endpoint has all that its authentication needs.

use super::{Context, endpoint_path};
use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::model::{AuthKind, Endpoint, OauthGrant};
use crate::tree::Node;

pub(super) fn run(context: &mut Context<'_>) {
    for (index, endpoint) in context.spec.provider.endpoints.iter().enumerate() {
        let path = endpoint_path(index);
        let config = context.node(&path.key("auth_config"));
        if endpoint.auth.kind == AuthKind::None {
            if !context.is_written(&path.key("auth"))
                || context.node(&path.key("auth")).and_then(Node::as_text) == Some("none")
            {
                unused_config(context, index, config);
            }
            continue;
        }
        if context.spec.provider.credentials_ref.is_some()
            || config.is_some_and(|config| config.as_object().is_none())
        {
            continue;
        }
        for field in needed(endpoint) {
            let path = path.key("auth_config");
            if config
                .and_then(|config| super::entry(config, field))
                .is_some_and(|value| !value.is_null())
            {
                continue;
            }
            let message =
                format!("`auth_config` has no `{field}`, and no `credentials_ref` supplies it");
            context.report(
                Diagnostic::error(Code::MissingField, path.key(field), message)
                    .help(format!("add `{field}: \"{{{{ secrets.NAME }}}}\"` and declare the secret, or name the provider's bundle in `credentials_ref`")),
            );
        }
        // Without any settings there is no object whose required fields the check could miss.
        if config.is_none()
            && matches!(
                endpoint.auth.kind,
                AuthKind::ApiKey { .. } | AuthKind::Oauth2 { .. } | AuthKind::Hmac { .. }
            )
        {
            required_fields(context, index, endpoint);
        }
    }
}

/// Fields that hold credentials, which a bundle could supply.
fn needed(endpoint: &Endpoint) -> Vec<&'static str> {
    match &endpoint.auth.kind {
        AuthKind::None => Vec::new(),
        AuthKind::ApiKey { .. } => vec!["value"],
        AuthKind::Bearer { .. } => vec!["token"],
        AuthKind::Basic { .. } => vec!["username", "password"],
        AuthKind::Oauth2 {
            grant: OauthGrant::ClientCredentials,
            ..
        } => vec!["client_id", "client_secret"],
        AuthKind::Oauth2 {
            grant: OauthGrant::RefreshToken,
            ..
        } => vec!["client_id", "refresh_token"],
        AuthKind::Hmac { .. } => vec!["secret"],
    }
}

fn required_fields(context: &mut Context<'_>, index: usize, endpoint: &Endpoint) {
    let fields: &[&str] = match endpoint.auth.kind {
        AuthKind::ApiKey { .. } => &["name"],
        AuthKind::Oauth2 { .. } => &["token_url"],
        AuthKind::Hmac { .. } => &["string_to_sign", "header"],
        AuthKind::None | AuthKind::Bearer { .. } | AuthKind::Basic { .. } => &[],
    };
    for field in fields {
        let path = endpoint_path(index).key("auth_config").key(*field);
        let message = format!("this `auth` needs an `auth_config` with `{field}`");
        context.report(
            Diagnostic::error(Code::MissingField, path, message)
                .help(format!("add `auth_config: {{{field}: …}}`")),
        );
    }
}

/// Credentials that nothing sends.
fn unused_config(context: &mut Context<'_>, index: usize, config: Option<&Node>) {
    let keys: Vec<&str> = config
        .and_then(Node::as_object)
        .unwrap_or_default()
        .iter()
        .map(|entry| entry.key.as_str())
        .collect();
    for key in keys
        .iter()
        .filter(|key| !matches!(**key, "client_certificate" | "clientCertificate"))
    {
        let kind = match *key {
            "token" => "bearer",
            "username" | "password" => "basic",
            "value" | "name" | "in" => "api_key",
            "secret" | "string_to_sign" | "header" | "algorithm" => "hmac",
            _ => "oauth2",
        };
        let path = endpoint_path(index).key("auth_config").key(*key);
        let diagnostic = Diagnostic::warning(
            Code::FieldWithoutEffect,
            path,
            format!("`{key}` has no effect: this endpoint has no `auth`"),
        )
        .at_key();
        context.report(diagnostic.help(format!("write `auth: {kind}` beside `auth_config`")));
    }
}

//! The texts of a request's authentication, by their keys in `auth_config`.

use std::collections::BTreeMap;

use runner_spec::model::{Auth, AuthKind};

use super::drafts::Draft;
use super::storage::is_reference;

/// Every template of it.
pub(crate) fn templates(auth: &Auth) -> Vec<(&'static str, String)> {
    let mut auth = auth.clone();
    templates_mut(&mut auth)
        .into_iter()
        .map(|(key, text)| (key, text.clone()))
        .collect()
}

fn templates_mut(auth: &mut Auth) -> Vec<(&'static str, &mut String)> {
    let mut templates: Vec<(&'static str, &mut String)> = match &mut auth.kind {
        AuthKind::None => Vec::new(),
        AuthKind::ApiKey { name, value, .. } => vec![("name", name), ("value", value)],
        AuthKind::Bearer { token } => vec![("token", token)],
        AuthKind::Basic { username, password } => {
            vec![("username", username), ("password", password)]
        }
        AuthKind::Oauth2 {
            token_url,
            client_id,
            client_secret,
            refresh_token,
            audience,
            ..
        } => {
            let optional = [
                ("client_secret", client_secret.as_mut()),
                ("refresh_token", refresh_token.as_mut()),
                ("audience", audience.as_mut()),
            ];
            [("token_url", token_url), ("client_id", client_id)]
                .into_iter()
                .chain(
                    optional
                        .into_iter()
                        .filter_map(|(key, text)| Some((key, text?))),
                )
                .collect()
        }
        AuthKind::Hmac {
            secret,
            string_to_sign,
            ..
        } => vec![("secret", secret), ("string_to_sign", string_to_sign)],
    };
    if let Some(certificate) = &mut auth.client_certificate {
        templates.push(("client_certificate", &mut certificate.certificate));
        templates.push(("client_key", &mut certificate.key));
        templates.extend(certificate.ca.as_mut().map(|ca| ("client_ca", ca)));
    }
    templates
}

/// Secrets that credentials name by reference instead of by a template → their references.
pub(crate) fn inline_secrets(drafts: &[Draft<'_>]) -> BTreeMap<String, String> {
    let mut secrets = BTreeMap::new();
    for draft in drafts {
        for (key, text) in templates(&draft.endpoint.auth) {
            if is_reference(&text) {
                secrets.insert(inline_name(draft.name(), key), text);
            }
        }
    }
    secrets
}

/// The same credentials as templates: a reference to a secret is looked up by a name of its own.
pub(crate) fn without_references(auth: &Auth, stream: &str) -> Auth {
    let mut auth = auth.clone();
    for (key, text) in templates_mut(&mut auth) {
        if is_reference(text) {
            *text = format!("{{{{ secrets['{}'] }}}}", inline_name(stream, key));
        }
    }
    auth
}

fn inline_name(stream: &str, key: &str) -> String {
    format!("auth.{stream}.{key}")
}

//! The texts of a request's authentication, by their keys in `auth_config`.

use std::collections::BTreeMap;

use runner_spec::Spec;
use runner_spec::model::{Auth, AuthKind, OauthGrant};

use super::drafts::Draft;
use super::storage::is_reference;
use crate::template::Template;

/// References to the refresh tokens of a document: the secrets that are written back when a token server rotates them.
pub fn refresh_tokens(spec: &Spec) -> Vec<String> {
    let tokens = spec
        .provider
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.is_active)
        .filter_map(|endpoint| match &endpoint.auth.kind {
            AuthKind::Oauth2 {
                grant: OauthGrant::RefreshToken,
                refresh_token,
                ..
            } => refresh_token.as_deref(),
            _ => None,
        });
    let mut references: Vec<String> = tokens
        .flat_map(|token| {
            if is_reference(token) {
                return vec![token.to_owned()];
            }
            // What is no template has been reported, and names nothing.
            let variables = Template::new(token).variables().unwrap_or_default();
            variables
                .iter()
                .filter_map(|variable| reference_of(spec, &variable.name))
                .collect()
        })
        .collect();
    references.sort();
    references.dedup();
    references
}

/// The reference behind a name, as a run will find it.
fn reference_of(spec: &Spec, name: &str) -> Option<String> {
    let name = name
        .strip_prefix("secrets.")
        .or_else(|| name.strip_prefix("secret."))
        .unwrap_or(name);
    if let Some(reference) = spec.global.secrets.get(name) {
        return Some(reference.clone());
    }
    let bundle = spec.provider.credentials_ref.as_deref()?;
    match bundle.split_once('#') {
        Some((_, key)) => (key == name).then(|| bundle.to_owned()),
        None => Some(format!("{bundle}#{name}")),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(credentials: &str, token: &str) -> Vec<String> {
        let document = serde_json::json!({
            "version": "1.1",
            "name": "feed",
            "created_by": "team",
            "global_config": {"secrets": {"REFRESH": "vault://app#refresh"}},
            "provider": {
                "name": "api",
                "owner": "team",
                "tenant_id": "acme",
                "provider_type": "rest_api",
                "base_url": "https://api.example.com",
                "credentials_ref": credentials,
                "endpoints": [{
                    "name": "items",
                    "path": "/items",
                    "auth": "oauth2",
                    "auth_config": {
                        "grant": "refresh_token",
                        "token_url": "https://api.example.com/token",
                        "client_id": "id",
                        "refresh_token": token,
                    },
                }],
                "sinks": [{"type": "parquet", "table_name": "items"}],
            },
        });
        let text = document.to_string();
        let source = runner_spec::Source::from_bytes("feed.json", text.as_bytes()).unwrap();
        let loaded = runner_spec::load(&source, &[], &runner_spec::Options::default());
        refresh_tokens(&loaded.spec.expect("a document"))
    }

    #[test]
    fn refresh_tokens_are_found_by_reference_by_name_and_in_the_bundle() {
        for (credentials, token, expected) in [
            (
                "vault://feeds",
                "{{ secrets.REFRESH }}",
                &["vault://app#refresh"][..],
            ),
            ("vault://feeds", "{{ refresh }}", &["vault://feeds#refresh"]),
            (
                "vault://feeds#refresh",
                "{{ refresh }}",
                &["vault://feeds#refresh"],
            ),
            ("vault://feeds#other", "{{ refresh }}", &[]),
            ("vault://feeds", "vault://own#token", &["vault://own#token"]),
        ] {
            assert_eq!(
                tokens(credentials, token),
                expected,
                "{credentials} {token}"
            );
        }
    }
}

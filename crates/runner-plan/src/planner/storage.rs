//! Settings of object stores and connections, with their secrets as references.

use runner_spec::model::Settings;
use serde_json::Value;

/// Settings that lead to an object store, under every name that is taken for them.
const STORAGE: [&str; 26] = [
    "access_key",
    "access_key_id",
    "allow_http",
    "anonymous",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "client.region",
    "endpoint",
    "endpoint_url",
    "path_style",
    "region",
    "s3.access-key-id",
    "s3.endpoint",
    "s3.path-style-access",
    "s3.region",
    "s3.remote-signing-enabled",
    "s3.secret-access-key",
    "s3.session-token",
    "s3.signer",
    "s3.signer.endpoint",
    "secret_access_key",
    "secret_key",
    "session_token",
    "skip_signature",
    "virtual_hosted_style",
];

/// Parts of names that tell a secret.
const SENSITIVE: [&str; 8] = [
    "password",
    "passwd",
    "secret",
    "token",
    "credential",
    "private",
    "api_key",
    "access_key",
];

/// Those of the settings that lead to an object store.
pub(crate) fn storage_settings(settings: &Settings) -> Settings {
    settings
        .iter()
        .filter(|(name, value)| STORAGE.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A connection's settings as a plan may hold them: a secret in plain text becomes `connection://NAME#SETTING`.
pub(crate) fn without_secrets(name: &str, settings: &Settings) -> Settings {
    settings
        .iter()
        .map(|(key, value)| {
            let value = match value {
                Value::String(text)
                    if !is_reference(text)
                        && (is_sensitive(key) || (key == "url" && has_password(text))) =>
                {
                    Value::String(format!("connection://{name}#{key}"))
                }
                _ => value.clone(),
            };
            (key.clone(), value)
        })
        .collect()
}

pub(crate) fn is_reference(text: &str) -> bool {
    text.starts_with("vault://") || text.starts_with("connection://")
}

/// Whether it is an address that a password stands in.
fn has_password(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| url.password().is_some())
}

fn is_sensitive(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace(['-', '.'], "_");
    SENSITIVE.iter().any(|part| key.contains(part))
        && !key.ends_with("_id")
        && !key.ends_with("_path")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_secret_of_a_connection_gets_into_a_plan() {
        let settings = json!({
            "endpoint": "http://localhost:8333", "access_key_id": "admin", "secret_access_key": "canary",
            "s3.secret-access-key": "canary", "password": "canary", "token": "vault://team/catalog#token",
            "credential": "id:canary", "port": 5432, "user": "loader",
            "url": "postgres://loader:canary@db.example.com/market", "uri": "https://catalog.example.com"
        });
        let settings = settings.as_object().cloned().unwrap_or_default();
        insta::assert_json_snapshot!(without_secrets("lake", &settings), @r#"
        {
          "access_key_id": "admin",
          "credential": "connection://lake#credential",
          "endpoint": "http://localhost:8333",
          "password": "connection://lake#password",
          "port": 5432,
          "s3.secret-access-key": "connection://lake#s3.secret-access-key",
          "secret_access_key": "connection://lake#secret_access_key",
          "token": "vault://team/catalog#token",
          "uri": "https://catalog.example.com",
          "url": "connection://lake#url",
          "user": "loader"
        }
        "#);
    }
}

//! S3 and what speaks its protocol.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{
    AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider, S3ConditionalPut,
};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};

use runner_core::Secret;

use super::error::{StorageError, redact};
use crate::resolve::ResolvedSettings;

const CONNECT_TIMEOUT: &str = "10 seconds";
/// Of one request: eight mebibytes at a slow pace.
const REQUEST_TIMEOUT: &str = "120 seconds";
const RETRIES: usize = 6;
const RETRY_TIMEOUT: Duration = Duration::from_mins(3);

/// Names of each setting: ours, then those of the Iceberg property list and of AWS.
const ENDPOINT: &[&str] = &["endpoint", "endpoint_url", "s3.endpoint"];
const REGION: &[&str] = &["region", "s3.region", "client.region"];
const ACCESS_KEY: &[&str] = &[
    "access_key_id",
    "access_key",
    "aws_access_key_id",
    "s3.access-key-id",
];
const SECRET_KEY: &[&str] = &[
    "secret_access_key",
    "secret_key",
    "aws_secret_access_key",
    "s3.secret-access-key",
];
const SESSION_TOKEN: &[&str] = &["session_token", "aws_session_token", "s3.session-token"];
const PATH_STYLE: &[&str] = &["path_style", "s3.path-style-access"];
const ALLOW_HTTP: &[&str] = &["allow_http"];
const ANONYMOUS: &[&str] = &["anonymous", "skip_signature"];

/// Keys that requests to AWS, and to what speaks its protocols, are signed with.
#[derive(Clone, Debug)]
pub struct AccessKeys {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
}

/// The keys of the settings, else those of the environment.
pub fn access_keys(settings: &ResolvedSettings) -> Option<AccessKeys> {
    if let (Some(key), Some(secret)) = (settings.get(ACCESS_KEY), settings.get(SECRET_KEY)) {
        return Some(AccessKeys {
            access_key_id: key.expose().to_owned(),
            secret_access_key: secret.clone(),
            session_token: settings.get(SESSION_TOKEN).cloned(),
        });
    }
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Some(AccessKeys {
        access_key_id: variable("AWS_ACCESS_KEY_ID")?,
        secret_access_key: Secret::new(variable("AWS_SECRET_ACCESS_KEY")?),
        session_token: variable("AWS_SESSION_TOKEN").map(Secret::new),
    })
}

/// The store of a bucket, the prefix in it and the location to show.
pub(super) fn open(
    location: &str,
    settings: &ResolvedSettings,
    credentials: Option<AwsCredentialProvider>,
) -> Result<(Arc<dyn ObjectStore>, Path, String), StorageError> {
    let malformed = |reason: &str| StorageError::Location {
        location: redact(location),
        reason: reason.to_owned(),
    };
    let rest = location
        .split_once("://")
        .map_or(location, |(_, rest)| rest);
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(malformed("it names no bucket (`s3://bucket/prefix`)"));
    }
    if bucket.contains('@') {
        return Err(malformed(
            "credentials don't belong into it: set `access_key_id` and `secret_access_key` at the connection",
        ));
    }
    let prefix =
        Path::parse(prefix.trim_end_matches('/')).map_err(|error| malformed(&error.to_string()))?;
    let mut builder = builder(bucket, settings)?;
    if let Some(credentials) = credentials {
        builder = builder.with_credentials(credentials);
    }
    let store = builder.build().map_err(|source| StorageError::Settings {
        location: location.to_owned(),
        source,
    })?;
    let shown = format!("s3://{bucket}/{prefix}");
    Ok((
        Arc::new(store),
        prefix,
        shown.trim_end_matches('/').to_owned(),
    ))
}

fn builder(bucket: &str, settings: &ResolvedSettings) -> Result<AmazonS3Builder, StorageError> {
    let text = |names: &[&str]| settings.get(names).map(|value| value.expose().to_owned());
    let endpoint = text(ENDPOINT);
    // An address of one's own over plain HTTP was asked for by writing it so.
    let is_plain = endpoint
        .as_deref()
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
    let allow_http = settings.flag(ALLOW_HTTP)?.unwrap_or(is_plain);
    let client = |key| AmazonS3ConfigKey::Client(key);
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_retry(RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: RETRIES,
            retry_timeout: RETRY_TIMEOUT,
        })
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_config(client(ClientConfigKey::ConnectTimeout), CONNECT_TIMEOUT)
        .with_config(client(ClientConfigKey::Timeout), REQUEST_TIMEOUT);
    if allow_http {
        builder = builder.with_allow_http(true);
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = text(REGION) {
        builder = builder.with_region(region);
    }
    if let (Some(key), Some(secret)) = (text(ACCESS_KEY), text(SECRET_KEY)) {
        builder = builder
            .with_access_key_id(key)
            .with_secret_access_key(secret);
    }
    if let Some(token) = text(SESSION_TOKEN) {
        builder = builder.with_token(token);
    }
    if let Some(path_style) = settings.flag(PATH_STYLE)? {
        builder = builder.with_virtual_hosted_style_request(!path_style);
    }
    if settings.flag(ANONYMOUS)?.unwrap_or(false) {
        builder = builder.with_skip_signature(true);
    }
    Ok(builder)
}

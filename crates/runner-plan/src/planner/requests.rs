//! The requests of an HTTP stream.

use runner_spec::model::{Auth, AuthKind, Endpoint, OauthGrant, ProviderType};
use runner_spec::{Code, FieldPath};
use serde_json::{Value, json};

use super::bindings::Binding;
use super::context::{Context, scalar_text};
use super::credentials;
use super::drafts::Draft;
use super::findings::{Findings, at};
use super::formats;
use super::pages;
use super::row_paths::parse_json_path;
use crate::model::{AllowedOrigins, Body, HttpSource, RateLimit, RetryPolicy, RowPath, SourcePlan};
use crate::template::Template;

const DEFAULT_RETRY_ON: [&str; 9] = [
    "408",
    "425",
    "429",
    "500",
    "502",
    "503",
    "504",
    "timeout",
    "connection",
];

pub(crate) fn build(
    context: Context<'_>,
    drafts: &[Draft<'_>],
    draft: &Draft<'_>,
    binding: &Binding,
    findings: &mut Findings,
) -> SourcePlan {
    let endpoint = draft.endpoint;
    let body = body(context, endpoint, &draft.path, findings);
    let rows = rows(endpoint, &draft.path, findings);
    let method = match &endpoint.method {
        Some(method) if !is_graphql(context) => method.to_ascii_uppercase(),
        _ if is_graphql(context) => "POST".to_owned(),
        _ => "GET".to_owned(),
    };
    let stable_order = pages::stable_order(context, draft, findings);
    SourcePlan::Http(Box::new(HttpSource {
        method,
        url: url(context, endpoint, &draft.path, findings),
        headers: headers(endpoint, body.as_ref()),
        query: templates(&endpoint.query_params),
        pages: pages::build(context, draft, body.as_ref(), &rows, findings),
        body,
        auth: auth(context, draft, findings),
        rows,
        format: formats::data_format(context, findings),
        text: formats::text_format(context, findings),
        on_status: endpoint
            .on_status
            .iter()
            .map(|(status, meaning)| (status.to_ascii_lowercase(), *meaning))
            .collect(),
        rate_limit: Some(rate_limit(drafts, endpoint)),
        retry: retry(context),
        chains: binding.chains.clone(),
        variables: binding.variables.clone(),
        allowed_origins: AllowedOrigins {
            hosts: context.setting_texts("allowed_hosts"),
        },
        stable_order,
    }))
}

fn is_graphql(context: Context<'_>) -> bool {
    context.spec().provider.provider_type == ProviderType::Graphql
}

fn templates(texts: &indexmap::IndexMap<String, String>) -> Vec<(String, Template)> {
    texts
        .iter()
        .map(|(name, text)| (name.clone(), Template::new(text)))
        .collect()
}

fn headers(endpoint: &Endpoint, body: Option<&Body>) -> Vec<(String, Template)> {
    let mut headers = templates(&endpoint.headers);
    let has_type = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let is_json_text = matches!(body, Some(Body::Text(text)) if text.as_str().trim_start().starts_with(['{', '[']));
    if is_json_text && !has_type {
        headers.push(("Content-Type".to_owned(), Template::new("application/json")));
    }
    headers
}

fn rows(endpoint: &Endpoint, path: &FieldPath, findings: &mut Findings) -> RowPath {
    let path = path.key("response_path");
    let text = endpoint.response_path.as_deref().unwrap_or("$");
    let Some(rows) = parse_json_path(text) else {
        findings.error(
            Code::BadJsonPath,
            &path,
            format!("`{text}` is no JSONPath"),
            "write a path like `$.data.items`",
        );
        return RowPath::Steps(Vec::new());
    };
    if matches!(rows, RowPath::Query(_)) {
        findings.hint(
            Code::WholeDocument,
            &path,
            format!("`{text}` needs each response as a whole, which may have at most `config.max_document_bytes` (64 MiB)"),
        );
    }
    rows
}

/// Base URL and path in one template.
fn url(
    context: Context<'_>,
    endpoint: &Endpoint,
    path: &FieldPath,
    findings: &mut Findings,
) -> Template {
    let stand_in = context.inputs.options.base_url.as_deref();
    let own = &endpoint.path;
    if let Some((_, rest)) = own.split_once("://") {
        return match stand_in {
            // Another server stands in for every host of the source.
            Some(base) => joined(base, rest.find('/').map_or("", |start| &rest[start..])),
            None => Template::new(own),
        };
    }
    let Some(base) = stand_in.or(context.spec().provider.base_url.as_deref()) else {
        findings.error(
            Code::BaseUrlMissing,
            &path.key("path"),
            format!("`{own}` is relative, and the provider has no `base_url`"),
            "add `provider.base_url`, or write the URL in full",
        );
        return Template::new(own);
    };
    let is_api = matches!(
        context.spec().provider.provider_type,
        ProviderType::RestApi | ProviderType::Graphql
    );
    let is_http = base
        .split_once("://")
        .is_none_or(|(scheme, _)| matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https"));
    // What the caller gives in its place was looked at already.
    if is_api && !is_http && stand_in.is_none() {
        findings.error(
            Code::UnsupportedScheme,
            &at::provider().key("base_url"),
            format!("requests can't be sent to `{base}`"),
            "write an `https://` address",
        );
    }
    joined(base, own)
}

fn joined(base: &str, path: &str) -> Template {
    let base = base.trim_end_matches('/');
    if path.is_empty() || path.starts_with(['?', '#']) {
        return Template::new(format!("{base}{path}"));
    }
    Template::new(format!("{base}/{}", path.trim_start_matches('/')))
}

fn body(
    context: Context<'_>,
    endpoint: &Endpoint,
    path: &FieldPath,
    findings: &mut Findings,
) -> Option<Body> {
    if is_graphql(context) {
        return graphql_body(context, endpoint, path, findings).map(Body::Json);
    }
    match endpoint.body_template.as_ref()? {
        Value::Null => None,
        Value::String(text) => Some(Body::Text(Template::new(text))),
        other => Some(Body::Json(other.clone())),
    }
}

/// `{query, variables}`: the query from the body or `config.query`, the variables from the body or `config.variables`.
fn graphql_body(
    context: Context<'_>,
    endpoint: &Endpoint,
    path: &FieldPath,
    findings: &mut Findings,
) -> Option<Value> {
    let shared_query = context.setting("query").and_then(Value::as_str);
    let shared_variables = || {
        context
            .setting("variables")
            .cloned()
            .unwrap_or_else(|| json!({}))
    };
    let body = endpoint
        .body_template
        .as_ref()
        .filter(|body| !body.is_null());
    let made = match (body, shared_query) {
        (Some(Value::String(query)), _) => {
            Some(json!({"query": query, "variables": shared_variables()}))
        }
        (Some(Value::Object(body)), _) if body.contains_key("query") => {
            let mut body = body.clone();
            body.entry("variables").or_insert_with(shared_variables);
            Some(Value::Object(body))
        }
        (Some(Value::Object(variables)), Some(query)) => {
            Some(json!({"query": query, "variables": variables}))
        }
        (None, Some(query)) => Some(json!({"query": query, "variables": shared_variables()})),
        _ => None,
    };
    if made.is_none() {
        findings.error(
            Code::MissingField,
            &path.key("body_template"),
            format!("the GraphQL endpoint `{}` has no query", endpoint.name),
            "write the query as `body_template`, or as `config.query` for all endpoints",
        );
    }
    made
}

fn auth(context: Context<'_>, draft: &Draft<'_>, findings: &mut Findings) -> Auth {
    let mut auth = credentials::without_references(&draft.endpoint.auth, draft.name());
    let AuthKind::Oauth2 {
        grant, token_url, ..
    } = &mut auth.kind
    else {
        return auth;
    };
    if let Some(base) = &context.inputs.options.base_url
        && let Some((_, rest)) = token_url.split_once("://")
    {
        // The stand-in issues the tokens too: real credentials stay away from it, and its tokens from the real server.
        *token_url = joined(base, rest.find('/').map_or("", |start| &rest[start..])).0;
    }
    let rotates = context
        .setting_flag("refresh_token_rotates", findings)
        .unwrap_or(true);
    if *grant == OauthGrant::RefreshToken && rotates && !context.environment().secrets_writable {
        findings.error(
            Code::ReadOnlyRotation,
            &draft.path.key("auth_config").key("refresh_token"),
            "a refresh token that is replaced at its use has to be written back, and the secrets can only be read here".to_owned(),
            "use a secret store that can be written to, or write `config.refresh_token_rotates: false` where the server keeps the token",
        );
    }
    auth
}

/// The bucket that the stream's requests are taken from. Streams of one group share the lowest rate that any of them states.
fn rate_limit(drafts: &[Draft<'_>], endpoint: &Endpoint) -> RateLimit {
    let Some(group) = &endpoint.rate_limit_group else {
        let group = match endpoint.rate_limit_per_second {
            Some(_) => endpoint.name.clone(),
            // What the server's answers say about its limits holds for all of these streams.
            None => "default".to_owned(),
        };
        return RateLimit {
            group,
            per_second: endpoint.rate_limit_per_second,
        };
    };
    let rates = drafts
        .iter()
        .filter(|other| other.endpoint.rate_limit_group.as_ref() == Some(group))
        .filter_map(|other| other.endpoint.rate_limit_per_second);
    RateLimit {
        group: group.clone(),
        per_second: rates.reduce(f64::min),
    }
}

/// `provider.retry_config`, filled from `global_config`, then from `config.retry`, then from what most APIs take.
fn retry(context: Context<'_>) -> RetryPolicy {
    let own = &context.spec().provider.retry;
    let global = &context.spec().global;
    let fallback = context.setting("retry").and_then(Value::as_object);
    let number = |name: &str| {
        fallback
            .and_then(|retry| retry.get(name))
            .and_then(scalar_text)
            .and_then(|text| text.trim().parse::<f64>().ok())
    };
    let fallback_attempts = number("max_attempts").and_then(whole);
    let max_retries = own
        .max_attempts
        .map(|attempts| attempts.saturating_sub(1))
        .or(global.retry_attempts)
        .or(fallback_attempts.map(|attempts| attempts.saturating_sub(1)))
        .unwrap_or(5);
    let initial = own
        .initial_backoff_seconds
        .or(global.retry_backoff_seconds)
        .or(number("initial_backoff_seconds"))
        .unwrap_or(1.0);
    let max = own
        .max_backoff_seconds
        .or(number("max_backoff_seconds"))
        .unwrap_or(60.0)
        .max(initial);
    RetryPolicy {
        max_retries,
        initial_backoff_ms: milliseconds(initial),
        max_backoff_ms: milliseconds(max),
        multiplier: own.multiplier.or(number("multiplier")).unwrap_or(2.0),
        retry_on: retry_on(&own.retry_on, fallback),
    }
}

fn retry_on(own: &[String], fallback: Option<&serde_json::Map<String, Value>>) -> Vec<String> {
    if !own.is_empty() {
        return own.iter().map(|cause| cause.to_ascii_lowercase()).collect();
    }
    let listed = fallback
        .and_then(|retry| retry.get("retry_on"))
        .and_then(Value::as_array)
        .map(|causes| causes.iter().filter_map(scalar_text).collect::<Vec<_>>())
        .filter(|causes| !causes.is_empty());
    listed.unwrap_or_else(|| DEFAULT_RETRY_ON.map(str::to_owned).to_vec())
}

fn whole(number: f64) -> Option<u32> {
    format!("{number:.0}").parse().ok()
}

pub(crate) fn milliseconds(seconds: f64) -> u64 {
    format!("{:.0}", (seconds * 1000.0).max(0.0))
        .parse()
        .unwrap_or(u64::MAX)
}

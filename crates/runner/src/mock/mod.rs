//! A server shaped like a document's endpoints: their paths, pagination, auth and rate limits, with rows that satisfy the contract.
//!
//! It is for trying a feed without its API. It is written from the document alone and uses no code of the extraction, so that the two
//! can't share a mistake.

mod answer;
mod pages;
mod pattern;
mod rows;
mod shape;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use runner_core::{Clock, Error, ErrorKind, Result};
use runner_spec::Spec;
use runner_spec::model::{AuthKind, KeyLocation};
use serde_json::json;
use tokio::net::TcpListener;

use shape::EndpointShape;

/// A request body larger than this is nobody's query.
const MAX_BODY_BYTES: usize = 1 << 20;

/// How much data the server pretends to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Volume {
    /// Rows in each request chain.
    pub(crate) rows: u64,
    /// Distinct values from a parent.
    pub(crate) parents: u64,
    pub(crate) seed: u64,
}

/// The server, before it listens.
pub(crate) struct Mock {
    endpoints: Vec<EndpointShape>,
    token_paths: Vec<String>,
    volume: Volume,
    buckets: Mutex<HashMap<String, (Duration, f64)>>,
    clock: Arc<dyn Clock>,
}

impl Mock {
    pub(crate) fn new(spec: &Spec, volume: Volume, clock: Arc<dyn Clock>) -> Result<Self> {
        let endpoints = shape::endpoints(spec)?;
        if endpoints.is_empty() {
            return Err(Error::new(
                ErrorKind::Spec,
                "the document has no HTTP endpoint that could be served",
            )
            .with_help("`mock` serves providers of type rest_api and graphql"));
        }
        Ok(Self {
            token_paths: shape::token_paths(spec),
            endpoints,
            volume,
            buckets: Mutex::default(),
            clock,
        })
    }

    /// Serves until the future is dropped.
    pub(crate) async fn serve(self, listener: TcpListener) -> Result<()> {
        let router = Router::new().fallback(handle).with_state(Arc::new(self));
        axum::serve(listener, router).await.map_err(|error| {
            Error::new(ErrorKind::Internal, "the mock server ended").with_source(error)
        })
    }

    /// Takes a token of the endpoint's bucket; the seconds to wait where there is none.
    fn throttle(&self, endpoint: &EndpointShape) -> Option<u64> {
        let per_second = endpoint.per_second?;
        let now = self.clock.monotonic();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let capacity = per_second.max(1.0);
        let (since, tokens) = buckets
            .entry(endpoint.rate_group.clone())
            .or_insert((now, capacity));
        *tokens = (*tokens + (now.saturating_sub(*since)).as_secs_f64() * per_second).min(capacity);
        *since = now;
        if *tokens >= 1.0 {
            *tokens -= 1.0;
            return None;
        }
        Some(1)
    }
}

async fn handle(State(mock): State<Arc<Mock>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
        return problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the request's body is too large",
        );
    };
    let path = parts.uri.path();
    if mock.token_paths.iter().any(|token| token == path) {
        return axum::Json(json!({ "access_token": "mock-access-token", "token_type": "Bearer", "expires_in": 3600 }))
            .into_response();
    }
    let found = mock
        .endpoints
        .iter()
        .find_map(|endpoint| Some((endpoint, endpoint.matches(path)?)));
    let Some((endpoint, variables)) = found else {
        let known: Vec<_> = mock
            .endpoints
            .iter()
            .map(|endpoint| endpoint.path.as_str())
            .collect();
        return problem(
            StatusCode::NOT_FOUND,
            &format!(
                "nothing is served at {path}; there are {}",
                known.join(", ")
            ),
        );
    };
    let query = query(parts.uri.query().unwrap_or_default());
    if let Some(missing) = unauthorized(endpoint, &parts.headers, &query) {
        return problem(StatusCode::UNAUTHORIZED, &missing);
    }
    if let Some(seconds) = mock.throttle(endpoint) {
        let mut response = problem(StatusCode::TOO_MANY_REQUESTS, "too many requests");
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
        return response;
    }
    let asked = Asked {
        path,
        host: host(&parts.headers),
        query,
        body,
        variables,
    };
    answer::answer(endpoint, &asked, mock.volume, mock.clock.now())
}

/// A request, taken apart.
struct Asked<'a> {
    path: &'a str,
    host: String,
    query: Vec<(String, String)>,
    body: Bytes,
    variables: Vec<(String, String)>,
}

impl Asked<'_> {
    /// A parameter of the query, else of the JSON body or its `variables`.
    fn parameter(&self, name: &str) -> Option<String> {
        if let Some((_, value)) = self.query.iter().find(|(key, _)| key == name) {
            return Some(value.clone());
        }
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        let value = body
            .get(name)
            .or_else(|| body.get("variables")?.get(name))?;
        match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

fn query(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

fn host(headers: &HeaderMap) -> String {
    headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("127.0.0.1")
        .to_owned()
}

/// What a request lacks; any key or token will do, since the document doesn't say which are right.
fn unauthorized(
    endpoint: &EndpointShape,
    headers: &HeaderMap,
    query: &[(String, String)],
) -> Option<String> {
    let has_header = |name: &str, prefix: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| {
                value
                    .strip_prefix(prefix)
                    .is_some_and(|rest| !rest.is_empty())
            })
    };
    let missing = |what: String| Some(format!("{what} is missing"));
    match &endpoint.auth {
        AuthKind::None => None,
        AuthKind::ApiKey {
            name,
            location: KeyLocation::Header,
            ..
        } => {
            if has_header(name, "") {
                None
            } else {
                missing(format!("the header `{name}`"))
            }
        }
        AuthKind::ApiKey {
            name,
            location: KeyLocation::Query,
            ..
        } => {
            let is_there = query
                .iter()
                .any(|(key, value)| key == name && !value.is_empty());
            if is_there {
                None
            } else {
                missing(format!("the query parameter `{name}`"))
            }
        }
        AuthKind::Bearer { .. } | AuthKind::Oauth2 { .. } => {
            if has_header("authorization", "Bearer ") {
                None
            } else {
                missing("a bearer token".to_owned())
            }
        }
        AuthKind::Basic { .. } => {
            if has_header("authorization", "Basic ") {
                None
            } else {
                missing("basic authentication".to_owned())
            }
        }
        AuthKind::Hmac { header, .. } => {
            if has_header(header, "") {
                None
            } else {
                missing(format!("the signature header `{header}`"))
            }
        }
    }
}

fn problem(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({ "error": message }))).into_response()
}

//! One try of one request: its turn at the rate limit, credentials, redirects, the head of the response.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Client;
use runner_core::{Error, ErrorKind, Result, Secret};
use runner_plan::model::Limits;
use tokio::sync::OnceCell;
use url::Url;

use super::auth::{Authenticator, TokenRequester, Tokens};
use super::bounds::RunBounds;
use super::client::{self, ClientTls};
use super::failure::{Failure, timed_out, transport};
use super::network::Network;
use super::origin::{is_same_origin, resolve};
use super::rate_limit::{Limiter, ServerLimits};
use super::request::PageRequest;
use super::scope::ChainScope;
use crate::meter::StreamMeter;
use crate::secrets::RunSecrets;

const MOST_REDIRECTS: usize = 10;

/// Sends a stream's requests.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) auth: Authenticator,
    pub(super) limiter: Arc<Limiter>,
    pub(super) bounds: RunBounds,
    pub(super) meter: StreamMeter,
    pub(super) secrets: Arc<RunSecrets>,
    pub(super) tokens: Tokens,
    pub(super) network: Network,
    pub(super) limits: Limits,
    /// Built with the first request, since client certificates may be secrets.
    pub(super) client: OnceCell<Client>,
}

/// What a chain has sent and received; each page takes what has come together since the one before it.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// A response whose body has not been read.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) inner: reqwest::Response,
    /// Where it came from, redirects followed.
    pub(super) url: Url,
    pub(super) limits: ServerLimits,
    pub(super) sent_at: Duration,
    /// The access token that was shown.
    pub(super) token: Option<Secret>,
}

impl Traffic {
    pub(super) fn add_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Requests and bytes since the last call.
    pub(super) fn take(&self) -> (u64, u64) {
        (
            self.requests.swap(0, Ordering::Relaxed),
            self.bytes.swap(0, Ordering::Relaxed),
        )
    }
}

impl Response {
    pub(super) fn status(&self) -> StatusCode {
        self.inner.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    pub(super) fn header(&self, name: &http::HeaderName) -> Option<String> {
        let value = self.headers().get(name)?.to_str().ok()?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    pub(super) fn content_type(&self) -> Option<String> {
        self.header(&CONTENT_TYPE)
    }

    pub(super) fn content_encoding(&self) -> Option<String> {
        self.header(&CONTENT_ENCODING)
    }
}

impl Exchange {
    /// The head of the response to a request, redirects followed. What its status means is not decided here.
    pub(super) async fn send(
        &self,
        request: &PageRequest,
        chain: &ChainScope,
        traffic: &Traffic,
        patience: Duration,
    ) -> Result<Response, Failure> {
        let base = request.url.clone();
        let mut plain = request.clone();
        for _ in 0..=MOST_REDIRECTS {
            let response = self.send_once(&plain, chain, traffic, patience).await?;
            let Some(target) = redirect(&response, &base)? else {
                return Ok(response);
            };
            tracing::debug!(status = response.status().as_u16(), "redirect is followed");
            follow(&mut plain, response.status(), target, &base)?;
        }
        Err(Error::new(
            ErrorKind::SourceData,
            format!("the API redirected more than {MOST_REDIRECTS} times"),
        )
        .with_help("check the URL: it may redirect in a circle, for example to a login page")
        .into())
    }

    /// Makes the next request ask for a new token.
    pub(super) async fn forget(&self, token: &Secret, chain: &ChainScope) -> Result<()> {
        let client = self.client.get().ok_or_else(no_client)?;
        self.auth
            .forget(token, chain, &self.token_requester(client))
            .await
    }

    /// Builds the client, once.
    pub(super) async fn prepare(&self, tls: &ClientTls) -> Result<()> {
        self.client
            .get_or_try_init(|| async { client::build(&self.network, &self.limits, tls) })
            .await
            .map(|_| ())
    }

    async fn send_once(
        &self,
        plain: &PageRequest,
        chain: &ChainScope,
        traffic: &Traffic,
        patience: Duration,
    ) -> Result<Response, Failure> {
        let client = self.client.get().ok_or_else(no_client)?;
        self.network.egress.check(&plain.url).map_err(|refused| {
            Error::new(ErrorKind::Forbidden, refused.to_string())
                .with_help("an administrator can allow the address in the setting `egress`")
        })?;
        let mut request = plain.clone();
        // A token may have to be asked for first: that takes its time before the turn, and not after it.
        let token = if plain.is_own_origin {
            self.auth
                .apply(&mut request, chain, &self.token_requester(client))
                .await?
        } else {
            None
        };
        let sent_at = self
            .limiter
            .acquire(&self.bounds, &self.meter, patience)
            .await?;
        traffic.add_request();
        self.meter.update(|progress| progress.requests += 1);
        let url = request.url.clone();
        let timeout = Duration::from_millis(self.limits.request_timeout_ms);
        let sent = self
            .bounds
            .within(timeout, client.execute(outgoing(request)))
            .await?;
        let inner = sent
            .ok_or_else(|| timed_out("the first byte of the response", timeout))?
            .map_err(|error| transport(error, "reach the API"))?;
        Ok(Response {
            limits: ServerLimits::read(inner.headers(), self.bounds.clock.now()),
            inner,
            url,
            sent_at,
            token,
        })
    }

    fn token_requester<'a>(&'a self, client: &'a Client) -> TokenRequester<'a> {
        TokenRequester {
            client,
            bounds: &self.bounds,
            timeout: Duration::from_millis(self.limits.request_timeout_ms),
            secrets: &self.secrets,
            tokens: &self.tokens,
            egress: &self.network.egress,
        }
    }
}

fn outgoing(request: PageRequest) -> reqwest::Request {
    let mut outgoing = reqwest::Request::new(request.method, request.url);
    *outgoing.headers_mut() = request.headers;
    *outgoing.body_mut() = request.body.map(reqwest::Body::from);
    outgoing
}

/// Where a response sends us, if it does.
fn redirect(response: &Response, base: &Url) -> Result<Option<Url>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.header(&LOCATION) else {
        return Ok(None);
    };
    let target = resolve(&response.url, base, &location)?;
    if response.url.scheme() == "https" && target.scheme() == "http" {
        return Err(Error::new(
            ErrorKind::SourceData,
            format!(
                "the API redirects from `https` to `http` at `{}`",
                target.host_str().unwrap_or_default()
            ),
        )
        .with_help("a redirect that gives up encryption is not followed: ask the API's owner"));
    }
    Ok(Some(target))
}

/// Turns a request into the one that its redirect asks for (RFC 9110, 15.4, and what browsers do).
fn follow(request: &mut PageRequest, status: StatusCode, target: Url, base: &Url) -> Result<()> {
    let becomes_get = match status.as_u16() {
        303 => request.method != Method::HEAD,
        301 | 302 => request.method == Method::POST,
        _ => false,
    };
    if becomes_get {
        request.method = Method::GET;
        request.body = None;
        request.has_secret_body = false;
        for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING] {
            request.headers.remove(name);
        }
    }
    if !is_same_origin(base, &target) && request.is_own_origin {
        // It never comes back to the origin, wherever later redirects lead.
        request.leave_origin()?;
    }
    request.url = target;
    Ok(())
}

fn no_client() -> Error {
    Error::new(
        ErrorKind::Internal,
        "a request before the client was set up",
    )
}

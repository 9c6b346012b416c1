//! Requests to a REST catalog: who asks (token, client credentials, AWS signature), what an error answer says, and when to ask again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::HttpRequest;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use runner_core::{Clock, Secret};
use tokio::sync::Mutex;
use url::Url;

use super::super::super::error::{IcebergError, Result};
use super::protocol::{ErrorAnswer, TokenAnswer};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_mins(2);
/// Tries of a request that may be repeated without harm.
const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// A token is renewed this long before it ends.
const TOKEN_MARGIN: Duration = Duration::from_mins(1);
/// Catalogs' own status for a token that has ended.
const TOKEN_ENDED: u16 = 419;
/// Asks a catalog that can for credentials of the table's files.
const DELEGATION: &str = "x-iceberg-access-delegation";
const MESSAGE_LENGTH: usize = 500;
const DEFAULT_SCOPE: &str = "catalog";

/// Who asks.
#[derive(Clone, Debug, Default)]
pub(in super::super::super) struct Credentials {
    pub token: Option<Secret>,
    /// `client_id:client_secret`, or the secret alone.
    pub credential: Option<Secret>,
    /// Where the credential is exchanged; the catalog's own endpoint if absent.
    pub token_uri: Option<String>,
    pub scope: Option<String>,
    pub signing: Option<Signing>,
    pub headers: Vec<(String, Secret)>,
}

/// AWS Signature Version 4.
#[derive(Clone, Debug)]
pub(in super::super::super) struct Signing {
    pub region: String,
    pub service: String,
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
}

pub(super) struct Client {
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
    credentials: Credentials,
    headers: HeaderMap,
    exchanged: Mutex<Option<Token>>,
}

struct Token {
    value: Secret,
    /// By the monotonic clock.
    ends: Option<Duration>,
}

/// What a request asks for.
pub(super) struct Question {
    pub method: Method,
    pub url: Url,
    pub body: Option<Bytes>,
    pub doing: String,
}

/// An answer with a status that is no failure of the transport.
pub(super) struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Client {
    pub(super) fn new(credentials: Credentials, clock: Arc<dyn Clock>) -> Result<Self> {
        // Harmless where the program has chosen already; a library's client must not depend on it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(IcebergError::unreachable("set up the catalog's client"))?;
        let mut headers = HeaderMap::new();
        headers.insert(DELEGATION, HeaderValue::from_static("vended-credentials"));
        for (name, value) in &credentials.headers {
            let (Ok(name), Ok(mut value)) = (
                HeaderName::try_from(name.as_str()),
                HeaderValue::from_str(value.expose()),
            ) else {
                return Err(IcebergError::config(
                    format!("`{name}` can't be sent to the catalog as a header"),
                    "header names and values are visible ASCII",
                ));
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self {
            http,
            clock,
            credentials,
            headers,
            exchanged: Mutex::new(None),
        })
    }

    /// Asks again while the answer is that of a server in trouble: only for what may be done twice.
    pub(super) async fn ask(&self, question: &Question) -> Result<Answer> {
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            let outcome = self.ask_once(question).await;
            let in_trouble = match &outcome {
                Ok(answer) => is_in_trouble(answer.status),
                Err(IcebergError::Unreachable { .. }) => true,
                Err(_) => false,
            };
            if !in_trouble || attempt == TRIES {
                return outcome;
            }
            self.clock.sleep(wait).await;
            wait *= 2;
        }
        Err(IcebergError::Broken("a loop without end ended".to_owned()))
    }

    /// One request, and one more where the token has ended.
    pub(super) async fn ask_once(&self, question: &Question) -> Result<Answer> {
        let answer = self.send(question).await?;
        let has_ended = answer.status == StatusCode::UNAUTHORIZED || answer.status == TOKEN_ENDED;
        if !has_ended || self.credentials.credential.is_none() {
            return Ok(answer);
        }
        *self.exchanged.lock().await = None;
        self.send(question).await
    }

    async fn send(&self, question: &Question) -> Result<Answer> {
        let mut headers = self.headers.clone();
        if question.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(token) = self.token(question).await? {
            headers.insert(AUTHORIZATION, bearer(&token)?);
        }
        if let Some(signing) = &self.credentials.signing {
            headers = sign(signing, question, headers)?;
        }
        let mut request = self
            .http
            .request(question.method.clone(), question.url.clone())
            .headers(headers);
        if let Some(body) = &question.body {
            request = request.body(body.clone());
        }
        let doing = || IcebergError::unreachable(&question.doing);
        let response = request.send().await.map_err(doing())?;
        Ok(Answer {
            status: response.status(),
            body: response.bytes().await.map_err(doing())?,
        })
    }

    async fn token(&self, question: &Question) -> Result<Option<Secret>> {
        if let Some(token) = &self.credentials.token {
            return Ok(Some(token.clone()));
        }
        let Some(credential) = &self.credentials.credential else {
            return Ok(None);
        };
        let mut exchanged = self.exchanged.lock().await;
        let now = self.clock.monotonic();
        if let Some(token) = exchanged.as_ref()
            && token.ends.is_none_or(|ends| now < ends)
        {
            return Ok(Some(token.value.clone()));
        }
        let token = self.exchange(credential, question).await?;
        let value = token.value.clone();
        *exchanged = Some(token);
        Ok(Some(value))
    }

    async fn exchange(&self, credential: &Secret, question: &Question) -> Result<Token> {
        let doing = "exchange the catalog's credential for a token";
        let uri = match &self.credentials.token_uri {
            Some(uri) => uri.clone(),
            None => token_endpoint(&question.url),
        };
        let scope = self.credentials.scope.as_deref().unwrap_or(DEFAULT_SCOPE);
        let response = self
            .http
            .post(uri)
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(token_form(credential, scope))
            .send()
            .await
            .map_err(IcebergError::unreachable(doing))?;
        let answer = Answer {
            status: response.status(),
            body: response
                .bytes()
                .await
                .map_err(IcebergError::unreachable(doing))?,
        };
        if !answer.status.is_success() {
            return Err(IcebergError::Shared(
                runner_core::Error::from(answer.refusal(doing))
                    .with_help("check the catalog's credential and its token URI"),
            ));
        }
        let token: TokenAnswer =
            serde_json::from_slice(&answer.body).map_err(IcebergError::json(doing))?;
        let ends = token.expires_in.map(|seconds| {
            self.clock.monotonic() + Duration::from_secs(seconds).saturating_sub(TOKEN_MARGIN)
        });
        Ok(Token {
            value: Secret::new(token.access_token),
            ends,
        })
    }
}

impl Answer {
    /// The error that the catalog's answer describes.
    pub(super) fn refusal(&self, doing: &str) -> IcebergError {
        IcebergError::Refused {
            doing: doing.to_owned(),
            status: self.status.as_u16(),
            message: self.message(),
        }
    }

    pub(super) fn message(&self) -> String {
        let text = match serde_json::from_slice::<ErrorAnswer>(&self.body) {
            Ok(ErrorAnswer { error }) if error.kind.is_empty() => error.message,
            Ok(ErrorAnswer { error }) => format!("{} ({})", error.message, error.kind),
            Err(_) => String::from_utf8_lossy(&self.body).trim().to_owned(),
        };
        match text.char_indices().nth(MESSAGE_LENGTH) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

/// Statuses after which nobody knows what the server has done.
pub(super) fn is_in_trouble(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT
}

fn token_form(credential: &Secret, scope: &str) -> String {
    let (id, secret) = credential
        .expose()
        .split_once(':')
        .unwrap_or(("", credential.expose()));
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if !id.is_empty() {
        form.append_pair("client_id", id);
    }
    form.append_pair("client_secret", secret);
    form.append_pair("scope", scope);
    form.finish()
}

/// `https://host/catalog/v1/prefix/…` → `https://host/catalog/v1/oauth/tokens`.
fn token_endpoint(url: &Url) -> String {
    let text = url.as_str();
    let base = text.find("/v1/").map_or(text, |end| &text[..end]);
    format!("{base}/v1/oauth/tokens")
}

fn bearer(token: &Secret) -> Result<HeaderValue> {
    let mut value =
        HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_invalid| {
            IcebergError::config(
                "the catalog's token can't be sent as a header",
                "a token is visible ASCII without line breaks",
            )
        })?;
    value.set_sensitive(true);
    Ok(value)
}

fn sign(signing: &Signing, question: &Question, headers: HeaderMap) -> Result<HeaderMap> {
    let invalid = |_error: http::Error| {
        IcebergError::Broken(format!("a request to {} can't be signed", question.doing))
    };
    let mut request: HttpRequest = http::Request::builder()
        .method(question.method.clone())
        .uri(question.url.as_str())
        .body(question.body.clone().unwrap_or_default().into())
        .map_err(invalid)?;
    *request.headers_mut() = headers;
    // The signature takes the header's place; a token beside it travels under the name that catalogs look for.
    if let Some(token) = request.headers_mut().remove(AUTHORIZATION) {
        request
            .headers_mut()
            .insert("original-authorization", token);
    }
    let credential = AwsCredential {
        key_id: signing.access_key_id.clone(),
        secret_key: signing.secret_access_key.expose().to_owned(),
        token: signing
            .session_token
            .as_ref()
            .map(|token| token.expose().to_owned()),
    };
    AwsAuthorizer::new(&credential, &signing.service, &signing.region)
        .authorize(&mut request, None);
    Ok(std::mem::take(request.headers_mut()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_endpoint_stands_beside_the_tables() {
        let url = Url::parse("https://host/catalog/v1/wh/namespaces/a/tables").unwrap();
        assert_eq!(token_endpoint(&url), "https://host/catalog/v1/oauth/tokens");
    }

    #[test]
    fn a_long_answer_is_cut() {
        let answer = Answer {
            status: StatusCode::BAD_REQUEST,
            body: "ä".repeat(600).into(),
        };
        assert_eq!(answer.message().chars().count(), MESSAGE_LENGTH + 1);
    }

    #[test]
    fn the_error_model_is_read() {
        let answer = Answer {
            status: StatusCode::CONFLICT,
            body: r#"{"error":{"message":"stale","type":"CommitFailedException","code":409}}"#
                .into(),
        };
        assert_eq!(answer.message(), "stale (CommitFailedException)");
    }
}

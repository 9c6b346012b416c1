//! OAuth2: the client credentials and refresh token grants of RFC 6749.
//!
//! A token is kept until shortly before it expires and asked for by one request at a time. A rotated refresh token is written back to
//! the secret store before the access token that came with it is used: a crash in between must not leave the feed with a refresh
//! token that the server has forgotten.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION};
use reqwest::Client;
use runner_core::secret::SecretVersion;
use runner_core::{Error, ErrorKind, Result, Secret, SecretRef};
use runner_plan::template::CompiledTemplate;
use runner_spec::model::{AuthKind, OauthGrant};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

use super::super::bounds::RunBounds;
use super::super::failure::{Cause, Failure, timed_out, transport};
use super::super::network::Egress;
use super::super::request::header_value;
use super::super::scope::ChainScope;
use super::tokens::{Token, TokenKey, TokenSlot, Tokens};
use super::{compile, credential, text};
use crate::scrub::Scrubber;
use crate::secrets::RunSecrets;

/// A token is renewed this long before it expires, or after nine tenths of a shorter life.
const RENEW_BEFORE: TimeDelta = TimeDelta::seconds(60);
/// A token answer is small; more of it is not read.
const MOST_BYTES: usize = 1 << 20;

/// A stream's OAuth2 settings.
#[derive(Clone, Debug)]
pub(in crate::http) struct Oauth2 {
    grant: OauthGrant,
    token_url: CompiledTemplate,
    client_id: CompiledTemplate,
    client_secret: Option<CompiledTemplate>,
    refresh_token: Option<CompiledTemplate>,
    scopes: Vec<CompiledTemplate>,
    audience: Option<CompiledTemplate>,
}

/// What a token is asked for with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenRequester<'a> {
    pub(crate) client: &'a Client,
    pub(crate) bounds: &'a RunBounds,
    pub(crate) timeout: Duration,
    pub(crate) secrets: &'a RunSecrets,
    pub(crate) tokens: &'a Tokens,
    pub(crate) egress: &'a Egress,
}

/// The settings, rendered.
struct Settings {
    token_url: Url,
    client_id: String,
    client_secret: Option<Secret>,
    scopes: String,
    audience: Option<String>,
}

/// A refresh token and where it stands, if it can be replaced there.
struct RefreshToken {
    value: Secret,
    stored: Option<(SecretRef, SecretVersion)>,
}

/// Where a client's secret goes in a token request: servers differ, and the standard prefers the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientProof {
    Header,
    Body,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<String>,
    expires_in: Option<serde_json::Value>,
    refresh_token: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

impl TokenRequester<'_> {
    pub(super) fn scrubber(&self) -> &Scrubber {
        self.secrets.scrubber()
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.bounds.clock.now()
    }
}

impl Oauth2 {
    pub(super) fn compile(auth: &AuthKind) -> Result<Self> {
        let AuthKind::Oauth2 {
            grant,
            token_url,
            client_id,
            client_secret,
            refresh_token,
            scopes,
            audience,
        } = auth
        else {
            return Err(Error::new(
                ErrorKind::Internal,
                "oauth2 settings of another kind of auth",
            ));
        };
        let optional = |what, text: &Option<String>| {
            text.as_deref().map(|text| compile(what, text)).transpose()
        };
        Ok(Self {
            grant: *grant,
            token_url: compile("auth_config.token_url", token_url)?,
            client_id: compile("auth_config.client_id", client_id)?,
            client_secret: optional("auth_config.client_secret", client_secret)?,
            refresh_token: optional("auth_config.refresh_token", refresh_token)?,
            scopes: scopes
                .iter()
                .map(|scope| compile("auth_config.scopes", scope))
                .collect::<Result<_>>()?,
            audience: optional("auth_config.audience", audience)?,
        })
    }

    pub(super) fn templates(&self) -> Vec<&CompiledTemplate> {
        [&self.token_url, &self.client_id]
            .into_iter()
            .chain(&self.client_secret)
            .chain(&self.refresh_token)
            .chain(&self.scopes)
            .chain(&self.audience)
            .collect()
    }

    /// A token that is good now.
    pub(super) async fn token(
        &self,
        chain: &ChainScope,
        requester: &TokenRequester<'_>,
    ) -> Result<Secret, Failure> {
        let settings = self.settings(chain, requester)?;
        let slot = requester
            .tokens
            .slot(self.key(&settings, chain, requester)?);
        let mut current = requester.bounds.run(slot.current.lock()).await?;
        if let Some(token) = current
            .as_ref()
            .filter(|token| token.is_good_at(requester.now()))
        {
            return Ok(token.access.clone());
        }
        let token = self.ask(&settings, chain, requester).await?;
        let access = token.access.clone();
        *current = Some(token);
        Ok(access)
    }

    /// The server of the API refused this token: the next request asks for another, unless one has been got already.
    pub(super) async fn forget(
        &self,
        token: &Secret,
        chain: &ChainScope,
        requester: &TokenRequester<'_>,
    ) -> Result<()> {
        let settings = self.settings(chain, requester)?;
        let slot: std::sync::Arc<TokenSlot> = requester
            .tokens
            .slot(self.key(&settings, chain, requester)?);
        let mut current = requester.bounds.run(slot.current.lock()).await?;
        if current
            .as_ref()
            .is_some_and(|current| current.access == *token)
        {
            *current = None;
        }
        Ok(())
    }

    async fn ask(
        &self,
        settings: &Settings,
        chain: &ChainScope,
        requester: &TokenRequester<'_>,
    ) -> Result<Token, Failure> {
        let mut form = vec![];
        let refresh = match self.grant {
            OauthGrant::ClientCredentials => {
                form.push(("grant_type", "client_credentials".to_owned()));
                None
            }
            OauthGrant::RefreshToken => {
                let refresh = self.refresh_token(chain, requester).await?;
                form.push(("grant_type", "refresh_token".to_owned()));
                form.push(("refresh_token", refresh.value.expose().to_owned()));
                Some(refresh)
            }
        };
        if !settings.scopes.is_empty() {
            form.push(("scope", settings.scopes.clone()));
        }
        if let Some(audience) = &settings.audience {
            form.push(("audience", audience.clone()));
        }
        let mut answer = self
            .post(settings, &form, ClientProof::Header, requester)
            .await?;
        if settings.client_secret.is_some() && answer.1.error.as_deref() == Some("invalid_client") {
            answer = self
                .post(settings, &form, ClientProof::Body, requester)
                .await?;
        }
        let (status, answer) = answer;
        let Some(access) = answer
            .access_token
            .as_deref()
            .filter(|token| !token.is_empty())
        else {
            return Err(refused(settings, status, &answer, requester.scrubber()).into());
        };
        let access = Secret::new(access);
        requester
            .scrubber()
            .register("auth_config.access_token", &access)?;
        if let (Some(refresh), Some(rotated)) = (refresh, &answer.refresh_token)
            && rotated != refresh.value.expose()
        {
            keep_rotated(refresh, rotated, requester).await?;
        }
        Ok(Token {
            access,
            renew_at: renew_at(answer.expires_in.as_ref(), requester.now()),
        })
    }

    async fn post(
        &self,
        settings: &Settings,
        form: &[(&'static str, String)],
        proof: ClientProof,
        requester: &TokenRequester<'_>,
    ) -> Result<(StatusCode, TokenAnswer), Failure> {
        let mut form = form.to_vec();
        let mut request = requester
            .client
            .post(settings.token_url.clone())
            .header(ACCEPT, "application/json");
        match (&settings.client_secret, proof) {
            (Some(secret), ClientProof::Header) => {
                // RFC 6749, 2.3.1: both are form-encoded before they are joined.
                let pair = format!(
                    "{}:{}",
                    form_encoded(&settings.client_id),
                    form_encoded(secret.expose())
                );
                let pair = Secret::new(STANDARD.encode(pair));
                requester.scrubber().register("auth_config.client", &pair)?;
                let value = format!("Basic {}", pair.expose());
                request =
                    request.header(AUTHORIZATION, header_value(&AUTHORIZATION, &value, true)?);
            }
            (Some(secret), ClientProof::Body) => {
                form.push(("client_id", settings.client_id.clone()));
                form.push(("client_secret", secret.expose().to_owned()));
            }
            (None, _) => form.push(("client_id", settings.client_id.clone())),
        }
        let doing = format!("get a token from `{}`", host(&settings.token_url));
        let exchange = async {
            let mut response = request.form(&form).send().await?;
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                body.extend_from_slice(&chunk);
                if body.len() > MOST_BYTES {
                    break;
                }
            }
            Ok((response.status(), body))
        };
        let (status, body) = requester
            .bounds
            .within(requester.timeout, exchange)
            .await?
            .ok_or_else(|| {
                timed_out(
                    &format!("the token server `{}`", host(&settings.token_url)),
                    requester.timeout,
                )
            })?
            .map_err(|error: reqwest::Error| transport(error, &doing))?;
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Failure::retry(
                Cause::Status(status.as_u16()),
                Error::new(
                    ErrorKind::SourceUnavailable,
                    format!("failed to {doing}: status {}", status.as_u16()),
                ),
            ));
        }
        let answer = serde_json::from_slice(&body).map_err(|_| {
            Error::new(
                ErrorKind::Auth,
                format!(
                    "failed to {doing}: status {} with a body that is not JSON",
                    status.as_u16()
                ),
            )
            .with_help("check `auth_config.token_url`")
        })?;
        Ok((status, answer))
    }

    fn settings(&self, chain: &ChainScope, requester: &TokenRequester<'_>) -> Result<Settings> {
        let scrubber = requester.scrubber();
        let token_url = text(&self.token_url, "auth_config.token_url", chain)?;
        let token_url = Url::parse(&token_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
            .ok_or_else(|| {
                Error::new(ErrorKind::Spec, "`auth_config.token_url` is not a URL")
                    .with_help("write the token server's address with its scheme and host")
            })?;
        requester.egress.check(&token_url).map_err(|refused| {
            Error::new(ErrorKind::Forbidden, refused.to_string())
                .with_help("an administrator can allow it in the setting `egress`")
        })?;
        let scopes = self
            .scopes
            .iter()
            .map(|scope| text(scope, "auth_config.scopes", chain))
            .collect::<Result<Vec<_>>>()?;
        Ok(Settings {
            token_url,
            client_id: text(&self.client_id, "auth_config.client_id", chain)?,
            client_secret: self
                .client_secret
                .as_ref()
                .map(|secret| credential(secret, "auth_config.client_secret", chain, scrubber))
                .transpose()?,
            scopes: scopes.join(" "),
            audience: self
                .audience
                .as_ref()
                .map(|audience| text(audience, "auth_config.audience", chain))
                .transpose()?,
        })
    }

    fn key(
        &self,
        settings: &Settings,
        chain: &ChainScope,
        requester: &TokenRequester<'_>,
    ) -> Result<TokenKey> {
        // A refresh token changes its value when it is rotated; what stays is where it stands.
        let refresh = match (&self.refresh_token, self.refresh_reference(requester)) {
            (_, Some(reference)) => reference.to_string(),
            (Some(template), None) => text(template, "auth_config.refresh_token", chain)?,
            (None, None) => String::new(),
        };
        let mut hash = Sha256::new();
        let secret = settings.client_secret.as_ref().map_or("", Secret::expose);
        for field in [
            settings.token_url.as_str(),
            &settings.client_id,
            secret,
            &settings.scopes,
            settings.audience.as_deref().unwrap_or_default(),
            &refresh,
        ] {
            hash.update(field.len().to_le_bytes());
            hash.update(field);
        }
        Ok(TokenKey(hash.finalize().into()))
    }

    /// The secret that the refresh token is, where its template is nothing but that.
    fn refresh_reference(&self, requester: &TokenRequester<'_>) -> Option<SecretRef> {
        let template = self.refresh_token.as_ref()?;
        let [variable] = template.variables() else {
            return None;
        };
        let inner = template
            .source()
            .trim()
            .strip_prefix("{{")?
            .strip_suffix("}}")?;
        if inner.trim() != variable.name {
            return None;
        }
        requester.secrets.reference(&variable.name)
    }

    async fn refresh_token(
        &self,
        chain: &ChainScope,
        requester: &TokenRequester<'_>,
    ) -> Result<RefreshToken> {
        if let Some(reference) = self.refresh_reference(requester) {
            // Read anew each time: another process may have rotated it.
            let (value, version) = requester.secrets.get_current(&reference).await?;
            return Ok(RefreshToken {
                value,
                stored: Some((reference, version)),
            });
        }
        let template = self.refresh_token.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::Spec,
                "the refresh token grant has no `auth_config.refresh_token`",
            )
            .with_help("store the token as a secret and write `{{ secrets.NAME }}`")
        })?;
        let value = credential(
            template,
            "auth_config.refresh_token",
            chain,
            requester.scrubber(),
        )?;
        Ok(RefreshToken {
            value,
            stored: None,
        })
    }
}

/// Writes a rotated refresh token back, before anything that came with it is used.
async fn keep_rotated(
    refresh: RefreshToken,
    rotated: &str,
    requester: &TokenRequester<'_>,
) -> Result<()> {
    let rotated = Secret::new(rotated);
    let Some((reference, version)) = refresh.stored else {
        requester
            .scrubber()
            .register("auth_config.refresh_token", &rotated)?;
        return Err(Error::new(
            ErrorKind::Auth,
            "the token server rotated the refresh token, and there is nowhere to keep the new one",
        )
        .with_help("store the refresh token as a secret and write exactly `{{ secrets.NAME }}` in `auth_config.refresh_token`"));
    };
    if !requester.secrets.can_put(&reference).await? {
        requester
            .scrubber()
            .register(&reference.to_string(), &rotated)?;
        return Err(Error::new(
            ErrorKind::Secret,
            format!("the token server rotated the refresh token, and the secret store of `{reference}` can't be written"),
        )
        .with_help("use a secret store that can be written, and store a new refresh token there: the old one is used up"));
    }
    requester.secrets.put(&reference, rotated, &version).await
}

fn refused(
    settings: &Settings,
    status: StatusCode,
    answer: &TokenAnswer,
    scrubber: &Scrubber,
) -> Error {
    let reason = [&answer.error, &answer.error_description]
        .into_iter()
        .flatten()
        .map(|text| scrubber.hide(text).into_owned())
        .collect::<Vec<_>>()
        .join(": ");
    let reason = if reason.is_empty() {
        "no access token in the answer".to_owned()
    } else {
        reason
    };
    Error::new(
        ErrorKind::Auth,
        format!(
            "the token server `{}` gave no token: {reason} (status {})",
            host(&settings.token_url),
            status.as_u16()
        ),
    )
    .with_help(match answer.error.as_deref() {
        Some("invalid_client") => "check `client_id` and `client_secret`",
        Some("invalid_grant") => "the refresh token is used up or revoked: store a new one",
        Some("invalid_scope") => "check `auth_config.scopes`",
        Some("unauthorized_client") => "allow this grant for the client at the token server",
        _ => "check `auth_config` against the token server's documentation",
    })
}

fn renew_at(expires_in: Option<&serde_json::Value>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let seconds = match expires_in? {
        serde_json::Value::Number(number) => number.as_f64(),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }?;
    let life = TimeDelta::from_std(Duration::try_from_secs_f64(seconds.max(0.0)).ok()?).ok()?;
    now.checked_add_signed(life - RENEW_BEFORE.min(life / 10))
}

fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

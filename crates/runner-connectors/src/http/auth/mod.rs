//! Credentials on a request: API keys, bearer and basic, OAuth2, HMAC signatures. Client certificates belong to the connection and
//! are the client's ([`super::client`]).

mod hmac;
mod oauth2;
mod tokens;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use http::header::AUTHORIZATION;
use runner_core::{Result, Secret};
use runner_plan::template::{CompiledTemplate, VariableRef};
use runner_spec::model::{AuthKind, KeyLocation};

use self::hmac::Signature;
use super::failure::{Failure, template_error};
use super::request::{PageRequest, header_name, header_value, set_query};
use super::scope::ChainScope;
use crate::scrub::Scrubber;
use oauth2::Oauth2;

pub(super) use oauth2::TokenRequester;
pub(super) use tokens::Tokens;

/// How a stream's requests prove who sends them.
#[derive(Clone, Debug)]
pub(super) enum Authenticator {
    None,
    ApiKeyHeader(HeaderName, CompiledTemplate),
    ApiKeyQuery(String, CompiledTemplate),
    Bearer(CompiledTemplate),
    Basic(CompiledTemplate, CompiledTemplate),
    Oauth2(Box<Oauth2>),
    Hmac(Box<Signature>),
}

impl Authenticator {
    pub(super) fn compile(auth: &AuthKind) -> Result<Self> {
        Ok(match auth {
            AuthKind::None => Self::None,
            AuthKind::ApiKey {
                name,
                location: KeyLocation::Header,
                value,
            } => Self::ApiKeyHeader(header_name(name)?, compile("auth_config.value", value)?),
            AuthKind::ApiKey {
                name,
                location: KeyLocation::Query,
                value,
            } => Self::ApiKeyQuery(name.clone(), compile("auth_config.value", value)?),
            AuthKind::Bearer { token } => Self::Bearer(compile("auth_config.token", token)?),
            AuthKind::Basic { username, password } => Self::Basic(
                compile("auth_config.username", username)?,
                compile("auth_config.password", password)?,
            ),
            AuthKind::Oauth2 { .. } => Self::Oauth2(Box::new(Oauth2::compile(auth)?)),
            AuthKind::Hmac { .. } => Self::Hmac(Box::new(Signature::compile(auth)?)),
        })
    }

    /// Every name that the credentials use.
    pub(super) fn variables(&self) -> Vec<VariableRef> {
        let templates: Vec<&CompiledTemplate> = match self {
            Self::None => Vec::new(),
            Self::ApiKeyHeader(_, value) | Self::ApiKeyQuery(_, value) | Self::Bearer(value) => {
                vec![value]
            }
            Self::Basic(username, password) => vec![username, password],
            Self::Oauth2(oauth2) => oauth2.templates(),
            Self::Hmac(signature) => vec![signature.secret()],
        };
        templates
            .into_iter()
            .flat_map(|template| template.variables().iter().cloned())
            .collect()
    }

    /// Adds the credentials. Gives the access token that was used, where there is one.
    pub(super) async fn apply(
        &self,
        request: &mut PageRequest,
        chain: &ChainScope,
        requester: &TokenRequester<'_>,
    ) -> Result<Option<Secret>, Failure> {
        let scrubber = requester.scrubber();
        match self {
            Self::None => {}
            Self::ApiKeyHeader(name, value) => {
                let value = credential(value, "auth_config.value", chain, scrubber)?;
                add_header(request, name.clone(), value.expose())?;
            }
            Self::ApiKeyQuery(name, value) => {
                let value = credential(value, "auth_config.value", chain, scrubber)?;
                set_query(&mut request.url, name, value.expose());
            }
            Self::Bearer(token) => {
                let token = credential(token, "auth_config.token", chain, scrubber)?;
                add_header(
                    request,
                    AUTHORIZATION,
                    &format!("Bearer {}", token.expose()),
                )?;
            }
            Self::Basic(username, password) => {
                let username = text(username, "auth_config.username", chain)?;
                let password = credential(password, "auth_config.password", chain, scrubber)?;
                let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
                scrubber.register("auth_config.basic", &Secret::new(pair.as_str()))?;
                add_header(request, AUTHORIZATION, &format!("Basic {pair}"))?;
            }
            Self::Oauth2(oauth2) => {
                let token = oauth2.token(chain, requester).await?;
                scrubber.register("auth_config.access_token", &token)?;
                add_header(
                    request,
                    AUTHORIZATION,
                    &format!("Bearer {}", token.expose()),
                )?;
                return Ok(Some(token));
            }
            Self::Hmac(signature) => {
                signature.sign(request, chain, scrubber, requester.now())?;
            }
        }
        Ok(None)
    }

    /// The API refused this token: the next request asks for another, unless one has been got already.
    pub(super) async fn forget(
        &self,
        token: &Secret,
        chain: &ChainScope,
        requester: &TokenRequester<'_>,
    ) -> Result<()> {
        match self {
            Self::Oauth2(oauth2) => oauth2.forget(token, chain, requester).await,
            _ => Ok(()),
        }
    }

    /// Whether a refused request may be tried with a new token.
    pub(super) fn has_token(&self) -> bool {
        matches!(self, Self::Oauth2(_))
    }
}

fn compile(what: &str, text: &str) -> Result<CompiledTemplate> {
    runner_plan::Template::new(text)
        .compile()
        .map_err(|error| template_error(&format!("`{what}`"), &error))
}

fn text(template: &CompiledTemplate, what: &str, chain: &ChainScope) -> Result<String> {
    template
        .render(&chain.without_page())
        .map(|rendered| rendered.text)
        .map_err(|error| template_error(&format!("`{what}`"), &error))
}

/// A rendered value that is secret as a whole, whatever it was made of.
fn credential(
    template: &CompiledTemplate,
    what: &str,
    chain: &ChainScope,
    scrubber: &Scrubber,
) -> Result<Secret> {
    let secret = Secret::new(text(template, what, chain)?);
    if secret.expose().is_empty() {
        return Err(runner_core::Error::new(
            runner_core::ErrorKind::Auth,
            format!("`{what}` is empty"),
        )
        .with_help("give it a value, or take the credentials away"));
    }
    // Known by its own reference already, where it is nothing but a secret of the store.
    if !scrubber.finds(secret.expose().as_bytes()) {
        scrubber.register(what, &secret)?;
    }
    Ok(secret)
}

fn add_header(request: &mut PageRequest, name: HeaderName, text: &str) -> Result<()> {
    let value = header_value(&name, text, true)?;
    request.headers.insert(name, value);
    Ok(())
}

//! An HTTP endpoint as a [`Source`]: checked when it is built, connected when its first chain is opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use runner_core::{Error, ErrorKind, Position, Result};
use runner_plan::StreamPlan;
use runner_plan::model::{self, Body, VariableSource};
use runner_plan::template::CompiledTemplate;
use runner_spec::model::{ClientCertificate, ProviderType};
use tokio::sync::{OnceCell, Semaphore};

use super::auth::Authenticator;
use super::bounds::RunBounds;
use super::chain::HttpChain;
use super::client::ClientTls;
use super::content::errors_path;
use super::exchange::{Exchange, Traffic};
use super::failure::template_error;
use super::pages::Captures;
use super::rate_limit::LimiterKey;
use super::request::RequestTemplate;
use super::scope::ChainScope;
use super::stream::{ChainState, StreamState};
use crate::context::SourceContext;
use crate::decode::DecodeOptions;
use crate::source::{Chain, ChainRequest, Source};

/// Bytes of rows that all pages of a stream may hold back together.
const HELD_BYTES: usize = 48 << 20;
const MOST_HELD_BYTES: usize = 16 << 20;
const LEAST_HELD_BYTES: usize = 1 << 20;

/// A stream of an HTTP API.
#[derive(Debug)]
pub struct HttpSource {
    stream: Arc<StreamState>,
    plan: StreamPlan,
    context: SourceContext,
    /// Names of the secrets that its templates use.
    secret_names: Vec<String>,
    certificate: Option<CertificateTemplates>,
    /// What all chains have in common; resolved with the first of them.
    scope: OnceCell<ChainScope>,
}

/// PEM texts, or paths of files with them.
#[derive(Debug)]
struct CertificateTemplates {
    certificate: CompiledTemplate,
    key: CompiledTemplate,
    authority: Option<CompiledTemplate>,
}

impl HttpSource {
    /// Compiles everything that can be wrong in the plan; connects to nothing.
    pub fn build(
        plan: &StreamPlan,
        http: &model::HttpSource,
        context: SourceContext,
    ) -> Result<Self> {
        let template = RequestTemplate::compile(plan, http)?;
        let auth = Authenticator::compile(&http.auth.kind)?;
        let certificate = http
            .auth
            .client_certificate
            .as_ref()
            .map(CertificateTemplates::compile)
            .transpose()?;
        let secret_names = secret_names(http, &template, &auth, certificate.as_ref());
        let captures = Captures::new(&http.pages);
        let parallelism = usize::try_from(plan.parallelism.max(1)).unwrap_or(1);
        let decode_options = DecodeOptions {
            captures: captures
                .paths
                .iter()
                .cloned()
                .chain(errors_path(&http.rows))
                .collect(),
            text: http.text.clone(),
            sample_size: usize::try_from(plan.sample_size).unwrap_or(usize::MAX),
            max_document_bytes: context.plan.limits.max_document_bytes,
            ..DecodeOptions::default()
        };
        let stream = StreamState {
            name: plan.name.clone(),
            is_graphql: is_graphql(&context, http),
            exchange: exchange(plan, http, auth, &context),
            http: http.clone(),
            template,
            captures,
            schema: context.schema.clone(),
            decode_options,
            permits: Arc::new(Semaphore::new(parallelism)),
            parallelism,
            held_bytes: (HELD_BYTES / (parallelism + 1)).clamp(LEAST_HELD_BYTES, MOST_HELD_BYTES),
            row_limit: context.plan.row_limit,
        };
        Ok(Self {
            stream: Arc::new(stream),
            plan: plan.clone(),
            context,
            secret_names,
            certificate,
            scope: OnceCell::new(),
        })
    }

    async fn scope(&self) -> Result<&ChainScope> {
        self.scope
            .get_or_try_init(|| async {
                let names = self.secret_names.iter().map(String::as_str);
                let secrets = self.context.secrets.scope(names).await?;
                let scope = ChainScope::of_stream(&self.context, secrets);
                let tls = match &self.certificate {
                    Some(certificate) => certificate.read(&scope).await?,
                    None => ClientTls::default(),
                };
                self.stream.exchange.prepare(&tls).await?;
                Ok(scope)
            })
            .await
    }

    fn constants(&self, scope: &ChainScope) -> Result<BTreeMap<String, String>> {
        let columns = self.context.schema.current();
        columns
            .columns
            .iter()
            .filter_map(|column| {
                let constant = scope.constant(&column.source).transpose()?;
                Some(constant.map(|value| (column.name.clone(), value)))
            })
            .collect()
    }

    fn locate(&self, error: Error) -> Error {
        let error = error.with_context("stream", &self.stream.name);
        self.stream.scrubber().hide_error(error)
    }

    async fn chain(&self, request: ChainRequest) -> Result<ChainState> {
        let bounds = &self.stream.exchange.bounds;
        let scope = bounds
            .run(self.scope())
            .await??
            .of_chain(&request, self.plan.incremental.as_ref());
        Ok(ChainState {
            constants: self.constants(&scope)?,
            request,
            scope,
            traffic: Traffic::default(),
        })
    }
}

#[async_trait]
impl Source for HttpSource {
    async fn open(&self, chain: ChainRequest, from: Option<Position>) -> Result<Box<dyn Chain>> {
        if from.as_ref().is_some_and(|position| position.end.is_some()) {
            return Ok(Box::new(HttpChain::ended()));
        }
        let chain = self
            .chain(chain)
            .await
            .map_err(|error| self.locate(error))?;
        Ok(Box::new(HttpChain::start(
            Arc::clone(&self.stream),
            chain,
            from,
        )))
    }
}

impl CertificateTemplates {
    fn compile(certificate: &ClientCertificate) -> Result<Self> {
        let compile = |what: &str, text: &str| {
            runner_plan::Template::new(text)
                .compile()
                .map_err(|error| template_error(what, &error))
        };
        Ok(Self {
            certificate: compile("the client certificate", &certificate.certificate)?,
            key: compile("the client certificate's key", &certificate.key)?,
            authority: certificate
                .ca
                .as_deref()
                .map(|text| compile("the certificate authority", text))
                .transpose()?,
        })
    }

    fn templates(&self) -> impl Iterator<Item = &CompiledTemplate> {
        [&self.certificate, &self.key]
            .into_iter()
            .chain(&self.authority)
    }

    async fn read(&self, scope: &ChainScope) -> Result<ClientTls> {
        let authority = match &self.authority {
            Some(template) => pem("the certificate authority", template, scope).await?,
            None => None,
        };
        Ok(ClientTls {
            certificate: pem("the client certificate", &self.certificate, scope).await?,
            key: pem("the client certificate's key", &self.key, scope).await?,
            authority,
        })
    }
}

/// A PEM text, given as itself or as the path of a file.
async fn pem(
    what: &str,
    template: &CompiledTemplate,
    scope: &ChainScope,
) -> Result<Option<String>> {
    let rendered = template
        .render(&scope.without_page())
        .map_err(|error| template_error(what, &error))?;
    let text = rendered.text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if text.contains("-----BEGIN") {
        return Ok(Some(text.to_owned()));
    }
    let read = tokio::fs::read_to_string(text).await.map_err(|cause| {
        // A text that came from a secret is not shown, whatever it is.
        let shown = if rendered.secrets.is_empty() {
            text
        } else {
            template.source()
        };
        Error::new(
            ErrorKind::Config,
            format!("failed to read {what} from the file `{shown}`"),
        )
        .with_source(cause)
        .with_help("give the path of a PEM file, or the PEM text itself")
    })?;
    Ok(Some(read))
}

fn exchange(
    plan: &StreamPlan,
    http: &model::HttpSource,
    auth: Authenticator,
    context: &SourceContext,
) -> Exchange {
    let limit = http.rate_limit.as_ref();
    let key = LimiterKey {
        tenant: context.plan.tenant.clone(),
        provider: context.plan.provider_name.clone(),
        // A stream that names no group has one of its own: what the server says still holds for it.
        group: limit.map_or_else(
            || format!("stream {}", plan.name),
            |limit| format!("group {}", limit.group),
        ),
    };
    let limiter = context
        .http
        .rate_limits()
        .limiter(key, limit.and_then(|limit| limit.per_second));
    Exchange {
        auth,
        limiter,
        bounds: RunBounds {
            clock: Arc::clone(&context.clock),
            cancel: context.cancel.clone(),
            deadline: context.deadline,
        },
        meter: context.meter.clone(),
        secrets: Arc::clone(&context.secrets),
        tokens: context.http.tokens().clone(),
        network: context.http.network().clone(),
        limits: context.plan.limits.clone(),
        client: OnceCell::new(),
    }
}

fn is_graphql(context: &SourceContext, http: &model::HttpSource) -> bool {
    context.plan.provider_type == ProviderType::Graphql
        || (http.method.eq_ignore_ascii_case("post")
            && matches!(&http.body, Some(Body::Json(body)) if body.get("query").is_some_and(serde_json::Value::is_string)))
}

/// Names that are secrets: those the plan says, and those that say it themselves.
fn secret_names(
    http: &model::HttpSource,
    template: &RequestTemplate,
    auth: &Authenticator,
    certificate: Option<&CertificateTemplates>,
) -> Vec<String> {
    let planned = http
        .variables
        .iter()
        .filter(|variable| variable.source == VariableSource::Secret)
        .map(|variable| variable.name.clone());
    let stated = template
        .variables()
        .into_iter()
        .chain(auth.variables())
        .chain(
            certificate
                .into_iter()
                .flat_map(CertificateTemplates::templates)
                .flat_map(|template| template.variables().iter().cloned()),
        )
        .map(|variable| variable.name)
        .filter(|name| name.starts_with("secrets.") || name.starts_with("secret."));
    let mut names: Vec<String> = planned.chain(stated).collect();
    names.sort();
    names.dedup();
    names
}

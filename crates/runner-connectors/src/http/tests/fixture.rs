//! A stream for tests: a plan with everything at its plainest, to be changed by each test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_core::checkpoint::Warning;
use runner_core::progress::NoProgress;
use runner_core::secret::SecretVersion;
use runner_core::{
    Cancel, ChainEnd, ChainKey, Clock, Error, ErrorKind, JobId, Position, Result, Secret,
    SecretRef, SecretStore, SystemClock,
};
use runner_plan::Plan;
use runner_plan::model::{
    self, AllowedOrigins, Chains, Columns, EngineChoice, Gates, Limits, PLAN_FORMAT, PageKind,
    PagePlacement, PagePlan, RetryPolicy, RowPath, RowPathStep, SourcePlan, StreamPlan, TextFormat,
    Variable, VariableSource,
};
use runner_spec::model::{Auth, AuthKind, Compatibility, EngineName, Mode, ProviderType, Settings};
use serde_json::Value;

use crate::context::SourceContext;
use crate::http::{HttpRegistry, HttpSource, Network};
use crate::meter::StreamMeter;
use crate::rows::Rows;
use crate::schema::{SchemaVersion, StreamSchema};
use crate::secrets::RunSecrets;
use crate::source::{Chain, ChainRequest, Fetched, PageEnd, Source};

/// Everything that a source is built from.
#[derive(Clone)]
pub(in crate::http) struct Fixture {
    pub(in crate::http) plan: Plan,
    pub(in crate::http) stream: StreamPlan,
    pub(in crate::http) http: model::HttpSource,
    pub(in crate::http) store: Arc<Vault>,
    pub(in crate::http) registry: HttpRegistry,
    pub(in crate::http) cancel: Cancel,
    pub(in crate::http) deadline: Option<Duration>,
    pub(in crate::http) clock: Arc<dyn Clock>,
}

/// What a chain gave.
#[derive(Debug, Default)]
pub(in crate::http) struct Taken {
    pub(in crate::http) ids: Vec<u64>,
    pub(in crate::http) batches: Vec<Rows>,
    pub(in crate::http) pages: Vec<PageEnd>,
    /// Ids that came before each page's end.
    pub(in crate::http) ids_at_page: Vec<usize>,
    pub(in crate::http) restart: Option<String>,
}

/// A clock whose seconds are shorter.
#[derive(Debug)]
struct FastClock {
    inner: SystemClock,
    times: u32,
}

#[async_trait]
impl Clock for FastClock {
    fn now(&self) -> DateTime<Utc> {
        let start = self.inner.now() - self.inner.monotonic();
        start + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic() * self.times
    }

    async fn sleep(&self, duration: Duration) {
        self.inner.sleep(duration / self.times).await;
    }
}

/// Secrets in memory, with versions.
#[derive(Default)]
pub(crate) struct Vault {
    secrets: Mutex<BTreeMap<String, (String, u64)>>,
    pub(in crate::http) read_only: bool,
}

impl Vault {
    pub(crate) fn with(secrets: &[(&str, &str)]) -> Self {
        let vault = Self::default();
        for (reference, value) in secrets {
            vault.set(reference, value);
        }
        vault
    }

    pub(in crate::http) fn set(&self, reference: &str, value: &str) {
        let mut secrets = self.secrets.lock().unwrap();
        let version = secrets.get(reference).map_or(0, |(_, version)| version + 1);
        secrets.insert(reference.to_owned(), (value.to_owned(), version));
    }

    pub(in crate::http) fn value(&self, reference: &str) -> Option<String> {
        let secrets = self.secrets.lock().unwrap();
        secrets.get(reference).map(|(value, _)| value.clone())
    }
}

/// Like every store it shows no value.
impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}

#[async_trait]
impl SecretStore for Vault {
    async fn get(&self, reference: &SecretRef) -> Result<(Secret, SecretVersion)> {
        let secrets = self.secrets.lock().unwrap();
        let (value, version) = secrets.get(&reference.to_string()).ok_or_else(|| {
            Error::new(
                ErrorKind::Secret,
                format!("there is no secret `{reference}`"),
            )
        })?;
        Ok((
            Secret::new(value.as_str()),
            SecretVersion(version.to_string()),
        ))
    }

    async fn keys(&self, _path: &str) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn put(
        &self,
        reference: &SecretRef,
        new: Secret,
        expected: &SecretVersion,
    ) -> Result<SecretVersion> {
        let mut secrets = self.secrets.lock().unwrap();
        let (value, version) = secrets.get_mut(&reference.to_string()).unwrap();
        if version.to_string() != expected.0 {
            return Err(Error::new(ErrorKind::Conflict, "the secret has changed"));
        }
        new.expose().clone_into(value);
        *version += 1;
        Ok(SecretVersion(version.to_string()))
    }

    fn is_writable(&self) -> bool {
        !self.read_only
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

pub(in crate::http) fn path(names: &[&str]) -> RowPath {
    RowPath::Steps(
        names
            .iter()
            .map(|name| RowPathStep::Name((*name).to_owned()))
            .collect(),
    )
}

impl Fixture {
    /// A stream that reads `{"data": [...]}` from this URL.
    pub(in crate::http) fn new(url: &str) -> Self {
        let http = http_source(url);
        let stream = stream_plan(&http);
        Self {
            plan: plan(),
            stream,
            http,
            store: Arc::new(Vault::with(&[(
                "vault://feeds/api#api_key",
                "c4nary-key/ü+1",
            )])),
            registry: HttpRegistry::new(Network::default()),
            cancel: Cancel::new(),
            deadline: None,
            clock: Arc::new(SystemClock::new()),
        }
    }

    pub(in crate::http) fn pages(mut self, kind: PageKind, page_size: Option<u64>) -> Self {
        self.http.pages.kind = kind;
        self.http.pages.page_size = page_size;
        self
    }

    pub(in crate::http) fn auth(mut self, kind: AuthKind) -> Self {
        self.http.auth.kind = kind;
        self
    }

    /// Names that templates use and that are secrets.
    pub(in crate::http) fn secrets(mut self, names: &[&str]) -> Self {
        self.http
            .variables
            .extend(names.iter().map(|name| Variable {
                name: (*name).to_owned(),
                source: VariableSource::Secret,
            }));
        self
    }

    /// The same waits and limits, this many times faster: what takes a minute by this clock takes a moment.
    pub(in crate::http) fn faster(mut self, times: u32) -> Self {
        self.clock = Arc::new(FastClock {
            inner: SystemClock::new(),
            times,
        });
        // What is limited here is the server's own time, which runs as ever.
        let limits = &mut self.plan.limits;
        for limit in [
            &mut limits.request_timeout_ms,
            &mut limits.idle_timeout_ms,
            &mut limits.resume_max_age_offset_ms,
            &mut limits.resume_max_age_cursor_ms,
        ] {
            *limit *= u64::from(times);
        }
        self
    }

    pub(in crate::http) fn context(&self) -> SourceContext {
        let store: Arc<dyn SecretStore> = Arc::<Vault>::clone(&self.store);
        SourceContext {
            plan: Arc::new(self.plan.clone()),
            job: JobId::new("job-1"),
            nominal_time: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            clock: Arc::clone(&self.clock),
            cancel: self.cancel.clone(),
            deadline: self.deadline,
            secrets: Arc::new(RunSecrets::new(store, &self.plan).unwrap()),
            schema: StreamSchema::new(SchemaVersion {
                is_open: true,
                ..SchemaVersion::default()
            }),
            meter: StreamMeter::new("items", Arc::new(NoProgress)),
            http: self.registry.clone(),
        }
    }

    pub(in crate::http) fn source(&self) -> HttpSource {
        self.source_in(self.context())
    }

    pub(in crate::http) fn source_in(&self, context: SourceContext) -> HttpSource {
        HttpSource::build(&self.stream, &self.http, context).unwrap()
    }

    pub(in crate::http) async fn read(&self) -> Result<Taken> {
        read(&self.source(), chain(&[]), None).await
    }

    pub(in crate::http) async fn fails(&self) -> Error {
        match self.read().await {
            Ok(taken) => panic!("it read {:?} and did not fail", taken.ids),
            Err(error) => error,
        }
    }
}

pub(in crate::http) fn chain(variables: &[(&str, &str)]) -> ChainRequest {
    ChainRequest {
        key: ChainKey {
            value: variables
                .first()
                .map_or(String::new(), |(_, value)| (*value).to_owned()),
            ..ChainKey::default()
        },
        generation: 0,
        variables: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        window: None,
    }
}

pub(in crate::http) async fn read(
    source: &HttpSource,
    chain: ChainRequest,
    from: Option<Position>,
) -> Result<Taken> {
    let mut taken = Taken::default();
    let mut chain = source.open(chain, from).await?;
    while taken.take(chain.as_mut()).await? {}
    Ok(taken)
}

impl Taken {
    /// Takes one step; false at the end.
    pub(in crate::http) async fn take(&mut self, chain: &mut dyn Chain) -> Result<bool> {
        match chain.next().await? {
            None => return Ok(false),
            Some(Fetched::Rows(rows)) => {
                self.ids
                    .extend((0..rows.raw.len()).map(|row| id(&rows.raw.text(row))));
                self.batches.push(rows);
            }
            Some(Fetched::PageEnd(page)) => {
                self.ids_at_page.push(self.ids.len());
                self.pages.push(*page);
            }
            Some(Fetched::Replayed(_)) => panic!("nothing is replayed here"),
            Some(Fetched::Restart { reason }) => self.restart = Some(reason),
        }
        Ok(true)
    }

    pub(in crate::http) fn end(&self) -> Option<ChainEnd> {
        self.pages.last().and_then(|page| page.position.end)
    }

    pub(in crate::http) fn warnings(&self) -> Vec<&str> {
        let warnings = self.pages.iter().flat_map(|page| &page.warnings);
        warnings
            .map(|warning: &Warning| warning.code.as_str())
            .collect()
    }

    pub(in crate::http) fn requests(&self) -> u64 {
        self.pages.iter().map(|page| page.requests).sum()
    }
}

fn id(row: &str) -> u64 {
    let row: Value = serde_json::from_str(row).unwrap();
    row["id"].as_u64().unwrap_or_default()
}

fn http_source(url: &str) -> model::HttpSource {
    model::HttpSource {
        method: "GET".to_owned(),
        url: url.into(),
        headers: Vec::new(),
        query: Vec::new(),
        body: None,
        auth: Auth::default(),
        pages: PagePlan {
            kind: PageKind::None,
            page_size: None,
            max_pages: None,
            total: None,
            placement: PagePlacement::Query,
        },
        rows: path(&["data"]),
        format: None,
        text: TextFormat::default(),
        on_status: Vec::new(),
        rate_limit: None,
        retry: RetryPolicy {
            max_retries: 3,
            initial_backoff_ms: 1,
            max_backoff_ms: 5,
            multiplier: 2.0,
            retry_on: Vec::new(),
        },
        chains: Chains::Single,
        variables: Vec::new(),
        allowed_origins: AllowedOrigins::default(),
        stable_order: true,
    }
}

fn stream_plan(http: &model::HttpSource) -> StreamPlan {
    StreamPlan {
        name: "items".to_owned(),
        path: "provider.endpoints[0]".to_owned(),
        source: SourcePlan::Http(Box::new(http.clone())),
        columns: Columns {
            known: Vec::new(),
            pass_through: true,
        },
        checks: Vec::new(),
        masking: Vec::new(),
        primary_key: Vec::new(),
        incremental: None,
        sample_size: 100,
        parallelism: 1,
    }
}

pub(crate) fn plan() -> Plan {
    Plan {
        format: PLAN_FORMAT,
        tenant: "acme".to_owned(),
        feed: "api".to_owned(),
        document_hash: String::new(),
        provider_name: "api".to_owned(),
        provider_type: ProviderType::RestApi,
        owner: "team".to_owned(),
        tags: Vec::new(),
        mode: Mode::Batch,
        engine: EngineChoice {
            engine: EngineName::Embedded,
            reason: String::new(),
            supported: vec![EngineName::Embedded],
            gave_way: None,
        },
        parameters: BTreeMap::new(),
        config: Settings::new(),
        secrets: BTreeMap::new(),
        credentials: Some("vault://feeds/api".to_owned()),
        streams: Vec::new(),
        transforms: Vec::new(),
        loads: Vec::new(),
        gates: Gates::default(),
        objectives: None,
        compatibility: Compatibility::Backward,
        limits: Limits {
            request_timeout_ms: 10_000,
            connect_timeout_ms: 5_000,
            idle_timeout_ms: 5_000,
            job_timeout_ms: None,
            max_document_bytes: 64 << 20,
            max_decompression_ratio: 100,
            checkpoint_interval_ms: 1_000,
            checkpoint_pages: None,
            resume_max_age_offset_ms: 3_600_000,
            resume_max_age_cursor_ms: 86_400_000,
        },
        moves_cursor: true,
        row_limit: None,
        window: None,
        replay: None,
        held: None,
    }
}

/// Rows of a stream whose rows have no id as JSON (CSV).
pub(in crate::http) async fn read_counts(fixture: &Fixture) -> u64 {
    let source = fixture.source();
    let mut chain = source.open(chain(&[]), None).await.unwrap();
    let mut rows = 0;
    while let Some(step) = chain.next().await.unwrap() {
        if let Fetched::PageEnd(page) = step {
            rows += page.rows;
        }
    }
    rows
}

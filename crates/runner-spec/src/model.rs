//! The document as the rest of the program sees it: one shape for every version, with the synonyms of the formats resolved.
//!
//! Values keep what the author wrote (templates are not rendered, defaults that depend on other fields are not filled in);
//! deciding is the plan's work. Positions are not kept here: [`crate::SourceMap`] finds the place of a field by its path.

mod contract;

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

pub use contract::{Constraints, Contract, Property, PropertyType};

/// Free-form settings, as `provider.config` and a sink's `config` hold them.
pub type Settings = serde_json::Map<String, serde_json::Value>;

/// One feed, as one document describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    pub version: Version,
    pub name: String,
    pub description: Option<String>,
    pub created_by: Option<String>,
    pub created_at: Option<String>,
    pub provider: Provider,
    pub global: GlobalConfig,
    /// Asks for an engine (`runtime`).
    pub runtime: Option<EngineName>,
    /// Name of the contract (`schema_ref`, 1.2).
    pub schema_ref: Option<String>,
    pub compatibility: Compatibility,
}

/// The versions of the format. A newer minor is read as the newest known one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Version {
    #[serde(rename = "1.0")]
    V1_0,
    #[default]
    #[serde(rename = "1.1")]
    V1_1,
    #[serde(rename = "1.2")]
    V1_2,
}

/// The engines a document may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    Embedded,
    Seatunnel,
    Spark,
    Flink,
}

/// How the observed schema may change from run to run (`compat_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Compatibility {
    #[default]
    Backward,
    Forward,
    Full,
    None,
}

/// `global_config`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GlobalConfig {
    /// Limits one request.
    pub timeout_seconds: Option<u64>,
    /// Limits the job.
    pub runtime_timeout_minutes: Option<u64>,
    /// Retries after the first try.
    pub retry_attempts: Option<u32>,
    pub retry_backoff_seconds: Option<f64>,
    /// Name → `vault://path#key`.
    pub secrets: BTreeMap<String, String>,
}

/// `provider`: the source, its streams, what is done to the rows and where they go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provider {
    pub name: String,
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub owner: Option<String>,
    pub tags: Vec<String>,
    pub provider_type: ProviderType,
    pub base_url: Option<String>,
    pub config: Settings,
    /// `vault://<path>[#key]`.
    pub credentials_ref: Option<String>,
    pub schedule_cron: Option<String>,
    pub schedule_timezone: Option<String>,
    pub tenant_id: String,
    pub endpoints: Vec<Endpoint>,
    pub transforms: Vec<Transform>,
    pub sinks: Vec<Sink>,
    pub schema_contract: Option<Contract>,
    pub slos: Option<Slos>,
    pub mode: Option<Mode>,
    pub parallelism: Option<u32>,
    pub retry: RetryConfig,
}

/// The kind of source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderType {
    #[default]
    RestApi,
    Graphql,
    Websocket,
    Webhook,
    FileFtp,
    Database,
    Kafka,
    S3,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Batch,
    MicroBatch,
    Streaming,
    Websocket,
    Webhook,
    GraphqlSubscription,
}

/// `retry_config`: per request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RetryConfig {
    pub max_attempts: Option<u32>,
    pub initial_backoff_seconds: Option<f64>,
    pub max_backoff_seconds: Option<f64>,
    pub multiplier: Option<f64>,
    /// Statuses (`"503"`, `"5xx"`) and causes (`timeout`, `connection`) that are tried again.
    pub retry_on: Vec<String>,
}

/// One endpoint is one stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    pub name: String,
    pub path: String,
    pub method: Option<String>,
    pub headers: IndexMap<String, String>,
    pub query_params: IndexMap<String, String>,
    /// A string, or an object whose strings are templates.
    pub body_template: Option<serde_json::Value>,
    pub is_active: bool,
    pub auth: Auth,
    pub pagination: Pagination,
    pub response_path: Option<String>,
    /// As written: source → target, in the document's order.
    pub field_mapping: IndexMap<String, String>,
    pub rate_limit_group: Option<String>,
    pub rate_limit_per_second: Option<f64>,
    pub sample_size: Option<u32>,
    pub validation_rules: ValidationRules,
    pub for_each: Option<ForEach>,
    pub incremental: Option<Incremental>,
    pub event_time: Option<EventTime>,
    pub dedupe: Option<Dedupe>,
    pub masking: IndexMap<String, Masking>,
    pub load: LoadSettings,
    /// Status or class of statuses (`404`, `5xx`) → what it means.
    pub on_status: IndexMap<String, StatusMeaning>,
}

/// `auth` with its `auth_config`; strings are templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Auth {
    pub kind: AuthKind,
    /// Sent beside whatever `kind` does: mutual TLS.
    pub client_certificate: Option<ClientCertificate>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum AuthKind {
    #[default]
    None,
    ApiKey {
        name: String,
        location: KeyLocation,
        value: String,
    },
    Bearer {
        token: String,
    },
    Basic {
        username: String,
        password: String,
    },
    Oauth2 {
        grant: OauthGrant,
        token_url: String,
        client_id: String,
        client_secret: Option<String>,
        refresh_token: Option<String>,
        scopes: Vec<String>,
        audience: Option<String>,
    },
    Hmac {
        algorithm: HmacAlgorithm,
        secret: String,
        string_to_sign: String,
        header: String,
        timestamp_header: Option<String>,
        /// `hex` (default) or `base64`.
        encoding: HmacEncoding,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyLocation {
    #[default]
    Header,
    Query,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OauthGrant {
    #[default]
    ClientCredentials,
    RefreshToken,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HmacAlgorithm {
    #[default]
    Sha256,
    Sha512,
    Sha1,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HmacEncoding {
    #[default]
    Hex,
    Base64,
}

/// PEM texts or paths of PEM files; templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientCertificate {
    pub certificate: String,
    pub key: String,
    pub ca: Option<String>,
}

/// `pagination` with its `pagination_config`. Numbers may have been written as strings or templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pagination {
    pub kind: PaginationKind,
    pub cursor_param: Option<String>,
    pub cursor_path: Option<String>,
    pub next_url_path: Option<String>,
    pub page_size: Option<String>,
    pub max_pages: Option<String>,
    pub offset_param: Option<String>,
    pub limit_param: Option<String>,
    pub page_param: Option<String>,
    pub start_page: Option<String>,
    /// Where the API says how many rows there are in all.
    pub total_path: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaginationKind {
    #[default]
    None,
    Offset,
    Page,
    Cursor,
    LinkHeader,
    NextUrl,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ValidationRules {
    pub required_fields: Vec<String>,
    /// Field → (minimum, maximum), either may be absent.
    pub numeric_ranges: IndexMap<String, (Option<f64>, Option<f64>)>,
}

/// One request chain per value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum ForEach {
    /// `variable: [a, b]`, or a list for the one variable that nothing else binds (`variable` is empty then).
    List {
        variable: Option<String>,
        values: Vec<String>,
    },
    /// Inclusive at both ends.
    Range {
        variable: Option<String>,
        from: i64,
        to: i64,
        step: i64,
    },
    Parent {
        variable: Option<String>,
        endpoint: String,
        field: String,
        incremental: bool,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Incremental {
    pub cursor_field: String,
    pub initial: Option<String>,
    /// Durations are written like `90s`, `15m`, `1h`, `7d`.
    pub lookback: Option<String>,
    pub settle: Option<String>,
    pub from_param: Option<String>,
    pub to_param: Option<String>,
    pub window: Option<String>,
    /// How window bounds are written into requests: a strftime pattern, `epoch_s` or `epoch_ms`.
    pub format: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventTime {
    pub field: String,
    pub max_out_of_orderness: Option<String>,
    pub idle_timeout: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dedupe {
    pub keys: Vec<String>,
    pub ttl: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Masking {
    Drop,
    Hash,
    Redact,
    Partial,
}

/// What a response status means instead of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusMeaning {
    /// This chain has no rows, and that is an error that was skipped: the cursor stays.
    Skip,
    /// This response is an empty page.
    Empty,
    Retry,
    Fail,
}

/// Settings that stand at an endpoint or at a sink; the sink's win.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadSettings {
    pub primary_key: Vec<String>,
    pub write_mode: Option<WriteMode>,
    pub replace_scope: Vec<String>,
    pub allow_empty: Option<bool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteMode {
    #[default]
    Append,
    Replace,
    Merge,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Transform {
    pub name: Option<String>,
    pub kind: TransformKind,
    pub sql_query: Option<String>,
    pub python_module: Option<String>,
    pub python_function: Option<String>,
    pub wasm_module: Option<String>,
    pub wasm_function: Option<String>,
    /// `parameters.target_endpoints`.
    pub target_endpoints: Vec<String>,
    /// `parameters.views`: alias → view.
    pub views: IndexMap<String, String>,
    /// Every other parameter.
    pub parameters: Settings,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransformKind {
    #[default]
    Sql,
    Spark,
    Flink,
    Python,
    Wasm,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sink {
    pub name: Option<String>,
    pub kind: SinkKind,
    pub table_name: Option<String>,
    pub config: Settings,
    /// `config.endpoints`: overrides the routing.
    pub endpoints: Vec<String>,
    pub partition_by: Vec<String>,
    pub load: LoadSettings,
    pub clickhouse_table: Option<String>,
    pub clickhouse_cluster: Option<String>,
    pub kafka_topic: Option<String>,
    pub kafka_key_field: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SinkKind {
    #[default]
    Parquet,
    Iceberg,
    Postgres,
    Clickhouse,
    Kafka,
    Elasticsearch,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slos {
    pub completeness_threshold: Option<f64>,
    pub accuracy_threshold: Option<f64>,
    pub freshness_target_minutes: Option<f64>,
    pub freshness_field: Option<String>,
    pub availability_target: Option<f64>,
    pub block_on_quality_drop: bool,
    pub block_on_schema_drift: bool,
}

//! The plan's own types. They are stored with the job, so a change here is a change of a stored format ([`PLAN_FORMAT`]).

mod check;
mod column;
mod load;
mod replay;
mod source;

use std::collections::BTreeMap;

use runner_spec::model::{Compatibility, EngineName, Mode, ProviderType, Settings};
use serde::{Deserialize, Serialize};

pub use check::{Check, CheckKind, CheckOrigin};
pub use column::{
    Column, ColumnField, ColumnSource, ColumnType, Columns, DateTimePart, MaskedColumn, TypeOrigin,
};
pub use load::{
    AddedColumn, Catalog, Delivery, Input, LoadPlan, Partition, PartitionTransform, Redirection,
    Target,
};
pub use replay::{Held, Replay, ReplayPart};
pub use source::{
    AllowedOrigins, Body, Chains, DataFormat, FileSource, HttpSource, IncrementalPlan,
    PAGE_VARIABLES, PageKind, PagePlacement, PagePlan, ParentField, RateLimit, RetryPolicy,
    RowPath, RowPathStep, SIGNING_VARIABLES, SourcePlan, TextFormat, TimeFormat, Variable,
    VariableSource, Window, join_values, split_values,
};

/// Version of the stored form of [`Plan`].
pub const PLAN_FORMAT: u32 = 1;

/// What a run of a feed will do, decided before the first request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub format: u32,
    pub tenant: String,
    pub feed: String,
    /// SHA-256 of the document after overlays, hex.
    pub document_hash: String,
    pub provider_name: String,
    pub provider_type: ProviderType,
    pub owner: String,
    pub tags: Vec<String>,
    pub mode: Mode,
    pub engine: EngineChoice,
    pub parameters: BTreeMap<String, String>,
    /// `provider.config`, for templates.
    pub config: Settings,
    /// Secret names that templates may use → reference; never a value. A reference is `vault://path#key`, or
    /// `connection://NAME#SETTING` for a secret that stands in a connection of the runner's configuration.
    pub secrets: BTreeMap<String, String>,
    /// The bundle whose keys are secrets by their own names (`credentials_ref`).
    pub credentials: Option<String>,
    /// In the order of execution: a parent stands before its children.
    pub streams: Vec<StreamPlan>,
    pub transforms: Vec<TransformPlan>,
    /// One per table of a sink.
    pub loads: Vec<LoadPlan>,
    pub gates: Gates,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objectives: Option<Objectives>,
    pub compatibility: Compatibility,
    pub limits: Limits,
    /// A run with a limit, another base URL or explicit windows never moves a cursor.
    pub moves_cursor: bool,
    /// `--limit`: rows of each stream.
    pub row_limit: Option<u64>,
    /// Read this window instead of the one after the cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<ExplicitWindow>,
    /// Load these rows of the quarantine instead of reading the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// Load what another job has on hold instead of reading the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// A window that the caller asks for, half-open; such a run moves no cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplicitWindow {
    pub from: Option<String>,
    pub to: Option<String>,
}

/// Which engine runs the plan, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EngineChoice {
    pub engine: EngineName,
    /// A sentence for `plan`.
    pub reason: String,
    pub supported: Vec<EngineName>,
    /// The engine that was asked for and gave way.
    pub gave_way: Option<EngineName>,
}

/// One stream: where its rows come from, and what each becomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamPlan {
    pub name: String,
    /// Field path of the endpoint in the document, for diagnostics.
    pub path: String,
    pub source: SourcePlan,
    pub columns: Columns,
    /// Rules, and the contract's checks where the stream feeds the declared table without a transform.
    pub checks: Vec<Check>,
    pub masking: Vec<MaskedColumn>,
    pub primary_key: Vec<String>,
    pub incremental: Option<IncrementalPlan>,
    pub sample_size: u32,
    /// Number of chains, pages or files read at once.
    pub parallelism: u32,
}

/// A transform whose output is a view for the next, and whose last output may be loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransformPlan {
    pub name: String,
    /// Field path of the transform in the document, for diagnostics.
    pub path: String,
    pub sql: String,
    /// View name in the SQL → stream or transform that it stands for.
    pub views: BTreeMap<String, Input>,
    /// The contract's checks, where its output goes to the declared table.
    pub checks: Vec<Check>,
    /// Types the contract gives to its output columns.
    pub columns: Vec<ColumnField>,
    /// What its query yields, where the types of all that it reads are known; the analysis of the query writes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<ColumnField>,
    pub primary_key: Vec<String>,
}

/// Thresholds evaluated over the whole run before anything is committed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gates {
    pub completeness_threshold: Option<f64>,
    pub accuracy_threshold: Option<f64>,
    pub block_on_quality_drop: bool,
    /// Only where the document has `slos`; otherwise drift is recorded.
    pub block_on_schema_drift: bool,
}

/// What the service measures of the feed over many runs, and alerts of; no run looks at it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Objectives {
    /// Greatest age of the newest row.
    pub freshness_target_minutes: Option<f64>,
    /// The column that says how new a row is.
    pub freshness_field: Option<String>,
    /// Least share of good runs over 30 days.
    pub availability_target: Option<f64>,
}

/// Bounds of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    pub request_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    /// Between two chunks of a body.
    pub idle_timeout_ms: u64,
    pub job_timeout_ms: Option<u64>,
    pub max_document_bytes: u64,
    /// Of a decompressed body against its compressed one.
    pub max_decompression_ratio: u64,
    pub checkpoint_interval_ms: u64,
    pub checkpoint_pages: Option<u64>,
    pub resume_max_age_offset_ms: u64,
    pub resume_max_age_cursor_ms: u64,
}

impl Plan {
    /// The stream with this name.
    pub fn stream(&self, name: &str) -> Option<&StreamPlan> {
        self.streams.iter().find(|stream| stream.name == name)
    }

    /// The transform with this name.
    pub fn transform(&self, name: &str) -> Option<&TransformPlan> {
        self.transforms
            .iter()
            .find(|transform| transform.name == name)
    }

    /// The loads that take their rows straight from this stream.
    pub fn loads_of_stream<'a>(&'a self, stream: &'a str) -> impl Iterator<Item = &'a LoadPlan> {
        self.loads.iter().filter(move |load| {
            load.inputs
                .iter()
                .any(|input| matches!(input, Input::Stream(name) if name == stream))
        })
    }

    /// Whether a transform reads this stream, so that its rows are staged.
    pub fn is_staged(&self, stream: &str) -> bool {
        self.is_read(&Input::Stream(stream.to_owned()))
    }

    /// Whether a transform reads these rows, so that they are staged.
    pub fn is_read(&self, input: &Input) -> bool {
        self.transforms
            .iter()
            .flat_map(|transform| transform.views.values())
            .any(|view| view == input)
    }
}

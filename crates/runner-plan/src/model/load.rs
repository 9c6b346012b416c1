//! Where rows go: one [`LoadPlan`] per table of a sink.

use runner_spec::model::{Settings, SinkKind, WriteMode};
use serde::{Deserialize, Serialize};

use super::column::{ColumnField, DateTimePart};
use crate::template::Template;

/// One table that a run loads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadPlan {
    /// Unique in the plan and stable from run to run: sink and table.
    pub id: String,
    /// Index of the sink in the document.
    pub sink: usize,
    pub sink_name: String,
    /// The kind that the document names; [`Target`] is where the rows really go.
    pub declared_kind: SinkKind,
    /// As the document or the routing names it (`namespace.table`).
    pub table: String,
    pub target: Target,
    pub inputs: Vec<Input>,
    /// The table that the document names, to which the contract applies.
    pub is_declared: bool,
    pub write_mode: WriteMode,
    pub primary_key: Vec<String>,
    /// Breaks ties between rows of one key.
    pub cursor_field: Option<String>,
    /// Partition columns that a windowed replace covers whole.
    pub replace_scope: Vec<String>,
    pub allow_empty: bool,
    pub partitions: Vec<Partition>,
    /// Columns made by the runner beside those of the rows.
    pub added: Vec<AddedColumn>,
    /// `_uis_load_id` on every row.
    pub load_columns: bool,
    pub target_file_bytes: u64,
    pub delivery: Delivery,
    pub redirection: Option<Redirection>,
    /// Types that the contract fixes, for a table nobody has loaded yet.
    pub contract: Vec<ColumnField>,
    /// Field path of the sink in the document.
    pub path: String,
}

/// What feeds a load or a view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    Stream(String),
    Transform(String),
}

impl Input {
    pub fn name(&self) -> &str {
        match self {
            Self::Stream(name) | Self::Transform(name) => name,
        }
    }
}

/// Where rows really go, with everything that its sink needs. Strings that may hold secrets are templates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Target {
    Parquet {
        /// Folder of the table: a path or an object store URL.
        location: String,
        /// The object store's settings, the connection's included; strings are templates.
        storage: Settings,
        compression: String,
    },
    Iceberg {
        catalog: Catalog,
        namespace: Vec<String>,
        table: String,
        storage: Settings,
        format_version: u8,
        compression: String,
    },
    Postgres {
        /// The whole address as one secret: what is empty below, and a port of 0, is the address's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<Template>,
        host: Template,
        port: u16,
        database: Template,
        user: Template,
        password: Option<Template>,
        /// `disable`, `prefer`, `require`, `verify-ca` or `verify-full`.
        ssl_mode: String,
        ssl_root_certificate: Option<String>,
        schema: String,
        table: String,
    },
}

/// An Iceberg catalog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Catalog {
    /// Embedded; the file's format is that of the reference implementations' SQL catalog.
    Sqlite {
        file: String,
        name: String,
        warehouse: String,
    },
    Rest {
        uri: String,
        warehouse: Option<String>,
        token: Option<Template>,
        /// `client_id:client_secret`, exchanged for a token.
        credential: Option<Template>,
        /// Region and service name of AWS Signature Version 4, where requests are signed.
        signing: Option<(String, String)>,
        headers: Vec<(String, Template)>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    pub column: String,
    pub transform: PartitionTransform,
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionTransform {
    Identity,
    Year,
    Month,
    Day,
    Hour,
    Bucket(u32),
    Truncate(u32),
}

/// A column that the runner adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum AddedColumn {
    /// `ingestion_date`: the date of the run's start.
    RunDate { name: String },
    /// `ingested_at`: the run's start.
    RunTime { name: String },
    /// From the row's date-time column `of`. Without `of` from the first date or date-time column that the rows turn out to
    /// have, else from the run's start. A column of this name that the rows have themselves is left alone.
    Part {
        name: String,
        of: Option<String>,
        part: DateTimePart,
    },
}

/// What a reader of the target can see, and what a repeat does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Readers see all of a load or none of it.
    Atomic,
    /// A repeat changes nothing, but readers may see part of a load.
    Idempotent,
}

/// A connection that wasn't configured, and what stands in for it under the `local` profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirection {
    pub connection: String,
    pub reason: String,
}

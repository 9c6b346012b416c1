//! What the runner's configuration says, as far as the plan depends on it: plain data, filled by the binary.

use std::collections::BTreeMap;

use runner_spec::model::{EngineName, Settings};
use serde::{Deserialize, Serialize};

/// The world as the plan sees it. It is an input like the document: the same one gives the same plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    pub profile: Profile,
    /// Folder of the runner's own data; stand-ins for connections that aren't configured go below it.
    pub data_dir: String,
    /// The tenant that the caller may act for; absent where any will do.
    pub tenant: Option<String>,
    /// By the names that documents use.
    pub connections: BTreeMap<String, Connection>,
    /// Addresses of the external engines that are configured (`managed` counts as one).
    pub engines: BTreeMap<EngineName, String>,
    /// Engines that feeds may use; absent: the embedded one and every engine with an address.
    pub supported_engines: Option<Vec<EngineName>>,
    /// A default engine that isn't supported doesn't give way to the embedded one (`engine_fallback: none`).
    pub refuse_engine_fallback: bool,
    /// Whether rotated refresh tokens can be written back to where they come from (see [`crate::refresh_tokens`]).
    pub secrets_writable: bool,
    /// Limits a job whose document sets no limit (`JOB_TIMEOUT_SECONDS`).
    pub job_timeout_seconds: Option<u64>,
}

/// Who runs it: a person at a command line, or a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A connection that isn't configured is replaced by a local one.
    #[default]
    Local,
    /// A connection that isn't configured is an error.
    Server,
}

/// A named connection of the runner's configuration.
///
/// A setting that is a secret is given as `vault://path#key`. Where it stands in plain text, the plan refers to it as
/// `connection://NAME#SETTING` (see [`crate::model::Plan::secrets`]), which whoever resolves secrets looks up in the
/// configuration: no plan holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    #[serde(rename = "type")]
    pub kind: ConnectionKind,
    #[serde(flatten)]
    pub settings: Settings,
}

/// What a connection leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionKind {
    /// An Iceberg catalog: `uri` and `warehouse` (REST), or `file` and `warehouse` (SQLite).
    Iceberg,
    /// A PostgreSQL server: `url`, or `host`, `port`, `database`, `user`, `password`, `ssl_mode`.
    Postgres,
    /// An object store or a folder: `path`, and the store's settings (`endpoint`, `region`, `access_key_id`, …).
    S3,
    Clickhouse,
    Kafka,
    Elasticsearch,
}

impl ConnectionKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Iceberg => "iceberg",
            Self::Postgres => "postgres",
            Self::S3 => "s3",
            Self::Clickhouse => "clickhouse",
            Self::Kafka => "kafka",
            Self::Elasticsearch => "elasticsearch",
        }
    }
}

impl Environment {
    /// An environment where nothing is configured, as on a laptop.
    pub fn local(data_dir: impl Into<String>) -> Self {
        Self {
            data_dir: data_dir.into(),
            ..Self::default()
        }
    }

    /// Engines that feeds may use, in the order of their names.
    pub fn supported_engines(&self) -> Vec<EngineName> {
        let mut supported = self.supported_engines.clone().unwrap_or_else(|| {
            std::iter::once(EngineName::Embedded)
                .chain(self.engines.keys().copied())
                .collect()
        });
        supported.sort_unstable();
        supported.dedup();
        supported
    }
}

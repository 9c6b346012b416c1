//! Progress while a run runs.

use serde::{Deserialize, Serialize};

/// What one stream has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub stream: String,
    pub requests: u64,
    pub pages: u64,
    pub rows: u64,
    pub quarantined: u64,
    pub bytes: u64,
    /// Rows in all, where the source says so.
    pub total_rows: Option<u64>,
    pub chains_done: u64,
    pub chains: Option<u64>,
    pub waiting: Option<Waiting>,
    pub finished: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "for")]
pub enum Waiting {
    RateLimit {
        until_ms: i64,
    },
    Retry {
        attempt: u32,
        until_ms: i64,
        reason: String,
    },
    Sink,
    Engine,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum ProgressEvent {
    Stage {
        name: String,
    },
    Stream(Progress),
    Warning {
        stream: Option<String>,
        code: String,
        message: String,
    },
    Resumed {
        attempt: u32,
        pages: u64,
        rows: u64,
    },
}

/// Takes events; must not block.
pub trait ProgressSink: Send + Sync {
    fn event(&self, event: ProgressEvent);
}

/// Nobody looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl ProgressSink for NoProgress {
    fn event(&self, _event: ProgressEvent) {}
}

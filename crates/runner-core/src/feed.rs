//! What is kept of a feed between runs.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Observed, SchemaRecord};
use crate::error::Result;
use crate::ids::{FeedId, JobId, Operator, Seq};
use crate::job::Claim;

/// State of a feed, as far as it fits in memory: cursors of children stand as rows, see [`FeedStore::cursor`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedState {
    /// Stream → its columns as last loaded.
    pub schemas: BTreeMap<String, SchemaRecord>,
    /// Stream → the accepted schema of the source, the union of what was accepted.
    pub accepted: BTreeMap<String, Observed>,
    /// Stream → source field → what the document said of it when `accepted` was set: a field of which it says something else now is
    /// set anew.
    pub accepted_for: BTreeMap<String, BTreeMap<String, String>>,
}

/// Cursor of one stream and chain value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorState {
    pub stream: String,
    /// The parent's value; empty for a stream without a parent.
    pub value: String,
    pub cursor: Option<String>,
    /// Hash of the raw row → count, of the rows that have the cursor's value.
    pub boundary: BTreeMap<String, u32>,
    pub updated_by: Option<JobId>,
}

/// What drift did in one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftRecord {
    pub job: JobId,
    pub stream: String,
    pub at: DateTime<Utc>,
    pub changes: Vec<DriftChange>,
    pub decision: DriftDecision,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftChange {
    pub field: String,
    pub kind: DriftKind,
    pub before: Option<String>,
    pub after: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    Added,
    Widened,
    Changed,
    /// Needs a wider type than its tables can take.
    Outgrown,
    Missing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftDecision {
    FirstRun,
    Accepted,
    Recorded,
    Blocked,
    AcceptedByOperator,
}

/// State of feeds. What serves a caller takes a tenant; what a job changes is fenced by its claim.
#[async_trait]
pub trait FeedStore: Send + Sync {
    async fn state(&self, feed: &FeedId) -> Result<FeedState>;
    async fn cursor(&self, feed: &FeedId, stream: &str, value: &str)
    -> Result<Option<CursorState>>;
    async fn cursors(
        &self,
        feed: &FeedId,
        stream: Option<&str>,
        after: Option<(&str, &str)>,
        limit: u32,
    ) -> Result<Vec<CursorState>>;
    /// Sets cursors (a page of them) and state as the last step of a commit. Repeating it changes nothing, so a million cursors
    /// need no single transaction; only a job in `committing` may call it.
    async fn advance(
        &self,
        claim: &Claim,
        state: Option<&FeedState>,
        cursors: &[CursorState],
    ) -> Result<()>;
    /// By an operator; a conflict while a run of the feed is unfinished, since its commit would move the cursor again.
    async fn set_cursor(&self, feed: &FeedId, cursor: &CursorState, by: &Operator) -> Result<()>;
    /// Forgets cursors and schemas of a stream, or of all; returns how many cursors. A conflict like [`FeedStore::set_cursor`].
    async fn reset(&self, feed: &FeedId, stream: Option<&str>, by: &Operator) -> Result<u64>;
    /// Makes the next seq at least this, after the job store was lost and the targets remember later loads.
    async fn raise_seq(&self, feed: &FeedId, at_least: Seq, by: &Operator) -> Result<Seq>;
    /// One record per job and stream: a repeat replaces it.
    async fn record_drift(&self, claim: &Claim, record: &DriftRecord) -> Result<()>;
    /// The newest first.
    async fn drift(&self, feed: &FeedId, limit: u32) -> Result<Vec<DriftRecord>>;
    /// Accepts what a blocked run observed.
    async fn accept_schema(
        &self,
        feed: &FeedId,
        stream: &str,
        accepted: &Observed,
        by: &Operator,
    ) -> Result<()>;
    async fn feeds(&self, tenant: &crate::ids::TenantId) -> Result<Vec<(FeedId, Seq)>>;
}

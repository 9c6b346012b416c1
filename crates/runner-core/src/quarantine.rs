//! The index of quarantined rows: which files hold rows that failed, what became of their run, and which rows were replayed.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::checkpoint::SchemaRecord;
use crate::error::Result;
use crate::ids::{FeedId, JobId, Operator, Seq, TenantId};
use crate::job::{Claim, Job, JobState};
use crate::part::Part;

/// What became of the run that quarantined the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineMark {
    /// The run completed: these rows come again only by a replay.
    Loaded,
    /// The run failed, was cancelled or timed out: its rows come again with the next run.
    Failed,
    /// A gate blocked the run.
    Blocked,
}

impl QuarantineMark {
    /// Of a job that has ended.
    pub fn of(job: &Job) -> Self {
        match job.state {
            JobState::Completed => Self::Loaded,
            JobState::Failed if job.blocked_by.is_some() => Self::Blocked,
            JobState::Failed
            | JobState::Cancelled
            | JobState::TimedOut
            | JobState::Queued
            | JobState::Preparing
            | JobState::Running
            | JobState::Gating
            | JobState::Committing => Self::Failed,
        }
    }
}

/// A sealed file of quarantined rows; it becomes visible when its run ends, in the transaction that ends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuarantineFile {
    pub feed: FeedId,
    pub job: JobId,
    /// Of the run: a replay merges by it.
    pub seq: Seq,
    /// Stream or transform whose rows failed.
    pub stream: String,
    pub part: Part,
    /// Rows of chains that started over, as half-open ranges of the file's rows: they are no longer quarantined.
    pub superseded: Vec<(u64, u64)>,
    pub mark: QuarantineMark,
    pub recorded_at: DateTime<Utc>,
}

impl QuarantineFile {
    /// Rows that count.
    pub fn rows(&self) -> u64 {
        let superseded: u64 = self.superseded.iter().map(|(from, to)| to - from).sum();
        self.part.rows.saturating_sub(superseded)
    }
}

/// Rows by their id: the job and the part that hold them, and their numbers there, half-open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowRange {
    pub job: JobId,
    pub part: String,
    pub from: u64,
    pub to: u64,
}

/// Rows of a sink that an operator gave up: kept until they are replayed or dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    pub feed: FeedId,
    pub job: JobId,
    pub seq: Seq,
    pub load: String,
    pub reason: String,
    /// As they were prepared for the commit that never came.
    pub parts: Vec<Part>,
    /// As they were sealed: a later commit prepares them anew, since the table may have changed.
    #[serde(default)]
    pub sealed: Vec<Part>,
    /// By the streams and transforms that the rows come from.
    #[serde(default)]
    pub inputs: BTreeMap<String, SealedInput>,
    pub held_by: Operator,
    pub held_at: DateTime<Utc>,
}

/// What reading the sealed parts of one input takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SealedInput {
    pub schemas: Vec<SchemaRecord>,
    /// Last generation of the chains that started over.
    pub generations: BTreeMap<u64, u32>,
}

impl Hold {
    /// Every part that must stay while this does.
    pub fn part_names(&self) -> impl Iterator<Item = &str> {
        self.parts
            .iter()
            .chain(&self.sealed)
            .map(|part| part.name.as_str())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    pub feed: Option<String>,
    pub job: Option<JobId>,
    pub stream: Option<String>,
    pub limit: u32,
}

/// The index of the quarantine, and the marks of what was replayed.
#[async_trait]
pub trait QuarantineStore: Send + Sync {
    /// The newest run first.
    async fn files(
        &self,
        tenant: &TenantId,
        filter: &QuarantineFilter,
    ) -> Result<Vec<QuarantineFile>>;
    /// Reserves rows for the replay that the claimed job is, and returns those which nobody has replayed: the second replay of a row
    /// gets none. They count as replayed once the job completes, and are free again if it ends otherwise. A conflict for rows whose
    /// run didn't complete.
    async fn reserve_replay(&self, claim: &Claim, rows: &[RowRange]) -> Result<Vec<RowRange>>;
    /// What the claimed job reserved: a later attempt goes on with the same rows.
    async fn reserved(&self, claim: &Claim) -> Result<Vec<RowRange>>;
    /// Rows of a part that were replayed.
    async fn replayed(&self, tenant: &TenantId, job: &JobId, part: &str) -> Result<Vec<RowRange>>;
    /// Those that are not released: the job that loads one releases it by its end, in the same transaction.
    async fn holds(&self, tenant: &TenantId, feed: Option<&str>) -> Result<Vec<Hold>>;
    /// Ends a hold whose rows are given up for good; its parts can be discarded then.
    async fn release_hold(
        &self,
        tenant: &TenantId,
        job: &JobId,
        load: &str,
        by: &Operator,
    ) -> Result<()>;
    /// Forgets files recorded before this and returns them, so that the caller takes them away.
    async fn forget(
        &self,
        recorded_before: DateTime<Utc>,
        dry_run: bool,
    ) -> Result<Vec<QuarantineFile>>;
}

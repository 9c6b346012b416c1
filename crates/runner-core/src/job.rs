//! Jobs and their store: a job is a row in it before anything else happens.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_plan::Plan;
use serde::{Deserialize, Serialize};

use crate::commit::Written;
use crate::engine::RunHandle;
use crate::error::{ErrorKind, Result};
use crate::ids::{Attempt, FeedId, JobId, Seq, SubmissionId, TenantId, WorkerId};
use crate::part::Part;

/// A job as its creator describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewJob {
    pub id: JobId,
    pub feed: FeedId,
    pub plan: Plan,
    /// The document itself, for `jobs resume` after its file changed.
    pub document: String,
    pub document_hash: String,
    /// Hash of parameters and options: with the document's it says whether a run continues this one.
    pub parameters_hash: String,
    /// The scheduled instant, else the creation; every "run's start" means it.
    pub nominal_time: DateTime<Utc>,
    pub part_format: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Queued,
    Preparing,
    Running,
    Gating,
    /// Can only go forward.
    Committing,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
}

impl JobState {
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::TimedOut
        )
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Gating => "gating",
            Self::Committing => "committing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
        }
    }
}

/// A job as the store has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub feed: FeedId,
    pub seq: Seq,
    pub attempt: Attempt,
    pub state: JobState,
    pub plan: Plan,
    pub document: String,
    pub document_hash: String,
    pub parameters_hash: String,
    pub nominal_time: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub submission: Option<SubmissionId>,
    pub run: Option<RunHandle>,
    pub failure: Option<Failure>,
    /// A gate blocked it; its parts are kept so that `drift accept` and `jobs resume` can commit them.
    pub blocked_by: Option<String>,
    /// A sink that can't commit yet, and why.
    pub blocked_on: Option<String>,
    pub partial: bool,
    pub lease_expires_at: Option<DateTime<Utc>>,
    pub loads: Vec<LoadState>,
    /// `discard` ran after it ended.
    pub is_discarded: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: ErrorKind,
    pub message: String,
    pub help: Option<String>,
}

/// Where one table of a job stands. Each sink's commit is recorded singly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadState {
    pub load: String,
    /// Parts as `prepare` left them.
    pub prepared: Option<Vec<Part>>,
    pub written: Option<Written>,
    pub abandoned: Option<String>,
}

/// The outcome of creating a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    New(JobId),
    Existing(JobId),
}

/// The right to work on a job, until the lease ends or another attempt claims it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub job: JobId,
    pub tenant: TenantId,
    pub attempt: Attempt,
    pub worker: WorkerId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    Continue,
    CancelRequested,
    /// Another attempt has the job: stop all outgoing writes.
    Lost,
}

/// A change of a job by the worker that holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum Transition {
    /// To `preparing`, `running` or `gating`.
    To(JobState),
    /// Written before anything is sent to an engine.
    Submitting(SubmissionId),
    Submitted(RunHandle),
    /// To `committing`, with what `prepare` returned for every load.
    Committing(Vec<(String, Vec<Part>)>),
    Committed {
        load: String,
        written: Written,
    },
    BlockedOn(Option<String>),
    Completed,
    Failed {
        failure: Failure,
        blocked_by: Option<String>,
    },
    Cancelled,
    TimedOut,
    Discarded,
    /// Gives the claim back without ending the job, so that another worker may go on.
    Released,
}

/// One line of a job's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobEvent {
    pub at: DateTime<Utc>,
    pub attempt: Attempt,
    pub name: String,
    pub details: serde_json::Value,
}

/// Which jobs a caller asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    pub feed: Option<String>,
    pub states: Vec<JobState>,
    /// Jobs older than this one.
    pub before: Option<JobId>,
    pub limit: u32,
}

/// The job store. What serves a caller takes a tenant; `claim`, `heartbeat` and `record` are the workers'.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// Gives the job its seq, in the same transaction.
    async fn create(&self, job: NewJob, idempotency_key: Option<&str>) -> Result<Created>;
    async fn get(&self, tenant: &TenantId, id: &JobId) -> Result<Option<Job>>;
    async fn list(&self, tenant: &TenantId, filter: &JobFilter) -> Result<Vec<Job>>;
    /// The feed's job that hasn't ended, if there is one; runs of one feed exclude each other.
    async fn unfinished(&self, feed: &FeedId) -> Result<Option<Job>>;
    /// Any job that may be worked on: queued, or with an expired lease.
    async fn claim(&self, worker: &WorkerId, lease: Duration) -> Result<Option<Claim>>;
    /// This job, if nobody holds it.
    async fn claim_job(
        &self,
        tenant: &TenantId,
        id: &JobId,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<Option<Claim>>;
    async fn heartbeat(&self, claim: &Claim, lease: Duration) -> Result<Beat>;
    /// A stale claim is a conflict.
    async fn record(&self, claim: &Claim, change: Transition) -> Result<()>;
    /// Asks the worker to stop; a job that nobody holds is cancelled at once. A conflict while it commits.
    async fn request_cancel(&self, tenant: &TenantId, id: &JobId) -> Result<JobState>;
    /// Puts a blocked or failed job that kept its parts back to work, or ends a wait in `committing`.
    async fn reopen(&self, tenant: &TenantId, id: &JobId) -> Result<()>;
    /// Ends the wait for one sink: its rows become a hold.
    async fn abandon(&self, tenant: &TenantId, id: &JobId, load: &str, reason: &str) -> Result<()>;
    async fn event(&self, claim: &Claim, name: &str, details: serde_json::Value) -> Result<()>;
    async fn events(
        &self,
        tenant: &TenantId,
        id: &JobId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, JobEvent)>>;
    /// Forgets ended jobs older than this, with their parts and events; returns them.
    async fn purge(&self, ended_before: DateTime<Utc>, dry_run: bool) -> Result<Vec<JobId>>;
    /// Adds a number to whatever parts an ended job still has, so that they can be discarded.
    async fn undiscarded(&self, limit: u32) -> Result<Vec<(Job, Vec<Part>)>>;
    async fn probe(&self) -> Result<()>;
}

//! Jobs and their store: a job is a row in it before anything else happens.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_plan::Plan;
use serde::{Deserialize, Serialize};

use crate::checkpoint::StreamSummary;
use crate::commit::Written;
use crate::engine::RunHandle;
use crate::error::{ErrorKind, Result};
use crate::ids::{Attempt, FeedId, JobId, Operator, Seq, SubmissionId, TenantId, WorkerId};
use crate::part::Part;
pub use crate::transition::{Intervention, Transition};

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
    /// The gate that blocked it.
    pub blocked_by: Option<String>,
    /// A sink that can't commit yet, and why.
    pub blocked_on: Option<BlockedOn>,
    /// A caller asked its worker to stop.
    pub cancel_requested: bool,
    /// A sink was abandoned: the rest was loaded.
    pub partial: bool,
    pub lease_expires_at: Option<DateTime<Utc>>,
    /// Microseconds that its attempts have worked on it, as their heartbeats told: a job that waits for a worker spends nothing of
    /// its time limit.
    #[serde(default)]
    pub worked_us: u64,
    /// The holder's last sign of life.
    #[serde(default)]
    pub beat_at: Option<DateTime<Utc>>,
    pub loads: Vec<LoadState>,
    pub parts: PartsState,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: ErrorKind,
    pub message: String,
    pub help: Option<String>,
}

/// What becomes of a job's sealed parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartsState {
    /// The job has not ended.
    #[default]
    Live,
    /// The job failed and its parts stay: `jobs resume` goes on with them, until a later run of the feed takes its place.
    Kept,
    /// The job ended: what its targets don't refer to can be discarded.
    Leftover,
    Discarded,
}

/// Why a job waits in `committing`, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedOn {
    pub load: String,
    pub message: String,
    pub tries: u32,
    /// No worker takes the job before; none once an operator said `jobs retry`.
    pub retry_at: Option<DateTime<Utc>>,
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

impl LoadState {
    /// Committed or given up: nothing is left to do for it.
    pub fn is_settled(&self) -> bool {
        self.written.is_some() || self.abandoned.is_some()
    }
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
    /// Gives the job its seq, in the same transaction. A feed that has an unfinished job is a conflict; a key that was used is the
    /// job that it made.
    async fn create(&self, job: NewJob, idempotency_key: Option<&str>) -> Result<Created>;
    async fn get(&self, tenant: &TenantId, id: &JobId) -> Result<Option<Job>>;
    /// The newest first.
    async fn list(&self, tenant: &TenantId, filter: &JobFilter) -> Result<Vec<Job>>;
    /// The feed's job that hasn't ended, if there is one; runs of one feed exclude each other.
    async fn unfinished(&self, feed: &FeedId) -> Result<Option<Job>>;
    /// Any job that may be worked on: queued, released, or with an expired lease, and not waiting for a sink.
    async fn claim(&self, worker: &WorkerId, lease: Duration) -> Result<Option<Claim>>;
    /// This job, if it hasn't ended and nobody holds it. A wait for a sink is no reason to refuse the one who asks for it by name.
    async fn claim_job(
        &self,
        tenant: &TenantId,
        id: &JobId,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<Option<Claim>>;
    /// Renews the lease, also one that has run out, as long as nobody else claimed the job. The time since the claim, or the
    /// heartbeat before this one, is added to [`Job::worked_us`].
    async fn heartbeat(&self, claim: &Claim, lease: Duration) -> Result<Beat>;
    /// A stale claim is a conflict, and so is one whose lease has run out. See [`Transition::apply`].
    async fn record(&self, claim: &Claim, change: Transition) -> Result<()>;
    /// Asks the worker to stop; a job that nobody holds is cancelled at once. A conflict while it commits.
    async fn request_cancel(
        &self,
        tenant: &TenantId,
        id: &JobId,
        by: &Operator,
    ) -> Result<JobState>;
    /// Puts a failed job that kept its parts back to work, or ends a wait in `committing`. A conflict if a later run of the feed has
    /// begun since: what it loaded must not be followed by older rows.
    async fn reopen(&self, tenant: &TenantId, id: &JobId, by: &Operator) -> Result<()>;
    /// Ends the wait for one sink: its rows become a hold. A conflict while a worker holds the job.
    async fn abandon(
        &self,
        tenant: &TenantId,
        id: &JobId,
        load: &str,
        reason: &str,
        by: &Operator,
    ) -> Result<()>;
    async fn event(&self, claim: &Claim, name: &str, details: serde_json::Value) -> Result<()>;
    async fn events(
        &self,
        tenant: &TenantId,
        id: &JobId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, JobEvent)>>;
    /// What the job's streams and transforms have done, for a report without a claim.
    async fn summary(&self, tenant: &TenantId, id: &JobId) -> Result<Vec<StreamSummary>>;
    /// When the oldest unfinished job that commits to this feed's tables was created.
    async fn oldest_unfinished(&self, feed: &FeedId) -> Result<Option<DateTime<Utc>>>;
    /// Forgets ended jobs older than this, with their events, and returns them. Jobs that have parts to discard, or rows on hold, stay.
    async fn purge(&self, ended_before: DateTime<Utc>, dry_run: bool) -> Result<Vec<JobId>>;
    /// Gives up the kept parts of jobs that ended before this: they can't be reopened any more. Returns them.
    async fn expire_kept(&self, ended_before: DateTime<Utc>, dry_run: bool) -> Result<Vec<JobId>>;
    /// Ended jobs whose parts were not discarded and are not kept for a resumption, with those parts: a worker that died between the
    /// end and the discard left them, or a later run took the place of a job that kept its own.
    async fn undiscarded(&self, limit: u32) -> Result<Vec<(Job, Vec<Part>)>>;
    /// Names of every part that the store records for a feed: sweeping spares them.
    async fn part_names(&self, feed: &FeedId) -> Result<BTreeSet<String>>;
    /// The parts of such a job are gone.
    async fn discarded(&self, id: &JobId) -> Result<()>;
    async fn probe(&self) -> Result<()>;
}

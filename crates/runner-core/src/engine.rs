//! The engine port: asked, never assumed, and never simulated.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_plan::Plan;
use runner_spec::Diagnostic;
use runner_spec::model::EngineName;
use serde::{Deserialize, Serialize};

use crate::cancel::Cancel;
use crate::checkpoint::Checkpoints;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::feed::FeedStore;
use crate::ids::{FeedId, Seq, SubmissionId};
use crate::job::Claim;
use crate::progress::ProgressSink;
use crate::quarantine::QuarantineStore;
use crate::secret::SecretStore;

/// What an engine is given to run. Secrets in it are references.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    pub engine: EngineName,
    /// `json`, `sql`, `hocon`.
    pub format: String,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    pub engine: EngineName,
    pub version: String,
    pub address: Option<String>,
}

/// Stored with the job, so that a takeover attaches to the run instead of starting a second one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunHandle {
    pub engine: EngineName,
    pub submission: SubmissionId,
    pub details: serde_json::Value,
}

/// State of a run at its engine.
#[derive(Debug)]
pub enum RunStatus {
    Running,
    /// Every output is sealed and recorded in the job's checkpoints.
    Sealed,
    Failed(Error),
    Cancelled,
    Unknown,
}

/// What a run needs of the world.
#[derive(Clone)]
pub struct RunContext {
    pub claim: Claim,
    pub feed: FeedId,
    pub seq: Seq,
    pub plan: Arc<Plan>,
    pub nominal_time: DateTime<Utc>,
    pub checkpoints: Arc<dyn Checkpoints>,
    pub feeds: Arc<dyn FeedStore>,
    /// What a replay reads.
    pub quarantine: Arc<dyn QuarantineStore>,
    pub secrets: Arc<dyn SecretStore>,
    pub clock: Arc<dyn Clock>,
    pub progress: Arc<dyn ProgressSink>,
    pub cancel: Cancel,
}

impl std::fmt::Debug for RunContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunContext")
            .field("claim", &self.claim)
            .field("feed", &self.feed)
            .finish_non_exhaustive()
    }
}

#[async_trait]
pub trait Engine: Send + Sync {
    fn id(&self) -> EngineName;
    /// Whether it can run the plan, and if not why. Pure.
    fn check(&self, plan: &Plan) -> Vec<Diagnostic>;
    /// Pure: the same plan gives the same bytes.
    fn compile(&self, plan: &Plan) -> Result<Artifact>;
    /// Whether it is really there, and which version.
    async fn probe(&self) -> Result<EngineInfo>;
    /// The same id gives the same run.
    async fn submit(
        &self,
        artifact: &Artifact,
        submission: SubmissionId,
        context: &RunContext,
    ) -> Result<RunHandle>;
    async fn status(&self, run: &RunHandle) -> Result<RunStatus>;
    /// Completes when the run is no longer running, or when `context.cancel` fires.
    async fn wait(&self, run: &RunHandle, context: &RunContext) -> Result<RunStatus>;
    /// Twice is fine.
    async fn cancel(&self, run: &RunHandle) -> Result<()>;
}

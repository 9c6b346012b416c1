//! Drives one job from where it stands to its end. Every step is recorded before the next one begins, so that any process can go on.

use std::sync::Arc;
use std::time::Duration;

use runner_core::commit::Committers;
use runner_core::engine::Engine;
use runner_core::job::{Claim, JobStore, PartsState, Transition};
use runner_core::progress::ProgressSink;
use runner_core::report::Report;
use runner_core::{
    Cancel, Checkpoints, Clock, Error, ErrorKind, FeedStore, JobId, QuarantineStore, Result,
    SecretStore,
};

use crate::attempt::{Attempt, Halt};
use crate::discarding::{discard, leftovers};
use crate::lease::Heartbeat;
use crate::report::report;
use crate::step::{Step, next};

/// Of a claim, unless said otherwise.
const LEASE: Duration = Duration::from_mins(1);
/// Tries of one sink's commit, unless said otherwise.
const COMMIT_TRIES: u32 = 5;
/// Steps besides the commits of loads that a job has, with room: one that repeats for ever is a mistake of the program.
const STEPS: usize = 16;

/// What a job needs of the world.
#[derive(Clone)]
pub struct Ports {
    pub jobs: Arc<dyn JobStore>,
    pub checkpoints: Arc<dyn Checkpoints>,
    pub feeds: Arc<dyn FeedStore>,
    pub quarantine: Arc<dyn QuarantineStore>,
    pub engine: Arc<dyn Engine>,
    pub committers: Arc<dyn Committers>,
    pub secrets: Arc<dyn SecretStore>,
    pub clock: Arc<dyn Clock>,
    pub progress: Arc<dyn ProgressSink>,
}

/// Runs claimed jobs.
#[derive(Clone)]
pub struct JobRunner {
    ports: Ports,
    /// Of a claim; renewed while the job runs.
    pub lease: Duration,
    /// Tries of one sink's commit before the job is left waiting for it.
    pub commit_tries: u32,
}

impl JobRunner {
    pub fn new(ports: Ports) -> Self {
        Self {
            ports,
            lease: LEASE,
            commit_tries: COMMIT_TRIES,
        }
    }

    /// Drives the job until it ends or has to be left, and reports. The report tells of failures; an error means that not even
    /// that was possible.
    pub async fn run(&self, claim: &Claim, cancel: Cancel) -> Result<Report> {
        let heartbeat = Heartbeat::start(
            Arc::clone(&self.ports.jobs),
            Arc::clone(&self.ports.clock),
            claim.clone(),
            self.lease,
            cancel.clone(),
        );
        let mut attempt = Attempt {
            runner: self,
            ports: &self.ports,
            claim,
            cancel: &cancel,
            heartbeat: &heartbeat,
            deadline: None,
        };
        let job = attempt.job().await?;
        // The limit is the job's: what earlier attempts have used of it is gone.
        let worked = Duration::from_micros(job.worked_us);
        attempt.deadline = job.plan.limits.job_timeout_ms.map(|limit| {
            let left = Duration::from_millis(limit).saturating_sub(worked);
            self.ports.clock.monotonic() + left
        });
        // Boxed: the callers of this would otherwise carry every step's state in theirs.
        let outcome = Box::pin(drive(&attempt)).await;
        let left = attempt.conclude(outcome).await;
        self.take_leftovers_away(&attempt).await?;
        report(&self.ports, claim, &attempt.job().await?, left).await
    }

    /// Takes away what ended jobs left behind: a process that died before it could, or a run that a later one replaced.
    pub async fn discard_leftovers(&self, limit: u32) -> Result<Vec<JobId>> {
        let mut done = Vec::new();
        for (job, parts) in self.ports.jobs.undiscarded(limit).await? {
            discard(
                self.ports.committers.as_ref(),
                &job,
                &leftovers(&job, &parts, true),
            )
            .await?;
            self.ports.jobs.discarded(&job.id).await?;
            done.push(job.id);
        }
        Ok(done)
    }

    /// Only after the end was recorded under this claim. What fails here is no failure of the run: `gc` tries again.
    async fn take_leftovers_away(&self, attempt: &Attempt<'_>) -> Result<()> {
        let job = attempt.job().await?;
        if job.parts != PartsState::Leftover || job.attempt != attempt.claim.attempt {
            return Ok(());
        }
        let parts = self.ports.checkpoints.parts(attempt.claim).await?;
        let gone = leftovers(&job, &parts, false);
        let discarded = discard(self.ports.committers.as_ref(), &job, &gone).await;
        match discarded {
            Ok(()) => {
                self.ports
                    .jobs
                    .record(attempt.claim, Transition::Discarded)
                    .await
            }
            Err(error) => {
                let details = serde_json::json!({ "error": error.chain() });
                self.ports
                    .jobs
                    .event(attempt.claim, "discard_failed", details)
                    .await
            }
        }
    }
}

async fn drive(attempt: &Attempt<'_>) -> Result<(), Halt> {
    let mut steps = 0;
    loop {
        let job = attempt.job().await.map_err(Halt::Left)?;
        match next(&job) {
            Step::Extract => attempt.extract(&job).await?,
            Step::Gate => {
                attempt.interruptible(attempt.gate(&job)).await?;
                attempt.interruptible(attempt.prepare(&job)).await?;
            }
            Step::Commit(load) => attempt.commit(&job, &load).await?,
            Step::Finish => attempt.finish(&job).await?,
            Step::Ended => return Ok(()),
        }
        steps += 1;
        if steps > STEPS + job.plan.loads.len() {
            return Err(Halt::Left(Error::new(
                ErrorKind::Internal,
                format!(
                    "job `{}` makes no progress: it is still {}",
                    job.id,
                    job.state.as_str()
                ),
            )));
        }
    }
}

impl std::fmt::Debug for JobRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobRunner")
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

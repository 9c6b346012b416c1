//! From `queued` to everything sealed: one submission to the engine, kept across attempts.

use std::sync::Arc;

use runner_core::engine::{RunContext, RunHandle, RunStatus};
use runner_core::job::{Job, JobState, Transition};
use runner_core::quarantine::RowRange;
use runner_core::{Error, ErrorKind, JobId, SubmissionId, fault};
use runner_plan::model::ReplayPart;

use crate::attempt::{Attempt, Halt};

impl Attempt<'_> {
    pub(crate) async fn extract(&self, job: &Job) -> Result<(), Halt> {
        self.go_on()?;
        if job.state == JobState::Queued {
            self.record(Transition::To(JobState::Preparing)).await?;
        }
        if job.plan.held.is_some() {
            // Everything was read and sealed, and has passed its gates, when the sink was given up.
            self.record(Transition::To(JobState::Running)).await?;
            return self.record(Transition::To(JobState::Gating)).await;
        }
        self.reserve(job).await?;
        let context = self.run_context(job);
        let handle = match self.known_run(job).await? {
            Some(handle) => handle,
            None => self.submit(job, &context).await?,
        };
        self.record(Transition::To(JobState::Running)).await?;
        self.wait(&handle, &context).await?;
        self.record(Transition::To(JobState::Gating)).await
    }

    /// The rows of a replay are this job's before anything is read: an attempt that takes over finds the same ones.
    async fn reserve(&self, job: &Job) -> Result<(), Halt> {
        let Some(replay) = &job.plan.replay else {
            return Ok(());
        };
        if !matches!(job.state, JobState::Queued | JobState::Preparing) {
            return Ok(());
        }
        let wanted: Vec<RowRange> = replay.parts.iter().flat_map(rows_of).collect();
        self.ports
            .quarantine
            .reserve_replay(self.claim, &wanted)
            .await?;
        Ok(())
    }

    /// The run that an earlier attempt started, if the engine still knows it: nothing is started twice.
    async fn known_run(&self, job: &Job) -> Result<Option<RunHandle>, Halt> {
        let Some(handle) = &job.run else {
            return Ok(None);
        };
        match self.ports.engine.status(handle).await? {
            RunStatus::Running | RunStatus::Sealed | RunStatus::Failed(_) => {
                Ok(Some(handle.clone()))
            }
            // Known to have ended: only now may another submission take its place.
            RunStatus::Cancelled => {
                self.record(Transition::Submitting(SubmissionId::generate()))
                    .await?;
                Ok(None)
            }
            RunStatus::Unknown => Ok(None),
        }
    }

    async fn submit(&self, job: &Job, context: &RunContext) -> Result<RunHandle, Halt> {
        let artifact = self.ports.engine.compile(&job.plan)?;
        let stored = self.job().await.map_err(Halt::Left)?.submission;
        let submission = stored.unwrap_or_else(SubmissionId::generate);
        // Before anything is sent: an attempt that takes over submits under the same name, and the engine knows it.
        self.record(Transition::Submitting(submission.clone()))
            .await?;
        fault::point("first_page.before");
        let handle = self
            .ports
            .engine
            .submit(&artifact, submission, context)
            .await?;
        self.record(Transition::Submitted(handle.clone())).await?;
        Ok(handle)
    }

    async fn wait(&self, handle: &RunHandle, context: &RunContext) -> Result<(), Halt> {
        let engine = &self.ports.engine;
        let ended = tokio::select! {
            biased;
            ended = engine.wait(handle, context) => ended?,
            () = self.overdue() => {
                self.cancel.cancel();
                engine.cancel(handle).await?;
                // It stops at its next page, with what it has sealed.
                engine.wait(handle, context).await?;
                return Err(Halt::TimedOut);
            }
        };
        match ended {
            RunStatus::Sealed => Ok(()),
            RunStatus::Failed(error) => {
                // An engine whose checkpoint was refused, since the lease is another's, says so as its failure.
                self.heartbeat
                    .stopped()
                    .map_or(Ok(()), |_| Err(self.stopped()))?;
                Err(error.into())
            }
            RunStatus::Cancelled => {
                self.go_on()?;
                Err(self.stopped())
            }
            RunStatus::Running | RunStatus::Unknown => Err(Halt::Left(Error::new(
                ErrorKind::Engine,
                "the engine does not know how the run ended",
            ))),
        }
    }

    fn run_context(&self, job: &Job) -> RunContext {
        RunContext {
            claim: self.claim.clone(),
            feed: job.feed.clone(),
            seq: job.seq,
            plan: Arc::new(job.plan.clone()),
            nominal_time: job.nominal_time,
            checkpoints: Arc::clone(&self.ports.checkpoints),
            feeds: Arc::clone(&self.ports.feeds),
            quarantine: Arc::clone(&self.ports.quarantine),
            secrets: Arc::clone(&self.ports.secrets),
            clock: Arc::clone(&self.ports.clock),
            progress: Arc::clone(&self.ports.progress),
            cancel: self.cancel.clone(),
        }
    }
}

fn rows_of(part: &ReplayPart) -> impl Iterator<Item = RowRange> {
    part.rows.iter().map(|(from, to)| RowRange {
        job: JobId::new(part.job.clone()),
        part: part.part.clone(),
        from: *from,
        to: *to,
    })
}

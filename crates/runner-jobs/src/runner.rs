//! Drives one job from where it stands to its end. Every step is recorded before the next one begins, so that any process can go on.

use std::sync::Arc;
use std::time::Duration;

use runner_core::commit::{Committer, Committers, Fence, LoadContext};
use runner_core::engine::{Engine, RunContext, RunStatus};
use runner_core::fault;
use runner_core::feed::{DriftDecision, DriftRecord};
use runner_core::job::{BlockedOn, Claim, Failure, Job, JobState, JobStore, Transition};
use runner_core::part::Output;
use runner_core::progress::{ProgressEvent, ProgressSink};
use runner_core::report::Report;
use runner_core::transition::DRIFT_GATE;
use runner_core::{
    Cancel, Checkpoints, Clock, Error, ErrorKind, FeedStore, Part, Result, Retry, SecretStore,
    SubmissionId,
};
use runner_plan::LoadPlan;
use runner_plan::model::{ColumnSource, RowPath, RowPathStep};
use runner_spec::model::WriteMode;

use crate::drift::{Needs, judge};
use crate::gates::{measure, worst};
use crate::lease::{Heartbeat, Stop};
use crate::loads::{input_name, load_context, parts_of};
use crate::report::report;

/// A page of chain outcomes.
const CHAINS_PER_PAGE: u32 = 1_000;
/// Cursors set in one transaction.
const CURSORS_PER_STEP: usize = 1_000;
/// The gate that thresholds are.
const QUALITY_GATE: &str = "quality";
/// The gate that keeps a replace from emptying a table by mistake.
const REPLACE_GATE: &str = "replace";

/// What a job needs of the world.
#[derive(Clone)]
pub struct Ports {
    pub jobs: Arc<dyn JobStore>,
    pub checkpoints: Arc<dyn Checkpoints>,
    pub feeds: Arc<dyn FeedStore>,
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

/// Why a job did not go on.
enum Halt {
    /// It failed: nothing is committed, and the sealed rows stay if a later attempt can use them.
    Failed {
        error: Error,
        blocked_by: Option<&'static str>,
        keeps_parts: bool,
    },
    /// It is left as it stands for another attempt.
    Left(Error),
}

impl From<Error> for Halt {
    /// What fails for a passing reason can go on from its last checkpoint.
    fn from(error: Error) -> Self {
        let keeps_parts = error.retry() != Retry::Never;
        Self::Failed {
            error,
            blocked_by: None,
            keeps_parts,
        }
    }
}

impl JobRunner {
    pub fn new(ports: Ports) -> Self {
        Self {
            ports,
            lease: Duration::from_secs(60),
            commit_tries: 5,
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
        let outcome = self.drive(claim, &cancel, &heartbeat).await;
        let left = match outcome {
            Ok(()) => None,
            Err(Halt::Left(error)) => {
                // The claim may be lost already, and then there is nothing to give back.
                let _ = self.ports.jobs.record(claim, Transition::Released).await;
                Some(error)
            }
            Err(Halt::Failed {
                error,
                blocked_by,
                keeps_parts,
            }) => {
                self.fail(claim, &error, blocked_by, keeps_parts).await?;
                Some(error)
            }
        };
        drop(heartbeat);
        let job = self.job(claim).await?;
        if job.state.is_terminal() && job.parts == runner_core::job::PartsState::Leftover {
            self.discard(claim, &job).await?;
        }
        report(&self.ports, claim, &self.job(claim).await?, left).await
    }

    async fn drive(
        &self,
        claim: &Claim,
        cancel: &Cancel,
        heartbeat: &Heartbeat,
    ) -> Result<(), Halt> {
        let job = self.job(claim).await?;
        if matches!(
            job.state,
            JobState::Queued | JobState::Preparing | JobState::Running
        ) {
            self.extract(claim, &job, cancel, heartbeat).await?;
        }
        let job = self.job(claim).await?;
        if matches!(job.state, JobState::Running | JobState::Gating) {
            self.record(claim, Transition::To(JobState::Gating)).await?;
            self.gate(claim, &job).await?;
            self.prepare(claim, &job).await?;
        }
        let job = self.job(claim).await?;
        if job.state == JobState::Committing {
            self.commit(claim, &job).await?;
            self.advance(claim, &job).await?;
            self.record(claim, Transition::Completed).await?;
        }
        Ok(())
    }

    async fn extract(
        &self,
        claim: &Claim,
        job: &Job,
        cancel: &Cancel,
        heartbeat: &Heartbeat,
    ) -> Result<(), Halt> {
        let engine = &self.ports.engine;
        if job.state == JobState::Queued {
            self.record(claim, Transition::To(JobState::Preparing))
                .await?;
        }
        let artifact = engine.compile(&job.plan)?;
        let submission = job
            .submission
            .clone()
            .unwrap_or_else(SubmissionId::generate);
        self.record(claim, Transition::Submitting(submission.clone()))
            .await?;
        let context = RunContext {
            claim: claim.clone(),
            feed: job.feed.clone(),
            seq: job.seq,
            plan: Arc::new(job.plan.clone()),
            nominal_time: job.nominal_time,
            checkpoints: Arc::clone(&self.ports.checkpoints),
            feeds: Arc::clone(&self.ports.feeds),
            secrets: Arc::clone(&self.ports.secrets),
            clock: Arc::clone(&self.ports.clock),
            progress: Arc::clone(&self.ports.progress),
            cancel: cancel.clone(),
        };
        fault::point("first_page.before");
        let handle = engine.submit(&artifact, submission, &context).await?;
        self.record(claim, Transition::Submitted(handle.clone()))
            .await?;
        self.record(claim, Transition::To(JobState::Running))
            .await?;
        let limit = job.plan.limits.job_timeout_ms.map(Duration::from_millis);
        let ended = match limit {
            None => engine.wait(&handle, &context).await,
            Some(limit) => tokio::select! {
                ended = engine.wait(&handle, &context) => ended,
                () = self.ports.clock.sleep(limit) => {
                    cancel.cancel();
                    engine.cancel(&handle).await?;
                    // It stops at its next page, with what it has sealed.
                    engine.wait(&handle, &context).await?;
                    let error = Error::new(ErrorKind::Timeout, format!("the run took longer than {} s", limit.as_secs()))
                        .with_help("raise `global_config.runtime_timeout_minutes`, or run it again: it goes on where it stopped");
                    return Err(Halt::Failed { error, blocked_by: None, keeps_parts: true });
                }
            },
        };
        match ended? {
            RunStatus::Sealed => Ok(()),
            RunStatus::Failed(error) => Err(error.into()),
            RunStatus::Running | RunStatus::Unknown => Err(Halt::Left(Error::new(
                ErrorKind::Engine,
                "the engine does not know how the run ended",
            ))),
            RunStatus::Cancelled if heartbeat.stopped() == Some(Stop::CancelRequested) => {
                self.record(claim, Transition::Cancelled).await?;
                Err(Halt::Left(Error::new(ErrorKind::Cancelled, "the job was cancelled")))
            }
            RunStatus::Cancelled if heartbeat.stopped() == Some(Stop::Lost) => Err(Halt::Left(Error::new(
                ErrorKind::Conflict,
                "the lease on the job was lost: another process has it, or it can be resumed",
            ))),
            RunStatus::Cancelled => Err(Halt::Left(
                Error::new(ErrorKind::Cancelled, "the run was interrupted; what it has read is kept")
                    .with_help(format!("`ingestion-runner jobs resume {}` goes on, and so does running the document again", claim.job)),
            )),
        }
    }

    /// Quality, drift and the guard of a replace, over everything that was read.
    async fn gate(&self, claim: &Claim, job: &Job) -> Result<(), Halt> {
        self.stage("gates");
        fault::point("gates");
        let mut totals = Vec::new();
        for name in measured(job) {
            totals.push((
                name.to_owned(),
                self.ports
                    .checkpoints
                    .resume_state(claim, name)
                    .await?
                    .totals,
            ));
        }
        let measurements = measure(&job.plan.gates, &totals);
        if job.plan.gates.block_on_quality_drop
            && let Some(broken) = worst(&measurements)
        {
            let error = Error::new(
                ErrorKind::Quality,
                format!(
                    "{} of `{}` is {:.4}, below its threshold of {}: {}; nothing was committed",
                    broken.gate,
                    broken.stream,
                    broken.value.unwrap_or_default(),
                    broken.threshold,
                    broken.explanation
                ),
            )
            .with_help(format!(
                "`ingestion-runner quarantine show {}` lists the rows and their reasons",
                job.id
            ));
            return Err(Halt::Failed {
                error,
                blocked_by: Some(QUALITY_GATE),
                keeps_parts: false,
            });
        }
        self.gate_drift(claim, job).await?;
        self.gate_replace(claim, job, &totals).await
    }

    async fn gate_drift(&self, claim: &Claim, job: &Job) -> Result<(), Halt> {
        let state = self.ports.feeds.state(&job.feed).await?;
        let mut refused = Vec::new();
        for stream in &job.plan.streams {
            let observed = self
                .ports
                .checkpoints
                .resume_state(claim, &stream.name)
                .await?
                .observed;
            let needed = needed_fields(stream);
            let needs = Needs {
                fields: &needed,
                sample_size: u64::from(stream.sample_size),
            };
            let blocks = job.plan.gates.block_on_schema_drift;
            let accepted = state.accepted.get(&stream.name);
            let judgement = judge(&observed, accepted, job.plan.compatibility, blocks, needs);
            if judgement.decision == DriftDecision::Blocked {
                refused.extend(
                    judgement
                        .refused
                        .iter()
                        .map(|change| format!("{}.{}", stream.name, change.field)),
                );
            }
            if !judgement.changes.is_empty() {
                let record = DriftRecord {
                    job: job.id.clone(),
                    stream: stream.name.clone(),
                    at: self.ports.clock.now(),
                    changes: judgement.changes,
                    decision: judgement.decision,
                };
                self.ports.feeds.record_drift(claim, &record).await?;
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        let error = Error::new(
            ErrorKind::Drift,
            format!("the source's schema changed in a way that is not accepted: {}; nothing was committed", refused.join(", ")),
        )
        .with_help(format!(
            "`drift show {0}` tells what changed; after `drift accept {0}`, `jobs resume {1}` commits the rows that were read",
            job.feed.name, job.id
        ));
        Err(Halt::Failed {
            error,
            blocked_by: Some(DRIFT_GATE),
            keeps_parts: true,
        })
    }

    /// A replace that read less than everything would take away what it didn't read.
    async fn gate_replace(
        &self,
        claim: &Claim,
        job: &Job,
        totals: &[(String, runner_core::checkpoint::Totals)],
    ) -> Result<(), Halt> {
        for load in job
            .plan
            .loads
            .iter()
            .filter(|load| load.write_mode == WriteMode::Replace && !load.allow_empty)
        {
            let mut rows = 0;
            for input in &load.inputs {
                let name = input_name(input);
                let sums = totals
                    .iter()
                    .find(|(stream, _)| stream == name)
                    .map(|(_, totals)| totals.clone());
                let sums = match sums {
                    Some(sums) => sums,
                    None => {
                        self.ports
                            .checkpoints
                            .resume_state(claim, name)
                            .await?
                            .totals
                    }
                };
                rows += sums.rows_passed;
                let cut_off = sums
                    .chains_ended
                    .iter()
                    .find(|(end, count)| is_cut_off(end) && **count > 0);
                if let Some((end, count)) = cut_off {
                    let message = format!(
                        "`{}` can't be replaced: {count} request chains of `{name}` were cut off ({end}); nothing was committed",
                        load.table
                    );
                    return Err(replace_refused(message));
                }
            }
            if rows == 0 {
                let message = format!(
                    "`{}` can't be replaced: the run read no row; nothing was committed",
                    load.table
                );
                return Err(replace_refused(message));
            }
        }
        Ok(())
    }

    async fn prepare(&self, claim: &Claim, job: &Job) -> Result<(), Halt> {
        self.stage("prepare");
        fault::point("prepare");
        let parts = self.ports.checkpoints.parts(claim).await?;
        let mut prepared = Vec::with_capacity(job.plan.loads.len());
        for load in &job.plan.loads {
            let (committer, context) = self.committer(claim, job, load).await?;
            let ready = committer
                .prepare(&context, parts_of(load, &parts))
                .await
                .map_err(|error| at_load(error, load))?;
            prepared.push((load.id.clone(), ready));
        }
        self.record(claim, Transition::Committing(prepared)).await
    }

    async fn commit(&self, claim: &Claim, job: &Job) -> Result<(), Halt> {
        let fence = Fence {
            seq: job.seq,
            attempt: claim.attempt,
        };
        for state in job.loads.iter().filter(|state| !state.is_settled()) {
            let Some(load) = job.plan.loads.iter().find(|load| load.id == state.load) else {
                return Err(Halt::Left(Error::new(
                    ErrorKind::Internal,
                    format!("the plan has no load `{}`", state.load),
                )));
            };
            self.stage(&format!("commit {}", load.table));
            let parts = state.prepared.clone().unwrap_or_default();
            self.commit_load(claim, job, load, &fence, &parts).await?;
        }
        Ok(())
    }

    async fn commit_load(
        &self,
        claim: &Claim,
        job: &Job,
        load: &LoadPlan,
        fence: &Fence,
        parts: &[Part],
    ) -> Result<(), Halt> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (committer, context) = self.committer(claim, job, load).await.map_err(left)?;
            fault::commit_point(&load.id, "before");
            match committer.commit(fence, &context, parts).await {
                Ok(written) => {
                    fault::commit_point(&load.id, "after");
                    let change = Transition::Committed {
                        load: load.id.clone(),
                        written,
                    };
                    return self.ports.jobs.record(claim, change).await.map_err(left);
                }
                Err(error) => {
                    let error = at_load(error, load);
                    let again = error.retry() != Retry::Never && tries < self.commit_tries;
                    let wait = Duration::from_millis(500) * 2_u32.pow(tries.min(6));
                    let blocked = BlockedOn {
                        load: load.id.clone(),
                        message: error.chain(),
                        tries,
                        retry_at: chrono::TimeDelta::from_std(wait)
                            .ok()
                            .map(|wait| self.ports.clock.now() + wait),
                    };
                    self.ports
                        .jobs
                        .record(claim, Transition::BlockedOn(Some(blocked)))
                        .await
                        .map_err(left)?;
                    if !again {
                        let help = format!(
                            "the rows are kept: `jobs retry {0}` tries again, `jobs abandon {0} --sink {1} --reason R` gives this sink up",
                            job.id, load.id
                        );
                        return Err(Halt::Left(error.with_help(help)));
                    }
                    self.ports.clock.sleep(wait).await;
                }
            }
        }
    }

    /// Cursors, schemas and accepted drift move only once every sink has its rows.
    async fn advance(&self, claim: &Claim, job: &Job) -> Result<(), Halt> {
        fault::point("cursor");
        if job.plan.moves_cursor {
            for stream in job
                .plan
                .streams
                .iter()
                .filter(|stream| stream.incremental.is_some())
            {
                self.advance_cursors(claim, job, &stream.name)
                    .await
                    .map_err(left)?;
            }
        }
        let mut state = self.ports.feeds.state(&job.feed).await.map_err(left)?;
        for stream in &job.plan.streams {
            let found = self
                .ports
                .checkpoints
                .resume_state(claim, &stream.name)
                .await
                .map_err(left)?;
            if let Some(schema) = found.schema {
                state.schemas.insert(stream.name.clone(), schema);
            }
            let accepted = match state.accepted.get(&stream.name) {
                Some(accepted) => crate::drift::union(accepted, &found.observed),
                None => found.observed,
            };
            state.accepted.insert(stream.name.clone(), accepted);
        }
        self.ports
            .feeds
            .advance(claim, Some(&state), &[])
            .await
            .map_err(left)
    }

    async fn advance_cursors(&self, claim: &Claim, job: &Job, stream: &str) -> Result<()> {
        let mut after = None;
        let mut of_value: Vec<runner_core::checkpoint::ChainOutcome> = Vec::new();
        let mut cursors = Vec::new();
        loop {
            let page = self
                .ports
                .checkpoints
                .chain_outcomes(claim, stream, after.as_ref(), CHAINS_PER_PAGE)
                .await?;
            let is_end = page.is_empty();
            after = page.last().map(|outcome| outcome.chain.clone());
            for outcome in page {
                if of_value
                    .first()
                    .is_some_and(|first| first.chain.value != outcome.chain.value)
                {
                    cursors.extend(crate::cursors::moved(stream, &job.id, &of_value));
                    of_value.clear();
                }
                of_value.push(outcome);
            }
            if is_end {
                cursors.extend(crate::cursors::moved(stream, &job.id, &of_value));
            }
            if cursors.len() >= CURSORS_PER_STEP || is_end && !cursors.is_empty() {
                self.ports.feeds.advance(claim, None, &cursors).await?;
                cursors.clear();
            }
            if is_end {
                return Ok(());
            }
        }
    }

    async fn fail(
        &self,
        claim: &Claim,
        error: &Error,
        blocked_by: Option<&'static str>,
        keeps_parts: bool,
    ) -> Result<()> {
        let failure = Failure {
            kind: error.kind(),
            message: error.chain(),
            help: error.help().map(str::to_owned),
        };
        let blocked_by = blocked_by.map(str::to_owned);
        let change = if error.kind() == ErrorKind::Timeout && !keeps_parts {
            Transition::TimedOut
        } else {
            Transition::Failed {
                failure,
                blocked_by,
                keeps_parts,
            }
        };
        self.ports.jobs.record(claim, change).await
    }

    /// Takes away what no target refers to. Runs only after the end was recorded; twice is fine.
    async fn discard(&self, claim: &Claim, job: &Job) -> Result<()> {
        let parts = self.ports.checkpoints.parts(claim).await?;
        let staged: Vec<_> = parts
            .iter()
            .filter(|part| matches!(part.output, Output::Stage(_)))
            .cloned()
            .collect();
        self.ports
            .committers
            .discard_staged(&job.plan, &staged)
            .await?;
        for load in &job.plan.loads {
            let of_load = parts_of(load, &parts);
            let state = job.loads.iter().find(|state| state.load == load.id);
            let is_held = state.is_some_and(|state| state.abandoned.is_some());
            if of_load.is_empty() || is_held {
                continue;
            }
            self.ports
                .committers
                .committer(&job.plan, load)
                .await?
                .discard(&of_load)
                .await?;
        }
        self.ports.jobs.discarded(&job.id).await
    }

    async fn committer(
        &self,
        claim: &Claim,
        job: &Job,
        load: &LoadPlan,
    ) -> Result<(Arc<dyn Committer>, LoadContext)> {
        let committer = self.ports.committers.committer(&job.plan, load).await?;
        Ok((
            committer,
            load_context(&self.ports, claim, job, load).await?,
        ))
    }

    async fn job(&self, claim: &Claim) -> Result<Job> {
        self.ports
            .jobs
            .get(&claim.tenant, &claim.job)
            .await?
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    format!("there is no job `{}`", claim.job),
                )
            })
    }

    async fn record(&self, claim: &Claim, change: Transition) -> Result<(), Halt> {
        // A claim that is no longer valid must not end the job of the one who has it now.
        self.ports.jobs.record(claim, change).await.map_err(left)
    }

    fn stage(&self, name: &str) {
        self.ports.progress.event(ProgressEvent::Stage {
            name: name.to_owned(),
        });
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

fn left(error: Error) -> Halt {
    Halt::Left(error)
}

fn at_load(error: Error, load: &LoadPlan) -> Error {
    if error.context().iter().any(|(name, _)| *name == "sink") {
        return error;
    }
    error.with_context("sink", &load.id)
}

fn replace_refused(message: String) -> Halt {
    let error = Error::new(ErrorKind::Quality, message)
        .with_help("set `allow_empty: true` where this is meant");
    Halt::Failed {
        error,
        blocked_by: Some(REPLACE_GATE),
        keeps_parts: false,
    }
}

fn is_cut_off(end: &str) -> bool {
    matches!(end, "max_pages" | "row_limit" | "skipped")
}

/// Streams and transforms that gates measure.
fn measured(job: &Job) -> impl Iterator<Item = &str> {
    let streams = job.plan.streams.iter().map(|stream| stream.name.as_str());
    streams.chain(
        job.plan
            .transforms
            .iter()
            .map(|transform| transform.name.as_str()),
    )
}

/// Top-level source fields of mapped columns: a run without them has lost something.
fn needed_fields(stream: &runner_plan::StreamPlan) -> Vec<String> {
    stream
        .columns
        .known
        .iter()
        .filter_map(|column| match &column.source {
            ColumnSource::Field(RowPath::Steps(steps)) => match steps.first() {
                Some(RowPathStep::Name(name)) => Some(name.clone()),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

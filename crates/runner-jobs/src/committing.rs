//! Two phases: every sink prepares before any commits, and each commit is recorded singly.

use std::time::Duration;

use runner_core::commit::{Committer, Fence, LoadContext};
use runner_core::job::{BlockedOn, Job, Transition};
use runner_core::{Error, ErrorKind, Result, Retry, fault};
use runner_plan::LoadPlan;

use crate::attempt::{Attempt, Halt};
use crate::loads::{load_context, parts_of, sealed_parts};

/// The first wait after a commit that failed; doubled by each that follows.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long other workers leave a job alone whose sink did not come back within this attempt.
const PAUSE: Duration = Duration::from_mins(5);
/// The same for a sink that refused for good: an operator has to look at it.
const LONG_PAUSE: Duration = Duration::from_hours(1);

impl Attempt<'_> {
    pub(crate) async fn prepare(&self, job: &Job) -> Result<(), Halt> {
        self.stage("prepare");
        fault::point("prepare.before");
        let parts = sealed_parts(self.ports, self.claim, job).await?;
        let mut prepared = Vec::with_capacity(job.plan.loads.len());
        for load in &job.plan.loads {
            self.go_on()?;
            let (committer, context) = self.committer(job, load).await?;
            let ready = committer
                .prepare(&context, parts_of(load, &parts))
                .await
                .map_err(|error| at_load(error, load))?;
            prepared.push((load.id.clone(), ready));
        }
        fault::point("prepare.after");
        match self.record(Transition::Committing(prepared)).await {
            // From here on the job can only go forward: who asked it to stop before that is obeyed.
            Err(Halt::Left(error)) if error.kind() == ErrorKind::Cancelled => Err(Halt::Cancelled),
            recorded => recorded,
        }
    }

    /// Makes one load visible, trying again while that can help.
    pub(crate) async fn commit(&self, job: &Job, load: &str) -> Result<(), Halt> {
        let load = job
            .plan
            .loads
            .iter()
            .find(|known| known.id == load)
            .ok_or_else(|| Halt::Left(unknown(load)))?;
        let mut tries = 0;
        loop {
            self.interrupted()?;
            self.stage(&format!("commit {}", load.table));
            tries += 1;
            let outcome = self.while_held(self.commit_once(job, load)).await?;
            let error = match outcome {
                Ok(()) => return Ok(()),
                Err(error) => at_load(error, load),
            };
            let wait = wait(&error, tries).filter(|_| tries < self.runner.commit_tries);
            self.block(job, load, &error, tries, wait).await?;
            let Some(wait) = wait else {
                return Err(Halt::Left(given_up(error, job, load)));
            };
            tokio::select! {
                () = self.ports.clock.sleep(wait) => {}
                () = self.cancel.cancelled() => {}
            }
        }
    }

    /// The commit and its record: a crash between the two is met by the target's own mark.
    async fn commit_once(&self, job: &Job, load: &LoadPlan) -> Result<()> {
        let fence = Fence {
            seq: job.seq,
            attempt: self.claim.attempt,
        };
        let state = job.loads.iter().find(|state| state.load == load.id);
        let parts = state
            .and_then(|state| state.prepared.as_deref())
            .unwrap_or_default();
        let (committer, context) = self.committer(job, load).await?;
        fault::commit_point(&load.id, "before");
        let written = committer.commit(&fence, &context, parts).await?;
        fault::commit_point(&load.id, "after");
        let change = Transition::Committed {
            load: load.id.clone(),
            written,
        };
        self.ports.jobs.record(self.claim, change).await
    }

    /// Says in the job what it waits for, and until when other workers leave it alone.
    async fn block(
        &self,
        job: &Job,
        load: &LoadPlan,
        error: &Error,
        tries: u32,
        wait: Option<Duration>,
    ) -> Result<(), Halt> {
        let earlier = job
            .blocked_on
            .as_ref()
            .filter(|blocked| blocked.load == load.id)
            .map_or(0, |blocked| blocked.tries);
        let pause = match (wait, error.retry()) {
            (Some(wait), _) => wait,
            (None, Retry::Never) => LONG_PAUSE,
            (None, Retry::WithBackoff | Retry::After(_)) => PAUSE,
        };
        let blocked = BlockedOn {
            load: load.id.clone(),
            message: error.chain(),
            tries: earlier + tries,
            retry_at: chrono::TimeDelta::from_std(pause)
                .ok()
                .map(|pause| self.ports.clock.now() + pause),
        };
        self.record(Transition::BlockedOn(Some(blocked))).await
    }

    /// Between commits the user's interrupt is obeyed; a caller's request came too late.
    fn interrupted(&self) -> Result<(), Halt> {
        match self.stopped() {
            Halt::Left(error) if self.cancel.is_cancelled() => Err(Halt::Left(error)),
            _ => Ok(()),
        }
    }

    async fn committer(
        &self,
        job: &Job,
        load: &LoadPlan,
    ) -> Result<(std::sync::Arc<dyn Committer>, LoadContext)> {
        let committer = self.ports.committers.committer(&job.plan, load).await?;
        let context = load_context(self.ports, self.claim, job, load).await?;
        Ok((committer, context))
    }
}

/// How long to wait before the next try; none where another try can't help, or would have to wait too long.
fn wait(error: &Error, tries: u32) -> Option<Duration> {
    let doubled = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
    match error.retry() {
        Retry::Never => None,
        Retry::WithBackoff => Some(doubled.min(LONGEST_WAIT)),
        Retry::After(wait) => Some(wait).filter(|wait| *wait <= LONGEST_WAIT),
    }
}

fn given_up(error: Error, job: &Job, load: &LoadPlan) -> Error {
    let advice = format!(
        "the rows are kept: `jobs retry {0}` tries again, `jobs abandon {0} --sink {1} --reason R` gives this sink up",
        job.id, load.id
    );
    let help = match error.help() {
        Some(help) => format!("{help}; {advice}"),
        None => advice,
    };
    error.with_help(help)
}

fn at_load(error: Error, load: &LoadPlan) -> Error {
    if error.context().iter().any(|(name, _)| *name == "sink") {
        return error;
    }
    error.with_context("sink", &load.id)
}

fn unknown(load: &str) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("the plan of the job has no load `{load}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_obey_the_target() {
        let with = |retry: Retry| Error::new(ErrorKind::Sink, "no").with_retry(retry);
        for (retry, tries, expected) in [
            (Retry::WithBackoff, 1, Some(500)),
            (Retry::WithBackoff, 3, Some(2_000)),
            (Retry::WithBackoff, 1_000, Some(30_000)),
            (Retry::After(Duration::from_secs(7)), 1, Some(7_000)),
            (Retry::After(Duration::from_secs(31)), 1, None),
            (Retry::Never, 1, None),
        ] {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(
                wait(&with(retry), tries),
                expected,
                "{retry:?} after {tries}"
            );
        }
    }
}

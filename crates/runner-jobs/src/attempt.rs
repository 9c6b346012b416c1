//! One attempt at a job: what it works with, and the ways in which it can come to a stop.

use std::time::Duration;

use runner_core::job::{Claim, Failure, Job, Transition};
use runner_core::progress::ProgressEvent;
use runner_core::{Cancel, Error, ErrorKind, Result};

use crate::lease::{Heartbeat, Stop};
use crate::runner::{JobRunner, Ports};
use crate::step;

/// An attempt that holds the job's claim.
pub(crate) struct Attempt<'a> {
    pub(crate) runner: &'a JobRunner,
    pub(crate) ports: &'a Ports,
    pub(crate) claim: &'a Claim,
    pub(crate) cancel: &'a Cancel,
    pub(crate) heartbeat: &'a Heartbeat,
    /// By the monotonic clock; none where the job may take any time.
    pub(crate) deadline: Option<Duration>,
}

/// Why a job did not go on.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It failed, and nothing is committed.
    Failed {
        error: Error,
        blocked_by: Option<&'static str>,
        keeps_parts: bool,
    },
    TimedOut,
    /// A caller asked for it.
    Cancelled,
    /// It is left as it stands for another attempt.
    Left(Error),
}

impl From<Error> for Halt {
    /// A failure on the way to `committing`.
    fn from(error: Error) -> Self {
        let keeps_parts = step::keeps_parts(&error);
        Self::Failed {
            error,
            blocked_by: None,
            keeps_parts,
        }
    }
}

impl Attempt<'_> {
    pub(crate) async fn job(&self) -> Result<Job> {
        let found = self
            .ports
            .jobs
            .get(&self.claim.tenant, &self.claim.job)
            .await?;
        found.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("there is no job `{}`", self.claim.job),
            )
        })
    }

    /// A claim that is no longer valid must not end the job of the one who has it now: so the job is left.
    pub(crate) async fn record(&self, change: Transition) -> Result<(), Halt> {
        self.ports
            .jobs
            .record(self.claim, change)
            .await
            .map_err(Halt::Left)
    }

    pub(crate) fn stage(&self, name: &str) {
        self.ports.progress.event(ProgressEvent::Stage {
            name: name.to_owned(),
        });
    }

    /// Does something that may be repeated by a later attempt, unless it is told to stop or takes too long.
    pub(crate) async fn interruptible<T>(
        &self,
        work: impl Future<Output = Result<T, Halt>>,
    ) -> Result<T, Halt> {
        self.go_on()?;
        // In this order: of a job whose time is over it is told, and not that its work was told to stop as well. Whether it is still
        // this attempt's to end is for the store to say.
        tokio::select! {
            biased;
            done = work => done,
            () = self.overdue() => Err(Halt::TimedOut),
            () = self.cancel.cancelled() => Err(self.stopped()),
        }
    }

    /// Does something that only the end of the lease interrupts.
    pub(crate) async fn while_held<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<Result<T>, Halt> {
        tokio::select! {
            done = work => Ok(done),
            () = self.heartbeat.lost() => Err(self.stopped()),
        }
    }

    /// Whether nobody asked for a stop.
    pub(crate) fn go_on(&self) -> Result<(), Halt> {
        let is_overdue = self
            .deadline
            .is_some_and(|deadline| self.ports.clock.monotonic() >= deadline);
        if is_overdue {
            return Err(Halt::TimedOut);
        }
        if self.cancel.is_cancelled() {
            return Err(self.stopped());
        }
        Ok(())
    }

    /// Completes when the job has taken too long.
    pub(crate) async fn overdue(&self) {
        match self.deadline {
            None => std::future::pending().await,
            Some(deadline) => {
                let left = deadline.saturating_sub(self.ports.clock.monotonic());
                self.ports.clock.sleep(left).await;
            }
        }
    }

    /// Why the work was told to stop.
    pub(crate) fn stopped(&self) -> Halt {
        match self.heartbeat.stopped() {
            Some(Stop::CancelRequested) => Halt::Cancelled,
            Some(Stop::Lost) => Halt::Left(
                Error::new(
                    ErrorKind::Conflict,
                    "the lease on the job was lost: another process may have it",
                )
                .with_help(format!(
                    "`jobs show {0}` tells who goes on with it, `jobs resume {0}` does if nobody does",
                    self.claim.job
                )),
            ),
            None => Halt::Left(
                Error::new(
                    ErrorKind::Cancelled,
                    "the run was interrupted; what it has read is kept",
                )
                .with_help(format!(
                    "`ingestion-runner jobs resume {}` goes on, and so does running the document again",
                    self.claim.job
                )),
            ),
        }
    }

    /// Records how the attempt ended, and returns why, where the job has not ended well. What can't be recorded leaves the job as it
    /// stands: the claim is another's, or the store is gone.
    pub(crate) async fn conclude(&self, outcome: Result<(), Halt>) -> Option<Error> {
        let Err(halt) = outcome else {
            return None;
        };
        let (error, change) = self.conclusion(halt);
        let recorded = self.ports.jobs.record(self.claim, change.clone()).await;
        match (recorded, change) {
            // A claim that is lost has nothing to give back.
            (Ok(()), _) | (Err(_), Transition::Released) => Some(error),
            (Err(refused), _) => Some(refused.with_context("while recording", error.chain())),
        }
    }

    fn conclusion(&self, halt: Halt) -> (Error, Transition) {
        match halt {
            Halt::Failed {
                error,
                blocked_by,
                keeps_parts,
            } => {
                let error = match (keeps_parts, blocked_by) {
                    (true, None) if error.help().is_none() => error.with_help(format!(
                        "`ingestion-runner jobs resume {}` goes on with what was read",
                        self.claim.job
                    )),
                    _ => error,
                };
                let change = Transition::Failed {
                    failure: failure(&error),
                    blocked_by: blocked_by.map(str::to_owned),
                    keeps_parts,
                };
                (error, change)
            }
            Halt::TimedOut => {
                let error = Error::new(ErrorKind::Timeout, "the job took longer than it may")
                    .with_help(format!(
                        "raise `global_config.runtime_timeout_minutes`; `ingestion-runner jobs resume {}` goes on with what was read",
                        self.claim.job
                    ));
                let change = Transition::TimedOut {
                    failure: failure(&error),
                    keeps_parts: true,
                };
                (error, change)
            }
            Halt::Cancelled => (
                Error::new(ErrorKind::Cancelled, "the job was cancelled").with_help(
                    "what it had read is given up; run the document again to begin anew",
                ),
                Transition::Cancelled,
            ),
            Halt::Left(error) => (error, Transition::Released),
        }
    }
}

fn failure(error: &Error) -> Failure {
    Failure {
        kind: error.kind(),
        message: error.chain(),
        help: error.help().map(str::to_owned),
    }
}

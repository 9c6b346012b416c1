//! Which changes of a job are legal, and what each does to it. Every store applies these functions inside the transaction that stores
//! their result, so no store can have rules of its own.

use chrono::{DateTime, Utc};

use crate::commit::Written;
use crate::engine::RunHandle;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::SubmissionId;
use crate::job::{BlockedOn, Failure, Job, JobState, LoadState, PartsState};
use crate::part::Part;

/// Gate that keeps the parts of a run which it blocked.
pub const DRIFT_GATE: &str = "drift";

/// A change of a job by the worker that holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum Transition {
    /// To `preparing`, `running` or `gating`.
    To(JobState),
    /// Written before anything is sent to an engine; renewed only when the earlier submission is known to have ended.
    Submitting(SubmissionId),
    Submitted(RunHandle),
    /// To `committing`, with what `prepare` returned for every load.
    Committing(Vec<(String, Vec<Part>)>),
    Committed {
        load: String,
        written: Written,
    },
    /// A sink that can't commit yet; none once it can.
    BlockedOn(Option<BlockedOn>),
    Completed,
    Failed {
        failure: Failure,
        blocked_by: Option<String>,
        /// Sealed parts stay, so that the job can be reopened.
        keeps_parts: bool,
    },
    Cancelled,
    TimedOut {
        failure: Failure,
        keeps_parts: bool,
    },
    /// The parts that nothing refers to are gone.
    Discarded,
    /// Gives the claim back without ending the job, so that another worker may go on.
    Released,
}

/// A change of a job by a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intervention {
    Cancel {
        /// Whether a worker holds the job: then it is asked, else the job is cancelled at once.
        is_held: bool,
    },
    Reopen,
    Abandon {
        load: String,
        reason: String,
    },
}

impl Transition {
    /// The name of the event that the job's history keeps of it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::To(state) => state.as_str(),
            Self::Submitting(_) => "submitting",
            Self::Submitted(_) => "submitted",
            Self::Committing(_) => "committing",
            Self::Committed { .. } => "committed",
            Self::BlockedOn(Some(_)) => "blocked",
            Self::BlockedOn(None) => "unblocked",
            Self::Completed => "completed",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut { .. } => "timed_out",
            Self::Discarded => "discarded",
            Self::Released => "released",
        }
    }

    /// Changes the job, or says why it can't. Repeating a change that has been made is legal and changes nothing, since a worker
    /// can't know the outcome of a call whose answer was lost.
    pub fn apply(self, job: &mut Job, now: DateTime<Utc>) -> Result<()> {
        match self {
            Self::To(state) => move_to(job, state, now),
            Self::Submitting(submission) => {
                require(job, &[JobState::Preparing, JobState::Running], "submit")?;
                if job.submission.as_ref() != Some(&submission) {
                    job.submission = Some(submission);
                    job.run = None;
                }
                Ok(())
            }
            Self::Submitted(run) => submitted(job, run),
            Self::Committing(prepared) => committing(job, prepared),
            Self::Committed { load, written } => committed(job, &load, written),
            Self::BlockedOn(blocked) => {
                require(job, &[JobState::Committing], "wait for a sink")?;
                job.blocked_on = blocked;
                Ok(())
            }
            Self::Completed => completed(job, now),
            Self::Failed {
                failure,
                blocked_by,
                keeps_parts,
            } => {
                let is_repeat = job.state == JobState::Failed;
                unsuccessful(job, JobState::Failed, failure, keeps_parts, now)?;
                if !is_repeat {
                    job.blocked_by = blocked_by;
                }
                Ok(())
            }
            Self::Cancelled => end(job, JobState::Cancelled, now),
            Self::TimedOut {
                failure,
                keeps_parts,
            } => unsuccessful(job, JobState::TimedOut, failure, keeps_parts, now),
            Self::Discarded => discarded(job),
            Self::Released => {
                if job.state.is_terminal() {
                    return Err(illegal(job, "release"));
                }
                job.lease_expires_at = None;
                Ok(())
            }
        }
    }
}

impl Intervention {
    /// The name that the audit keeps of it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cancel { .. } => "cancel",
            Self::Reopen => "reopen",
            Self::Abandon { .. } => "abandon",
        }
    }

    pub fn apply(self, job: &mut Job, now: DateTime<Utc>) -> Result<()> {
        match self {
            Self::Cancel { is_held } => cancel(job, is_held, now),
            Self::Reopen => reopen(job),
            Self::Abandon { load, reason } => abandon(job, &load, reason),
        }
    }
}

fn move_to(job: &mut Job, state: JobState, now: DateTime<Utc>) -> Result<()> {
    use JobState::{
        Cancelled, Committing, Completed, Failed, Gating, Preparing, Queued, Running, TimedOut,
    };
    let is_legal = match state {
        Preparing => matches!(job.state, Queued | Preparing),
        Running => matches!(job.state, Preparing | Running),
        Gating => matches!(job.state, Running | Gating),
        // The others carry what they need in a transition of their own.
        Queued | Committing | Completed | Failed | Cancelled | TimedOut => false,
    };
    if !is_legal {
        return Err(illegal(job, state.as_str()));
    }
    job.state = state;
    job.started_at.get_or_insert(now);
    Ok(())
}

fn submitted(job: &mut Job, run: RunHandle) -> Result<()> {
    require(job, &[JobState::Preparing, JobState::Running], "submit")?;
    if job.submission.as_ref() != Some(&run.submission) {
        return Err(Error::new(
            ErrorKind::Internal,
            format!(
                "job `{}` has not stored submission `{}` before it was sent",
                job.id, run.submission
            ),
        ));
    }
    job.run = Some(run);
    Ok(())
}

fn committing(job: &mut Job, prepared: Vec<(String, Vec<Part>)>) -> Result<()> {
    if job.state == JobState::Committing {
        // What one attempt has begun to make visible, no other may prepare again.
        let same = prepared.len() == job.loads.len()
            && prepared.iter().all(|(load, parts)| {
                job.loads
                    .iter()
                    .any(|stored| stored.load == *load && stored.prepared.as_ref() == Some(parts))
            });
        return if same {
            Ok(())
        } else {
            Err(illegal(job, "prepare again"))
        };
    }
    require(job, &[JobState::Gating], "commit")?;
    // Whoever asked for a stop was told that it will come: from here on it could not.
    if job.cancel_requested {
        return Err(Error::new(
            ErrorKind::Cancelled,
            format!("job `{}` was asked to stop", job.id),
        ));
    }
    job.state = JobState::Committing;
    job.loads = prepared
        .into_iter()
        .map(|(load, parts)| LoadState {
            load,
            prepared: Some(parts),
            written: None,
            abandoned: None,
        })
        .collect();
    Ok(())
}

fn committed(job: &mut Job, load: &str, written: Written) -> Result<()> {
    require(job, &[JobState::Committing], "record a commit")?;
    let id = job.id.clone();
    let stored = load_of(job, load)?;
    if let Some(reason) = &stored.abandoned {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("load `{load}` of job `{id}` was abandoned: {reason}"),
        ));
    }
    // The first record stands: a repeat says `already_done` and counts nothing.
    stored.written.get_or_insert(written);
    job.blocked_on = None;
    Ok(())
}

fn completed(job: &mut Job, now: DateTime<Utc>) -> Result<()> {
    if job.state == JobState::Completed {
        return Ok(());
    }
    require(job, &[JobState::Committing], "complete")?;
    if let Some(open) = job.loads.iter().find(|load| !load.is_settled()) {
        return Err(Error::new(
            ErrorKind::Internal,
            format!(
                "job `{}` can't complete: load `{}` is not committed",
                job.id, open.load
            ),
        ));
    }
    job.partial = job.loads.iter().any(|load| load.abandoned.is_some());
    job.state = JobState::Completed;
    job.blocked_on = None;
    job.parts = PartsState::Leftover;
    job.ended_at = Some(now);
    job.lease_expires_at = None;
    Ok(())
}

fn unsuccessful(
    job: &mut Job,
    state: JobState,
    failure: Failure,
    keeps_parts: bool,
    now: DateTime<Utc>,
) -> Result<()> {
    if job.state == state {
        return Ok(());
    }
    end(job, state, now)?;
    job.failure = Some(failure);
    if keeps_parts {
        job.parts = PartsState::Kept;
    }
    Ok(())
}

fn end(job: &mut Job, state: JobState, now: DateTime<Utc>) -> Result<()> {
    if job.state == state {
        return Ok(());
    }
    if job.state.is_terminal() || job.state == JobState::Committing {
        return Err(illegal(job, state.as_str()));
    }
    job.state = state;
    job.parts = PartsState::Leftover;
    job.ended_at = Some(now);
    job.lease_expires_at = None;
    Ok(())
}

fn discarded(job: &mut Job) -> Result<()> {
    match job.parts {
        PartsState::Live => Err(illegal(job, "discard")),
        PartsState::Kept => Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "the parts of job `{}` are kept, so that it can be resumed",
                job.id
            ),
        )),
        PartsState::Leftover | PartsState::Discarded => {
            job.parts = PartsState::Discarded;
            Ok(())
        }
    }
}

fn cancel(job: &mut Job, is_held: bool, now: DateTime<Utc>) -> Result<()> {
    if job.state == JobState::Committing {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("job `{}` is committing and can only go forward", job.id),
        )
        .with_help(format!(
            "`jobs retry {0}` tries its sinks again; `jobs abandon {0} --sink S --reason R` gives one up",
            job.id
        )));
    }
    if job.state.is_terminal() || is_held {
        job.cancel_requested |= !job.state.is_terminal();
        return Ok(());
    }
    end(job, JobState::Cancelled, now)
}

fn reopen(job: &mut Job) -> Result<()> {
    match job.state {
        JobState::Committing => {
            if let Some(blocked) = &mut job.blocked_on {
                blocked.retry_at = None;
            }
            Ok(())
        }
        JobState::Failed | JobState::TimedOut if job.parts == PartsState::Kept => {
            // The rows of a run that drift blocked were read whole: only the gates look again.
            job.state = if job.blocked_by.is_some() {
                JobState::Gating
            } else {
                JobState::Running
            };
            job.failure = None;
            job.blocked_by = None;
            job.parts = PartsState::Live;
            job.cancel_requested = false;
            job.ended_at = None;
            // Whoever asks for more work grants the time for it.
            job.worked_us = 0;
            // The engine's run ended with the failure.
            if job.state == JobState::Running {
                job.submission = None;
                job.run = None;
            }
            Ok(())
        }
        JobState::Failed | JobState::TimedOut => Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "job `{}` has ended ({}) and kept no rows to go on with",
                job.id,
                job.state.as_str()
            ),
        )
        .with_help(format!(
            "`jobs show {}` tells why; mend that, and run the document again",
            job.id
        ))),
        JobState::Completed => Err(nothing_to_resume(job)),
        JobState::Cancelled => Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "job `{}` was cancelled: what it had read is given up",
                job.id
            ),
        )
        .with_help("run the document again: it begins anew")),
        // Nothing to do: a claim goes on where it stands.
        JobState::Queued | JobState::Preparing | JobState::Running | JobState::Gating => Ok(()),
    }
}

fn nothing_to_resume(job: &Job) -> Error {
    let abandoned = job.loads.iter().find(|load| load.abandoned.is_some());
    let help = match abandoned {
        Some(load) => format!(
            "`jobs replay {} --sink {}` loads the rows of the sink that was given up",
            job.id, load.load
        ),
        None => "run the document again to load what is new".to_owned(),
    };
    Error::new(
        ErrorKind::Conflict,
        format!("job `{}` is completed: there is nothing left to do", job.id),
    )
    .with_help(help)
}

fn abandon(job: &mut Job, load: &str, reason: String) -> Result<()> {
    let id = job.id.clone();
    require(job, &[JobState::Committing], "give up a sink").map_err(|error| {
        error.with_help(if job.state.is_terminal() {
            format!("only a job that waits for a sink has one to give up; `jobs show {id}` tells how this one ended")
        } else {
            format!("only a job that waits for a sink has one to give up; `jobs cancel {id}` stops this one")
        })
    })?;
    let stored = load_of(job, load)?;
    if stored.written.is_some() {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("load `{load}` of job `{id}` is committed already"),
        ));
    }
    stored.abandoned.get_or_insert(reason);
    job.blocked_on = None;
    Ok(())
}

fn load_of<'a>(job: &'a mut Job, load: &str) -> Result<&'a mut LoadState> {
    let known: Vec<_> = job
        .loads
        .iter()
        .map(|stored| format!("`{}`", stored.load))
        .collect();
    let id = job.id.clone();
    job.loads
        .iter_mut()
        .find(|stored| stored.load == load)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("job `{id}` has no load `{load}`"),
            )
            .with_help(format!("its loads are {}", known.join(", ")))
        })
}

fn require(job: &Job, states: &[JobState], what: &str) -> Result<()> {
    if states.contains(&job.state) {
        Ok(())
    } else {
        Err(illegal(job, what))
    }
}

fn illegal(job: &Job, what: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "job `{}` is {}: it can't {what}",
            job.id,
            job.state.as_str()
        ),
    )
}

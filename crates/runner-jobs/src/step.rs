//! What a job needs next, and what becomes of it when something fails. Pure: the stored job decides, not what a process remembers.

use runner_core::job::{Job, JobState};
use runner_core::{Error, ErrorKind, Retry};

/// The next thing to do for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Have the engine read and seal everything.
    Extract,
    /// Judge what was sealed, and let every sink prepare.
    Gate,
    /// Make one load visible.
    Commit(String),
    /// Move the cursors, and end the job well.
    Finish,
    /// Nothing: the job has ended.
    Ended,
}

/// What to do next for the job as it is stored.
pub fn next(job: &Job) -> Step {
    match job.state {
        JobState::Queued | JobState::Preparing | JobState::Running => Step::Extract,
        JobState::Gating => Step::Gate,
        JobState::Committing => job
            .loads
            .iter()
            .find(|load| !load.is_settled())
            .map_or(Step::Finish, |load| Step::Commit(load.load.clone())),
        JobState::Completed | JobState::Failed | JobState::Cancelled | JobState::TimedOut => {
            Step::Ended
        }
    }
}

/// Whether what was sealed can still be of use after this failure: then it stays for `jobs resume`. What follows from the document
/// or from the rows themselves comes out the same the next time.
pub fn keeps_parts(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Config
        | ErrorKind::Auth
        | ErrorKind::Secret
        | ErrorKind::Forbidden
        | ErrorKind::RateLimited
        | ErrorKind::SourceUnavailable
        | ErrorKind::Engine
        | ErrorKind::Sink
        | ErrorKind::Timeout
        | ErrorKind::Drift => true,
        ErrorKind::Spec
        | ErrorKind::SourceData
        | ErrorKind::Quality
        | ErrorKind::Cancelled
        | ErrorKind::Conflict
        | ErrorKind::NotFound
        | ErrorKind::Internal => error.retry() != Retry::Never,
    }
}

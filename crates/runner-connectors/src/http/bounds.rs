//! What stops everything that waits: a cancel, the job's deadline, and a limit of the wait's own.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use runner_core::{Blame, Cancel, Clock, Error, ErrorKind, Result, Retry};

/// The bounds of a run; every await of a source stands inside them.
#[derive(Clone, Debug)]
pub(crate) struct RunBounds {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cancel: Cancel,
    /// By [`Clock::monotonic`].
    pub(crate) deadline: Option<Duration>,
}

impl RunBounds {
    /// The future's output, unless the run ends first.
    pub(crate) async fn run<F: Future>(&self, future: F) -> Result<F::Output> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            stop = self.stopped() => Err(stop),
        }
    }

    /// The future's output, or none where it takes longer than `limit`.
    pub(crate) async fn within<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> Result<Option<F::Output>> {
        tokio::select! {
            biased;
            output = future => Ok(Some(output)),
            stop = self.stopped() => Err(stop),
            () = self.clock.sleep(limit) => Ok(None),
        }
    }

    pub(crate) async fn sleep(&self, duration: Duration) -> Result<()> {
        self.run(self.clock.sleep(duration)).await
    }

    /// Whether the job still runs at that moment.
    pub(crate) fn allow(&self, until: Duration) -> bool {
        self.deadline.is_none_or(|deadline| until < deadline)
    }

    /// Completes with the reason when the run has to end.
    async fn stopped(&self) -> Error {
        let deadline = async {
            match self.deadline {
                Some(deadline) => {
                    let left = deadline.saturating_sub(self.clock.monotonic());
                    self.clock.sleep(left).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.cancel.cancelled() => Error::new(ErrorKind::Cancelled, "the run was cancelled"),
            () = deadline => Error::new(ErrorKind::Timeout, "the job's time is over")
                .with_retry(Retry::Never)
                .with_blame(Blame::User)
                .with_help("raise `global_config.runtime_timeout_minutes`; what has been read so far is kept, and resuming goes on from there"),
        }
    }
}

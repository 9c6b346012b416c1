//! The lease on a job: renewed in the background, and lost before anybody else can have it.

use std::sync::Arc;
use std::time::Duration;

use runner_core::job::{Beat, Claim, JobStore};
use runner_core::{Cancel, Clock};
use tokio::task::JoinHandle;

/// Beats in one lease: two may fail.
const BEATS_PER_LEASE: u32 = 6;

/// Why the work was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A caller asked for it.
    CancelRequested,
    /// The lease is lost, or too little of it is left to go on writing.
    Lost,
}

/// Renews a lease until it is dropped.
pub(crate) struct Heartbeat {
    task: JoinHandle<()>,
    stop: Arc<std::sync::Mutex<Option<Stop>>>,
}

impl Heartbeat {
    /// Cancels `cancel` when the work has to stop.
    pub(crate) fn start(
        store: Arc<dyn JobStore>,
        clock: Arc<dyn Clock>,
        claim: Claim,
        lease: Duration,
        cancel: Cancel,
    ) -> Self {
        let stop = Arc::new(std::sync::Mutex::new(None));
        let told = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let reason = beat(store.as_ref(), clock.as_ref(), &claim, lease).await;
            *told
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(reason);
            cancel.cancel();
        });
        Self { task, stop }
    }

    pub(crate) fn stopped(&self) -> Option<Stop> {
        *self
            .stop
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn beat(store: &dyn JobStore, clock: &dyn Clock, claim: &Claim, lease: Duration) -> Stop {
    // By this process's own clock: the store's may jump, and a paused process must notice by itself.
    let mut renewed = clock.monotonic();
    loop {
        clock.sleep(lease / BEATS_PER_LEASE).await;
        let asked = clock.monotonic();
        match store.heartbeat(claim, lease).await {
            Ok(Beat::Continue) => renewed = asked,
            Ok(Beat::CancelRequested) => return Stop::CancelRequested,
            Ok(Beat::Lost) => return Stop::Lost,
            // A store that can't be reached for a moment costs nothing until the lease is nearly over.
            Err(_) => {}
        }
        if clock.monotonic().saturating_sub(renewed) > lease * 2 / 3 {
            return Stop::Lost;
        }
    }
}

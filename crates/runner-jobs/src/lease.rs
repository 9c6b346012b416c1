//! The lease on a job: renewed in the background, and given up before anybody else can have it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use runner_core::job::{Beat, Claim, JobStore};
use runner_core::{Cancel, Clock};
use tokio::task::JoinHandle;

/// Beats in one lease: three may fail before too little of it is left.
const BEATS_PER_LEASE: u32 = 6;

/// Why the work was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A caller asked for it.
    CancelRequested,
    /// The lease is lost, or less than a third of it is left: nothing may be written any more.
    Lost,
}

/// Renews a lease until it is dropped.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    task: JoinHandle<()>,
    signal: Signal,
}

/// What the heartbeat tells the work.
#[derive(Clone, Debug)]
struct Signal {
    stop: Arc<Mutex<Option<Stop>>>,
    lost: Cancel,
    /// The work's own; it stops for either reason.
    cancel: Cancel,
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
        let signal = Signal {
            stop: Arc::default(),
            lost: Cancel::new(),
            cancel,
        };
        let told = signal.clone();
        let started = clock.monotonic();
        let task = tokio::spawn(async move {
            beat(
                store.as_ref(),
                clock.as_ref(),
                &claim,
                lease,
                started,
                &told,
            )
            .await;
            told.say(Stop::Lost);
        });
        Self { task, signal }
    }

    pub(crate) fn stopped(&self) -> Option<Stop> {
        *self.signal.lock()
    }

    /// Completes when nothing may be written any more.
    pub(crate) async fn lost(&self) {
        self.signal.lost.cancelled().await;
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Signal {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Stop>> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, stop: Stop) {
        *self.lock() = Some(stop);
        if stop == Stop::Lost {
            self.lost.cancel();
        }
        self.cancel.cancel();
    }
}

/// Returns when the lease, which began no later than `renewed`, is lost. Time is this process's own: the store's clock may jump, and the store may not answer at all.
async fn beat(
    store: &dyn JobStore,
    clock: &dyn Clock,
    claim: &Claim,
    lease: Duration,
    mut renewed: Duration,
    signal: &Signal,
) {
    let usable = lease * 2 / 3;
    loop {
        // The lease begins when the store answers, so counting from the question errs on the safe side.
        let asked = clock.monotonic();
        let left = (renewed + usable).saturating_sub(asked);
        let answer = tokio::select! {
            biased;
            answer = store.heartbeat(claim, lease) => answer,
            () = clock.sleep(left) => return,
        };
        match answer {
            Ok(Beat::Continue) => renewed = asked,
            Ok(Beat::CancelRequested) => {
                renewed = asked;
                // The lease is kept while the work stops.
                signal.say(Stop::CancelRequested);
            }
            Ok(Beat::Lost) => return,
            // A store that can't be reached for a moment costs nothing until too little is left.
            Err(_) => {}
        }
        if clock.monotonic() >= renewed + usable {
            return;
        }
        clock.sleep(lease / BEATS_PER_LEASE).await;
    }
}

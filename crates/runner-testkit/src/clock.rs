//! A clock that stands until a test moves it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_core::Clock;
use tokio::sync::oneshot;

/// Wall and monotonic time move together, and only by [`ManualClock::advance`].
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    elapsed: Duration,
    /// By deadline and order of arrival.
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
    arrivals: u64,
}

impl ManualClock {
    pub fn new() -> Self {
        Self::default()
    }

    /// When the clock began.
    pub fn epoch() -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default()
    }

    /// Moves time on and wakes whoever waited for it.
    pub fn advance(&self, by: Duration) {
        let mut inner = self.lock();
        inner.elapsed += by;
        let later = inner.elapsed + Duration::from_nanos(1);
        let remaining = inner.sleepers.split_off(&(later, 0));
        let due = std::mem::replace(&mut inner.sleepers, remaining);
        drop(inner);
        for (_, sleeper) in due {
            // A sleeper that gave up is no concern.
            let _ = sleeper.send(());
        }
    }

    /// Moves time to the next moment that anyone waits for; `false` where nobody waits.
    pub fn advance_to_next(&self) -> bool {
        let mut inner = self.lock();
        inner.sleepers.retain(|_, sleeper| !sleeper.is_closed());
        let Some((deadline, _)) = inner.sleepers.keys().next().copied() else {
            return false;
        };
        let by = deadline.saturating_sub(inner.elapsed);
        drop(inner);
        self.advance(by);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        Self::epoch() + self.lock().elapsed
    }

    fn monotonic(&self) -> Duration {
        self.lock().elapsed
    }

    async fn sleep(&self, duration: Duration) {
        let woken = {
            let mut inner = self.lock();
            let (sender, woken) = oneshot::channel();
            let key = (inner.elapsed + duration, inner.arrivals);
            inner.arrivals += 1;
            inner.sleepers.insert(key, sender);
            woken
        };
        // The sender is dropped only with the clock.
        let _ = woken.await;
    }
}

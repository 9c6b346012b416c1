//! Rate limits: one bucket per tenant, provider and group, shared by every stream and job of the process.
//!
//! A bucket spaces requests evenly at the declared rate, stands still for as long as the server asks, slows down when the server
//! says it was asked too much, and recovers by and by. It is our own since `governor`'s rate can't change while requests wait.

mod bucket;
mod headers;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use runner_core::progress::Waiting;
use runner_core::{Error, ErrorKind, Result, Retry};

use super::bounds::RunBounds;
use crate::meter::StreamMeter;

use bucket::Bucket;
pub(crate) use headers::ServerLimits;

/// Shorter waits are the ordinary spacing of requests, and nobody needs to see them.
const SHOWN_FROM: Duration = Duration::from_millis(500);

/// Every limiter of the process; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct RateLimits {
    limiters: Arc<Mutex<HashMap<LimiterKey, Arc<Limiter>>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LimiterKey {
    pub(crate) tenant: String,
    pub(crate) provider: String,
    pub(crate) group: String,
}

/// One bucket, and the queue before it.
#[derive(Debug)]
pub(crate) struct Limiter {
    bucket: Mutex<Bucket>,
    /// Held by the request whose turn it is, so that requests go out in the order in which they came.
    turn: tokio::sync::Mutex<()>,
}

impl RateLimits {
    /// The limiter of this group; where several streams declare different rates, the lowest holds.
    pub(crate) fn limiter(&self, key: LimiterKey, per_second: Option<f64>) -> Arc<Limiter> {
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        let limiter = limiters.entry(key).or_insert_with(|| {
            Arc::new(Limiter {
                bucket: Mutex::new(Bucket::default()),
                turn: tokio::sync::Mutex::new(()),
            })
        });
        if let Some(per_second) = per_second {
            limiter.change(|bucket| bucket.declare(per_second));
        }
        Arc::clone(limiter)
    }
}

impl Limiter {
    /// Waits for this request's turn, visibly, for at most `patience`; gives the time of the grant.
    pub(crate) async fn acquire(
        &self,
        bounds: &RunBounds,
        meter: &StreamMeter,
        patience: Duration,
    ) -> Result<Duration> {
        let started = bounds.clock.monotonic();
        let _turn = {
            // Others wait before this one: it is shown as waiting for as long as they are known to.
            let _shown = self.turn.try_lock().is_err().then(|| {
                let until = self.change(|bucket| bucket.free_at());
                show(bounds, meter, until)
            });
            bounds.run(self.turn.lock()).await?
        };
        loop {
            let now = bounds.clock.monotonic();
            let Err(until) = self.change(|bucket| bucket.take(now)) else {
                return Ok(now);
            };
            if until.saturating_sub(started) > patience || !bounds.allow(until) {
                return Err(too_long(until.saturating_sub(now)));
            }
            let _shown = show(bounds, meter, until);
            bounds.sleep(until.saturating_sub(now)).await?;
        }
    }

    /// The server refused a request that was sent at `sent_at`: everything stands still for `pause`, and goes slower after it.
    pub(crate) fn slow_down(
        &self,
        sent_at: Duration,
        now: Duration,
        pause: Duration,
        limits: &ServerLimits,
    ) {
        self.change(|bucket| {
            bucket.slow_down(sent_at, now, limits.policy_per_second);
            bucket.block(now + pause);
        });
    }

    /// A request succeeded; the server may have said that it was the last one for now.
    pub(crate) fn succeeded(&self, now: Duration, limits: &ServerLimits) {
        self.change(|bucket| {
            bucket.recover(now);
            if let Some(pause) = limits.exhausted_for {
                bucket.block(now + pause);
            }
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Bucket) -> T) -> T {
        // A bucket is plain numbers: a panic elsewhere leaves it usable.
        change(&mut self.bucket.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn show(bounds: &RunBounds, meter: &StreamMeter, until: Duration) -> Option<crate::meter::Wait> {
    let left = until.saturating_sub(bounds.clock.monotonic());
    (left >= SHOWN_FROM).then(|| {
        let left = chrono::TimeDelta::from_std(left).unwrap_or(chrono::TimeDelta::MAX);
        let until = bounds.clock.now().checked_add_signed(left);
        meter.wait(Waiting::RateLimit {
            until_ms: until.map_or(i64::MAX, |until| until.timestamp_millis()),
        })
    })
}

fn too_long(left: Duration) -> Error {
    Error::new(
        ErrorKind::RateLimited,
        format!(
            "the API asks to wait {} seconds more, longer than this run may",
            left.as_secs()
        ),
    )
    .with_retry(Retry::After(left))
    .with_help("resume the job later, or lower `rate_limit_per_second` so that the API's limit is not reached")
}

#[cfg(test)]
mod tests;

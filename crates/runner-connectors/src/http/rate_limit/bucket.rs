//! One bucket as plain numbers: it is told the time and never waits.

use std::collections::VecDeque;
use std::time::Duration;

/// How late a grant may come without the following ones being late too: the scheduler's delay must not lower the rate.
const SLACK: Duration = Duration::from_millis(20);
/// Time without a refusal after which the rate grows by [`GROWTH`].
const RECOVERY_INTERVAL: Duration = Duration::from_secs(2);
const GROWTH: f64 = 1.15;
/// The slowest that refusals make it, in requests per second, unless less is declared.
const SLOWEST: f64 = 1.0 / 60.0;
/// Grants that the present rate is measured from.
const MEASURED: usize = 32;
/// Without a declared rate the limit goes away when it has grown to this many times the rate that was refused.
const FORGOTTEN_AT: f64 = 4.0;

#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Requests per second that the document allows.
    declared: Option<f64>,
    /// Requests per second now; none is "as fast as answers come".
    limit: Option<f64>,
    /// The rate at which the server first refused, where none is declared.
    refused_at: Option<f64>,
    next_at: Duration,
    blocked_until: Duration,
    last_change: Duration,
    slowed_at: Option<Duration>,
    grants: VecDeque<Duration>,
}

impl Bucket {
    pub(super) fn declare(&mut self, per_second: f64) {
        if per_second.is_finite() && per_second > 0.0 {
            let declared = self
                .declared
                .map_or(per_second, |known| known.min(per_second));
            self.declared = Some(declared);
            self.limit = Some(self.limit.map_or(declared, |limit| limit.min(declared)));
        }
    }

    /// Takes a grant, or says when to ask again.
    pub(super) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let free_at = self.free_at();
        if free_at > now {
            return Err(free_at);
        }
        if let Some(limit) = self.limit {
            let interval = Duration::try_from_secs_f64(1.0 / limit).unwrap_or(Duration::MAX);
            let is_on_time = now.saturating_sub(self.next_at) <= SLACK;
            let scheduled = if is_on_time { self.next_at } else { now };
            self.next_at = scheduled.saturating_add(interval);
        }
        if self.grants.len() == MEASURED {
            self.grants.pop_front();
        }
        self.grants.push_back(now);
        Ok(())
    }

    pub(super) fn free_at(&self) -> Duration {
        self.next_at.max(self.blocked_until)
    }

    /// Nothing goes out before this time.
    pub(super) fn block(&mut self, until: Duration) {
        self.blocked_until = self.blocked_until.max(until);
    }

    /// Halves the rate, once for all the requests that were under way together.
    pub(super) fn slow_down(
        &mut self,
        sent_at: Duration,
        now: Duration,
        policy_per_second: Option<f64>,
    ) {
        if self.slowed_at.is_some_and(|slowed_at| sent_at <= slowed_at) {
            return;
        }
        let rate = self.limit.unwrap_or_else(|| self.measured(now));
        if self.declared.is_none() && self.refused_at.is_none() {
            self.refused_at = Some(rate);
        }
        let slowest = self
            .declared
            .map_or(SLOWEST, |declared| declared.min(SLOWEST));
        let mut limit = (rate / 2.0).max(slowest);
        if let Some(policy) = policy_per_second {
            limit = limit.min(policy.max(slowest));
        }
        self.limit = Some(limit);
        self.slowed_at = Some(now);
        self.last_change = now;
    }

    /// A request went well: after a while without refusals the rate grows again.
    pub(super) fn recover(&mut self, now: Duration) {
        let (Some(limit), Some(_)) = (self.limit, self.slowed_at) else {
            return;
        };
        let since = now.saturating_sub(self.last_change.max(self.blocked_until));
        if since < RECOVERY_INTERVAL {
            return;
        }
        self.last_change = now;
        let steps = (since.as_secs_f64() / RECOVERY_INTERVAL.as_secs_f64()).min(100.0);
        let grown = limit * GROWTH.powf(steps.floor());
        match (self.declared, self.refused_at) {
            (Some(declared), _) if grown >= declared => {
                self.limit = Some(declared);
                self.slowed_at = None;
            }
            (None, Some(refused_at)) if grown >= refused_at * FORGOTTEN_AT => {
                self.limit = None;
                self.refused_at = None;
                self.slowed_at = None;
            }
            _ => self.limit = Some(grown),
        }
    }

    /// Requests per second lately.
    fn measured(&self, now: Duration) -> f64 {
        let (Some(first), Ok(count)) = (self.grants.front(), u32::try_from(self.grants.len()))
        else {
            return 1.0;
        };
        // Less than a second says too little about a rate.
        f64::from(count) / now.saturating_sub(*first).as_secs_f64().max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Grants within `span` when every waiter comes back exactly when told.
    fn grants(bucket: &mut Bucket, from: Duration, span: Duration) -> Vec<Duration> {
        let mut now = from;
        let mut granted = Vec::new();
        while now < from + span {
            match bucket.take(now) {
                Ok(()) => granted.push(now),
                Err(until) => now = until,
            }
        }
        granted
    }

    #[test]
    fn a_declared_rate_is_never_exceeded_in_any_second() {
        let mut bucket = Bucket::default();
        bucket.declare(5.0);
        let granted = grants(&mut bucket, ms(100), ms(10_000));
        assert_eq!(granted.len(), 50);
        for window in granted.windows(6) {
            assert!(
                window[5].saturating_sub(window[0]) >= ms(1000),
                "{window:?}"
            );
        }
    }

    #[test]
    fn the_lowest_declared_rate_holds() {
        let mut bucket = Bucket::default();
        bucket.declare(50.0);
        bucket.declare(2.0);
        bucket.declare(10.0);
        assert_eq!(grants(&mut bucket, ms(0), ms(5_000)).len(), 10);
    }

    #[test]
    fn a_rate_that_is_no_rate_is_no_limit() {
        for per_second in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let mut bucket = Bucket::default();
            bucket.declare(per_second);
            assert_eq!(bucket.take(ms(1)), Ok(()));
            assert_eq!(bucket.take(ms(1)), Ok(()));
        }
    }

    #[test]
    fn nothing_goes_out_while_blocked() {
        let mut bucket = Bucket::default();
        bucket.block(ms(3_000));
        bucket.block(ms(1_000));
        assert_eq!(bucket.take(ms(2_999)), Err(ms(3_000)));
        assert_eq!(bucket.take(ms(3_000)), Ok(()));
    }

    #[test]
    fn refusals_of_requests_under_way_together_halve_the_rate_once() {
        let mut bucket = Bucket::default();
        bucket.declare(8.0);
        for _ in 0..6 {
            bucket.slow_down(ms(1_000), ms(1_100), None);
        }
        assert_eq!(bucket.limit, Some(4.0));
        bucket.slow_down(ms(1_200), ms(1_300), None);
        assert_eq!(bucket.limit, Some(2.0));
    }

    #[test]
    fn a_slowed_bucket_recovers_to_what_is_declared() {
        let mut bucket = Bucket::default();
        bucket.declare(8.0);
        bucket.slow_down(ms(0), ms(10), None);
        bucket.recover(ms(1_000));
        assert_eq!(bucket.limit, Some(4.0), "too early");
        for second in 2..40 {
            bucket.recover(ms(second * 1_000));
        }
        assert_eq!(bucket.limit, Some(8.0));
    }

    #[test]
    fn without_a_declared_rate_the_limit_is_learned_and_forgotten() {
        let mut bucket = Bucket::default();
        for step in 0..20 {
            assert_eq!(bucket.take(ms(step * 100)), Ok(()));
        }
        bucket.slow_down(ms(1_900), ms(2_000), None);
        assert_eq!(bucket.limit, Some(5.0), "half of ten a second");
        for second in 2..80 {
            bucket.recover(ms(second * 1_000));
        }
        assert_eq!(bucket.limit, None);
    }

    #[test]
    fn the_servers_own_policy_bounds_the_learned_rate() {
        let mut bucket = Bucket::default();
        for step in 0..20 {
            assert_eq!(bucket.take(ms(step * 100)), Ok(()));
        }
        bucket.slow_down(ms(1_900), ms(2_000), Some(0.5));
        assert_eq!(bucket.limit, Some(0.5));
    }
}

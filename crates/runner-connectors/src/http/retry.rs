//! How often and how soon a page is tried again.

use std::time::Duration;

use chrono::TimeDelta;
use runner_core::progress::Waiting;
use runner_core::{Error, ErrorKind, Result, Retry};
use runner_plan::model::RetryPolicy;

use super::bounds::RunBounds;
use super::failure::{Cause, Failure, Recovery};
use super::rate_limit::Limiter;
use crate::meter::StreamMeter;

/// What is tried again where the plan doesn't say.
const USUAL: [&str; 8] = [
    "408",
    "425",
    "500",
    "502",
    "503",
    "504",
    "timeout",
    "connection",
];
/// How long a page waits for a rate limit in all, where the server says for how long.
const STATED_PATIENCE: Duration = Duration::from_hours(24);
/// The same where the server only says no.
const BLIND_PATIENCE: Duration = Duration::from_hours(1);
const LONGEST_BLIND_PAUSE: Duration = Duration::from_mins(1);

/// The tries of one page.
#[derive(Debug)]
pub(super) struct Tries<'a> {
    policy: &'a RetryPolicy,
    bounds: &'a RunBounds,
    meter: &'a StreamMeter,
    limiter: &'a Limiter,
    retries: u32,
    has_new_token: bool,
    refusals: u32,
    first_refusal: Option<Duration>,
    patience: Duration,
}

impl<'a> Tries<'a> {
    pub(super) fn new(
        policy: &'a RetryPolicy,
        bounds: &'a RunBounds,
        meter: &'a StreamMeter,
        limiter: &'a Limiter,
    ) -> Self {
        Self {
            policy,
            bounds,
            meter,
            limiter,
            retries: 0,
            has_new_token: false,
            refusals: 0,
            first_refusal: None,
            patience: STATED_PATIENCE,
        }
    }

    /// How long the next try may wait for its turn.
    pub(super) fn patience(&self) -> Duration {
        let waited = self.first_refusal.map_or(Duration::ZERO, |first| {
            self.bounds.clock.monotonic().saturating_sub(first)
        });
        self.patience.saturating_sub(waited)
    }

    /// Waits for as long as the failure asks, or gives it back where another try is no use.
    pub(super) async fn recover(&mut self, failure: Failure) -> Result<()> {
        match failure.recovery {
            Recovery::Nothing => Err(failure.error),
            Recovery::NewToken if self.has_new_token => Err(failure.error),
            Recovery::NewToken => {
                self.has_new_token = true;
                Ok(())
            }
            Recovery::Retry(cause) => self.retry(cause, failure.error).await,
            Recovery::Wait {
                pause,
                limits,
                sent_at,
            } => {
                self.meter.count_rate_limit_hit();
                let now = self.bounds.clock.monotonic();
                let first = *self.first_refusal.get_or_insert(now);
                self.refusals += 1;
                if pause.is_none() {
                    self.patience = BLIND_PATIENCE;
                }
                let pause = pause.unwrap_or_else(|| self.blind_pause());
                self.limiter.slow_down(sent_at, now, pause, &limits);
                let waited = (now + pause).saturating_sub(first);
                if waited > self.patience {
                    return Err(failure
                        .error
                        .with_retry(Retry::After(pause))
                        .with_context("waited_s", now.saturating_sub(first).as_secs()));
                }
                // The limiter stands still now: the next try waits there, with all the others of its group.
                Ok(())
            }
        }
    }

    async fn retry(&mut self, cause: Cause, error: Error) -> Result<()> {
        if !covers(self.policy, cause) {
            return Err(error);
        }
        if self.retries >= self.policy.max_retries {
            return Err(error.with_context("tries", self.retries + 1));
        }
        let pause = backoff(self.policy, self.retries);
        self.retries += 1;
        let until =
            self.bounds.clock.now() + TimeDelta::from_std(pause).unwrap_or(TimeDelta::zero());
        tracing::debug!(%cause, attempt = self.retries, pause_ms = pause.as_millis(), "request is tried again");
        let _shown = self.meter.wait(Waiting::Retry {
            attempt: self.retries,
            until_ms: until.timestamp_millis(),
            reason: cause.to_string(),
        });
        self.bounds.sleep(pause).await
    }

    fn blind_pause(&self) -> Duration {
        let seconds = 2_u64.saturating_pow(self.refusals.min(16) - 1);
        let longest = Duration::from_secs(seconds).min(LONGEST_BLIND_PAUSE);
        // At least half of it: a server that says no is not asked again at once.
        longest.div_f64(2.0) + jittered(longest.div_f64(2.0))
    }
}

/// Whether the policy names the cause.
fn covers(policy: &RetryPolicy, cause: Cause) -> bool {
    let is_named = |pattern: &str| match cause {
        Cause::Declared(_) => true,
        Cause::Timeout => pattern.eq_ignore_ascii_case("timeout"),
        Cause::Connection => pattern.eq_ignore_ascii_case("connection"),
        Cause::Status(status) => is_status(pattern, status),
    };
    if policy.retry_on.is_empty() {
        return USUAL.into_iter().any(is_named);
    }
    policy.retry_on.iter().any(|pattern| is_named(pattern))
}

/// Whether `503`, or `5xx`, means this status.
pub(super) fn is_status(pattern: &str, status: u16) -> bool {
    let pattern = pattern.trim();
    if let Some(class) = pattern
        .strip_suffix("xx")
        .or_else(|| pattern.strip_suffix("XX"))
    {
        return class.parse() == Ok(status / 100);
    }
    pattern.parse() == Ok(status)
}

/// Exponential, with full jitter: clients that failed together don't come back together.
fn backoff(policy: &RetryPolicy, retries: u32) -> Duration {
    let multiplier = if policy.multiplier.is_finite() {
        policy.multiplier.max(1.0)
    } else {
        1.0
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds, and only a bound for a random number"
    )]
    let longest = (policy.initial_backoff_ms as f64)
        * multiplier.powi(i32::try_from(retries).unwrap_or(i32::MAX));
    let most = Duration::from_millis(policy.max_backoff_ms);
    let longest =
        Duration::try_from_secs_f64(longest / 1000.0).map_or(most, |bound| bound.min(most));
    jittered(longest)
}

fn jittered(longest: Duration) -> Duration {
    longest.mul_f64(rand::random_range(0.0..=1.0))
}

/// The server refuses because too much was asked of it.
pub(super) fn rate_limited(status: u16) -> Error {
    Error::new(
        ErrorKind::RateLimited,
        format!("the API refuses more requests for now (status {status})"),
    )
    .with_help("lower `rate_limit_per_second`, and name the same `rate_limit_group` in every endpoint that shares the API's limit")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use runner_core::progress::NoProgress;
    use runner_core::{Cancel, SystemClock};

    use super::super::rate_limit::{LimiterKey, RateLimits, ServerLimits};
    use super::*;

    fn policy(retry_on: &[&str], max_retries: u32) -> RetryPolicy {
        RetryPolicy {
            max_retries,
            initial_backoff_ms: 1,
            max_backoff_ms: 4,
            multiplier: 2.0,
            retry_on: retry_on.iter().map(ToString::to_string).collect(),
        }
    }

    fn bounds() -> RunBounds {
        RunBounds {
            clock: Arc::new(SystemClock::new()),
            cancel: Cancel::new(),
            deadline: None,
        }
    }

    fn limiter() -> Arc<Limiter> {
        RateLimits::default().limiter(
            LimiterKey {
                tenant: "t".to_owned(),
                provider: "p".to_owned(),
                group: "g".to_owned(),
            },
            None,
        )
    }

    fn error() -> Error {
        Error::new(ErrorKind::SourceUnavailable, "status 503")
    }

    #[test]
    fn a_policy_names_statuses_classes_and_causes() {
        let named = policy(&["503", "4xx", "timeout"], 1);
        assert!(covers(&named, Cause::Status(503)));
        assert!(covers(&named, Cause::Status(418)));
        assert!(covers(&named, Cause::Timeout));
        assert!(covers(&named, Cause::Declared(200)));
        assert!(!covers(&named, Cause::Status(500)));
        assert!(!covers(&named, Cause::Connection));
        let usual = policy(&[], 1);
        assert!(covers(&usual, Cause::Status(503)));
        assert!(covers(&usual, Cause::Connection));
        assert!(!covers(&usual, Cause::Status(404)));
    }

    #[test]
    fn backoff_grows_within_its_bounds() {
        let policy = RetryPolicy {
            max_retries: 9,
            initial_backoff_ms: 100,
            max_backoff_ms: 1_000,
            multiplier: 3.0,
            retry_on: Vec::new(),
        };
        for (retries, most) in [(0, 100), (1, 300), (2, 900), (3, 1_000), (40_000, 1_000)] {
            for _ in 0..50 {
                assert!(backoff(&policy, retries) <= Duration::from_millis(most));
            }
        }
    }

    #[tokio::test]
    async fn retries_are_counted_and_the_error_says_how_many_there_were() {
        let (policy, bounds, limiter) = (policy(&[], 2), bounds(), limiter());
        let meter = StreamMeter::new("s", Arc::new(NoProgress));
        let mut tries = Tries::new(&policy, &bounds, &meter, &limiter);
        for _ in 0..2 {
            tries
                .recover(Failure::retry(Cause::Status(503), error()))
                .await
                .unwrap();
        }
        let error = tries
            .recover(Failure::retry(Cause::Status(503), error()))
            .await
            .unwrap_err();
        assert_eq!(error.context(), [("tries", "3".to_owned())]);
    }

    #[tokio::test]
    async fn waiting_for_a_rate_limit_costs_no_retry_and_has_its_own_end() {
        let (policy, bounds, limiter) = (policy(&[], 0), bounds(), limiter());
        let meter = StreamMeter::new("s", Arc::new(NoProgress));
        let mut tries = Tries::new(&policy, &bounds, &meter, &limiter);
        let refused = |pause| Failure {
            error: rate_limited(429),
            recovery: Recovery::Wait {
                pause,
                limits: ServerLimits::default(),
                sent_at: Duration::ZERO,
            },
        };
        for _ in 0..20 {
            tries
                .recover(refused(Some(Duration::from_millis(1))))
                .await
                .unwrap();
        }
        assert_eq!(meter.rate_limit_hits(), 20);
        let error = tries
            .recover(refused(Some(Duration::from_hours(25))))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert_eq!(error.retry(), Retry::After(Duration::from_hours(25)));
    }

    #[tokio::test]
    async fn a_new_token_is_tried_once() {
        let (policy, bounds, limiter) = (policy(&[], 5), bounds(), limiter());
        let meter = StreamMeter::new("s", Arc::new(NoProgress));
        let mut tries = Tries::new(&policy, &bounds, &meter, &limiter);
        let refused = || Failure {
            error: Error::new(ErrorKind::Auth, "status 401"),
            recovery: Recovery::NewToken,
        };
        tries.recover(refused()).await.unwrap();
        assert_eq!(
            tries.recover(refused()).await.unwrap_err().kind(),
            ErrorKind::Auth
        );
    }
}

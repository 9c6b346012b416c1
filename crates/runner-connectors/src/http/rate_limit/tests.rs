use std::sync::Arc;
use std::time::Duration;

use runner_core::progress::NoProgress;
use runner_core::{Cancel, ErrorKind, Retry, SystemClock};

use super::*;

fn bounds() -> RunBounds {
    RunBounds {
        clock: Arc::new(SystemClock::new()),
        cancel: Cancel::new(),
        deadline: None,
    }
}

fn meter() -> StreamMeter {
    StreamMeter::new("trades", Arc::new(NoProgress))
}

fn key(group: &str) -> LimiterKey {
    LimiterKey {
        tenant: "acme".to_owned(),
        provider: "polygon".to_owned(),
        group: group.to_owned(),
    }
}

const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn streams_of_one_group_share_its_rate() {
    let limits = RateLimits::default();
    let bounds = bounds();
    let started = bounds.clock.monotonic();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let limiter = limits.limiter(key("free"), Some(20.0));
        let bounds = bounds.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..3 {
                limiter.acquire(&bounds, &meter(), PATIENCE).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let took = bounds.clock.monotonic().saturating_sub(started);
    assert!(
        took >= Duration::from_millis(500),
        "12 requests at 20 a second took {took:?}"
    );
}

#[tokio::test]
async fn another_group_is_not_slowed() {
    let limits = RateLimits::default();
    let bounds = bounds();
    let blocked = limits.limiter(key("a"), None);
    blocked.slow_down(
        Duration::ZERO,
        bounds.clock.monotonic(),
        PATIENCE,
        &ServerLimits::default(),
    );
    let free = limits.limiter(key("b"), None);
    free.acquire(&bounds, &meter(), PATIENCE).await.unwrap();
}

#[tokio::test]
async fn rate_limit_is_a_state() {
    let limiter = RateLimits::default().limiter(key("free"), None);
    let bounds = bounds();
    let pause = Duration::from_millis(700);
    limiter.slow_down(
        Duration::ZERO,
        bounds.clock.monotonic(),
        pause,
        &ServerLimits::default(),
    );
    let meter = meter();
    let waiting = {
        let (limiter, bounds, meter) = (Arc::clone(&limiter), bounds.clone(), meter.clone());
        tokio::spawn(async move { limiter.acquire(&bounds, &meter, PATIENCE).await })
    };
    let started = bounds.clock.now().timestamp_millis();
    let shown = loop {
        match meter.progress().waiting {
            Some(Waiting::RateLimit { until_ms }) => break until_ms,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    assert!(
        (started..started + 1_000).contains(&shown),
        "{shown} from {started}"
    );
    waiting.await.unwrap().unwrap();
    meter.update(|_| ());
    assert_eq!(meter.progress().waiting, None);
}

#[tokio::test]
async fn a_wait_beyond_patience_or_deadline_is_an_error_at_once() {
    let limiter = RateLimits::default().limiter(key("free"), None);
    let mut bounds = bounds();
    let hour = Duration::from_hours(1);
    limiter.slow_down(
        Duration::ZERO,
        bounds.clock.monotonic(),
        hour,
        &ServerLimits::default(),
    );
    let impatient = limiter
        .acquire(&bounds, &meter(), PATIENCE)
        .await
        .unwrap_err();
    bounds.deadline = Some(PATIENCE);
    let late = limiter
        .acquire(&bounds, &meter(), hour * 2)
        .await
        .unwrap_err();
    for error in [impatient, late] {
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert!(matches!(error.retry(), Retry::After(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_cancel_ends_a_wait() {
    let limiter = RateLimits::default().limiter(key("free"), None);
    let bounds = bounds();
    let hour = Duration::from_hours(1);
    limiter.slow_down(
        Duration::ZERO,
        bounds.clock.monotonic(),
        hour,
        &ServerLimits::default(),
    );
    let cancel = bounds.cancel.clone();
    let waiting = tokio::spawn(async move { limiter.acquire(&bounds, &meter(), hour * 2).await });
    cancel.cancel();
    assert_eq!(
        waiting.await.unwrap().unwrap_err().kind(),
        ErrorKind::Cancelled
    );
}

//! Stops that somebody asked for: a caller, the user's interrupt, the job's own timeout, a source that is gone.

use std::time::Duration;

use runner_core::ids::Operator;
use runner_core::job::PartsState;
use runner_core::{Cancel, ErrorKind, JobId, JobState};
use runner_testkit::plans::tenant;
use runner_testkit::simulation::{Chaos, Fate};
use runner_testkit::store_contract::LEASE;
use serde_json::json;

use crate::lab::{JOB, Lab, plan, world};

/// A request to cancel comes at each step: the job is cancelled with its tables untouched, or it was refused and the job completes.
#[tokio::test]
async fn a_request_to_cancel_is_kept_or_refused() {
    let mut outcomes = [0, 0];
    for step in 1..100 {
        let lab = Lab::new(world());
        lab.create(plan(|_| {})).await;
        let claim = lab.take_over().await;
        let chaos = Chaos::new(Fate::StopsAt(step));
        let runner = lab.runner(&chaos);
        let mut run = Box::pin(runner.run(&claim, Cancel::new()));
        lab.watch(&mut run, &chaos).await;
        if !chaos.has_stopped() {
            break;
        }
        let asked = lab
            .store
            .request_cancel(&tenant(), &JobId::new(JOB), &Operator::new("ada"))
            .await;
        chaos.wake();
        lab.watch(run, &Chaos::new(Fate::Lives)).await;
        let state = lab.state().await;
        match asked {
            Ok(at) if !at.is_terminal() => {
                assert_eq!(state, JobState::Cancelled, "step {step}");
                lab.assert_untouched(&format!("cancelled at step {step}"));
                lab.assert_clean(&format!("cancelled at step {step}")).await;
                outcomes[0] += 1;
            }
            Ok(_) => assert_eq!(state, JobState::Completed, "step {step}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict);
                lab.assert_loaded(&format!("refused at step {step}")).await;
                outcomes[1] += 1;
            }
        }
    }
    assert!(outcomes[0] > 20 && outcomes[1] > 5, "{outcomes:?}");
}

/// The user's interrupt leaves the job where it stands, free for whoever goes on.
#[tokio::test]
async fn an_interrupt_keeps_what_was_read() {
    for step in [1, 4, 9, 15, 22, 30, 36, 40, 44] {
        let lab = Lab::new(world());
        lab.create(plan(|_| {})).await;
        let claim = lab.take_over().await;
        let chaos = Chaos::new(Fate::StopsAt(step));
        let cancel = Cancel::new();
        let runner = lab.runner(&chaos);
        let mut run = Box::pin(runner.run(&claim, cancel.clone()));
        lab.watch(&mut run, &chaos).await;
        let read = lab.world.requests();
        cancel.cancel();
        chaos.wake();
        let ended = lab.watch(run, &Chaos::new(Fate::Lives)).await.report();
        let what = format!("interrupted at step {step}: {ended:?}");
        let error = ended.error.unwrap();
        assert_eq!(error.kind, ErrorKind::Cancelled, "{what}");
        assert!(error.help.unwrap().contains("jobs resume job-1"));
        let job = lab.job().await;
        assert!(!job.state.is_terminal(), "{what}");
        assert_eq!(job.lease_expires_at, None, "given back: {what}");
        // No lease has to run out first.
        let claim = lab.claim(JOB).await.unwrap();
        let report = lab.run(&claim, &Chaos::new(Fate::Lives)).await.report();
        assert!(report.success, "{what}");
        lab.assert_loaded(&what).await;
        assert!(
            lab.world.requests() <= 12 + 1,
            "{what}, {read} requests before"
        );
    }
}

/// A store that does not answer stops the work before the lease is over, by the worker's own clock.
#[tokio::test]
async fn a_worker_that_cannot_renew_its_lease_stops_in_time() {
    let lab = Lab::new(world());
    lab.create(plan(|_| {})).await;
    let claim = lab.take_over().await;
    let chaos = Chaos::new(Fate::StopsAt(6));
    let runner = lab.runner(&chaos);
    let cancel = Cancel::new();
    let mut run = Box::pin(runner.run(&claim, cancel.clone()));
    lab.watch(&mut run, &chaos).await;
    // Heartbeats get no answer from here on, and time passes.
    lab.clock.advance(LEASE / 2);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(!cancel.is_cancelled());
    lab.clock.advance(LEASE / 3);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(cancel.is_cancelled(), "two thirds of the lease are over");
    // It is still its own, so that nobody else can have begun.
    assert_eq!(lab.claim(JOB).await, None);
}

#[tokio::test]
async fn a_job_that_takes_too_long_times_out_and_can_go_on() {
    let lab = Lab::new(world());
    lab.create(plan(|plan| {
        plan["limits"]["job_timeout_ms"] = json!(600_000);
    }))
    .await;
    let claim = lab.take_over().await;
    let chaos = Chaos::new(Fate::StopsAt(15));
    let runner = lab.runner(&chaos);
    let mut run = Box::pin(runner.run(&claim, Cancel::new()));
    lab.watch(&mut run, &chaos).await;
    // The engine hangs, while heartbeats go on.
    for _ in 0..60 {
        lab.store.heartbeat(&claim, LEASE).await.unwrap();
        lab.clock.advance(Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
    chaos.wake();
    let report = lab.watch(run, &Chaos::new(Fate::Lives)).await.report();
    let error = report.error.unwrap();
    assert_eq!(error.kind, ErrorKind::Timeout, "{error:?}");
    let job = lab.job().await;
    assert_eq!(
        (job.state, job.parts),
        (JobState::TimedOut, PartsState::Kept)
    );
    lab.assert_untouched("timed out");
    lab.store
        .reopen(&tenant(), &claim.job, &Operator::new("ada"))
        .await
        .unwrap();
    assert!(lab.settle().await.success);
    lab.assert_loaded("resumed").await;
    assert!(lab.world.most_requests() <= 2);
}

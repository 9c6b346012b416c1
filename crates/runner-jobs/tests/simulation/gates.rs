//! Gates that block: nothing is committed, whatever else happens to the run.

use runner_core::feed::DriftDecision;
use runner_core::ids::Operator;
use runner_core::job::PartsState;
use runner_core::{ErrorKind, JobId, JobState};
use runner_jobs::drift::accepted_by_operator;
use runner_testkit::plans::{feed, tenant};
use runner_testkit::simulation::{Chaos, Fate, World};
use serde_json::json;

use crate::lab::{ITEMS, JOB, Lab, ORDERS, plan, world};

fn with_accuracy(threshold: f64) -> runner_plan::Plan {
    plan(|plan| plan["gates"]["accuracy_threshold"] = json!(threshold))
}

/// Of 1,000 rows 3 % are bad: 0.99 blocks, 0.95 loads, also when the run was killed on the way.
#[tokio::test]
async fn three_percent_of_bad_rows() {
    for step in [
        None,
        Some(5),
        Some(17),
        Some(26),
        Some(31),
        Some(33),
        Some(35),
    ] {
        for (threshold, loads) in [(0.99, false), (0.95, true)] {
            let lab = Lab::new(World::new(&[ORDERS, ITEMS], 1, 5, 100, Some(33)));
            lab.create(with_accuracy(threshold)).await;
            if let Some(step) = step {
                let claim = lab.take_over().await;
                lab.run(&claim, &Chaos::new(Fate::StopsAt(step))).await;
            }
            let report = if lab.state().await.is_terminal() {
                None
            } else {
                Some(lab.settle().await)
            };
            let what = format!("threshold {threshold}, killed at {step:?}");
            if loads {
                lab.assert_loaded(&what).await;
                continue;
            }
            let job = lab.job().await;
            assert_eq!(job.state, JobState::Failed, "{what}");
            assert_eq!(job.blocked_by.as_deref(), Some("quality"));
            let failure = job.failure.unwrap();
            assert_eq!(failure.kind, ErrorKind::Quality);
            assert!(
                failure.message.contains("485 of 500 rows pass"),
                "{}",
                failure.message
            );
            if let Some(report) = report {
                assert_eq!(report.streams[0].rows_loaded, 0);
                assert!(report.sinks.is_empty());
            }
            lab.assert_untouched(&what);
            assert_eq!(lab.quarantined().await.len(), 30, "{what}");
            lab.assert_clean(&what).await;
            assert!(lab.cursors(ORDERS).await.is_empty());
        }
    }
}

#[tokio::test]
async fn a_threshold_that_does_not_block_is_a_warning() {
    let lab = Lab::new(world());
    let plan = plan(|plan| {
        plan["gates"]["accuracy_threshold"] = json!(0.99);
        plan["gates"]["block_on_quality_drop"] = json!(false);
    });
    lab.create(plan).await;
    let report = lab.settle().await;
    assert!(report.success);
    let codes: Vec<_> = report
        .warnings
        .iter()
        .map(|warning| warning.code.as_str())
        .collect();
    assert_eq!(
        codes,
        ["quality_below_threshold", "quality_below_threshold"]
    );
    lab.assert_loaded("not blocking").await;
}

fn strict() -> runner_plan::Plan {
    plan(|plan| {
        plan["gates"]["block_on_schema_drift"] = json!(true);
        for stream in plan["streams"].as_array_mut().unwrap() {
            stream["sample_size"] = json!(1);
        }
    })
}

/// The first run sets what is accepted; the second brings another type.
async fn drifted() -> Lab {
    let lab = Lab::new(world());
    lab.create_as("job-0", strict()).await;
    let claim = lab.claim("job-0").await.unwrap();
    let report = lab.run(&claim, &Chaos::new(Fate::Lives)).await.report();
    assert!(report.success, "{report:?}");
    lab.world.set_field_type("object");
    lab.create(strict()).await;
    lab
}

#[tokio::test]
async fn drift_keeps_the_rows_until_it_is_accepted() {
    let lab = drifted().await;
    let report = lab.settle().await;
    assert_eq!(report.error.unwrap().kind, ErrorKind::Drift);
    let job = lab.job().await;
    assert_eq!((job.state, job.parts), (JobState::Failed, PartsState::Kept));
    assert_eq!(job.blocked_by.as_deref(), Some("drift"));
    let history = lab.store.drift(&feed(), 10).await.unwrap();
    assert_eq!(history[0].decision, DriftDecision::Blocked);
    let before = lab.world.requests();

    // Resumed without being accepted, it is blocked again.
    reopen(&lab).await;
    let report = lab.settle().await;
    assert_eq!(report.error.unwrap().kind, ErrorKind::Drift);

    accept(&lab).await;
    reopen(&lab).await;
    let report = lab.settle().await;
    assert!(report.success, "{report:?}");
    // The rows that were read are committed, and nothing is read again.
    assert_eq!(lab.world.requests(), before);
    for (load, stream) in crate::lab::LOADS {
        assert_eq!(
            lab.world.visible(load).len(),
            2 * lab.world.good_rows(stream).len(),
            "{load}"
        );
    }
    lab.assert_clean("accepted").await;
}

#[tokio::test]
async fn a_later_run_takes_the_place_of_a_blocked_one() {
    let lab = drifted().await;
    lab.settle().await;
    lab.create_as("job-2", strict()).await;
    let reopened = lab
        .store
        .reopen(&tenant(), &JobId::new(JOB), &Operator::new("ada"))
        .await;
    assert_eq!(reopened.unwrap_err().kind(), ErrorKind::Conflict);
    let done = lab
        .runner(&Chaos::new(Fate::Lives))
        .discard_leftovers(10)
        .await
        .unwrap();
    assert_eq!(done, [JobId::new(JOB)]);
}

#[tokio::test]
async fn without_slos_drift_is_recorded_and_loads() {
    let lab = Lab::new(world());
    lab.create_as("job-0", plan(|_| {})).await;
    let claim = lab.claim("job-0").await.unwrap();
    lab.run(&claim, &Chaos::new(Fate::Lives)).await.report();
    lab.world.set_field_type("object");
    lab.create(plan(|_| {})).await;
    assert!(lab.settle().await.success);
    let history = lab.store.drift(&feed(), 10).await.unwrap();
    assert_eq!(history[0].decision, DriftDecision::Recorded);
}

/// A replace of nothing would empty its table.
#[tokio::test]
async fn a_replace_without_rows_is_blocked_unless_it_is_meant() {
    for (allow_empty, state) in [(false, JobState::Failed), (true, JobState::Completed)] {
        // Every row is bad.
        let lab = Lab::new(World::new(&[ORDERS, ITEMS], 1, 1, 5, Some(1)));
        let plan = plan(|plan| {
            plan["loads"][0]["write_mode"] = json!("replace");
            plan["loads"][0]["allow_empty"] = json!(allow_empty);
        });
        lab.create(plan).await;
        lab.settle().await;
        let job = lab.job().await;
        assert_eq!(job.state, state);
        let blocked = (!allow_empty).then_some("replace");
        assert_eq!(job.blocked_by.as_deref(), blocked);
    }
}

async fn reopen(lab: &Lab) {
    lab.store
        .reopen(&tenant(), &JobId::new(JOB), &Operator::new("ada"))
        .await
        .unwrap();
}

async fn accept(lab: &Lab) {
    let state = lab.store.state(&feed()).await.unwrap();
    let history = lab.store.drift(&feed(), 10).await.unwrap();
    for summary in lab
        .store
        .summary(&tenant(), &JobId::new(JOB))
        .await
        .unwrap()
    {
        let record = history
            .iter()
            .find(|record| record.job.as_str() == JOB && record.stream == summary.stream)
            .unwrap();
        let accepted = accepted_by_operator(
            state.accepted.get(&summary.stream),
            &summary.observed,
            &record.changes,
        );
        lab.store
            .accept_schema(&feed(), &summary.stream, &accepted, &Operator::new("ada"))
            .await
            .unwrap();
    }
}

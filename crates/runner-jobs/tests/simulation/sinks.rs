//! Sinks that refuse: for a while, for good, or because another process was there first.

use runner_core::ids::Operator;
use runner_core::job::PartsState;
use runner_core::{Clock as _, Error, ErrorKind, JobId, JobState, Retry};
use runner_testkit::plans::tenant;
use runner_testkit::simulation::{Chaos, Fate};
use runner_testkit::store_contract::LEASE;

use crate::lab::{ITEMS, JOB, Lab, ORDERS, plan, world};

const SECOND: &str = "0:items";

fn down() -> Error {
    Error::new(ErrorKind::Sink, "the database is restarting")
}

fn refused() -> Error {
    Error::new(ErrorKind::Sink, "the disk quota is used up").with_retry(Retry::Never)
}

#[tokio::test]
async fn a_sink_that_comes_back_gets_its_rows() {
    let lab = Lab::new(world());
    lab.create(plan(|_| {})).await;
    lab.world.fail_commit(SECOND, down());
    lab.world.fail_commit(SECOND, down());
    let report = lab.settle().await;
    assert!(report.success, "{report:?}");
    lab.assert_loaded("after two failures").await;
    let job = lab.job().await;
    assert_eq!((job.attempt.0, job.blocked_on), (1, None));
}

/// The second of three sinks refuses for good: the first has its rows, the job waits in `committing`, and an operator ends it.
#[tokio::test]
async fn the_second_of_three_sinks_refuses_for_good() {
    let lab = Lab::new(world());
    lab.create(plan(|_| {})).await;
    lab.world.fail_commit(SECOND, refused());
    let claim = lab.take_over().await;
    let report = lab.run(&claim, &Chaos::new(Fate::Lives)).await.report();
    let error = report.error.unwrap();
    assert_eq!(
        (report.success, report.status.as_str(), error.kind),
        (false, "committing", ErrorKind::Sink)
    );
    assert!(
        error
            .help
            .unwrap()
            .contains("jobs abandon job-1 --sink 0:items")
    );
    let job = lab.job().await;
    assert_eq!(job.state, JobState::Committing);
    assert!(
        job.blocked_on
            .unwrap()
            .message
            .contains("the disk quota is used up")
    );
    // Each sink is atomic, never all of them together.
    assert_eq!(lab.world.visible("0:orders"), lab.world.good_rows(ORDERS));
    assert!(lab.world.visible(SECOND).is_empty());
    assert!(
        lab.cursors(ORDERS).await.is_empty(),
        "the cursor waits for every sink"
    );
    // It keeps its feed, and no worker's place.
    let next = lab
        .store
        .create(runner_testkit::plans::new_job("job-2", plan(|_| {})), None)
        .await;
    assert_eq!(next.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(lab.store.claim(&claim.worker, LEASE).await.unwrap(), None);
    let cancelled = lab
        .store
        .request_cancel(&tenant(), &claim.job, &ada())
        .await;
    assert_eq!(cancelled.unwrap_err().kind(), ErrorKind::Conflict);

    lab.store
        .abandon(&tenant(), &claim.job, SECOND, "no more quota", &ada())
        .await
        .unwrap();
    let report = lab.settle().await;
    assert!(report.success && report.partial, "{report:?}");
    assert_eq!(lab.world.visible("1:copy"), lab.world.good_rows(ORDERS));
    assert!(lab.world.visible(SECOND).is_empty());
    assert_eq!(lab.cursors(ORDERS).await.len(), 3);
    // Its rows are on hold, and still there.
    let holds = lab.store.holds(&tenant(), None).await.unwrap();
    let held: Vec<u64> = holds[0]
        .parts
        .iter()
        .flat_map(|part| lab.world.rows_of(&part.name, &[]))
        .collect();
    assert_eq!(held, lab.world.good_rows(ITEMS));
    assert_eq!(lab.world.violations(), [""; 0]);

    lab.store
        .release_hold(&tenant(), &claim.job, SECOND, &ada())
        .await
        .unwrap();
    assert_eq!(lab.job().await.parts, PartsState::Leftover);
    lab.assert_clean("released").await;
    assert!(lab.world.rows_of(&holds[0].parts[0].name, &[]).is_empty());
}

#[tokio::test]
async fn a_blocked_job_is_retried_by_its_operator_and_by_workers_in_time() {
    let lab = Lab::new(world());
    lab.create(plan(|_| {})).await;
    for _ in 0..lab.commit_tries {
        lab.world.fail_commit(SECOND, down());
    }
    let claim = lab.take_over().await;
    let report = lab.run(&claim, &Chaos::new(Fate::Lives)).await.report();
    assert_eq!(report.status, "committing");
    let blocked = lab.job().await.blocked_on.unwrap();
    assert_eq!(blocked.tries, lab.commit_tries);
    assert!(blocked.retry_at.unwrap() > lab.clock.now());
    assert_eq!(lab.store.claim(&claim.worker, LEASE).await.unwrap(), None);
    lab.store
        .reopen(&tenant(), &JobId::new(JOB), &ada())
        .await
        .unwrap();
    let claim = lab
        .store
        .claim(&claim.worker, LEASE)
        .await
        .unwrap()
        .unwrap();
    let report = lab.run(&claim, &Chaos::new(Fate::Lives)).await.report();
    assert!(report.success, "{report:?}");
    lab.assert_loaded("retried").await;
}

/// What fails before any sink has committed fails the job, and nothing is visible.
#[tokio::test]
async fn a_lost_part_is_found_before_anything_commits() {
    let lab = Lab::new(world());
    lab.create(plan(|_| {})).await;
    let claim = lab.take_over().await;
    // The process dies when some pages are sealed; then a file is gone.
    lab.run(&claim, &Chaos::new(Fate::StopsAt(20))).await;
    lab.world.lose_a_part();
    let report = lab.settle().await;
    let error = report.error.unwrap();
    assert!(error.message.contains("is gone"), "{error:?}");
    lab.assert_untouched("a part is gone");
}

fn ada() -> Operator {
    Operator::new("ada")
}

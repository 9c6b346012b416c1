//! The index of the quarantine: visible when the run ends, replayed once.

use std::time::Duration;

use runner_core::job::JobState;
use runner_core::quarantine::{QuarantineFilter, QuarantineMark, RowRange};
use runner_core::{Claim, Clock as _, ErrorKind, JobId, Transition};

use super::{
    Harness, LEASE, LOAD, STREAM, checkpoint, failed, kind, operator, part, position, quarantined,
};
use crate::plans::{new_job, plan, tenant};

pub async fn rows_become_visible_when_the_run_ends(harness: &Harness) {
    let ends = [
        (
            Some(failed(Some("accuracy"), false)),
            QuarantineMark::Blocked,
        ),
        (Some(failed(None, false)), QuarantineMark::Failed),
        (Some(Transition::Cancelled), QuarantineMark::Failed),
        (None, QuarantineMark::Loaded),
    ];
    for (number, (end, mark)) in ends.into_iter().enumerate() {
        let id = format!("job-{number}");
        let claim = with_quarantine(harness, &id, "q").await;
        assert!(files(harness, Some(&id)).await.is_empty());
        match end {
            Some(end) => harness.record(&claim, end).await,
            None => complete(harness, &claim).await,
        }
        assert_eq!(files(harness, Some(&id)).await, [("q".to_owned(), mark, 5)]);
    }
    assert_eq!(files(harness, None).await.len(), 4);
    // What goes on is shown again when it ends.
    let claim = with_quarantine(harness, "kept", "q").await;
    harness.record(&claim, failed(Some("drift"), true)).await;
    assert_eq!(files(harness, Some("kept")).await.len(), 1);
    harness
        .store
        .reopen(&tenant(), &JobId::new("kept"), &operator())
        .await
        .unwrap();
    assert!(files(harness, Some("kept")).await.is_empty());
}

pub async fn superseded_rows_are_no_longer_quarantined(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let store = &harness.store;
    let first = checkpoint(
        1,
        vec![position(0, 0, 1), position(1, 0, 1)],
        vec![
            quarantined("mixed", &[(0, 0, 2), (1, 0, 3), (0, 0, 1)]),
            quarantined("gone", &[(0, 0, 4)]),
        ],
    );
    store.checkpoint(&claim, &first).await.unwrap();
    let again = checkpoint(
        2,
        vec![position(0, 1, 1)],
        vec![quarantined("new", &[(0, 1, 1)])],
    );
    store.checkpoint(&claim, &again).await.unwrap();
    complete(harness, &claim).await;
    let found = store
        .files(
            &tenant(),
            &QuarantineFilter {
                limit: 10,
                ..QuarantineFilter::default()
            },
        )
        .await
        .unwrap();
    let mut found: Vec<_> = found
        .iter()
        .map(|file| {
            (
                file.part.name.as_str(),
                file.rows(),
                file.superseded.clone(),
            )
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [("mixed", 3, vec![(0, 2), (5, 6)]), ("new", 1, Vec::new())]
    );
}

pub async fn a_second_replay_is_a_no_op(harness: &Harness) {
    let claim = with_quarantine(harness, "source", "q").await;
    complete(harness, &claim).await;
    let first = harness.running("replay-1").await;
    let reserved = reserve(harness, &first, &[("source", "q", 1, 3)])
        .await
        .unwrap();
    assert_eq!(reserved, [range("source", "q", 1, 3)]);
    // A later attempt of the replay finds what it reserved, and reserves the same again.
    harness.clock.advance(LEASE);
    let first = harness.claim("replay-1", "other").await;
    assert_eq!(harness.store.reserved(&first).await.unwrap(), reserved);
    let again = reserve(harness, &first, &[("source", "q", 1, 3)])
        .await
        .unwrap();
    assert_eq!(again, reserved);
    assert!(replayed(harness, "source").await.is_empty());
    complete(harness, &first).await;
    assert_eq!(
        replayed(harness, "source").await,
        [range("source", "q", 1, 3)]
    );

    let second = harness.running("replay-2").await;
    let rest = reserve(harness, &second, &[("source", "q", 0, 100)])
        .await
        .unwrap();
    assert_eq!(
        rest,
        [range("source", "q", 0, 1), range("source", "q", 3, 5)]
    );
    complete(harness, &second).await;
    let third = harness.running("replay-3").await;
    let none = reserve(harness, &third, &[("source", "q", 0, 5)])
        .await
        .unwrap();
    assert!(none.is_empty());
}

pub async fn only_completed_runs_are_replayed(harness: &Harness) {
    let claim = with_quarantine(harness, "source", "q").await;
    harness
        .record(&claim, failed(Some("accuracy"), false))
        .await;
    let replay = harness.running("replay").await;
    let refused = reserve(harness, &replay, &[("source", "q", 0, 5)]).await;
    assert_eq!(kind(refused), ErrorKind::Conflict);
    let unknown = reserve(harness, &replay, &[("source", "other", 0, 5)]).await;
    assert_eq!(kind(unknown), ErrorKind::NotFound);
}

pub async fn a_failed_replay_frees_its_rows(harness: &Harness) {
    let claim = with_quarantine(harness, "source", "q").await;
    complete(harness, &claim).await;
    let first = harness.running("replay-1").await;
    reserve(harness, &first, &[("source", "q", 0, 5)])
        .await
        .unwrap();
    harness.record(&first, failed(None, false)).await;
    let second = harness.running("replay-2").await;
    let reserved = reserve(harness, &second, &[("source", "q", 0, 5)])
        .await
        .unwrap();
    assert_eq!(reserved, [range("source", "q", 0, 5)]);
}

pub async fn the_job_that_loads_held_rows_releases_them(harness: &Harness) {
    let claim = harness.running("source").await;
    let barrier = checkpoint(1, vec![position(0, 1, 1)], vec![part("a", 9, 0, 1)]);
    harness.store.checkpoint(&claim, &barrier).await.unwrap();
    // What is prepared may be another part than what was sealed.
    harness.commit(&claim, vec![part("b", 9, 0, 1)]).await;
    abandon(harness, claim).await;
    let held = harness.store.holds(&tenant(), None).await.unwrap();
    let names: Vec<_> = held[0].part_names().collect();
    assert_eq!(names, ["b", "a"]);
    assert_eq!(held[0].inputs[STREAM].generations, [(0, 1)].into());
    // Neither goes while they are on hold.
    let leftovers = harness.store.undiscarded(10).await.unwrap();
    assert_eq!(
        (&leftovers[0].0.loads[..], &leftovers[0].1[..]),
        (&[][..], &[][..])
    );

    let plan = plan(&[STREAM]).into_held("source", LOAD).unwrap();
    let load = async |id: &str| {
        let job = new_job(id, plan.clone());
        harness.store.create(job, None).await.unwrap();
        let claim = harness.claim(id, "worker").await;
        harness.run(&claim).await;
        harness.commit(&claim, vec![part("a", 9, 0, 1)]).await;
        claim
    };
    // Given up once more, they stay where they are.
    let claim = load("given up").await;
    abandon(harness, claim).await;
    let after = harness.store.holds(&tenant(), None).await.unwrap();
    assert_eq!(after, held);

    let claim = load("loads").await;
    harness.complete(&claim).await;
    assert!(
        harness
            .store
            .holds(&tenant(), None)
            .await
            .unwrap()
            .is_empty()
    );
    // The parts are the table's now: whoever takes leftovers away must not be told of them.
    let leftovers = harness.store.undiscarded(10).await.unwrap();
    assert!(leftovers.iter().all(|(job, _)| job.id.as_str() != "source"));
}

/// Gives the load of a committing job up, and completes it.
async fn abandon(harness: &Harness, claim: Claim) {
    harness.record(&claim, Transition::Released).await;
    harness
        .store
        .abandon(&tenant(), &claim.job, LOAD, "broken", &operator())
        .await
        .unwrap();
    let claim = harness.claim(claim.job.as_str(), "other").await;
    harness.record(&claim, Transition::Completed).await;
}

pub async fn forgetting_returns_the_files(harness: &Harness) {
    let store = &harness.store;
    let claim = with_quarantine(harness, "old", "q").await;
    complete(harness, &claim).await;
    harness.clock.advance(Duration::from_secs(100));
    let claim = with_quarantine(harness, "new", "q").await;
    complete(harness, &claim).await;
    let before = harness.clock.now() - chrono::Duration::seconds(50);
    for dry_run in [true, false] {
        let forgotten = store.forget(before, dry_run).await.unwrap();
        let jobs: Vec<_> = forgotten.iter().map(|file| file.job.as_str()).collect();
        assert_eq!(jobs, ["old"]);
    }
    assert!(store.forget(before, false).await.unwrap().is_empty());
    assert_eq!(files(harness, None).await.len(), 1);
}

/// A job that runs and has five quarantined rows of chain 0.
async fn with_quarantine(harness: &Harness, id: &str, name: &str) -> Claim {
    let claim = harness.running(id).await;
    let barrier = checkpoint(
        1,
        vec![position(0, 0, 1)],
        vec![quarantined(name, &[(0, 0, 5)])],
    );
    harness.store.checkpoint(&claim, &barrier).await.unwrap();
    claim
}

async fn complete(harness: &Harness, claim: &Claim) {
    if harness.job(claim.job.as_str()).await.state == JobState::Queued {
        harness.run(claim).await;
    }
    harness.commit(claim, Vec::new()).await;
    harness.complete(claim).await;
}

async fn files(harness: &Harness, job: Option<&str>) -> Vec<(String, QuarantineMark, u64)> {
    let filter = QuarantineFilter {
        job: job.map(JobId::new),
        stream: Some(STREAM.to_owned()),
        limit: 100,
        ..QuarantineFilter::default()
    };
    let found = harness.store.files(&tenant(), &filter).await.unwrap();
    found
        .iter()
        .map(|file| (file.part.name.clone(), file.mark, file.rows()))
        .collect()
}

async fn replayed(harness: &Harness, job: &str) -> Vec<RowRange> {
    harness
        .store
        .replayed(&tenant(), &JobId::new(job), "q")
        .await
        .unwrap()
}

async fn reserve(
    harness: &Harness,
    claim: &Claim,
    ranges: &[(&str, &str, u64, u64)],
) -> runner_core::Result<Vec<RowRange>> {
    let ranges: Vec<_> = ranges
        .iter()
        .map(|&(job, part, from, to)| range(job, part, from, to))
        .collect();
    harness.store.reserve_replay(claim, &ranges).await
}

fn range(job: &str, part: &str, from: u64, to: u64) -> RowRange {
    RowRange {
        job: JobId::new(job),
        part: part.to_owned(),
        from,
        to,
    }
}

//! What callers do to jobs, and what the audit says of it.

use std::time::Duration;

use runner_core::job::{Beat, BlockedOn, JobState, PartsState};
use runner_core::{Clock as _, ErrorKind, JobId, Transition};

use super::{
    Harness, LEASE, LOAD, STREAM, checkpoint, failed, kind, operator, part, position, submission,
};
use crate::plans::{feed, new_job, plan, tenant};

pub async fn a_free_job_is_cancelled_at_once(harness: &Harness) {
    harness
        .store
        .create(new_job("job-1", plan(&[STREAM])), None)
        .await
        .unwrap();
    assert_eq!(cancel(harness, "job-1").await.unwrap(), JobState::Cancelled);
    let claim = harness.running("job-2").await;
    harness.clock.advance(LEASE);
    assert_eq!(cancel(harness, "job-2").await.unwrap(), JobState::Cancelled);
    let beat = harness.store.heartbeat(&claim, LEASE).await.unwrap();
    assert_eq!(beat, Beat::Lost);
    // Twice is fine.
    assert_eq!(cancel(harness, "job-2").await.unwrap(), JobState::Cancelled);
}

pub async fn a_held_job_is_asked_to_stop(harness: &Harness) {
    let claim = harness.running("job-1").await;
    assert_eq!(cancel(harness, "job-1").await.unwrap(), JobState::Running);
    let beat = harness.store.heartbeat(&claim, LEASE).await.unwrap();
    assert_eq!(beat, Beat::CancelRequested);
    // A commit that began now would break the promise.
    harness
        .record(&claim, Transition::To(JobState::Gating))
        .await;
    let commit = Transition::Committing(vec![(LOAD.to_owned(), Vec::new())]);
    let refused = harness.store.record(&claim, commit).await;
    assert_eq!(kind(refused), ErrorKind::Cancelled);
    harness.record(&claim, Transition::Cancelled).await;
    assert_eq!(harness.job("job-1").await.state, JobState::Cancelled);
}

pub async fn committing_is_not_cancelled(harness: &Harness) {
    let claim = harness.committing("job-1", Vec::new()).await;
    assert_eq!(kind(cancel(harness, "job-1").await), ErrorKind::Conflict);
    harness.clock.advance(LEASE);
    assert_eq!(kind(cancel(harness, "job-1").await), ErrorKind::Conflict);
    let beat = harness.store.heartbeat(&claim, LEASE).await.unwrap();
    assert_eq!(beat, Beat::Continue);
}

pub async fn a_failed_job_that_kept_its_parts_is_reopened(harness: &Harness) {
    for (number, gate, state) in [
        (1, None, JobState::Running),
        (2, Some("drift"), JobState::Gating),
    ] {
        let id = format!("job-{number}");
        let claim = harness.running(&id).await;
        harness
            .record(&claim, Transition::Submitting(submission()))
            .await;
        let name = format!("part-{number}");
        let barrier = checkpoint(1, vec![position(0, 0, 1)], vec![part(&name, 9, 0, 0)]);
        harness.store.checkpoint(&claim, &barrier).await.unwrap();
        harness.record(&claim, failed(gate, true)).await;
        assert_eq!(harness.job(&id).await.parts, PartsState::Kept);
        // What is kept is not discarded, whoever asks.
        let discarded = harness.store.record(&claim, Transition::Discarded).await;
        assert_eq!(kind(discarded), ErrorKind::Conflict);
        assert!(harness.store.undiscarded(10).await.unwrap().is_empty());

        reopen(harness, &id).await.unwrap();
        let job = harness.job(&id).await;
        assert_eq!((job.state, job.parts), (state, PartsState::Live));
        assert_eq!(
            (job.failure, job.blocked_by, job.ended_at),
            (None, None, None)
        );
        let claim = harness.claim(&id, "other").await;
        let parts = harness.store.parts(&claim).await.unwrap();
        assert_eq!(parts.len(), 1);
        harness.record(&claim, Transition::Cancelled).await;
        harness.record(&claim, Transition::Discarded).await;
    }
    let claim = harness.running("job-3").await;
    harness
        .record(&claim, failed(Some("accuracy"), false))
        .await;
    assert_eq!(kind(reopen(harness, "job-3").await), ErrorKind::Conflict);
}

pub async fn a_later_run_ends_the_right_to_resume(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let barrier = checkpoint(1, vec![position(0, 0, 1)], vec![part("a", 9, 0, 0)]);
    harness.store.checkpoint(&claim, &barrier).await.unwrap();
    harness.record(&claim, failed(Some("drift"), true)).await;
    harness.completed("job-2").await;
    let error = reopen(harness, "job-1")
        .await
        .expect_err("a later run came");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(harness.job("job-1").await.parts, PartsState::Leftover);
    let leftovers = harness.store.undiscarded(10).await.unwrap();
    let first = leftovers.iter().find(|(job, _)| job.id.as_str() == "job-1");
    assert_eq!(first.map(|(_, parts)| parts.len()), Some(1));
}

pub async fn an_abandoned_sink_becomes_a_hold(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let barrier = checkpoint(1, vec![position(0, 0, 1)], vec![part("a", 9, 0, 0)]);
    harness.store.checkpoint(&claim, &barrier).await.unwrap();
    harness
        .record(&claim, Transition::To(JobState::Gating))
        .await;
    let loads = vec![
        (LOAD.to_owned(), vec![part("a", 9, 0, 0)]),
        ("1:copy".to_owned(), Vec::new()),
    ];
    harness.record(&claim, Transition::Committing(loads)).await;
    let blocked = BlockedOn {
        load: LOAD.to_owned(),
        message: "refused".to_owned(),
        tries: 1,
        retry_at: Some(harness.clock.now() + LEASE),
    };
    harness
        .record(&claim, Transition::BlockedOn(Some(blocked)))
        .await;
    // The worker that may be committing it right now must be gone first.
    assert_eq!(kind(abandon(harness, LOAD).await), ErrorKind::Conflict);
    harness.record(&claim, Transition::Released).await;
    assert_eq!(kind(abandon(harness, "unknown").await), ErrorKind::NotFound);
    abandon(harness, LOAD).await.unwrap();
    assert_eq!(harness.job("job-1").await.blocked_on, None);

    let claim = harness.claim("job-1", "other").await;
    let late = harness.store.record(&claim, super::committed()).await;
    assert_eq!(kind(late), ErrorKind::Conflict);
    let other = Transition::Committed {
        load: "1:copy".to_owned(),
        written: runner_core::Written::default(),
    };
    harness.record(&claim, other).await;
    harness.record(&claim, Transition::Completed).await;
    let job = harness.job("job-1").await;
    assert_eq!((job.state, job.partial), (JobState::Completed, true));

    let holds = harness.store.holds(&tenant(), None).await.unwrap();
    assert_eq!(holds.len(), 1);
    assert_eq!(
        (holds[0].load.as_str(), holds[0].reason.as_str()),
        (LOAD, "broken")
    );
    assert_eq!(holds[0].parts, [part("a", 9, 0, 0)]);
    // Rows on hold are not leftovers, and their job is not forgotten.
    let leftovers = harness.store.undiscarded(10).await.unwrap();
    assert!(leftovers[0].1.is_empty());
    harness.record(&claim, Transition::Discarded).await;
    assert!(part_names(harness).await.contains(&"a".to_owned()));
    harness.clock.advance(Duration::from_secs(1));
    assert!(
        harness
            .store
            .purge(harness.clock.now(), false)
            .await
            .unwrap()
            .is_empty()
    );

    let release = async || {
        harness
            .store
            .release_hold(&tenant(), &JobId::new("job-1"), LOAD, &operator())
            .await
    };
    release().await.unwrap();
    assert_eq!(kind(release().await), ErrorKind::NotFound);
    let leftovers = harness.store.undiscarded(10).await.unwrap();
    assert_eq!(leftovers[0].1, [part("a", 9, 0, 0)]);
}

pub async fn actions_stand_in_the_audit(harness: &Harness) {
    harness.running("job-1").await;
    harness.clock.advance(LEASE);
    cancel(harness, "job-1").await.unwrap();
    let entries = harness.store.audit(&tenant(), 0, 10).await.unwrap();
    assert_eq!(entries.len(), 1);
    let entry = &entries[0].1;
    assert_eq!(
        (entry.action.as_str(), entry.subject.as_str(), &entry.by),
        ("cancel", "job-1", &operator())
    );
    assert_eq!(entry.at, harness.clock.now());
    // What was refused was not done.
    harness.committing("job-2", Vec::new()).await;
    assert_eq!(kind(cancel(harness, "job-2").await), ErrorKind::Conflict);
    let after = harness
        .store
        .audit(&tenant(), entries[0].0, 10)
        .await
        .unwrap();
    assert!(after.is_empty());
}

pub async fn leftovers_are_told_once(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let barrier = checkpoint(1, vec![position(0, 0, 1)], vec![part("a", 9, 0, 0)]);
    harness.store.checkpoint(&claim, &barrier).await.unwrap();
    assert!(harness.store.undiscarded(10).await.unwrap().is_empty());
    let early = harness.store.discarded(&claim.job).await;
    assert_eq!(kind(early), ErrorKind::Conflict);
    harness.record(&claim, Transition::Cancelled).await;
    let leftovers = harness.store.undiscarded(10).await.unwrap();
    assert_eq!(leftovers.len(), 1);
    assert_eq!(leftovers[0].1, [part("a", 9, 0, 0)]);
    assert_eq!(part_names(harness).await, ["a"]);
    harness.store.discarded(&claim.job).await.unwrap();
    assert!(harness.store.undiscarded(10).await.unwrap().is_empty());
    assert!(part_names(harness).await.is_empty());
}

async fn part_names(harness: &Harness) -> Vec<String> {
    let names = harness.store.part_names(&feed()).await.unwrap();
    names.into_iter().collect()
}

async fn cancel(harness: &Harness, id: &str) -> runner_core::Result<JobState> {
    harness
        .store
        .request_cancel(&tenant(), &JobId::new(id), &operator())
        .await
}

async fn reopen(harness: &Harness, id: &str) -> runner_core::Result<()> {
    harness
        .store
        .reopen(&tenant(), &JobId::new(id), &operator())
        .await
}

async fn abandon(harness: &Harness, load: &str) -> runner_core::Result<()> {
    harness
        .store
        .abandon(&tenant(), &JobId::new("job-1"), load, "broken", &operator())
        .await
}

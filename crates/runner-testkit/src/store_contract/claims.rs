//! Claims: leases judged by the store's clock, attempts as fences.

use std::time::Duration;

use runner_core::ids::WorkerId;
use runner_core::job::{Beat, BlockedOn, JobState};
use runner_core::{Attempt, Claim, Clock as _, ErrorKind, Transition};

use super::{Harness, LEASE, LOAD, STREAM, checkpoint, committed, kind, position};
use crate::plans::{new_job, plan};

/// The last moment of a lease.
const NEARLY: Duration = Duration::from_micros(59_999_999);

pub async fn a_claim_excludes_others(harness: &Harness) {
    let claim = harness.claimed("job-1").await;
    assert_eq!(claim.attempt, Attempt(1));
    assert_eq!(harness.try_claim("job-1", "other").await, None);
    harness.clock.advance(NEARLY);
    assert_eq!(harness.try_claim("job-1", "other").await, None);
    assert_eq!(any(harness).await, None);
    let beat = harness.store.heartbeat(&claim, LEASE).await.unwrap();
    assert_eq!(beat, Beat::Continue);
    harness.clock.advance(NEARLY);
    assert_eq!(harness.try_claim("job-1", "other").await, None);
}

pub async fn a_lease_that_ran_out_is_taken_over(harness: &Harness) {
    harness.claimed("job-1").await;
    harness.clock.advance(LEASE);
    let second = any(harness).await.expect("the job is free");
    assert_eq!(second.attempt, Attempt(2));
    assert_eq!(any(harness).await, None);
    harness.clock.advance(LEASE);
    let third = harness.claim("job-1", "third").await;
    assert_eq!(third.attempt, Attempt(3));
    assert_eq!(harness.job("job-1").await.attempt, Attempt(3));
}

pub async fn a_stale_attempt_changes_nothing(harness: &Harness) {
    let stale = harness.running("job-1").await;
    harness.clock.advance(LEASE);
    let current = harness.claim("job-1", "other").await;
    refused_everywhere(harness, &stale).await;
    // Not even after the job came further than the stale worker knows.
    harness.commit(&current, Vec::new()).await;
    refused_everywhere(harness, &stale).await;
    harness.complete(&current).await;
    refused_everywhere(harness, &stale).await;
    assert_eq!(harness.job("job-1").await.state, JobState::Completed);

    // The same attempt by another name is no claim either.
    let forged = Claim {
        worker: WorkerId::new("forged"),
        ..current
    };
    refused_everywhere(harness, &forged).await;
}

pub async fn a_lease_that_ran_out_changes_nothing(harness: &Harness) {
    let claim = harness.running("job-1").await;
    harness.clock.advance(LEASE);
    for change in [Transition::To(JobState::Gating), Transition::Cancelled] {
        assert_eq!(
            kind(harness.store.record(&claim, change).await),
            ErrorKind::Conflict
        );
    }
    let barrier = checkpoint(1, vec![position(0, 0, 1)], Vec::new());
    assert_eq!(
        kind(harness.store.checkpoint(&claim, &barrier).await),
        ErrorKind::Conflict
    );
    assert_eq!(harness.job("job-1").await.state, JobState::Running);
}

pub async fn a_late_heartbeat_keeps_an_unclaimed_job(harness: &Harness) {
    let claim = harness.running("job-1").await;
    harness.clock.advance(LEASE * 10);
    let beat = harness.store.heartbeat(&claim, LEASE).await.unwrap();
    assert_eq!(beat, Beat::Continue);
    harness
        .record(&claim, Transition::To(JobState::Gating))
        .await;
}

/// The time that a job may take is that of all its attempts; nobody works on it between them.
pub async fn the_time_of_all_attempts_is_counted(harness: &Harness) {
    let worked = async || Duration::from_micros(harness.job("job-1").await.worked_us);
    let claim = harness.claimed("job-1").await;
    assert_eq!(worked().await, Duration::ZERO);
    for _ in 0..3 {
        harness.clock.advance(Duration::from_secs(10));
        harness.store.heartbeat(&claim, LEASE).await.unwrap();
    }
    assert_eq!(worked().await, Duration::from_secs(30));
    // It dies, and another one takes the job much later.
    harness.clock.advance(LEASE * 100);
    let second = harness.claim("job-1", "second").await;
    harness.clock.advance(Duration::from_secs(5));
    harness.store.heartbeat(&second, LEASE).await.unwrap();
    assert_eq!(worked().await, Duration::from_secs(35));
    // What else is stored of the job leaves it alone.
    let change = Transition::To(JobState::Preparing);
    harness.store.record(&second, change).await.unwrap();
    assert_eq!(worked().await, Duration::from_secs(35));
}

pub async fn a_heartbeat_tells_of_a_takeover(harness: &Harness) {
    let stale = harness.running("job-1").await;
    harness.clock.advance(LEASE);
    let current = harness.claim("job-1", "other").await;
    let beat = harness.store.heartbeat(&stale, LEASE * 100).await.unwrap();
    assert_eq!(beat, Beat::Lost);
    // And renewed nothing.
    harness.clock.advance(LEASE);
    assert_eq!(
        kind(harness.store.record(&current, Transition::Cancelled).await),
        ErrorKind::Conflict
    );
    let ended = harness.claim("job-1", "other").await;
    harness.record(&ended, Transition::Cancelled).await;
    let beat = harness.store.heartbeat(&ended, LEASE).await.unwrap();
    assert_eq!(beat, Beat::Lost);
}

pub async fn a_blocked_job_waits_for_its_time(harness: &Harness) {
    let claim = harness.committing("job-1", Vec::new()).await;
    let blocked = BlockedOn {
        load: LOAD.to_owned(),
        message: "no route to the database".to_owned(),
        tries: 3,
        retry_at: Some(harness.clock.now() + LEASE),
    };
    harness
        .record(&claim, Transition::BlockedOn(Some(blocked.clone())))
        .await;
    harness.record(&claim, Transition::Released).await;
    let job = harness.job("job-1").await;
    assert_eq!(
        (job.state, job.blocked_on),
        (JobState::Committing, Some(blocked))
    );
    assert_eq!(any(harness).await, None);
    harness.clock.advance(LEASE);
    let claim = any(harness).await.expect("its time has come");
    harness.record(&claim, committed()).await;
    assert_eq!(harness.job("job-1").await.blocked_on, None);
}

pub async fn a_released_job_is_free(harness: &Harness) {
    let claim = harness.running("job-1").await;
    harness.record(&claim, Transition::Released).await;
    assert_eq!(
        kind(
            harness
                .store
                .record(&claim, Transition::To(JobState::Gating))
                .await
        ),
        ErrorKind::Conflict
    );
    let next = harness.claim("job-1", "other").await;
    assert_eq!(next.attempt, Attempt(2));
    assert_eq!(harness.job("job-1").await.state, JobState::Running);
}

pub async fn exactly_one_of_many_claims_wins(harness: &Harness) {
    for round in 0..5 {
        let id = format!("job-{round}");
        harness
            .store
            .create(new_job(&id, plan(&[STREAM])), None)
            .await
            .unwrap();
        let claims = futures::future::join_all((0..8).map(|_| any(harness))).await;
        let mut won = claims.into_iter().flatten();
        let claim = won.next().expect("one wins");
        assert_eq!(won.next(), None);
        harness.record(&claim, Transition::Cancelled).await;
    }
}

async fn any(harness: &Harness) -> Option<Claim> {
    harness
        .store
        .claim(&WorkerId::generate(), LEASE)
        .await
        .expect("a claim is answered")
}

async fn refused_everywhere(harness: &Harness, claim: &Claim) {
    let store = &harness.store;
    let barrier = checkpoint(1, vec![position(0, 0, 1)], Vec::new());
    let refused = [
        store.record(claim, Transition::To(JobState::Gating)).await,
        store.record(claim, committed()).await,
        store.record(claim, Transition::Completed).await,
        store.record(claim, Transition::Discarded).await,
        store.record(claim, Transition::Released).await,
        store.event(claim, "note", serde_json::Value::Null).await,
        store.checkpoint(claim, &barrier).await,
        store.seal_values(claim, STREAM, "id", &[], true).await,
        store.resume_state(claim, STREAM).await.map(drop),
        store.parts(claim).await.map(drop),
        store.advance(claim, None, &[]).await,
        store.reserve_replay(claim, &[]).await.map(drop),
    ];
    for (number, result) in refused.into_iter().enumerate() {
        assert_eq!(kind(result), ErrorKind::Conflict, "call {number}");
    }
}

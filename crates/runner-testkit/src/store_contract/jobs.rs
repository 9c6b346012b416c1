//! Jobs: created once, changed legally, listed, forgotten.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runner_core::engine::RunHandle;
use runner_core::ids::{FeedId, TenantId};
use runner_core::job::{JobFilter, JobState, PartsState};
use runner_core::{Clock as _, Created, ErrorKind, JobId, Seq, Transition, Written};
use runner_plan::model::PLAN_FORMAT;

use super::{
    Harness, LOAD, STREAM, checkpoint, committed, failed, kind, part, position, submission,
    timed_out,
};
use crate::plans::{feed, new_job, plan, tenant};

pub async fn creating_gives_growing_numbers(harness: &Harness) {
    for (id, seq) in [("job-1", 1), ("job-2", 2), ("job-3", 3)] {
        harness.completed(id).await;
        assert_eq!(harness.job(id).await.seq, Seq(seq));
    }
    // Forgotten jobs leave their numbers behind: targets remember them.
    forget_all(harness).await;
    assert!(list(harness, &JobFilter::default()).await.is_empty());
    harness.completed("job-4").await;
    assert_eq!(harness.job("job-4").await.seq, Seq(4));
}

pub async fn runs_of_a_feed_exclude_each_other(harness: &Harness) {
    let store = &harness.store;
    let claim = harness.committing("job-1", Vec::new()).await;
    let second = store.create(new_job("job-2", plan(&[STREAM])), None).await;
    let error = second.expect_err("the feed is busy");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("job-1"), "{error}");
    let unfinished = store.unfinished(&feed()).await.unwrap();
    assert_eq!(unfinished.map(|job| job.id), Some(JobId::new("job-1")));

    // Another feed, and another tenant's feed of the same name, are not in the way.
    for (tenant, name) in [("acme", "refunds"), ("other", "orders")] {
        let mut job = new_job(&format!("{tenant}-{name}"), plan(&[STREAM]));
        job.feed = FeedId {
            tenant: TenantId::new(tenant),
            name: name.to_owned(),
        };
        store.create(job, None).await.unwrap();
    }

    harness.complete(&claim).await;
    assert_eq!(store.unfinished(&feed()).await.unwrap(), None);
    store
        .create(new_job("job-2", plan(&[STREAM])), None)
        .await
        .unwrap();
}

pub async fn an_idempotency_key_is_the_job_it_made(harness: &Harness) {
    let store = &harness.store;
    let create = async |id: &str, parameters: &str| {
        let mut job = new_job(id, plan(&[STREAM]));
        parameters.clone_into(&mut job.parameters_hash);
        store.create(job, Some("key")).await
    };
    let first = JobId::new("job-1");
    assert_eq!(
        create("job-1", "0").await.unwrap(),
        Created::New(first.clone())
    );
    assert_eq!(
        create("job-2", "0").await.unwrap(),
        Created::Existing(first.clone())
    );
    assert_eq!(kind(create("job-2", "1").await), ErrorKind::Conflict);
    let claim = harness.claim("job-1", "worker").await;
    harness.run(&claim).await;
    harness.commit(&claim, Vec::new()).await;
    harness.complete(&claim).await;
    assert_eq!(
        create("job-2", "0").await.unwrap(),
        Created::Existing(first)
    );
}

pub async fn tenants_see_their_own(harness: &Harness) {
    let store = &harness.store;
    let claim = harness.claimed("job-1").await;
    let other = TenantId::new("other");
    assert_eq!(store.get(&other, &claim.job).await.unwrap(), None);
    assert!(
        store
            .list(&other, &JobFilter::default())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .events(&other, &claim.job, 0, 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        kind(store.summary(&other, &claim.job).await),
        ErrorKind::NotFound
    );
    let by = super::operator();
    assert_eq!(
        kind(store.request_cancel(&other, &claim.job, &by).await),
        ErrorKind::NotFound
    );
    harness.clock.advance(super::LEASE);
    let stolen = store
        .claim_job(&other, &claim.job, &claim.worker, super::LEASE)
        .await
        .unwrap();
    assert_eq!(stolen, None);
}

pub async fn listing_is_filtered_and_paged(harness: &Harness) {
    for id in ["job-1", "job-2", "job-3"] {
        harness.completed(id).await;
    }
    harness.running("job-4").await;
    let ids = async |filter: JobFilter| -> Vec<String> { list(harness, &filter).await };
    let page = JobFilter {
        limit: 2,
        ..JobFilter::default()
    };
    assert_eq!(ids(page.clone()).await, ["job-4", "job-3"]);
    let next = JobFilter {
        before: Some(JobId::new("job-3")),
        ..page
    };
    assert_eq!(ids(next).await, ["job-2", "job-1"]);
    let running = JobFilter {
        states: vec![JobState::Running, JobState::Gating],
        limit: 10,
        ..JobFilter::default()
    };
    assert_eq!(ids(running).await, ["job-4"]);
    let elsewhere = JobFilter {
        feed: Some("refunds".to_owned()),
        limit: 10,
        ..JobFilter::default()
    };
    assert!(ids(elsewhere).await.is_empty());
}

pub async fn illegal_changes_are_refused(harness: &Harness) {
    let claim = harness.claimed("job-1").await;
    let run = RunHandle {
        engine: plan(&[STREAM]).engine.engine,
        submission: submission(),
        details: serde_json::Value::Null,
    };
    for change in [
        Transition::To(JobState::Running),
        Transition::To(JobState::Gating),
        Transition::To(JobState::Committing),
        Transition::To(JobState::Completed),
        Transition::Submitting(submission()),
        Transition::Committing(Vec::new()),
        committed(),
        Transition::Completed,
        Transition::Discarded,
    ] {
        let refused = harness.store.record(&claim, change.clone()).await;
        assert_eq!(kind(refused), ErrorKind::Conflict, "{change:?}");
    }
    harness
        .record(&claim, Transition::To(JobState::Preparing))
        .await;
    // What was not stored before it was sent could be submitted twice.
    let refused = harness
        .store
        .record(&claim, Transition::Submitted(run.clone()))
        .await;
    assert_eq!(kind(refused), ErrorKind::Internal);
    harness
        .record(&claim, Transition::Submitting(submission()))
        .await;
    harness.record(&claim, Transition::Submitted(run)).await;
    assert_eq!(harness.job("job-1").await.submission, Some(submission()));
}

pub async fn terminal_states_stay(harness: &Harness) {
    let ends = [Transition::Cancelled, timed_out(), failed(None, false)];
    for (number, end) in ends.into_iter().enumerate() {
        let id = format!("job-{number}");
        let claim = harness.running(&id).await;
        harness.record(&claim, end.clone()).await;
        let ended = harness.job(&id).await;
        assert!(ended.state.is_terminal());
        assert_eq!(ended.ended_at, Some(harness.clock.now()));
        for change in [
            Transition::To(JobState::Preparing),
            Transition::To(JobState::Gating),
            Transition::Committing(Vec::new()),
            Transition::Completed,
            Transition::Released,
        ] {
            assert_eq!(
                kind(harness.store.record(&claim, change).await),
                ErrorKind::Conflict
            );
        }
        assert_eq!(harness.try_claim(&id, "worker").await, None);
        // The end itself may be told again: its answer was lost.
        harness.record(&claim, end).await;
        assert_eq!(harness.job(&id).await, ended);
    }
}

pub async fn what_is_stored_comes_back(harness: &Harness) {
    let new = new_job("job-1", plan(&[STREAM, "items"]));
    harness.store.create(new.clone(), None).await.unwrap();
    let job = harness.job("job-1").await;
    assert_eq!(job.plan, new.plan);
    assert_eq!(job.plan.format, PLAN_FORMAT);
    assert_eq!(
        (
            job.feed,
            job.document,
            job.document_hash,
            job.parameters_hash
        ),
        (
            new.feed,
            new.document,
            new.document_hash,
            new.parameters_hash
        )
    );
    assert_eq!(
        (job.nominal_time, job.created_at),
        (new.nominal_time, harness.clock.now())
    );
    assert_eq!((job.state, job.parts), (JobState::Queued, PartsState::Live));

    let claim = harness.claim("job-1", "worker").await;
    harness.run(&claim).await;
    let parts = vec![part("a", 3, 0, 0), part("b", 4, 1, 2)];
    harness.commit(&claim, parts.clone()).await;
    let stored = harness.job("job-1").await;
    assert_eq!(stored.loads[0].load, LOAD);
    assert_eq!(stored.loads[0].prepared, Some(parts));
    harness.complete(&claim).await;
    let stored = harness.job("job-1").await;
    assert_eq!(
        stored.loads[0].written.as_ref().map(|written| written.rows),
        Some(3)
    );
    assert!(!stored.partial);

    // A newer program's job is refused, not guessed at.
    let mut newer = new_job("job-2", plan(&[STREAM]));
    newer.part_format += 1;
    harness.store.create(newer, None).await.unwrap();
    let read = harness.store.get(&tenant(), &JobId::new("job-2")).await;
    assert_eq!(kind(read), ErrorKind::Config);
}

pub async fn committing_only_goes_forward(harness: &Harness) {
    let claim = harness.committing("job-1", vec![part("a", 3, 0, 0)]).await;
    for change in [
        Transition::To(JobState::Gating),
        failed(None, false),
        Transition::Cancelled,
        timed_out(),
        Transition::Completed,
        Transition::Committing(vec![(LOAD.to_owned(), vec![part("other", 3, 0, 0)])]),
    ] {
        let refused = harness.store.record(&claim, change.clone()).await;
        assert!(refused.is_err(), "{change:?}");
    }
    assert_eq!(harness.job("job-1").await.state, JobState::Committing);
    harness.complete(&claim).await;
    assert_eq!(harness.job("job-1").await.state, JobState::Completed);
}

pub async fn repeats_change_nothing(harness: &Harness) {
    let claim = harness.claimed("job-1").await;
    let parts = vec![part("a", 3, 0, 0)];
    let again = Transition::Committed {
        load: LOAD.to_owned(),
        written: Written {
            already_done: true,
            ..Written::default()
        },
    };
    let steps = [
        Transition::To(JobState::Preparing),
        Transition::Submitting(submission()),
        Transition::To(JobState::Running),
        Transition::To(JobState::Gating),
        Transition::Committing(vec![(LOAD.to_owned(), parts)]),
        committed(),
        again,
        Transition::Completed,
        Transition::Discarded,
    ];
    for step in steps {
        harness.record(&claim, step.clone()).await;
        let once = harness.job("job-1").await;
        harness.record(&claim, step.clone()).await;
        assert_eq!(harness.job("job-1").await, once, "{step:?}");
    }
    let written = harness.job("job-1").await.loads[0].written.clone();
    assert_eq!(written.map(|written| written.rows), Some(3));
    let events = harness
        .store
        .events(&tenant(), &claim.job, 0, 100)
        .await
        .unwrap();
    let completed = events.iter().filter(|(_, event)| event.name == "completed");
    assert_eq!(completed.count(), 1);
}

pub async fn events_are_kept_in_order(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let details = serde_json::json!({ "page": 7 });
    harness
        .store
        .event(&claim, "note", details.clone())
        .await
        .unwrap();
    let events = harness
        .store
        .events(&tenant(), &claim.job, 0, 100)
        .await
        .unwrap();
    let names: Vec<_> = events
        .iter()
        .map(|(_, event)| event.name.as_str())
        .collect();
    assert_eq!(names, ["claimed", "preparing", "running", "note"]);
    assert_eq!(events[3].1.details, details);
    let after = harness
        .store
        .events(&tenant(), &claim.job, events[1].0, 1)
        .await
        .unwrap();
    assert_eq!(after, [events[2].clone()]);
}

pub async fn a_summary_needs_no_claim(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let barrier = checkpoint(1, vec![position(0, 0, 1)], Vec::new());
    harness.store.checkpoint(&claim, &barrier).await.unwrap();
    harness.record(&claim, Transition::Cancelled).await;
    let summary = harness.store.summary(&tenant(), &claim.job).await.unwrap();
    assert_eq!(summary.len(), 1);
    assert_eq!(summary[0].stream, STREAM);
    assert_eq!(
        (summary[0].totals.rows_read, summary[0].totals.requests),
        (10, 1)
    );
}

pub async fn purging_spares_what_is_needed(harness: &Harness) {
    let store = &harness.store;
    let done = harness.completed("done").await;
    harness.record(&done, Transition::Discarded).await;
    harness.completed("leftovers").await;
    let kept = harness.running("kept").await;
    harness.record(&kept, failed(None, true)).await;
    harness.clock.advance(Duration::from_secs(10));
    let before = |seconds: i64| -> DateTime<Utc> {
        harness.clock.now() - chrono::Duration::seconds(seconds)
    };

    assert!(store.purge(before(11), false).await.unwrap().is_empty());
    assert_eq!(
        store.purge(before(1), true).await.unwrap(),
        [JobId::new("done")]
    );
    assert_eq!(
        store.purge(before(1), false).await.unwrap(),
        [JobId::new("done")]
    );
    let left = list(
        harness,
        &JobFilter {
            limit: 10,
            ..JobFilter::default()
        },
    )
    .await;
    assert_eq!(left, ["kept", "leftovers"]);

    assert_eq!(
        store.expire_kept(before(1), true).await.unwrap(),
        [JobId::new("kept")]
    );
    assert_eq!(harness.job("kept").await.parts, PartsState::Kept);
    store.expire_kept(before(1), false).await.unwrap();
    assert_eq!(harness.job("kept").await.parts, PartsState::Leftover);
    let reopened = store
        .reopen(&tenant(), &JobId::new("kept"), &super::operator())
        .await;
    assert_eq!(kind(reopened), ErrorKind::Conflict);
}

async fn forget_all(harness: &Harness) {
    for (job, _) in harness.store.undiscarded(100).await.unwrap() {
        harness.store.discarded(&job.id).await.unwrap();
    }
    harness.clock.advance(Duration::from_secs(1));
    harness
        .store
        .purge(harness.clock.now(), false)
        .await
        .unwrap();
}

async fn list(harness: &Harness, filter: &JobFilter) -> Vec<String> {
    let jobs = harness.store.list(&tenant(), filter).await.unwrap();
    jobs.into_iter().map(|job| job.id.0).collect()
}

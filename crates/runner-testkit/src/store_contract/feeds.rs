//! State of feeds between runs.

use runner_core::checkpoint::{Observed, ObservedField};
use runner_core::feed::{DriftDecision, DriftRecord};
use runner_core::{Clock as _, CursorState, ErrorKind, FeedState, JobId, Seq, Transition};

use super::{Harness, STREAM, committed, kind, operator};
use crate::plans::{feed, new_job, plan, tenant};

pub async fn cursors_move_in_the_commit_only(harness: &Harness) {
    let store = &harness.store;
    let claim = harness.running("job-1").await;
    let new = [cursor("", "5")];
    let early = store.advance(&claim, None, &new).await;
    assert_eq!(kind(early), ErrorKind::Conflict);
    harness.commit(&claim, Vec::new()).await;
    // A cursor ahead of a sink that has not committed would lose rows.
    let before_sinks = store.advance(&claim, None, &new).await;
    assert_eq!(kind(before_sinks), ErrorKind::Internal);
    assert_eq!(stored(harness, "").await, None);
    harness.record(&claim, committed()).await;
    store.advance(&claim, None, &new).await.unwrap();
    store.advance(&claim, None, &new).await.unwrap();
    let moved = CursorState {
        updated_by: Some(JobId::new("job-1")),
        ..cursor("", "5")
    };
    assert_eq!(stored(harness, "").await, Some(moved));
    harness.record(&claim, Transition::Completed).await;
    assert!(store.advance(&claim, None, &new).await.is_err());
}

pub async fn empty_position(harness: &Harness) {
    let store = &harness.store;
    store
        .set_cursor(&feed(), &cursor("", "5"), &operator())
        .await
        .unwrap();
    let empty = CursorState {
        cursor: None,
        ..cursor("", "5")
    };
    let set = store.set_cursor(&feed(), &empty, &operator()).await;
    assert_eq!(kind(set), ErrorKind::Internal);
    let claim = harness.committing("job-1", Vec::new()).await;
    harness.record(&claim, committed()).await;
    let moved = store.advance(&claim, None, &[empty]).await;
    assert_eq!(kind(moved), ErrorKind::Internal);
    let kept = stored(harness, "").await.and_then(|state| state.cursor);
    assert_eq!(kept.as_deref(), Some("5"));
}

pub async fn cursors_of_parents_are_rows(harness: &Harness) {
    let store = &harness.store;
    let claim = harness.committing("job-1", Vec::new()).await;
    harness.record(&claim, committed()).await;
    let many: Vec<_> = (0..5_000)
        .map(|number| cursor(&format!("v{number:05}"), &number.to_string()))
        .collect();
    store.advance(&claim, None, &many).await.unwrap();
    let later = [cursor("v00001", "777")];
    store.advance(&claim, None, &later).await.unwrap();
    let page = store.cursors(&feed(), Some(STREAM), None, 2).await.unwrap();
    let values: Vec<_> = page
        .iter()
        .map(|state| (state.value.as_str(), state.cursor.as_deref()))
        .collect();
    assert_eq!(values, [("v00000", Some("0")), ("v00001", Some("777"))]);
    let next = store
        .cursors(&feed(), Some(STREAM), Some((STREAM, "v00001")), 10_000)
        .await
        .unwrap();
    assert_eq!(next.len(), 4_998);
    let all = store.cursors(&feed(), None, None, 10_000).await.unwrap();
    assert_eq!(all.len(), 5_000);
    let none = store
        .cursors(&feed(), Some("items"), None, 10)
        .await
        .unwrap();
    assert!(none.is_empty());
}

pub async fn state_comes_back(harness: &Harness) {
    let store = &harness.store;
    assert_eq!(store.state(&feed()).await.unwrap(), FeedState::default());
    let state = FeedState {
        accepted: [(STREAM.to_owned(), observed())].into(),
        accepted_for: [(
            STREAM.to_owned(),
            [("id".to_owned(), "integer".to_owned())].into(),
        )]
        .into(),
        ..FeedState::default()
    };
    let claim = harness.committing("job-1", Vec::new()).await;
    harness.record(&claim, committed()).await;
    store
        .advance(&claim, Some(&state), &[cursor("", "1")])
        .await
        .unwrap();
    assert_eq!(store.state(&feed()).await.unwrap(), state);
    store
        .advance(&claim, None, &[cursor("", "2")])
        .await
        .unwrap();
    assert_eq!(store.state(&feed()).await.unwrap(), state);
    harness.record(&claim, Transition::Completed).await;
    assert_eq!(store.feeds(&tenant()).await.unwrap(), [(feed(), Seq(1))]);
    assert_eq!(
        store
            .reset(&feed(), Some("items"), &operator())
            .await
            .unwrap(),
        0
    );
    assert_eq!(store.state(&feed()).await.unwrap(), state);
    assert_eq!(
        store
            .reset(&feed(), Some(STREAM), &operator())
            .await
            .unwrap(),
        1
    );
    assert_eq!(store.state(&feed()).await.unwrap(), FeedState::default());
    assert_eq!(stored(harness, "").await, None);
}

pub async fn operators_wait_for_runs(harness: &Harness) {
    let store = &harness.store;
    let claim = harness.running("job-1").await;
    let set = store
        .set_cursor(&feed(), &cursor("", "5"), &operator())
        .await;
    assert_eq!(kind(set), ErrorKind::Conflict);
    let reset = store.reset(&feed(), None, &operator()).await;
    assert_eq!(kind(reset), ErrorKind::Conflict);
    harness.record(&claim, Transition::Cancelled).await;
    store
        .set_cursor(&feed(), &cursor("", "5"), &operator())
        .await
        .unwrap();
    assert_eq!(stored(harness, "").await, Some(cursor("", "5")));
    let entries = store.audit(&tenant(), 0, 10).await.unwrap();
    let actions: Vec<_> = entries
        .iter()
        .map(|(_, entry)| entry.action.as_str())
        .collect();
    assert_eq!(actions, ["set_cursor"]);
}

pub async fn a_seq_is_raised(harness: &Harness) {
    let store = &harness.store;
    assert_eq!(
        store
            .raise_seq(&feed(), Seq(41), &operator())
            .await
            .unwrap(),
        Seq(41)
    );
    // It only grows.
    assert_eq!(
        store.raise_seq(&feed(), Seq(7), &operator()).await.unwrap(),
        Seq(41)
    );
    store
        .create(new_job("job-1", plan(&[STREAM])), None)
        .await
        .unwrap();
    assert_eq!(harness.job("job-1").await.seq, Seq(41));
}

pub async fn drift_is_kept_once_a_job(harness: &Harness) {
    let claim = harness.running("job-1").await;
    for decision in [DriftDecision::Blocked, DriftDecision::Accepted] {
        let record = record(harness, "job-1", decision);
        harness.store.record_drift(&claim, &record).await.unwrap();
    }
    harness.record(&claim, Transition::Cancelled).await;
    let claim = harness.running("job-2").await;
    let second = record(harness, "job-2", DriftDecision::Recorded);
    harness.store.record_drift(&claim, &second).await.unwrap();
    let history = harness.store.drift(&feed(), 10).await.unwrap();
    let decisions: Vec<_> = history
        .iter()
        .map(|record| (record.job.as_str(), record.decision))
        .collect();
    assert_eq!(
        decisions,
        [
            ("job-2", DriftDecision::Recorded),
            ("job-1", DriftDecision::Accepted)
        ]
    );
}

pub async fn accepting_drift_is_noted(harness: &Harness) {
    let store = &harness.store;
    let claim = harness.running("job-1").await;
    let blocked = record(harness, "job-1", DriftDecision::Blocked);
    store.record_drift(&claim, &blocked).await.unwrap();
    harness
        .record(&claim, super::failed(Some("drift"), true))
        .await;
    store
        .accept_schema(&feed(), STREAM, &observed(), &operator())
        .await
        .unwrap();
    assert_eq!(
        store.state(&feed()).await.unwrap().accepted[STREAM],
        observed()
    );
    let history = store.drift(&feed(), 1).await.unwrap();
    assert_eq!(history[0].decision, DriftDecision::AcceptedByOperator);
    let entries = store.audit(&tenant(), 0, 10).await.unwrap();
    assert_eq!(entries[0].1.action, "accept_schema");
}

async fn stored(harness: &Harness, value: &str) -> Option<CursorState> {
    harness.store.cursor(&feed(), STREAM, value).await.unwrap()
}

fn cursor(value: &str, at: &str) -> CursorState {
    CursorState {
        stream: STREAM.to_owned(),
        value: value.to_owned(),
        cursor: Some(at.to_owned()),
        boundary: [("hash".to_owned(), 2)].into(),
        updated_by: None,
    }
}

fn observed() -> Observed {
    let field = ObservedField {
        types: vec!["integer".to_owned()],
        present: 1,
        nulls: 0,
        outgrown: 0,
    };
    Observed {
        fields: [("id".to_owned(), field)].into(),
        rows: 1,
    }
}

fn record(harness: &Harness, job: &str, decision: DriftDecision) -> DriftRecord {
    DriftRecord {
        job: JobId::new(job),
        stream: STREAM.to_owned(),
        at: harness.clock.now(),
        changes: Vec::new(),
        decision,
    }
}

//! Checkpoints: all of a barrier or none of it, counted once, and only the last generation of a chain.

use runner_core::checkpoint::{
    ChainCounters, ChainCursor, Observed, ObservedField, SchemaRecord, Totals, Warning,
};
use runner_core::job::JobState;
use runner_core::{ChainEnd, ChainKey, Checkpoint, ErrorKind, Position, Transition};
use runner_plan::model::{ColumnField, ColumnType};

use super::{Harness, LEASE, STREAM, chain, checkpoint, kind, part, position, quarantined};

pub async fn everything_of_a_barrier_comes_back(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let first = Checkpoint {
        schemas: vec![schema(1)],
        observed: observed("integer"),
        cursors: vec![cursor(0, 0, "5")],
        warnings: vec![warning(0)],
        ..checkpoint(1, vec![position(0, 0, 1)], vec![part("a", 9, 0, 0)])
    };
    let second = Checkpoint {
        observed: observed("string"),
        cursors: vec![cursor(0, 0, "7")],
        warnings: vec![warning(0), warning(1)],
        ..checkpoint(
            2,
            vec![position(0, 0, 2), position(1, 0, 1)],
            vec![
                part("b", 18, 0, 0),
                quarantined("q", &[(0, 0, 1), (1, 0, 1)]),
            ],
        )
    };
    harness.store.checkpoint(&claim, &first).await.unwrap();
    harness.store.checkpoint(&claim, &second).await.unwrap();
    // Another stream's barriers are its own.
    let other = Checkpoint {
        stream: "items".to_owned(),
        ..checkpoint(1, vec![position(0, 0, 1)], Vec::new())
    };
    harness.store.checkpoint(&claim, &other).await.unwrap();

    let state = harness.store.resume_state(&claim, STREAM).await.unwrap();
    assert_eq!(state.positions, [position(0, 0, 2), position(1, 0, 1)]);
    assert_eq!(state.schema, Some(schema(1)));
    assert_eq!(state.cursors, [cursor(0, 0, "7")]);
    assert_eq!(state.warnings, [warning(0), warning(1)]);
    let field = &state.observed.fields["id"];
    assert_eq!(field.types, ["integer", "string"]);
    assert_eq!(
        (field.present, field.nulls, state.observed.rows),
        (20, 2, 20)
    );
    let totals = &state.totals;
    assert_eq!(
        (totals.requests, totals.bytes_read, totals.pages),
        (2, 200, 3)
    );
    assert_eq!(
        (
            totals.rows_read,
            totals.rows_passed,
            totals.rows_quarantined
        ),
        (30, 27, 3)
    );
    assert_eq!((totals.required_cells, totals.required_present), (60, 57));
    let names: Vec<_> = harness.store.parts(&claim).await.unwrap();
    let names: Vec<_> = names.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "q"]);
}

/// Nothing of a barrier that was refused is there: the position is not ahead of the rows, nor the rows of the position.
pub async fn durable_before_ack(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let good = checkpoint(1, vec![position(0, 0, 2)], vec![part("a", 9, 0, 0)]);
    harness.store.checkpoint(&claim, &good).await.unwrap();
    let before = harness.store.resume_state(&claim, STREAM).await.unwrap();
    let backward = Checkpoint {
        observed: observed("string"),
        warnings: vec![warning(3)],
        schemas: vec![schema(4)],
        ..checkpoint(
            2,
            vec![position(1, 0, 1), position(0, 0, 1)],
            vec![part("b", 9, 1, 0)],
        )
    };
    assert!(harness.store.checkpoint(&claim, &backward).await.is_err());
    let same_name = checkpoint(2, vec![position(0, 0, 3)], vec![part("a", 9, 0, 0)]);
    assert!(harness.store.checkpoint(&claim, &same_name).await.is_err());
    let after = harness.store.resume_state(&claim, STREAM).await.unwrap();
    assert_eq!(after, before);
    assert_eq!(
        harness.store.parts(&claim).await.unwrap(),
        [part("a", 9, 0, 0)]
    );

    // Once the gates look at it, nothing is added any more.
    harness
        .record(&claim, Transition::To(JobState::Gating))
        .await;
    let late = checkpoint(2, vec![position(0, 0, 3)], Vec::new());
    assert_eq!(
        kind(harness.store.checkpoint(&claim, &late).await),
        ErrorKind::Conflict
    );
}

pub async fn a_repeated_barrier_counts_once(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let store = &harness.store;
    let first = checkpoint(1, vec![position(0, 0, 1)], vec![part("a", 9, 0, 0)]);
    store.checkpoint(&claim, &first).await.unwrap();
    store.checkpoint(&claim, &first).await.unwrap();
    let totals = store.resume_state(&claim, STREAM).await.unwrap().totals;
    assert_eq!((totals.rows_read, totals.requests), (10, 1));
    assert_eq!(store.parts(&claim).await.unwrap().len(), 1);
    for barrier in [0, 3] {
        let gap = checkpoint(barrier, vec![position(0, 0, 2)], Vec::new());
        assert_eq!(
            kind(store.checkpoint(&claim, &gap).await),
            ErrorKind::Internal
        );
    }

    // The next attempt counts its barriers from one again.
    harness.clock.advance(LEASE);
    let claim = harness.claim("job-1", "other").await;
    let again = checkpoint(1, vec![position(0, 0, 2)], Vec::new());
    store.checkpoint(&claim, &again).await.unwrap();
    let totals = store.resume_state(&claim, STREAM).await.unwrap().totals;
    assert_eq!(totals.rows_read, 20);
}

pub async fn superseded_rows_are_left_out(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let store = &harness.store;
    let before = vec![position(0, 0, 1), position(1, 0, 1)];
    store
        .checkpoint(&claim, &checkpoint(1, before, Vec::new()))
        .await
        .unwrap();
    // Chain 0 starts over, twice within one barrier: what its first two generations counted is gone.
    let mut again = checkpoint(2, vec![position(0, 2, 1)], vec![part("b", 9, 0, 2)]);
    again.counters.chains.push(ChainCounters {
        chain: 0,
        generation: 1,
        rows_read: 1_000,
        ..ChainCounters::default()
    });
    again.cursors = vec![cursor(0, 2, "3"), cursor(0, 1, "9")];
    store.checkpoint(&claim, &again).await.unwrap();
    let state = store.resume_state(&claim, STREAM).await.unwrap();
    assert_eq!(
        (
            state.totals.rows_read,
            state.totals.pages,
            state.totals.requests
        ),
        (20, 2, 2)
    );
    assert_eq!(state.positions, [position(0, 2, 1), position(1, 0, 1)]);
    assert_eq!(state.cursors, [cursor(0, 2, "3")]);
    let generations = store.generations(&claim, STREAM).await.unwrap();
    assert_eq!(generations, [(0, 2)].into());
}

/// What was sealed can't be read as its columns are now: nothing of it is left, so that the next barrier is as the first.
pub async fn a_stream_that_starts_over_is_forgotten(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let store = &harness.store;
    let values = ["a".to_owned()];
    let first = Checkpoint {
        schemas: vec![schema(0), schema(1)],
        observed: observed("integer"),
        cursors: vec![cursor(0, 1, "5")],
        warnings: vec![warning(0)],
        ..checkpoint(
            1,
            vec![position(0, 1, 1), ended(1)],
            vec![part("a", 9, 0, 1), quarantined("q", &[(0, 1, 1)])],
        )
    };
    let mut other_part = part("b", 9, 0, 0);
    "items".clone_into(&mut other_part.input);
    let other = Checkpoint {
        stream: "items".to_owned(),
        ..checkpoint(1, vec![position(0, 0, 1)], vec![other_part.clone()])
    };
    for (stream, barrier) in [(STREAM, &first), ("items", &other)] {
        store
            .seal_values(&claim, stream, "id", &values, true)
            .await
            .unwrap();
        store.checkpoint(&claim, barrier).await.unwrap();
    }
    let untouched = store.resume_state(&claim, "items").await.unwrap();

    for _ in 0..2 {
        store
            .start_over(&claim, STREAM, &schema(3), &warning(1))
            .await
            .unwrap();
        let state = store.resume_state(&claim, STREAM).await.unwrap();
        assert_eq!((state.positions.len(), state.cursors.len()), (0, 0));
        assert_eq!(state.schema, Some(schema(3)));
        assert_eq!(state.observed, Observed::default());
        assert_eq!(state.warnings, [warning(0), warning(1)]);
        let sent = Totals {
            requests: 1,
            bytes_read: 100,
            ..Totals::default()
        };
        assert_eq!(state.totals, sent);
        assert_eq!(store.schemas(&claim, STREAM).await.unwrap(), [schema(3)]);
        assert_eq!(store.parts(&claim).await.unwrap(), [other_part.clone()]);
        let sealed = store.values(&claim, STREAM, "id", 0, 9).await.unwrap();
        assert_eq!(sealed, (Vec::new(), false));
        assert!(store.generations(&claim, STREAM).await.unwrap().is_empty());
        let ended = store.ended_chains(&claim, STREAM, 0, 9).await.unwrap();
        assert_eq!(ended, [0; 0]);
    }
    let items = store.resume_state(&claim, "items").await.unwrap();
    assert_eq!(items, untouched);
    let sealed = store.values(&claim, "items", "id", 0, 9).await.unwrap();
    assert_eq!(sealed, (values.to_vec(), true));

    let again = checkpoint(1, vec![position(0, 0, 1)], vec![part("c", 9, 0, 0)]);
    store.checkpoint(&claim, &again).await.unwrap();
    let totals = store.resume_state(&claim, STREAM).await.unwrap().totals;
    assert_eq!((totals.rows_read, totals.requests), (10, 2));

    harness.clock.advance(LEASE);
    harness.claim("job-1", "other").await;
    let late = store
        .start_over(&claim, STREAM, &schema(4), &warning(2))
        .await;
    assert_eq!(kind(late), ErrorKind::Conflict);
}

pub async fn a_position_only_moves_forward(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let store = &harness.store;
    let start = vec![position(0, 1, 5), ended(1)];
    store
        .checkpoint(&claim, &checkpoint(1, start, Vec::new()))
        .await
        .unwrap();
    for backward in [position(0, 1, 4), position(0, 0, 9), position(1, 0, 3)] {
        let refused = checkpoint(2, vec![backward.clone()], Vec::new());
        assert_eq!(
            kind(store.checkpoint(&claim, &refused).await),
            ErrorKind::Internal,
            "{backward:?}"
        );
    }
    let forward = checkpoint(2, vec![position(0, 1, 5), position(1, 1, 1)], Vec::new());
    store.checkpoint(&claim, &forward).await.unwrap();
}

pub async fn resume_loads_open_chains_only(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let store = &harness.store;
    let mut barrier = checkpoint(1, vec![ended(0), position(1, 0, 1), ended(2)], Vec::new());
    barrier.cursors = vec![cursor(0, 0, "1"), cursor(1, 0, "2")];
    store.checkpoint(&claim, &barrier).await.unwrap();
    let state = store.resume_state(&claim, STREAM).await.unwrap();
    assert_eq!(state.positions, [position(1, 0, 1)]);
    assert_eq!(state.cursors, [cursor(1, 0, "2")]);
    assert_eq!(
        state.totals.chains_ended,
        [("natural".to_owned(), 2)].into()
    );
    assert_eq!(state.totals.rows_read, 30);
    assert_eq!(
        store.ended_chains(&claim, STREAM, 0, 3).await.unwrap(),
        [0, 2]
    );
    assert_eq!(
        store.ended_chains(&claim, STREAM, 1, 2).await.unwrap(),
        [0; 0]
    );
}

/// State of parents is rows, written and read in pages: neither a blob nor a statement a value.
pub async fn many_parents(harness: &Harness) {
    const PARENTS: u64 = 20_000;
    const PAGE: u64 = 5_000;
    let claim = harness.running("job-1").await;
    let store = &harness.store;
    for (barrier, from) in (0..PARENTS).step_by(5_000).enumerate() {
        let values: Vec<String> = (from..from + PAGE)
            .map(|index| format!("v{index}"))
            .collect();
        let complete = from + PAGE == PARENTS;
        store
            .seal_values(&claim, "parents", "id", &values, complete)
            .await
            .unwrap();
        let positions = (from..from + PAGE).map(ended).collect();
        let mut barrier = checkpoint(barrier as u64 + 1, positions, Vec::new());
        barrier.cursors = (from..from + PAGE)
            .map(|index| cursor(index, 0, "1"))
            .collect();
        store.checkpoint(&claim, &barrier).await.unwrap();
    }
    let state = store.resume_state(&claim, STREAM).await.unwrap();
    assert!(state.positions.is_empty() && state.cursors.is_empty());
    assert_eq!(state.totals.rows_read, PARENTS * 10);
    let (page, complete) = store
        .values(&claim, "parents", "id", 19_999, 10)
        .await
        .unwrap();
    assert_eq!((page, complete), (vec!["v19999".to_owned()], true));
    let ended = store.ended_chains(&claim, STREAM, 0, 7_000).await.unwrap();
    assert_eq!(ended.len(), 7_000);
    let mut seen = 0;
    let mut after: Option<ChainKey> = None;
    loop {
        let page = store
            .chain_outcomes(&claim, STREAM, after.as_ref(), 3_000)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.chain.clone());
        seen += page.len() as u64;
        assert!(page.iter().all(|outcome| outcome.cursor.is_some()));
    }
    assert_eq!(seen, PARENTS);
}

pub async fn values_are_distinct_and_in_order(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let store = &harness.store;
    let seal = async |values: &[&str], complete: bool| {
        let values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
        store
            .seal_values(&claim, STREAM, "id", &values, complete)
            .await
    };
    let odd = "a\u{0}b \"quoted\" – ü";
    seal(&["b", "a", "b", "1"], false).await.unwrap();
    // The page that the crash interrupted comes again.
    seal(&["b", "a", "b", "1", odd, "", "01", "1.0"], false)
        .await
        .unwrap();
    seal(&[], true).await.unwrap();
    let (values, complete) = store.values(&claim, STREAM, "id", 0, 100).await.unwrap();
    assert_eq!(values, ["b", "a", "1", odd, "", "01", "1.0"]);
    assert!(complete);
    let (values, _) = store.values(&claim, STREAM, "id", 1, 2).await.unwrap();
    assert_eq!(values, ["a", "1"]);
    seal(&["a"], true).await.unwrap();
    assert_eq!(kind(seal(&["new"], true).await), ErrorKind::Internal);
    let (none, complete) = store.values(&claim, STREAM, "other", 0, 9).await.unwrap();
    assert_eq!((none.len(), complete), (0, false));
}

pub async fn outcomes_are_paged_by_value(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let key = |index: u64, value: &str, window: u32| ChainKey {
        index,
        value: value.to_owned(),
        window,
    };
    let keys = [
        key(0, "b", 0),
        key(1, "a", 1),
        key(2, "a", 0),
        key(3, "", 0),
    ];
    let positions = keys
        .iter()
        .map(|key| Position {
            chain: key.clone(),
            end: (key.value != "b").then_some(ChainEnd::MaxPages),
            ..position(key.index, 0, 1)
        })
        .collect();
    harness
        .store
        .checkpoint(&claim, &checkpoint(1, positions, Vec::new()))
        .await
        .unwrap();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = harness
            .store
            .chain_outcomes(&claim, STREAM, after.as_ref(), 1)
            .await
            .unwrap();
        let Some(outcome) = page.into_iter().next() else {
            break;
        };
        after = Some(outcome.chain.clone());
        seen.push((outcome.chain.index, outcome.end));
    }
    let cut = Some(ChainEnd::MaxPages);
    assert_eq!(seen, [(3, cut), (2, cut), (1, cut), (0, None)]);
}

pub async fn a_stale_attempt_stores_nothing(harness: &Harness) {
    let stale = harness.running("job-1").await;
    harness.clock.advance(LEASE);
    let claim = harness.claim("job-1", "other").await;
    let late = checkpoint(1, vec![position(0, 0, 9)], vec![part("late", 9, 0, 0)]);
    let refused = harness.store.checkpoint(&stale, &late).await;
    assert_eq!(kind(refused), ErrorKind::Conflict);
    assert!(harness.store.parts(&claim).await.unwrap().is_empty());
    let found = harness.store.resume_state(&claim, STREAM).await.unwrap();
    assert!(found.positions.is_empty());
}

pub async fn schema_versions_are_kept(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let store = &harness.store;
    let first = Checkpoint {
        schemas: vec![schema(1), schema(2)],
        ..checkpoint(1, Vec::new(), Vec::new())
    };
    store.checkpoint(&claim, &first).await.unwrap();
    let second = Checkpoint {
        schemas: vec![schema(2), schema(3)],
        ..checkpoint(2, Vec::new(), Vec::new())
    };
    store.checkpoint(&claim, &second).await.unwrap();
    let stored = store.schemas(&claim, STREAM).await.unwrap();
    assert_eq!(stored, [schema(1), schema(2), schema(3)]);
    assert_eq!(
        store.resume_state(&claim, STREAM).await.unwrap().schema,
        Some(schema(3))
    );
    // Parts were written with version 3 as it is.
    let mut other = schema(3);
    other.columns.pop();
    let changed = Checkpoint {
        schemas: vec![other],
        ..checkpoint(3, Vec::new(), Vec::new())
    };
    assert_eq!(
        kind(store.checkpoint(&claim, &changed).await),
        ErrorKind::Internal
    );
}

pub async fn warnings_are_bounded(harness: &Harness) {
    let claim = harness.running("job-1").await;
    let barrier = Checkpoint {
        warnings: (0..1_500).map(warning).collect(),
        ..checkpoint(1, Vec::new(), Vec::new())
    };
    harness.store.checkpoint(&claim, &barrier).await.unwrap();
    let state = harness.store.resume_state(&claim, STREAM).await.unwrap();
    assert_eq!(state.warnings.len(), 1_001);
    assert_eq!(state.warnings[1_000].code, "more_warnings");
}

fn ended(index: u64) -> Position {
    Position {
        end: Some(ChainEnd::Natural),
        next: None,
        ..position(index, 0, 1)
    }
}

fn cursor(index: u64, generation: u32, maximum: &str) -> ChainCursor {
    ChainCursor {
        chain: chain(index),
        generation,
        maximum: Some(maximum.to_owned()),
        boundary: [("hash".to_owned(), 2)].into(),
        ..ChainCursor::default()
    }
}

fn warning(number: u32) -> Warning {
    Warning {
        code: "cut_off".to_owned(),
        stream: Some(STREAM.to_owned()),
        message: format!("chain {number} was cut off"),
    }
}

fn observed(type_name: &str) -> Observed {
    let field = ObservedField {
        types: vec![type_name.to_owned()],
        present: 10,
        nulls: 1,
        outgrown: 0,
    };
    Observed {
        fields: [("id".to_owned(), field)].into(),
        rows: 10,
    }
}

fn schema(version: u32) -> SchemaRecord {
    let columns = (0..version)
        .map(|number| ColumnField {
            name: format!("column_{number}"),
            column_type: ColumnType::Integer,
            nullable: true,
        })
        .collect();
    SchemaRecord {
        version,
        columns,
        ..SchemaRecord::default()
    }
}

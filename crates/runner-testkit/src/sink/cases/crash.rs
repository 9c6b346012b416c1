//! Processes that die, chains that start over, leftovers.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use runner_connectors::sink::RowOrigin;

use super::{people, person, table};
use crate::sink::values::batch;
use crate::sink::{Bench, SinkHarness, TableSpec};

fn origin(chain: u64, generation: u32) -> RowOrigin {
    RowOrigin { chain, generation }
}

pub(super) async fn sealed_parts_survive_their_process(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &table("crash_sealed"), people());
    let load = bench.load(1);
    let mut writer = bench.writer(&load).await;
    writer
        .write(&batch(&people(), &[person(1, "ada")]), origin(0, 0))
        .await
        .unwrap();
    let mut parts = writer.seal().await.unwrap();
    assert_eq!(writer.unsealed().rows, 0);
    writer
        .write(&batch(&people(), &[person(2, "lost")]), origin(0, 0))
        .await
        .unwrap();
    assert_eq!(writer.unsealed().rows, 1);
    // The process dies here: what it had not sealed is gone.
    drop(writer);
    let resumed = load.clone().attempt(2);
    parts.extend(bench.sealed(&resumed, 0, &[person(2, "grace")]).await);
    bench.assert_visible(&[]).await;
    bench.finish(&resumed, parts).await.unwrap();
    bench
        .assert_visible(&[person(1, "ada"), person(2, "grace")])
        .await;
}

pub(super) async fn what_is_not_sealed_never_shows(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &table("crash_unsealed"), people());
    let load = bench.load(1);
    let mut writer = bench.writer(&load).await;
    writer
        .write(&batch(&people(), &[person(1, "lost")]), origin(0, 0))
        .await
        .unwrap();
    writer.abort().await.unwrap();
    assert_eq!(writer.unsealed().rows, 0);
    assert!(writer.seal().await.unwrap().is_empty());
    bench.finish(&load, Vec::new()).await.unwrap();
    bench.assert_visible(&[]).await;
}

/// After any sink error the count at the destination is exact on the next attempt.
pub(super) async fn buffered_sink_error(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &table("crash_error"), people());
    let load = bench.load(1);
    let mut writer = bench.writer(&load).await;
    let rows = [person(1, "ada"), person(2, "grace"), person(3, "edsger")];
    writer
        .write(&batch(&people(), &rows[..1]), origin(0, 0))
        .await
        .unwrap();
    let mut parts = writer.seal().await.unwrap();
    writer
        .write(&batch(&people(), &rows[1..2]), origin(0, 0))
        .await
        .unwrap();
    // A batch of other columns can't be written, whatever was buffered before it.
    let wrong = batch(&people()[..1], &[person(9, "")]);
    assert!(writer.write(&wrong, origin(0, 0)).await.is_err());
    let _ = writer.abort().await;
    drop(writer);
    let resumed = load.clone().attempt(2);
    parts.extend(bench.sealed(&resumed, 0, &rows[1..]).await);
    bench.finish(&resumed, parts).await.unwrap();
    bench.assert_visible(&rows).await;
}

/// A process that dies between a seal and its checkpoint leaves rows beside recorded ones.
pub(super) async fn sealed_parts_that_nobody_recorded_are_left_out(harness: &dyn SinkHarness) {
    for key in [Vec::new(), vec!["id"]] {
        let spec = TableSpec {
            primary_key: key.clone(),
            ..table(&format!("crash_unrecorded_{}", key.len()))
        };
        let bench = Bench::new(harness, &spec, people());
        let load = bench.load(1);
        let mut parts = Vec::new();
        let mut writer = bench.writer(&load).await;
        for (id, is_recorded) in [(1, true), (2, false)] {
            writer
                .write(&batch(&people(), &[person(id, "first")]), origin(0, 0))
                .await
                .unwrap();
            let sealed = writer.seal().await.unwrap();
            parts.extend(sealed.into_iter().filter(|_| is_recorded));
        }
        drop(writer);
        let resumed = load.clone().attempt(2);
        let rest = [person(2, "second"), person(3, "second")];
        parts.extend(bench.sealed(&resumed, 0, &rest).await);
        bench.finish(&resumed, parts).await.unwrap();
        bench
            .assert_visible(&[person(1, "first"), rest[0].clone(), rest[1].clone()])
            .await;
    }
}

/// What one writer sealed may be discarded in pieces.
pub(super) async fn discarding_a_part_spares_its_neighbour(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &table("crash_discard_one"), people());
    let load = bench.load(1);
    let mut writer = bench.writer(&load).await;
    let mut sealed = Vec::new();
    for id in [1, 2] {
        writer
            .write(&batch(&people(), &[person(id, "ada")]), origin(0, 0))
            .await
            .unwrap();
        sealed.push(writer.seal().await.unwrap());
    }
    drop(writer);
    bench.open().await.discard(&sealed[0]).await.unwrap();
    bench.finish(&load, sealed.remove(1)).await.unwrap();
    bench.assert_visible(&[person(2, "ada")]).await;
}

pub(super) async fn discarded_parts_are_gone(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &table("crash_discard"), people());
    bench.loaded(1, &[person(1, "ada")]).await.unwrap();
    let load = bench.load(2);
    let parts = bench.sealed(&load, 0, &[person(2, "blocked")]).await;
    assert!(!harness.staged(&bench.plan).await.is_empty());
    let target = bench.open().await;
    target.discard(&parts).await.unwrap();
    target.discard(&parts).await.unwrap();
    assert_eq!(harness.staged(&bench.plan).await, Vec::<String>::new());
    bench.assert_visible(&[person(1, "ada")]).await;
    bench.loaded(3, &[person(3, "grace")]).await.unwrap();
    bench
        .assert_visible(&[person(1, "ada"), person(3, "grace")])
        .await;
}

pub(super) async fn superseded_rows_are_left_out(harness: &dyn SinkHarness) {
    for key in [Vec::new(), vec!["id"]] {
        let spec = TableSpec {
            primary_key: key.clone(),
            ..table(&format!("crash_superseded_{}", key.len()))
        };
        let bench = Bench::new(harness, &spec, people());
        let mut load = bench.load(1);
        let mut writer = bench.writer(&load).await;
        for (chain, generation, id, name) in [
            (0, 0, 1, "stays"),
            (1, 0, 2, "superseded"),
            (2, 0, 3, "stays"),
            (1, 0, 4, "superseded"),
            (1, 1, 2, "read again"),
        ] {
            let rows = batch(&people(), &[person(id, name)]);
            writer
                .write(&rows, origin(chain, generation))
                .await
                .unwrap();
        }
        let mut parts = writer.seal().await.unwrap();
        let rows = batch(&people(), &[person(5, "superseded")]);
        writer.write(&rows, origin(1, 0)).await.unwrap();
        parts.extend(writer.seal().await.unwrap());
        let rows = batch(&people(), &[person(5, "read again")]);
        writer.write(&rows, origin(1, 1)).await.unwrap();
        parts.extend(writer.seal().await.unwrap());
        load.context.generations.insert(("rows".to_owned(), 1), 1);
        let written = bench.finish(&load, parts).await.unwrap();
        assert_eq!(written.rows, 4);
        bench
            .assert_visible(&[
                person(1, "stays"),
                person(2, "read again"),
                person(3, "stays"),
                person(5, "read again"),
            ])
            .await;
    }
}

pub(super) async fn superseded_rows_are_their_inputs_own(harness: &dyn SinkHarness) {
    let spec = TableSpec {
        inputs: vec!["rows", "more"],
        ..table("crash_inputs")
    };
    let bench = Bench::new(harness, &spec, people());
    let mut load = bench.load(1);
    let mut parts = Vec::new();
    for (input, generation, id) in [("rows", 0, 1), ("more", 0, 2), ("rows", 1, 3)] {
        let mut writer = bench.writer_of(&load, input, &people(), 1).await;
        let rows = batch(&people(), &[person(id, input)]);
        writer.write(&rows, origin(0, generation)).await.unwrap();
        parts.extend(writer.seal().await.unwrap());
    }
    load.context.generations.insert(("rows".to_owned(), 0), 1);
    bench.finish(&load, parts).await.unwrap();
    bench
        .assert_visible(&[person(2, "more"), person(3, "rows")])
        .await;
}

pub(super) async fn preparing_twice_is_fine(harness: &dyn SinkHarness) {
    let spec = TableSpec {
        primary_key: vec!["id"],
        ..table("crash_prepare")
    };
    let bench = Bench::new(harness, &spec, people());
    let mut load = bench.load(1);
    let mut parts = bench.sealed(&load, 0, &[person(1, "superseded")]).await;
    let mut writer = bench.writer(&load).await;
    let rows = [person(1, "first"), person(2, "grace"), person(1, "last")];
    writer
        .write(&batch(&people(), &rows), origin(0, 1))
        .await
        .unwrap();
    parts.extend(writer.seal().await.unwrap());
    load.context.generations.insert(("rows".to_owned(), 0), 1);
    // Once, and lost before it was recorded; then again, and again with what came of it.
    let target = bench.open().await;
    target.prepare(&load.context, parts.clone()).await.unwrap();
    let target = bench.open().await;
    let prepared = target.prepare(&load.context, parts).await.unwrap();
    let prepared = bench
        .open()
        .await
        .prepare(&load.context, prepared)
        .await
        .unwrap();
    target
        .commit(&load.fence(), &load.context, &prepared)
        .await
        .unwrap();
    bench
        .assert_visible(&[person(1, "last"), person(2, "grace")])
        .await;
}

pub(super) async fn sweeping_spares_recorded_parts(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &table("crash_sweep"), people());
    let load = bench.load(1);
    let recorded = bench.sealed(&load, 0, &[person(1, "ada")]).await;
    let forgotten = bench
        .sealed(&load.clone().of_job("job-lost"), 0, &[person(2, "lost")])
        .await;
    let names: BTreeSet<String> = recorded.iter().map(|part| part.name.clone()).collect();
    let target = bench.open().await;
    let long_ago = DateTime::<Utc>::default();
    let later = long_ago + TimeDelta::days(365_000);
    assert!(
        target
            .sweep(&names, long_ago, false)
            .await
            .unwrap()
            .is_empty()
    );
    let shown = target.sweep(&names, later, true).await.unwrap();
    assert_eq!(shown.len(), forgotten.len());
    assert_eq!(target.sweep(&names, later, false).await.unwrap(), shown);
    assert!(target.sweep(&names, later, false).await.unwrap().is_empty());
    bench.finish(&load, recorded).await.unwrap();
    bench.assert_visible(&[person(1, "ada")]).await;
}

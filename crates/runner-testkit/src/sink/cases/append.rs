//! Append: rows are added, once.

use runner_core::ErrorKind;
use runner_plan::model::{ColumnType, Partition, PartitionTransform};
use runner_spec::model::WriteMode;
use serde_json::json;

use super::{people, person, table};
use crate::sink::{Bench, Row, SinkHarness, TableSpec, column, row};

pub(super) async fn the_same_load_twice_is_once(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &table("append_twice"), people());
    let rows = [person(1, "ada"), person(2, "grace")];
    let load = bench.load(1);
    let parts = bench.sealed(&load, 0, &rows).await;
    let target = bench.open().await;
    let parts = target.prepare(&load.context, parts).await.unwrap();
    let first = target
        .commit(&load.fence(), &load.context, &parts)
        .await
        .unwrap();
    assert_eq!((first.rows, first.already_done), (2, false));
    // The same process, then one that has just started.
    for target in [target, bench.open().await] {
        let again = target
            .commit(&load.fence(), &load.context, &parts)
            .await
            .unwrap();
        assert!(again.already_done);
        assert_eq!(again.rows, 2);
        bench.assert_visible(&rows).await;
    }
}

pub(super) async fn later_loads_add(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &table("append_later"), people());
    bench.loaded(1, &[person(1, "ada")]).await.unwrap();
    bench.loaded(5, &[person(1, "ada")]).await.unwrap();
    bench
        .assert_visible(&[person(1, "ada"), person(1, "ada")])
        .await;
}

pub(super) async fn a_stale_load_conflicts(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &table("append_stale"), people());
    let stale = bench.load(1);
    let equal = bench.load(2).of_job("job-other");
    let stale_parts = bench.sealed(&stale, 0, &[person(1, "late")]).await;
    let equal_parts = bench.sealed(&equal, 0, &[person(2, "late")]).await;
    bench.loaded(2, &[person(3, "ada")]).await.unwrap();
    for (load, parts) in [(stale, stale_parts), (equal, equal_parts)] {
        let error = bench.finish(&load, parts).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    }
    bench.assert_visible(&[person(3, "ada")]).await;
}

pub(super) async fn two_processes_commit_one_load_once(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &table("append_race"), people());
    let load = bench.load(1);
    let rows: Vec<Row> = (0..500).map(|id| person(id, "ada")).collect();
    let parts = bench.sealed(&load, 0, &rows).await;
    let (one, other) = (bench.open().await, bench.open().await);
    let parts = one.prepare(&load.context, parts).await.unwrap();
    let fence = load.fence();
    let (first, second) = futures::join!(
        one.commit(&fence, &load.context, &parts),
        other.commit(&fence, &load.context, &parts),
    );
    // Whoever comes second may be told so, or may have to come again; it never adds.
    for written in [first, second].into_iter().flatten() {
        assert_eq!(written.rows, 500);
    }
    let settled = one.commit(&fence, &load.context, &parts).await.unwrap();
    assert!(settled.already_done);
    bench.assert_visible(&rows).await;
}

pub(super) async fn an_empty_load_leaves_a_mark(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &table("append_empty"), people());
    let load = bench.load(3);
    let written = bench.finish(&load, Vec::new()).await.unwrap();
    assert_eq!((written.rows, written.already_done), (0, false));
    assert!(bench.finish(&load, Vec::new()).await.unwrap().already_done);
    let error = bench.loaded(2, &[person(1, "late")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    bench.loaded(4, &[person(1, "ada")]).await.unwrap();
    bench.assert_visible(&[person(1, "ada")]).await;
}

/// A run that reads nothing knows no columns, and the key's are none of them: the first run of a feed that has nothing yet, or a child
/// whose parent brought nothing new.
pub(super) async fn an_empty_load_needs_no_key(harness: &dyn SinkHarness) {
    for (name, write_mode) in [
        ("append_nothing", WriteMode::Append),
        ("merge_nothing", WriteMode::Merge),
    ] {
        let spec = TableSpec {
            primary_key: vec!["id"],
            cursor_field: Some("name"),
            write_mode,
            ..table(name)
        };
        let nothing = Bench::new(harness, &spec, Vec::new());
        let load = nothing.load(1);
        let written = nothing.finish(&load, Vec::new()).await.unwrap();
        assert_eq!((written.rows, written.already_done), (0, false), "{name}");

        let bench = Bench::new(harness, &spec, people());
        let rows = [person(1, "ada"), person(2, "grace")];
        bench.loaded(2, &rows).await.unwrap();
        let load = nothing.load(3);
        nothing.finish(&load, Vec::new()).await.unwrap();
        bench.assert_visible(&rows).await;
        // The key that came with its columns tells rows apart.
        let written = bench.loaded(4, &[person(2, "hopper")]).await.unwrap();
        let merges = write_mode == WriteMode::Merge;
        assert_eq!(written.rows_skipped, u64::from(!merges), "{name}");
        let second = if merges { "hopper" } else { "grace" };
        let rows = [person(1, "ada"), person(2, second)];
        bench.assert_visible(&rows).await;
    }
}

pub(super) async fn keys_that_are_there_are_skipped(harness: &dyn SinkHarness) {
    let spec = TableSpec {
        primary_key: vec!["id"],
        ..table("append_keyed")
    };
    let bench = Bench::new(harness, &spec, people());
    bench
        .loaded(1, &[person(1, "ada"), person(2, "grace")])
        .await
        .unwrap();
    let written = bench
        .loaded(
            2,
            &[
                person(2, "changed"),
                person(3, "edsger"),
                person(3, "again"),
            ],
        )
        .await
        .unwrap();
    assert_eq!((written.rows, written.rows_skipped), (1, 1));
    bench
        .assert_visible(&[person(1, "ada"), person(2, "grace"), person(3, "again")])
        .await;
}

pub(super) async fn many_small_parts_become_the_same_rows(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &table("append_small"), people());
    let load = bench.load(1);
    let mut parts = Vec::new();
    let mut rows = Vec::new();
    let mut writer = bench.writer(&load).await;
    for number in 0..60 {
        let part: Vec<Row> = (0..5).map(|id| person(number * 5 + id, "ada")).collect();
        let origin = runner_connectors::sink::RowOrigin {
            chain: u64::try_from(number % 3).unwrap(),
            generation: 0,
        };
        writer
            .write(&crate::sink::values::batch(&bench.columns, &part), origin)
            .await
            .unwrap();
        parts.extend(writer.seal().await.unwrap());
        rows.extend(part);
    }
    let names: std::collections::BTreeSet<&String> = parts.iter().map(|part| &part.name).collect();
    assert_eq!(names.len(), parts.len(), "two parts share a name");
    assert_eq!(parts.iter().map(|part| part.rows).sum::<u64>(), 300);
    let written = bench.finish(&load, parts).await.unwrap();
    assert_eq!(written.rows, 300);
    bench.assert_visible(&rows).await;
}

pub(super) async fn partitions_hold_all_rows(harness: &dyn SinkHarness) {
    let partition = |column: &str, transform, name: &str| Partition {
        column: column.to_owned(),
        transform,
        name: name.to_owned(),
    };
    let spec = TableSpec {
        partitions: vec![
            partition("country", PartitionTransform::Identity, "country"),
            partition("at", PartitionTransform::Month, "at_month"),
            partition("id", PartitionTransform::Bucket(4), "id_bucket"),
        ],
        ..table("append_partitioned")
    };
    let columns = vec![
        column("id", ColumnType::Integer),
        column("country", ColumnType::String),
        column("at", ColumnType::Timestamp),
    ];
    let bench = Bench::new(harness, &spec, columns);
    let countries = [
        json!("nl"),
        json!("a/b=c d%é"),
        json!(null),
        json!(""),
        json!(".."),
    ];
    let rows: Vec<Row> = (0..40)
        .map(|id| {
            row(json!({
                "id": id,
                "country": countries[id % countries.len()],
                "at": format!("2024-{:02}-15T10:00:00Z", id % 3 + 1),
            }))
        })
        .collect();
    bench.loaded(1, &rows).await.unwrap();
    bench.assert_visible(&rows).await;
}

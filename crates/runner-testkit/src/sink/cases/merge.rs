//! Merge: one row a key, the greatest.

use runner_core::commit::SEQ_COLUMN;
use runner_plan::model::{ColumnField, ColumnType};
use runner_spec::model::WriteMode;
use serde_json::json;

use super::{people, person, table};
use crate::sink::{Bench, Row, SinkHarness, TableSpec, column, row};

fn merged(name: &str) -> TableSpec {
    TableSpec {
        write_mode: WriteMode::Merge,
        primary_key: vec!["id"],
        ..table(name)
    }
}

fn versions() -> Vec<ColumnField> {
    vec![
        column("id", ColumnType::Integer),
        column("name", ColumnType::String),
        column("changed", ColumnType::Timestamp),
    ]
}

fn version(id: i64, name: &str, day: Option<u32>) -> Row {
    let changed = day.map(|day| format!("2024-01-{day:02}T00:00:00Z"));
    row(json!({ "id": id, "name": name, "changed": changed }))
}

pub(super) async fn the_last_row_of_a_key_wins(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &merged("merge_last"), people());
    let load = bench.load(1);
    let mut parts = bench
        .sealed(
            &load,
            1,
            &[
                person(1, "first"),
                person(1, "second"),
                person(2, "chain 1"),
            ],
        )
        .await;
    // A chain of a smaller index comes before one of a greater, whenever it was sealed.
    parts.extend(
        bench
            .sealed(&load, 0, &[person(2, "chain 0"), person(3, "edsger")])
            .await,
    );
    parts.extend(bench.sealed(&load, 1, &[person(1, "third")]).await);
    let written = bench.finish(&load, parts).await.unwrap();
    assert_eq!(written.rows, 3);
    bench
        .assert_visible(&[
            person(1, "third"),
            person(2, "chain 1"),
            person(3, "edsger"),
        ])
        .await;
    let written = bench
        .loaded(2, &[person(1, "fourth"), person(4, "barbara")])
        .await
        .unwrap();
    assert_eq!((written.rows, written.rows_replaced), (2, 1));
    bench
        .assert_visible(&[
            person(1, "fourth"),
            person(2, "chain 1"),
            person(3, "edsger"),
            person(4, "barbara"),
        ])
        .await;
}

pub(super) async fn the_greatest_cursor_wins(harness: &dyn SinkHarness) {
    let spec = TableSpec {
        cursor_field: Some("changed"),
        ..merged("merge_cursor")
    };
    let bench = Bench::new(harness, &spec, versions());
    bench
        .loaded(
            1,
            &[
                version(1, "newest", Some(9)),
                version(1, "older", Some(3)),
                version(2, "dated", Some(1)),
                version(2, "undated", None),
                version(3, "undated", None),
            ],
        )
        .await
        .unwrap();
    bench
        .assert_visible(&[
            version(1, "newest", Some(9)),
            version(2, "dated", Some(1)),
            version(3, "undated", None),
        ])
        .await;
}

pub(super) async fn stored_rows_lose_to_newer_ones_only(harness: &dyn SinkHarness) {
    let spec = TableSpec {
        cursor_field: Some("changed"),
        ..merged("merge_stored")
    };
    let bench = Bench::new(harness, &spec, versions());
    bench
        .loaded(
            1,
            &[
                version(1, "stored", Some(5)),
                version(2, "stored", Some(5)),
                version(3, "stored", Some(5)),
                version(4, "stored", None),
            ],
        )
        .await
        .unwrap();
    let written = bench
        .loaded(
            2,
            &[
                version(1, "older", Some(4)),
                version(2, "newer", Some(6)),
                version(3, "as new", Some(5)),
                version(4, "dated", Some(1)),
                version(5, "new", None),
            ],
        )
        .await
        .unwrap();
    assert_eq!(
        (written.rows, written.rows_replaced, written.rows_skipped),
        (4, 3, 1)
    );
    bench
        .assert_visible(&[
            version(1, "stored", Some(5)),
            version(2, "newer", Some(6)),
            version(3, "as new", Some(5)),
            version(4, "dated", Some(1)),
            version(5, "new", None),
        ])
        .await;
}

/// Rows that another feed with smaller numbers brings: the number decides where no cursor does.
pub(super) async fn an_older_load_never_wins_over_a_newer_row(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &merged("merge_older"), people());
    bench.loaded(7, &[person(1, "newer")]).await.unwrap();
    // The same table, loaded from elsewhere, under a mark of its own.
    let other = bench.replanned(|plan| "sink/elsewhere".clone_into(&mut plan.id));
    other
        .loaded(3, &[person(1, "older"), person(2, "grace")])
        .await
        .unwrap();
    bench
        .assert_visible(&[person(1, "newer"), person(2, "grace")])
        .await;
}

pub(super) async fn insert_only_leaves_what_is_there(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &merged("merge_insert"), people());
    bench.loaded(1, &[person(1, "ada")]).await.unwrap();
    let mut load = bench.load(2);
    load.context.insert_only = true;
    let parts = bench
        .sealed(&load, 0, &[person(1, "replayed"), person(2, "grace")])
        .await;
    let written = bench.finish(&load, parts).await.unwrap();
    assert_eq!((written.rows, written.rows_skipped), (1, 1));
    bench
        .assert_visible(&[person(1, "ada"), person(2, "grace")])
        .await;
}

/// Rows of several runs, each with its run's number, in whichever order they come.
pub(super) async fn replayed_rows_merge_by_the_run_that_read_them(harness: &dyn SinkHarness) {
    let mut columns = people();
    columns.push(column(SEQ_COLUMN, ColumnType::Integer));
    let read_by =
        |seq: u64, id: i64, name: &str| row(json!({ "id": id, "name": name, (SEQ_COLUMN): seq }));
    let bench = Bench::new(harness, &merged("merge_replayed"), columns);
    let loaded = [read_by(5, 1, "ada"), read_by(5, 2, "grace")];
    bench.loaded(5, &loaded).await.unwrap();
    let mut load = bench.load(7);
    load.context.is_replay = true;
    let rows = [read_by(3, 1, "older"), read_by(2, 3, "older")];
    let mut parts = bench.sealed(&load, 1, &rows).await;
    let rows = [read_by(6, 2, "newer"), read_by(4, 3, "edsger")];
    parts.extend(bench.sealed(&load, 0, &rows).await);
    bench.finish(&load, parts).await.unwrap();
    bench
        .assert_visible(&[
            read_by(5, 1, "ada"),
            read_by(6, 2, "newer"),
            read_by(4, 3, "edsger"),
        ])
        .await;
}

pub(super) async fn a_row_without_a_key_is_refused(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &merged("merge_null"), people());
    bench.loaded(1, &[person(1, "ada")]).await.unwrap();
    let rows = [person(2, "grace"), row(json!({ "name": "nobody" }))];
    let error = bench.loaded(2, &rows).await.unwrap_err();
    assert!(error.chain().contains("id"), "{}", error.chain());
    bench.assert_visible(&[person(1, "ada")]).await;
}

pub(super) async fn keys_of_several_columns(harness: &dyn SinkHarness) {
    let spec = TableSpec {
        primary_key: vec!["day", "Ticker"],
        ..merged("merge_columns")
    };
    let columns = vec![
        column("day", ColumnType::Date),
        column("Ticker", ColumnType::String),
        column("price", ColumnType::Number),
    ];
    let bench = Bench::new(harness, &spec, columns);
    let price = |day: &str, ticker: &str, price: f64| {
        row(json!({ "day": day, "Ticker": ticker, "price": price }))
    };
    bench
        .loaded(
            1,
            &[
                price("2024-01-01", "A", 1.5),
                price("2024-01-02", "A", 2.5),
                price("2024-01-01", "B", 3.5),
            ],
        )
        .await
        .unwrap();
    bench
        .loaded(
            2,
            &[price("2024-01-02", "A", 9.5), price("2024-01-02", "B", 4.5)],
        )
        .await
        .unwrap();
    bench
        .assert_visible(&[
            price("2024-01-01", "A", 1.5),
            price("2024-01-02", "A", 9.5),
            price("2024-01-01", "B", 3.5),
            price("2024-01-02", "B", 4.5),
        ])
        .await;
}

pub(super) async fn many_keys_in_many_files(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &merged("merge_many"), people());
    let mut expected = std::collections::BTreeMap::new();
    for (seq, ids) in [(1, 0..400), (2, 200..600), (3, 550..560), (4, 0..1)] {
        let rows: Vec<Row> = ids.map(|id| person(id, &format!("load {seq}"))).collect();
        for row in &rows {
            expected.insert(row["id"].to_string(), row.clone());
        }
        bench.loaded(seq, &rows).await.unwrap();
    }
    let expected: Vec<Row> = expected.into_values().collect();
    bench.assert_visible(&expected).await;
}

//! Replace: what was there goes, once the new rows are there.

use runner_connectors::sink::RowOrigin;
use runner_plan::model::{ColumnField, ColumnType, Partition, PartitionTransform};
use runner_spec::model::WriteMode;
use serde_json::json;

use super::{people, person, table};
use crate::sink::values::batch;
use crate::sink::{Bench, Row, SinkHarness, TableSpec, column, row};

fn replaced(name: &str) -> TableSpec {
    TableSpec {
        write_mode: WriteMode::Replace,
        ..table(name)
    }
}

pub(super) async fn a_replace_takes_the_place_of_everything(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &replaced("replace_all"), people());
    bench
        .loaded(1, &[person(1, "ada"), person(2, "grace")])
        .await
        .unwrap();
    let load = bench.load(2);
    let parts = bench.sealed(&load, 0, &[person(3, "edsger")]).await;
    bench
        .assert_visible(&[person(1, "ada"), person(2, "grace")])
        .await;
    let target = bench.open().await;
    let parts = target.prepare(&load.context, parts).await.unwrap();
    for is_repeat in [false, true] {
        let written = bench
            .open()
            .await
            .commit(&load.fence(), &load.context, &parts)
            .await
            .unwrap();
        assert_eq!(
            (written.rows, written.rows_replaced, written.already_done),
            (1, 2, is_repeat)
        );
        bench.assert_visible(&[person(3, "edsger")]).await;
    }
}

/// A run owns its sealed parts across attempts; only the whole is committed.
pub(super) async fn resume_with_replace(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &replaced("replace_resumed"), people());
    bench.loaded(1, &[person(9, "old")]).await.unwrap();
    let mut parts = Vec::new();
    let mut expected = Vec::new();
    for attempt in 1..=4 {
        let load = bench.load(2).attempt(attempt);
        let mut writer = bench.writer(&load).await;
        for part in 0..3_i64 {
            let row = person(i64::from(attempt) * 10 + part, "new");
            let origin = RowOrigin {
                chain: 0,
                generation: 0,
            };
            writer
                .write(&batch(&people(), std::slice::from_ref(&row)), origin)
                .await
                .unwrap();
            parts.extend(writer.seal().await.unwrap());
            expected.push(row);
        }
        bench.assert_visible(&[person(9, "old")]).await;
    }
    let last = bench.load(2).attempt(5);
    let written = bench.finish(&last, parts).await.unwrap();
    assert_eq!(written.rows, 12);
    bench.assert_visible(&expected).await;
}

pub(super) async fn a_replace_of_nothing_empties_the_table(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &replaced("replace_nothing"), people());
    bench.loaded(1, &[person(1, "ada")]).await.unwrap();
    bench.finish(&bench.load(2), Vec::new()).await.unwrap();
    bench.assert_visible(&[]).await;
    bench.loaded(3, &[person(2, "grace")]).await.unwrap();
    bench.assert_visible(&[person(2, "grace")]).await;
}

fn sales() -> Vec<ColumnField> {
    vec![
        column("day", ColumnType::Date),
        column("shop", ColumnType::String),
        column("sum", ColumnType::Integer),
    ]
}

fn sale(day: u32, shop: &str, sum: i64) -> Row {
    row(json!({ "day": format!("2024-01-{day:02}"), "shop": shop, "sum": sum }))
}

fn by_day(name: &str) -> TableSpec {
    TableSpec {
        partitions: vec![Partition {
            column: "day".to_owned(),
            transform: PartitionTransform::Identity,
            name: "day".to_owned(),
        }],
        replace_scope: vec!["day"],
        ..replaced(name)
    }
}

pub(super) async fn a_scope_spares_the_rest(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &by_day("replace_scope"), sales());
    bench
        .loaded(1, &[sale(1, "a", 1), sale(1, "b", 2), sale(2, "a", 3)])
        .await
        .unwrap();
    bench
        .loaded(2, &[sale(1, "a", 10), sale(3, "a", 30)])
        .await
        .unwrap();
    bench
        .assert_visible(&[sale(1, "a", 10), sale(2, "a", 3), sale(3, "a", 30)])
        .await;
}

pub(super) async fn a_window_replaces_its_partitions(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &by_day("replace_window"), sales());
    bench
        .loaded(1, &[sale(1, "a", 1), sale(2, "a", 2), sale(3, "a", 3)])
        .await
        .unwrap();
    let mut load = bench.load(2);
    // The second day has no rows any more; the third is outside, for windows are half-open.
    load.context.replace_bounds = vec![(
        "day".to_owned(),
        "2024-01-01".to_owned(),
        "2024-01-03".to_owned(),
    )];
    let parts = bench.sealed(&load, 0, &[sale(1, "a", 10)]).await;
    bench.finish(&load, parts).await.unwrap();
    bench
        .assert_visible(&[sale(1, "a", 10), sale(3, "a", 3)])
        .await;
}

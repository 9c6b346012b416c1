//! Columns that come, widen, or can't.

use runner_connectors::sink::RowOrigin;
use runner_plan::model::ColumnType;
use serde_json::json;

use super::{people, person, table};
use crate::sink::values::batch;
use crate::sink::{Bench, Load, SinkHarness, column, row};

const ORIGIN: RowOrigin = RowOrigin {
    chain: 0,
    generation: 0,
};

pub(super) async fn an_unknown_table_has_no_columns(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &table("schema_unknown"), people());
    let target = bench.open().await;
    target.probe().await.unwrap();
    assert_eq!(target.columns().await.unwrap(), None);
    assert_eq!(harness.staged(&bench.plan).await, Vec::<String>::new());
    bench.loaded(1, &[person(1, "ada")]).await.unwrap();
    let columns = bench.open().await.columns().await.unwrap().unwrap();
    for expected in people() {
        let found = columns.iter().find(|column| column.name == expected.name);
        assert_eq!(
            found.map(|column| &column.column_type),
            Some(&expected.column_type)
        );
    }
}

pub(super) async fn parts_of_narrower_types_are_widened(harness: &dyn SinkHarness) {
    let decimal = ColumnType::Decimal {
        precision: 20,
        scale: 2,
    };
    let narrow = vec![
        column("id", ColumnType::Integer),
        column("amount", ColumnType::Integer),
        column("code", ColumnType::Integer),
    ];
    let wide = vec![
        column("id", ColumnType::Integer),
        column("amount", decimal),
        column("code", ColumnType::String),
        column("note", ColumnType::String),
    ];
    let bench = Bench::new(harness, &table("schema_widened"), wide.clone());
    let first = Load::new(&bench.plan, 1, &narrow);
    let last = bench.load(1);
    let mut writer = bench.writer_of(&first, "rows", &narrow, 1).await;
    let rows = [row(json!({ "id": 1, "amount": 5, "code": 7 }))];
    writer.write(&batch(&narrow, &rows), ORIGIN).await.unwrap();
    let mut parts = writer.seal().await.unwrap();
    // The table isn't there yet, so that its columns can follow the rows.
    let target = bench.open().await;
    for (from, to) in narrow.iter().zip(&wide) {
        assert!(
            target.can_widen(from, to),
            "{} to {}",
            from.name,
            to.column_type
        );
    }
    let mut writer = bench.writer_of(&last, "rows", &wide, 2).await;
    let rows = [row(
        json!({ "id": 2, "amount": "1.10", "code": "x", "note": "n" }),
    )];
    writer.write(&batch(&wide, &rows), ORIGIN).await.unwrap();
    parts.extend(writer.seal().await.unwrap());
    bench.finish(&last, parts).await.unwrap();
    bench
        .assert_visible(&[
            row(json!({ "id": 1, "amount": "5.00", "code": "7", "note": null })),
            row(json!({ "id": 2, "amount": "1.10", "code": "x", "note": "n" })),
        ])
        .await;
}

pub(super) async fn columns_may_be_added(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &table("schema_added"), people());
    bench.loaded(1, &[person(1, "ada")]).await.unwrap();
    let mut columns = people();
    columns.insert(1, column("born", ColumnType::Date));
    let later = Bench {
        harness,
        plan: bench.plan.clone(),
        columns,
    };
    let grace = row(json!({ "id": 2, "name": "grace", "born": "1906-12-09" }));
    later.loaded(2, std::slice::from_ref(&grace)).await.unwrap();
    let ada = row(json!({ "id": 1, "name": "ada", "born": null }));
    later.assert_visible(&[ada.clone(), grace.clone()]).await;
    // And they may be missing again.
    bench.loaded(3, &[person(3, "edsger")]).await.unwrap();
    let edsger = row(json!({ "id": 3, "name": "edsger", "born": null }));
    later.assert_visible(&[ada, grace, edsger]).await;
}

pub(super) async fn a_conflicting_type_is_refused(harness: &dyn SinkHarness) {
    let bench = Bench::new(harness, &table("schema_conflict"), people());
    bench.loaded(1, &[person(1, "ada")]).await.unwrap();
    let other = Bench {
        harness,
        plan: bench.plan.clone(),
        columns: vec![
            column("id", ColumnType::Integer),
            column("name", ColumnType::Date),
        ],
    };
    let from = column("name", ColumnType::String);
    let to = column("name", ColumnType::Date);
    assert!(!bench.open().await.can_widen(&from, &to));
    let error = other
        .loaded(2, &[row(json!({ "id": 2, "name": "1906-12-09" }))])
        .await
        .unwrap_err();
    let text = error.chain();
    for part in ["`name`", "string", "date", "schema_conflict"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(error.retry(), runner_core::Retry::Never);
    bench.assert_visible(&[person(1, "ada")]).await;
}

//! Values: every type, nulls, names.

use runner_plan::model::{ColumnField, ColumnType};
use serde_json::{Value, json};

use super::table;
use crate::sink::{Bench, Row, SinkHarness, column, row};

/// A column of every type, each with a few values.
fn every_type() -> Vec<(ColumnField, Vec<Value>)> {
    scalars()
        .into_iter()
        .chain(nested())
        .enumerate()
        .map(|(number, (column_type, values))| (column(&format!("c{number}"), column_type), values))
        .collect()
}

fn scalars() -> Vec<(ColumnType, Vec<Value>)> {
    let decimal = |precision, scale| ColumnType::Decimal { precision, scale };
    vec![
        (ColumnType::Boolean, vec![json!(true), json!(false)]),
        (
            ColumnType::Integer,
            vec![json!(i64::MIN), json!(i64::MAX), json!(0)],
        ),
        (
            ColumnType::Number,
            vec![json!(0.1), json!(-1e300), json!(5e-324), json!(1.0)],
        ),
        (
            decimal(38, 10),
            vec![
                json!("-0.0000000001"),
                json!("1234567890123456789012345678.0123456789"),
                json!("10000.0000000000"),
                json!("0.0000000000"),
            ],
        ),
        (
            decimal(20, 0),
            vec![json!("18446744073709551615"), json!("-10000")],
        ),
        (
            ColumnType::String,
            vec![
                json!(""),
                json!("tab\tand \"quotes\" \\ 'single'"),
                json!("日本語 🦀"),
            ],
        ),
        (
            ColumnType::Date,
            vec![
                json!("1970-01-01"),
                json!("1899-12-31"),
                json!("2400-02-29"),
            ],
        ),
        (
            ColumnType::Timestamp,
            vec![
                json!("1969-12-31T23:59:59.999999Z"),
                json!("2024-02-29T12:00:00Z"),
                json!("0001-01-01T00:00:00Z"),
            ],
        ),
        (
            ColumnType::Time,
            vec![json!("00:00:00"), json!("23:59:59.999999")],
        ),
        (
            ColumnType::Uuid,
            vec![json!("6f7a1c1e-90f5-4d0e-8f2a-0b8f3a1f4c55")],
        ),
        (ColumnType::Binary, vec![json!(""), json!("00ff10")]),
        (
            ColumnType::Json,
            vec![json!({ "a": [1, null, "x"] }), json!("text"), json!([])],
        ),
    ]
}

fn nested() -> Vec<(ColumnType, Vec<Value>)> {
    let numbers = ColumnType::List(Box::new(column("item", ColumnType::Integer)));
    let words = ColumnType::List(Box::new(column("item", ColumnType::String)));
    let point = ColumnType::Struct(vec![
        column("x", ColumnType::Number),
        column("name", ColumnType::String),
    ]);
    let points = ColumnType::List(Box::new(column("item", point.clone())));
    vec![
        (numbers, vec![json!([1, null, -5]), json!([])]),
        (words, vec![json!(["a", "b \" , {}", null]), json!([""])]),
        (point, vec![json!({ "x": 1.5, "name": "here" })]),
        (
            points,
            vec![json!([{ "x": 2.5, "name": null }, { "x": null, "name": "é" }])],
        ),
    ]
}

pub(super) async fn every_type_comes_back(harness: &dyn SinkHarness) {
    let types = every_type();
    let columns: Vec<ColumnField> = types.iter().map(|(column, _)| column.clone()).collect();
    let bench = Bench::new(harness, &table("values_types"), columns);
    let longest = types.iter().map(|(_, values)| values.len()).max().unwrap();
    let rows: Vec<Row> = (0..longest)
        .map(|index| {
            types
                .iter()
                .map(|(column, values)| {
                    let value = values.get(index).unwrap_or(&values[0]).clone();
                    (column.name.clone(), value)
                })
                .collect()
        })
        .collect();
    bench.loaded(1, &rows).await.unwrap();
    bench.assert_visible(&rows).await;
    // The table's own columns are what was asked for, as far as the sink has the types.
    let stored = bench.open().await.columns().await.unwrap().unwrap();
    for column in &bench.columns {
        let found = stored.iter().find(|stored| stored.name == column.name);
        let is_nested = matches!(
            column.column_type,
            ColumnType::Struct(_) | ColumnType::List(_)
        );
        if harness.traits().keeps_structs || !is_nested {
            assert_eq!(
                found.map(|stored| &stored.column_type),
                Some(&column.column_type),
                "{}",
                column.name
            );
        }
    }
    // A second load meets the table as it is.
    bench.loaded(2, &rows[..1]).await.unwrap();
    let both: Vec<Row> = rows.iter().chain(&rows[..1]).cloned().collect();
    bench.assert_visible(&both).await;
}

pub(super) async fn nulls_of_every_type_come_back(harness: &dyn SinkHarness) {
    let types = every_type();
    let mut columns: Vec<ColumnField> = vec![column("id", ColumnType::Integer)];
    columns.extend(types.iter().map(|(column, _)| column.clone()));
    let bench = Bench::new(harness, &table("values_nulls"), columns);
    let nulls = |id: i64| -> Row {
        let mut row: Row = bench
            .columns
            .iter()
            .map(|column| (column.name.clone(), Value::Null))
            .collect();
        row.insert("id".to_owned(), json!(id));
        row
    };
    let mut mixed = nulls(2);
    for (index, (column, values)) in types.iter().enumerate() {
        if index % 2 == 0 {
            mixed.insert(column.name.clone(), values[0].clone());
        }
    }
    let rows = [nulls(1), mixed, nulls(3)];
    bench.loaded(1, &rows).await.unwrap();
    bench.assert_visible(&rows).await;
}

pub(super) async fn names_may_be_anything(harness: &dyn SinkHarness) {
    let names = [
        "select",
        "UPPER lower",
        "with \"quotes\"",
        "semi;colon -- comment",
        "naïve_ünïcode_列",
        "dotted.name",
        "it's",
        "a/b\\c",
        "%41",
        "{curly}",
    ];
    let columns: Vec<ColumnField> = names
        .iter()
        .map(|name| column(name, ColumnType::String))
        .collect();
    let rows: Vec<Row> = (0..3)
        .map(|index| {
            names
                .iter()
                .map(|name| ((*name).to_owned(), json!(format!("{name} {index}"))))
                .collect()
        })
        .collect();
    for (number, table_name) in ["names_plain", "Names \"quoted\"; é"].iter().enumerate() {
        let mut spec = table(table_name);
        if number == 1 {
            spec.primary_key = vec!["with \"quotes\""];
            spec.write_mode = runner_spec::model::WriteMode::Merge;
        }
        let bench = Bench::new(harness, &spec, columns.clone());
        bench.loaded(1, &rows).await.unwrap();
        bench.assert_visible(&rows).await;
        let more = row(json!({ "select": "more", "with \"quotes\"": "k" }));
        bench.loaded(2, &[more]).await.unwrap();
        assert_eq!(bench.visible().await.len(), 4);
    }
}

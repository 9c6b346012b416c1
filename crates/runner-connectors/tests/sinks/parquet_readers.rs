//! What DuckDB makes of a folder: partitions in Hive's style, whatever their values are.

use runner_e2e::provision::READERS;
use runner_e2e::readers::{Question, Readers};
use runner_e2e::require;
use runner_plan::model::{ColumnField, ColumnType, Partition, PartitionTransform};
use runner_spec::model::WriteMode;
use runner_testkit::sink::{Bench, Row, TableSpec, column, row};
use serde_json::json;

use crate::folders::Folders;

fn columns() -> Vec<ColumnField> {
    vec![
        column("id", ColumnType::Integer),
        column("place", ColumnType::String),
        column("_day", ColumnType::Date),
        column("at", ColumnType::Timestamp),
    ]
}

/// Names that paths, URLs and Hive would all like to have for themselves.
const PLACES: [&str; 8] = [
    "Paris",
    "a/b",
    "50%",
    "x=y",
    "ü #1",
    "..",
    "it's",
    "__HIVE_DEFAULT_PARTITION__",
];

fn rows() -> Vec<Row> {
    (0..70)
        .map(|id: i64| {
            let place = usize::try_from(id).unwrap() % PLACES.len();
            row(json!({
                "id": id,
                "place": if id % 10 == 9 { None } else { Some(PLACES[place]) },
                "_day": format!("2026-01-{:02}", 1 + id % 3),
                "at": format!("2026-02-0{}T10:00:00Z", 1 + id % 2),
            }))
        })
        .collect()
}

fn partition(column: &str, transform: PartitionTransform, name: &str) -> Partition {
    Partition {
        column: column.to_owned(),
        transform,
        name: name.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duckdb_reads_partitions_back_from_the_folders_names() {
    let Some(component) = require(&READERS) else {
        return;
    };
    let folders = Folders::new();
    let spec = TableSpec {
        name: "t".to_owned(),
        write_mode: WriteMode::Merge,
        primary_key: vec!["id"],
        partitions: vec![
            partition("place", PartitionTransform::Identity, "place"),
            partition("_day", PartitionTransform::Identity, "_day"),
            partition("at", PartitionTransform::Day, "at_day"),
        ],
        ..TableSpec::default()
    };
    let bench = Bench::new(&folders, &spec, columns());
    bench.loaded(1, &rows()).await.unwrap();
    // Rows that move to another partition leave the one that they were in.
    let moved: Vec<Row> = (0..5)
        .map(|id| {
            row(json!({ "id": id, "place": "Rome", "_day": "2026-01-09", "at": "2026-02-01T10:00:00Z" }))
        })
        .collect();
    bench.loaded(2, &moved).await.unwrap();

    let folder = Folders::folder(&bench.plan).display().to_string();
    let readers = Readers::new(&component);
    let question = Question {
        sums: &["id"],
        distinct: Some("place"),
        ..Question::default()
    };
    let tally = readers
        .parquet(&format!("{folder}/**/*.parquet"), &question)
        .unwrap();
    assert_eq!((tally.rows, &tally.sums["id"]), (70, &json!(2415)));
    assert_eq!(tally.distinct, Some(PLACES.len() as u64 + 1));
    for (name, kind) in [
        ("id", "BIGINT"),
        ("place", "VARCHAR"),
        ("_day", "DATE"),
        ("at", "TIMESTAMP WITH TIME ZONE"),
        ("at_day", "DATE"),
    ] {
        assert_eq!(tally.columns[name], kind, "{name}");
    }
}

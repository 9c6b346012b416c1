//! `append_is_constant`: an append to an Iceberg table with a long history reads and writes no more than one to a young table.
//!
//! Counted are the bytes and calls that the kernel saw of this process, so the test is alone in its binary. What bounds a
//! history is set a twentieth to a hundredth of what tables have by default: after two hundred commits every bound has been met
//! many times over, as it is after five thousand with the defaults.

#![expect(clippy::unwrap_used, reason = "code of tests, beside its functions")]
#![cfg(target_os = "linux")]

use std::path::Path;

use runner_connectors::iceberg::IcebergTarget;
use runner_connectors::sink::{RowOrigin, Target, WriterContext};
use runner_core::Committer as _;
use runner_plan::model::{Catalog, ColumnField, ColumnType, LoadPlan, Target as TargetPlan};
use runner_spec::model::Settings;
use runner_testkit::sink::values::batch;
use runner_testkit::sink::{Load, TableSpec, column, context, plan, row};
use serde_json::{Value, json};
use sqlx::Row as _;

const COMMITS: u64 = 200;
/// Commits that are added up: snapshots expire by twenties, and manifests are merged by tens.
const WINDOW: usize = 40;

const BOUNDS: [(&str, &str); 4] = [
    ("uis.history.max-snapshots", "20"),
    ("write.metadata.previous-versions-max", "20"),
    ("commit.manifest.min-count-to-merge", "10"),
    ("commit.manifest.target-size-bytes", "20000"),
];

#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    bytes: u64,
    calls: u64,
}

impl Cost {
    /// Of this process so far.
    fn now() -> Self {
        let text = std::fs::read_to_string("/proc/self/io").unwrap();
        let number = |name: &str| -> u64 {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        Self {
            bytes: number("rchar:") + number("wchar:"),
            calls: number("syscr:") + number("syscw:"),
        }
    }

    fn since(before: Self) -> Self {
        let now = Self::now();
        Self {
            bytes: now.bytes - before.bytes,
            calls: now.calls - before.calls,
        }
    }

    fn sum(costs: &[Self]) -> Self {
        costs.iter().fold(Self::default(), |sum, cost| Self {
            bytes: sum.bytes + cost.bytes,
            calls: sum.calls + cost.calls,
        })
    }
}

fn columns() -> Vec<ColumnField> {
    vec![column("id", ColumnType::Integer)]
}

fn place(root: &Path) -> LoadPlan {
    let path = |name: &str| root.join(name).display().to_string();
    let spec = TableSpec {
        name: "t".to_owned(),
        ..TableSpec::default()
    };
    LoadPlan {
        target: TargetPlan::Iceberg {
            catalog: Catalog::Sqlite {
                file: path("catalog.db"),
                name: "local".to_owned(),
                warehouse: path("warehouse"),
            },
            namespace: vec!["ns".to_owned()],
            table: "t".to_owned(),
            storage: Settings::new(),
            format_version: 2,
            compression: "zstd".to_owned(),
        },
        ..plan(&spec)
    }
}

/// The table's metadata as its catalog names it.
async fn metadata(root: &Path) -> (String, Value) {
    let database = root.join("catalog.db");
    let url = format!("sqlite://{}", database.display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let row = sqlx::query("SELECT metadata_location FROM iceberg_tables")
        .fetch_one(&pool)
        .await
        .unwrap();
    let location: String = row.get(0);
    let file = location.strip_prefix("file://").unwrap().to_owned();
    let content = std::fs::read(&file).unwrap();
    (file, serde_json::from_slice(&content).unwrap())
}

/// Sets the bounds where they stand: in the table's current metadata.
async fn bound(root: &Path) {
    let (file, mut metadata) = metadata(root).await;
    for (name, value) in BOUNDS {
        metadata["properties"][name] = json!(value);
    }
    std::fs::write(file, metadata.to_string()).unwrap();
}

/// One load of one row; what its commit cost.
async fn append(target: &IcebergTarget, plan: &LoadPlan, seq: u64) -> Cost {
    let load = Load::new(plan, seq, &columns());
    let context = WriterContext {
        load: load.context.clone(),
        input: "rows".to_owned(),
        attempt: load.attempt,
        columns: columns(),
        schema_version: 1,
        memory_bytes: 1 << 20,
    };
    let origin = RowOrigin {
        chain: 0,
        generation: 0,
    };
    let mut writer = target.writer(context).await.unwrap();
    let rows = batch(&columns(), &[row(json!({ "id": seq }))]);
    writer.write(&rows, origin).await.unwrap();
    let parts = writer.seal().await.unwrap();
    let parts = target.prepare(&load.context, parts).await.unwrap();
    let before = Cost::now();
    let fence = load.fence();
    target.commit(&fence, &load.context, &parts).await.unwrap();
    Cost::since(before)
}

#[tokio::test]
async fn append_is_constant() {
    let root = tempfile::tempdir().unwrap();
    let plan = place(root.path());
    let target = IcebergTarget::open(&plan, &context(root.path()))
        .await
        .unwrap();
    append(&target, &plan, 1).await;
    bound(root.path()).await;
    let mut costs = Vec::new();
    for seq in 2..=COMMITS {
        costs.push(append(&target, &plan, seq).await);
    }
    let early = Cost::sum(&costs[WINDOW..2 * WINDOW]);
    let late = Cost::sum(&costs[costs.len() - WINDOW..]);
    assert!(
        late.bytes * 5 <= early.bytes * 6 && late.calls * 5 <= early.calls * 6,
        "{WINDOW} commits cost {early:?}, and {late:?} after {COMMITS}"
    );

    let (_, metadata) = metadata(root.path()).await;
    let length = |name: &str| metadata[name].as_array().unwrap().len();
    assert!(
        length("snapshots") <= 40,
        "{} snapshots",
        length("snapshots")
    );
    assert!(length("metadata-log") <= 20, "{}", length("metadata-log"));
    // They stand in no order.
    let snapshots = metadata["snapshots"].as_array().unwrap();
    let current = snapshots
        .iter()
        .find(|snapshot| snapshot["snapshot-id"] == metadata["current-snapshot-id"])
        .unwrap();
    let files = &current["summary"]["total-data-files"];
    assert_eq!(files, &json!(COMMITS.to_string()));
}

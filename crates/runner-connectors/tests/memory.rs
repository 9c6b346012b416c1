//! Memory of sinks is bounded. Each test is a process of its own under nextest; peaks are the kernel's.
//!
//! `table_format_memory`: a merge into a large table, whatever the sizes of the load and of the table. The load's keys are spread
//! over the whole table, so that no file and no row group is pruned and every file is written anew: nothing takes more.
//!
//! `slow_sink_memory`: a store that takes its time makes the writer wait, and keeps no rows in memory.

#![expect(clippy::unwrap_used, reason = "code of tests, beside its functions")]
#![cfg(target_os = "linux")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use runner_connectors::iceberg::IcebergTarget;
use runner_connectors::parquet::ParquetTarget;
use runner_connectors::sink::{RowOrigin, Target, WriterContext};
use runner_connectors::storage::{DurableFiles, Storage};
use runner_core::{Part, Written};
use runner_plan::arrow::arrow_schema;
use runner_plan::model::{Catalog, ColumnField, ColumnType, LoadPlan, Target as TargetPlan};
use runner_spec::model::{Settings, WriteMode};
use runner_testkit::sink::{Load, TableSpec, column, context, feed, plan};
use tokio::sync::Mutex;

const BATCH_ROWS: usize = 8192;
const WRITER_MEMORY: usize = 32 << 20;
/// Where tests share a process, one at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

// A twentieth of the soak's sizes, with files of a twentieth.
const TABLE_ROWS: i64 = 1_000_000;
const LOAD_ROWS: i64 = 50_000;
const FILE_BYTES: u64 = 6 << 20;

fn columns() -> Vec<ColumnField> {
    vec![
        column("id", ColumnType::Integer),
        column("name", ColumnType::String),
        column("amount", ColumnType::Number),
    ]
}

/// Rows of these ids.
#[expect(clippy::cast_precision_loss, reason = "an amount is an amount")]
fn batch(ids: impl Iterator<Item = i64>, version: &str) -> RecordBatch {
    let ids: Vec<i64> = ids.collect();
    let names = ids
        .iter()
        .map(|id| Some(format!("{version} of {:x}", id.wrapping_mul(0x9E37_79B9))));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids.clone())),
        Arc::new(names.collect::<StringArray>()),
        Arc::new(Float64Array::from_iter_values(
            ids.iter().map(|id| *id as f64 / 7.0),
        )),
    ];
    RecordBatch::try_new(arrow_schema(&columns()), arrays).unwrap()
}

/// The least memory, in megabytes, that would have been enough since it was last forgotten.
fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024 / 1_000_000
}

fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

async fn sealed(target: &dyn Target, load: &Load, ids: &[i64], version: &str) -> Vec<Part> {
    let context = WriterContext {
        load: load.context.clone(),
        input: "rows".to_owned(),
        attempt: load.attempt,
        columns: columns(),
        schema_version: 1,
        memory_bytes: WRITER_MEMORY,
    };
    let origin = RowOrigin {
        chain: 0,
        generation: 0,
    };
    let mut writer = target.writer(context).await.unwrap();
    for ids in ids.chunks(BATCH_ROWS) {
        let batch = batch(ids.iter().copied(), version);
        writer.write(&batch, origin).await.unwrap();
    }
    writer.seal().await.unwrap()
}

async fn finish(target: &dyn Target, load: &Load, parts: Vec<Part>) -> Written {
    let parts = target.prepare(&load.context, parts).await.unwrap();
    let fence = load.fence();
    target.commit(&fence, &load.context, &parts).await.unwrap()
}

fn place(mut plan: LoadPlan, root: &Path, iceberg: bool) -> LoadPlan {
    let path = |name: &str| root.join(name).display().to_string();
    plan.target = if iceberg {
        TargetPlan::Iceberg {
            catalog: Catalog::Sqlite {
                file: path("catalog.db"),
                name: "local".to_owned(),
                warehouse: path("warehouse"),
            },
            namespace: vec!["ns".to_owned()],
            table: plan.table.clone(),
            storage: Settings::new(),
            format_version: 2,
            compression: "zstd".to_owned(),
        }
    } else {
        TargetPlan::Parquet {
            location: path("table"),
            storage: Settings::new(),
            compression: "zstd".to_owned(),
        }
    };
    plan
}

async fn open(plan: &LoadPlan, root: &Path, iceberg: bool) -> Box<dyn Target> {
    let context = context(root);
    if iceberg {
        Box::new(IcebergTarget::open(plan, &context).await.unwrap())
    } else {
        Box::new(ParquetTarget::open(plan, &context).await.unwrap())
    }
}

/// Builds the table, merges the load, and gives the peak of the merge.
#[expect(
    clippy::print_stderr,
    reason = "a measurement is worth nothing unless it is shown"
)]
async fn peak_of_merge(iceberg: bool) -> Peak {
    let _alone = ALONE.lock().await;
    forget_peak();
    let resident = peak_megabytes();
    let root = tempfile::tempdir().unwrap();
    let spec = |write_mode, primary_key| TableSpec {
        name: "t".to_owned(),
        write_mode,
        primary_key,
        target_file_bytes: Some(FILE_BYTES),
        ..TableSpec::default()
    };
    let append = place(plan(&spec(WriteMode::Append, vec![])), root.path(), iceberg);
    let merge = place(
        plan(&spec(WriteMode::Merge, vec!["id"])),
        root.path(),
        iceberg,
    );
    let target = open(&append, root.path(), iceberg).await;
    let load = Load::new(&append, 1, &columns());
    // A twentieth at a time: the list of ids is the test's own memory.
    let mut parts = Vec::new();
    let step = TABLE_ROWS / 20;
    for first in (0..TABLE_ROWS).step_by(usize::try_from(step).unwrap()) {
        let ids: Vec<i64> = (first..first + step).collect();
        parts.extend(sealed(target.as_ref(), &load, &ids, "first").await);
    }
    finish(target.as_ref(), &load, parts).await;
    drop(target);
    let built = peak_megabytes();

    forget_peak();
    let target = open(&merge, root.path(), iceberg).await;
    let load = Load::new(&merge, 2, &columns());
    // Half of the keys are in the table, all over it; half are new.
    let stride = TABLE_ROWS / (LOAD_ROWS / 2);
    let ids: Vec<i64> = (0..LOAD_ROWS).map(|number| number * stride).collect();
    let parts = sealed(target.as_ref(), &load, &ids, "second").await;
    drop(ids);
    let written_parts = peak_megabytes();
    forget_peak();
    let parts = target.prepare(&load.context, parts).await.unwrap();
    let prepared = peak_megabytes();
    forget_peak();
    let fence = load.fence();
    let written = target.commit(&fence, &load.context, &parts).await.unwrap();
    let committed = peak_megabytes();
    let kind = if iceberg { "Iceberg" } else { "Parquet" };
    eprintln!(
        "{kind}: {LOAD_ROWS} into {TABLE_ROWS}: built {built} MB, written {written_parts} MB, prepared {prepared} MB, committed {committed} MB"
    );
    let expected = u64::try_from(LOAD_ROWS).unwrap();
    assert_eq!(
        (written.rows, written.rows_replaced),
        (expected, expected / 2)
    );
    Peak {
        whole: written_parts.max(prepared).max(committed),
        resident,
    }
}

/// Megabytes.
struct Peak {
    whole: u64,
    /// What the process had before: other tests of the same process leave something behind.
    resident: u64,
}

/// What a merge adds at most, in megabytes; the least part of it depends on the sizes.
const BOUND: u64 = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_format_memory_of_iceberg() {
    let peak = peak_of_merge(true).await;
    let added = peak.whole - peak.resident;
    assert!(added < BOUND, "{added} MB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_format_memory_of_parquet() {
    let peak = peak_of_merge(false).await;
    let added = peak.whole - peak.resident;
    assert!(added < BOUND, "{added} MB");
}

/// A hundred megabytes that don't compress, to a store that takes 20 ms for each megabyte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_sink_memory() {
    const BATCHES: i64 = 400;
    let _alone = ALONE.lock().await;
    let root = tempfile::tempdir().unwrap();
    let store = ThrottledStore::new(
        DurableFiles::new(),
        ThrottleConfig {
            wait_put_per_call: Duration::from_millis(20),
            ..ThrottleConfig::default()
        },
    );
    let prefix = object_store::path::Path::from_absolute_path(root.path()).unwrap();
    let storage = Storage::with_store(Arc::new(store), prefix, "slow".to_owned(), true);
    let spec = TableSpec {
        name: "t".to_owned(),
        ..TableSpec::default()
    };
    let plan = plan(&spec);
    let target = ParquetTarget::with_storage(storage, "none", &plan, &feed()).unwrap();
    let load = Load::new(&plan, 1, &columns());
    let context = WriterContext {
        load: load.context.clone(),
        input: "rows".to_owned(),
        attempt: load.attempt,
        columns: columns(),
        schema_version: 1,
        memory_bytes: 8 << 20,
    };
    let origin = RowOrigin {
        chain: 0,
        generation: 0,
    };
    let mut writer = target.writer(context).await.unwrap();
    let rows = i64::try_from(BATCH_ROWS).unwrap();
    let mut peaks = Vec::new();
    for number in 0..BATCHES {
        let batch = batch(number * rows..(number + 1) * rows, "slow");
        writer.write(&batch, origin).await.unwrap();
        peaks.push(peak_megabytes());
    }
    let parts = writer.seal().await.unwrap();
    let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
    assert!(bytes > 80_000_000, "{bytes} bytes were written");
    // What it takes to write at all is taken by then. The allocator keeps some of what it gave out in other sizes; memory that
    // followed the rows would grow by all that is written from there on.
    let early = peaks[peaks.len() / 3];
    let grown = peak_megabytes() - early;
    let written = bytes / 1_000_000 * 2 / 3;
    assert!(
        grown * 3 < written,
        "{early} MB grew by {grown} MB while {written} MB were written"
    );
}

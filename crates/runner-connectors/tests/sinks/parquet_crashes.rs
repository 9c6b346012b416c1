//! A Parquet folder when processes die, or wake up late, at any operation of a commit.

use std::sync::Arc;

use futures::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use runner_connectors::parquet::ParquetTarget;
use runner_connectors::sink::{RowOrigin, Target as _, WriterContext};
use runner_connectors::storage::Storage;
use runner_core::{Committer as _, ErrorKind, Part, Result, Written};
use runner_e2e::provision::SEAWEEDFS;
use runner_e2e::require;
use runner_plan::model::{ColumnField, ColumnType, LoadPlan};
use runner_spec::model::WriteMode;
use runner_testkit::sink::values::{self, Row};
use runner_testkit::sink::{Load, TableSpec, column, feed, plan, row};
use serde_json::json;

use crate::bucket::Bucket;
use crate::disturbed::{Disturbance, DisturbedStore};

fn columns() -> Vec<ColumnField> {
    vec![
        column("id", ColumnType::Integer),
        column("load", ColumnType::Integer),
    ]
}

fn entry(id: i64, load: i64) -> Row {
    row(json!({ "id": id, "load": load }))
}

/// A table with one load in it; what happens to it is the test's matter.
struct Table {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    plan: LoadPlan,
    renames: bool,
}

impl Table {
    async fn new(mode: WriteMode, renames: bool) -> Self {
        Self::within(Arc::new(InMemory::new()), "table".to_owned(), mode, renames).await
    }

    /// In a folder of this store.
    async fn within(
        store: Arc<dyn ObjectStore>,
        prefix: String,
        mode: WriteMode,
        renames: bool,
    ) -> Self {
        let spec = TableSpec {
            name: "table".to_owned(),
            write_mode: mode,
            primary_key: if mode == WriteMode::Merge {
                vec!["id"]
            } else {
                Vec::new()
            },
            target_file_bytes: Some(1),
            ..TableSpec::default()
        };
        let table = Self {
            store,
            prefix,
            plan: plan(&spec),
            renames,
        };
        let load = table.load(1);
        let parts = table.sealed(&load).await;
        table.commit(&table.store, &load, &parts).await.unwrap();
        table
    }

    fn load(&self, seq: u64) -> Load {
        Load::new(&self.plan, seq, &columns())
    }

    fn target(&self, store: &Arc<dyn ObjectStore>) -> ParquetTarget {
        let storage = Storage::with_store(
            Arc::clone(store),
            Path::from(self.prefix.as_str()),
            format!("store://{}", self.prefix),
            self.renames,
        );
        ParquetTarget::with_storage(storage, "none", &self.plan, &feed()).unwrap()
    }

    /// Rows of a load: three files of two rows each, ids of which overlap those of other loads.
    fn rows(seq: u64) -> Vec<Row> {
        let load = i64::try_from(seq).unwrap();
        (0..6).map(|id| entry(id + load * 2, load)).collect()
    }

    async fn sealed(&self, load: &Load) -> Vec<Part> {
        let context = WriterContext {
            load: load.context.clone(),
            input: "rows".to_owned(),
            attempt: load.attempt,
            columns: columns(),
            schema_version: 1,
            memory_bytes: 1 << 20,
        };
        let mut writer = self.target(&self.store).writer(context).await.unwrap();
        let origin = RowOrigin {
            chain: 0,
            generation: 0,
        };
        let mut parts = Vec::new();
        for rows in Self::rows(load.context.seq.0).chunks(2) {
            writer
                .write(&values::batch(&columns(), rows), origin)
                .await
                .unwrap();
            parts.extend(writer.seal().await.unwrap());
        }
        parts
    }

    async fn commit(
        &self,
        store: &Arc<dyn ObjectStore>,
        load: &Load,
        parts: &[Part],
    ) -> Result<Written> {
        let target = self.target(store);
        target.commit(&load.fence(), &load.context, parts).await
    }

    /// Rows of the files that readers see, sorted.
    async fn visible(&self) -> Vec<(i64, i64)> {
        let files: Vec<_> = self
            .store
            .list(Some(&Path::from(self.prefix.as_str())))
            .try_collect()
            .await
            .unwrap();
        let mut rows = Vec::new();
        for file in files {
            let path = file.location.to_string();
            if path.contains("/_uis") || !path.ends_with(".parquet") {
                continue;
            }
            let content = self
                .store
                .get(&file.location)
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(content)
                .unwrap()
                .build()
                .unwrap();
            for batch in reader {
                for row in values::rows(&batch.unwrap(), &columns()) {
                    rows.push((row["id"].as_i64().unwrap(), row["load"].as_i64().unwrap()));
                }
            }
        }
        rows.sort_unstable();
        rows
    }

    /// What readers see when these loads were committed, in this order.
    fn expected(&self, loads: &[u64]) -> Vec<(i64, i64)> {
        let mut rows: Vec<(i64, i64)> = Vec::new();
        for seq in loads {
            let new = Self::rows(*seq)
                .into_iter()
                .map(|row| (row["id"].as_i64().unwrap(), row["load"].as_i64().unwrap()));
            match self.plan.write_mode {
                WriteMode::Append => rows.extend(new),
                WriteMode::Replace => rows = new.collect(),
                WriteMode::Merge => {
                    let new: Vec<_> = new.collect();
                    rows.retain(|(id, _)| new.iter().all(|(other, _)| other != id));
                    rows.extend(new);
                }
            }
        }
        rows.sort_unstable();
        rows
    }
}

const MODES: [WriteMode; 3] = [WriteMode::Append, WriteMode::Replace, WriteMode::Merge];
const DEATHS: [Disturbance; 2] = [Disturbance::DiesBefore, Disturbance::DiesAfter];
/// More operations than any commit here has.
const MANY: i64 = 60;

#[tokio::test]
async fn a_commit_that_died_anywhere_is_completed_by_the_next_process() {
    for (mode, renames) in MODES
        .into_iter()
        .flat_map(|mode| [(mode, false), (mode, true)])
    {
        for death in DEATHS {
            let mut operation = 0;
            loop {
                let table = Table::new(mode, renames).await;
                let load = table.load(2);
                let parts = table.sealed(&load).await;
                let disturbed = DisturbedStore::new(Arc::clone(&table.store), operation, death);
                let store: Arc<dyn ObjectStore> = disturbed.clone();
                let first = table.commit(&store, &load, &parts).await;
                if !disturbed.was_reached() {
                    first.unwrap();
                    break;
                }
                let written = table.commit(&table.store, &load, &parts).await.unwrap();
                let place = format!("{mode:?}, renames: {renames}, {death:?} {operation}");
                assert_eq!(table.visible().await, table.expected(&[1, 2]), "{place}");
                assert_eq!(written.rows, 6, "{place}");
                let later = table.load(3);
                let parts = table.sealed(&later).await;
                table.commit(&table.store, &later, &parts).await.unwrap();
                assert_eq!(table.visible().await, table.expected(&[1, 2, 3]), "{place}");
                operation += 1;
                assert!(operation < MANY);
            }
            // The mark twice, and three files on their way.
            assert!(operation >= 5, "{mode:?} has only {operation} operations");
        }
    }
}

#[tokio::test]
async fn a_commit_that_died_and_was_abandoned_leaves_all_or_nothing() {
    for (mode, renames) in MODES
        .into_iter()
        .flat_map(|mode| [(mode, false), (mode, true)])
    {
        let mut left_nothing = 0;
        let mut left_all = 0;
        for (death, operation) in DEATHS
            .into_iter()
            .flat_map(|death| (0..MANY).map(move |operation| (death, operation)))
        {
            let table = Table::new(mode, renames).await;
            let load = table.load(2);
            let parts = table.sealed(&load).await;
            let disturbed = DisturbedStore::new(Arc::clone(&table.store), operation, death);
            let store: Arc<dyn ObjectStore> = disturbed.clone();
            let _ = table.commit(&store, &load, &parts).await;
            if !disturbed.was_reached() {
                continue;
            }
            let later = table.load(3);
            let later_parts = table.sealed(&later).await;
            table
                .commit(&table.store, &later, &later_parts)
                .await
                .unwrap();
            let visible = table.visible().await;
            let place = format!("{mode:?}, renames: {renames}, {death:?} {operation}");
            if mode == WriteMode::Replace {
                // Whether the abandoned load was there for a moment can't be told any more.
                assert_eq!(visible, table.expected(&[3]), "{place}");
            } else if visible == table.expected(&[1, 3]) {
                left_nothing += 1;
                // Its parts are there again: an abandoned load can be replayed.
                for part in &parts {
                    let path = Path::from(format!("{}/{}", table.prefix, part.name));
                    assert!(table.store.head(&path).await.is_ok(), "{place}");
                }
            } else {
                assert_eq!(visible, table.expected(&[1, 2, 3]), "{place}");
                left_all += 1;
            }
            let error = table.commit(&table.store, &load, &parts).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict, "{place}");
        }
        if mode != WriteMode::Replace {
            assert!(
                left_nothing > 0 && left_all > 0,
                "{mode:?}: {left_nothing}, {left_all}"
            );
        }
    }
}

#[tokio::test]
async fn a_process_that_wakes_up_late_does_no_harm() {
    for (mode, renames) in MODES
        .into_iter()
        .flat_map(|mode| [(mode, false), (mode, true)])
    {
        let mut conflicts = 0;
        for operation in 0..MANY {
            let table = Table::new(mode, renames).await;
            let load = table.load(2);
            let parts = table.sealed(&load).await;
            let disturbed =
                DisturbedStore::new(Arc::clone(&table.store), operation, Disturbance::Waits);
            let store: Arc<dyn ObjectStore> = disturbed.clone();
            let mut late = Box::pin(table.commit(&store, &load, &parts));
            tokio::select! {
                biased;
                // It has no such operation, or one that can't stand still.
                _ = &mut late => continue,
                () = disturbed.reached() => {}
            }
            let later = table.load(3);
            let later_parts = table.sealed(&later).await;
            table
                .commit(&table.store, &later, &later_parts)
                .await
                .unwrap();
            disturbed.release();
            let outcome = late.await;
            let place = format!("{mode:?}, renames: {renames}, late at {operation}");
            let visible = table.visible().await;
            match outcome {
                Ok(_) => assert_eq!(visible, table.expected(&[1, 2, 3]), "{place}"),
                Err(error) => {
                    conflicts += 1;
                    assert_eq!(error.kind(), ErrorKind::Conflict, "{place}: {error:?}");
                    let nothing = table.expected(&[1, 3]);
                    let all = table.expected(&[1, 2, 3]);
                    assert!(visible == nothing || visible == all, "{place}: {visible:?}");
                }
            }
        }
        assert!(conflicts > 0, "{mode:?} never conflicted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_to_s3_that_died_anywhere_is_completed_by_the_next_process() {
    let Some(component) = require(&SEAWEEDFS) else {
        return;
    };
    let bucket = Bucket::start(&component);
    for mode in MODES {
        for death in DEATHS {
            for operation in 0..MANY {
                let prefix = format!("{mode:?}-{death:?}-{operation}");
                let table = Table::within(bucket.store(), prefix.clone(), mode, false).await;
                let load = table.load(2);
                let parts = table.sealed(&load).await;
                let disturbed = DisturbedStore::new(Arc::clone(&table.store), operation, death);
                let store: Arc<dyn ObjectStore> = disturbed.clone();
                let first = table.commit(&store, &load, &parts).await;
                if !disturbed.was_reached() {
                    first.unwrap();
                    break;
                }
                let written = table.commit(&table.store, &load, &parts).await.unwrap();
                assert_eq!(written.rows, 6, "{prefix}");
                assert_eq!(table.visible().await, table.expected(&[1, 2]), "{prefix}");
            }
        }
    }
}

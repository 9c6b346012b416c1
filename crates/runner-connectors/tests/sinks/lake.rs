//! The contract of sinks, kept by Iceberg tables of a SQLite catalog, and read by the `iceberg` crate's own scan.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StringArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use async_trait::async_trait;
use futures::TryStreamExt;
use iceberg::TableIdent;
use iceberg::io::FileIO;
use iceberg::spec::TableMetadata;
use iceberg::table::Table;
use runner_connectors::iceberg::IcebergTarget;
use runner_connectors::sink::Target;
use runner_plan::arrow::arrow_type;
use runner_plan::model::{Catalog, ColumnField, ColumnType, LoadPlan, Target as TargetPlan};
use runner_testkit::sink::values::{self, Row};
use runner_testkit::sink::{SinkHarness, context, run_case};
use sqlx::Row as _;
use uuid::Uuid;

pub(crate) struct Lake {
    root: tempfile::TempDir,
}

impl Lake {
    pub(crate) fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.path().join("catalog.db")
    }

    pub(crate) async fn table(&self, plan: &LoadPlan) -> Option<Table> {
        if !self.database().exists() {
            return None;
        }
        let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", self.database().display()))
            .await
            .unwrap();
        let row = sqlx::query("SELECT metadata_location FROM iceberg_tables WHERE table_name = ?")
            .bind(&plan.table)
            .fetch_optional(&pool)
            .await
            .unwrap()?;
        let location: String = row.get(0);
        let io = FileIO::new_with_fs();
        let metadata = TableMetadata::read_from(&io, &location).await.unwrap();
        let table = Table::builder()
            .identifier(TableIdent::from_strs(["ns", plan.table.as_str()]).unwrap())
            .metadata(metadata)
            .metadata_location(location)
            .file_io(io)
            .runtime(iceberg::Runtime::current())
            .build()
            .unwrap();
        Some(table)
    }
}

#[async_trait]
impl SinkHarness for Lake {
    fn place(&self, mut plan: LoadPlan) -> LoadPlan {
        plan.target = TargetPlan::Iceberg {
            catalog: Catalog::Sqlite {
                file: self.database().display().to_string(),
                name: "local".to_owned(),
                warehouse: self.root.path().join("warehouse").display().to_string(),
            },
            namespace: vec!["ns".to_owned()],
            table: plan.table.clone(),
            storage: serde_json::Map::new(),
            format_version: 2,
            compression: "zstd".to_owned(),
        };
        plan
    }

    async fn open(&self, plan: &LoadPlan) -> Arc<dyn Target> {
        let context = context(&self.root.path().join("runner"));
        Arc::new(IcebergTarget::open(plan, &context).await.unwrap())
    }

    async fn rows(&self, plan: &LoadPlan, columns: &[ColumnField]) -> Vec<Row> {
        let Some(table) = self.table(plan).await else {
            return Vec::new();
        };
        let scan = table.scan().select_all().build().unwrap();
        let batches: Vec<RecordBatch> = scan.to_arrow().await.unwrap().try_collect().await.unwrap();
        batches
            .iter()
            .flat_map(|batch| values::rows(&plain(batch, columns), columns))
            .collect()
    }

    async fn staged(&self, plan: &LoadPlan) -> Vec<String> {
        let mut named: HashSet<String> = HashSet::new();
        if let Some(table) = self.table(plan).await {
            for snapshot in table.metadata().snapshots() {
                let list = table.manifest_list_reader(snapshot).load().await.unwrap();
                for file in list.entries() {
                    let manifest = file.load_manifest(table.file_io()).await.unwrap();
                    named.extend(manifest.entries().iter().map(|entry| {
                        let path = entry.file_path();
                        path.strip_prefix("file://").unwrap_or(path).to_owned()
                    }));
                }
            }
        }
        let folder = self.root.path().join("warehouse/ns").join(&plan.table);
        parquet_files(&folder)
            .into_iter()
            .map(|path| path.display().to_string())
            .filter(|path| !named.contains(path))
            .collect()
    }
}

fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(parquet_files(&path));
        } else if path.extension().is_some_and(|name| name == "parquet") {
            found.push(path);
        }
    }
    found
}

/// The columns in the types that the suite compares.
fn plain(batch: &RecordBatch, columns: &[ColumnField]) -> RecordBatch {
    let arrays: Vec<(&str, ArrayRef, bool)> = columns
        .iter()
        .filter_map(|column| {
            let array = batch.column_by_name(&column.name)?;
            Some((
                column.name.as_str(),
                plain_array(array, &column.column_type),
                true,
            ))
        })
        .collect();
    RecordBatch::try_from_iter_with_nullable(arrays).unwrap()
}

fn plain_array(array: &ArrayRef, column_type: &ColumnType) -> ArrayRef {
    match (column_type, array.data_type()) {
        (ColumnType::Uuid, DataType::FixedSizeBinary(_)) => {
            let texts: StringArray = array
                .as_fixed_size_binary()
                .iter()
                .map(|bytes| bytes.map(|bytes| Uuid::from_slice(bytes).unwrap().to_string()))
                .collect();
            Arc::new(texts)
        }
        (ColumnType::List(item), DataType::List(field)) => {
            let list = array.as_list::<i32>();
            let items = plain_array(list.values(), &item.column_type);
            let field = Field::new(field.name(), items.data_type().clone(), true);
            Arc::new(ListArray::new(
                Arc::new(field),
                list.offsets().clone(),
                items,
                list.nulls().cloned(),
            ))
        }
        (ColumnType::Struct(children), DataType::Struct(_)) => {
            let rows = array.as_struct();
            let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = children
                .iter()
                .filter_map(|child| {
                    let column = rows.column_by_name(&child.name)?;
                    let column = plain_array(column, &child.column_type);
                    Some((
                        Field::new(&child.name, column.data_type().clone(), true),
                        column,
                    ))
                })
                .unzip();
            Arc::new(StructArray::new(
                fields.into(),
                columns,
                rows.nulls().cloned(),
            ))
        }
        (column_type, _) => cast(array, &arrow_type(column_type)).unwrap(),
    }
}

async fn check(case: &str) {
    run_case(&Lake::new(), case).await;
}

runner_testkit::sink_contract!(check);

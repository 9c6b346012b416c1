//! The contract of sinks, kept by a folder of Parquet files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use async_trait::async_trait;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use runner_connectors::parquet::ParquetTarget;
use runner_connectors::sink::Target;
use runner_plan::arrow::arrow_type;
use runner_plan::model::{ColumnField, LoadPlan, Target as TargetPlan};
use runner_testkit::sink::values::{self, Row};
use runner_testkit::sink::{SinkHarness, context, run_case};

pub(crate) struct Folders {
    root: tempfile::TempDir,
}

impl Folders {
    pub(crate) fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn folder(plan: &LoadPlan) -> PathBuf {
        match &plan.target {
            TargetPlan::Parquet { location, .. } => PathBuf::from(location),
            other => panic!("{other:?} is no folder"),
        }
    }
}

#[async_trait]
impl SinkHarness for Folders {
    fn place(&self, mut plan: LoadPlan) -> LoadPlan {
        if let TargetPlan::Parquet { location, .. } = &mut plan.target {
            let folder = self.root.path().join(&plan.table);
            folder.display().to_string().clone_into(location);
        }
        plan
    }

    async fn open(&self, plan: &LoadPlan) -> Arc<dyn Target> {
        let context = context(self.root.path());
        Arc::new(ParquetTarget::open(plan, &context).await.unwrap())
    }

    async fn rows(&self, plan: &LoadPlan, columns: &[ColumnField]) -> Vec<Row> {
        let folder = Self::folder(plan);
        let mut rows = Vec::new();
        for file in files(&folder) {
            let relative = file
                .strip_prefix(&folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            if !is_hidden(&relative) {
                let content = std::fs::read(&file).unwrap();
                rows.extend(rows_of(content.into(), &relative, columns));
            }
        }
        rows
    }

    async fn staged(&self, plan: &LoadPlan) -> Vec<String> {
        let staging = Self::folder(plan).join("_uis_staging");
        files(&staging)
            .iter()
            .map(|file| file.display().to_string())
            .collect()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "parquet")
        {
            found.push(path);
        }
    }
    found
}

/// Whether readers leave a file out by its name or its folder's.
pub(crate) fn is_hidden(relative: &str) -> bool {
    relative
        .split('/')
        .any(|name| name.starts_with(['_', '.']) && !name.contains('='))
}

/// Rows of a file, with what its folders' names say put back: as Hive has it.
pub(crate) fn rows_of(content: Bytes, relative: &str, columns: &[ColumnField]) -> Vec<Row> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(content)
        .unwrap()
        .build()
        .unwrap();
    let mut rows = Vec::new();
    for batch in reader {
        let mut batch = batch.unwrap();
        for pair in relative.split('/').filter_map(|name| name.split_once('=')) {
            batch = with_constant(batch, pair, columns);
        }
        rows.extend(values::rows(&batch, columns));
    }
    rows
}

fn with_constant(
    batch: RecordBatch,
    (name, value): (&str, &str),
    columns: &[ColumnField],
) -> RecordBatch {
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8()
            .unwrap()
            .into_owned()
    };
    let name = decode(name);
    let Some(column) = columns.iter().find(|column| column.name == name) else {
        return batch;
    };
    assert!(
        batch.column_by_name(&name).is_none(),
        "`{name}` stands twice"
    );
    let value = (value != "__HIVE_DEFAULT_PARTITION__").then(|| decode(value));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![value; batch.num_rows()]));
    let array = arrow::compute::cast(&texts, &arrow_type(&column.column_type)).unwrap();
    let mut arrays: Vec<(String, ArrayRef)> = batch
        .schema()
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, array)| (field.name().clone(), Arc::clone(array)))
        .collect();
    arrays.push((name, array));
    RecordBatch::try_from_iter(arrays).unwrap()
}

async fn check(case: &str) {
    run_case(&Folders::new(), case).await;
}

runner_testkit::sink_contract!(check);

//! Staged rows as a table: the parts that checkpoints name, without the rows of chains that started over.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result as QueryResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::RowGroupMetaData;
use runner_connectors::table::widen::widen_batch;
use runner_core::{Error, ErrorKind, Part, Result};
use runner_plan::arrow::arrow_schema;
use runner_plan::model::ColumnField;

use crate::parts::PartFolder;

/// Files read at once.
const PARTITIONS: usize = 4;

/// The staged rows of one stream or transform.
#[derive(Clone, Debug)]
pub(crate) struct StagedView {
    columns: Vec<ColumnField>,
    schema: SchemaRef,
    parts: Vec<Arc<StagedPart>>,
}

/// One file of them.
#[derive(Debug)]
pub(crate) struct StagedPart {
    path: PathBuf,
    rows: u64,
    bytes: u64,
    /// As they were written.
    columns: Vec<ColumnField>,
    /// Half-open ranges of rows that count no more.
    superseded: Vec<(u64, u64)>,
}

impl StagedPart {
    pub(crate) fn new(
        part: &Part,
        versions: &BTreeMap<u32, Vec<ColumnField>>,
        generations: &BTreeMap<u64, u32>,
    ) -> Result<Self> {
        let unknown = |what: &str| {
            Error::new(
                ErrorKind::Internal,
                format!("the staged part `{}` has no {what}", part.name),
            )
        };
        Ok(Self {
            path: PartFolder::file(part).ok_or_else(|| unknown("file"))?,
            rows: part.rows,
            bytes: part.bytes,
            columns: versions
                .get(&part.schema_version)
                .cloned()
                .ok_or_else(|| unknown("known columns"))?,
            superseded: part.superseded(generations),
        })
    }

    /// Rows of these columns, widened to them.
    fn batches(
        &self,
        wanted: &[ColumnField],
        batch_rows: usize,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
        let builder = self.reader()?;
        let own: Vec<ColumnField> = self
            .columns
            .iter()
            .filter(|column| wanted.iter().any(|wanted| wanted.name == column.name))
            .cloned()
            .collect();
        let roots = self
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| own.contains(column))
            .map(|(index, _)| index);
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let mut builder = builder.with_projection(mask).with_batch_size(batch_rows);
        if !self.superseded.is_empty() {
            builder = builder.with_row_selection(self.selection());
        }
        let reader: ParquetRecordBatchReader = builder
            .build()
            .map_err(|error| unreadable(&self.path, error))?;
        let path = self.path.clone();
        let wanted = wanted.to_vec();
        Ok(reader.map(move |batch| {
            let batch = batch.map_err(|error| unreadable(&path, error))?;
            widen_batch(&batch, &own, &wanted)
        }))
    }

    fn reader(&self) -> Result<ParquetRecordBatchReaderBuilder<File>> {
        let file = File::open(&self.path).map_err(|error| unreadable(&self.path, error))?;
        ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|error| unreadable(&self.path, error))
    }

    fn selection(&self) -> RowSelection {
        let mut kept = Vec::new();
        let mut from = 0;
        for (start, end) in &self.superseded {
            kept.push(index(from)..index(*start));
            from = *end;
        }
        kept.push(index(from)..index(self.rows));
        RowSelection::from_consecutive_ranges(kept.into_iter(), index(self.rows))
    }
}

fn unreadable(path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(
        ErrorKind::Sink,
        format!("failed to read staged rows in `{}`", path.display()),
    )
    .with_source(cause)
    .with_help("where the file is gone for good, run the feed anew with `--restart`")
}

fn index(row: u64) -> usize {
    usize::try_from(row).unwrap_or(usize::MAX)
}

impl StagedView {
    /// `versions` are the columns that the parts were written with; the last has the widest types.
    pub(crate) fn new(versions: &BTreeMap<u32, Vec<ColumnField>>, parts: Vec<StagedPart>) -> Self {
        let last = versions.values().next_back().cloned().unwrap_or_default();
        let columns: Vec<ColumnField> = last
            .into_iter()
            .map(|column| {
                let is_everywhere = parts.iter().all(|part| {
                    let mut columns = part.columns.iter();
                    columns.any(|own| own.name == column.name && !own.nullable)
                });
                ColumnField {
                    nullable: column.nullable || !is_everywhere,
                    ..column
                }
            })
            .collect();
        Self {
            schema: arrow_schema(&columns),
            columns,
            parts: parts.into_iter().map(Arc::new).collect(),
        }
    }

    pub(crate) fn columns(&self) -> &[ColumnField] {
        &self.columns
    }

    /// Bytes that a row takes in memory, by the first file.
    pub(crate) fn row_bytes(&self) -> Result<u64> {
        let Some(part) = self.parts.first().filter(|part| part.rows > 0) else {
            return Ok(0);
        };
        let metadata = part.reader()?.metadata().clone();
        let bytes = metadata.row_groups().iter();
        let bytes: i64 = bytes.map(RowGroupMetaData::total_byte_size).sum();
        Ok(u64::try_from(bytes).unwrap_or_default() / part.rows)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

#[async_trait]
impl TableProvider for StagedView {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> QueryResult<Arc<dyn ExecutionPlan>> {
        let columns: Vec<ColumnField> = match projection {
            None => self.columns.clone(),
            Some(indices) => indices
                .iter()
                .filter_map(|index| self.columns.get(*index).cloned())
                .collect(),
        };
        let schema = arrow_schema(&columns);
        let mut groups: Vec<Vec<Arc<StagedPart>>> =
            vec![Vec::new(); self.parts.len().clamp(1, PARTITIONS)];
        let count = groups.len();
        for (index, part) in self.parts.iter().enumerate() {
            if let Some(group) = groups.get_mut(index % count) {
                group.push(Arc::clone(part));
            }
        }
        let partitions = groups
            .into_iter()
            .map(|parts| {
                Arc::new(StagedPartition {
                    schema: Arc::clone(&schema),
                    columns: columns.clone(),
                    parts,
                }) as Arc<dyn PartitionStream>
            })
            .collect();
        let scan = StreamingTableExec::try_new(schema, partitions, None, [], false, limit)?;
        Ok(Arc::new(scan))
    }
}

/// Files that are read one after the other.
#[derive(Debug)]
struct StagedPartition {
    schema: SchemaRef,
    columns: Vec<ColumnField>,
    parts: Vec<Arc<StagedPart>>,
}

impl PartitionStream for StagedPartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batch_rows = context.session_config().batch_size();
        let columns = self.columns.clone();
        let batches = self.parts.clone().into_iter().flat_map(move |part| {
            let (batches, failure) = match part.batches(&columns, batch_rows) {
                Ok(batches) => (Some(batches), None),
                Err(error) => (None, Some(Err(error))),
            };
            failure.into_iter().chain(batches.into_iter().flatten())
        });
        let batches = batches
            .map(|batch| batch.map_err(|error: Error| DataFusionError::External(Box::new(error))));
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            stream::iter(batches),
        ))
    }
}

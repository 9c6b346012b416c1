//! Reads a Parquet data file: some of its columns or all, some of its row groups or all, with the numbers of the rows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{ParquetObjectReader, ParquetRecordBatchStreamBuilder};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::error::{IcebergError, Result};
use super::files::TableFiles;

/// Rows of one batch.
const BATCH_ROWS: usize = 8192;

/// A data file whose footer has been read.
pub(super) struct DataReader {
    location: String,
    store: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
    metadata: ArrowReaderMetadata,
}

/// Consecutive rows of a file.
pub(super) struct NumberedRows {
    /// Number in the file of the first row.
    pub first_row: u64,
    pub batch: RecordBatch,
}

pub(super) type NumberedStream = BoxStream<'static, Result<NumberedRows>>;

impl DataReader {
    pub(super) async fn open(files: &TableFiles, location: &str, bytes: u64) -> Result<Self> {
        let (store, path) = files.resolve(location)?;
        let mut reader =
            ParquetObjectReader::new(Arc::clone(&store), path.clone()).with_file_size(bytes);
        let metadata = ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new())
            .await
            .map_err(IcebergError::parquet(format!(
                "read the footer of `{location}`"
            )))?;
        Ok(Self {
            location: location.to_owned(),
            store,
            path,
            bytes,
            metadata,
        })
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    pub(super) fn parquet(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    /// Top-level columns by their positions, in the file's order; every row group unless some are named.
    pub(super) fn read(
        &self,
        columns: Option<Vec<usize>>,
        row_groups: Option<&[usize]>,
    ) -> Result<NumberedStream> {
        let descriptor = self.parquet().file_metadata().schema_descr();
        let mask = columns.map_or_else(ProjectionMask::all, |columns| {
            ProjectionMask::roots(descriptor, columns)
        });
        let all: Vec<usize> = (0..self.parquet().num_row_groups()).collect();
        let mut streams = Vec::new();
        for run in runs(row_groups.unwrap_or(&all)) {
            let first_row: i64 = self.parquet().row_groups()[..run.start]
                .iter()
                .map(RowGroupMetaData::num_rows)
                .sum();
            let reader = ParquetObjectReader::new(Arc::clone(&self.store), self.path.clone())
                .with_file_size(self.bytes);
            let stream =
                ParquetRecordBatchStreamBuilder::new_with_metadata(reader, self.metadata.clone())
                    .with_batch_size(BATCH_ROWS)
                    .with_projection(mask.clone())
                    .with_row_groups(run.collect())
                    .build()
                    .map_err(self.failed())?;
            let mut next_row = u64::try_from(first_row).unwrap_or(0);
            let doing = format!("read `{}`", self.location);
            streams.push(stream.map(move |batch| {
                let batch = batch.map_err(IcebergError::parquet(&doing))?;
                let first_row = next_row;
                next_row += batch.num_rows() as u64;
                Ok(NumberedRows { first_row, batch })
            }));
        }
        Ok(futures::stream::iter(streams).flatten().boxed())
    }

    fn failed(&self) -> impl FnOnce(parquet::errors::ParquetError) -> IcebergError {
        IcebergError::parquet(format!("read `{}`", self.location))
    }
}

/// Consecutive numbers as ranges.
fn runs(numbers: &[usize]) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(run) if run.end == *number => run.end += 1,
            _ => runs.push(*number..*number + 1),
        }
    }
    runs
}

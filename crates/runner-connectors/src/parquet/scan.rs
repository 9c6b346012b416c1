//! Reads the files of a folder: some columns or all, in the table's types, with what the folders' names say put back.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{ParquetObjectReader, ParquetRecordBatchStreamBuilder};
use parquet::file::metadata::ParquetMetaData;
use runner_core::{Error, ErrorKind, Result};
use runner_plan::arrow::{arrow_schema, arrow_type};
use runner_plan::model::ColumnField;

use super::layout;
use crate::keys::{FileRows, FileRowsStream, KeyRanges, KeyedFiles, matching_row_groups};
use crate::partition::folder_value;
use crate::storage::{Storage, StorageError};
use crate::table::conform::Conform;
use crate::table::infer::{columns_of, normalize, with_uuids};

const BATCH_ROWS: usize = 8192;
/// Footers that are read at once.
const FOOTERS_AT_ONCE: usize = 16;
/// Footers of a table's files that are kept in memory; those of others are read again when they are needed.
const FOOTER_BYTES: usize = 48 << 20;

/// A file of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataFile {
    /// Relative to the table.
    pub path: String,
    /// `name=value` folders whose values its rows have; a part's stand elsewhere than the part.
    pub folder: String,
    pub bytes: u64,
}

/// A file whose footer has been read.
#[derive(Clone, Debug)]
pub(super) struct OpenedFile {
    pub file: DataFile,
    pub metadata: ArrowReaderMetadata,
    /// Its columns, those of the folder's name last.
    pub columns: Vec<ColumnField>,
    /// Values of the columns that only the folder's name has.
    constants: Vec<ArrayRef>,
}

/// Every data file of a table.
pub(super) async fn data_files(storage: &Storage) -> Result<Vec<DataFile>> {
    let entries = storage.list("").await.map_err(StorageError::into_sink)?;
    Ok(entries
        .into_iter()
        .filter(|entry| layout::is_data(&entry.path))
        .map(|entry| DataFile {
            folder: layout::folder_of(&entry.path).to_owned(),
            path: entry.path,
            bytes: entry.bytes,
        })
        .collect())
}

/// Reads the footers of files, in their order. `columns` gives the types of the columns that only a folder's name has.
pub(super) async fn open_all(
    storage: &Storage,
    files: Vec<DataFile>,
    columns: &[ColumnField],
) -> Result<Vec<OpenedFile>> {
    futures::stream::iter(files)
        .map(|file| OpenedFile::open(storage, file, columns))
        .buffered(FOOTERS_AT_ONCE)
        .try_collect()
        .await
}

/// Files of a table, of which there may be a great many.
#[derive(Debug)]
pub(super) struct TableFiles<'a> {
    storage: &'a Storage,
    /// Types of the columns that only a folder's name has.
    columns: &'a [ColumnField],
    files: Vec<TableFile>,
}

#[derive(Debug)]
struct TableFile {
    file: DataFile,
    rows: u64,
    /// Unless memory was short.
    opened: Option<Arc<OpenedFile>>,
}

impl<'a> TableFiles<'a> {
    /// Reads their footers, and keeps as many as there is memory for.
    pub(super) async fn open(
        storage: &'a Storage,
        files: Vec<DataFile>,
        columns: &'a [ColumnField],
    ) -> Result<Self> {
        Self::within(FOOTER_BYTES, storage, files, columns).await
    }

    async fn within(
        memory_bytes: usize,
        storage: &'a Storage,
        files: Vec<DataFile>,
        columns: &'a [ColumnField],
    ) -> Result<Self> {
        let mut opening = futures::stream::iter(files)
            .map(|file| OpenedFile::open(storage, file, columns))
            .buffered(FOOTERS_AT_ONCE);
        let mut files = Vec::new();
        let mut held = 0;
        while let Some(opened) = opening.try_next().await? {
            held += opened.parquet().memory_size();
            files.push(TableFile {
                file: opened.file.clone(),
                rows: opened.rows(),
                opened: (held <= memory_bytes).then(|| Arc::new(opened)),
            });
        }
        Ok(Self {
            storage,
            columns,
            files,
        })
    }

    /// Rows of a file, and its path.
    pub(super) fn file(&self, number: usize) -> Option<(u64, &str)> {
        let file = self.files.get(number)?;
        Some((file.rows, &file.file.path))
    }

    pub(super) fn row_count(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    pub(super) async fn opened(&self, number: usize) -> Result<Arc<OpenedFile>> {
        let Some(file) = self.files.get(number) else {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("a table has no file {number}"),
            ));
        };
        match &file.opened {
            Some(opened) => Ok(Arc::clone(opened)),
            None => OpenedFile::open(self.storage, file.file.clone(), self.columns)
                .await
                .map(Arc::new),
        }
    }
}

#[async_trait]
impl KeyedFiles for TableFiles<'_> {
    fn rows(&self) -> Vec<u64> {
        self.files.iter().map(|file| file.rows).collect()
    }

    async fn read(
        &self,
        file: usize,
        columns: &[ColumnField],
        ranges: Option<&KeyRanges>,
    ) -> Result<FileRowsStream<'_>> {
        let opened = self.opened(file).await?;
        opened.read_holding(self.storage, columns, ranges)
    }
}

impl OpenedFile {
    pub(super) async fn open(
        storage: &Storage,
        file: DataFile,
        columns: &[ColumnField],
    ) -> Result<Self> {
        let mut reader = reader(storage, &file)?;
        let metadata = ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new())
            .await
            .map_err(|error| unreadable(storage, &file, error))?;
        let parquet = metadata.metadata().file_metadata().schema_descr();
        let mut own = columns_of(&with_uuids(metadata.schema(), parquet))?;
        let mut constants = Vec::new();
        for (name, value) in layout::pairs(&file.folder) {
            let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
            let known = columns.iter().find(|column| column.name == name);
            let is_own = own.iter().any(|column| column.name == name);
            if let (Some(column), false) = (known, is_own) {
                constants.push(folder_value(value, &arrow_type(&column.column_type))?);
                own.push(column.clone());
            }
        }
        Ok(Self {
            file,
            metadata,
            columns: own,
            constants,
        })
    }

    pub(super) fn parquet(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    pub(super) fn rows(&self) -> u64 {
        u64::try_from(self.parquet().file_metadata().num_rows()).unwrap_or(0)
    }

    fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// These columns of these row groups, in this order and with these types; what the file lacks is null.
    pub(super) fn read(
        &self,
        storage: &Storage,
        columns: &[ColumnField],
        row_groups: &[usize],
    ) -> Result<FileRowsStream<'static>> {
        let layout = RowLayout::new(self, columns);
        let mut streams = Vec::new();
        for run in runs(row_groups) {
            let first_row: i64 = self.parquet().row_groups()[..run.start]
                .iter()
                .map(parquet::file::metadata::RowGroupMetaData::num_rows)
                .sum();
            let stream = ParquetRecordBatchStreamBuilder::new_with_metadata(
                reader(storage, &self.file)?,
                self.metadata.clone(),
            )
            .with_batch_size(BATCH_ROWS)
            .with_projection(layout.projection.clone())
            .with_row_groups(run.collect())
            .build()
            .map_err(|error| unreadable(storage, &self.file, error))?;
            streams.push((u64::try_from(first_row).unwrap_or(0), stream));
        }
        let location = format!("{}/{}", storage.location(), self.file.path);
        let rows = futures::stream::iter(streams).flat_map(move |(first_row, stream)| {
            let layout = layout.clone();
            let location = location.clone();
            let mut next_row = first_row;
            stream.map(move |batch| {
                let batch = batch.map_err(|error| failed(&location, error))?;
                let first_row = next_row;
                next_row += batch.num_rows() as u64;
                Ok(FileRows {
                    first_row,
                    batch: layout.apply(&batch)?,
                })
            })
        });
        Ok(rows.boxed())
    }

    pub(super) fn all_row_groups(&self) -> Vec<usize> {
        (0..self.parquet().num_row_groups()).collect()
    }
}

/// How batches of a file become batches of the wanted columns.
#[derive(Clone, Debug)]
struct RowLayout {
    projection: ProjectionMask,
    /// Columns as they are read: the file's, then the folder's.
    read: Vec<ColumnField>,
    schema: SchemaRef,
    constants: Vec<ArrayRef>,
    conform: Conform,
}

impl RowLayout {
    fn new(file: &OpenedFile, wanted: &[ColumnField]) -> Self {
        let own = file.schema().fields().len();
        let is_wanted = |column: &ColumnField| wanted.iter().any(|name| name.name == column.name);
        let roots: Vec<usize> = (0..own)
            .filter(|index| is_wanted(&file.columns[*index]))
            .collect();
        let mut read: Vec<ColumnField> = roots
            .iter()
            .map(|index| file.columns[*index].clone())
            .collect();
        let mut constants = Vec::new();
        for (column, value) in file.columns[own..].iter().zip(&file.constants) {
            if is_wanted(column) {
                read.push(column.clone());
                constants.push(Arc::clone(value));
            }
        }
        for column in &mut read {
            column.nullable = true;
        }
        let parquet = file.parquet().file_metadata().schema_descr();
        Self {
            projection: ProjectionMask::roots(parquet, roots),
            schema: arrow_schema(&read),
            conform: Conform::reading(&read, wanted),
            read,
            constants,
        }
    }

    fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let first = UInt32Array::from_value(0, rows);
        let mut arrays = Vec::with_capacity(self.read.len());
        for (array, column) in batch.columns().iter().zip(&self.read) {
            arrays.push(normalize(array, &column.column_type)?);
        }
        for value in &self.constants {
            arrays.push(take(value, &first, None).map_err(internal)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let read = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(internal)?;
        self.conform.apply(&read)
    }
}

/// The parts of a load as something that keys can be read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct FolderFiles<'a> {
    pub storage: &'a Storage,
    pub files: &'a [OpenedFile],
}

#[async_trait]
impl KeyedFiles for FolderFiles<'_> {
    fn rows(&self) -> Vec<u64> {
        self.files.iter().map(OpenedFile::rows).collect()
    }

    async fn read(
        &self,
        file: usize,
        columns: &[ColumnField],
        ranges: Option<&KeyRanges>,
    ) -> Result<FileRowsStream<'_>> {
        match self.files.get(file) {
            Some(file) => file.read_holding(self.storage, columns, ranges),
            None => Ok(futures::stream::empty().boxed()),
        }
    }
}

impl OpenedFile {
    /// These columns of the row groups that can hold one of the keys.
    fn read_holding(
        &self,
        storage: &Storage,
        columns: &[ColumnField],
        ranges: Option<&KeyRanges>,
    ) -> Result<FileRowsStream<'static>> {
        let row_groups = match ranges {
            None => self.all_row_groups(),
            Some(ranges) if self.folder_excludes(ranges)? => Vec::new(),
            Some(ranges) => matching_row_groups(self.parquet(), self.schema(), ranges)?,
        };
        self.read(storage, columns, &row_groups)
    }

    /// Whether the folder's name alone says that no key is in here.
    fn folder_excludes(&self, ranges: &KeyRanges) -> Result<bool> {
        let own = self.schema().fields().len();
        for (column, value) in self.columns[own..].iter().zip(&self.constants) {
            let position = ranges.columns().position(|key| key.name == column.name);
            if let Some(position) = position
                && !ranges.may_hold(position, value, value)?.contains(&true)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn reader(storage: &Storage, file: &DataFile) -> Result<ParquetObjectReader> {
    let path = storage.path(&file.path).map_err(StorageError::into_sink)?;
    Ok(ParquetObjectReader::new(Arc::clone(storage.store()), path).with_file_size(file.bytes))
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

fn unreadable(storage: &Storage, file: &DataFile, error: parquet::errors::ParquetError) -> Error {
    failed(&format!("{}/{}", storage.location(), file.path), error)
}

fn failed(location: &str, error: parquet::errors::ParquetError) -> Error {
    Error::new(ErrorKind::Sink, format!("failed to read `{location}`")).with_source(error)
}

fn internal(error: arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::Internal, "failed to lay out rows that were read").with_source(error)
}

#[cfg(test)]
mod tests;

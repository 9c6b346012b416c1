//! Writes rows into one file per partition: files end at the size that was asked for, and few are open at once.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use runner_core::{Error, ErrorKind, Result, Segments};
use runner_plan::model::Partition;

use super::file::{FileFormat, ParquetFile, WrittenFile};
use crate::partition::{PartitionKey, Splitter};
use crate::sink::{RowOrigin, Unsealed};
use crate::storage::Storage;

/// Partition files that are open at once; opening one more ends the one that was written to longest ago.
const OPEN_FILES: usize = 64;

/// Path of the n-th file, for rows of a partition; no two may be equal.
pub type FilePath = Box<dyn Fn(&PartitionKey, u32) -> String + Send + Sync>;

/// What a [`SplitWriter`] is told.
pub struct SplitWriterOptions {
    pub storage: Storage,
    /// Columns of the batches.
    pub schema: SchemaRef,
    pub partitions: Vec<Partition>,
    /// Leave out of the files what the folder's name says (identity partitions, in Hive's style).
    pub drop_identity_columns: bool,
    pub format: FileFormat,
    pub target_file_bytes: u64,
    /// Bytes that all open files may hold in memory.
    pub memory_bytes: usize,
    pub path: FilePath,
}

impl std::fmt::Debug for SplitWriterOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SplitWriterOptions")
            .field("storage", &self.storage)
            .field("partitions", &self.partitions)
            .field("target_file_bytes", &self.target_file_bytes)
            .finish_non_exhaustive()
    }
}

/// A file that has ended, and whose rows it holds.
#[derive(Clone, Debug)]
pub struct SealedFile {
    pub key: PartitionKey,
    pub file: WrittenFile,
    /// In the order of the rows.
    pub segments: Segments,
}

/// Splits rows by partition and writes them. [`SplitWriter::seal`] ends every file.
pub struct SplitWriter {
    storage: Storage,
    splitter: Splitter,
    /// Columns that are written, where not all are.
    projection: Option<Vec<usize>>,
    schema: SchemaRef,
    format: Arc<FileFormat>,
    target_file_bytes: u64,
    memory_bytes: usize,
    path: FilePath,
    open: HashMap<PartitionKey, OpenFile>,
    /// Ended since the last seal.
    ended: Vec<SealedFile>,
    files: u32,
    clock: u64,
    unsealed: Unsealed,
}

struct OpenFile {
    file: ParquetFile,
    segments: Segments,
    /// When it was last written to, in writes.
    touched: u64,
}

impl SplitWriter {
    pub fn new(options: SplitWriterOptions) -> Result<Self> {
        let splitter = Splitter::new(&options.partitions, &options.schema)?;
        let mut projection = None;
        let mut schema = Arc::clone(&options.schema);
        if options.drop_identity_columns {
            let dropped = splitter.identity_columns();
            let kept: Vec<usize> = (0..schema.fields().len())
                .filter(|column| !dropped.contains(column))
                .collect();
            // A file needs a column, so one of nothing but partition columns keeps them.
            if !dropped.is_empty() && !kept.is_empty() {
                schema = project(&schema, &kept)?;
                projection = Some(kept);
            }
        }
        Ok(Self {
            storage: options.storage,
            splitter,
            projection,
            schema,
            format: Arc::new(options.format),
            target_file_bytes: options.target_file_bytes.max(1),
            memory_bytes: options.memory_bytes,
            path: options.path,
            open: HashMap::new(),
            ended: Vec::new(),
            files: 0,
            clock: 0,
            unsealed: Unsealed::default(),
        })
    }

    pub async fn write(&mut self, batch: &RecordBatch, origin: RowOrigin) -> Result<()> {
        for split in self.splitter.split(batch)? {
            let rows = match &self.projection {
                Some(columns) => split.batch.project(columns).map_err(internal)?,
                None => split.batch,
            };
            self.append(split.key, &rows, origin).await?;
        }
        self.unsealed.rows += batch.num_rows() as u64;
        let open: u64 = self.open.values().map(|open| open.file.bytes()).sum();
        let ended: u64 = self.ended.iter().map(|sealed| sealed.file.bytes).sum();
        self.unsealed.bytes = open + ended;
        self.keep_within_memory().await
    }

    /// Ends every file and returns those that ended since the last seal.
    pub async fn seal(&mut self) -> Result<Vec<SealedFile>> {
        let mut keys: Vec<PartitionKey> = self.open.keys().cloned().collect();
        keys.sort_by(|left, right| left.encoded().cmp(right.encoded()));
        for key in keys {
            self.end(&key).await?;
        }
        self.unsealed = Unsealed::default();
        Ok(std::mem::take(&mut self.ended))
    }

    /// Drops the files that are open and deletes those that have ended since the last seal.
    pub async fn abort(&mut self) -> Result<()> {
        for (_, open) in self.open.drain() {
            open.file.abort().await;
        }
        let paths: Vec<String> = self
            .ended
            .drain(..)
            .map(|sealed| sealed.file.path)
            .collect();
        self.unsealed = Unsealed::default();
        self.storage
            .delete(&paths)
            .await
            .map_err(crate::storage::StorageError::into_sink)
    }

    pub fn unsealed(&self) -> Unsealed {
        self.unsealed
    }

    async fn append(
        &mut self,
        key: PartitionKey,
        rows: &RecordBatch,
        origin: RowOrigin,
    ) -> Result<()> {
        if !self.open.contains_key(&key) {
            if self.open.len() >= OPEN_FILES {
                let oldest = self
                    .open
                    .iter()
                    .min_by_key(|(_, open)| open.touched)
                    .map(|(key, _)| key.clone());
                if let Some(oldest) = oldest {
                    self.end(&oldest).await?;
                }
            }
            let path = (self.path)(&key, self.files);
            self.files += 1;
            let file = ParquetFile::create(
                &self.storage,
                &path,
                Arc::clone(&self.schema),
                Arc::clone(&self.format),
            )?;
            let open = OpenFile {
                file,
                segments: Segments::default(),
                touched: 0,
            };
            self.open.insert(key.clone(), open);
        }
        self.clock += 1;
        let Some(open) = self.open.get_mut(&key) else {
            return Ok(());
        };
        open.file.write(rows).await?;
        open.touched = self.clock;
        open.segments
            .add_rows(origin.chain, origin.generation, rows.num_rows() as u64);
        if open.file.bytes() >= self.target_file_bytes {
            self.end(&key).await?;
        }
        Ok(())
    }

    async fn end(&mut self, key: &PartitionKey) -> Result<()> {
        let Some(open) = self.open.remove(key) else {
            return Ok(());
        };
        let file = open.file.finish().await?;
        self.ended.push(SealedFile {
            key: key.clone(),
            file,
            segments: open.segments,
        });
        Ok(())
    }

    /// Ends the files that hold most, until what is left fits.
    async fn keep_within_memory(&mut self) -> Result<()> {
        while self.open.len() > 1 {
            let held: usize = self.open.values().map(|open| open.file.memory()).sum();
            if held <= self.memory_bytes {
                break;
            }
            let largest = self
                .open
                .iter()
                .max_by_key(|(_, open)| open.file.memory())
                .map(|(key, _)| key.clone());
            match largest {
                Some(key) => self.end(&key).await?,
                None => break,
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for SplitWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SplitWriter")
            .field("storage", &self.storage)
            .field("open", &self.open.len())
            .field("ended", &self.ended.len())
            .field("unsealed", &self.unsealed)
            .finish_non_exhaustive()
    }
}

fn project(schema: &Schema, columns: &[usize]) -> Result<SchemaRef> {
    schema.project(columns).map(Arc::new).map_err(internal)
}

fn internal(error: arrow::error::ArrowError) -> Error {
    Error::new(
        ErrorKind::Internal,
        "failed to lay out the columns of a file",
    )
    .with_source(error)
}

#[cfg(test)]
mod tests;

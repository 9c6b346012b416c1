//! One Parquet file, written while it streams to a folder or an object store.
//!
//! Encoding runs where it may block; what is held in memory is one row group and the parts of the upload under way.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use runner_core::{Error, ErrorKind, Result};

use super::dictionary::{SAMPLE_ROWS, without_dictionary};
use crate::storage::{Storage, Upload};

/// Rows of a row group at most: readers take row groups in parallel.
const ROW_GROUP_ROWS: usize = 1 << 20;
const DEFAULT_ROW_GROUP_BYTES: usize = 32 << 20;
/// Batches smaller than this are put together before they are encoded.
const SMALL_BATCH_ROWS: usize = 2048;
/// A batch takes kilobytes of its own beside its rows: where it has fewer than these, it waits for company only shortly.
const TINY_BATCH_ROWS: usize = 128;
/// Tiny batches that wait as they came.
const TINY_BATCHES: usize = 64;
pub(super) const CREATED_BY: &str = concat!("ingestion-runner ", env!("CARGO_PKG_VERSION"));

/// How files are written.
#[derive(Clone, Debug)]
pub struct FileFormat {
    pub compression: Compression,
    /// Encoded bytes after which a row group ends.
    pub row_group_bytes: usize,
    /// Key-value pairs of the footer.
    pub metadata: Vec<(String, String)>,
    /// Leave the schema's Arrow form out of the footer: Iceberg reads field ids instead.
    pub skip_arrow_schema: bool,
}

impl FileFormat {
    /// With the compression that a document names: `zstd` (the default), `zstd(3)`, `snappy`, `gzip`, `lz4`, `brotli`, `none`.
    pub fn new(compression: &str) -> Result<Self> {
        Ok(Self {
            compression: parse_compression(compression)?,
            row_group_bytes: DEFAULT_ROW_GROUP_BYTES,
            metadata: Vec::new(),
            skip_arrow_schema: false,
        })
    }

    /// With row groups that fit into this much memory.
    #[must_use]
    pub fn within(mut self, memory_bytes: usize) -> Self {
        self.row_group_bytes = (memory_bytes / 2).clamp(1 << 20, DEFAULT_ROW_GROUP_BYTES);
        self
    }

    fn properties(&self, sample: &[RecordBatch]) -> WriterProperties {
        let metadata = self
            .metadata
            .iter()
            .map(|(key, value)| KeyValue::new(key.clone(), value.clone()))
            .collect();
        let mut properties = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_compression(self.compression)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_max_row_group_bytes(Some(self.row_group_bytes))
            .set_key_value_metadata(Some(metadata));
        for name in without_dictionary(sample) {
            properties =
                properties.set_column_dictionary_enabled(ColumnPath::new(vec![name]), false);
        }
        properties.build()
    }
}

/// The compression that a document names.
pub fn parse_compression(text: &str) -> Result<Compression> {
    let text = text.trim().to_ascii_lowercase();
    let (name, level) = match text.split_once('(') {
        Some((name, level)) => (name.trim(), Some(level.trim_end_matches(')').trim())),
        None => (text.as_str(), None),
    };
    let level = level
        .map(str::parse::<u32>)
        .transpose()
        .map_err(|_| unknown_compression(&text))?;
    let signed = |level: u32| i32::try_from(level).unwrap_or(i32::MAX);
    let compression = match (name, level) {
        ("" | "zstd", None) => Ok(Compression::ZSTD(ZstdLevel::default())),
        ("zstd", Some(level)) => ZstdLevel::try_new(signed(level)).map(Compression::ZSTD),
        ("gzip", None) => Ok(Compression::GZIP(GzipLevel::default())),
        ("gzip", Some(level)) => GzipLevel::try_new(level).map(Compression::GZIP),
        ("brotli", None) => Ok(Compression::BROTLI(BrotliLevel::default())),
        ("brotli", Some(level)) => BrotliLevel::try_new(level).map(Compression::BROTLI),
        ("snappy", None) => Ok(Compression::SNAPPY),
        ("lz4" | "lz4_raw", None) => Ok(Compression::LZ4_RAW),
        ("none" | "uncompressed", None) => Ok(Compression::UNCOMPRESSED),
        _ => return Err(unknown_compression(&text)),
    };
    compression.map_err(|error| unknown_compression(&text).with_source(error))
}

fn unknown_compression(text: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!("`{text}` is no compression that Parquet files can have"),
    )
    .with_help("use `zstd`, `zstd(3)`, `snappy`, `gzip`, `lz4`, `brotli` or `none`")
}

/// A file being written.
#[derive(Debug)]
pub struct ParquetFile {
    path: String,
    schema: SchemaRef,
    format: Arc<FileFormat>,
    upload: Upload,
    /// Rows that wait: for a decision on dictionaries first, then for company.
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    /// How many of the last ones are tiny.
    tiny: usize,
    /// What they hold in memory, and what they say: a slice of a batch holds the whole of it.
    pending_memory: usize,
    pending_bytes: usize,
    /// Absent before the first rows are encoded, and while they are.
    encoder: Option<Box<ArrowWriter<Vec<u8>>>>,
    encoded_rows: u64,
    encoded_bytes: u64,
    encoder_memory: usize,
}

/// A file that exists, durably.
#[derive(Clone, Debug)]
pub struct WrittenFile {
    /// Relative to the storage that it was made in.
    pub path: String,
    pub rows: u64,
    pub bytes: u64,
    /// XXH3-128 of the content, hex.
    pub checksum: String,
    pub metadata: Arc<ParquetMetaData>,
}

impl ParquetFile {
    /// Starts a file. Field ids are taken from the schema's field metadata (`PARQUET:field_id`).
    pub fn create(
        storage: &Storage,
        path: &str,
        schema: SchemaRef,
        format: Arc<FileFormat>,
    ) -> Result<Self> {
        let upload = storage
            .upload(path)
            .map_err(crate::storage::StorageError::into_sink)?;
        Ok(Self {
            path: path.to_owned(),
            schema,
            format,
            upload,
            pending: Vec::new(),
            pending_rows: 0,
            tiny: 0,
            pending_memory: 0,
            pending_bytes: 0,
            encoder: None,
            encoded_rows: 0,
            encoded_bytes: 0,
            encoder_memory: 0,
        })
    }

    /// Takes rows; their columns are the schema's, in its order.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.pending_rows += batch.num_rows();
        self.pending_memory += batch.get_array_memory_size();
        self.pending_bytes += content_bytes(batch);
        self.pending.push(batch.clone());
        self.tiny = if batch.num_rows() < TINY_BATCH_ROWS {
            self.tiny + 1
        } else {
            0
        };
        if self.tiny >= TINY_BATCHES {
            self.join_tiny()
                .map_err(|error| self.failed(error.into()))?;
        }
        if self.pending_rows >= SAMPLE_ROWS {
            self.encode().await?;
        }
        Ok(())
    }

    pub fn rows(&self) -> u64 {
        self.encoded_rows + self.pending_rows as u64
    }

    /// What the file would have if it ended now, about.
    pub fn bytes(&self) -> u64 {
        // What waits isn't compressed yet; a third is what becomes of it, about.
        self.encoded_bytes + (self.pending_bytes / 3) as u64
    }

    /// Bytes held in memory, about.
    pub fn memory(&self) -> usize {
        self.encoder_memory + self.pending_memory
    }

    /// Ends the file; it exists when this returns.
    pub async fn finish(mut self) -> Result<WrittenFile> {
        // An empty file needs its encoder too.
        self.encode().await?;
        let Some(encoder) = self.encoder.take() else {
            return Err(self.lost());
        };
        let finished = run_blocking(move || {
            let mut encoder = encoder;
            let metadata = encoder.finish()?;
            Ok((metadata, std::mem::take(encoder.inner_mut())))
        })
        .await;
        let (metadata, content) = match finished {
            Ok(finished) => finished,
            Err(error) => return Err(self.failed(error)),
        };
        self.upload
            .write(Bytes::from(content))
            .await
            .map_err(crate::storage::StorageError::into_sink)?;
        let digest = self
            .upload
            .finish()
            .await
            .map_err(crate::storage::StorageError::into_sink)?;
        Ok(WrittenFile {
            path: self.path,
            rows: self.encoded_rows,
            bytes: digest.bytes,
            checksum: digest.checksum,
            metadata: Arc::new(metadata),
        })
    }

    /// Drops what was written; the file never exists.
    pub async fn abort(self) {
        self.upload.abort().await;
    }

    /// Puts the tiny batches at the end together.
    fn join_tiny(&mut self) -> Result<(), ArrowError> {
        let tiny = self
            .pending
            .split_off(self.pending.len().saturating_sub(self.tiny));
        let joined = concat_batches(&self.schema, &tiny)?;
        let held: usize = tiny.iter().map(RecordBatch::get_array_memory_size).sum();
        self.pending_memory =
            self.pending_memory.saturating_sub(held) + joined.get_array_memory_size();
        self.pending.push(joined);
        self.tiny = 0;
        Ok(())
    }

    async fn encode(&mut self) -> Result<()> {
        self.tiny = 0;
        let batches = std::mem::take(&mut self.pending);
        let rows = std::mem::take(&mut self.pending_rows);
        self.pending_memory = 0;
        self.pending_bytes = 0;
        let encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None if self.encoded_rows == 0 => self.start(&batches)?,
            None => return Err(self.lost()),
        };
        let schema = Arc::clone(&self.schema);
        let outcome = run_blocking(move || {
            let mut encoder = encoder;
            for batch in assemble(&schema, batches)? {
                encoder.write(&batch)?;
            }
            let content = std::mem::take(encoder.inner_mut());
            Ok((encoder, content))
        })
        .await;
        let (encoder, content) = match outcome {
            Ok(done) => done,
            Err(error) => return Err(self.failed(error)),
        };
        self.encoded_rows += rows as u64;
        self.encoded_bytes = (encoder.bytes_written() + encoder.in_progress_size()) as u64;
        self.encoder_memory = encoder.memory_size();
        self.encoder = Some(encoder);
        self.upload
            .write(Bytes::from(content))
            .await
            .map_err(crate::storage::StorageError::into_sink)
    }

    fn start(&self, sample: &[RecordBatch]) -> Result<Box<ArrowWriter<Vec<u8>>>> {
        let options = ArrowWriterOptions::new()
            .with_properties(self.format.properties(sample))
            .with_skip_arrow_metadata(self.format.skip_arrow_schema);
        ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&self.schema), options)
            .map(Box::new)
            .map_err(|error| self.failed(error))
    }

    fn failed(&self, error: ParquetError) -> Error {
        Error::new(
            ErrorKind::Sink,
            format!("failed to encode rows for `{}`", self.upload.location()),
        )
        .with_source(error)
    }

    /// An earlier write failed or was cut off, and took the encoder with it.
    fn lost(&self) -> Error {
        Error::new(
            ErrorKind::Sink,
            format!(
                "`{}` can't be written to any more: an earlier write failed",
                self.upload.location()
            ),
        )
    }
}

/// Bytes of a batch's own rows.
fn content_bytes(batch: &RecordBatch) -> usize {
    let bytes = |column: &ArrayRef| {
        let size = column.to_data().get_slice_memory_size();
        size.unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(bytes).sum()
}

/// Puts small batches together: each batch costs a fixed amount per column.
fn assemble(
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
) -> Result<Vec<RecordBatch>, ParquetError> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if batches.len() < 2 || rows / batches.len() >= SMALL_BATCH_ROWS {
        return Ok(batches);
    }
    Ok(vec![concat_batches(schema, &batches)?])
}

async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ParquetError> + Send + 'static,
) -> Result<T, ParquetError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(ParquetError::External(Box::new(error))))
}

#[cfg(test)]
mod tests;

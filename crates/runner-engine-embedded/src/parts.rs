//! Parts that no sink owns: staged rows and the quarantine, as Parquet files in a folder of this runner.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use runner_connectors::sink::{PartWriter, RowOrigin, Unsealed};
use runner_core::part::Output;
use runner_core::{Attempt, Error, ErrorKind, Part, Result, Segments};
use runner_plan::arrow::arrow_schema;
use runner_plan::model::ColumnField;
use serde_json::json;
use xxhash_rust::xxh3::Xxh3;

/// Bytes of a row group held in memory before it is written.
const ROW_GROUP_BYTES: usize = 8 * 1024 * 1024;

/// A folder of parts: `<data>/stage/<tenant>/<job>/<submission>` or `<data>/quarantine/<tenant>/<feed>/<job>`.
#[derive(Clone, Debug)]
pub struct PartFolder {
    folder: PathBuf,
}

struct FolderWriter {
    folder: PathBuf,
    output: Output,
    input: String,
    schema: SchemaRef,
    schema_version: u32,
    attempt: Attempt,
    open: Option<OpenPart>,
}

struct OpenPart {
    name: String,
    path: PathBuf,
    writer: ArrowWriter<HashingFile>,
    segments: Segments,
    rows: u64,
}

/// Computes the checksum while the bytes go by.
struct HashingFile {
    file: BufWriter<File>,
    hash: Xxh3,
    bytes: u64,
}

impl PartFolder {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// A writer of one lane; nothing is created before the first row.
    pub fn writer(
        &self,
        output: Output,
        input: &str,
        columns: &[ColumnField],
        schema_version: u32,
        attempt: Attempt,
    ) -> Box<dyn PartWriter> {
        Box::new(FolderWriter {
            folder: self.folder.clone(),
            output,
            input: input.to_owned(),
            schema: arrow_schema(columns),
            schema_version,
            attempt,
            open: None,
        })
    }

    /// The file of a part that this folder holds.
    pub fn file(part: &Part) -> Option<PathBuf> {
        part.details
            .get("path")
            .and_then(serde_json::Value::as_str)
            .map(PathBuf::from)
    }

    /// Takes parts away; twice is fine.
    pub fn discard(parts: &[Part]) -> Result<()> {
        for path in parts.iter().filter_map(Self::file) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(file_error("failed to remove", &path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl FolderWriter {
    fn open(&mut self) -> Result<&mut OpenPart> {
        if self.open.is_none() {
            fs::create_dir_all(&self.folder)
                .map_err(|error| file_error("failed to create", &self.folder, error))?;
            let name = format!(
                "{}-{}.parquet",
                self.attempt.0,
                uuid::Uuid::new_v4().simple()
            );
            let path = self.folder.join(&name);
            let file = File::create_new(&path)
                .map_err(|error| file_error("failed to create", &path, error))?;
            let sink = HashingFile {
                file: BufWriter::new(file),
                hash: Xxh3::new(),
                bytes: 0,
            };
            let properties = WriterProperties::builder()
                .set_compression(Compression::ZSTD(ZstdLevel::default()))
                .set_dictionary_enabled(false)
                .build();
            let writer = ArrowWriter::try_new(sink, Arc::clone(&self.schema), Some(properties))
                .map_err(|error| file_error("failed to start", &path, error))?;
            self.open = Some(OpenPart {
                name,
                path,
                writer,
                segments: Segments::default(),
                rows: 0,
            });
        }
        self.open
            .as_mut()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a part could not be opened"))
    }
}

#[async_trait]
impl PartWriter for FolderWriter {
    async fn write(&mut self, batch: &RecordBatch, origin: RowOrigin) -> Result<()> {
        let schema = Arc::clone(&self.schema);
        let part = self.open()?;
        // Batches may differ from the part's schema in metadata alone.
        let batch = batch
            .clone()
            .with_schema(Arc::clone(&schema))
            .or_else(|_| RecordBatch::try_new(schema, batch.columns().to_vec()));
        let batch = batch.map_err(|error| file_error("failed to write", &part.path, error))?;
        part.writer
            .write(&batch)
            .map_err(|error| file_error("failed to write", &part.path, error))?;
        if part.writer.in_progress_size() >= ROW_GROUP_BYTES {
            part.writer
                .flush()
                .map_err(|error| file_error("failed to write", &part.path, error))?;
        }
        part.rows += batch.num_rows() as u64;
        part.segments
            .add_rows(origin.chain, origin.generation, batch.num_rows() as u64);
        Ok(())
    }

    async fn seal(&mut self) -> Result<Vec<Part>> {
        let Some(part) = self.open.take() else {
            return Ok(Vec::new());
        };
        let OpenPart {
            name,
            path,
            writer,
            segments,
            rows,
        } = part;
        let failed = |error: std::io::Error| file_error("failed to seal", &path, error);
        let mut sink = writer
            .into_inner()
            .map_err(|error| file_error("failed to seal", &path, error))?;
        sink.file.flush().map_err(failed)?;
        sink.file.get_ref().sync_all().map_err(failed)?;
        // A new file's name is durable only once its folder is.
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        Ok(vec![Part {
            output: self.output.clone(),
            input: self.input.clone(),
            name,
            attempt: self.attempt,
            rows,
            bytes: sink.bytes,
            checksum: format!("{:032x}", sink.hash.digest128()),
            schema_version: self.schema_version,
            segments,
            details: json!({ "path": path }),
        }])
    }

    async fn abort(&mut self) -> Result<()> {
        let Some(part) = self.open.take() else {
            return Ok(());
        };
        drop(part.writer);
        fs::remove_file(&part.path)
            .map_err(|error| file_error("failed to remove", &part.path, error))
    }

    fn unsealed(&self) -> Unsealed {
        self.open
            .as_ref()
            .map_or_else(Unsealed::default, |part| Unsealed {
                rows: part.rows,
                bytes: (part.writer.bytes_written() + part.writer.in_progress_size()) as u64,
            })
    }
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

fn file_error(
    tried: &str,
    path: &Path,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::new(ErrorKind::Sink, format!("{tried} `{}`", path.display()))
        .with_source(cause)
        .with_help("check that the data folder is writable and that its disk has space")
}

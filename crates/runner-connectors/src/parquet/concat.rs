//! Puts small files together by copying their row groups as they are: nothing is decoded.

use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use runner_core::{Error, ErrorKind, Result};

use super::file::CREATED_BY;
use super::scan::OpenedFile;
use crate::storage::{Digest, Storage, StorageError};

/// Whether the files' row groups can stand in one file.
pub(super) fn fit_together(files: &[&OpenedFile]) -> bool {
    let Some((first, rest)) = files.split_first() else {
        return false;
    };
    let schema = first.parquet().file_metadata().schema();
    rest.iter()
        .all(|file| file.parquet().file_metadata().schema() == schema)
}

/// Writes one file with the row groups of all, in their order. One source file at a time is in memory.
pub(super) async fn concatenate(
    storage: &Storage,
    files: &[&OpenedFile],
    target: &str,
) -> Result<Digest> {
    let Some(first) = files.first() else {
        return Err(Error::new(ErrorKind::Internal, "no files to put together"));
    };
    let failed = |error: ParquetError| {
        Error::new(
            ErrorKind::Sink,
            format!(
                "failed to put files together in `{}/{target}`",
                storage.location()
            ),
        )
        .with_source(error)
    };
    let metadata: Option<Vec<KeyValue>> = first
        .parquet()
        .file_metadata()
        .key_value_metadata()
        .cloned();
    let properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_key_value_metadata(metadata)
        .build();
    let schema = Arc::new(first.parquet().file_metadata().schema().clone());
    let mut writer =
        SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).map_err(failed)?;
    let mut upload = storage.upload(target).map_err(StorageError::into_sink)?;
    for file in files {
        let content = read_whole(storage, file).await?;
        append(&mut writer, file, &content).map_err(failed)?;
        upload
            .write(Bytes::from(std::mem::take(writer.inner_mut())))
            .await
            .map_err(StorageError::into_sink)?;
    }
    writer.finish().map_err(failed)?;
    upload
        .write(Bytes::from(std::mem::take(writer.inner_mut())))
        .await
        .map_err(StorageError::into_sink)?;
    upload.finish().await.map_err(StorageError::into_sink)
}

fn append(
    writer: &mut SerializedFileWriter<Vec<u8>>,
    file: &OpenedFile,
    content: &Bytes,
) -> Result<(), ParquetError> {
    for group in file.parquet().row_groups() {
        let mut target = writer.next_row_group()?;
        for column in group.columns() {
            let close = ColumnCloseResult {
                bytes_written: u64::try_from(column.compressed_size()).unwrap_or(0),
                rows_written: u64::try_from(group.num_rows()).unwrap_or(0),
                metadata: column.clone(),
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            target.append_column(content, close)?;
        }
        target.close()?;
    }
    Ok(())
}

async fn read_whole(storage: &Storage, file: &OpenedFile) -> Result<Bytes> {
    let path = storage
        .path(&file.file.path)
        .map_err(StorageError::into_sink)?;
    let failed = |source| {
        StorageError::Failed {
            operation: "read",
            location: format!("{}/{}", storage.location(), file.file.path),
            source,
        }
        .into_sink()
    };
    let found = storage.store().get(&path).await.map_err(failed)?;
    found.bytes().await.map_err(failed)
}

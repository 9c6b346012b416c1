//! Reads row groups of a Parquet file on a thread of its own; each is a page.

use std::fs::File;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::StreamExt;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::async_reader::{ParquetObjectReader, ParquetRecordBatchStreamBuilder};
use runner_core::{Error, ErrorKind, PageCursor, Result};

use super::chain::Reading;
use super::content::{check_unchanged, open};
use super::piece::{Part, Piece};
use crate::decode::Columnar;
use crate::table::infer::with_uuids;

/// A file whose footer has been read.
enum ParquetFile {
    Local(File, ArrowReaderMetadata),
    Remote(ParquetObjectReader, ArrowReaderMetadata),
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch>>>;

/// Reads the piece to its end; false where nobody takes its rows any more.
pub(super) fn read(reading: &mut Reading) -> Result<bool> {
    let file = ParquetFile::open(reading)?;
    let parquet = Arc::clone(file.metadata().metadata());
    let groups = parquet.row_groups();
    let part = reading.piece.part.unwrap_or(Part {
        start: 0,
        end: groups.len() as u64,
    });
    let mut columns = Columnar::new(reading.stream.schema.clone(), reading.options());
    let schema = with_uuids(
        file.metadata().schema(),
        parquet.file_metadata().schema_descr(),
    );
    let rows_in_all = u64::try_from(parquet.file_metadata().num_rows()).ok();
    let first = reading.start().max(part.start);
    for group in first..part.end {
        let index = usize::try_from(group).unwrap_or(usize::MAX);
        for batch in file.batches(reading, index)? {
            let batch = batch?
                .with_schema(Arc::clone(&schema))
                .map_err(|cause| unreadable(&reading.piece.path, cause))?;
            let rows = columns.take(&batch)?;
            if reading.deliver(rows).is_err() {
                return Ok(false);
            }
        }
        let bytes = groups
            .get(index)
            .and_then(|group| u64::try_from(group.compressed_size()).ok())
            .unwrap_or_default();
        let mut summary = columns.summary(format!("{}/{group}", reading.piece.version));
        // The same in every page: the driver keeps the last.
        reading.total = rows_in_all;
        summary.rows_found = true;
        let next = (group + 1 < part.end).then_some(PageCursor::Byte(group + 1));
        if next.is_none() {
            check_unchanged(&reading.piece)?;
        }
        if reading.end(summary, bytes, next).is_err() {
            return Ok(false);
        }
    }
    if first >= part.end {
        let summary = columns.summary(reading.piece.version.clone());
        return Ok(reading.end(summary, 0, None).is_ok());
    }
    Ok(true)
}

impl ParquetFile {
    fn open(reading: &Reading) -> Result<Self> {
        let (access, piece) = (&reading.stream.access, &reading.piece);
        let Some(remote) = access.remote(piece)? else {
            let file = open(piece)?;
            let metadata = footer(piece, &file)?;
            return Ok(Self::Local(file, metadata));
        };
        access.runtime.block_on(async {
            let mut reader = remote.parquet().await?;
            let metadata = ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new())
                .await
                .map_err(|cause| unreadable(&piece.path, cause))?;
            Ok(Self::Remote(reader, metadata))
        })
    }

    fn metadata(&self) -> &ArrowReaderMetadata {
        match self {
            Self::Local(_, metadata) | Self::Remote(_, metadata) => metadata,
        }
    }

    /// Batches of one row group.
    fn batches(&self, reading: &Reading, group: usize) -> Result<Batches> {
        let path = reading.piece.path.clone();
        let rows = reading.options().batch_rows;
        match self {
            Self::Local(file, metadata) => {
                let file = file
                    .try_clone()
                    .map_err(|cause| super::error::unreadable(&path, cause))?;
                let reader =
                    ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone())
                        .with_row_groups(vec![group])
                        .with_batch_size(rows)
                        .build()
                        .map_err(|cause| unreadable(&path, cause))?;
                Ok(Box::new(reader.map(move |batch| {
                    batch.map_err(|cause| unreadable(&path, cause))
                })))
            }
            Self::Remote(reader, metadata) => {
                let mut stream = ParquetRecordBatchStreamBuilder::new_with_metadata(
                    reader.clone(),
                    metadata.clone(),
                )
                .with_row_groups(vec![group])
                .with_batch_size(rows)
                .build()
                .map_err(|cause| unreadable(&path, cause))?;
                let runtime = reading.stream.access.runtime.clone();
                Ok(Box::new(std::iter::from_fn(move || {
                    let batch = runtime.block_on(stream.next())?;
                    Some(batch.map_err(|cause| unreadable(&path, cause)))
                })))
            }
        }
    }
}

pub(super) fn footer(piece: &Piece, file: &File) -> Result<ArrowReaderMetadata> {
    ArrowReaderMetadata::load(file, ArrowReaderOptions::new())
        .map_err(|cause| unreadable(&piece.path, cause))
}

pub(super) fn unreadable(
    path: &str,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::new(
        ErrorKind::SourceData,
        format!("failed to read the Parquet file `{path}`"),
    )
    .with_source(cause)
    .with_help("if it was cut off when it was written or copied, get it again; a file of another format needs `config.format`")
}

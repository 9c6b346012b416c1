//! A page that is a Parquet file: its footer stands at its end, so that it is read when it is there as a whole.
//! Files in a storage are read by row groups instead, see [`crate::files`].

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use runner_core::{Error, ErrorKind, Result};
use xxhash_rust::xxh3::xxh3_128;

use super::FormatDecoder;
use super::columnar::Columnar;
use super::error;
use super::options::DecodeOptions;
use super::summary::PageSummary;
use crate::rows::Rows;
use crate::schema::StreamSchema;
use crate::table::infer::with_uuids;

/// Decodes one file.
#[derive(Debug)]
pub(crate) struct ParquetPage {
    columns: Columnar,
    options: DecodeOptions,
    content: Vec<u8>,
    hash: String,
    reader: Option<ParquetRecordBatchReader>,
    schema: Option<SchemaRef>,
}

impl ParquetPage {
    pub(crate) fn new(schema: StreamSchema, options: DecodeOptions) -> Self {
        Self {
            columns: Columnar::new(schema, options.clone()),
            options,
            content: Vec::new(),
            hash: String::new(),
            reader: None,
            schema: None,
        }
    }
}

impl FormatDecoder for ParquetPage {
    fn push(&mut self, bytes: Bytes) -> Result<()> {
        let limit = self.options.max_document_bytes;
        if self.content.len() as u64 + bytes.len() as u64 > limit {
            let origin = &self.options.origin;
            return Err(error::too_large(
                origin,
                "a Parquet file in a response",
                limit,
            ));
        }
        self.content.extend_from_slice(&bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let content = Bytes::from(std::mem::take(&mut self.content));
        self.hash = format!("{:032x}", xxh3_128(&content));
        let builder = ParquetRecordBatchReaderBuilder::try_new(content)
            .map_err(|cause| unreadable(&self.options.origin, cause))?;
        self.schema = Some(with_uuids(builder.schema(), builder.parquet_schema()));
        let reader = builder
            .with_batch_size(self.options.batch_rows)
            .build()
            .map_err(|cause| unreadable(&self.options.origin, cause))?;
        self.reader = Some(reader);
        Ok(())
    }

    fn next_rows(&mut self) -> Result<Option<Rows>> {
        let Some(batch) = self.reader.as_mut().and_then(Iterator::next) else {
            return Ok(None);
        };
        let mut batch = batch.map_err(|cause| unreadable(&self.options.origin, cause))?;
        if let Some(schema) = &self.schema {
            batch = batch
                .with_schema(Arc::clone(schema))
                .map_err(|cause| unreadable(&self.options.origin, cause))?;
        }
        self.columns.take(&batch).map(Some)
    }

    fn finish(mut self: Box<Self>) -> Result<PageSummary> {
        Ok(self.columns.summary(std::mem::take(&mut self.hash)))
    }
}

pub(crate) fn unreadable(
    origin: &Arc<str>,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::new(ErrorKind::SourceData, "failed to read a Parquet file")
        .with_context("origin", origin)
        .with_source(cause)
}

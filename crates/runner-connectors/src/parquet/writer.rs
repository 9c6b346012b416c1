//! Writes the rows of one lane into the staging folder.

use arrow::array::RecordBatch;
use async_trait::async_trait;
use runner_core::part::Output;
use runner_core::{Attempt, Error, ErrorKind, Part, Result};
use runner_plan::arrow::arrow_schema;
use runner_plan::model::ColumnField;
use serde::{Deserialize, Serialize};

use super::file::FileFormat;
use super::layout;
use super::split::{SealedFile, SplitWriter, SplitWriterOptions};
use crate::sink::{PartWriter, RowOrigin, Unsealed, WriterContext};
use crate::storage::Storage;
use crate::table::conform::{Conform, written_columns};

/// What a part of a folder records beside its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PartDetails {
    /// Partition, as the folder below the table that the file goes to.
    pub folder: String,
    /// Columns of its rows, those of the partition included.
    pub columns: Vec<ColumnField>,
}

impl PartDetails {
    pub(super) fn of(part: &Part) -> Result<Self> {
        Self::deserialize(&part.details).map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                format!("part `{}` lacks what a Parquet folder needs", part.name),
            )
            .with_source(error)
        })
    }

    pub(super) fn to_json(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self).map_err(|error| {
            Error::new(ErrorKind::Internal, "failed to encode a part").with_source(error)
        })
    }
}

#[derive(Debug)]
pub(super) struct FolderWriter {
    output: Output,
    input: String,
    attempt: Attempt,
    schema_version: u32,
    conform: Conform,
    files: SplitWriter,
}

impl FolderWriter {
    pub(super) fn new(
        storage: Storage,
        format: FileFormat,
        context: WriterContext,
    ) -> Result<Self> {
        let load = &context.load;
        let columns = written_columns(load, &context.columns);
        let conform = Conform::new(&context.columns, &columns, load)?;
        let prefix = format!(
            "{}/a{}-{:08x}",
            layout::staging_of_load(load),
            context.attempt.0,
            rand::random::<u32>()
        );
        let files = SplitWriter::new(SplitWriterOptions {
            storage,
            schema: arrow_schema(&columns),
            partitions: load.plan.partitions.clone(),
            drop_identity_columns: true,
            format: format.within(context.memory_bytes),
            target_file_bytes: load.plan.target_file_bytes,
            memory_bytes: context.memory_bytes,
            path: Box::new(move |_, number| format!("{prefix}-{number:05}.parquet")),
        })?;
        Ok(Self {
            output: Output::Load(load.plan.id.clone()),
            input: context.input,
            attempt: context.attempt,
            schema_version: context.schema_version,
            conform,
            files,
        })
    }

    fn part(&self, sealed: SealedFile) -> Result<Part> {
        let details = PartDetails {
            folder: sealed.key.folder().to_owned(),
            columns: self.conform.columns().to_vec(),
        };
        Ok(Part {
            output: self.output.clone(),
            input: self.input.clone(),
            name: sealed.file.path,
            attempt: self.attempt,
            rows: sealed.file.rows,
            bytes: sealed.file.bytes,
            checksum: sealed.file.checksum,
            schema_version: self.schema_version,
            segments: sealed.segments,
            details: details.to_json()?,
        })
    }
}

#[async_trait]
impl PartWriter for FolderWriter {
    async fn write(&mut self, batch: &RecordBatch, origin: RowOrigin) -> Result<()> {
        let rows = self.conform.apply(batch)?;
        self.files.write(&rows, origin).await
    }

    async fn seal(&mut self) -> Result<Vec<Part>> {
        let sealed = self.files.seal().await?;
        sealed.into_iter().map(|file| self.part(file)).collect()
    }

    async fn abort(&mut self) -> Result<()> {
        self.files.abort().await
    }

    fn unsealed(&self) -> Unsealed {
        self.files.unsealed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is stored of a part by now: every later version has to read it.
    #[test]
    fn details_that_were_stored_are_read_whole() {
        let stored = serde_json::json!({
            "folder": "day=2026-01-02",
            "columns": [{ "name": "at", "column_type": "timestamp", "nullable": true }],
        });
        let details: PartDetails = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(details.to_json().unwrap(), stored);
    }
}

//! Writes rows of files anew: without those that are left out, in the columns of the table, in files of the size asked for.

use futures::TryStreamExt;
use runner_core::{LoadContext, Result};
use runner_plan::arrow::arrow_schema;
use runner_plan::model::ColumnField;

use super::file::FileFormat;
use super::layout;
use super::scan::OpenedFile;
use super::split::{SealedFile, SplitWriter, SplitWriterOptions};
use crate::keys::Marks;
use crate::sink::RowOrigin;
use crate::storage::Storage;
use crate::table::conform::Conform;

/// Memory for the files that a rewrite has open.
const MEMORY_BYTES: usize = 64 << 20;
/// Rows of no particular chain: what was rewritten is ranked already.
const NO_ORIGIN: RowOrigin = RowOrigin {
    chain: 0,
    generation: 0,
};

/// Reads files one after the other and writes what stays of them.
pub(super) struct Rewrite<'a> {
    storage: &'a Storage,
    columns: Vec<ColumnField>,
    conform: Conform,
    writer: SplitWriter,
}

impl<'a> Rewrite<'a> {
    pub(super) fn new(
        storage: &'a Storage,
        format: &FileFormat,
        load: &LoadContext,
        columns: &[ColumnField],
    ) -> Result<Self> {
        let prefix = format!(
            "{}/r-{:016x}",
            layout::staging_of_load(load),
            rand::random::<u64>()
        );
        let writer = SplitWriter::new(SplitWriterOptions {
            storage: storage.clone(),
            schema: arrow_schema(columns),
            partitions: load.plan.partitions.clone(),
            drop_identity_columns: true,
            format: format.clone().within(MEMORY_BYTES),
            target_file_bytes: load.plan.target_file_bytes,
            memory_bytes: MEMORY_BYTES,
            path: Box::new(move |_, number| format!("{prefix}-{number:05}.parquet")),
        })?;
        let read: Vec<ColumnField> = columns
            .iter()
            .map(|column| ColumnField {
                nullable: true,
                ..column.clone()
            })
            .collect();
        Ok(Self {
            storage,
            conform: Conform::new(&read, columns, load)?,
            columns: read,
            writer,
        })
    }

    /// Adds the rows of a file that are not marked as the `number`-th file's.
    pub(super) async fn add(
        &mut self,
        file: &OpenedFile,
        number: usize,
        left_out: &Marks,
    ) -> Result<()> {
        let mut rows = file.read(self.storage, &self.columns, &file.all_row_groups())?;
        while let Some(rows) = rows.try_next().await? {
            let batch = if left_out.count(number) == 0 {
                rows.batch
            } else {
                let kept = left_out.kept(number, rows.first_row, rows.batch.num_rows());
                arrow::compute::filter_record_batch(&rows.batch, &kept).map_err(|error| {
                    runner_core::Error::new(
                        runner_core::ErrorKind::Internal,
                        "failed to leave rows out",
                    )
                    .with_source(error)
                })?
            };
            if batch.num_rows() > 0 {
                self.writer
                    .write(&self.conform.apply(&batch)?, NO_ORIGIN)
                    .await?;
            }
        }
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<Vec<SealedFile>> {
        self.writer.seal().await
    }
}

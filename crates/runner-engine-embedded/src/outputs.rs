//! Everything that one lane or one transform writes to, at one version of its schema.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use runner_connectors::sink::{PartWriter, RowOrigin, Target, WriterContext};
use runner_core::commit::table_columns;
use runner_core::part::Output;
use runner_core::{Attempt, LoadContext, Part, Result, Seq};
use runner_plan::arrow::arrow_schema;
use runner_plan::model::ColumnField;

use crate::added::Additions;
use crate::parts::PartFolder;

/// Bytes that all writers of a stream may hold in memory together.
const WRITER_MEMORY_BYTES: usize = 96 * 1024 * 1024;
/// A writer below this writes row groups too small to be read well.
const MINIMUM_WRITER_MEMORY_BYTES: usize = 4 * 1024 * 1024;

/// A table that rows go to.
pub(crate) struct LoadOutput {
    pub(crate) load: LoadContext,
    pub(crate) target: Arc<dyn Target>,
}

/// Where the rows of a stream or a transform go.
pub(crate) struct Destinations<'a> {
    pub(crate) loads: &'a [LoadOutput],
    /// Where transforms read the rows from.
    pub(crate) stage: Option<&'a PartFolder>,
    /// The stream or the transform.
    pub(crate) input: &'a str,
    pub(crate) attempt: Attempt,
    /// How many write at once.
    pub(crate) lanes: usize,
}

impl Destinations<'_> {
    /// Writers for rows with these columns.
    pub(crate) async fn open(
        &self,
        rows: Vec<ColumnField>,
        schema_version: u32,
    ) -> Result<Outputs> {
        let writers = self.loads.len() + usize::from(self.stage.is_some());
        let memory_bytes =
            (WRITER_MEMORY_BYTES / (self.lanes * writers.max(1))).max(MINIMUM_WRITER_MEMORY_BYTES);
        let mut loads = Vec::with_capacity(self.loads.len());
        for LoadOutput { load, target } in self.loads {
            let additions = Additions::new(&load.plan, &load.id, load.seq, load.nominal_time);
            let columns = table_columns(&load.plan, &rows);
            let schema = arrow_schema(&columns);
            let context = WriterContext {
                load: load.clone(),
                input: self.input.to_owned(),
                attempt: self.attempt,
                columns: columns.clone(),
                schema_version,
                memory_bytes,
            };
            let writer = target.writer(context).await?;
            loads.push(LoadWriter {
                additions,
                columns,
                schema,
                writer,
                target_file_bytes: load.plan.target_file_bytes,
            });
        }
        let stage = self.stage.map(|stage| {
            let output = Output::Stage(self.input.to_owned());
            stage.writer(output, self.input, &rows, schema_version, self.attempt)
        });
        Ok(Outputs::new(schema_version, loads, stage))
    }
}

/// Writers of one lane. A widened schema opens new ones; the old ones keep their rows until the next barrier.
pub(crate) struct Outputs {
    pub(crate) schema_version: u32,
    loads: Vec<LoadWriter>,
    stage: Option<Box<dyn PartWriter>>,
}

/// Writer of one table, with the columns that the table has beside the rows' own.
pub(crate) struct LoadWriter {
    pub(crate) additions: Additions,
    pub(crate) columns: Vec<ColumnField>,
    /// Of these columns.
    pub(crate) schema: SchemaRef,
    pub(crate) writer: Box<dyn PartWriter>,
    pub(crate) target_file_bytes: u64,
}

impl Outputs {
    pub(crate) fn new(
        schema_version: u32,
        loads: Vec<LoadWriter>,
        stage: Option<Box<dyn PartWriter>>,
    ) -> Self {
        Self {
            schema_version,
            loads,
            stage,
        }
    }

    /// `read_by` is the run that has read the rows, where that is another one.
    pub(crate) async fn write(
        &mut self,
        batch: &RecordBatch,
        origin: RowOrigin,
        read_by: Option<Seq>,
    ) -> Result<()> {
        for load in &mut self.loads {
            let rows = load
                .additions
                .apply(batch, &load.columns, &load.schema, read_by)?;
            load.writer.write(&rows, origin).await?;
        }
        if let Some(stage) = &mut self.stage {
            stage.write(batch, origin).await?;
        }
        Ok(())
    }

    pub(crate) async fn seal(&mut self) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for load in &mut self.loads {
            parts.extend(load.writer.seal().await?);
        }
        if let Some(stage) = &mut self.stage {
            parts.extend(stage.seal().await?);
        }
        Ok(parts)
    }

    pub(crate) async fn abort(&mut self) -> Result<()> {
        for load in &mut self.loads {
            load.writer.abort().await?;
        }
        match &mut self.stage {
            Some(stage) => stage.abort().await,
            None => Ok(()),
        }
    }

    /// Whether a file is as large as was asked for, so that a barrier is due.
    pub(crate) fn is_full(&self) -> bool {
        self.loads
            .iter()
            .any(|load| load.writer.unsealed().bytes >= load.target_file_bytes)
    }
}

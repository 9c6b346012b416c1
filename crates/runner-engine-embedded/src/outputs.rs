//! Everything that one lane writes to, at one version of its stream's schema.

use arrow::array::RecordBatch;
use runner_connectors::sink::{PartWriter, RowOrigin};
use runner_core::{Part, Result};
use runner_plan::model::ColumnField;

use crate::added::Additions;

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

    pub(crate) async fn write(&mut self, batch: &RecordBatch, origin: RowOrigin) -> Result<()> {
        for load in &mut self.loads {
            let rows = load.additions.apply(batch, &load.columns)?;
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

//! The sink port: writers that seal parts no reader sees, and a target that commits them ([`runner_core::Committer`]).

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use runner_core::{Committer, LoadContext, Part, Result};
use runner_plan::model::ColumnField;

use crate::rows::Reason;

/// Whose rows a batch holds; parts record it, so that rows of a chain that started over can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowOrigin {
    pub chain: u64,
    pub generation: u32,
}

/// What a writer of one lane is told.
#[derive(Clone, Debug)]
pub struct WriterContext {
    pub load: LoadContext,
    /// Stream or transform whose rows these are; recorded in the parts.
    pub input: String,
    pub attempt: runner_core::Attempt,
    /// Columns of the batches that follow. Load columns (`_uis_load_id`, `_uis_seq`) that are missing are added by the writer.
    pub columns: Vec<ColumnField>,
    pub schema_version: u32,
    /// Bytes that the writer may hold in memory.
    pub memory_bytes: usize,
}

/// Writes rows of one lane, invisible to readers.
#[async_trait]
pub trait PartWriter: Send {
    async fn write(&mut self, batch: &RecordBatch, origin: RowOrigin) -> Result<()>;
    /// Makes everything written so far durable, still invisible, and returns it as parts; the writer can go on.
    async fn seal(&mut self) -> Result<Vec<Part>>;
    /// Drops what isn't sealed.
    async fn abort(&mut self) -> Result<()>;
    /// Rows and bytes written since the last seal: the driver seals when a file is as large as asked.
    fn unsealed(&self) -> Unsealed;
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsealed {
    pub rows: u64,
    pub bytes: u64,
}

/// One table of one sink.
#[async_trait]
pub trait Target: Committer {
    /// Columns of the table as it stands; none where it doesn't exist yet.
    async fn columns(&self) -> Result<Option<Vec<ColumnField>>>;
    async fn writer(&self, context: WriterContext) -> Result<Box<dyn PartWriter>>;
    /// Whether a column can change to this type: [`runner_core::Committer::prepare`] would accept it.
    fn can_widen(&self, from: &ColumnField, to: &ColumnField) -> bool;
    /// Rows that the target can't hold, with the reason (a NUL character in PostgreSQL's text): they belong in the quarantine,
    /// before any writer sees them.
    fn rejects(&self, batch: &RecordBatch) -> Result<Vec<(usize, Reason)>> {
        let _ = batch;
        Ok(Vec::new())
    }
    /// Takes away leftovers of this feed that are older than the retention, but for the parts whose names the store still
    /// records ([`Part::name`]): a blocked or abandoned load keeps its rows. Returns what was taken away.
    async fn sweep(
        &self,
        recorded: &BTreeSet<String>,
        older_than: chrono::DateTime<chrono::Utc>,
        dry_run: bool,
    ) -> Result<Vec<String>>;
    /// Says whether the target can be reached and written to, without writing.
    async fn probe(&self) -> Result<()>;
}

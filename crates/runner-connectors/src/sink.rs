//! The sink port: writers that seal parts no reader sees, and a target that commits them ([`runner_core::Committer`]).

use arrow::array::RecordBatch;
use async_trait::async_trait;
use runner_core::{Committer, LoadContext, Part, Result};
use runner_plan::model::ColumnField;

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
    pub attempt: runner_core::Attempt,
    /// Columns of the batches that follow.
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
    /// Takes away leftovers of this feed that no recorded part names and that are older than the retention.
    async fn sweep(
        &self,
        older_than: chrono::DateTime<chrono::Utc>,
        dry_run: bool,
    ) -> Result<Vec<String>>;
    /// Says whether the target can be reached and written to, without writing.
    async fn probe(&self) -> Result<()>;
}

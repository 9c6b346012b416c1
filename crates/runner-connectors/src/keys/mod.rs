//! Rows by key: which of several rows with one key wins, and which keys a table already has, in bounded memory.
//!
//! Keys are compared by a 128-bit hash of their columns. A pass holds at most [`Budget::keys`] of them; where a load has more,
//! its keys are split by hash, and the key columns (no others) are read once per pass. Both file sinks use it: what differs
//! is [`KeyedFiles`].

mod encode;
mod marks;
mod probe;
mod ranges;
mod winners;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use futures::stream::BoxStream;
use runner_core::commit::SEQ_COLUMN;
use runner_core::{Error, ErrorKind, LoadContext, Result};
use runner_plan::model::ColumnField;

use encode::Cursors;
pub use encode::{CursorKey, KeyEncoder};
pub use marks::Marks;
pub use probe::{Existing, Probed, probe};
pub use ranges::{KeyRanges, matching_row_groups};
pub use winners::{LoadFile, superseded, winners};

/// Which columns make a key, and which decide between rows that share one.
#[derive(Clone, Debug)]
pub struct KeySpec {
    /// Name of the table, for errors.
    pub table: String,
    pub key: Vec<ColumnField>,
    /// Decides between rows of one key before the load's number does.
    pub cursor: Option<ColumnField>,
    /// Whether the table keeps the number of the load that brought a row.
    pub has_seq: bool,
    /// Whether rows of the load have numbers of their own.
    pub rows_have_seq: bool,
}

/// How much may be held in memory.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Keys of one pass; each takes about 75 bytes.
    pub keys: usize,
}

impl Default for Budget {
    fn default() -> Self {
        // Fills a hash table of 2^20 places as far as it lets itself be filled.
        Self { keys: 900_000 }
    }
}

/// Consecutive rows of a file.
#[derive(Clone, Debug)]
pub struct FileRows {
    /// Number in the file of the batch's first row.
    pub first_row: u64,
    pub batch: RecordBatch,
}

/// Rows of a file, as they come.
pub type FileRowsStream<'a> = BoxStream<'a, Result<FileRows>>;

/// Files whose key columns can be read, again and again.
#[async_trait]
pub trait KeyedFiles: Send + Sync {
    /// Rows of each file; a file that has none of the table's rows counts too.
    fn rows(&self) -> Vec<u64>;
    /// These columns of a file, in this order and with these types; what the file lacks is null. Rows that can't have one of
    /// the keys in `ranges` may be left out.
    async fn read(
        &self,
        file: usize,
        columns: &[ColumnField],
        ranges: Option<&KeyRanges>,
    ) -> Result<FileRowsStream<'_>>;
}

impl KeySpec {
    /// The key of a load; none where rows are only added, or where there are none: what was never read has no columns.
    pub fn of(load: &LoadContext, rows: u64) -> Result<Option<Self>> {
        let plan = &load.plan;
        if plan.primary_key.is_empty() || rows == 0 {
            return Ok(None);
        }
        let column = |name: &String| {
            load.columns
                .iter()
                .find(|column| column.name == *name)
                .cloned()
                .ok_or_else(|| {
                    Error::new(
                        ErrorKind::Spec,
                        format!(
                            "`{name}` of the primary key is no column of `{}`",
                            plan.table
                        ),
                    )
                })
        };
        let key = plan
            .primary_key
            .iter()
            .map(column)
            .collect::<Result<Vec<_>>>()?;
        Ok(Some(Self {
            table: plan.table.clone(),
            key,
            cursor: plan.cursor_field.as_ref().map(column).transpose()?,
            has_seq: has_seq(load),
            rows_have_seq: load.is_replay && has_seq(load),
        }))
    }

    /// The columns that have to be read of a load: key, then cursor, then number.
    fn load_columns(&self) -> Vec<ColumnField> {
        self.columns(self.rows_have_seq)
    }

    /// The columns that have to be read of the table: key, then cursor, then number.
    fn table_columns(&self) -> Vec<ColumnField> {
        self.columns(self.has_seq)
    }

    fn columns(&self, with_seq: bool) -> Vec<ColumnField> {
        let mut columns: Vec<_> = self.key.iter().chain(&self.cursor).cloned().collect();
        if with_seq {
            columns.push(ColumnField {
                name: SEQ_COLUMN.to_owned(),
                column_type: runner_plan::model::ColumnType::Integer,
                nullable: true,
            });
        }
        columns
    }

    /// Cursors of rows that were read with these columns.
    fn cursors<'a>(&self, batch: &'a RecordBatch) -> Result<Cursors<'a>> {
        let column = self.cursor.as_ref();
        Cursors::new(column.and_then(|_| batch.columns().get(self.key.len())))
    }

    /// Passes needed for this many keys.
    fn passes(rows: u64, budget: Budget) -> u64 {
        rows.div_ceil(budget.keys.max(1) as u64).max(1)
    }

    /// Keys to make room for at once: a table that grows is there twice meanwhile.
    fn keys_of_pass(rows: u64, passes: u64, budget: Budget) -> usize {
        // Hashes spread evenly, but not exactly so.
        let expected = rows / passes + rows / passes / 64;
        usize::try_from(expected).map_or(budget.keys, |expected| expected.min(budget.keys))
    }
}

fn has_seq(load: &LoadContext) -> bool {
    load.columns.iter().any(|column| column.name == SEQ_COLUMN)
}

/// Numbers of rows that were read with their numbers last; a row that some other writer put there has none.
fn seqs(batch: &RecordBatch, is_read: bool) -> impl Fn(usize) -> Option<i64> {
    let column = is_read.then(|| batch.columns().last()).flatten();
    let seqs = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
    move |row| {
        let seqs = seqs.filter(|seqs| seqs.is_valid(row))?;
        Some(seqs.value(row))
    }
}

fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, "failed to compare rows by key").with_source(error)
}

#[cfg(test)]
mod tests;

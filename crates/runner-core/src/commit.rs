//! Commit: what makes rows visible, once, whatever is repeated.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_plan::Plan;
use runner_plan::model::{
    AddedColumn, ColumnField, ColumnType, DateTimePart, Delivery, LoadPlan, MaskedColumn,
};
use runner_spec::model::{Masking, WriteMode};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::ids::{Attempt, FeedId, LoadId, Seq};
use crate::part::Part;

/// What a target compares with its own mark: the last (seq, load id) that it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    pub seq: Seq,
    pub attempt: Attempt,
}

/// One load of one table.
#[derive(Clone, Debug)]
pub struct LoadContext {
    pub id: LoadId,
    pub feed: FeedId,
    pub seq: Seq,
    pub plan: LoadPlan,
    /// Columns of the table as this run leaves it, load columns included.
    pub columns: Vec<ColumnField>,
    /// Columns of the table by (input, schema version), for parts that were written before a widening.
    pub versions: BTreeMap<(String, u32), Vec<ColumnField>>,
    /// Chains that were started over: (input, chain index) → last generation; rows of earlier ones are left out.
    pub generations: BTreeMap<(String, u64), u32>,
    pub nominal_time: DateTime<Utc>,
    /// When the oldest unfinished load of the table began: snapshots younger than that are not expired.
    pub oldest_unfinished: Option<DateTime<Utc>>,
    /// Bounds of a windowed replace: (partition column, from, to) as text, half-open.
    pub replace_bounds: Vec<(String, String, String)>,
    /// Backfill and replay: keys that are there are left alone.
    pub insert_only: bool,
    /// Rows merge by the numbers that they have themselves ([`SEQ_COLUMN`]): those of the runs that read them first.
    pub is_replay: bool,
}

/// What a commit did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    pub rows: u64,
    pub bytes: u64,
    /// Rows that were left out since their key was there.
    pub rows_skipped: u64,
    /// Rows of the target that a merge or replace took away.
    pub rows_replaced: u64,
    /// Where people find the table.
    pub location: String,
    /// The target already held this load.
    pub already_done: bool,
}

/// The commit side of one table. All of it may be repeated by any process.
#[async_trait]
pub trait Committer: Send + Sync {
    fn delivery(&self) -> Delivery;
    /// Everything that can fail for a lasting reason, before any sink commits. Returns the parts to commit, which the job records:
    /// rewritten where a type widened or rows were superseded.
    async fn prepare(&self, load: &LoadContext, parts: Vec<Part>) -> Result<Vec<Part>>;
    /// Makes the parts visible. The target's own mark decides: the same load id is already done, a greater seq is a conflict.
    async fn commit(&self, fence: &Fence, load: &LoadContext, parts: &[Part]) -> Result<Written>;
    /// Takes parts away after a failed gate or a cancel; twice is fine, and a part that the target refers to is left.
    async fn discard(&self, parts: &[Part]) -> Result<()>;
}

/// Makes committers: the one place that knows which sink stands behind a load.
#[async_trait]
pub trait Committers: Send + Sync {
    async fn committer(&self, plan: &Plan, load: &LoadPlan) -> Result<Arc<dyn Committer>>;
    /// Takes away sealed parts that no committer owns: staged rows that nothing reads any more. Twice is fine.
    async fn discard_staged(&self, plan: &Plan, parts: &[Part]) -> Result<()>;
}

/// Name of the column that tells which load brought a row.
pub const LOAD_ID_COLUMN: &str = "_uis_load_id";
/// Name of the column by which a later load's row wins over an earlier one's.
pub const SEQ_COLUMN: &str = "_uis_seq";

/// The columns of a stream's rows as every output gets them: hidden values are texts, dropped columns are gone. A stream's
/// [`crate::checkpoint::SchemaRecord`] has them as they were decoded, since a resumed run decodes on.
pub fn masked_columns(columns: &[ColumnField], masking: &[MaskedColumn]) -> Vec<ColumnField> {
    columns
        .iter()
        .filter_map(|column| {
            let rule = masking.iter().find(|masked| masked.column == column.name);
            match rule.map(|masked| masked.masking) {
                None => Some(column.clone()),
                Some(Masking::Drop) => None,
                Some(Masking::Hash | Masking::Redact | Masking::Partial) => Some(ColumnField {
                    column_type: ColumnType::String,
                    ..column.clone()
                }),
            }
        })
        .collect()
}

/// What the runner puts into a column that it adds to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddedValue<'a> {
    /// A point in time, or a part of one.
    Time(&'a AddedColumn),
    /// Which load brought the row.
    LoadId,
    /// The load's number.
    Seq,
}

/// The columns of a load's table for rows with these columns: the rows' own, then those that the runner adds.
pub fn table_columns(load: &LoadPlan, rows: &[ColumnField]) -> Vec<ColumnField> {
    let added = added_columns(load, rows);
    let added = added.into_iter().map(|(column, _)| column);
    rows.iter().cloned().chain(added).collect()
}

/// The columns that the runner adds to rows with these columns, and what stands in them. One that the rows have is theirs.
pub fn added_columns<'a>(
    load: &'a LoadPlan,
    rows: &[ColumnField],
) -> Vec<(ColumnField, AddedValue<'a>)> {
    let times = load.added.iter().map(|added| {
        let (name, column_type, nullable) = match added {
            AddedColumn::RunDate { name } => (name, ColumnType::Date, false),
            AddedColumn::RunTime { name } => (name, ColumnType::Timestamp, false),
            AddedColumn::Part { name, of, part } => {
                let column_type = match part {
                    DateTimePart::Date => ColumnType::Date,
                    DateTimePart::Year
                    | DateTimePart::Month
                    | DateTimePart::Day
                    | DateTimePart::Hour => ColumnType::Integer,
                };
                (name, column_type, of.is_some())
            }
        };
        (
            name.as_str(),
            column_type,
            nullable,
            AddedValue::Time(added),
        )
    });
    let id = (
        LOAD_ID_COLUMN,
        ColumnType::String,
        false,
        AddedValue::LoadId,
    );
    let seq = (SEQ_COLUMN, ColumnType::Integer, false, AddedValue::Seq);
    let all = times
        .chain(load.load_columns.then_some(id))
        .chain((load.write_mode == WriteMode::Merge).then_some(seq));
    let mut columns: Vec<(ColumnField, AddedValue<'a>)> = Vec::new();
    for (name, column_type, nullable, value) in all {
        let mut known = rows.iter().chain(columns.iter().map(|(column, _)| column));
        if known.any(|column| column.name == name) {
            continue;
        }
        let column = ColumnField {
            name: name.to_owned(),
            column_type,
            nullable,
        };
        columns.push((column, value));
    }
    columns
}

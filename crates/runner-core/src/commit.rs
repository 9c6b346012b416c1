//! Commit: what makes rows visible, once, whatever is repeated.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_plan::LoadPlan;
use runner_plan::model::{ColumnField, Delivery};
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
    /// Columns by schema version, for parts that were written before a widening.
    pub versions: Vec<(u32, Vec<ColumnField>)>,
    /// Chains that were started over: (input, chain index) → last generation; rows of earlier ones are left out.
    pub generations: std::collections::BTreeMap<(String, u64), u32>,
    pub nominal_time: DateTime<Utc>,
    /// When the oldest unfinished load of the table began: snapshots younger than that are not expired.
    pub oldest_unfinished: Option<DateTime<Utc>>,
    /// Bounds of a windowed replace: (partition column, from, to) as text.
    pub replace_bounds: Vec<(String, String, String)>,
    /// Backfill and replay: keys that are there are left alone.
    pub insert_only: bool,
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

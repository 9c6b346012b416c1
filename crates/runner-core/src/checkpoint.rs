//! The checkpoint: a barrier over all outputs of a stream, stored in one transaction.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runner_plan::model::{ColumnField, ColumnSource, RowPath, RowPathStep};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::job::Claim;
use crate::part::Part;
use crate::position::{ChainEnd, ChainKey, Position};

/// Everything that one barrier makes durable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// A stream or a transform.
    pub stream: String,
    /// 1 for the first barrier of this stream in this attempt, then one more each. The store refuses a gap, and a repeat after an
    /// unknown outcome changes nothing: counters are added up, so a barrier must not count twice.
    pub barrier: u64,
    /// Chains that moved since the last barrier.
    pub positions: Vec<Position>,
    pub parts: Vec<Part>,
    /// Added to what is stored.
    pub counters: Counters,
    /// Versions that are new since the last barrier: each part's must be among them or stored already.
    pub schemas: Vec<SchemaRecord>,
    /// What has been seen of the source's own schema; merged with what is stored.
    pub observed: Observed,
    /// Highest cursor values and boundaries, per chain.
    pub cursors: Vec<ChainCursor>,
    pub warnings: Vec<Warning>,
}

/// Counts of a stream. All but `requests` and `bytes_read` are per chain generation, so that superseded rows are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub requests: u64,
    pub bytes_read: u64,
    /// Counters of each chain generation that this barrier covers, summed per (chain, generation).
    pub chains: Vec<ChainCounters>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainCounters {
    pub chain: u64,
    pub generation: u32,
    pub pages: u64,
    pub rows_read: u64,
    pub rows_passed: u64,
    pub rows_quarantined: u64,
    /// Outside the window, dropped.
    pub rows_outside: u64,
    /// Seen in the boundary of the last run, or twice in the chain.
    pub rows_repeated: u64,
    /// Cells of required fields, and those of them that are not null.
    pub required_cells: u64,
    pub required_present: u64,
    /// Values of fields that no mapping names.
    pub fields_dropped: u64,
}

/// The schema that a stream's parts are written with; it only widens within a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SchemaRecord {
    pub version: u32,
    pub columns: Vec<ColumnField>,
    /// Where each column's values come from, in the same order: names that were snake_cased don't tell. Empty for a transform's output.
    #[serde(default)]
    pub sources: Vec<ColumnSource>,
    /// What was seen of each column's values, in the same order: it decides what a later value widens the column to. The decoder's own shape.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<serde_json::Value>,
}

impl SchemaRecord {
    pub fn index_of(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known.name == column)
    }

    /// Column → the field that it was read from, where that is one of the row itself.
    pub fn fields_read(&self) -> BTreeMap<String, String> {
        let sources = self.columns.iter().zip(&self.sources);
        let fields = sources.filter_map(|(column, source)| match source {
            ColumnSource::Field(RowPath::Steps(steps)) => match steps.as_slice() {
                [RowPathStep::Name(field)] => Some((column.name.clone(), field.clone())),
                _ => None,
            },
            _ => None,
        });
        fields.collect()
    }
}

/// The union of what was seen of the source's rows, before mapping.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Dotted field → what was seen of it.
    pub fields: BTreeMap<String, ObservedField>,
    pub rows: u64,
}

impl Observed {
    /// The union of both.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        for (name, seen) in &other.fields {
            let field = self.fields.entry(name.clone()).or_default();
            field.present += seen.present;
            field.nulls += seen.nulls;
            field.outgrown += seen.outgrown;
            for name in &seen.types {
                if let Err(place) = field.types.binary_search(name) {
                    field.types.insert(place, name.clone());
                }
            }
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedField {
    /// Names of the JSON (or column) types seen, sorted; nulls apart.
    pub types: Vec<String>,
    pub present: u64,
    pub nulls: u64,
    /// Values that need a wider type than the tables can take; their rows are set aside.
    #[serde(default)]
    pub outgrown: u64,
}

/// Cursor of one chain, as far as it has been sealed: the whole of it, not what a barrier added. A value that is read in several
/// windows has a chain for each, and a chain that starts over begins a new cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainCursor {
    pub chain: ChainKey,
    pub generation: u32,
    /// Where the window begins; a windowed replace takes the table's rows from there on.
    pub from: Option<String>,
    pub maximum: Option<String>,
    /// Hash of the raw row → count, of the rows that have the maximum.
    pub boundary: BTreeMap<String, u32>,
    /// More rows share the maximum than a boundary may hold: the cursor stays one distinct value behind.
    pub behind: Option<String>,
    /// The largest value below the maximum, and the rows that have it: the boundary where the cursor stays behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub below_boundary: BTreeMap<String, u32>,
    /// Where the window ends, if it does: the cursor moves there once the chain has ended naturally.
    pub complete_to: Option<String>,
}

/// How a chain ended, for the step that moves cursors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainOutcome {
    pub chain: ChainKey,
    pub end: Option<ChainEnd>,
    pub cursor: Option<ChainCursor>,
}

/// What a stream of a job has done, for those who only look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamSummary {
    pub stream: String,
    pub totals: Totals,
    pub observed: Observed,
    pub warnings: Vec<Warning>,
}

/// Something the report tells; the run goes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Warning {
    /// Stable: people filter by it.
    pub code: String,
    pub stream: Option<String>,
    pub message: String,
}

/// What a new attempt finds of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResumeState {
    /// Of chains that have begun and not ended: a stream may have a million ended ones.
    pub positions: Vec<Position>,
    pub schema: Option<SchemaRecord>,
    /// Of the chains in `positions`; those of ended chains stay in the store until the cursor moves.
    pub cursors: Vec<ChainCursor>,
    /// Summed over the chains' last generations.
    pub totals: Totals,
    pub observed: Observed,
    pub warnings: Vec<Warning>,
}

/// Sums of a stream's counters, superseded rows left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub requests: u64,
    pub bytes_read: u64,
    pub pages: u64,
    pub rows_read: u64,
    pub rows_passed: u64,
    pub rows_quarantined: u64,
    pub rows_outside: u64,
    pub rows_repeated: u64,
    pub required_cells: u64,
    pub required_present: u64,
    pub fields_dropped: u64,
    /// Chains that ended, by how.
    pub chains_ended: BTreeMap<String, u64>,
}

/// The store's side of a barrier. Every call is fenced by the claim: a stale one is a conflict.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    async fn checkpoint(&self, claim: &Claim, checkpoint: &Checkpoint) -> Result<()>;
    async fn resume_state(&self, claim: &Claim, stream: &str) -> Result<ResumeState>;
    /// Forgets what was read of a stream, in one transaction: positions, cursors, counters, parts, what was observed, and the values
    /// sealed for its children. What stays is what was really sent (requests, bytes) and said (warnings, `why` among them), and of
    /// its schemas `schema` alone, which the stream is read with from its first row on. The next barrier is the attempt's first.
    /// Twice is once.
    async fn start_over(
        &self,
        claim: &Claim,
        stream: &str,
        schema: &SchemaRecord,
        why: &Warning,
    ) -> Result<()>;
    /// Parts of the job in the order in which they were sealed; superseded segments are still in them.
    async fn parts(&self, claim: &Claim) -> Result<Vec<Part>>;
    /// Every version of a stream's schema that a barrier stored, in order: parts were written with any of them.
    async fn schemas(&self, claim: &Claim, stream: &str) -> Result<Vec<SchemaRecord>>;
    /// Chains of a stream in the order of (value, window), from the one after this on: what the cursors move by.
    async fn chain_outcomes(
        &self,
        claim: &Claim,
        stream: &str,
        after: Option<&ChainKey>,
        limit: u32,
    ) -> Result<Vec<ChainOutcome>>;
    /// Last generation of each chain of a stream that was started over at least once: chain index → generation.
    async fn generations(&self, claim: &Claim, stream: &str) -> Result<BTreeMap<u64, u32>>;
    /// Appends values of a parent, in first-seen order, to the sealed list; those that are in it already are left out, and
    /// `complete` closes it. Called before the checkpoint that covers the rows which they came from: a crash between the two
    /// repeats values, which changes nothing, where the other order would lose them.
    async fn seal_values(
        &self,
        claim: &Claim,
        stream: &str,
        field: &str,
        values: &[String],
        complete: bool,
    ) -> Result<()>;
    /// A page of the sealed list from an index on, and whether the list is complete.
    async fn values(
        &self,
        claim: &Claim,
        stream: &str,
        field: &str,
        from: u64,
        limit: u32,
    ) -> Result<(Vec<String>, bool)>;
    /// Which chains have ended, of this range of indices: a million chains are never in memory at once.
    async fn ended_chains(
        &self,
        claim: &Claim,
        stream: &str,
        from: u64,
        to: u64,
    ) -> Result<Vec<u64>>;
}

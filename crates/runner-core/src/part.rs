//! Parts: sealed, durable, invisible rows of one output.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::Attempt;
use crate::ranges;
use crate::segments::Segments;

/// Version of the stored form of [`Part`].
pub const PART_FORMAT: u32 = 2;

/// Sealed rows of one output. Only parts recorded in the store are ever committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub output: Output,
    /// Stream or transform whose rows these are: a load may have several, and `segments` and `schema_version` are the input's.
    pub input: String,
    /// Carries attempt and a random suffix, so that no two writers ever share one.
    pub name: String,
    pub attempt: Attempt,
    pub rows: u64,
    pub bytes: u64,
    /// Of the content, hex; empty where the target keeps rows and not files.
    pub checksum: String,
    /// Version of the stream's schema that the rows were written with ([`crate::checkpoint::SchemaRecord::version`]).
    pub schema_version: u32,
    /// Whose rows stand where: runs of rows of one chain, in the order of the rows.
    pub segments: Segments,
    /// What the target needs to commit it (file statistics, staging table); its own shape.
    pub details: serde_json::Value,
}

impl Part {
    /// Rows of chains that started over after they were sealed, as half-open ranges of the part's rows. `last` is the last generation
    /// of each chain of the part's input that started over.
    pub fn superseded(&self, last: &BTreeMap<u64, u32>) -> Vec<(u64, u64)> {
        let mut ranges = Vec::new();
        let mut from = 0;
        for segment in &self.segments {
            let to = from + segment.rows;
            let is_superseded = last
                .get(&segment.chain)
                .is_some_and(|last| segment.generation < *last);
            if is_superseded {
                ranges.push((from, to));
            }
            from = to;
        }
        ranges::union(&ranges)
    }
}

/// What a part is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum Output {
    /// [`runner_plan::LoadPlan::id`].
    Load(String),
    /// Rows of a stream that a transform reads.
    Stage(String),
    /// Rows of a stream or transform that failed a check.
    Quarantine(String),
}

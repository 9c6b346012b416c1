//! What a lane has read since its last barrier.

use std::collections::BTreeMap;
use std::time::Duration;

use runner_connectors::rows::{Reason, TYPE_CHANGED};
use runner_connectors::schema::{DecodedColumn, SchemaVersion};
use runner_core::Position;
use runner_core::checkpoint::{ChainCounters, ChainCursor, Observed, Warning};
use runner_plan::model::{ColumnSource, RowPath, RowPathStep};

/// What the next barrier will store.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) positions: BTreeMap<u64, Position>,
    pub(super) requests: u64,
    pub(super) bytes_read: u64,
    pub(super) counters: BTreeMap<(u64, u32), ChainCounters>,
    pub(super) observed: Observed,
    pub(super) cursors: BTreeMap<u64, ChainCursor>,
    pub(super) warnings: Vec<Warning>,
    pub(super) values: BTreeMap<String, Vec<String>>,
    pub(super) pages: u64,
    pub(super) since: Option<Duration>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    pub(super) fn add_counters(&mut self, counters: &ChainCounters) {
        let sum = self
            .counters
            .entry((counters.chain, counters.generation))
            .or_insert_with(|| ChainCounters {
                chain: counters.chain,
                generation: counters.generation,
                ..ChainCounters::default()
            });
        sum.pages += counters.pages;
        sum.rows_read += counters.rows_read;
        sum.rows_passed += counters.rows_passed;
        sum.rows_quarantined += counters.rows_quarantined;
        sum.rows_outside += counters.rows_outside;
        sum.rows_repeated += counters.rows_repeated;
        sum.required_cells += counters.required_cells;
        sum.required_present += counters.required_present;
        sum.fields_dropped += counters.fields_dropped;
    }

    /// A value that needs a wider type than a table can take sets its row aside, and is a change of the source's schema all the same.
    pub(super) fn note_outgrown(&mut self, reasons: &[Reason], version: &SchemaVersion) {
        for reason in reasons.iter().filter(|reason| reason.code == TYPE_CHANGED) {
            let field = reason
                .column
                .as_deref()
                .and_then(|at| field_of(at, version));
            if let Some(field) = field {
                let seen = self.observed.fields.entry(field.to_owned()).or_default();
                seen.outgrown += 1;
            }
        }
    }
}

/// The source's field behind a column, or behind a place within one (`items[3].price`).
fn field_of<'a>(place: &str, version: &'a SchemaVersion) -> Option<&'a str> {
    let is_within = |column: &&DecodedColumn| {
        place
            .strip_prefix(&column.name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let column = version.columns.iter().find(is_within)?;
    match &column.source {
        ColumnSource::Field(RowPath::Steps(steps)) => match steps.first() {
            Some(RowPathStep::Name(name)) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

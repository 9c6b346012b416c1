//! Chains of a stream in memory: the last generation of each.

use std::collections::BTreeMap;

use runner_core::checkpoint::{ChainCounters, ChainCursor, ChainOutcome, Totals};
use runner_core::{ChainEnd, ChainKey, Checkpoint, Position, Result};

use super::internal;

#[derive(Clone, Debug, Default)]
pub(super) struct Chains {
    chains: BTreeMap<u64, Chain>,
}

#[derive(Clone, Debug, Default)]
struct Chain {
    generation: u32,
    key: ChainKey,
    sealed_pages: Option<u64>,
    position: Option<Position>,
    end: Option<ChainEnd>,
    counters: ChainCounters,
    cursor: Option<ChainCursor>,
}

impl Chains {
    /// What a barrier makes of them, or why it is refused.
    pub(super) fn after(&self, checkpoint: &Checkpoint) -> Result<Self> {
        let mut after = self.clone();
        let spoken = checkpoint
            .positions
            .iter()
            .map(|position| (position.chain.index, position.generation));
        let counted = checkpoint
            .counters
            .chains
            .iter()
            .map(|counters| (counters.chain, counters.generation));
        let mut last: BTreeMap<u64, u32> = BTreeMap::new();
        for (chain, generation) in spoken.chain(counted) {
            let known = last.entry(chain).or_default();
            *known = generation.max(*known);
        }
        for (chain, generation) in &last {
            after.begin(*chain, *generation)?;
        }
        for position in &checkpoint.positions {
            after.advance(position)?;
        }
        for counters in &checkpoint.counters.chains {
            after.count(counters);
        }
        for cursor in &checkpoint.cursors {
            let chain = after.chains.entry(cursor.chain.index).or_default();
            let is_newer = chain
                .cursor
                .as_ref()
                .is_none_or(|known| known.generation <= cursor.generation);
            if is_newer {
                chain.cursor = Some(cursor.clone());
            }
        }
        Ok(after)
    }

    fn begin(&mut self, index: u64, generation: u32) -> Result<()> {
        let chain = self.chains.entry(index).or_insert_with(|| Chain {
            generation,
            ..Chain::default()
        });
        if generation < chain.generation || (generation == chain.generation && chain.end.is_some())
        {
            return Err(internal("a chain would move back"));
        }
        if generation > chain.generation {
            *chain = Chain {
                generation,
                cursor: chain.cursor.take(),
                ..Chain::default()
            };
        }
        Ok(())
    }

    fn advance(&mut self, position: &Position) -> Result<()> {
        let Some(chain) = self.chains.get_mut(&position.chain.index) else {
            return Ok(());
        };
        if position.generation < chain.generation {
            return Ok(());
        }
        if chain
            .sealed_pages
            .is_some_and(|sealed| position.pages < sealed)
        {
            return Err(internal("a position would move back"));
        }
        chain.key = position.chain.clone();
        chain.sealed_pages = Some(position.pages);
        chain.end = position.end;
        chain.position = position.end.is_none().then(|| position.clone());
        Ok(())
    }

    fn count(&mut self, counters: &ChainCounters) {
        let Some(chain) = self.chains.get_mut(&counters.chain) else {
            return;
        };
        if counters.generation < chain.generation {
            return;
        }
        let sum = &mut chain.counters;
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

    pub(super) fn positions(&self) -> Vec<Position> {
        let positions = self
            .chains
            .values()
            .filter_map(|chain| chain.position.clone());
        positions.collect()
    }

    pub(super) fn open_cursors(&self) -> Vec<ChainCursor> {
        let open = self.chains.values().filter(|chain| chain.end.is_none());
        open.filter_map(|chain| chain.cursor.clone()).collect()
    }

    pub(super) fn generations(&self) -> BTreeMap<u64, u32> {
        self.chains
            .iter()
            .filter(|(_, chain)| chain.generation > 0)
            .map(|(index, chain)| (*index, chain.generation))
            .collect()
    }

    pub(super) fn ended(&self, from: u64, to: u64) -> Vec<u64> {
        self.chains
            .range(from..to)
            .filter(|(_, chain)| chain.end.is_some())
            .map(|(index, _)| *index)
            .collect()
    }

    pub(super) fn outcomes(&self) -> Vec<ChainOutcome> {
        let mut outcomes: Vec<_> = self
            .chains
            .iter()
            .map(|(index, chain)| ChainOutcome {
                chain: ChainKey {
                    index: *index,
                    ..chain.key.clone()
                },
                end: chain.end,
                cursor: chain.cursor.clone(),
            })
            .collect();
        outcomes.sort_by_key(|outcome| place(&outcome.chain));
        outcomes
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for chain in self.chains.values() {
            let counters = &chain.counters;
            totals.pages += counters.pages;
            totals.rows_read += counters.rows_read;
            totals.rows_passed += counters.rows_passed;
            totals.rows_quarantined += counters.rows_quarantined;
            totals.rows_outside += counters.rows_outside;
            totals.rows_repeated += counters.rows_repeated;
            totals.required_cells += counters.required_cells;
            totals.required_present += counters.required_present;
            totals.fields_dropped += counters.fields_dropped;
            if let Some(end) = chain.end {
                let name = serde_json::to_value(end).unwrap();
                let name = name.as_str().unwrap_or_default().to_owned();
                *totals.chains_ended.entry(name).or_default() += 1;
            }
        }
        totals
    }
}

/// Chains are paged in the order of (value, window).
pub(super) fn place(chain: &ChainKey) -> (String, u32, u64) {
    (chain.value.clone(), chain.window, chain.index)
}

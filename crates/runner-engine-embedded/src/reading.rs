//! The chain that a lane is reading: where its rows come from, and what was counted since the last page.

use std::sync::Arc;

use runner_connectors::sink::RowOrigin;
use runner_connectors::source::{ChainRequest, Provenance};
use runner_core::checkpoint::ChainCounters;
use runner_core::{Position, Seq};

use crate::cursor::CursorTracker;

/// The chain that is being read.
pub(crate) struct Reading {
    pub(crate) chain_value: Arc<str>,
    pub(crate) origin: RowOrigin,
    pub(crate) pages: u64,
    /// Rows delivered since the last page's end; while there are any, no barrier may stand.
    pub(crate) rows_in_page: u64,
    pub(crate) cursor: Option<CursorTracker>,
    /// Where the rows come from, where this run isn't the first to read them.
    pub(crate) provenance: Option<Provenance>,
    pub(crate) counters: ChainCounters,
    pub(crate) is_cut_off: bool,
}

impl Reading {
    pub(crate) fn new(
        request: &ChainRequest,
        from: Option<&Position>,
        cursor: Option<CursorTracker>,
    ) -> Self {
        let generation = from.map_or(request.generation, |position| position.generation);
        let origin = RowOrigin {
            chain: request.key.index,
            generation,
        };
        let mut reading = Self {
            chain_value: Arc::from(request.key.value.as_str()),
            origin,
            pages: from.map_or(0, |position| position.pages),
            rows_in_page: 0,
            cursor,
            provenance: None,
            counters: ChainCounters::default(),
            is_cut_off: false,
        };
        reading.counters = reading.empty_counters();
        reading
    }

    pub(crate) fn restart(&mut self, request: &ChainRequest) {
        self.origin.generation = request.generation;
        self.pages = 0;
        self.rows_in_page = 0;
        self.counters = self.empty_counters();
        if let Some(cursor) = &mut self.cursor {
            cursor.restart();
        }
    }

    /// The run that has read the rows, where that is another one.
    pub(crate) fn read_by(&self) -> Option<Seq> {
        let provenance = self.provenance.as_ref()?;
        Some(provenance.seq)
    }

    pub(crate) fn take_counters(&mut self) -> ChainCounters {
        let empty = self.empty_counters();
        std::mem::replace(&mut self.counters, empty)
    }

    fn empty_counters(&self) -> ChainCounters {
        ChainCounters {
            chain: self.origin.chain,
            generation: self.origin.generation,
            ..ChainCounters::default()
        }
    }
}

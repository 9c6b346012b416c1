//! What is outside the processes: the source, the stage, the tables.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runner_core::{Error, LoadId, Seq};

/// A row of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub id: u64,
    pub is_good: bool,
}

/// A row in a sealed part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StagedRow {
    pub(super) row: Row,
    pub(super) chain: u64,
    pub(super) generation: u32,
}

/// A table, with the mark of its last load.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) mark: Option<(Seq, LoadId)>,
    pub(super) rows: Vec<Row>,
    /// Names of the parts whose rows are visible.
    pub(super) parts: Vec<String>,
    /// How the next commits end.
    pub(super) failures: VecDeque<Error>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Stream → chains → pages → rows.
    pub(super) source: BTreeMap<String, Vec<Vec<Vec<Row>>>>,
    /// What the source's fields look like, and what it said when each page was asked for.
    pub(super) field_type: String,
    pub(super) requests: BTreeMap<(String, u64, u64), u64>,
    /// Chains whose sealed page will be another when it is asked for again.
    pub(super) changes: Vec<(String, u64)>,
    pub(super) parts: BTreeMap<String, Vec<StagedRow>>,
    pub(super) tables: BTreeMap<String, Table>,
    pub(super) names: u64,
    pub(super) violations: Vec<String>,
}

/// Survives every process.
#[derive(Clone, Debug, Default)]
pub struct World {
    state: Arc<Mutex<State>>,
}

impl World {
    /// A source whose streams have so many chains of so many pages of so many rows; every row whose number the divisor divides is
    /// bad.
    pub fn new(streams: &[&str], chains: u64, pages: u64, rows: u64, bad: Option<u64>) -> Self {
        let world = Self::default();
        {
            let mut state = world.lock();
            "integer".clone_into(&mut state.field_type);
            let mut id = 0;
            for stream in streams {
                let chains = (0..chains)
                    .map(|_| {
                        (0..pages)
                            .map(|_| {
                                (0..rows)
                                    .map(|_| {
                                        id += 1;
                                        Row {
                                            id,
                                            is_good: bad.is_none_or(|bad| id % bad != 0),
                                        }
                                    })
                                    .collect()
                            })
                            .collect()
                    })
                    .collect();
                state.source.insert((*stream).to_owned(), chains);
            }
        }
        world
    }

    /// The type that the source's `id` has from now on.
    pub fn set_field_type(&self, name: &str) {
        name.clone_into(&mut self.lock().field_type);
    }

    /// The chain's last sealed page will be another when it is asked for again.
    pub fn change_page(&self, stream: &str, chain: u64) {
        self.lock().changes.push((stream.to_owned(), chain));
    }

    /// The next commit of the table ends so.
    pub fn fail_commit(&self, load: &str, error: Error) {
        self.lock()
            .tables
            .entry(load.to_owned())
            .or_default()
            .failures
            .push_back(error);
    }

    /// No failure is left for the table.
    pub fn repair(&self, load: &str) {
        self.lock()
            .tables
            .entry(load.to_owned())
            .or_default()
            .failures
            .clear();
    }

    /// A sealed part of a load is gone, as a file is that somebody deleted.
    pub fn lose_a_part(&self) {
        let mut state = self.lock();
        let lost = state
            .parts
            .iter()
            .find(|(_, rows)| rows.iter().any(|staged| staged.row.is_good))
            .map(|(name, _)| name.clone());
        if let Some(lost) = lost {
            state.parts.remove(&lost);
        }
    }

    /// Ids of the good rows that the source has for a stream, in order.
    pub fn good_rows(&self, stream: &str) -> Vec<u64> {
        self.ids(stream, true)
    }

    pub fn bad_rows(&self, stream: &str) -> Vec<u64> {
        self.ids(stream, false)
    }

    /// Ids of the rows that a table shows, in order.
    pub fn visible(&self, load: &str) -> Vec<u64> {
        let state = self.lock();
        let mut ids: Vec<u64> = state
            .tables
            .get(load)
            .map(|table| table.rows.iter().map(|row| row.id).collect())
            .unwrap_or_default();
        ids.sort_unstable();
        ids
    }

    /// Names of the parts that are there, visible ones left out.
    pub fn invisible_parts(&self) -> Vec<String> {
        let state = self.lock();
        state
            .parts
            .keys()
            .filter(|name| {
                !state
                    .tables
                    .values()
                    .any(|table| table.parts.contains(name))
            })
            .cloned()
            .collect()
    }

    /// Ids of the rows of a part that count, given the ranges that don't.
    pub fn rows_of(&self, part: &str, superseded: &[(u64, u64)]) -> Vec<u64> {
        let state = self.lock();
        let rows = state.parts.get(part).map(Vec::as_slice).unwrap_or_default();
        (0_u64..)
            .zip(rows)
            .filter(|(number, _)| {
                !superseded
                    .iter()
                    .any(|(from, to)| from <= number && number < to)
            })
            .map(|(_, staged)| staged.row.id)
            .collect()
    }

    /// Requests for pages that had been asked for before.
    pub fn repeated_requests(&self) -> u64 {
        self.lock().requests.values().map(|count| count - 1).sum()
    }

    /// How often the page was asked for that was asked for most.
    pub fn most_requests(&self) -> u64 {
        self.lock()
            .requests
            .values()
            .copied()
            .max()
            .unwrap_or_default()
    }

    pub fn requests(&self) -> u64 {
        self.lock().requests.values().sum()
    }

    /// What must never happen, and did.
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ids(&self, stream: &str, is_good: bool) -> Vec<u64> {
        let state = self.lock();
        let chains = state
            .source
            .get(stream)
            .map(Vec::as_slice)
            .unwrap_or_default();
        chains
            .iter()
            .flatten()
            .flatten()
            .filter(|row| row.is_good == is_good)
            .map(|row| row.id)
            .collect()
    }
}

impl State {
    /// No two writers ever share a name.
    pub(super) fn new_part(&mut self, kind: &str, rows: Vec<StagedRow>) -> String {
        self.names += 1;
        let name = format!("{kind}-{}", self.names);
        self.parts.insert(name.clone(), rows);
        name
    }
}

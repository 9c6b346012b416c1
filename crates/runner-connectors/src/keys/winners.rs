//! Of several rows of a load with one key, the one that wins.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use futures::TryStreamExt;
use runner_core::segments::Iter;
use runner_core::{Error, ErrorKind, Result, Segments};

use super::encode::{CursorKey, KeyEncoder};
use super::{Budget, KeySpec, KeyedFiles, Marks, seqs};

/// One file of a load: whose rows it holds, and which are superseded.
#[derive(Clone, Debug)]
pub struct LoadFile {
    /// Rows of each chain, in the order of the rows.
    pub segments: Segments,
    /// Whether each segment is left out.
    pub superseded: Vec<bool>,
}

/// A row that is the best of its key so far.
struct Best {
    cursor: CursorKey,
    seq: Option<i64>,
    chain: u64,
    file: u32,
    row: u32,
}

impl Best {
    /// The greatest of (cursor, number of the run, chain, order of arrival) wins.
    fn loses_to(&self, other: &Self) -> bool {
        (&self.cursor, self.seq, self.chain, self.file, self.row)
            < (&other.cursor, other.seq, other.chain, other.file, other.row)
    }
}

/// Marks the rows that lose against another one of the load, and those that are superseded. Files stand in the order in
/// which they were sealed. A row without a key is an error where rows are merged; else it is kept.
pub async fn winners(
    spec: &KeySpec,
    files: &dyn KeyedFiles,
    origins: &[LoadFile],
    nulls_allowed: bool,
    budget: Budget,
) -> Result<Marks> {
    let mut losers = superseded(origins);
    let encoder = KeyEncoder::new(&spec.key)?;
    let columns = spec.load_columns();
    let rows = files.rows().iter().sum();
    let passes = KeySpec::passes(rows, budget);
    let room = KeySpec::keys_of_pass(rows, passes, budget);
    for pass in 0..passes {
        let mut best: HashMap<u128, Best> = HashMap::with_capacity(room);
        for (file, origin) in origins.iter().enumerate() {
            let mut chains = ChainWalk::new(&origin.segments);
            let mut stream = files.read(file, &columns, None).await?;
            while let Some(rows) = stream.try_next().await? {
                let hashes = encoder.hashes(&rows.batch)?;
                let cursors = spec.cursors(&rows.batch)?;
                let seq = seqs(&rows.batch, spec.rows_have_seq);
                for (index, hash) in hashes.into_iter().enumerate() {
                    let row = rows.first_row + index as u64;
                    let chain = chains.at(row);
                    let Some(hash) = hash else {
                        if nulls_allowed || losers.is_marked(file, row) {
                            continue;
                        }
                        return Err(null_key(spec));
                    };
                    if hash % u128::from(passes) != u128::from(pass) || losers.is_marked(file, row)
                    {
                        continue;
                    }
                    let candidate = Best {
                        cursor: cursors.get(index),
                        seq: seq(index),
                        chain,
                        file: u32::try_from(file).map_err(super::internal)?,
                        row: u32::try_from(row).map_err(super::internal)?,
                    };
                    contend(&mut best, &mut losers, hash, candidate);
                }
            }
        }
    }
    Ok(losers)
}

fn contend(best: &mut HashMap<u128, Best>, losers: &mut Marks, hash: u128, candidate: Best) {
    match best.entry(hash) {
        Entry::Vacant(place) => {
            place.insert(candidate);
        }
        Entry::Occupied(mut place) => {
            let loser = if place.get().loses_to(&candidate) {
                place.insert(candidate)
            } else {
                candidate
            };
            losers.mark(loser.file as usize, u64::from(loser.row));
        }
    }
}

/// Marks the rows that are superseded.
pub fn superseded(origins: &[LoadFile]) -> Marks {
    let mut marks = Marks::new(origins.len());
    for (file, origin) in origins.iter().enumerate() {
        let mut row = 0;
        for (segment, superseded) in origin.segments.iter().zip(&origin.superseded) {
            if *superseded {
                for number in row..row + segment.rows {
                    marks.mark(file, number);
                }
            }
            row += segment.rows;
        }
    }
    marks
}

fn null_key(spec: &KeySpec) -> Error {
    let names: Vec<&str> = spec.key.iter().map(|column| column.name.as_str()).collect();
    Error::new(
        ErrorKind::SourceData,
        format!(
            "a row for `{}` has no value in its primary key ({})",
            spec.table,
            names.join(", ")
        ),
    )
    .with_help("rows without a key belong in the quarantine; make the key's columns required")
}

/// The chain of each row, asked for in the order of the rows.
struct ChainWalk<'a> {
    segments: Iter<'a>,
    chain: u64,
    end: u64,
}

impl<'a> ChainWalk<'a> {
    fn new(segments: &'a Segments) -> Self {
        Self {
            segments: segments.iter(),
            chain: 0,
            end: 0,
        }
    }

    fn at(&mut self, row: u64) -> u64 {
        while row >= self.end {
            let Some(segment) = self.segments.next() else {
                break;
            };
            self.chain = segment.chain;
            self.end += segment.rows;
        }
        self.chain
    }
}

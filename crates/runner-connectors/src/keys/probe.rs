//! Which of a load's keys a table already has, and which row wins then.

use std::collections::HashMap;

use futures::TryStreamExt;
use runner_core::Result;

use super::encode::{CursorKey, KeyEncoder};
use super::ranges::{KeyRanges, RangeCollector};
use super::{Budget, KeySpec, KeyedFiles, Marks, seqs};

/// What happens to a row whose key is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// The table's row stays, the load's is left out.
    Stays,
    /// The greater of (cursor, number of the load) wins; the load has this number, unless its rows have numbers of their own.
    Replaced { seq: i64 },
}

/// Rows that lose, on either side.
#[derive(Clone, Debug, Default)]
pub struct Probed {
    /// Rows of the table that the load replaces.
    pub table: Marks,
    /// Rows of the load that are left out.
    pub load: Marks,
}

/// A row of the load, by its key.
struct Candidate {
    cursor: CursorKey,
    /// Of the run that read it, where that is another one.
    seq: Option<i64>,
    file: u32,
    row: u32,
}

/// Compares a load with a table. Rows of the load marked in `left_out` are not looked at; the others have one row a key.
pub async fn probe(
    spec: &KeySpec,
    table: &dyn KeyedFiles,
    load: &dyn KeyedFiles,
    left_out: &Marks,
    existing: Existing,
    budget: Budget,
) -> Result<Probed> {
    let table_files = table.rows().len();
    let load_rows: u64 = load.rows().iter().sum();
    let mut probed = Probed {
        table: Marks::new(table_files),
        load: Marks::new(load.rows().len()),
    };
    if table_files == 0 || load_rows == 0 {
        return Ok(probed);
    }
    let encoder = KeyEncoder::new(&spec.key)?;
    let keys = load_rows.saturating_sub(left_out.total());
    let passes = KeySpec::passes(keys, budget);
    let room = KeySpec::keys_of_pass(keys, passes, budget);
    for pass in 0..passes {
        let part = HashPart { pass, passes, room };
        let (candidates, ranges) = collect(spec, &encoder, load, left_out, part).await?;
        for file in 0..table_files {
            compare(
                spec,
                &encoder,
                table,
                file,
                &candidates,
                &ranges,
                existing,
                &mut probed,
            )
            .await?;
        }
    }
    Ok(probed)
}

/// One pass's share of all hashes.
#[derive(Clone, Copy)]
struct HashPart {
    pass: u64,
    passes: u64,
    /// Keys that it will have, about.
    room: usize,
}

impl HashPart {
    fn has(self, hash: u128) -> bool {
        hash % u128::from(self.passes) == u128::from(self.pass)
    }
}

async fn collect(
    spec: &KeySpec,
    encoder: &KeyEncoder,
    load: &dyn KeyedFiles,
    left_out: &Marks,
    part: HashPart,
) -> Result<(HashMap<u128, Candidate>, KeyRanges)> {
    let mut candidates = HashMap::with_capacity(part.room);
    let mut ranges = RangeCollector::new(&spec.key)?;
    let columns = spec.load_columns();
    for file in 0..load.rows().len() {
        let mut stream = load.read(file, &columns, None).await?;
        while let Some(rows) = stream.try_next().await? {
            let hashes = encoder.hashes(&rows.batch)?;
            let cursors = spec.cursors(&rows.batch)?;
            let seq = seqs(&rows.batch, spec.rows_have_seq);
            let mut taken = Vec::new();
            for (index, hash) in hashes.into_iter().enumerate() {
                let row = rows.first_row + index as u64;
                let Some(hash) = hash.filter(|hash| part.has(*hash)) else {
                    continue;
                };
                if left_out.is_marked(file, row) {
                    continue;
                }
                taken.push(index);
                let candidate = Candidate {
                    cursor: cursors.get(index),
                    seq: seq(index),
                    file: u32::try_from(file).map_err(super::internal)?,
                    row: u32::try_from(row).map_err(super::internal)?,
                };
                candidates.insert(hash, candidate);
            }
            ranges.add(&rows.batch, &taken)?;
        }
    }
    Ok((candidates, ranges.finish()))
}

#[expect(
    clippy::too_many_arguments,
    reason = "one step of a loop, taken out of it for its length"
)]
async fn compare(
    spec: &KeySpec,
    encoder: &KeyEncoder,
    table: &dyn KeyedFiles,
    file: usize,
    candidates: &HashMap<u128, Candidate>,
    ranges: &KeyRanges,
    existing: Existing,
    probed: &mut Probed,
) -> Result<()> {
    let mut stream = table
        .read(file, &spec.table_columns(), Some(ranges))
        .await?;
    while let Some(rows) = stream.try_next().await? {
        let hashes = encoder.hashes(&rows.batch)?;
        let cursors = spec.cursors(&rows.batch)?;
        let stored_seq = seqs(&rows.batch, spec.has_seq);
        for (index, hash) in hashes.into_iter().enumerate() {
            let Some(candidate) = hash.and_then(|hash| candidates.get(&hash)) else {
                continue;
            };
            let wins = match existing {
                Existing::Stays => false,
                Existing::Replaced { seq } => {
                    let seq = candidate.seq.unwrap_or(seq);
                    // A row without a number: anything is newer.
                    (&candidate.cursor, Some(seq)) >= (&cursors.get(index), stored_seq(index))
                }
            };
            if wins {
                probed.table.mark(file, rows.first_row + index as u64);
            } else {
                probed
                    .load
                    .mark(candidate.file as usize, u64::from(candidate.row));
            }
        }
    }
    Ok(())
}

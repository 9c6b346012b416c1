//! Chains of a stream: positions, counters and cursors of a barrier, stored by one statement each however many chains moved.

use std::collections::BTreeMap;

use runner_core::checkpoint::{ChainCounters, ChainCursor, ChainOutcome, Totals};
use runner_core::{ChainEnd, ChainKey, Checkpoint, Error, ErrorKind, Position, Result};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::rows::{self, unsigned};
use crate::error::During as _;

/// What a barrier says of one chain, as the statement reads it.
#[derive(Debug, Default, Serialize)]
struct ChainRow {
    chain: u64,
    generation: u32,
    value: String,
    window: u32,
    sealed_pages: Option<u64>,
    position: Option<String>,
    end: Option<ChainEnd>,
    pages: u64,
    rows_read: u64,
    rows_passed: u64,
    rows_quarantined: u64,
    rows_outside: u64,
    rows_repeated: u64,
    required_cells: u64,
    required_present: u64,
    fields_dropped: u64,
}

#[derive(Debug, Serialize)]
struct CursorRow {
    chain: u64,
    cursor: String,
}

/// Stores what moved. Counters are added to those of the same generation; a later generation begins anew.
pub(super) async fn store(
    connection: &mut SqliteConnection,
    key: i64,
    checkpoint: &Checkpoint,
) -> Result<()> {
    let chains = chain_rows(checkpoint)?;
    if !chains.is_empty() {
        let json = rows::to_json("chains", &chains)?;
        refuse_backward(connection, key, &checkpoint.stream, &json).await?;
        upsert(connection, key, &checkpoint.stream, &json).await?;
    }
    store_cursors(connection, key, checkpoint).await
}

pub(super) async fn open_positions(
    connection: &mut SqliteConnection,
    key: i64,
    stream: &str,
) -> Result<Vec<Position>> {
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT position FROM chains WHERE job_key = ?1 AND stream = ?2 AND chain_end IS NULL AND position IS NOT NULL \
         ORDER BY chain",
    )
    .bind(key)
    .bind(stream)
    .fetch_all(connection)
    .await
    .during("read positions")?;
    found
        .iter()
        .map(|text| rows::from_json("position", text))
        .collect()
}

pub(super) async fn open_cursors(
    connection: &mut SqliteConnection,
    key: i64,
    stream: &str,
) -> Result<Vec<ChainCursor>> {
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT k.chain_cursor FROM chains AS c JOIN chain_cursors AS k USING (job_key, stream, chain) \
         WHERE c.job_key = ?1 AND c.stream = ?2 AND c.chain_end IS NULL ORDER BY c.chain",
    )
    .bind(key)
    .bind(stream)
    .fetch_all(connection)
    .await
    .during("read cursors of chains")?;
    found
        .iter()
        .map(|text| rows::from_json("cursor", text))
        .collect()
}

pub(super) async fn outcomes(
    connection: &mut SqliteConnection,
    key: i64,
    stream: &str,
    after: Option<&ChainKey>,
    limit: u32,
) -> Result<Vec<ChainOutcome>> {
    let found = sqlx::query(
        "SELECT c.chain, c.chain_value, c.chain_window, c.chain_end, k.chain_cursor \
         FROM chains AS c LEFT JOIN chain_cursors AS k USING (job_key, stream, chain) \
         WHERE c.job_key = ?1 AND c.stream = ?2 \
         AND (c.chain_value, c.chain_window, c.chain) > (?3, ?4, ?5) \
         ORDER BY c.chain_value, c.chain_window, c.chain LIMIT ?6",
    )
    .bind(key)
    .bind(stream)
    // Before the first there is nothing: no text sorts before the empty one, and no window before 0.
    .bind(after.map_or("", |after| after.value.as_str()))
    .bind(after.map_or(-1, |after| i64::from(after.window)))
    .bind(after.map_or(-1, |after| rows::signed(after.index)))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await
    .during("read the ends of chains")?;
    found.iter().map(outcome).collect()
}

pub(super) async fn generations(
    connection: &mut SqliteConnection,
    key: i64,
    stream: &str,
) -> Result<BTreeMap<u64, u32>> {
    let found: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT chain, generation FROM chains WHERE job_key = ?1 AND stream = ?2 AND generation > 0",
    )
    .bind(key)
    .bind(stream)
    .fetch_all(connection)
    .await
    .during("read generations")?;
    Ok(found
        .into_iter()
        .map(|(chain, generation)| (unsigned(chain), rows::narrow(generation)))
        .collect())
}

pub(super) async fn ended(
    connection: &mut SqliteConnection,
    key: i64,
    stream: &str,
    from: u64,
    to: u64,
) -> Result<Vec<u64>> {
    let found: Vec<i64> = sqlx::query_scalar(
        "SELECT chain FROM chains WHERE job_key = ?1 AND stream = ?2 AND chain >= ?3 AND chain < ?4 \
         AND chain_end IS NOT NULL ORDER BY chain",
    )
    .bind(key)
    .bind(stream)
    .bind(rows::signed(from))
    .bind(rows::signed(to))
    .fetch_all(connection)
    .await
    .during("read which chains have ended")?;
    Ok(found.into_iter().map(unsigned).collect())
}

/// Sums over the chains; requests and bytes are the stream's.
pub(super) async fn totals(
    connection: &mut SqliteConnection,
    key: i64,
    stream: &str,
) -> Result<Totals> {
    let sums = sqlx::query(
        "SELECT COALESCE(SUM(pages), 0) AS pages, COALESCE(SUM(rows_read), 0) AS rows_read, \
         COALESCE(SUM(rows_passed), 0) AS rows_passed, COALESCE(SUM(rows_quarantined), 0) AS rows_quarantined, \
         COALESCE(SUM(rows_outside), 0) AS rows_outside, COALESCE(SUM(rows_repeated), 0) AS rows_repeated, \
         COALESCE(SUM(required_cells), 0) AS required_cells, COALESCE(SUM(required_present), 0) AS required_present, \
         COALESCE(SUM(fields_dropped), 0) AS fields_dropped FROM chains WHERE job_key = ?1 AND stream = ?2",
    )
    .bind(key)
    .bind(stream)
    .fetch_one(&mut *connection)
    .await
    .during("sum counters up")?;
    let ends: Vec<(String, i64)> = sqlx::query_as(
        "SELECT chain_end, COUNT(*) FROM chains WHERE job_key = ?1 AND stream = ?2 AND chain_end IS NOT NULL GROUP BY chain_end",
    )
    .bind(key)
    .bind(stream)
    .fetch_all(connection)
    .await
    .during("count the ends of chains")?;
    let sum = |name: &str| unsigned(sums.get(name));
    Ok(Totals {
        requests: 0,
        bytes_read: 0,
        pages: sum("pages"),
        rows_read: sum("rows_read"),
        rows_passed: sum("rows_passed"),
        rows_quarantined: sum("rows_quarantined"),
        rows_outside: sum("rows_outside"),
        rows_repeated: sum("rows_repeated"),
        required_cells: sum("required_cells"),
        required_present: sum("required_present"),
        fields_dropped: sum("fields_dropped"),
        chains_ended: ends
            .into_iter()
            .map(|(end, count)| (end, unsigned(count)))
            .collect(),
    })
}

/// One row a chain: of several generations in one barrier only the last counts.
fn chain_rows(checkpoint: &Checkpoint) -> Result<Vec<ChainRow>> {
    let mut chains: BTreeMap<u64, ChainRow> = BTreeMap::new();
    for position in &checkpoint.positions {
        let row = generation(&mut chains, position.chain.index, position.generation);
        let Some(row) = row else { continue };
        row.value.clone_from(&position.chain.value);
        row.window = position.chain.window;
        row.sealed_pages = Some(position.pages);
        row.end = position.end;
        row.position = match position.end {
            Some(_) => None,
            None => Some(rows::to_json("position", position)?),
        };
    }
    for counters in &checkpoint.counters.chains {
        if let Some(row) = generation(&mut chains, counters.chain, counters.generation) {
            add(row, counters);
        }
    }
    Ok(chains.into_values().collect())
}

/// The row of this generation, if it is the last one that the barrier speaks of.
fn generation(
    chains: &mut BTreeMap<u64, ChainRow>,
    chain: u64,
    generation: u32,
) -> Option<&mut ChainRow> {
    let row = chains.entry(chain).or_insert_with(|| ChainRow {
        chain,
        generation,
        ..ChainRow::default()
    });
    if generation > row.generation {
        *row = ChainRow {
            chain,
            generation,
            ..ChainRow::default()
        };
    }
    (generation == row.generation).then_some(row)
}

fn add(row: &mut ChainRow, counters: &ChainCounters) {
    row.pages += counters.pages;
    row.rows_read += counters.rows_read;
    row.rows_passed += counters.rows_passed;
    row.rows_quarantined += counters.rows_quarantined;
    row.rows_outside += counters.rows_outside;
    row.rows_repeated += counters.rows_repeated;
    row.required_cells += counters.required_cells;
    row.required_present += counters.required_present;
    row.fields_dropped += counters.fields_dropped;
}

/// A position only moves forward: neither behind what is sealed, nor on after its end, nor back to an earlier generation.
async fn refuse_backward(
    connection: &mut SqliteConnection,
    key: i64,
    stream: &str,
    json: &str,
) -> Result<()> {
    // A cross join keeps its order in SQLite: each chain is looked up by its key, instead of searched for in the JSON.
    let backward = sqlx::query(
        "SELECT c.chain, c.generation, c.sealed_pages FROM json_each(?3) AS j CROSS JOIN chains AS c \
         ON c.job_key = ?1 AND c.stream = ?2 AND c.chain = j.value ->> 'chain' \
         WHERE j.value ->> 'generation' < c.generation OR (j.value ->> 'generation' = c.generation AND \
         (c.chain_end IS NOT NULL OR j.value ->> 'sealed_pages' < c.sealed_pages)) LIMIT 1",
    )
    .bind(key)
    .bind(stream)
    .bind(json)
    .fetch_optional(connection)
    .await
    .during("compare positions")?;
    let Some(row) = backward else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::Internal,
        format!(
            "a checkpoint of `{stream}` would move chain {} back from page {} of generation {}",
            row.get::<i64, _>("chain"),
            row.get::<Option<i64>, _>("sealed_pages")
                .unwrap_or_default(),
            row.get::<i64, _>("generation"),
        ),
    ))
}

async fn upsert(
    connection: &mut SqliteConnection,
    key: i64,
    stream: &str,
    json: &str,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO chains (job_key, stream, chain, generation, chain_value, chain_window, sealed_pages, position, chain_end, \
         pages, rows_read, rows_passed, rows_quarantined, rows_outside, rows_repeated, required_cells, required_present, fields_dropped) \
         SELECT ?1, ?2, j.value ->> 'chain', j.value ->> 'generation', j.value ->> 'value', j.value ->> 'window', \
         j.value ->> 'sealed_pages', j.value ->> 'position', j.value ->> 'end', j.value ->> 'pages', j.value ->> 'rows_read', \
         j.value ->> 'rows_passed', j.value ->> 'rows_quarantined', j.value ->> 'rows_outside', j.value ->> 'rows_repeated', \
         j.value ->> 'required_cells', j.value ->> 'required_present', j.value ->> 'fields_dropped' \
         FROM json_each(?3) AS j WHERE true \
         ON CONFLICT (job_key, stream, chain) DO UPDATE SET \
         generation = excluded.generation, \
         chain_value = CASE WHEN excluded.sealed_pages IS NULL THEN chain_value ELSE excluded.chain_value END, \
         chain_window = CASE WHEN excluded.sealed_pages IS NULL THEN chain_window ELSE excluded.chain_window END, \
         position = CASE WHEN excluded.sealed_pages IS NULL THEN position ELSE excluded.position END, \
         chain_end = CASE WHEN excluded.sealed_pages IS NULL THEN chain_end ELSE excluded.chain_end END, \
         sealed_pages = COALESCE(excluded.sealed_pages, sealed_pages), \
         pages = excluded.pages + (generation = excluded.generation) * pages, \
         rows_read = excluded.rows_read + (generation = excluded.generation) * rows_read, \
         rows_passed = excluded.rows_passed + (generation = excluded.generation) * rows_passed, \
         rows_quarantined = excluded.rows_quarantined + (generation = excluded.generation) * rows_quarantined, \
         rows_outside = excluded.rows_outside + (generation = excluded.generation) * rows_outside, \
         rows_repeated = excluded.rows_repeated + (generation = excluded.generation) * rows_repeated, \
         required_cells = excluded.required_cells + (generation = excluded.generation) * required_cells, \
         required_present = excluded.required_present + (generation = excluded.generation) * required_present, \
         fields_dropped = excluded.fields_dropped + (generation = excluded.generation) * fields_dropped",
    )
    .bind(key)
    .bind(stream)
    .bind(json)
    .execute(connection)
    .await
    .during("store positions")
    .map(drop)
}

async fn store_cursors(
    connection: &mut SqliteConnection,
    key: i64,
    checkpoint: &Checkpoint,
) -> Result<()> {
    let mut last: BTreeMap<u64, &ChainCursor> = BTreeMap::new();
    for cursor in &checkpoint.cursors {
        let newer = last
            .get(&cursor.chain.index)
            .is_none_or(|known| known.generation <= cursor.generation);
        if newer {
            last.insert(cursor.chain.index, cursor);
        }
    }
    if last.is_empty() {
        return Ok(());
    }
    let cursors = last
        .into_iter()
        .map(|(chain, cursor)| {
            Ok(CursorRow {
                chain,
                cursor: rows::to_json("cursor", cursor)?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    sqlx::query(
        "INSERT INTO chain_cursors (job_key, stream, chain, chain_cursor) \
         SELECT ?1, ?2, j.value ->> 'chain', j.value ->> 'cursor' FROM json_each(?3) AS j WHERE true \
         ON CONFLICT (job_key, stream, chain) DO UPDATE SET chain_cursor = excluded.chain_cursor",
    )
    .bind(key)
    .bind(&checkpoint.stream)
    .bind(rows::to_json("cursors", &cursors)?)
    .execute(connection)
    .await
    .during("store cursors of chains")
    .map(drop)
}

fn outcome(row: &SqliteRow) -> Result<ChainOutcome> {
    let end: Option<&str> = row.get("chain_end");
    Ok(ChainOutcome {
        chain: ChainKey {
            index: unsigned(row.get("chain")),
            value: row.get("chain_value"),
            window: rows::narrow(row.get("chain_window")),
        },
        end: end
            .map(|name| rows::named("chain's end", name))
            .transpose()?,
        cursor: rows::optional_json("cursor", row.get("chain_cursor"))?,
    })
}

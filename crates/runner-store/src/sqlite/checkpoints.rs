//! Checkpoints: everything that one barrier makes durable, in one transaction under the claim.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runner_core::checkpoint::{ChainOutcome, Observed, SchemaRecord, Warning};
use runner_core::part::Output;
use runner_core::{
    ChainKey, Checkpoint, Checkpoints, Claim, Error, ErrorKind, JobState, Part, Result, ResumeState,
};
use sqlx::{Row as _, SqliteConnection};

use super::rows::{self, signed};
use super::{SqliteStore, chains, commit, held, summary, values};
use crate::error::During as _;

/// Warnings that are kept of a stream; one more says that there were others.
const WARNINGS_PER_STREAM: i64 = 1_000;

#[async_trait]
impl Checkpoints for SqliteStore {
    async fn checkpoint(&self, claim: &Claim, checkpoint: &Checkpoint) -> Result<()> {
        let mut transaction = self.write().await?;
        let held = held::lease(&mut transaction, claim, self.now_us()).await?;
        held.require_state(claim, &[JobState::Preparing, JobState::Running])?;
        if is_repeat(&mut transaction, held.key, claim, checkpoint).await? {
            return Ok(());
        }
        store_stream(&mut transaction, held.key, claim, checkpoint).await?;
        store_schemas(&mut transaction, held.key, checkpoint).await?;
        store_parts(&mut transaction, held.key, &checkpoint.parts).await?;
        chains::store(&mut transaction, held.key, checkpoint).await?;
        store_warnings(
            &mut transaction,
            held.key,
            &checkpoint.stream,
            &checkpoint.warnings,
        )
        .await?;
        commit(transaction).await
    }

    async fn resume_state(&self, claim: &Claim, stream: &str) -> Result<ResumeState> {
        let mut transaction = self.read().await?;
        let key = held::attempt(&mut transaction, claim).await?.key;
        let summary = summary::of_stream(&mut transaction, key, stream).await?;
        Ok(ResumeState {
            positions: chains::open_positions(&mut transaction, key, stream).await?,
            schema: schemas(&mut transaction, key, stream).await?.pop(),
            cursors: chains::open_cursors(&mut transaction, key, stream).await?,
            totals: summary.totals,
            observed: summary.observed,
            warnings: summary.warnings,
        })
    }

    async fn start_over(
        &self,
        claim: &Claim,
        stream: &str,
        schema: &SchemaRecord,
        why: &Warning,
    ) -> Result<()> {
        let mut transaction = self.write().await?;
        let held = held::lease(&mut transaction, claim, self.now_us()).await?;
        held.require_state(claim, &[JobState::Preparing, JobState::Running])?;
        forget(&mut transaction, held.key, stream).await?;
        store_schema(&mut transaction, held.key, stream, schema).await?;
        let why = std::slice::from_ref(why);
        store_warnings(&mut transaction, held.key, stream, why).await?;
        commit(transaction).await
    }

    async fn parts(&self, claim: &Claim) -> Result<Vec<Part>> {
        let mut transaction = self.read().await?;
        let key = held::attempt(&mut transaction, claim).await?.key;
        parts(&mut transaction, key).await
    }

    async fn schemas(&self, claim: &Claim, stream: &str) -> Result<Vec<SchemaRecord>> {
        let mut transaction = self.read().await?;
        let key = held::attempt(&mut transaction, claim).await?.key;
        schemas(&mut transaction, key, stream).await
    }

    async fn chain_outcomes(
        &self,
        claim: &Claim,
        stream: &str,
        after: Option<&ChainKey>,
        limit: u32,
    ) -> Result<Vec<ChainOutcome>> {
        let mut transaction = self.read().await?;
        let key = held::attempt(&mut transaction, claim).await?.key;
        chains::outcomes(&mut transaction, key, stream, after, limit).await
    }

    async fn generations(&self, claim: &Claim, stream: &str) -> Result<BTreeMap<u64, u32>> {
        let mut transaction = self.read().await?;
        let key = held::attempt(&mut transaction, claim).await?.key;
        generations(&mut transaction, key, stream).await
    }

    async fn seal_values(
        &self,
        claim: &Claim,
        stream: &str,
        field: &str,
        values: &[String],
        complete: bool,
    ) -> Result<()> {
        let mut transaction = self.write().await?;
        let held = held::lease(&mut transaction, claim, self.now_us()).await?;
        held.require_state(claim, &[JobState::Preparing, JobState::Running])?;
        values::seal(&mut transaction, held.key, stream, field, values, complete).await?;
        commit(transaction).await
    }

    async fn values(
        &self,
        claim: &Claim,
        stream: &str,
        field: &str,
        from: u64,
        limit: u32,
    ) -> Result<(Vec<String>, bool)> {
        let mut transaction = self.read().await?;
        let key = held::attempt(&mut transaction, claim).await?.key;
        values::page(&mut transaction, key, stream, field, from, limit).await
    }

    async fn ended_chains(
        &self,
        claim: &Claim,
        stream: &str,
        from: u64,
        to: u64,
    ) -> Result<Vec<u64>> {
        let mut transaction = self.read().await?;
        let key = held::attempt(&mut transaction, claim).await?.key;
        chains::ended(&mut transaction, key, stream, from, to).await
    }
}

pub(super) use chains::generations;

pub(super) async fn parts(connection: &mut SqliteConnection, key: i64) -> Result<Vec<Part>> {
    let found: Vec<String> =
        sqlx::query_scalar("SELECT part FROM parts WHERE job_key = ?1 ORDER BY place")
            .bind(key)
            .fetch_all(connection)
            .await
            .during("read parts")?;
    found
        .iter()
        .map(|text| rows::from_json("part", text))
        .collect()
}

/// Whether this very barrier is stored already; its answer was lost, and its counters must not count twice.
async fn is_repeat(
    connection: &mut SqliteConnection,
    key: i64,
    claim: &Claim,
    checkpoint: &Checkpoint,
) -> Result<bool> {
    let row = sqlx::query(
        "SELECT barrier_attempt, barrier FROM streams WHERE job_key = ?1 AND stream = ?2",
    )
    .bind(key)
    .bind(&checkpoint.stream)
    .fetch_optional(connection)
    .await
    .during("read the last barrier")?;
    let last = row
        .filter(|row| rows::narrow(row.get("barrier_attempt")) == claim.attempt.0)
        .map_or(0, |row| rows::unsigned(row.get("barrier")));
    if checkpoint.barrier == last && last > 0 {
        return Ok(true);
    }
    if checkpoint.barrier == last + 1 {
        return Ok(false);
    }
    Err(Error::new(
        ErrorKind::Internal,
        format!(
            "barrier {} of `{}` came after barrier {last}",
            checkpoint.barrier, checkpoint.stream
        ),
    ))
}

async fn store_stream(
    connection: &mut SqliteConnection,
    key: i64,
    claim: &Claim,
    checkpoint: &Checkpoint,
) -> Result<()> {
    let stored: Option<String> =
        sqlx::query_scalar("SELECT observed FROM streams WHERE job_key = ?1 AND stream = ?2")
            .bind(key)
            .bind(&checkpoint.stream)
            .fetch_optional(&mut *connection)
            .await
            .during("read what was observed")?;
    let mut observed: Observed =
        rows::optional_json("observed schema", stored.as_deref())?.unwrap_or_default();
    observed.merge(&checkpoint.observed);
    sqlx::query(
        "INSERT INTO streams (job_key, stream, barrier_attempt, barrier, requests, bytes_read, observed) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (job_key, stream) DO UPDATE SET \
         barrier_attempt = excluded.barrier_attempt, barrier = excluded.barrier, \
         requests = requests + excluded.requests, bytes_read = bytes_read + excluded.bytes_read, observed = excluded.observed",
    )
    .bind(key)
    .bind(&checkpoint.stream)
    .bind(i64::from(claim.attempt.0))
    .bind(signed(checkpoint.barrier))
    .bind(signed(checkpoint.counters.requests))
    .bind(signed(checkpoint.counters.bytes_read))
    .bind(rows::to_json("observed schema", &observed)?)
    .execute(connection)
    .await
    .during("store the counters of a stream")
    .map(drop)
}

/// Parts were written with the columns that are stored: a version may come again with more seen of its values, never with others.
async fn store_schemas(
    connection: &mut SqliteConnection,
    key: i64,
    checkpoint: &Checkpoint,
) -> Result<()> {
    for record in &checkpoint.schemas {
        let stored: Option<String> = sqlx::query_scalar(
            "SELECT record FROM schemas WHERE job_key = ?1 AND stream = ?2 AND version = ?3",
        )
        .bind(key)
        .bind(&checkpoint.stream)
        .bind(i64::from(record.version))
        .fetch_optional(&mut *connection)
        .await
        .during("read a schema")?;
        let stored: Option<SchemaRecord> = rows::optional_json("schema", stored.as_deref())?;
        if stored.is_some_and(|stored| stored.columns != record.columns) {
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "version {} of the schema of `{}` is stored with other columns",
                    record.version, checkpoint.stream
                ),
            ));
        }
        store_schema(connection, key, &checkpoint.stream, record).await?;
    }
    Ok(())
}

async fn store_schema(
    connection: &mut SqliteConnection,
    key: i64,
    stream: &str,
    record: &SchemaRecord,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO schemas (job_key, stream, version, record) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (job_key, stream, version) DO UPDATE SET record = excluded.record",
    )
    .bind(key)
    .bind(stream)
    .bind(i64::from(record.version))
    .bind(rows::to_json("schema", record)?)
    .execute(connection)
    .await
    .during("store a schema")
    .map(drop)
}

/// Everything that the barriers of a stream stored, but for what was sent and said.
async fn forget(connection: &mut SqliteConnection, key: i64, stream: &str) -> Result<()> {
    const FORGOTTEN: [&str; 6] = [
        "DELETE FROM chain_cursors WHERE job_key = ?1 AND stream = ?2",
        "DELETE FROM chains WHERE job_key = ?1 AND stream = ?2",
        "DELETE FROM schemas WHERE job_key = ?1 AND stream = ?2",
        "DELETE FROM parent_values WHERE job_key = ?1 AND stream = ?2",
        "DELETE FROM value_lists WHERE job_key = ?1 AND stream = ?2",
        "DELETE FROM parts WHERE job_key = ?1 AND part ->> 'input' = ?2",
    ];
    for statement in FORGOTTEN {
        sqlx::query(statement)
            .bind(key)
            .bind(stream)
            .execute(&mut *connection)
            .await
            .during("forget what was read of a stream")?;
    }
    sqlx::query("UPDATE streams SET barrier = 0, observed = ?3 WHERE job_key = ?1 AND stream = ?2")
        .bind(key)
        .bind(stream)
        .bind(rows::to_json("observed schema", &Observed::default())?)
        .execute(connection)
        .await
        .during("forget what was observed of a stream")
        .map(drop)
}

pub(super) async fn schemas(
    connection: &mut SqliteConnection,
    key: i64,
    stream: &str,
) -> Result<Vec<SchemaRecord>> {
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT record FROM schemas WHERE job_key = ?1 AND stream = ?2 ORDER BY version",
    )
    .bind(key)
    .bind(stream)
    .fetch_all(connection)
    .await
    .during("read schemas")?;
    found
        .iter()
        .map(|text| rows::from_json("schema", text))
        .collect()
}

async fn store_parts(connection: &mut SqliteConnection, key: i64, parts: &[Part]) -> Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    let mut place: i64 =
        sqlx::query_scalar("SELECT COALESCE(MAX(place) + 1, 0) FROM parts WHERE job_key = ?1")
            .bind(key)
            .fetch_one(&mut *connection)
            .await
            .during("count parts")?;
    for part in parts {
        sqlx::query(
            "INSERT INTO parts (job_key, place, output_kind, name, part) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .bind(key)
        .bind(place)
        .bind(output_kind(&part.output))
        .bind(&part.name)
        .bind(rows::to_json("part", part)?)
        .execute(&mut *connection)
        .await
        .during("store a part")?;
        place += 1;
    }
    Ok(())
}

async fn store_warnings(
    connection: &mut SqliteConnection,
    key: i64,
    stream: &str,
    warnings: &[Warning],
) -> Result<()> {
    if warnings.is_empty() {
        return Ok(());
    }
    let mut count: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM warnings WHERE job_key = ?1 AND stream = ?2")
            .bind(key)
            .bind(stream)
            .fetch_one(&mut *connection)
            .await
            .during("count warnings")?;
    for warning in warnings {
        if count > WARNINGS_PER_STREAM {
            break;
        }
        let more = Warning {
            code: "more_warnings".to_owned(),
            stream: Some(stream.to_owned()),
            message: format!("further warnings after the first {WARNINGS_PER_STREAM} are left out"),
        };
        let kept = if count == WARNINGS_PER_STREAM {
            &more
        } else {
            warning
        };
        let stored = sqlx::query(
            "INSERT INTO warnings (job_key, stream, code, warning) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (job_key, stream, code, warning) DO NOTHING",
        )
        .bind(key)
        .bind(stream)
        .bind(&kept.code)
        .bind(rows::to_json("warning", kept)?)
        .execute(&mut *connection)
        .await
        .during("store a warning")?;
        count += signed(stored.rows_affected());
    }
    Ok(())
}

fn output_kind(output: &Output) -> &'static str {
    match output {
        Output::Load(_) => "load",
        Output::Stage(_) => "stage",
        Output::Quarantine(_) => "quarantine",
    }
}

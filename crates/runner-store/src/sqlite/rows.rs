//! Between rows of the database and the types of `runner-core`.

use chrono::{DateTime, Utc};
use runner_core::engine::RunHandle;
use runner_core::ids::{FeedId, TenantId};
use runner_core::job::{BlockedOn, Failure, LoadState, PartsState};
use runner_core::part::PART_FORMAT;
use runner_core::{
    Attempt, Error, ErrorKind, Job, JobId, JobState, NewJob, Result, Seq, SubmissionId,
};
use runner_plan::model::PLAN_FORMAT;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::error::{During as _, StoreError};

/// Columns that [`job`] reads, of `jobs AS j JOIN feeds AS f`.
pub(super) const JOB_COLUMNS: &str = "j.job_key, j.id, j.feed_key, f.tenant, f.name, j.seq, j.body, j.created_us, j.state, \
     j.parts_state, j.ended_us, j.attempt, j.lease_expires_us, j.progress";

/// What changes while a job runs and no statement asks for.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    started_at: Option<DateTime<Utc>>,
    submission: Option<SubmissionId>,
    run: Option<RunHandle>,
    failure: Option<Failure>,
    blocked_by: Option<String>,
    blocked_on: Option<BlockedOn>,
    #[serde(default)]
    pub(super) cancel_requested: bool,
    #[serde(default)]
    partial: bool,
    /// Written by claims and heartbeats.
    #[serde(default)]
    worked_us: i64,
    #[serde(default)]
    beat_us: Option<i64>,
}

/// A job with the keys that its tables are joined by.
#[derive(Debug)]
pub(super) struct StoredJob {
    pub(super) key: i64,
    pub(super) feed_key: i64,
    pub(super) job: Job,
}

impl Progress {
    pub(super) fn of(job: &Job) -> Self {
        Self {
            started_at: job.started_at,
            submission: job.submission.clone(),
            run: job.run.clone(),
            failure: job.failure.clone(),
            blocked_by: job.blocked_by.clone(),
            blocked_on: job.blocked_on.clone(),
            cancel_requested: job.cancel_requested,
            partial: job.partial,
            worked_us: i64::try_from(job.worked_us).unwrap_or(i64::MAX),
            beat_us: job.beat_at.map(|at| at.timestamp_micros()),
        }
    }
}

/// A job without its loads.
pub(super) fn job(row: &SqliteRow) -> Result<StoredJob> {
    let body: NewJob = from_json("job", row.get::<&str, _>("body"))?;
    check_formats(&body)?;
    let progress: Progress = from_json("job", row.get::<&str, _>("progress"))?;
    let job = Job {
        id: JobId::new(row.get::<String, _>("id")),
        feed: FeedId {
            tenant: TenantId::new(row.get::<String, _>("tenant")),
            name: row.get("name"),
        },
        seq: Seq(unsigned(row.get("seq"))),
        attempt: Attempt(narrow(row.get("attempt"))),
        state: state(row.get("state"))?,
        plan: body.plan,
        document: body.document,
        document_hash: body.document_hash,
        parameters_hash: body.parameters_hash,
        nominal_time: body.nominal_time,
        created_at: time(row.get("created_us"))?,
        started_at: progress.started_at,
        ended_at: optional_time(row.get("ended_us"))?,
        submission: progress.submission,
        run: progress.run,
        failure: progress.failure,
        blocked_by: progress.blocked_by,
        blocked_on: progress.blocked_on,
        cancel_requested: progress.cancel_requested,
        partial: progress.partial,
        lease_expires_at: optional_time(row.get("lease_expires_us"))?,
        worked_us: unsigned(progress.worked_us),
        beat_at: optional_time(progress.beat_us)?,
        loads: Vec::new(),
        parts: named("parts state", row.get("parts_state"))?,
    };
    Ok(StoredJob {
        key: row.get("job_key"),
        feed_key: row.get("feed_key"),
        job,
    })
}

/// Reads one job with its loads; `condition` ends the statement and takes one parameter.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    condition: &'static str,
    parameter: &str,
) -> Result<Option<StoredJob>> {
    let sql = format!(
        "SELECT {JOB_COLUMNS} FROM jobs AS j JOIN feeds AS f USING (feed_key) WHERE {condition}"
    );
    let row = sqlx::query(&sql)
        .bind(parameter)
        .fetch_optional(&mut *connection)
        .await
        .during("read a job")?;
    let Some(row) = row else {
        return Ok(None);
    };
    let mut stored = job(&row)?;
    stored.job.loads = loads(connection, stored.key).await?;
    Ok(Some(stored))
}

pub(super) async fn loads(connection: &mut SqliteConnection, key: i64) -> Result<Vec<LoadState>> {
    let rows = sqlx::query(
        "SELECT load_id, prepared, written, abandoned FROM loads WHERE job_key = ?1 ORDER BY place",
    )
    .bind(key)
    .fetch_all(connection)
    .await
    .during("read the loads of a job")?;
    rows.iter()
        .map(|row| {
            Ok(LoadState {
                load: row.get("load_id"),
                prepared: optional_json("parts", row.get("prepared"))?,
                written: optional_json("commit", row.get("written"))?,
                abandoned: row.get("abandoned"),
            })
        })
        .collect()
}

/// Writes back everything of a job that can change; attempt and worker are the claim's own matter.
pub(super) async fn save(connection: &mut SqliteConnection, key: i64, job: &Job) -> Result<()> {
    let retry_at = job.blocked_on.as_ref().and_then(|blocked| blocked.retry_at);
    sqlx::query(
        "UPDATE jobs SET state = ?2, parts_state = ?3, ended_us = ?4, lease_expires_us = ?5, retry_at_us = ?6, progress = ?7 \
         WHERE job_key = ?1",
    )
    .bind(key)
    .bind(job.state.as_str())
    .bind(parts_state(job.parts))
    .bind(job.ended_at.map(|at| at.timestamp_micros()))
    .bind(job.lease_expires_at.map(|at| at.timestamp_micros()))
    .bind(retry_at.map(|at| at.timestamp_micros()))
    .bind(to_json("job", &Progress::of(job))?)
    .execute(&mut *connection)
    .await
    .during("change a job")?;
    for (place, load) in (0_i64..).zip(&job.loads) {
        sqlx::query(
            "INSERT INTO loads (job_key, place, load_id, prepared, written, abandoned) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (job_key, load_id) DO UPDATE SET \
             prepared = excluded.prepared, written = excluded.written, abandoned = excluded.abandoned",
        )
        .bind(key)
        .bind(place)
        .bind(&load.load)
        .bind(optional_to_json("parts", load.prepared.as_ref())?)
        .bind(optional_to_json("commit", load.written.as_ref())?)
        .bind(load.abandoned.as_deref())
        .execute(&mut *connection)
        .await
        .during("change a load")?;
    }
    Ok(())
}

/// What a newer program stored, this one must not guess at.
fn check_formats(body: &NewJob) -> Result<()> {
    for (what, found, known) in [
        ("plan", body.plan.format, PLAN_FORMAT),
        ("part", body.part_format, PART_FORMAT),
    ] {
        if found > known {
            return Err(StoreError::NewerFormat { what, found, known }.into());
        }
    }
    Ok(())
}

pub(super) fn parts_state(state: PartsState) -> &'static str {
    match state {
        PartsState::Live => "live",
        PartsState::Kept => "kept",
        PartsState::Leftover => "leftover",
        PartsState::Discarded => "discarded",
    }
}

pub(super) fn state(text: &str) -> Result<JobState> {
    named("state", text)
}

/// A value of an enumeration by its stored name.
pub(super) fn named<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|source| StoreError::Stored { what, source }.into())
}

pub(super) fn to_json<T: Serialize>(what: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|source| StoreError::Encode { what, source }.into())
}

pub(super) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|source| StoreError::Stored { what, source }.into())
}

pub(super) fn optional_to_json<T: Serialize>(
    what: &'static str,
    value: Option<&T>,
) -> Result<Option<String>> {
    value.map(|value| to_json(what, value)).transpose()
}

pub(super) fn optional_json<T: DeserializeOwned>(
    what: &'static str,
    text: Option<&str>,
) -> Result<Option<T>> {
    text.map(|text| from_json(what, text)).transpose()
}

pub(super) fn time(micros: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| {
        Error::new(
            ErrorKind::Internal,
            format!("stored time `{micros}` is out of range"),
        )
    })
}

fn optional_time(micros: Option<i64>) -> Result<Option<DateTime<Utc>>> {
    micros.map(time).transpose()
}

/// SQLite's integers are signed; what is counted never is.
pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn narrow(value: i64) -> u32 {
    u32::try_from(value).unwrap_or_default()
}

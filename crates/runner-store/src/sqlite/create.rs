//! How a job comes to be: with a seq of its feed, and only while the feed has no other.

use chrono::{DateTime, Utc};
use runner_core::ids::FeedId;
use runner_core::job::{JobState, PartsState};
use runner_core::{Created, Error, ErrorKind, JobId, NewJob, Result};
use sqlx::{Row as _, SqliteConnection};

use super::rows::{self, Progress};
use crate::error::During as _;

pub(super) async fn create(
    connection: &mut SqliteConnection,
    job: &NewJob,
    idempotency_key: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Created> {
    if let Some(key) = idempotency_key
        && let Some(existing) = by_key(connection, job, key).await?
    {
        return Ok(Created::Existing(existing));
    }
    refuse_second(connection, job).await?;
    let (feed_key, seq) = next_seq(connection, &job.feed).await?;
    give_up_kept(connection, feed_key).await?;
    let inserted = sqlx::query(
        "INSERT INTO jobs (id, feed_key, seq, body, created_us, state, parts_state, attempt, progress) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8) RETURNING job_key",
    )
    .bind(job.id.as_str())
    .bind(feed_key)
    .bind(seq)
    .bind(rows::to_json("job", job)?)
    .bind(now.timestamp_micros())
    .bind(JobState::Queued.as_str())
    .bind(rows::parts_state(PartsState::Live))
    .bind(rows::to_json("job", &Progress::default())?)
    .fetch_one(&mut *connection)
    .await
    .during("create a job")?;
    if let Some(key) = idempotency_key {
        sqlx::query(
            "INSERT INTO idempotency_keys (tenant, idempotency_key, job_key) VALUES (?1, ?2, ?3)",
        )
        .bind(job.feed.tenant.as_str())
        .bind(key)
        .bind(inserted.get::<i64, _>("job_key"))
        .execute(&mut *connection)
        .await
        .during("create a job")?;
    }
    Ok(Created::New(job.id.clone()))
}

/// The key of a feed that has run or has state.
pub(super) async fn feed_key(
    connection: &mut SqliteConnection,
    feed: &FeedId,
) -> Result<Option<i64>> {
    sqlx::query_scalar("SELECT feed_key FROM feeds WHERE tenant = ?1 AND name = ?2")
        .bind(feed.tenant.as_str())
        .bind(&feed.name)
        .fetch_optional(connection)
        .await
        .during("find a feed")
}

/// The key of a feed, which begins to be known if it wasn't.
pub(super) async fn feed_key_or_new(
    connection: &mut SqliteConnection,
    feed: &FeedId,
) -> Result<i64> {
    sqlx::query(
        "INSERT INTO feeds (tenant, name, last_seq, state) VALUES (?1, ?2, 0, '{}') \
         ON CONFLICT (tenant, name) DO NOTHING",
    )
    .bind(feed.tenant.as_str())
    .bind(&feed.name)
    .execute(&mut *connection)
    .await
    .during("note a feed")?;
    sqlx::query_scalar("SELECT feed_key FROM feeds WHERE tenant = ?1 AND name = ?2")
        .bind(feed.tenant.as_str())
        .bind(&feed.name)
        .fetch_one(connection)
        .await
        .during("find a feed")
}

async fn by_key(
    connection: &mut SqliteConnection,
    job: &NewJob,
    key: &str,
) -> Result<Option<JobId>> {
    let row = sqlx::query(
        "SELECT j.id, j.body FROM idempotency_keys AS k JOIN jobs AS j USING (job_key) \
         WHERE k.tenant = ?1 AND k.idempotency_key = ?2",
    )
    .bind(job.feed.tenant.as_str())
    .bind(key)
    .fetch_optional(connection)
    .await
    .during("look an idempotency key up")?;
    let Some(row) = row else {
        return Ok(None);
    };
    let id = JobId::new(row.get::<String, _>("id"));
    let earlier: NewJob = rows::from_json("job", row.get("body"))?;
    let is_same = earlier.feed == job.feed
        && earlier.document_hash == job.document_hash
        && earlier.parameters_hash == job.parameters_hash;
    if is_same {
        Ok(Some(id))
    } else {
        Err(Error::new(
            ErrorKind::Conflict,
            format!("idempotency key `{key}` was used for job `{id}`, which differs from this one"),
        ))
    }
}

async fn refuse_second(connection: &mut SqliteConnection, job: &NewJob) -> Result<()> {
    let unfinished = sqlx::query(
        "SELECT j.id, j.state FROM jobs AS j JOIN feeds AS f USING (feed_key) WHERE f.tenant = ?1 AND f.name = ?2 \
         AND j.state IN ('queued', 'preparing', 'running', 'gating', 'committing')",
    )
    .bind(job.feed.tenant.as_str())
    .bind(&job.feed.name)
    .fetch_optional(connection)
    .await
    .during("look for an unfinished job")?;
    let Some(row) = unfinished else {
        return Ok(());
    };
    let (id, state): (String, String) = (row.get("id"), row.get("state"));
    Err(Error::new(
        ErrorKind::Conflict,
        format!(
            "feed `{}` has an unfinished job: `{id}` is {state}",
            job.feed.name
        ),
    )
    .with_help(format!(
        "`jobs resume {id}` goes on with it; `--restart` discards it"
    )))
}

async fn next_seq(connection: &mut SqliteConnection, feed: &FeedId) -> Result<(i64, i64)> {
    let row = sqlx::query(
        "INSERT INTO feeds (tenant, name, last_seq, state) VALUES (?1, ?2, 1, '{}') \
         ON CONFLICT (tenant, name) DO UPDATE SET last_seq = last_seq + 1 RETURNING feed_key, last_seq",
    )
    .bind(feed.tenant.as_str())
    .bind(&feed.name)
    .fetch_one(connection)
    .await
    .during("give a job its number")?;
    Ok((row.get("feed_key"), row.get("last_seq")))
}

/// A job that kept its parts can go on only as the last of its feed: from now on it isn't.
async fn give_up_kept(connection: &mut SqliteConnection, feed_key: i64) -> Result<()> {
    sqlx::query(
        "UPDATE jobs SET parts_state = 'leftover' WHERE feed_key = ?1 AND parts_state = 'kept'",
    )
    .bind(feed_key)
    .execute(connection)
    .await
    .during("give up the parts of an earlier job")
    .map(drop)
}

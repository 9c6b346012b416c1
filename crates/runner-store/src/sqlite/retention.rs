//! What is forgotten, and what is left to take away first.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use runner_core::ids::FeedId;
use runner_core::part::Output;
use runner_core::quarantine::Hold;
use runner_core::{Job, JobId, Part, Result};
use sqlx::SqliteConnection;

use super::{checkpoints, rows};
use crate::error::During as _;

pub(super) async fn purge(
    connection: &mut SqliteConnection,
    ended_before: DateTime<Utc>,
    dry_run: bool,
) -> Result<Vec<JobId>> {
    let found: Vec<(i64, String)> = sqlx::query_as(
        "SELECT job_key, id FROM jobs AS j WHERE ended_us < ?1 AND parts_state = 'discarded' \
         AND NOT EXISTS (SELECT 1 FROM holds AS h WHERE h.job_id = j.id AND h.is_released = 0) ORDER BY job_key",
    )
    .bind(ended_before.timestamp_micros())
    .fetch_all(&mut *connection)
    .await
    .during("look for old jobs")?;
    if !dry_run {
        for (key, _) in &found {
            sqlx::query("DELETE FROM jobs WHERE job_key = ?1")
                .bind(key)
                .execute(&mut *connection)
                .await
                .during("forget a job")?;
        }
    }
    Ok(found.into_iter().map(|(_, id)| JobId::new(id)).collect())
}

pub(super) async fn expire_kept(
    connection: &mut SqliteConnection,
    ended_before: DateTime<Utc>,
    dry_run: bool,
) -> Result<Vec<JobId>> {
    let sql = if dry_run {
        "SELECT id FROM jobs WHERE parts_state = 'kept' AND ended_us < ?1"
    } else {
        "UPDATE jobs SET parts_state = 'leftover' WHERE parts_state = 'kept' AND ended_us < ?1 RETURNING id"
    };
    let ids: Vec<String> = sqlx::query_scalar(sql)
        .bind(ended_before.timestamp_micros())
        .fetch_all(connection)
        .await
        .during("give up kept parts")?;
    Ok(ids.into_iter().map(JobId::new).collect())
}

pub(super) async fn undiscarded(
    connection: &mut SqliteConnection,
    limit: u32,
) -> Result<Vec<(Job, Vec<Part>)>> {
    let ids: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM jobs WHERE parts_state = 'leftover' ORDER BY job_key LIMIT ?1",
    )
    .bind(i64::from(limit))
    .fetch_all(&mut *connection)
    .await
    .during("look for leftover parts")?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(stored) = rows::find(connection, "j.id = ?1", &id).await? else {
            continue;
        };
        let held: Vec<String> =
            sqlx::query_scalar("SELECT load_id FROM holds WHERE job_id = ?1 AND is_released = 0")
                .bind(&id)
                .fetch_all(&mut *connection)
                .await
                .during("look for holds")?;
        let mut parts = checkpoints::parts(connection, stored.key).await?;
        parts.retain(|part| !matches!(&part.output, Output::Load(load) if held.contains(load)));
        let mut job = stored.job;
        job.loads.retain(|load| !held.contains(&load.load));
        found.push((job, parts));
    }
    Ok(found)
}

/// Names of parts that a job may still need: those of jobs whose leftovers are not gone, and those on hold.
pub(super) async fn part_names(
    connection: &mut SqliteConnection,
    feed: &FeedId,
) -> Result<BTreeSet<String>> {
    let recorded: Vec<String> = sqlx::query_scalar(
        "SELECT p.name FROM parts AS p JOIN jobs AS j USING (job_key) JOIN feeds AS f USING (feed_key) \
         WHERE f.tenant = ?1 AND f.name = ?2 AND j.parts_state <> 'discarded'",
    )
    .bind(feed.tenant.as_str())
    .bind(&feed.name)
    .fetch_all(&mut *connection)
    .await
    .during("read the names of parts")?;
    let mut names: BTreeSet<String> = recorded.into_iter().collect();
    let prepared: Vec<String> = sqlx::query_scalar(
        "SELECT l.prepared FROM loads AS l JOIN jobs AS j USING (job_key) JOIN feeds AS f USING (feed_key) \
         WHERE f.tenant = ?1 AND f.name = ?2 AND l.prepared IS NOT NULL AND j.parts_state <> 'discarded'",
    )
    .bind(feed.tenant.as_str())
    .bind(&feed.name)
    .fetch_all(&mut *connection)
    .await
    .during("read the names of parts")?;
    for text in &prepared {
        let parts: Vec<Part> = rows::from_json("parts", text)?;
        names.extend(parts.into_iter().map(|part| part.name));
    }
    let holds: Vec<String> = sqlx::query_scalar(
        "SELECT hold FROM holds WHERE tenant = ?1 AND feed = ?2 AND is_released = 0",
    )
    .bind(feed.tenant.as_str())
    .bind(&feed.name)
    .fetch_all(connection)
    .await
    .during("read the names of parts on hold")?;
    for text in &holds {
        let hold: Hold = rows::from_json("hold", text)?;
        names.extend(hold.part_names().map(str::to_owned));
    }
    Ok(names)
}

/// Ends a hold whose parts another job has committed: nothing of them is to be taken away. What its own job had left besides is
/// swept as what no job knows.
pub(super) async fn loaded_hold(
    connection: &mut SqliteConnection,
    feed: &FeedId,
    job: &JobId,
    load: &str,
) -> Result<()> {
    sqlx::query(
        "UPDATE holds SET is_released = 1 WHERE tenant = ?1 AND job_id = ?2 AND load_id = ?3",
    )
    .bind(feed.tenant.as_str())
    .bind(job.as_str())
    .bind(load)
    .execute(&mut *connection)
    .await
    .during("end a hold")?;
    sqlx::query(
        "UPDATE jobs SET parts_state = 'discarded' WHERE id = ?1 AND parts_state = 'leftover'",
    )
    .bind(job.as_str())
    .execute(connection)
    .await
    .during("end a hold")
    .map(drop)
}

/// Releases what an ended hold kept, so that its job's leftovers are looked at again.
pub(super) async fn release_hold(
    connection: &mut SqliteConnection,
    tenant: &str,
    job: &str,
    load: &str,
) -> Result<bool> {
    let released = sqlx::query(
        "UPDATE holds SET is_released = 1 WHERE tenant = ?1 AND job_id = ?2 AND load_id = ?3 AND is_released = 0 RETURNING number",
    )
    .bind(tenant)
    .bind(job)
    .bind(load)
    .fetch_optional(&mut *connection)
    .await
    .during("end a hold")?;
    if released.is_none() {
        return Ok(false);
    }
    sqlx::query("UPDATE jobs SET parts_state = 'leftover' WHERE id = ?1")
        .bind(job)
        .execute(connection)
        .await
        .during("end a hold")?;
    Ok(true)
}

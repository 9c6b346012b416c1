//! What callers do to jobs: cancel, reopen, abandon. Each stands in the audit.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use runner_core::ids::Operator;
use runner_core::job::Intervention;
use runner_core::part::Output;
use runner_core::quarantine::{Hold, SealedInput};
use runner_core::{Error, ErrorKind, JobState, Result};
use sqlx::SqliteConnection;

use super::jobs::{add_event, is_held};
use super::rows::{self, StoredJob};
use super::{audit, checkpoints, terminal};
use crate::error::During as _;

pub(super) async fn apply(
    connection: &mut SqliteConnection,
    mut stored: StoredJob,
    intervention: Intervention,
    by: &Operator,
    now: DateTime<Utc>,
) -> Result<JobState> {
    let before = stored.job.clone();
    let name = intervention.name();
    let details = match &intervention {
        Intervention::Cancel { .. } | Intervention::Reopen => serde_json::json!({}),
        Intervention::Abandon { load, reason } => {
            serde_json::json!({ "load": load, "reason": reason })
        }
    };
    match &intervention {
        Intervention::Cancel { .. } => {}
        Intervention::Reopen => refuse_overtaken(connection, &stored).await?,
        Intervention::Abandon { .. } => refuse_held(&stored, now)?,
    }
    let abandoned = match &intervention {
        Intervention::Abandon { load, reason } => Some((load.clone(), reason.clone())),
        Intervention::Cancel { .. } | Intervention::Reopen => None,
    };
    intervention.apply(&mut stored.job, now)?;
    if let Some((load, reason)) = abandoned {
        hold(connection, &stored, &load, &reason, by, now).await?;
    }
    if before.state.is_terminal() && !stored.job.state.is_terminal() {
        terminal::reopened(connection, &stored).await?;
    }
    rows::save(connection, stored.key, &stored.job).await?;
    if stored.job.state.is_terminal() && !before.state.is_terminal() {
        terminal::ended(connection, &stored, now).await?;
    }
    add_event(connection, &stored, name, &details, now).await?;
    let subject = stored.job.id.as_str();
    audit::note(
        connection,
        &stored.job.feed.tenant,
        by,
        name,
        subject,
        details,
        now,
    )
    .await?;
    Ok(stored.job.state)
}

/// Rows of an earlier run must not follow those of a later one.
async fn refuse_overtaken(connection: &mut SqliteConnection, stored: &StoredJob) -> Result<()> {
    if !stored.job.state.is_terminal() {
        return Ok(());
    }
    let later: Option<String> =
        sqlx::query_scalar("SELECT id FROM jobs WHERE feed_key = ?1 AND seq > ?2 LIMIT 1")
            .bind(stored.feed_key)
            .bind(rows::signed(stored.job.seq.0))
            .fetch_optional(connection)
            .await
            .during("look for a later job")?;
    match later {
        None => Ok(()),
        Some(later) => Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "job `{}` can't be resumed: `{later}`, a later run of the feed, has begun since",
                stored.job.id
            ),
        )
        .with_help("what it had read would come behind newer rows; run the document again")),
    }
}

/// A worker that is just committing the sink would not learn that it was given up.
fn refuse_held(stored: &StoredJob, now: DateTime<Utc>) -> Result<()> {
    if is_held(&stored.job, now.timestamp_micros()) {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("a worker holds job `{}`", stored.job.id),
        )
        .with_help("stop the process that runs it, or wait until it gives the job back"));
    }
    Ok(())
}

async fn hold(
    connection: &mut SqliteConnection,
    stored: &StoredJob,
    load: &str,
    reason: &str,
    by: &Operator,
    now: DateTime<Utc>,
) -> Result<()> {
    let job = &stored.job;
    // What another job has on hold stays there.
    if job.plan.held.is_some() {
        return Ok(());
    }
    let mut inputs = BTreeMap::new();
    let plan = job.plan.loads.iter().find(|known| known.id == load);
    for input in plan.iter().flat_map(|load| &load.inputs) {
        let name = input.name();
        let held = SealedInput {
            schemas: checkpoints::schemas(connection, stored.key, name).await?,
            generations: checkpoints::generations(connection, stored.key, name).await?,
        };
        inputs.insert(name.to_owned(), held);
    }
    let mut sealed = checkpoints::parts(connection, stored.key).await?;
    sealed.retain(|part| part.output == Output::Load(load.to_owned()));
    let parts = job
        .loads
        .iter()
        .find(|state| state.load == load)
        .and_then(|state| state.prepared.clone())
        .unwrap_or_default();
    let hold = Hold {
        feed: job.feed.clone(),
        job: job.id.clone(),
        seq: job.seq,
        load: load.to_owned(),
        reason: reason.to_owned(),
        parts,
        sealed,
        inputs,
        held_by: by.clone(),
        held_at: now,
    };
    sqlx::query(
        "INSERT INTO holds (tenant, feed, job_id, load_id, is_released, hold) VALUES (?1, ?2, ?3, ?4, 0, ?5) \
         ON CONFLICT (job_id, load_id) DO NOTHING",
    )
    .bind(job.feed.tenant.as_str())
    .bind(&job.feed.name)
    .bind(job.id.as_str())
    .bind(load)
    .bind(rows::to_json("hold", &hold)?)
    .execute(connection)
    .await
    .during("hold the rows of a sink")
    .map(drop)
}

//! What goes with the end of a job, in the transaction that ends it: its quarantine becomes visible, and its replays count.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use runner_core::part::Output;
use runner_core::quarantine::{QuarantineFile, QuarantineMark};
use runner_core::{Job, JobId, Part, Result};
use serde_json::{Value, json};
use sqlx::{Row as _, SqliteConnection};

use super::rows::{self, StoredJob};
use super::{checkpoints, retention};
use crate::error::During as _;

pub(super) async fn ended(
    connection: &mut SqliteConnection,
    stored: &StoredJob,
    now: DateTime<Utc>,
) -> Result<()> {
    let mark = QuarantineMark::of(&stored.job);
    show_quarantine(connection, stored, mark, now).await?;
    if mark == QuarantineMark::Loaded {
        sqlx::query("UPDATE replays SET is_done = 1 WHERE replay_job_id = ?1")
            .bind(stored.job.id.as_str())
            .execute(&mut *connection)
            .await
            .during("note replayed rows")?;
        if let (Some(held), false) = (&stored.job.plan.held, stored.job.partial) {
            let job = JobId::new(&held.job);
            retention::loaded_hold(connection, &stored.job.feed, &job, &held.load).await?;
        }
    }
    Ok(())
}

/// The job goes on: its quarantine is shown again when it ends.
pub(super) async fn reopened(connection: &mut SqliteConnection, stored: &StoredJob) -> Result<()> {
    sqlx::query("DELETE FROM quarantine WHERE job_id = ?1")
        .bind(stored.job.id.as_str())
        .execute(connection)
        .await
        .during("hide the quarantine of a job")
        .map(drop)
}

/// What the job's history keeps of a change.
pub(super) fn details(name: &str, job: &Job) -> Value {
    match name {
        "submitting" => json!({ "submission": job.submission }),
        "committed" => json!({
            "committed": job.loads.iter().filter(|load| load.written.is_some()).map(|load| &load.load).collect::<Vec<_>>(),
        }),
        "blocked" => json!({ "blocked_on": job.blocked_on }),
        "failed" => json!({ "failure": job.failure, "blocked_by": job.blocked_by }),
        "completed" => json!({ "partial": job.partial }),
        _ => json!({}),
    }
}

async fn show_quarantine(
    connection: &mut SqliteConnection,
    stored: &StoredJob,
    mark: QuarantineMark,
    now: DateTime<Utc>,
) -> Result<()> {
    let found = sqlx::query(
        "SELECT part FROM parts WHERE job_key = ?1 AND output_kind = 'quarantine' ORDER BY place",
    )
    .bind(stored.key)
    .fetch_all(&mut *connection)
    .await
    .during("read quarantined parts")?;
    let mut generations: BTreeMap<String, BTreeMap<u64, u32>> = BTreeMap::new();
    for row in &found {
        let part: Part = rows::from_json("part", row.get("part"))?;
        let Output::Quarantine(stream) = &part.output else {
            continue;
        };
        if !generations.contains_key(stream) {
            let last = checkpoints::generations(connection, stored.key, stream).await?;
            generations.insert(stream.clone(), last);
        }
        let file = QuarantineFile {
            feed: stored.job.feed.clone(),
            job: stored.job.id.clone(),
            seq: stored.job.seq,
            stream: stream.clone(),
            superseded: generations
                .get(stream)
                .map(|last| part.superseded(last))
                .unwrap_or_default(),
            part,
            mark,
            recorded_at: now,
        };
        if file.rows() > 0 {
            insert(connection, &file).await?;
        }
    }
    Ok(())
}

async fn insert(connection: &mut SqliteConnection, file: &QuarantineFile) -> Result<()> {
    sqlx::query(
        "INSERT INTO quarantine (tenant, feed, job_id, stream, part_name, mark, recorded_us, file) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         ON CONFLICT (job_id, part_name) DO UPDATE SET mark = excluded.mark, file = excluded.file",
    )
    .bind(file.feed.tenant.as_str())
    .bind(&file.feed.name)
    .bind(file.job.as_str())
    .bind(&file.stream)
    .bind(&file.part.name)
    .bind(mark_name(file.mark))
    .bind(file.recorded_at.timestamp_micros())
    .bind(rows::to_json("quarantine file", file)?)
    .execute(connection)
    .await
    .during("show a quarantined file")
    .map(drop)
}

pub(super) fn mark_name(mark: QuarantineMark) -> &'static str {
    match mark {
        QuarantineMark::Loaded => "loaded",
        QuarantineMark::Failed => "failed",
        QuarantineMark::Blocked => "blocked",
    }
}

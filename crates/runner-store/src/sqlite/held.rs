//! The fence: who may change a job. Checked in the transaction of the change itself.

use runner_core::{Claim, Error, ErrorKind, JobState, Result};
use sqlx::{Row as _, SqliteConnection};

use super::rows;
use crate::error::During as _;

/// A job that the claim's attempt has.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) key: i64,
    pub(super) feed_key: i64,
    pub(super) state: JobState,
    expires_us: Option<i64>,
}

/// The claim's job, if no later attempt has it. Enough for reads, and for what follows a job's end.
pub(super) async fn attempt(connection: &mut SqliteConnection, claim: &Claim) -> Result<Held> {
    let row = sqlx::query(
        "SELECT j.job_key, j.feed_key, j.state, j.attempt, j.worker, j.lease_expires_us \
         FROM jobs AS j JOIN feeds AS f USING (feed_key) WHERE j.id = ?1 AND f.tenant = ?2",
    )
    .bind(claim.job.as_str())
    .bind(claim.tenant.as_str())
    .fetch_optional(connection)
    .await
    .during("check a claim")?;
    let Some(row) = row else {
        return Err(not_found(&claim.job));
    };
    let attempt = rows::narrow(row.get("attempt"));
    let worker: Option<String> = row.get("worker");
    if attempt != claim.attempt.0 || worker.as_deref() != Some(claim.worker.as_str()) {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "attempt {} of job `{}` has been overtaken by attempt {attempt}",
                claim.attempt.0, claim.job
            ),
        ));
    }
    Ok(Held {
        key: row.get("job_key"),
        feed_key: row.get("feed_key"),
        state: rows::state(row.get("state"))?,
        expires_us: row.get("lease_expires_us"),
    })
}

/// The claim's job, if its lease has not run out either: what every change by a worker needs.
pub(super) async fn lease(
    connection: &mut SqliteConnection,
    claim: &Claim,
    now_us: i64,
) -> Result<Held> {
    let held = attempt(connection, claim).await?;
    held.require_lease(claim, now_us)?;
    Ok(held)
}

impl Held {
    pub(super) fn require_lease(&self, claim: &Claim, now_us: i64) -> Result<()> {
        if self.expires_us.is_some_and(|expires| expires > now_us) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "attempt {} of job `{}` no longer holds its lease",
                claim.attempt.0, claim.job
            ),
        ))
    }

    /// A conflict where the job is in none of these states.
    pub(super) fn require_state(&self, claim: &Claim, states: &[JobState]) -> Result<()> {
        if states.contains(&self.state) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!("job `{}` is {}", claim.job, self.state.as_str()),
        ))
    }
}

pub(super) fn not_found(job: &runner_core::JobId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no job `{job}`"))
        .with_help("`jobs list` shows those that are known")
}

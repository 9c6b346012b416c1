//! Jobs: created, claimed, changed, listed, forgotten.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_core::checkpoint::StreamSummary;
use runner_core::ids::{FeedId, Operator, TenantId, WorkerId};
use runner_core::job::{Beat, Intervention, JobEvent, JobFilter};
use runner_core::{
    Attempt, Claim, Created, Job, JobId, JobState, JobStore, NewJob, Part, Result, Transition,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::rows::{self, JOB_COLUMNS, StoredJob};
use super::{SqliteStore, commit, create, held, interventions, retention, summary, terminal};
use crate::error::During as _;

/// States in which a job can be worked on; the statements spell them out, since the indexes do.
const UNFINISHED: &str = "('queued', 'preparing', 'running', 'gating', 'committing')";
/// From now on time is worked; see the heartbeat.
const BEAT_BEGINS: &str = "progress = json_set(progress, '$.beat_us', ?2)";
/// Rows that one call returns at most.
const PAGE: u32 = 1_000;

#[async_trait]
impl JobStore for SqliteStore {
    async fn create(&self, job: NewJob, idempotency_key: Option<&str>) -> Result<Created> {
        let mut transaction = self.write().await?;
        let created =
            create::create(&mut transaction, &job, idempotency_key, self.clock.now()).await?;
        commit(transaction).await?;
        Ok(created)
    }

    async fn get(&self, tenant: &TenantId, id: &JobId) -> Result<Option<Job>> {
        let mut transaction = self.read().await?;
        let stored = rows::find(&mut transaction, "j.id = ?1", id.as_str()).await?;
        Ok(stored
            .map(|stored| stored.job)
            .filter(|job| job.feed.tenant == *tenant))
    }

    async fn list(&self, tenant: &TenantId, filter: &JobFilter) -> Result<Vec<Job>> {
        let mut transaction = self.read().await?;
        let mut query = QueryBuilder::<Sqlite>::new("SELECT ");
        query
            .push(JOB_COLUMNS)
            .push(" FROM jobs AS j JOIN feeds AS f USING (feed_key) WHERE f.tenant = ")
            .push_bind(tenant.as_str());
        if let Some(feed) = &filter.feed {
            query.push(" AND f.name = ").push_bind(feed.as_str());
        }
        if !filter.states.is_empty() {
            query.push(" AND j.state IN (");
            let mut states = query.separated(", ");
            for state in &filter.states {
                states.push_bind(state.as_str());
            }
            query.push(")");
        }
        if let Some(before) = &filter.before {
            query
                .push(" AND j.job_key < (SELECT job_key FROM jobs WHERE id = ")
                .push_bind(before.as_str())
                .push(")");
        }
        query
            .push(" ORDER BY j.job_key DESC LIMIT ")
            .push_bind(i64::from(filter.limit.clamp(1, PAGE)));
        let found = query
            .build()
            .fetch_all(&mut *transaction)
            .await
            .during("list jobs")?;
        with_loads(&mut transaction, &found).await
    }

    async fn unfinished(&self, feed: &FeedId) -> Result<Option<Job>> {
        let mut transaction = self.read().await?;
        let key = create::feed_key(&mut transaction, feed).await?;
        let Some(key) = key else {
            return Ok(None);
        };
        let stored = rows::find(
            &mut transaction,
            "j.state IN ('queued', 'preparing', 'running', 'gating', 'committing') AND j.feed_key = CAST(?1 AS INTEGER)",
            &key.to_string(),
        )
        .await?;
        Ok(stored.map(|stored| stored.job))
    }

    async fn claim(&self, worker: &WorkerId, lease: Duration) -> Result<Option<Claim>> {
        let sql = format!(
            "UPDATE jobs SET attempt = attempt + 1, worker = ?1, lease_expires_us = ?2 + ?3, {BEAT_BEGINS} WHERE job_key = (\
             SELECT job_key FROM jobs WHERE state IN {UNFINISHED} \
             AND (lease_expires_us IS NULL OR lease_expires_us <= ?2) \
             AND (retry_at_us IS NULL OR retry_at_us <= ?2) ORDER BY created_us, job_key LIMIT 1) \
             RETURNING job_key, id, attempt, (SELECT tenant FROM feeds WHERE feeds.feed_key = jobs.feed_key) AS tenant"
        );
        self.claimed(&sql, worker, lease, None).await
    }

    async fn claim_job(
        &self,
        tenant: &TenantId,
        id: &JobId,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<Option<Claim>> {
        let sql = format!(
            "UPDATE jobs SET attempt = attempt + 1, worker = ?1, lease_expires_us = ?2 + ?3, {BEAT_BEGINS} WHERE id = ?4 \
             AND feed_key IN (SELECT feed_key FROM feeds WHERE tenant = ?5) AND state IN {UNFINISHED} \
             AND (lease_expires_us IS NULL OR lease_expires_us <= ?2) \
             RETURNING job_key, id, attempt, ?5 AS tenant"
        );
        self.claimed(&sql, worker, lease, Some((id, tenant))).await
    }

    async fn heartbeat(&self, claim: &Claim, lease: Duration) -> Result<Beat> {
        let mut transaction = self.write().await?;
        let now_us = self.now_us();
        let renewed = sqlx::query(
            "UPDATE jobs SET lease_expires_us = ?4 + ?5, progress = json_set(progress, \
             '$.worked_us', coalesce(progress ->> '$.worked_us', 0) + max(0, ?4 - coalesce(progress ->> '$.beat_us', ?4)), \
             '$.beat_us', ?4) WHERE id = ?1 AND attempt = ?2 AND worker = ?3 \
             AND state IN ('queued', 'preparing', 'running', 'gating', 'committing') \
             RETURNING progress",
        )
        .bind(claim.job.as_str())
        .bind(i64::from(claim.attempt.0))
        .bind(claim.worker.as_str())
        .bind(now_us)
        .bind(micros(lease))
        .fetch_optional(&mut *transaction)
        .await
        .during("renew a lease")?;
        let Some(row) = renewed else {
            return Ok(Beat::Lost);
        };
        let progress: rows::Progress = rows::from_json("job", row.get("progress"))?;
        commit(transaction).await?;
        Ok(if progress.cancel_requested {
            Beat::CancelRequested
        } else {
            Beat::Continue
        })
    }

    async fn record(&self, claim: &Claim, change: Transition) -> Result<()> {
        let mut transaction = self.write().await?;
        let now = self.clock.now();
        let held = held::attempt(&mut transaction, claim).await?;
        // After its end a job takes only repeats and the note that its leftovers are gone; a lease it has no more.
        if !held.state.is_terminal() {
            held.require_lease(claim, now.timestamp_micros())?;
        }
        let Some(mut stored) =
            rows::find(&mut transaction, "j.id = ?1", claim.job.as_str()).await?
        else {
            return Err(held::not_found(&claim.job));
        };
        let before = stored.job.clone();
        let name = change.name();
        change.apply(&mut stored.job, now)?;
        if stored.job == before {
            return Ok(());
        }
        rows::save(&mut transaction, stored.key, &stored.job).await?;
        if stored.job.state.is_terminal() && !before.state.is_terminal() {
            terminal::ended(&mut transaction, &stored, now).await?;
        }
        let details = terminal::details(name, &stored.job);
        add_event(&mut transaction, &stored, name, &details, now).await?;
        commit(transaction).await
    }

    async fn request_cancel(
        &self,
        tenant: &TenantId,
        id: &JobId,
        by: &Operator,
    ) -> Result<JobState> {
        let now_us = self.now_us();
        self.intervene(tenant, id, by, |job| Intervention::Cancel {
            is_held: is_held(job, now_us),
        })
        .await
    }

    async fn reopen(&self, tenant: &TenantId, id: &JobId, by: &Operator) -> Result<()> {
        self.intervene(tenant, id, by, |_| Intervention::Reopen)
            .await
            .map(drop)
    }

    async fn abandon(
        &self,
        tenant: &TenantId,
        id: &JobId,
        load: &str,
        reason: &str,
        by: &Operator,
    ) -> Result<()> {
        self.intervene(tenant, id, by, |_| Intervention::Abandon {
            load: load.to_owned(),
            reason: reason.to_owned(),
        })
        .await
        .map(drop)
    }

    async fn event(&self, claim: &Claim, name: &str, details: serde_json::Value) -> Result<()> {
        let mut transaction = self.write().await?;
        let held = held::attempt(&mut transaction, claim).await?;
        insert_event(
            &mut transaction,
            held.key,
            claim.attempt,
            name,
            &details,
            self.clock.now(),
        )
        .await?;
        commit(transaction).await
    }

    async fn events(
        &self,
        tenant: &TenantId,
        id: &JobId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, JobEvent)>> {
        let mut transaction = self.read().await?;
        let found = sqlx::query(
            "SELECT e.number, e.at_us, e.attempt, e.name, e.details FROM events AS e JOIN jobs AS j USING (job_key) \
             JOIN feeds AS f USING (feed_key) WHERE j.id = ?1 AND f.tenant = ?2 AND e.number > ?3 ORDER BY e.number LIMIT ?4",
        )
        .bind(id.as_str())
        .bind(tenant.as_str())
        .bind(rows::signed(after))
        .bind(i64::from(limit.min(PAGE)))
        .fetch_all(&mut *transaction)
        .await
        .during("read the events of a job")?;
        found.iter().map(event).collect()
    }

    async fn summary(&self, tenant: &TenantId, id: &JobId) -> Result<Vec<StreamSummary>> {
        let mut transaction = self.read().await?;
        let stored = rows::find(&mut transaction, "j.id = ?1", id.as_str()).await?;
        match stored.filter(|stored| stored.job.feed.tenant == *tenant) {
            Some(stored) => summary::of_job(&mut transaction, stored.key).await,
            None => Err(held::not_found(id)),
        }
    }

    async fn oldest_unfinished(&self, feed: &FeedId) -> Result<Option<DateTime<Utc>>> {
        Ok(self.unfinished(feed).await?.map(|job| job.created_at))
    }

    async fn purge(&self, ended_before: DateTime<Utc>, dry_run: bool) -> Result<Vec<JobId>> {
        let mut transaction = self.write().await?;
        let purged = retention::purge(&mut transaction, ended_before, dry_run).await?;
        commit(transaction).await?;
        Ok(purged)
    }

    async fn expire_kept(&self, ended_before: DateTime<Utc>, dry_run: bool) -> Result<Vec<JobId>> {
        let mut transaction = self.write().await?;
        let expired = retention::expire_kept(&mut transaction, ended_before, dry_run).await?;
        commit(transaction).await?;
        Ok(expired)
    }

    async fn undiscarded(&self, limit: u32) -> Result<Vec<(Job, Vec<Part>)>> {
        let mut transaction = self.read().await?;
        retention::undiscarded(&mut transaction, limit.min(PAGE)).await
    }

    async fn part_names(&self, feed: &FeedId) -> Result<BTreeSet<String>> {
        let mut transaction = self.read().await?;
        retention::part_names(&mut transaction, feed).await
    }

    async fn discarded(&self, id: &JobId) -> Result<()> {
        let mut transaction = self.write().await?;
        let Some(mut stored) = rows::find(&mut transaction, "j.id = ?1", id.as_str()).await? else {
            return Err(held::not_found(id));
        };
        Transition::Discarded.apply(&mut stored.job, self.clock.now())?;
        rows::save(&mut transaction, stored.key, &stored.job).await?;
        commit(transaction).await
    }

    async fn probe(&self) -> Result<()> {
        // Taking the write lock shows that the file can be written to; nothing is.
        let transaction = self.write().await?;
        transaction.rollback().await.during("probe the job store")
    }
}

impl SqliteStore {
    async fn claimed(
        &self,
        sql: &str,
        worker: &WorkerId,
        lease: Duration,
        job: Option<(&JobId, &TenantId)>,
    ) -> Result<Option<Claim>> {
        let mut transaction = self.write().await?;
        let now = self.clock.now();
        let mut query = sqlx::query(sql)
            .bind(worker.as_str())
            .bind(now.timestamp_micros())
            .bind(micros(lease));
        if let Some((id, tenant)) = job {
            query = query.bind(id.as_str()).bind(tenant.as_str());
        }
        let row = query
            .fetch_optional(&mut *transaction)
            .await
            .during("claim a job")?;
        let Some(row) = row else {
            return Ok(None);
        };
        let claim = Claim {
            job: JobId::new(row.get::<String, _>("id")),
            tenant: TenantId::new(row.get::<String, _>("tenant")),
            attempt: Attempt(rows::narrow(row.get("attempt"))),
            worker: worker.clone(),
        };
        insert_event(
            &mut transaction,
            row.get("job_key"),
            claim.attempt,
            "claimed",
            &serde_json::json!({ "worker": worker.as_str() }),
            now,
        )
        .await?;
        commit(transaction).await?;
        Ok(Some(claim))
    }

    async fn intervene(
        &self,
        tenant: &TenantId,
        id: &JobId,
        by: &Operator,
        intervention: impl FnOnce(&Job) -> Intervention + Send,
    ) -> Result<JobState> {
        let mut transaction = self.write().await?;
        let stored = rows::find(&mut transaction, "j.id = ?1", id.as_str())
            .await?
            .filter(|stored| stored.job.feed.tenant == *tenant)
            .ok_or_else(|| held::not_found(id))?;
        let intervention = intervention(&stored.job);
        let state =
            interventions::apply(&mut transaction, stored, intervention, by, self.clock.now())
                .await?;
        commit(transaction).await?;
        Ok(state)
    }
}

/// Whether a worker's lease runs.
pub(super) fn is_held(job: &Job, now_us: i64) -> bool {
    job.lease_expires_at
        .is_some_and(|expires| expires.timestamp_micros() > now_us)
}

pub(super) async fn add_event(
    connection: &mut SqliteConnection,
    stored: &StoredJob,
    name: &str,
    details: &serde_json::Value,
    now: DateTime<Utc>,
) -> Result<()> {
    insert_event(
        connection,
        stored.key,
        stored.job.attempt,
        name,
        details,
        now,
    )
    .await
}

async fn insert_event(
    connection: &mut SqliteConnection,
    key: i64,
    attempt: Attempt,
    name: &str,
    details: &serde_json::Value,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO events (job_key, at_us, attempt, name, details) VALUES (?1, ?2, ?3, ?4, ?5)",
    )
    .bind(key)
    .bind(now.timestamp_micros())
    .bind(i64::from(attempt.0))
    .bind(name)
    .bind(rows::to_json("event", details)?)
    .execute(connection)
    .await
    .during("note an event")
    .map(drop)
}

async fn with_loads(connection: &mut SqliteConnection, found: &[SqliteRow]) -> Result<Vec<Job>> {
    let mut jobs = Vec::with_capacity(found.len());
    for row in found {
        let mut stored = rows::job(row)?;
        stored.job.loads = rows::loads(connection, stored.key).await?;
        jobs.push(stored.job);
    }
    Ok(jobs)
}

fn event(row: &SqliteRow) -> Result<(u64, JobEvent)> {
    let event = JobEvent {
        at: rows::time(row.get("at_us"))?,
        attempt: Attempt(rows::narrow(row.get("attempt"))),
        name: row.get("name"),
        details: rows::from_json("event", row.get("details"))?,
    };
    Ok((rows::unsigned(row.get("number")), event))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

//! The index of the quarantine: files, replays, holds.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_core::ids::{Operator, TenantId};
use runner_core::quarantine::{
    Hold, QuarantineFile, QuarantineFilter, QuarantineMark, QuarantineStore, RowRange,
};
use runner_core::{Claim, Error, ErrorKind, JobId, Result, ranges};
use serde_json::json;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::{SqliteStore, audit, commit, held, retention, rows};
use crate::error::During as _;

/// Rows that one call returns at most.
const PAGE: u32 = 10_000;

#[async_trait]
impl QuarantineStore for SqliteStore {
    async fn files(
        &self,
        tenant: &TenantId,
        filter: &QuarantineFilter,
    ) -> Result<Vec<QuarantineFile>> {
        let mut transaction = self.read().await?;
        let mut query = QueryBuilder::<Sqlite>::new("SELECT file FROM quarantine WHERE tenant = ");
        query.push_bind(tenant.as_str());
        if let Some(feed) = &filter.feed {
            query.push(" AND feed = ").push_bind(feed.as_str());
        }
        if let Some(job) = &filter.job {
            query.push(" AND job_id = ").push_bind(job.as_str());
        }
        if let Some(stream) = &filter.stream {
            query.push(" AND stream = ").push_bind(stream.as_str());
        }
        query
            .push(" ORDER BY number DESC LIMIT ")
            .push_bind(i64::from(filter.limit.clamp(1, PAGE)));
        let found: Vec<String> = query
            .build_query_scalar()
            .fetch_all(&mut *transaction)
            .await
            .during("list the quarantine")?;
        decode(&found)
    }

    async fn reserve_replay(&self, claim: &Claim, wanted: &[RowRange]) -> Result<Vec<RowRange>> {
        let mut transaction = self.write().await?;
        let now_us = self.now_us();
        held::lease(&mut transaction, claim, now_us).await?;
        let mut by_part: BTreeMap<(JobId, String), Vec<(u64, u64)>> = BTreeMap::new();
        for range in wanted {
            by_part
                .entry((range.job.clone(), range.part.clone()))
                .or_default()
                .push((range.from, range.to));
        }
        let mut reserved = Vec::new();
        for ((job, part), ranges) in by_part {
            let available = available(&mut transaction, &claim.tenant, &job, &part).await?;
            let done = done(&mut transaction, &job, &part).await?;
            let outside = ranges::subtract(&[(0, u64::MAX)], &available);
            let mut taken = done;
            taken.extend(outside);
            for (from, to) in ranges::subtract(&ranges, &taken) {
                reserved.push(RowRange {
                    job: job.clone(),
                    part: part.clone(),
                    from,
                    to,
                });
            }
        }
        for range in &reserved {
            reserve(&mut transaction, claim, range).await?;
        }
        commit(transaction).await?;
        Ok(reserved)
    }

    async fn reserved(&self, claim: &Claim) -> Result<Vec<RowRange>> {
        let mut transaction = self.read().await?;
        held::attempt(&mut transaction, claim).await?;
        let found = sqlx::query(
            "SELECT job_id, part_name, row_from, row_to FROM replays WHERE replay_job_id = ?1 ORDER BY job_id, part_name, row_from",
        )
        .bind(claim.job.as_str())
        .fetch_all(&mut *transaction)
        .await
        .during("read the rows of a replay")?;
        Ok(found
            .iter()
            .map(|row| RowRange {
                job: JobId::new(row.get::<String, _>("job_id")),
                part: row.get("part_name"),
                from: rows::unsigned(row.get("row_from")),
                to: rows::unsigned(row.get("row_to")),
            })
            .collect())
    }

    async fn replayed(&self, tenant: &TenantId, job: &JobId, part: &str) -> Result<Vec<RowRange>> {
        let mut transaction = self.read().await?;
        available(&mut transaction, tenant, job, part).await?;
        let done = done(&mut transaction, job, part).await?;
        Ok(ranges::union(&done)
            .into_iter()
            .map(|(from, to)| RowRange {
                job: job.clone(),
                part: part.to_owned(),
                from,
                to,
            })
            .collect())
    }

    async fn holds(&self, tenant: &TenantId, feed: Option<&str>) -> Result<Vec<Hold>> {
        let mut transaction = self.read().await?;
        let found: Vec<String> = sqlx::query_scalar(
            "SELECT hold FROM holds WHERE tenant = ?1 AND (?2 IS NULL OR feed = ?2) AND is_released = 0 ORDER BY number LIMIT ?3",
        )
        .bind(tenant.as_str())
        .bind(feed)
        .bind(i64::from(PAGE))
        .fetch_all(&mut *transaction)
        .await
        .during("list holds")?;
        found
            .iter()
            .map(|text| rows::from_json("hold", text))
            .collect()
    }

    async fn release_hold(
        &self,
        tenant: &TenantId,
        job: &JobId,
        load: &str,
        by: &Operator,
    ) -> Result<()> {
        let mut transaction = self.write().await?;
        let released =
            retention::release_hold(&mut transaction, tenant.as_str(), job.as_str(), load).await?;
        if !released {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("job `{job}` has no rows of `{load}` on hold"),
            ));
        }
        audit::note(
            &mut transaction,
            tenant,
            by,
            "release_hold",
            job.as_str(),
            json!({ "load": load }),
            self.clock.now(),
        )
        .await?;
        commit(transaction).await
    }

    async fn forget(
        &self,
        recorded_before: DateTime<Utc>,
        dry_run: bool,
    ) -> Result<Vec<QuarantineFile>> {
        let mut transaction = self.write().await?;
        let sql = if dry_run {
            "SELECT file FROM quarantine WHERE recorded_us < ?1"
        } else {
            "DELETE FROM quarantine WHERE recorded_us < ?1 RETURNING file"
        };
        let found: Vec<String> = sqlx::query_scalar(sql)
            .bind(recorded_before.timestamp_micros())
            .fetch_all(&mut *transaction)
            .await
            .during("forget quarantined files")?;
        commit(transaction).await?;
        decode(&found)
    }
}

/// Rows of a part that a replay may take: the quarantined ones of a completed run.
async fn available(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    job: &JobId,
    part: &str,
) -> Result<Vec<(u64, u64)>> {
    let file: Option<String> = sqlx::query_scalar(
        "SELECT file FROM quarantine WHERE tenant = ?1 AND job_id = ?2 AND part_name = ?3",
    )
    .bind(tenant.as_str())
    .bind(job.as_str())
    .bind(part)
    .fetch_optional(&mut *connection)
    .await
    .during("find a quarantined file")?;
    if let Some(file) = file {
        let file: QuarantineFile = rows::from_json("quarantine file", &file)?;
        if file.mark != QuarantineMark::Loaded {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("rows of job `{job}` can't be replayed: the run did not complete"),
            )
            .with_help("its rows come again with the next run of the feed"));
        }
        return Ok(ranges::subtract(&[(0, file.part.rows)], &file.superseded));
    }
    Err(Error::new(
        ErrorKind::NotFound,
        format!("job `{job}` has no quarantined file `{part}`"),
    )
    .with_help("`quarantine list` shows those that are there"))
}

async fn done(
    connection: &mut SqliteConnection,
    job: &JobId,
    part: &str,
) -> Result<Vec<(u64, u64)>> {
    let found: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT row_from, row_to FROM replays WHERE job_id = ?1 AND part_name = ?2 AND is_done = 1 ORDER BY row_from",
    )
    .bind(job.as_str())
    .bind(part)
    .fetch_all(connection)
    .await
    .during("read which rows were replayed")?;
    Ok(found
        .into_iter()
        .map(|(from, to)| (rows::unsigned(from), rows::unsigned(to)))
        .collect())
}

async fn reserve(connection: &mut SqliteConnection, claim: &Claim, range: &RowRange) -> Result<()> {
    sqlx::query(
        "INSERT INTO replays (replay_job_id, job_id, part_name, row_from, row_to, is_done) VALUES (?1, ?2, ?3, ?4, ?5, 0) \
         ON CONFLICT (replay_job_id, job_id, part_name, row_from) DO NOTHING",
    )
    .bind(claim.job.as_str())
    .bind(range.job.as_str())
    .bind(&range.part)
    .bind(rows::signed(range.from))
    .bind(rows::signed(range.to))
    .execute(connection)
    .await
    .during("reserve rows for a replay")
    .map(drop)
}

fn decode(found: &[String]) -> Result<Vec<QuarantineFile>> {
    found
        .iter()
        .map(|text| rows::from_json("quarantine file", text))
        .collect()
}

//! State of feeds: cursors as rows, schemas, history of drift.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runner_core::checkpoint::Observed;
use runner_core::feed::{DriftDecision, DriftRecord};
use runner_core::ids::{FeedId, Operator, TenantId};
use runner_core::{
    Claim, CursorState, Error, ErrorKind, FeedState, FeedStore, JobState, Result, Seq,
};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::{SqliteStore, audit, commit, create, held, rows};
use crate::error::During as _;

/// Cursors that one call returns at most.
const PAGE: u32 = 100_000;

/// A cursor as the statement reads it.
#[derive(Debug, Serialize)]
struct CursorRow<'a> {
    stream: &'a str,
    value: &'a str,
    cursor: Option<&'a str>,
    boundary: String,
}

#[async_trait]
impl FeedStore for SqliteStore {
    async fn state(&self, feed: &FeedId) -> Result<FeedState> {
        let mut transaction = self.read().await?;
        match create::feed_key(&mut transaction, feed).await? {
            Some(key) => state(&mut transaction, key).await,
            None => Ok(FeedState::default()),
        }
    }

    async fn cursor(
        &self,
        feed: &FeedId,
        stream: &str,
        value: &str,
    ) -> Result<Option<CursorState>> {
        let mut transaction = self.read().await?;
        let row = sqlx::query(
            "SELECT stream, chain_value, cursor_value, boundary, updated_by FROM cursors JOIN feeds USING (feed_key) \
             WHERE tenant = ?1 AND name = ?2 AND stream = ?3 AND chain_value = ?4",
        )
        .bind(feed.tenant.as_str())
        .bind(&feed.name)
        .bind(stream)
        .bind(value)
        .fetch_optional(&mut *transaction)
        .await
        .during("read a cursor")?;
        row.as_ref().map(cursor).transpose()
    }

    async fn cursors(
        &self,
        feed: &FeedId,
        stream: Option<&str>,
        after: Option<(&str, &str)>,
        limit: u32,
    ) -> Result<Vec<CursorState>> {
        let mut transaction = self.read().await?;
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT stream, chain_value, cursor_value, boundary, updated_by FROM cursors JOIN feeds USING (feed_key) WHERE tenant = ",
        );
        query
            .push_bind(feed.tenant.as_str())
            .push(" AND name = ")
            .push_bind(feed.name.as_str());
        if let Some(stream) = stream {
            query.push(" AND stream = ").push_bind(stream);
        }
        if let Some((stream, value)) = after {
            query
                .push(" AND (stream, chain_value) > (")
                .push_bind(stream)
                .push(", ")
                .push_bind(value)
                .push(")");
        }
        query
            .push(" ORDER BY stream, chain_value LIMIT ")
            .push_bind(i64::from(limit.min(PAGE)));
        let found = query
            .build()
            .fetch_all(&mut *transaction)
            .await
            .during("read cursors")?;
        found.iter().map(cursor).collect()
    }

    async fn advance(
        &self,
        claim: &Claim,
        state: Option<&FeedState>,
        cursors: &[CursorState],
    ) -> Result<()> {
        let mut transaction = self.write().await?;
        let held = held::lease(&mut transaction, claim, self.now_us()).await?;
        held.require_state(claim, &[JobState::Committing])?;
        let open = rows::loads(&mut transaction, held.key)
            .await?
            .into_iter()
            .find(|load| !load.is_settled());
        if let Some(open) = open {
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "the cursor of job `{}` can't move before load `{}` is committed",
                    claim.job, open.load
                ),
            ));
        }
        if let Some(state) = state {
            set_state(&mut transaction, held.feed_key, state).await?;
        }
        set_cursors(
            &mut transaction,
            held.feed_key,
            cursors,
            Some(claim.job.as_str()),
        )
        .await?;
        commit(transaction).await
    }

    async fn set_cursor(&self, feed: &FeedId, cursor: &CursorState, by: &Operator) -> Result<()> {
        let mut transaction = self.write().await?;
        refuse_while_running(&mut transaction, feed).await?;
        let key = create::feed_key_or_new(&mut transaction, feed).await?;
        set_cursors(&mut transaction, key, std::slice::from_ref(cursor), None).await?;
        let details =
            json!({ "stream": cursor.stream, "value": cursor.value, "cursor": cursor.cursor });
        self.note(&mut transaction, feed, by, "set_cursor", details)
            .await?;
        commit(transaction).await
    }

    async fn reset(&self, feed: &FeedId, stream: Option<&str>, by: &Operator) -> Result<u64> {
        let mut transaction = self.write().await?;
        refuse_while_running(&mut transaction, feed).await?;
        let Some(key) = create::feed_key(&mut transaction, feed).await? else {
            return Ok(0);
        };
        let forgotten =
            sqlx::query("DELETE FROM cursors WHERE feed_key = ?1 AND (?2 IS NULL OR stream = ?2)")
                .bind(key)
                .bind(stream)
                .execute(&mut *transaction)
                .await
                .during("forget cursors")?
                .rows_affected();
        let mut kept = state(&mut transaction, key).await?;
        match stream {
            None => kept = FeedState::default(),
            Some(stream) => {
                kept.schemas.remove(stream);
                kept.accepted.remove(stream);
                kept.accepted_for.remove(stream);
            }
        }
        set_state(&mut transaction, key, &kept).await?;
        let details = json!({ "stream": stream, "cursors": forgotten });
        self.note(&mut transaction, feed, by, "reset", details)
            .await?;
        commit(transaction).await?;
        Ok(forgotten)
    }

    async fn raise_seq(&self, feed: &FeedId, at_least: Seq, by: &Operator) -> Result<Seq> {
        let mut transaction = self.write().await?;
        let key = create::feed_key_or_new(&mut transaction, feed).await?;
        let last: i64 = sqlx::query_scalar(
            "UPDATE feeds SET last_seq = MAX(last_seq, ?2) WHERE feed_key = ?1 RETURNING last_seq",
        )
        .bind(key)
        .bind(rows::signed(at_least.0.saturating_sub(1)))
        .fetch_one(&mut *transaction)
        .await
        .during("raise the seq of a feed")?;
        let next = Seq(rows::unsigned(last) + 1);
        self.note(
            &mut transaction,
            feed,
            by,
            "raise_seq",
            json!({ "next": next }),
        )
        .await?;
        commit(transaction).await?;
        Ok(next)
    }

    async fn record_drift(&self, claim: &Claim, record: &DriftRecord) -> Result<()> {
        let mut transaction = self.write().await?;
        let held = held::lease(&mut transaction, claim, self.now_us()).await?;
        sqlx::query(
            "INSERT INTO drift (feed_key, job_id, stream, record) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (feed_key, job_id, stream) DO UPDATE SET record = excluded.record",
        )
        .bind(held.feed_key)
        .bind(claim.job.as_str())
        .bind(&record.stream)
        .bind(rows::to_json("drift record", record)?)
        .execute(&mut *transaction)
        .await
        .during("note drift")?;
        commit(transaction).await
    }

    async fn drift(&self, feed: &FeedId, limit: u32) -> Result<Vec<DriftRecord>> {
        let mut transaction = self.read().await?;
        let found: Vec<String> = sqlx::query_scalar(
            "SELECT record FROM drift JOIN feeds USING (feed_key) WHERE tenant = ?1 AND name = ?2 ORDER BY number DESC LIMIT ?3",
        )
        .bind(feed.tenant.as_str())
        .bind(&feed.name)
        .bind(i64::from(limit.min(PAGE)))
        .fetch_all(&mut *transaction)
        .await
        .during("read the history of drift")?;
        found
            .iter()
            .map(|text| rows::from_json("drift record", text))
            .collect()
    }

    async fn accept_schema(
        &self,
        feed: &FeedId,
        stream: &str,
        accepted: &Observed,
        by: &Operator,
    ) -> Result<()> {
        let mut transaction = self.write().await?;
        let key = create::feed_key_or_new(&mut transaction, feed).await?;
        let mut changed = state(&mut transaction, key).await?;
        changed.accepted.insert(stream.to_owned(), accepted.clone());
        set_state(&mut transaction, key, &changed).await?;
        mark_accepted(&mut transaction, key, stream).await?;
        self.note(
            &mut transaction,
            feed,
            by,
            "accept_schema",
            json!({ "stream": stream }),
        )
        .await?;
        commit(transaction).await
    }

    async fn feeds(&self, tenant: &TenantId) -> Result<Vec<(FeedId, Seq)>> {
        let mut transaction = self.read().await?;
        let found: Vec<(String, i64)> =
            sqlx::query_as("SELECT name, last_seq FROM feeds WHERE tenant = ?1 ORDER BY name")
                .bind(tenant.as_str())
                .fetch_all(&mut *transaction)
                .await
                .during("list feeds")?;
        Ok(found
            .into_iter()
            .map(|(name, seq)| {
                let feed = FeedId {
                    tenant: tenant.clone(),
                    name,
                };
                (feed, Seq(rows::unsigned(seq)))
            })
            .collect())
    }
}

impl SqliteStore {
    async fn note(
        &self,
        connection: &mut SqliteConnection,
        feed: &FeedId,
        by: &Operator,
        action: &str,
        details: Value,
    ) -> Result<()> {
        let now = self.clock.now();
        audit::note(
            connection,
            &feed.tenant,
            by,
            action,
            &feed.name,
            details,
            now,
        )
        .await
    }
}

async fn state(connection: &mut SqliteConnection, key: i64) -> Result<FeedState> {
    let text: String = sqlx::query_scalar("SELECT state FROM feeds WHERE feed_key = ?1")
        .bind(key)
        .fetch_one(connection)
        .await
        .during("read the state of a feed")?;
    rows::from_json("state of a feed", &text)
}

async fn set_state(connection: &mut SqliteConnection, key: i64, state: &FeedState) -> Result<()> {
    sqlx::query("UPDATE feeds SET state = ?2 WHERE feed_key = ?1")
        .bind(key)
        .bind(rows::to_json("state of a feed", state)?)
        .execute(connection)
        .await
        .during("store the state of a feed")
        .map(drop)
}

async fn set_cursors(
    connection: &mut SqliteConnection,
    key: i64,
    cursors: &[CursorState],
    job: Option<&str>,
) -> Result<()> {
    if cursors.is_empty() {
        return Ok(());
    }
    // An empty position has overwritten a stored one elsewhere: a run that saw nothing has no cursor to set.
    if let Some(empty) = cursors.iter().find(|cursor| cursor.cursor.is_none()) {
        return Err(Error::new(
            ErrorKind::Internal,
            format!(
                "an empty cursor would overwrite that of `{}` (value `{}`)",
                empty.stream, empty.value
            ),
        ));
    }
    let cursors = cursors
        .iter()
        .map(|cursor| {
            Ok(CursorRow {
                stream: &cursor.stream,
                value: &cursor.value,
                cursor: cursor.cursor.as_deref(),
                boundary: rows::to_json("boundary", &cursor.boundary)?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    sqlx::query(
        "INSERT INTO cursors (feed_key, stream, chain_value, cursor_value, boundary, updated_by) \
         SELECT ?1, j.value ->> 'stream', j.value ->> 'value', j.value ->> 'cursor', j.value ->> 'boundary', ?3 \
         FROM json_each(?2) AS j WHERE true ON CONFLICT (feed_key, stream, chain_value) DO UPDATE SET \
         cursor_value = excluded.cursor_value, boundary = excluded.boundary, updated_by = excluded.updated_by",
    )
    .bind(key)
    .bind(rows::to_json("cursors", &cursors)?)
    .bind(job)
    .execute(connection)
    .await
    .during("move cursors")
    .map(drop)
}

/// The commit of an unfinished run would move what an operator set.
async fn refuse_while_running(connection: &mut SqliteConnection, feed: &FeedId) -> Result<()> {
    let job: Option<String> = sqlx::query_scalar(
        "SELECT j.id FROM jobs AS j JOIN feeds AS f USING (feed_key) WHERE f.tenant = ?1 AND f.name = ?2 \
         AND j.state IN ('queued', 'preparing', 'running', 'gating', 'committing')",
    )
    .bind(feed.tenant.as_str())
    .bind(&feed.name)
    .fetch_optional(connection)
    .await
    .during("look for an unfinished job")?;
    match job {
        None => Ok(()),
        Some(job) => Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "feed `{}` has an unfinished job, `{job}`, that would move its state again",
                feed.name
            ),
        )
        .with_help(format!("`jobs resume {job}` or `jobs cancel {job}` first"))),
    }
}

/// The history says that what blocked the last run was accepted.
async fn mark_accepted(connection: &mut SqliteConnection, key: i64, stream: &str) -> Result<()> {
    let last: Option<(i64, String)> = sqlx::query_as(
        "SELECT number, record FROM drift WHERE feed_key = ?1 AND stream = ?2 ORDER BY number DESC LIMIT 1",
    )
    .bind(key)
    .bind(stream)
    .fetch_optional(&mut *connection)
    .await
    .during("read the history of drift")?;
    let Some((number, text)) = last else {
        return Ok(());
    };
    let mut record: DriftRecord = rows::from_json("drift record", &text)?;
    if record.decision != DriftDecision::Blocked {
        return Ok(());
    }
    record.decision = DriftDecision::AcceptedByOperator;
    sqlx::query("UPDATE drift SET record = ?2 WHERE number = ?1")
        .bind(number)
        .bind(rows::to_json("drift record", &record)?)
        .execute(connection)
        .await
        .during("note accepted drift")
        .map(drop)
}

fn cursor(row: &SqliteRow) -> Result<CursorState> {
    let boundary: BTreeMap<String, u32> = rows::from_json("boundary", row.get("boundary"))?;
    let updated_by: Option<String> = row.get("updated_by");
    Ok(CursorState {
        stream: row.get("stream"),
        value: row.get("chain_value"),
        cursor: row.get("cursor_value"),
        boundary,
        updated_by: updated_by.map(runner_core::JobId::new),
    })
}

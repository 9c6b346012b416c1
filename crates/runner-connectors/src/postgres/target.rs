//! A table of a PostgreSQL database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_core::{Clock, Committer, FeedId, Fence, LoadContext, Part, Result, Written};
use runner_plan::model::{ColumnField, Delivery, LoadPlan};
use sqlx::Postgres;
use sqlx::pool::PoolConnection;

use super::catalog;
use super::commit::commit;
use super::connect::{Connected, LOCK_TIMEOUT, acquire, connect};
use super::convert::{can_alter, is_same_here};
use super::error::failed;
use super::names::{TableName, staging};
use super::prepare::prepare;
use super::reject::rejects;
use super::staging::{self, tables_of};
use super::writer::{Arrivals, StagingWriter};
use crate::registry::TargetContext;
use crate::rows::Reason;
use crate::sink::{PartWriter, Target, WriterContext};

/// One table. Readers see all of a load or nothing of it ([`Delivery::Atomic`]).
#[derive(Clone, Debug)]
pub struct PostgresTarget {
    connected: Connected,
    feed: FeedId,
    /// [`LoadPlan::id`].
    load: String,
    clock: Arc<dyn Clock>,
    arrivals: Arc<Arrivals>,
    lock_timeout: Duration,
}

impl PostgresTarget {
    /// Connects when a connection is first needed; [`Target::probe`] says whether that works.
    pub async fn connect(load: &LoadPlan, context: &TargetContext) -> Result<Self> {
        Ok(Self {
            connected: connect(&load.target, &context.resolver).await?,
            feed: context.feed.clone(),
            load: load.id.clone(),
            clock: Arc::clone(&context.clock),
            arrivals: Arc::default(),
            lock_timeout: LOCK_TIMEOUT,
        })
    }

    /// With another limit of how long a commit, or a change of the table, waits for a lock that others hold.
    #[must_use]
    pub fn with_lock_timeout(mut self, longest: Duration) -> Self {
        self.lock_timeout = longest;
        self
    }

    pub(super) fn lock_timeout(&self) -> Duration {
        self.lock_timeout
    }

    pub(super) fn table(&self) -> &TableName {
        &self.connected.table
    }

    /// `host:port/database, schema.table`.
    pub(super) fn location(&self) -> String {
        format!("{}, {}", self.connected.location, self.connected.table)
    }

    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>> {
        acquire(&self.connected).await
    }
}

#[async_trait]
impl Committer for PostgresTarget {
    fn delivery(&self) -> Delivery {
        Delivery::Atomic
    }

    async fn prepare(&self, load: &LoadContext, parts: Vec<Part>) -> Result<Vec<Part>> {
        prepare(self, load, parts).await
    }

    async fn commit(&self, fence: &Fence, load: &LoadContext, parts: &[Part]) -> Result<Written> {
        commit(self, fence, load, parts).await
    }

    async fn discard(&self, parts: &[Part]) -> Result<()> {
        let mut connection = self.acquire().await?;
        for staged in tables_of(parts)? {
            staging::discard(&mut connection, &staged.table, &staged.numbers).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Target for PostgresTarget {
    async fn columns(&self) -> Result<Option<Vec<ColumnField>>> {
        let mut connection = self.acquire().await?;
        let stored = catalog::read(&mut connection, self.table()).await?;
        Ok(stored.map(|stored| stored.fields()))
    }

    async fn writer(&self, context: WriterContext) -> Result<Box<dyn PartWriter>> {
        let name = staging(&context.load, context.attempt);
        Ok(Box::new(StagingWriter::new(
            self.connected.pool.clone(),
            Arc::clone(&self.clock),
            Arc::clone(&self.arrivals),
            TableName::new(&self.table().schema, &name),
            context,
        )))
    }

    fn can_widen(&self, from: &ColumnField, to: &ColumnField) -> bool {
        is_same_here(&from.column_type, &to.column_type)
            || can_alter(&from.column_type, &to.column_type)
    }

    fn rejects(&self, batch: &RecordBatch) -> Result<Vec<(usize, Reason)>> {
        rejects(batch)
    }

    async fn sweep(
        &self,
        recorded: &BTreeSet<String>,
        older_than: DateTime<Utc>,
        dry_run: bool,
    ) -> Result<Vec<String>> {
        let pool = &self.connected.pool;
        let tables = staging::of_feed(pool, &self.table().schema, &self.feed, &self.load).await?;
        let is_recorded = |table: &TableName| {
            let prefix = format!("{table}#");
            recorded
                .range(prefix.clone()..)
                .next()
                .is_some_and(|name| name.starts_with(&prefix))
        };
        let leftovers: Vec<TableName> = tables
            .into_iter()
            // One that doesn't say when it was made is nobody's to keep.
            .filter(|(_, created)| created.is_none_or(|created| created < older_than))
            .map(|(table, _)| table)
            .filter(|table| !is_recorded(table))
            .collect();
        if !dry_run {
            let mut connection = self.acquire().await?;
            staging::drop_all(&mut connection, &leftovers).await?;
        }
        Ok(leftovers
            .iter()
            .map(|table| format!("{}, {table}", self.connected.location))
            .collect())
    }

    async fn probe(&self) -> Result<()> {
        let mut connection = self.acquire().await?;
        let schema = &self.table().schema;
        let may_create: bool = sqlx::query_scalar(
            "SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1) \
             THEN has_schema_privilege($1, 'CREATE, USAGE') \
             ELSE has_database_privilege(current_database(), 'CREATE') END",
        )
        .bind(schema)
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| failed(format!("look up the privileges on `{schema}`"), error))?;
        if may_create {
            return Ok(());
        }
        Err(super::check::lasting(
            self.table(),
            format!("the user may not create tables in the schema `{schema}`"),
            "grant CREATE and USAGE on the schema: rows are staged there",
        ))
    }
}

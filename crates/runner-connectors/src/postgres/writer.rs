//! Writes the rows of one lane into its staging table.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_core::part::Output;
use runner_core::{Attempt, Clock, Error, ErrorKind, Part, Result, Segments};
use sqlx::PgPool;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgCopyIn, PgPoolCopyExt as _, Postgres};

use super::encode::{RowTags, header, rows, trailer};
use super::error::failed;
use super::names::{CHAIN_COLUMN, PART_COLUMN, ROW_COLUMN, TableName, quote};
use super::staging::{PartDetails, create, is_ranked};
use super::types::Form;
use crate::sink::{PartWriter, RowOrigin, Unsealed, WriterContext};

/// Bytes that are collected before they are sent.
const SEND_BYTES: usize = 256 << 10;
/// Rows that are encoded at once: bounds what one batch adds to the buffer.
const ENCODE_ROWS: usize = 4096;

/// The place of a row in the order of arrival: by attempt, then by time. Microseconds, run ahead of where rows come faster,
/// tell apart what several targets of one process write.
#[derive(Debug, Default)]
pub(super) struct Arrivals(AtomicI64);

impl Arrivals {
    /// Microseconds since 1970 need no more before the year 2112.
    const TIME_BITS: u32 = 52;
    const LAST_ATTEMPT: u32 = (1 << (63 - Self::TIME_BITS)) - 1;

    fn take(&self, now: DateTime<Utc>, attempt: Attempt, count: usize) -> Result<i64> {
        let count = i64::try_from(count).map_err(too_many)?;
        let now = now.timestamp_micros();
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                next.max(now).checked_add(count)
            })
            .map_err(|_| too_many("no numbers are left"))?;
        let first = before.max(now);
        if first + count >= 1 << Self::TIME_BITS {
            return Err(too_many("no numbers are left"));
        }
        let attempt = i64::from(attempt.0.min(Self::LAST_ATTEMPT));
        Ok((attempt << Self::TIME_BITS) + first)
    }
}

fn too_many(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, "failed to number rows").with_source(error)
}

pub(super) struct StagingWriter {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    arrivals: Arc<Arrivals>,
    context: WriterContext,
    table: TableName,
    forms: Vec<Form>,
    is_ranked: bool,
    is_created: bool,
    /// The statement under way; rows are durable when it has ended.
    copy: Option<PgCopyIn<PoolConnection<Postgres>>>,
    buffer: Vec<u8>,
    segments: Segments,
    /// Number of the first segment since the last seal.
    first_number: i32,
    unsealed: Unsealed,
    /// A failed statement leaves rows in doubt: only an abort makes the writer usable again.
    is_broken: bool,
}

impl StagingWriter {
    pub(super) fn new(
        pool: PgPool,
        clock: Arc<dyn Clock>,
        arrivals: Arc<Arrivals>,
        table: TableName,
        context: WriterContext,
    ) -> Self {
        let forms = context
            .columns
            .iter()
            .map(|column| Form::of(&column.column_type))
            .collect();
        Self {
            is_ranked: is_ranked(&context.load.plan),
            pool,
            clock,
            arrivals,
            context,
            table,
            forms,
            is_created: false,
            copy: None,
            buffer: Vec::new(),
            segments: Segments::default(),
            first_number: 0,
            unsealed: Unsealed::default(),
            is_broken: false,
        }
    }

    async fn try_write(&mut self, batch: &RecordBatch, origin: RowOrigin) -> Result<()> {
        self.check_columns(batch)?;
        self.begin().await?;
        self.segments
            .add_rows(origin.chain, origin.generation, batch.num_rows() as u64);
        let index = i32::try_from(self.segments.len() - 1).map_err(too_many)?;
        let part = self
            .first_number
            .checked_add(index)
            .ok_or_else(|| too_many("segments"))?;
        let mut start = 0;
        while start < batch.num_rows() {
            let slice = batch.slice(start, ENCODE_ROWS.min(batch.num_rows() - start));
            let rank = if self.is_ranked {
                let first =
                    self.arrivals
                        .take(self.clock.now(), self.context.attempt, slice.num_rows())?;
                Some((i64::try_from(origin.chain).map_err(too_many)?, first))
            } else {
                None
            };
            let before = self.buffer.len();
            rows(
                &mut self.buffer,
                &slice,
                &self.forms,
                RowTags { part, rank },
            )?;
            self.unsealed.bytes += (self.buffer.len() - before) as u64;
            if self.buffer.len() >= SEND_BYTES {
                self.send().await?;
            }
            start += slice.num_rows();
        }
        self.unsealed.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn check_columns(&self, batch: &RecordBatch) -> Result<()> {
        let schema = batch.schema();
        let names = schema.fields().iter().map(|field| field.name());
        let expected = self.context.columns.iter().map(|column| &column.name);
        if names.eq(expected) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Internal,
            format!(
                "rows for `{}` don't have the columns that were announced",
                self.context.load.plan.table
            ),
        ))
    }

    /// Starts a statement, and makes the table before the first.
    async fn begin(&mut self) -> Result<()> {
        if self.copy.is_some() {
            return Ok(());
        }
        let load = &self.context.load;
        if !self.is_created {
            create(
                &self.pool,
                &self.table,
                &self.context.columns,
                self.is_ranked,
                &load.feed,
                &load.id.load,
                self.clock.now(),
            )
            .await?;
            self.is_created = true;
        }
        let mut columns = vec![quote(PART_COLUMN)];
        if self.is_ranked {
            columns.extend([quote(CHAIN_COLUMN), quote(ROW_COLUMN)]);
        }
        columns.extend(
            self.context
                .columns
                .iter()
                .map(|column| quote(&column.name)),
        );
        let statement = format!(
            "COPY {} ({}) FROM STDIN (FORMAT BINARY)",
            self.table.sql(),
            columns.join(", ")
        );
        let copy = self
            .pool
            .copy_in_raw(&statement)
            .await
            .map_err(|error| self.failed(error))?;
        self.copy = Some(copy);
        header(&mut self.buffer);
        Ok(())
    }

    async fn send(&mut self) -> Result<()> {
        if let Some(copy) = self.copy.as_mut() {
            let sent = copy.send(self.buffer.as_slice()).await.map(|_| ());
            sent.map_err(|error| self.failed(error))?;
        }
        self.buffer.clear();
        Ok(())
    }

    async fn try_seal(&mut self) -> Result<Vec<Part>> {
        trailer(&mut self.buffer);
        self.send().await?;
        let Some(copy) = self.copy.take() else {
            return Ok(Vec::new());
        };
        let written = copy.finish().await.map_err(|error| self.failed(error))?;
        if written != self.unsealed.rows {
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "`{}` took {written} rows of {}",
                    self.table, self.unsealed.rows
                ),
            ));
        }
        let count = i32::try_from(self.segments.len()).map_err(too_many)?;
        let low = self.first_number;
        let high = low + count - 1;
        let details = PartDetails {
            schema: self.table.schema.clone(),
            table: self.table.table.clone(),
            numbers: vec![(low, high)],
            columns: self.context.columns.clone(),
        };
        let unsealed = std::mem::take(&mut self.unsealed);
        self.first_number = high + 1;
        Ok(vec![Part {
            output: Output::Load(self.context.load.plan.id.clone()),
            input: self.context.input.clone(),
            name: part_name(&self.table, low, high),
            attempt: self.context.attempt,
            rows: unsealed.rows,
            bytes: unsealed.bytes,
            checksum: String::new(),
            schema_version: self.context.schema_version,
            segments: std::mem::take(&mut self.segments),
            details: details.to_json()?,
        }])
    }

    fn failed(&self, error: sqlx::Error) -> Error {
        failed(
            format!("write rows for `{}`", self.context.load.plan.table),
            error,
        )
    }

    fn check_usable(&self) -> Result<()> {
        if self.is_broken {
            return Err(Error::new(
                ErrorKind::Sink,
                format!(
                    "rows for `{}` can't be written any more: an earlier write failed",
                    self.context.load.plan.table
                ),
            ));
        }
        Ok(())
    }
}

/// `schema.table#low-high`.
pub(super) fn part_name(table: &TableName, low: i32, high: i32) -> String {
    format!("{table}#{low}-{high}")
}

#[async_trait]
impl PartWriter for StagingWriter {
    async fn write(&mut self, batch: &RecordBatch, origin: RowOrigin) -> Result<()> {
        self.check_usable()?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        // Also where this is cut off half-way.
        self.is_broken = true;
        self.try_write(batch, origin).await?;
        self.is_broken = false;
        Ok(())
    }

    async fn seal(&mut self) -> Result<Vec<Part>> {
        self.check_usable()?;
        if self.unsealed.rows == 0 {
            return Ok(Vec::new());
        }
        self.is_broken = true;
        let parts = self.try_seal().await?;
        self.is_broken = false;
        Ok(parts)
    }

    async fn abort(&mut self) -> Result<()> {
        self.buffer.clear();
        // Numbers are never used again, whatever became of the rows that had them.
        let used = i32::try_from(self.segments.len()).map_err(too_many)?;
        self.first_number += used;
        self.segments.clear();
        self.unsealed = Unsealed::default();
        self.is_broken = false;
        match self.copy.take() {
            Some(copy) => copy
                .abort("the rows are not wanted any more")
                .await
                .map_err(|error| self.failed(error)),
            None => Ok(()),
        }
    }

    fn unsealed(&self) -> Unsealed {
        self.unsealed
    }
}

impl std::fmt::Debug for StagingWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StagingWriter")
            .field("table", &self.table)
            .field("unsealed", &self.unsealed)
            .finish_non_exhaustive()
    }
}

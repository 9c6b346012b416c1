//! A table under test, and the steps of a load on it.

use std::sync::Arc;

use runner_connectors::sink::{PartWriter, RowOrigin, Target, WriterContext};
use runner_core::{Part, Result, Written};
use runner_plan::model::{ColumnField, LoadPlan};

use super::SinkHarness;
use super::load::{Load, TableSpec, plan};
use super::values::{Row, batch};

const MEMORY_BYTES: usize = 64 << 20;

/// One table of a sink.
pub struct Bench<'a> {
    pub harness: &'a dyn SinkHarness,
    pub plan: LoadPlan,
    /// Columns of the rows.
    pub columns: Vec<ColumnField>,
}

impl std::fmt::Debug for Bench<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

impl<'a> Bench<'a> {
    pub fn new(harness: &'a dyn SinkHarness, spec: &TableSpec, columns: Vec<ColumnField>) -> Self {
        Self {
            harness,
            plan: harness.place(plan(spec)),
            columns,
        }
    }

    /// The same table, planned differently.
    #[must_use]
    pub fn replanned(&self, change: impl FnOnce(&mut LoadPlan)) -> Self {
        let mut plan = self.plan.clone();
        change(&mut plan);
        Self {
            harness: self.harness,
            plan,
            columns: self.columns.clone(),
        }
    }

    pub fn load(&self, seq: u64) -> Load {
        Load::new(&self.plan, seq, &self.columns)
    }

    /// A target as a process that has just started has it.
    pub async fn open(&self) -> Arc<dyn Target> {
        self.harness.open(&self.plan).await
    }

    pub async fn writer(&self, load: &Load) -> Box<dyn PartWriter> {
        self.writer_of(load, "rows", &self.columns, 1).await
    }

    pub async fn writer_of(
        &self,
        load: &Load,
        input: &str,
        columns: &[ColumnField],
        schema_version: u32,
    ) -> Box<dyn PartWriter> {
        let context = WriterContext {
            load: load.context.clone(),
            input: input.to_owned(),
            attempt: load.attempt,
            columns: columns.to_vec(),
            schema_version,
            memory_bytes: MEMORY_BYTES,
        };
        self.open().await.writer(context).await.unwrap()
    }

    /// Writes rows of one chain and seals them.
    pub async fn sealed(&self, load: &Load, chain: u64, rows: &[Row]) -> Vec<Part> {
        self.try_sealed(load, chain, rows).await.unwrap()
    }

    /// A sink may refuse a load before it has written anything, or when it is prepared.
    async fn try_sealed(&self, load: &Load, chain: u64, rows: &[Row]) -> Result<Vec<Part>> {
        let context = WriterContext {
            load: load.context.clone(),
            input: "rows".to_owned(),
            attempt: load.attempt,
            columns: self.columns.clone(),
            schema_version: 1,
            memory_bytes: MEMORY_BYTES,
        };
        let mut writer = self.open().await.writer(context).await?;
        let origin = RowOrigin {
            chain,
            generation: 0,
        };
        writer.write(&batch(&self.columns, rows), origin).await?;
        writer.seal().await
    }

    /// Prepares and commits.
    pub async fn finish(&self, load: &Load, parts: Vec<Part>) -> Result<Written> {
        let target = self.open().await;
        let parts = target.prepare(&load.context, parts).await?;
        target.commit(&load.fence(), &load.context, &parts).await
    }

    /// A whole load of rows of one chain.
    pub async fn loaded(&self, seq: u64, rows: &[Row]) -> Result<Written> {
        let load = self.load(seq);
        let parts = self.try_sealed(&load, 0, rows).await?;
        self.finish(&load, parts).await
    }

    /// The rows that readers see, sorted.
    pub async fn visible(&self) -> Vec<Row> {
        self.visible_in(&self.columns).await
    }

    pub async fn visible_in(&self, columns: &[ColumnField]) -> Vec<Row> {
        sorted(self.harness.rows(&self.plan, columns).await)
    }

    /// # Panics
    /// Unless readers see exactly these rows.
    pub async fn assert_visible(&self, rows: &[Row]) {
        assert_eq!(self.visible().await, sorted(rows.to_vec()));
    }
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_key(|row| format!("{row:?}"));
    rows
}

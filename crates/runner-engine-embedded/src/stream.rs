//! One stream being read: what its lanes share, and how its chains are handed out to them.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use runner_connectors::meter::StreamMeter;
use runner_connectors::rows::Reason;
use runner_connectors::schema::{SchemaVersion, StreamSchema};
use runner_connectors::scrub::Scrubber;
use runner_connectors::source::Source;
use runner_core::checkpoint::{ResumeState, SchemaRecord, Warning};
use runner_core::commit::masked_columns;
use runner_core::engine::RunContext;
use runner_core::part::Output;
use runner_core::progress::ProgressEvent;
use runner_core::{Cancel, Error, ErrorKind, Result};
use runner_plan::StreamPlan;
use runner_plan::model::ColumnField;
use runner_spec::model::Masking;
use xxhash_rust::xxh3::xxh3_128;

use crate::evaluate::Checks;
use crate::masking::masked_fields;
use crate::outputs::{Destinations, LoadOutput, Outputs};
use crate::parts::PartFolder;
use crate::quarantine::{QuarantineWriter, quarantine_columns};

/// Values of a parent taken from the store at once.
const VALUES_PER_PAGE: u32 = 10_000;

/// What a [`StreamRun`] is put together from.
pub(crate) struct StreamParts {
    pub(crate) context: RunContext,
    pub(crate) plan: StreamPlan,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) schema: StreamSchema,
    pub(crate) loads: Vec<LoadOutput>,
    pub(crate) stage: Option<PartFolder>,
    pub(crate) quarantine: PartFolder,
    pub(crate) value_columns: Vec<String>,
    pub(crate) meter: StreamMeter,
    pub(crate) scrubber: Scrubber,
}

/// What the lanes of one stream share.
pub(crate) struct StreamRun {
    pub(crate) context: RunContext,
    pub(crate) plan: StreamPlan,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) schema: StreamSchema,
    pub(crate) loads: Vec<LoadOutput>,
    /// Where transforms read the rows from.
    pub(crate) stage: Option<PartFolder>,
    pub(crate) quarantine: PartFolder,
    /// Columns whose distinct values make the chains of other streams.
    pub(crate) value_columns: Vec<String>,
    meter: StreamMeter,
    /// Takes the run's secrets out of quarantined rows.
    pub(crate) scrubber: Scrubber,
    pub(crate) lanes: usize,
    /// Barriers stored in this attempt: the store takes them in order.
    pub(crate) barriers: tokio::sync::Mutex<Barriers>,
    /// Set when a lane failed: the others stop at their next page.
    stop: Cancel,
    shared: Mutex<Shared>,
    rows_taken: AtomicU64,
}

#[derive(Default)]
struct Shared {
    checks: Option<(u32, Arc<Checks>)>,
    warned: HashSet<Warning>,
    /// Hashes of the values seen, per value column.
    values: BTreeMap<String, HashSet<u128>>,
}

/// What this attempt's barriers have stored.
#[derive(Debug, Default)]
pub(crate) struct Barriers {
    pub(crate) count: u64,
    /// Last version of the schema that is stored.
    pub(crate) schema: Option<u32>,
}

/// What a page adds to the stream's progress.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Advance {
    pub(crate) pages: u64,
    pub(crate) rows: u64,
    pub(crate) quarantined: u64,
    pub(crate) chains_done: u64,
}

impl StreamRun {
    pub(crate) fn new(parts: StreamParts) -> Self {
        let lanes = usize::try_from(parts.plan.parallelism.max(1)).unwrap_or(1);
        Self {
            context: parts.context,
            plan: parts.plan,
            source: parts.source,
            schema: parts.schema,
            loads: parts.loads,
            stage: parts.stage,
            quarantine: parts.quarantine,
            value_columns: parts.value_columns,
            meter: parts.meter,
            scrubber: parts.scrubber,
            lanes,
            barriers: tokio::sync::Mutex::default(),
            stop: Cancel::new(),
            shared: Mutex::default(),
            rows_taken: AtomicU64::new(0),
        }
    }

    /// The checks for a version of the schema; compiled once a version.
    pub(crate) fn checks(&self, version: &SchemaVersion) -> Result<Arc<Checks>> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, checks)) = &shared.checks
            && *known == version.version
        {
            return Ok(Arc::clone(checks));
        }
        let checks = Arc::new(Checks::compile(&self.plan.checks, &version.fields())?);
        shared.checks = Some((version.version, Arc::clone(&checks)));
        Ok(checks)
    }

    /// The columns of rows after masking: what every output gets.
    pub(crate) fn output_columns(&self, version: &SchemaVersion) -> Vec<ColumnField> {
        masked_columns(&version.fields(), &self.plan.masking)
    }

    pub(crate) async fn open_outputs(&self, version: &SchemaVersion) -> Result<Outputs> {
        let destinations = Destinations {
            loads: &self.loads,
            stage: self.stage.as_ref(),
            input: &self.plan.name,
            attempt: self.context.claim.attempt,
            lanes: self.lanes,
        };
        destinations
            .open(self.output_columns(version), version.version)
            .await
    }

    pub(crate) fn open_quarantine(&self) -> QuarantineWriter {
        let output = Output::Quarantine(self.plan.name.clone());
        let writer = self.quarantine.writer(
            output,
            &self.plan.name,
            &quarantine_columns(),
            0,
            self.context.claim.attempt,
        );
        QuarantineWriter::new(self.context.claim.job.clone(), &self.plan.name, writer)
    }

    /// Versions of the schema that no barrier has stored yet.
    pub(crate) fn schemas_since(&self, stored: Option<u32>) -> Vec<SchemaRecord> {
        let current = self.schema.current();
        let first = stored.map_or(0, |version| version + 1);
        (first..=current.version)
            .filter_map(|version| self.schema.version(version))
            .map(|version| version.record())
            .collect()
    }

    /// Knows again what earlier attempts have seen and said.
    pub(crate) async fn take_up(&self, resumed: &ResumeState) -> Result<()> {
        self.barriers.lock().await.schema = resumed.schema.as_ref().map(|schema| schema.version);
        for column in &self.value_columns {
            let mut next = 0;
            loop {
                let (values, _) = self
                    .context
                    .checkpoints
                    .values(
                        &self.context.claim,
                        &self.plan.name,
                        column,
                        next,
                        VALUES_PER_PAGE,
                    )
                    .await?;
                if values.is_empty() {
                    break;
                }
                next += values.len() as u64;
                self.new_values(column, values.iter().map(String::as_str));
            }
        }
        self.rows_taken
            .store(resumed.totals.rows_read, Ordering::SeqCst);
        self.shared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .warned
            .extend(resumed.warnings.iter().cloned());
        let totals = &resumed.totals;
        self.meter.update(|progress| {
            progress.requests = totals.requests;
            progress.pages = totals.pages;
            progress.rows = totals.rows_read;
            progress.quarantined = totals.rows_quarantined;
            progress.bytes = totals.bytes_read;
        });
        Ok(())
    }

    /// The stream was read to its end: its distinct values are all there, so that its children can begin.
    pub(crate) async fn close_values(&self) -> Result<()> {
        for column in &self.value_columns {
            self.context
                .checkpoints
                .seal_values(&self.context.claim, &self.plan.name, column, &[], true)
                .await?;
        }
        Ok(())
    }

    /// How many of these rows the run may still take (`--limit`).
    pub(crate) fn take_rows(&self, rows: usize) -> usize {
        let Some(limit) = self.context.plan.row_limit else {
            return rows;
        };
        let before = self.rows_taken.fetch_add(rows as u64, Ordering::SeqCst);
        usize::try_from(limit.saturating_sub(before))
            .unwrap_or(rows)
            .min(rows)
    }

    pub(crate) fn is_at_limit(&self) -> bool {
        self.context
            .plan
            .row_limit
            .is_some_and(|limit| self.rows_taken.load(Ordering::SeqCst) >= limit)
    }

    /// Of these values, those not seen before, in their order.
    pub(crate) fn new_values<'a>(
        &self,
        column: &str,
        values: impl Iterator<Item = &'a str>,
    ) -> Vec<String> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = shared.values.entry(column.to_owned()).or_default();
        values
            .filter(|value| seen.insert(xxh3_128(value.as_bytes())))
            .map(str::to_owned)
            .collect()
    }

    /// Reports a warning once a run, however often it comes up.
    pub(crate) fn is_new_warning(&self, warning: &Warning) -> bool {
        let is_new = self
            .shared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .warned
            .insert(warning.clone());
        if is_new {
            self.context.progress.event(ProgressEvent::Warning {
                stream: warning.stream.clone(),
                code: warning.code.clone(),
                message: warning.message.clone(),
            });
        }
        is_new
    }

    /// Rows and pages; requests, bytes and waits are counted by the source.
    pub(crate) fn advance(&self, advance: Advance, total: Option<u64>) {
        self.meter.update(|progress| {
            progress.pages += advance.pages;
            progress.rows += advance.rows;
            progress.quarantined += advance.quarantined;
            progress.chains_done += advance.chains_done;
            if progress.chains.is_none_or(|chains| chains <= 1) && total.is_some() {
                progress.total_rows = total;
            }
        });
    }

    /// So many chains more are known of.
    pub(crate) fn chains_known(&self, chains: u64) {
        self.meter.update(|progress| {
            progress.chains = Some(progress.chains.unwrap_or_default() + chains);
        });
    }

    /// What counted as one chain has turned out to be so many: one for each of its windows.
    pub(crate) fn chain_has_windows(&self, windows: u64) {
        self.meter.update(|progress| {
            let chains = progress.chains.unwrap_or_default() + windows;
            progress.chains = Some(chains.saturating_sub(1));
        });
    }

    pub(crate) fn finished(&self) {
        self.meter.update(|progress| progress.finished = true);
    }

    /// Where masked columns stand in a raw row.
    pub(crate) fn masked_fields(&self, version: &SchemaVersion) -> Vec<(Vec<String>, Masking)> {
        masked_fields(&self.plan, version)
    }

    /// Makes the other lanes stop.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Stops the lane when the run was cancelled or its claim lost.
    pub(crate) fn check_cancelled(&self) -> Result<()> {
        if self.context.cancel.is_cancelled() || self.stop.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "the run was cancelled")
                .with_context("stream", &self.plan.name));
        }
        Ok(())
    }
}

/// A reason of the engine's own.
pub(crate) fn reason(code: &str, column: &str, message: String) -> Reason {
    Reason {
        code: code.to_owned(),
        column: Some(column.to_owned()),
        message,
    }
}

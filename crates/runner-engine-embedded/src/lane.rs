//! A lane: one chain after the other is read, checked and written, with a barrier now and then.
//!
//! Each lane has writers and barriers of its own, so that lanes never wait for each other. Rows of a chain that starts over
//! stay where they are: they are of an earlier generation, and `prepare` leaves them out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use runner_connectors::lines::RowLines;
use runner_connectors::rows::{RawRows, Reason, Rows};
use runner_connectors::schema::SchemaVersion;
use runner_connectors::source::{ChainRequest, Fetched, PageEnd};
use runner_connectors::table::widen::widen_batch;
use runner_core::checkpoint::{
    ChainCounters, ChainCursor, Checkpoint, Counters, Observed, Warning,
};
use runner_core::fault;
use runner_core::{ChainEnd, Error, ErrorKind, Position, Result};

use crate::completeness::required_cells;
use crate::cursor::{BOUNDARY_LIMIT, CursorTracker};
use crate::masking::{mask, mask_raw};
use crate::observed::merge_observed;
use crate::outputs::Outputs;
use crate::quarantine::{QuarantineWriter, QuarantinedRow};
use crate::reading::Reading;
use crate::stream::{Advance, StreamRun, reason};
use crate::values::chain_values;

/// One chain for a lane to read.
pub(crate) struct ChainWork {
    pub(crate) request: ChainRequest,
    /// Where an earlier attempt's last barrier left it.
    pub(crate) from: Option<Position>,
    pub(crate) cursor: Option<CursorTracker>,
}

/// Reads chains, one at a time.
pub(crate) struct Lane {
    run: Arc<StreamRun>,
    /// The last one is current; earlier ones hold rows of narrower schemas until the next barrier.
    outputs: Vec<Outputs>,
    quarantine: Option<QuarantineWriter>,
    pending: Pending,
}

/// A row on its way to the quarantine.
struct FailedRow {
    number: u64,
    line: Option<u64>,
    reasons: Vec<Reason>,
    /// Masked.
    raw: String,
}

/// Chains that all lanes together may have read since their last barriers: what is kept of each takes memory.
const CHAINS_PER_BARRIER: usize = 32_768;

/// What the next barrier will store.
#[derive(Default)]
struct Pending {
    positions: BTreeMap<u64, Position>,
    requests: u64,
    bytes_read: u64,
    counters: BTreeMap<(u64, u32), ChainCounters>,
    observed: Observed,
    cursors: BTreeMap<u64, ChainCursor>,
    warnings: Vec<Warning>,
    values: BTreeMap<String, Vec<String>>,
    pages: u64,
    since: Option<Duration>,
}

impl Lane {
    pub(crate) fn new(run: Arc<StreamRun>) -> Self {
        Self {
            run,
            outputs: Vec::new(),
            quarantine: None,
            pending: Pending::default(),
        }
    }

    /// Reads a chain to its end. What it read is durable only after a barrier.
    pub(crate) async fn read(&mut self, work: ChainWork) -> Result<()> {
        let ChainWork {
            mut request,
            from,
            cursor,
        } = work;
        let template = cursor;
        let mut reading = Reading::new(&request, from.as_ref(), template);
        let mut chain = self.run.source.open(request.clone(), from).await?;
        loop {
            self.stop_if_cancelled(&reading).await?;
            let fetched = match chain.next().await {
                Ok(fetched) => fetched,
                Err(error) => {
                    self.keep_sealed_pages(&reading).await;
                    return Err(self.at(error, &reading));
                }
            };
            match fetched {
                None => break,
                Some(Fetched::Rows(rows)) => {
                    self.rows(&mut reading, rows).await?;
                    fault::point("page.mid");
                }
                Some(Fetched::Replayed(provenance)) => reading.provenance = Some(provenance),
                Some(Fetched::PageEnd(end)) => {
                    let is_last = self.page_end(&mut reading, *end).await?;
                    if is_last || reading.is_cut_off {
                        break;
                    }
                }
                Some(Fetched::Restart { reason }) => {
                    request.generation = reading.origin.generation + 1;
                    self.warn(
                        "chain_restarted",
                        format!("chain `{}` was read anew: {reason}", reading.chain_value),
                    );
                    reading.restart(&request);
                    chain = self.run.source.open(request.clone(), None).await?;
                }
            }
        }
        self.run.advance(
            Advance {
                chains_done: 1,
                ..Advance::default()
            },
            None,
        );
        Ok(())
    }

    /// Seals everything that was written and stores how far the chains were read, in one transaction.
    pub(crate) async fn barrier(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut parts = Vec::new();
        for outputs in &mut self.outputs {
            parts.extend(outputs.seal().await?);
            fault::point("seal.mid");
        }
        // Only the current outputs will be written to again.
        let current = self.outputs.pop();
        self.outputs.clear();
        self.outputs.extend(current);
        if let Some(quarantine) = &mut self.quarantine {
            parts.extend(quarantine.seal().await?);
        }
        let context = &self.run.context;
        let pending = std::mem::take(&mut self.pending);
        for (column, values) in &pending.values {
            context
                .checkpoints
                .seal_values(&context.claim, &self.run.plan.name, column, values, false)
                .await?;
        }
        let mut barriers = self.run.barriers.lock().await;
        let schemas = self.run.schemas_since(barriers.schema);
        self.refuse_to_start_over()?;
        let stored = schemas.last().map(|schema| schema.version);
        let checkpoint = Checkpoint {
            stream: self.run.plan.name.clone(),
            barrier: barriers.count + 1,
            positions: pending.positions.into_values().collect(),
            parts,
            counters: Counters {
                requests: pending.requests,
                bytes_read: pending.bytes_read,
                chains: pending.counters.into_values().collect(),
            },
            schemas,
            observed: pending.observed,
            cursors: pending.cursors.into_values().collect(),
            warnings: pending.warnings,
        };
        fault::point("checkpoint.before");
        context
            .checkpoints
            .checkpoint(&context.claim, &checkpoint)
            .await?;
        barriers.count += 1;
        barriers.schema = stored.or(barriers.schema);
        fault::point("checkpoint.after");
        Ok(())
    }

    /// What was sealed can't be read as the columns are now: a barrier that stored them would claim that it can. Asked after the
    /// versions were taken, which change together with it.
    fn refuse_to_start_over(&self) -> Result<()> {
        match self.run.schema.start_over() {
            Some(reason) => Err(Error::new(ErrorKind::SourceData, reason)
                .with_context("stream", &self.run.plan.name)),
            None => Ok(()),
        }
    }

    /// Drops what isn't sealed.
    pub(crate) async fn abort(&mut self) {
        for outputs in &mut self.outputs {
            // The run has failed already, and leftovers are swept.
            let _ = outputs.abort().await;
        }
        if let Some(quarantine) = &mut self.quarantine {
            let _ = quarantine.abort().await;
        }
    }

    async fn rows(&mut self, reading: &mut Reading, rows: Rows) -> Result<()> {
        let version = self.run.schema.current();
        let mut rows = self.widened(rows, &version)?;
        let offered = rows.batch.num_rows() + rows.invalid.len();
        let taken = self.run.take_rows(offered);
        if taken < offered {
            reading.is_cut_off = true;
            rows = truncated(rows, taken);
        }
        reading.rows_in_page += rows.batch.num_rows() as u64 + rows.invalid.len() as u64;
        reading.counters.rows_read += rows.batch.num_rows() as u64 + rows.invalid.len() as u64;
        let quarantined_before = reading.counters.rows_quarantined;
        let masked = self.run.masked_fields(&version);
        let invalid = std::mem::take(&mut rows.invalid);
        let lines = lines_of(&rows.raw, invalid.is_empty()).await;
        for invalid in invalid {
            let failed = FailedRow {
                number: invalid.number,
                line: lines.as_ref().and_then(|lines| lines.line(invalid.number)),
                reasons: invalid.reasons,
                raw: mask_raw(&invalid.raw, &masked),
            };
            self.quarantine(reading, &rows.origin, failed).await?;
        }
        let kept = self.judge(reading, &rows, &version, &masked).await?;
        let quarantined = reading.counters.rows_quarantined - quarantined_before;
        self.run.advance(
            Advance {
                rows: offered as u64,
                quarantined,
                ..Advance::default()
            },
            None,
        );
        let Some(batch) = kept else { return Ok(()) };
        reading.counters.rows_passed += batch.num_rows() as u64;
        self.collect_values(&batch)?;
        let columns = self.run.output_columns(&version);
        let batch = mask(&batch, &self.run.plan.masking, &columns)?;
        self.current_outputs(&version)
            .await?
            .write(&batch, reading.origin, reading.read_by())
            .await
    }

    /// The rows that pass; the others are counted or quarantined.
    async fn judge(
        &mut self,
        reading: &mut Reading,
        rows: &Rows,
        version: &SchemaVersion,
        masked: &[(Vec<String>, runner_spec::model::Masking)],
    ) -> Result<Option<RecordBatch>> {
        let cells = required_cells(&self.run.plan.checks, rows);
        reading.counters.required_cells += cells.all;
        reading.counters.required_present += cells.present;
        if rows.batch.num_rows() == 0 {
            return Ok(None);
        }
        let mut dropped = vec![false; rows.batch.num_rows()];
        let mut without_cursor = Vec::new();
        if let Some(cursor) = &mut reading.cursor {
            let sorted = cursor.observe(&rows.batch, &rows.raw)?;
            reading.counters.rows_outside += sorted.outside.len() as u64;
            reading.counters.rows_repeated += sorted.repeated.len() as u64;
            for row in sorted.outside.into_iter().chain(sorted.repeated) {
                dropped[row] = true;
            }
            let kind = cursor.text_kind();
            let unreadable = sorted.unreadable.into_iter().map(|row| (row, Some(kind)));
            without_cursor = sorted
                .missing
                .into_iter()
                .map(|row| (row, None))
                .chain(unreadable)
                .collect();
            let is_behind = cursor.is_behind();
            self.warn_of_cursor(is_behind, sorted.future > 0);
        }
        let failed = self.run.checks(version)?.run(&rows.batch)?;
        let mut failures: BTreeMap<usize, Vec<Reason>> = failed.into_iter().collect();
        self.refuse_cursors(without_cursor, &mut failures);
        for output in &self.run.loads {
            for (row, reason) in output.target.rejects(&rows.batch)? {
                failures.entry(row).or_default().push(reason);
            }
        }
        failures.retain(|row, _| !dropped[*row]);
        let lines = lines_of(&rows.raw, failures.is_empty()).await;
        for (row, reasons) in failures {
            dropped[row] = true;
            let number = rows.numbers.get(row).copied().unwrap_or_default();
            let failed = FailedRow {
                number,
                line: lines.as_ref().and_then(|lines| lines.line(number)),
                reasons,
                raw: mask_raw(&rows.raw.text(row), masked),
            };
            self.quarantine(reading, &rows.origin, failed).await?;
        }
        if !dropped.contains(&true) {
            return Ok(Some(rows.batch.clone()));
        }
        let keep = BooleanArray::from(dropped.iter().map(|dropped| !dropped).collect::<Vec<_>>());
        let batch = filter_record_batch(&rows.batch, &keep).map_err(|error| {
            Error::new(ErrorKind::Internal, "failed to filter a batch").with_source(error)
        })?;
        Ok((batch.num_rows() > 0).then_some(batch))
    }

    async fn quarantine(
        &mut self,
        reading: &mut Reading,
        request: &Arc<str>,
        failed: FailedRow,
    ) -> Result<()> {
        reading.counters.rows_quarantined += 1;
        let writer = match &mut self.quarantine {
            Some(writer) => writer,
            None => self.quarantine.insert(self.run.open_quarantine()),
        };
        let provenance = reading.provenance.as_ref();
        let chain = provenance.map_or(&reading.chain_value, |provenance| &provenance.chain);
        let row = QuarantinedRow {
            origin: Arc::clone(request),
            chain: Arc::clone(chain),
            page: provenance.map_or(reading.pages, |provenance| provenance.page),
            row: failed.number,
            reasons: failed.reasons,
            raw: self.run.scrubber.hide(&failed.raw).into_owned(),
            seq: reading.read_by().unwrap_or(self.run.context.seq),
            line: failed.line,
        };
        writer.add(row, reading.origin).await
    }

    /// Takes note of a page; true when it was the chain's last.
    async fn page_end(&mut self, reading: &mut Reading, end: PageEnd) -> Result<bool> {
        reading.pages += 1;
        reading.rows_in_page = 0;
        reading.counters.pages += 1;
        reading.counters.fields_dropped += end.fields_dropped;
        let mut position = end.position;
        if reading.is_cut_off && position.end.is_none_or(ChainEnd::is_natural) {
            position.end = Some(ChainEnd::RowLimit);
        }
        let is_last = position.end.is_some();
        let progress = Advance {
            pages: 1,
            ..Advance::default()
        };
        self.run.advance(progress, end.total);
        self.pending.requests += end.requests;
        self.pending.bytes_read += end.bytes;
        self.pending.pages += 1;
        merge_observed(&mut self.pending.observed, &end.observed);
        for warning in end.warnings {
            self.note(warning);
        }
        let counted = reading.take_counters();
        self.pending.add_counters(&counted);
        if let Some(cursor) = &reading.cursor {
            let state = cursor.state(&position.chain, reading.origin.generation);
            self.pending.cursors.insert(position.chain.index, state);
        }
        self.pending
            .positions
            .insert(position.chain.index, position);
        fault::point("page.between");
        if self.is_barrier_due() {
            self.barrier().await?;
        }
        Ok(is_last)
    }

    fn is_barrier_due(&mut self) -> bool {
        let limits = &self.run.context.plan.limits;
        let now = self.run.context.clock.monotonic();
        let since = *self.pending.since.get_or_insert(now);
        let waited =
            now.saturating_sub(since) >= Duration::from_millis(limits.checkpoint_interval_ms);
        let enough_pages = limits
            .checkpoint_pages
            .is_some_and(|pages| self.pending.pages >= pages);
        let enough_chains = self.pending.positions.len() >= CHAINS_PER_BARRIER / self.run.lanes;
        waited || enough_pages || enough_chains || self.outputs.last().is_some_and(Outputs::is_full)
    }

    async fn current_outputs(&mut self, version: &SchemaVersion) -> Result<&mut Outputs> {
        // A version may differ in what is known of the values alone: its rows go into the same files.
        let is_current = self.outputs.last().is_some_and(|outputs| {
            let own = self.run.schema.version(outputs.schema_version);
            own.is_some_and(|own| own.has_same_columns(version))
        });
        if !is_current {
            self.outputs.push(self.run.open_outputs(version).await?);
        }
        self.outputs
            .last_mut()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a lane has no outputs"))
    }

    /// Another lane may have widened the schema since these rows were decoded.
    fn widened(&self, rows: Rows, version: &SchemaVersion) -> Result<Rows> {
        if rows.schema_version == version.version {
            return Ok(rows);
        }
        let from = self
            .run
            .schema
            .version(rows.schema_version)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Internal,
                    format!(
                        "rows came with version {} of the schema, which nobody knows",
                        rows.schema_version
                    ),
                )
            })?;
        let batch = widen_batch(
            &rows.batch,
            &from.decoded_fields(),
            &version.decoded_fields(),
        )?;
        Ok(Rows {
            batch,
            schema_version: version.version,
            ..rows
        })
    }

    fn collect_values(&mut self, batch: &RecordBatch) -> Result<()> {
        for key in &self.run.value_columns {
            let Some(values) = chain_values(batch, key)? else {
                continue;
            };
            let values = self.run.new_values(key, values.iter().flatten());
            self.pending
                .values
                .entry(key.clone())
                .or_default()
                .extend(values);
        }
        Ok(())
    }

    /// Rows that say nothing of how far the source was read, with the kind that their text should have.
    fn refuse_cursors(
        &self,
        rows: Vec<(usize, Option<&'static str>)>,
        failures: &mut BTreeMap<usize, Vec<Reason>>,
    ) {
        let incremental = self.run.plan.incremental.as_ref();
        let column = incremental.and_then(|plan| plan.cursor_field.as_deref());
        let column = column.unwrap_or_default();
        for (row, kind) in rows {
            let reasons = failures.entry(row).or_default();
            let is_told = |known: &Reason| known.column.as_deref() == Some(column);
            if reasons.iter().any(is_told) {
                continue;
            }
            reasons.push(match kind {
                None => reason(
                    "cursor_missing",
                    column,
                    format!("`{column}` is the cursor and must not be null"),
                ),
                Some(kind) => reason(
                    "cursor_unreadable",
                    column,
                    format!("`{column}` is the cursor, and its value is no {kind}"),
                ),
            });
        }
    }

    fn warn_of_cursor(&mut self, is_behind: bool, has_future: bool) {
        if is_behind {
            let message = format!(
                "more than {BOUNDARY_LIMIT} rows share the newest cursor value: the cursor stays one value behind, and the next run reads \
                 them again; merge by a primary key loads them once"
            );
            self.warn("cursor_behind", message);
        }
        if has_future {
            let message = "some rows have a cursor value in the future; they are loaded and don't move the cursor";
            self.warn("cursor_in_future", message.to_owned());
        }
    }

    fn warn(&mut self, code: &str, message: String) {
        let warning = Warning {
            code: code.to_owned(),
            stream: Some(self.run.plan.name.clone()),
            message,
        };
        self.note(warning);
    }

    fn note(&mut self, warning: Warning) {
        if self.run.is_new_warning(&warning) {
            self.pending.warnings.push(warning);
        }
    }

    async fn stop_if_cancelled(&mut self, reading: &Reading) -> Result<()> {
        let stopped = self.run.check_cancelled();
        if stopped.is_err() {
            self.keep_sealed_pages(reading).await;
        }
        stopped
    }

    /// On the way out: pages that were read whole need not be read again.
    async fn keep_sealed_pages(&mut self, reading: &Reading) {
        if reading.rows_in_page == 0 {
            // The run ends with the error that brought us here; a barrier that fails costs these pages, no more.
            let _ = self.barrier().await;
        }
    }

    fn at(&self, error: Error, reading: &Reading) -> Error {
        let error = if error.context().iter().any(|(name, _)| *name == "stream") {
            error
        } else {
            error.with_context("stream", &self.run.plan.name)
        };
        if reading.chain_value.is_empty() {
            error
        } else {
            error.with_context("chain", &reading.chain_value)
        }
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    fn add_counters(&mut self, counters: &ChainCounters) {
        let sum = self
            .counters
            .entry((counters.chain, counters.generation))
            .or_insert_with(|| ChainCounters {
                chain: counters.chain,
                generation: counters.generation,
                ..ChainCounters::default()
            });
        sum.pages += counters.pages;
        sum.rows_read += counters.rows_read;
        sum.rows_passed += counters.rows_passed;
        sum.rows_quarantined += counters.rows_quarantined;
        sum.rows_outside += counters.rows_outside;
        sum.rows_repeated += counters.rows_repeated;
        sum.required_cells += counters.required_cells;
        sum.required_present += counters.required_present;
        sum.fields_dropped += counters.fields_dropped;
    }
}

/// Lines of these rows in their file, for those that failed. A file that was begun within is read up to there once more.
async fn lines_of(rows: &RawRows, none_failed: bool) -> Option<Arc<RowLines>> {
    let lines = rows.lines().filter(|_| !none_failed).map(Arc::clone)?;
    let counted = tokio::task::spawn_blocking(move || {
        lines.count();
        lines
    });
    counted.await.ok()
}

/// The first `rows` of the rows, good ones first: which ones a limit keeps is nobody's promise.
fn truncated(rows: Rows, taken: usize) -> Rows {
    let good = rows.batch.num_rows().min(taken);
    let mut invalid = rows.invalid;
    invalid.truncate(taken - good);
    let raw = RawRows::clone(&rows.raw);
    Rows {
        batch: rows.batch.slice(0, good),
        raw,
        invalid,
        ..rows
    }
}

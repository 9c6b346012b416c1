//! A lane: one chain after the other is read, checked and written, with a barrier now and then.
//!
//! Each lane has writers and barriers of its own, so that lanes never wait for each other. Rows of a chain that starts over
//! stay where they are: they are of an earlier generation, and `prepare` leaves them out.

mod pending;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use runner_connectors::schema::SchemaVersion;
use runner_connectors::source::{ChainRequest, Fetched, PageEnd};
use runner_core::checkpoint::{Checkpoint, Counters, Warning};
use runner_core::fault;
use runner_core::{ChainEnd, Error, ErrorKind, Position, Result};

use crate::cursor::CursorTracker;
use crate::outputs::Outputs;
use crate::quarantine::QuarantineWriter;
use crate::reading::Reading;
use crate::stream::{Advance, StreamRun};

use pending::Pending;

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

/// Chains that all lanes together may have read since their last barriers: what is kept of each takes memory.
const CHAINS_PER_BARRIER: usize = 32_768;

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
        self.pending.observed.merge(&end.observed);
        for warning in end.warnings {
            // A decoder doesn't know whose rows it decodes.
            let stream = warning.stream.or_else(|| Some(self.run.plan.name.clone()));
            self.note(Warning { stream, ..warning });
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

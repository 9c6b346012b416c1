//! Checkpoints in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runner_core::checkpoint::{ChainOutcome, SchemaRecord, StreamSummary, Totals, Warning};
use runner_core::{ChainKey, Checkpoint, Checkpoints, Claim, JobState, Part, Result, ResumeState};

use super::chains::place;
use super::{MemoryStore, Record, Stream, conflict, internal, page};

const WARNINGS_PER_STREAM: usize = 1_000;

#[async_trait]
impl Checkpoints for MemoryStore {
    async fn checkpoint(&self, claim: &Claim, checkpoint: &Checkpoint) -> Result<()> {
        let now = self.now();
        let mut state = self.lock();
        let record = state.lease(claim, now)?;
        require_reading(record)?;
        let stream = record.streams.entry(checkpoint.stream.clone()).or_default();
        let last = if stream.attempt == claim.attempt.0 {
            stream.barrier
        } else {
            0
        };
        if checkpoint.barrier == last && last > 0 {
            return Ok(());
        }
        if checkpoint.barrier != last + 1 {
            return Err(internal("a barrier is missing"));
        }
        // Everything that can be refused comes first: a barrier is stored whole or not at all.
        let chains = stream.chains.after(checkpoint)?;
        let differs = checkpoint.schemas.iter().any(|record| {
            let known = stream.schemas.get(&record.version);
            known.is_some_and(|known| known.columns != record.columns)
        });
        let is_taken = |part: &Part| record.parts.iter().any(|known| known.name == part.name);
        if differs || checkpoint.parts.iter().any(is_taken) {
            return Err(internal("a schema or part is stored otherwise"));
        }
        stream.chains = chains;
        stream.attempt = claim.attempt.0;
        stream.barrier = checkpoint.barrier;
        stream.requests += checkpoint.counters.requests;
        stream.bytes_read += checkpoint.counters.bytes_read;
        stream.observed.merge(&checkpoint.observed);
        for schema in &checkpoint.schemas {
            stream.schemas.insert(schema.version, schema.clone());
        }
        for warning in &checkpoint.warnings {
            stream.warn(&checkpoint.stream, warning);
        }
        record.parts.extend(checkpoint.parts.iter().cloned());
        Ok(())
    }

    async fn resume_state(&self, claim: &Claim, stream: &str) -> Result<ResumeState> {
        let mut state = self.lock();
        let Some(found) = state.attempt(claim)?.streams.get(stream) else {
            return Ok(ResumeState::default());
        };
        Ok(ResumeState {
            positions: found.chains.positions(),
            schema: found.schemas.values().next_back().cloned(),
            cursors: found.chains.open_cursors(),
            totals: found.totals(),
            observed: found.observed.clone(),
            warnings: found.warnings.clone(),
        })
    }

    async fn start_over(
        &self,
        claim: &Claim,
        stream: &str,
        schema: &SchemaRecord,
        why: &Warning,
    ) -> Result<()> {
        let now = self.now();
        let mut state = self.lock();
        let record = state.lease(claim, now)?;
        require_reading(record)?;
        record.parts.retain(|part| part.input != stream);
        record.values.retain(|(known, _), _| known != stream);
        let known = record.streams.remove(stream).unwrap_or_default();
        let mut fresh = Stream {
            requests: known.requests,
            bytes_read: known.bytes_read,
            warnings: known.warnings,
            schemas: [(schema.version, schema.clone())].into(),
            ..Stream::default()
        };
        fresh.warn(stream, why);
        record.streams.insert(stream.to_owned(), fresh);
        Ok(())
    }

    async fn parts(&self, claim: &Claim) -> Result<Vec<Part>> {
        Ok(self.lock().attempt(claim)?.parts.clone())
    }

    async fn schemas(&self, claim: &Claim, stream: &str) -> Result<Vec<SchemaRecord>> {
        self.of_stream(claim, stream, |found| {
            found.schemas.values().cloned().collect()
        })
    }

    async fn chain_outcomes(
        &self,
        claim: &Claim,
        stream: &str,
        after: Option<&ChainKey>,
        limit: u32,
    ) -> Result<Vec<ChainOutcome>> {
        self.of_stream(claim, stream, |found| {
            let outcomes = found.chains.outcomes().into_iter();
            let rest = outcomes
                .filter(|outcome| after.is_none_or(|after| place(&outcome.chain) > place(after)));
            page(rest, limit)
        })
    }

    async fn generations(&self, claim: &Claim, stream: &str) -> Result<BTreeMap<u64, u32>> {
        self.of_stream(claim, stream, |found| found.chains.generations())
    }

    async fn seal_values(
        &self,
        claim: &Claim,
        stream: &str,
        field: &str,
        values: &[String],
        complete: bool,
    ) -> Result<()> {
        let now = self.now();
        let mut state = self.lock();
        let record = state.lease(claim, now)?;
        require_reading(record)?;
        let list = record
            .values
            .entry((stream.to_owned(), field.to_owned()))
            .or_default();
        let known: std::collections::BTreeSet<String> = list.0.iter().cloned().collect();
        let mut seen = known.clone();
        let new: Vec<String> = values
            .iter()
            .filter(|value| seen.insert((*value).clone()))
            .cloned()
            .collect();
        if list.1 && !new.is_empty() {
            return Err(internal("the list is complete"));
        }
        list.0.extend(new);
        list.1 |= complete;
        Ok(())
    }

    async fn values(
        &self,
        claim: &Claim,
        stream: &str,
        field: &str,
        from: u64,
        limit: u32,
    ) -> Result<(Vec<String>, bool)> {
        let mut state = self.lock();
        let key = (stream.to_owned(), field.to_owned());
        let record = state.attempt(claim)?;
        let (values, complete) = record.values.get(&key).cloned().unwrap_or_default();
        let rest = values.into_iter().skip(usize::try_from(from).unwrap());
        Ok((page(rest, limit), complete))
    }

    async fn ended_chains(
        &self,
        claim: &Claim,
        stream: &str,
        from: u64,
        to: u64,
    ) -> Result<Vec<u64>> {
        self.of_stream(claim, stream, |found| found.chains.ended(from, to))
    }
}

impl MemoryStore {
    fn of_stream<T: Default>(
        &self,
        claim: &Claim,
        stream: &str,
        read: impl FnOnce(&Stream) -> T,
    ) -> Result<T> {
        let mut state = self.lock();
        let found = state.attempt(claim)?.streams.get(stream);
        Ok(found.map(read).unwrap_or_default())
    }
}

impl Stream {
    pub(super) fn summary(&self, name: &str) -> StreamSummary {
        StreamSummary {
            stream: name.to_owned(),
            totals: self.totals(),
            observed: self.observed.clone(),
            warnings: self.warnings.clone(),
        }
    }

    fn totals(&self) -> Totals {
        Totals {
            requests: self.requests,
            bytes_read: self.bytes_read,
            ..self.chains.totals()
        }
    }

    fn warn(&mut self, stream: &str, warning: &Warning) {
        if self.warnings.contains(warning) || self.warnings.len() > WARNINGS_PER_STREAM {
            return;
        }
        if self.warnings.len() == WARNINGS_PER_STREAM {
            self.warnings.push(Warning {
                code: "more_warnings".to_owned(),
                stream: Some(stream.to_owned()),
                message: "further warnings are left out".to_owned(),
            });
        } else {
            self.warnings.push(warning.clone());
        }
    }
}

fn require_reading(record: &Record) -> Result<()> {
    match record.job.state {
        JobState::Preparing | JobState::Running => Ok(()),
        _ => Err(conflict("the job does not read any more")),
    }
}

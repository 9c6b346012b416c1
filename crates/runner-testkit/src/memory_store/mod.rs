//! The job store in memory, for tests of what stands on it: it passes the same contract as the real ones.

mod chains;
mod checkpoints;
mod feeds;
mod jobs;
mod quarantine;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use runner_core::audit::{AuditEntry, AuditLog};
use runner_core::checkpoint::{Observed, SchemaRecord, Warning};
use runner_core::feed::DriftRecord;
use runner_core::ids::{FeedId, Operator, TenantId, WorkerId};
use runner_core::job::JobEvent;
use runner_core::quarantine::{Hold, QuarantineFile, RowRange};
use runner_core::{
    Claim, Clock, CursorState, Error, ErrorKind, FeedState, Job, JobId, Part, Result,
};
use serde_json::Value;

use self::chains::Chains;
use crate::clock::ManualClock;

/// Everything that a job store is, without a file.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    clock: ManualClock,
}

#[derive(Debug, Default)]
struct State {
    feeds: BTreeMap<FeedId, Feed>,
    /// In the order of their creation.
    jobs: Vec<Record>,
    quarantine: Vec<QuarantineFile>,
    replays: Vec<Replay>,
    holds: Vec<Hold>,
    audit: Vec<(TenantId, AuditEntry)>,
}

#[derive(Debug, Default)]
struct Feed {
    last_seq: u64,
    state: FeedState,
    cursors: BTreeMap<(String, String), CursorState>,
    drift: Vec<DriftRecord>,
}

#[derive(Debug)]
struct Record {
    job: Job,
    part_format: u32,
    key: Option<String>,
    worker: Option<WorkerId>,
    events: Vec<JobEvent>,
    streams: BTreeMap<String, Stream>,
    parts: Vec<Part>,
    values: BTreeMap<(String, String), (Vec<String>, bool)>,
}

#[derive(Debug, Default)]
struct Stream {
    attempt: u32,
    barrier: u64,
    requests: u64,
    bytes_read: u64,
    observed: Observed,
    warnings: Vec<Warning>,
    schemas: BTreeMap<u32, SchemaRecord>,
    chains: Chains,
}

#[derive(Debug)]
struct Replay {
    by: JobId,
    rows: RowRange,
    is_done: bool,
}

impl MemoryStore {
    pub fn new(clock: ManualClock) -> Self {
        Self {
            state: Arc::default(),
            clock,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}

impl State {
    fn record(&mut self, id: &JobId) -> Result<&mut Record> {
        self.jobs
            .iter_mut()
            .find(|record| record.job.id == *id)
            .ok_or_else(|| not_found(id))
    }

    fn of_tenant(&mut self, tenant: &TenantId, id: &JobId) -> Result<&mut Record> {
        let record = self.record(id)?;
        if record.job.feed.tenant == *tenant {
            Ok(record)
        } else {
            Err(not_found(id))
        }
    }

    /// The claim's job, if no later attempt has it.
    fn attempt(&mut self, claim: &Claim) -> Result<&mut Record> {
        let record = self.of_tenant(&claim.tenant, &claim.job)?;
        let is_current =
            record.job.attempt == claim.attempt && record.worker.as_ref() == Some(&claim.worker);
        if is_current {
            Ok(record)
        } else {
            Err(conflict("a later attempt has the job"))
        }
    }

    /// The claim's job, if its lease has not run out either.
    fn lease(&mut self, claim: &Claim, now: DateTime<Utc>) -> Result<&mut Record> {
        let record = self.attempt(claim)?;
        if is_held(&record.job, now) {
            Ok(record)
        } else {
            Err(conflict("the lease has run out"))
        }
    }

    fn note(
        &mut self,
        tenant: &TenantId,
        by: &Operator,
        action: &str,
        subject: &str,
        details: Value,
        at: DateTime<Utc>,
    ) {
        let entry = AuditEntry {
            at,
            by: by.clone(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            details,
        };
        self.audit.push((tenant.clone(), entry));
    }
}

fn is_held(job: &Job, now: DateTime<Utc>) -> bool {
    job.lease_expires_at.is_some_and(|expires| expires > now)
}

fn not_found(id: &JobId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no job `{id}`"))
}

fn conflict(message: &str) -> Error {
    Error::new(ErrorKind::Conflict, message)
}

fn internal(message: &str) -> Error {
    Error::new(ErrorKind::Internal, message)
}

fn page<T>(items: impl Iterator<Item = T>, limit: u32) -> Vec<T> {
    items.take(usize::try_from(limit).unwrap()).collect()
}

/// Numbers from one, after this one.
fn numbered<T: Clone>(items: &[T], after: u64, limit: u32) -> Vec<(u64, T)> {
    let numbered = (1_u64..).zip(items.iter().cloned());
    page(numbered.filter(|(number, _)| *number > after), limit)
}

#[async_trait::async_trait]
impl AuditLog for MemoryStore {
    async fn audit(
        &self,
        tenant: &TenantId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, AuditEntry)>> {
        let state = self.lock();
        let entries: Vec<_> = state
            .audit
            .iter()
            .filter(|(of, _)| of == tenant)
            .map(|(_, entry)| entry.clone())
            .collect();
        Ok(numbered(&entries, after, limit))
    }
}

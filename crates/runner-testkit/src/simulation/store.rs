//! A store as a process sees that dies, stands still, or repeats what it did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_core::checkpoint::{ChainOutcome, Observed, SchemaRecord, StreamSummary, Warning};
use runner_core::feed::DriftRecord;
use runner_core::ids::{FeedId, Operator, TenantId, WorkerId};
use runner_core::job::{Beat, JobEvent, JobFilter};
use runner_core::{
    ChainKey, Checkpoint, Checkpoints, Claim, Created, CursorState, Error, ErrorKind, FeedState,
    FeedStore, Job, JobId, JobState, JobStore, NewJob, Part, Result, ResumeState, Seq, Transition,
};

use super::chaos::Chaos;
use crate::store_contract::Store;

/// Every change is a step of its process, before and after; reads are not.
#[derive(Clone)]
pub struct ChaoticStore {
    store: Arc<dyn Store>,
    chaos: Chaos,
}

impl std::fmt::Debug for ChaoticStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChaoticStore").finish_non_exhaustive()
    }
}

impl ChaoticStore {
    pub fn new(store: Arc<dyn Store>, chaos: Chaos) -> Self {
        Self { store, chaos }
    }
}

/// A change is a step before and after, and happens twice in a process that repeats.
macro_rules! change {
    ($self:ident, $call:expr) => {{
        $self.chaos.step().await;
        let first: Result<()> = $call.await;
        let outcome = if $self.chaos.repeats() && first.is_ok() {
            $call.await
        } else {
            first
        };
        $self.chaos.step().await;
        outcome
    }};
}

#[async_trait]
impl JobStore for ChaoticStore {
    async fn create(&self, job: NewJob, idempotency_key: Option<&str>) -> Result<Created> {
        self.store.create(job, idempotency_key).await
    }

    async fn get(&self, tenant: &TenantId, id: &JobId) -> Result<Option<Job>> {
        self.store.get(tenant, id).await
    }

    async fn list(&self, tenant: &TenantId, filter: &JobFilter) -> Result<Vec<Job>> {
        self.store.list(tenant, filter).await
    }

    async fn unfinished(&self, feed: &FeedId) -> Result<Option<Job>> {
        self.store.unfinished(feed).await
    }

    async fn claim(&self, worker: &WorkerId, lease: Duration) -> Result<Option<Claim>> {
        self.store.claim(worker, lease).await
    }

    async fn claim_job(
        &self,
        tenant: &TenantId,
        id: &JobId,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<Option<Claim>> {
        self.store.claim_job(tenant, id, worker, lease).await
    }

    async fn heartbeat(&self, claim: &Claim, lease: Duration) -> Result<Beat> {
        // A process that stands still doesn't beat either.
        self.chaos.awake().await;
        self.store.heartbeat(claim, lease).await
    }

    async fn record(&self, claim: &Claim, change: Transition) -> Result<()> {
        change!(self, self.store.record(claim, change.clone()))
    }

    async fn request_cancel(
        &self,
        tenant: &TenantId,
        id: &JobId,
        by: &Operator,
    ) -> Result<JobState> {
        self.store.request_cancel(tenant, id, by).await
    }

    async fn reopen(&self, tenant: &TenantId, id: &JobId, by: &Operator) -> Result<()> {
        self.store.reopen(tenant, id, by).await
    }

    async fn abandon(
        &self,
        tenant: &TenantId,
        id: &JobId,
        load: &str,
        reason: &str,
        by: &Operator,
    ) -> Result<()> {
        self.store.abandon(tenant, id, load, reason, by).await
    }

    async fn event(&self, claim: &Claim, name: &str, details: serde_json::Value) -> Result<()> {
        change!(self, self.store.event(claim, name, details.clone()))
    }

    async fn events(
        &self,
        tenant: &TenantId,
        id: &JobId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, JobEvent)>> {
        self.store.events(tenant, id, after, limit).await
    }

    async fn summary(&self, tenant: &TenantId, id: &JobId) -> Result<Vec<StreamSummary>> {
        self.store.summary(tenant, id).await
    }

    async fn oldest_unfinished(&self, feed: &FeedId) -> Result<Option<DateTime<Utc>>> {
        self.store.oldest_unfinished(feed).await
    }

    async fn purge(&self, ended_before: DateTime<Utc>, dry_run: bool) -> Result<Vec<JobId>> {
        self.store.purge(ended_before, dry_run).await
    }

    async fn expire_kept(&self, ended_before: DateTime<Utc>, dry_run: bool) -> Result<Vec<JobId>> {
        self.store.expire_kept(ended_before, dry_run).await
    }

    async fn undiscarded(&self, limit: u32) -> Result<Vec<(Job, Vec<Part>)>> {
        self.store.undiscarded(limit).await
    }

    async fn part_names(&self, feed: &FeedId) -> Result<BTreeSet<String>> {
        self.store.part_names(feed).await
    }

    async fn discarded(&self, id: &JobId) -> Result<()> {
        change!(self, self.store.discarded(id))
    }

    async fn probe(&self) -> Result<()> {
        JobStore::probe(self.store.as_ref()).await
    }
}

#[async_trait]
impl Checkpoints for ChaoticStore {
    async fn checkpoint(&self, claim: &Claim, checkpoint: &Checkpoint) -> Result<()> {
        if self.chaos.loses_checkpoint(&checkpoint.stream) {
            return Err(Error::new(ErrorKind::Internal, "the process died"));
        }
        change!(self, self.store.checkpoint(claim, checkpoint))
    }

    async fn start_over(
        &self,
        claim: &Claim,
        stream: &str,
        schema: &SchemaRecord,
        why: &Warning,
    ) -> Result<()> {
        change!(self, self.store.start_over(claim, stream, schema, why))
    }

    async fn resume_state(&self, claim: &Claim, stream: &str) -> Result<ResumeState> {
        self.store.resume_state(claim, stream).await
    }

    async fn parts(&self, claim: &Claim) -> Result<Vec<Part>> {
        self.store.parts(claim).await
    }

    async fn schemas(&self, claim: &Claim, stream: &str) -> Result<Vec<SchemaRecord>> {
        self.store.schemas(claim, stream).await
    }

    async fn chain_outcomes(
        &self,
        claim: &Claim,
        stream: &str,
        after: Option<&ChainKey>,
        limit: u32,
    ) -> Result<Vec<ChainOutcome>> {
        self.store.chain_outcomes(claim, stream, after, limit).await
    }

    async fn generations(&self, claim: &Claim, stream: &str) -> Result<BTreeMap<u64, u32>> {
        self.store.generations(claim, stream).await
    }

    async fn seal_values(
        &self,
        claim: &Claim,
        stream: &str,
        field: &str,
        values: &[String],
        complete: bool,
    ) -> Result<()> {
        change!(
            self,
            self.store
                .seal_values(claim, stream, field, values, complete)
        )
    }

    async fn values(
        &self,
        claim: &Claim,
        stream: &str,
        field: &str,
        from: u64,
        limit: u32,
    ) -> Result<(Vec<String>, bool)> {
        self.store.values(claim, stream, field, from, limit).await
    }

    async fn ended_chains(
        &self,
        claim: &Claim,
        stream: &str,
        from: u64,
        to: u64,
    ) -> Result<Vec<u64>> {
        self.store.ended_chains(claim, stream, from, to).await
    }
}

#[async_trait]
impl FeedStore for ChaoticStore {
    async fn state(&self, feed: &FeedId) -> Result<FeedState> {
        self.store.state(feed).await
    }

    async fn cursor(
        &self,
        feed: &FeedId,
        stream: &str,
        value: &str,
    ) -> Result<Option<CursorState>> {
        self.store.cursor(feed, stream, value).await
    }

    async fn cursors(
        &self,
        feed: &FeedId,
        stream: Option<&str>,
        after: Option<(&str, &str)>,
        limit: u32,
    ) -> Result<Vec<CursorState>> {
        self.store.cursors(feed, stream, after, limit).await
    }

    async fn advance(
        &self,
        claim: &Claim,
        state: Option<&FeedState>,
        cursors: &[CursorState],
    ) -> Result<()> {
        change!(self, self.store.advance(claim, state, cursors))
    }

    async fn set_cursor(&self, feed: &FeedId, cursor: &CursorState, by: &Operator) -> Result<()> {
        self.store.set_cursor(feed, cursor, by).await
    }

    async fn reset(&self, feed: &FeedId, stream: Option<&str>, by: &Operator) -> Result<u64> {
        self.store.reset(feed, stream, by).await
    }

    async fn raise_seq(&self, feed: &FeedId, at_least: Seq, by: &Operator) -> Result<Seq> {
        self.store.raise_seq(feed, at_least, by).await
    }

    async fn record_drift(&self, claim: &Claim, record: &DriftRecord) -> Result<()> {
        change!(self, self.store.record_drift(claim, record))
    }

    async fn drift(&self, feed: &FeedId, limit: u32) -> Result<Vec<DriftRecord>> {
        self.store.drift(feed, limit).await
    }

    async fn accept_schema(
        &self,
        feed: &FeedId,
        stream: &str,
        accepted: &Observed,
        by: &Operator,
    ) -> Result<()> {
        self.store.accept_schema(feed, stream, accepted, by).await
    }

    async fn feeds(&self, tenant: &TenantId) -> Result<Vec<(FeedId, Seq)>> {
        self.store.feeds(tenant).await
    }
}

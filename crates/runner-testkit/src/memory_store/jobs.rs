//! Jobs in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_core::checkpoint::StreamSummary;
use runner_core::ids::{FeedId, Operator, TenantId, WorkerId};
use runner_core::job::{Beat, Intervention, JobEvent, JobFilter, PartsState};
use runner_core::part::{Output, PART_FORMAT};
use runner_core::quarantine::{Hold, QuarantineFile, QuarantineMark, SealedInput};
use runner_core::{
    Attempt, Claim, Created, Error, ErrorKind, Job, JobId, JobState, JobStore, NewJob, Part,
    Result, Seq, Transition,
};
use serde_json::{Value, json};

use super::{MemoryStore, Record, State, conflict, is_held, numbered, page};

#[async_trait]
impl JobStore for MemoryStore {
    async fn create(&self, job: NewJob, idempotency_key: Option<&str>) -> Result<Created> {
        let mut state = self.lock();
        if let Some(existing) = by_key(&state, &job, idempotency_key)? {
            return Ok(Created::Existing(existing));
        }
        if let Some(busy) = unfinished(&state, &job.feed) {
            return Err(conflict(&format!("the feed has job `{}`", busy.id)));
        }
        for record in &mut state.jobs {
            if record.job.feed == job.feed && record.job.parts == PartsState::Kept {
                record.job.parts = PartsState::Leftover;
            }
        }
        let feed = state.feeds.entry(job.feed.clone()).or_default();
        feed.last_seq += 1;
        let seq = Seq(feed.last_seq);
        let id = job.id.clone();
        let record = record(job, seq, idempotency_key, self.now());
        state.jobs.push(record);
        Ok(Created::New(id))
    }

    async fn get(&self, tenant: &TenantId, id: &JobId) -> Result<Option<Job>> {
        let mut state = self.lock();
        let Ok(record) = state.of_tenant(tenant, id) else {
            return Ok(None);
        };
        if record.part_format > PART_FORMAT {
            return Err(Error::new(ErrorKind::Config, "a newer program's job"));
        }
        Ok(Some(record.job.clone()))
    }

    async fn list(&self, tenant: &TenantId, filter: &JobFilter) -> Result<Vec<Job>> {
        let state = self.lock();
        let older = state
            .jobs
            .iter()
            .rev()
            .map(|record| &record.job)
            .skip_while(|job| {
                filter
                    .before
                    .as_ref()
                    .is_some_and(|before| job.id != *before)
            })
            .skip(usize::from(filter.before.is_some()));
        let found = older
            .filter(|job| job.feed.tenant == *tenant)
            .filter(|job| {
                filter
                    .feed
                    .as_ref()
                    .is_none_or(|feed| job.feed.name == *feed)
            })
            .filter(|job| filter.states.is_empty() || filter.states.contains(&job.state));
        Ok(page(found.cloned(), filter.limit.max(1)))
    }

    async fn unfinished(&self, feed: &FeedId) -> Result<Option<Job>> {
        Ok(unfinished(&self.lock(), feed).cloned())
    }

    async fn claim(&self, worker: &WorkerId, lease: Duration) -> Result<Option<Claim>> {
        let now = self.now();
        let is_due = |job: &Job| {
            let retry_at = job.blocked_on.as_ref().and_then(|blocked| blocked.retry_at);
            retry_at.is_none_or(|at| at <= now)
        };
        Ok(claim_first(&mut self.lock(), worker, lease, now, is_due))
    }

    async fn claim_job(
        &self,
        tenant: &TenantId,
        id: &JobId,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<Option<Claim>> {
        let is_meant = |job: &Job| job.id == *id && job.feed.tenant == *tenant;
        Ok(claim_first(
            &mut self.lock(),
            worker,
            lease,
            self.now(),
            is_meant,
        ))
    }

    async fn heartbeat(&self, claim: &Claim, lease: Duration) -> Result<Beat> {
        let mut state = self.lock();
        let Ok(record) = state.attempt(claim) else {
            return Ok(Beat::Lost);
        };
        if record.job.state.is_terminal() {
            return Ok(Beat::Lost);
        }
        let now = self.now();
        let worked = record.job.beat_at.map_or(0, |beat| {
            (now - beat).num_microseconds().unwrap_or(i64::MAX).max(0)
        });
        record.job.worked_us += worked.unsigned_abs();
        record.job.beat_at = Some(now);
        record.job.lease_expires_at = Some(now + lease);
        Ok(if record.job.cancel_requested {
            Beat::CancelRequested
        } else {
            Beat::Continue
        })
    }

    async fn record(&self, claim: &Claim, change: Transition) -> Result<()> {
        let now = self.now();
        let mut state = self.lock();
        let record = state.attempt(claim)?;
        if !record.job.state.is_terminal() && !is_held(&record.job, now) {
            return Err(conflict("the lease has run out"));
        }
        let before = record.job.clone();
        let name = change.name();
        let mut changed = before.clone();
        change.apply(&mut changed, now)?;
        if changed == before {
            return Ok(());
        }
        record.job = changed;
        record.add_event(name, json!({}), now);
        after_change(&mut state, &claim.job, &before, now)
    }

    async fn request_cancel(
        &self,
        tenant: &TenantId,
        id: &JobId,
        by: &Operator,
    ) -> Result<JobState> {
        self.intervene(tenant, id, by, |job, now| Intervention::Cancel {
            is_held: is_held(job, now),
        })
    }

    async fn reopen(&self, tenant: &TenantId, id: &JobId, by: &Operator) -> Result<()> {
        self.intervene(tenant, id, by, |_, _| Intervention::Reopen)
            .map(drop)
    }

    async fn abandon(
        &self,
        tenant: &TenantId,
        id: &JobId,
        load: &str,
        reason: &str,
        by: &Operator,
    ) -> Result<()> {
        self.intervene(tenant, id, by, |_, _| Intervention::Abandon {
            load: load.to_owned(),
            reason: reason.to_owned(),
        })
        .map(drop)
    }

    async fn event(&self, claim: &Claim, name: &str, details: Value) -> Result<()> {
        let now = self.now();
        self.lock().attempt(claim)?.add_event(name, details, now);
        Ok(())
    }

    async fn events(
        &self,
        tenant: &TenantId,
        id: &JobId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, JobEvent)>> {
        let mut state = self.lock();
        let events = state
            .of_tenant(tenant, id)
            .map(|record| record.events.clone())
            .unwrap_or_default();
        Ok(numbered(&events, after, limit))
    }

    async fn summary(&self, tenant: &TenantId, id: &JobId) -> Result<Vec<StreamSummary>> {
        let mut state = self.lock();
        let record = state.of_tenant(tenant, id)?;
        Ok(record
            .streams
            .iter()
            .map(|(name, stream)| stream.summary(name))
            .collect())
    }

    async fn oldest_unfinished(&self, feed: &FeedId) -> Result<Option<DateTime<Utc>>> {
        Ok(unfinished(&self.lock(), feed).map(|job| job.created_at))
    }

    async fn purge(&self, ended_before: DateTime<Utc>, dry_run: bool) -> Result<Vec<JobId>> {
        let mut state = self.lock();
        let old: Vec<JobId> = state
            .jobs
            .iter()
            .map(|record| &record.job)
            .filter(|job| job.parts == PartsState::Discarded)
            .filter(|job| job.ended_at.is_some_and(|ended| ended < ended_before))
            .filter(|job| state.holds.iter().all(|hold| hold.job != job.id))
            .map(|job| job.id.clone())
            .collect();
        if !dry_run {
            state.jobs.retain(|record| !old.contains(&record.job.id));
        }
        Ok(old)
    }

    async fn expire_kept(&self, ended_before: DateTime<Utc>, dry_run: bool) -> Result<Vec<JobId>> {
        let mut expired = Vec::new();
        for record in &mut self.lock().jobs {
            let job = &mut record.job;
            let is_old = job.ended_at.is_some_and(|ended| ended < ended_before);
            if job.parts == PartsState::Kept && is_old {
                expired.push(job.id.clone());
                if !dry_run {
                    job.parts = PartsState::Leftover;
                }
            }
        }
        Ok(expired)
    }

    async fn undiscarded(&self, limit: u32) -> Result<Vec<(Job, Vec<Part>)>> {
        let state = self.lock();
        let leftover = state
            .jobs
            .iter()
            .filter(|record| record.job.parts == PartsState::Leftover)
            .map(|record| {
                let is_held = |load: &str| {
                    let mut holds = state.holds.iter();
                    holds.any(|hold| hold.job == record.job.id && hold.load == load)
                };
                let mut parts = record.parts.clone();
                parts.retain(|part| !matches!(&part.output, Output::Load(load) if is_held(load)));
                let mut job = record.job.clone();
                job.loads.retain(|load| !is_held(&load.load));
                (job, parts)
            });
        Ok(page(leftover, limit))
    }

    async fn part_names(&self, feed: &FeedId) -> Result<BTreeSet<String>> {
        let state = self.lock();
        let mut names = BTreeSet::new();
        for record in state.jobs.iter().filter(|record| record.job.feed == *feed) {
            if record.job.parts != PartsState::Discarded {
                names.extend(record.parts.iter().map(|part| part.name.clone()));
                let prepared = record
                    .job
                    .loads
                    .iter()
                    .filter_map(|load| load.prepared.as_ref());
                names.extend(prepared.flatten().map(|part| part.name.clone()));
            }
        }
        let held = state.holds.iter().filter(|hold| hold.feed == *feed);
        names.extend(held.flat_map(Hold::part_names).map(str::to_owned));
        Ok(names)
    }

    async fn discarded(&self, id: &JobId) -> Result<()> {
        let now = self.now();
        Transition::Discarded.apply(&mut self.lock().record(id)?.job, now)
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

impl MemoryStore {
    fn intervene(
        &self,
        tenant: &TenantId,
        id: &JobId,
        by: &Operator,
        intervention: impl FnOnce(&Job, DateTime<Utc>) -> Intervention,
    ) -> Result<JobState> {
        let now = self.now();
        let mut state = self.lock();
        let before = state.of_tenant(tenant, id)?.job.clone();
        let intervention = intervention(&before, now);
        let name = intervention.name();
        let is_overtaken = before.state.is_terminal()
            && state
                .jobs
                .iter()
                .any(|record| record.job.feed == before.feed && record.job.seq > before.seq);
        if intervention == Intervention::Reopen && is_overtaken {
            return Err(conflict("a later run of the feed has begun since"));
        }
        if matches!(intervention, Intervention::Abandon { .. }) && is_held(&before, now) {
            return Err(conflict("a worker holds the job"));
        }
        let mut changed = before.clone();
        intervention.clone().apply(&mut changed, now)?;
        if let Intervention::Abandon { load, reason } = &intervention {
            let hold = hold(state.record(id)?, &changed, load, reason, by, now);
            // What another job has on hold stays there.
            if changed.plan.held.is_none() {
                state.holds.push(hold);
            }
        }
        let record = state.record(id)?;
        record.job = changed;
        record.add_event(name, json!({}), now);
        let ended = record.job.state;
        after_change(&mut state, id, &before, now)?;
        state.note(tenant, by, name, id.as_str(), json!({}), now);
        Ok(ended)
    }
}

impl Record {
    fn add_event(&mut self, name: &str, details: Value, at: DateTime<Utc>) {
        self.events.push(JobEvent {
            at,
            attempt: self.job.attempt,
            name: name.to_owned(),
            details,
        });
    }
}

fn record(new: NewJob, seq: Seq, key: Option<&str>, now: DateTime<Utc>) -> Record {
    let job = Job {
        id: new.id,
        feed: new.feed,
        seq,
        attempt: Attempt(0),
        state: JobState::Queued,
        plan: new.plan,
        document: new.document,
        document_hash: new.document_hash,
        parameters_hash: new.parameters_hash,
        nominal_time: new.nominal_time,
        created_at: now,
        started_at: None,
        ended_at: None,
        submission: None,
        run: None,
        failure: None,
        blocked_by: None,
        blocked_on: None,
        cancel_requested: false,
        partial: false,
        lease_expires_at: None,
        worked_us: 0,
        beat_at: None,
        loads: Vec::new(),
        parts: PartsState::Live,
    };
    Record {
        job,
        part_format: new.part_format,
        key: key.map(str::to_owned),
        worker: None,
        events: Vec::new(),
        streams: BTreeMap::new(),
        parts: Vec::new(),
        values: BTreeMap::new(),
    }
}

fn by_key(state: &State, job: &NewJob, key: Option<&str>) -> Result<Option<JobId>> {
    let earlier = state.jobs.iter().find(|record| {
        key.is_some() && record.key.as_deref() == key && record.job.feed.tenant == job.feed.tenant
    });
    let Some(earlier) = earlier.map(|record| &record.job) else {
        return Ok(None);
    };
    let is_same = earlier.feed == job.feed
        && earlier.document_hash == job.document_hash
        && earlier.parameters_hash == job.parameters_hash;
    if is_same {
        Ok(Some(earlier.id.clone()))
    } else {
        Err(conflict("the idempotency key was used for another job"))
    }
}

fn unfinished<'a>(state: &'a State, feed: &FeedId) -> Option<&'a Job> {
    state
        .jobs
        .iter()
        .map(|record| &record.job)
        .find(|job| job.feed == *feed && !job.state.is_terminal())
}

fn claim_first(
    state: &mut State,
    worker: &WorkerId,
    lease: Duration,
    now: DateTime<Utc>,
    is_meant: impl Fn(&Job) -> bool,
) -> Option<Claim> {
    let record = state.jobs.iter_mut().find(|record| {
        let job = &record.job;
        !job.state.is_terminal() && !is_held(job, now) && is_meant(job)
    })?;
    record.job.attempt.0 += 1;
    record.job.lease_expires_at = Some(now + lease);
    record.job.beat_at = Some(now);
    record.worker = Some(worker.clone());
    record.add_event("claimed", json!({}), now);
    Some(Claim {
        job: record.job.id.clone(),
        tenant: record.job.feed.tenant.clone(),
        attempt: record.job.attempt,
        worker: worker.clone(),
    })
}

/// What goes with the end of a job, and with its going on.
fn after_change(state: &mut State, id: &JobId, before: &Job, now: DateTime<Utc>) -> Result<()> {
    let record = state.record(id)?;
    let job = record.job.clone();
    match (before.state.is_terminal(), job.state.is_terminal()) {
        (false, true) => {
            let files: Vec<QuarantineFile> = record
                .parts
                .iter()
                .filter_map(|part| quarantined(record, part, now))
                .filter(|file| file.rows() > 0)
                .collect();
            state.quarantine.extend(files);
            let is_loaded = QuarantineMark::of(&job) == QuarantineMark::Loaded;
            for replay in state.replays.iter_mut().filter(|replay| replay.by == *id) {
                replay.is_done |= is_loaded;
            }
            if let (true, Some(held)) = (is_loaded && !job.partial, &job.plan.held) {
                let id = JobId::new(&held.job);
                state
                    .holds
                    .retain(|hold| hold.job != id || hold.load != held.load);
                let holder = &mut state.record(&id)?.job;
                if holder.parts == PartsState::Leftover {
                    holder.parts = PartsState::Discarded;
                }
            }
        }
        (true, false) => state.quarantine.retain(|file| file.job != *id),
        _ => {}
    }
    Ok(())
}

fn quarantined(record: &Record, part: &Part, now: DateTime<Utc>) -> Option<QuarantineFile> {
    let Output::Quarantine(stream) = &part.output else {
        return None;
    };
    let generations = record
        .streams
        .get(stream)
        .map(|stream| stream.chains.generations())
        .unwrap_or_default();
    Some(QuarantineFile {
        feed: record.job.feed.clone(),
        job: record.job.id.clone(),
        seq: record.job.seq,
        stream: stream.clone(),
        superseded: part.superseded(&generations),
        part: part.clone(),
        mark: QuarantineMark::of(&record.job),
        recorded_at: now,
    })
}

fn hold(
    record: &Record,
    job: &Job,
    load: &str,
    reason: &str,
    by: &Operator,
    now: DateTime<Utc>,
) -> Hold {
    let parts = job
        .loads
        .iter()
        .find(|state| state.load == load)
        .and_then(|state| state.prepared.clone())
        .unwrap_or_default();
    let is_sealed = |part: &&Part| part.output == Output::Load(load.to_owned());
    let plan = job.plan.loads.iter().find(|known| known.id == load);
    let inputs = plan.iter().flat_map(|load| &load.inputs).map(|input| {
        let stream = record.streams.get(input.name());
        let held = stream.map(|stream| SealedInput {
            schemas: stream.schemas.values().cloned().collect(),
            generations: stream.chains.generations(),
        });
        (input.name().to_owned(), held.unwrap_or_default())
    });
    Hold {
        feed: job.feed.clone(),
        job: job.id.clone(),
        seq: job.seq,
        load: load.to_owned(),
        reason: reason.to_owned(),
        parts,
        sealed: record.parts.iter().filter(is_sealed).cloned().collect(),
        inputs: inputs.collect(),
        held_by: by.clone(),
        held_at: now,
    }
}

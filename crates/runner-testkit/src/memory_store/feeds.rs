//! State of feeds in memory.

use async_trait::async_trait;
use runner_core::checkpoint::Observed;
use runner_core::feed::{DriftDecision, DriftRecord};
use runner_core::ids::{FeedId, Operator, TenantId};
use runner_core::job::LoadState;
use runner_core::{Claim, CursorState, FeedState, FeedStore, JobId, JobState, Result, Seq};
use serde_json::json;

use super::{Feed, MemoryStore, State, conflict, internal, page};

#[async_trait]
impl FeedStore for MemoryStore {
    async fn state(&self, feed: &FeedId) -> Result<FeedState> {
        let state = self.lock();
        let found = state.feeds.get(feed).map(|feed| feed.state.clone());
        Ok(found.unwrap_or_default())
    }

    async fn cursor(
        &self,
        feed: &FeedId,
        stream: &str,
        value: &str,
    ) -> Result<Option<CursorState>> {
        let state = self.lock();
        let key = (stream.to_owned(), value.to_owned());
        Ok(state
            .feeds
            .get(feed)
            .and_then(|feed| feed.cursors.get(&key).cloned()))
    }

    async fn cursors(
        &self,
        feed: &FeedId,
        stream: Option<&str>,
        after: Option<(&str, &str)>,
        limit: u32,
    ) -> Result<Vec<CursorState>> {
        let state = self.lock();
        let Some(feed) = state.feeds.get(feed) else {
            return Ok(Vec::new());
        };
        let found = feed
            .cursors
            .values()
            .filter(|cursor| stream.is_none_or(|stream| cursor.stream == stream))
            .filter(|cursor| {
                after.is_none_or(|after| (cursor.stream.as_str(), cursor.value.as_str()) > after)
            });
        Ok(page(found.cloned(), limit))
    }

    async fn advance(
        &self,
        claim: &Claim,
        new: Option<&FeedState>,
        cursors: &[CursorState],
    ) -> Result<()> {
        let now = self.now();
        let mut state = self.lock();
        let job = &state.lease(claim, now)?.job;
        if job.state != JobState::Committing {
            return Err(conflict("the job does not commit"));
        }
        if !job.loads.iter().all(LoadState::is_settled) {
            return Err(internal("a load is not committed"));
        }
        let feed = job.feed.clone();
        let feed = state.feeds.entry(feed).or_default();
        feed.set_cursors(cursors, Some(&claim.job))?;
        if let Some(new) = new {
            feed.state = new.clone();
        }
        Ok(())
    }

    async fn set_cursor(&self, feed: &FeedId, cursor: &CursorState, by: &Operator) -> Result<()> {
        let now = self.now();
        let mut state = self.lock();
        state.refuse_while_running(feed)?;
        let known = state.feeds.entry(feed.clone()).or_default();
        known.set_cursors(std::slice::from_ref(cursor), None)?;
        state.note(&feed.tenant, by, "set_cursor", &feed.name, json!({}), now);
        Ok(())
    }

    async fn reset(&self, feed: &FeedId, stream: Option<&str>, by: &Operator) -> Result<u64> {
        let now = self.now();
        let mut state = self.lock();
        state.refuse_while_running(feed)?;
        let known = state.feeds.entry(feed.clone()).or_default();
        let before = known.cursors.len();
        let is_meant = |name: &String| stream.is_none_or(|stream| name == stream);
        known.cursors.retain(|(name, _), _| !is_meant(name));
        known.state.schemas.retain(|name, _| !is_meant(name));
        known.state.accepted.retain(|name, _| !is_meant(name));
        known.state.accepted_for.retain(|name, _| !is_meant(name));
        let forgotten = before - known.cursors.len();
        state.note(&feed.tenant, by, "reset", &feed.name, json!({}), now);
        Ok(forgotten as u64)
    }

    async fn raise_seq(&self, feed: &FeedId, at_least: Seq, by: &Operator) -> Result<Seq> {
        let now = self.now();
        let mut state = self.lock();
        let known = state.feeds.entry(feed.clone()).or_default();
        known.last_seq = known.last_seq.max(at_least.0.saturating_sub(1));
        let next = Seq(known.last_seq + 1);
        state.note(&feed.tenant, by, "raise_seq", &feed.name, json!({}), now);
        Ok(next)
    }

    async fn record_drift(&self, claim: &Claim, record: &DriftRecord) -> Result<()> {
        let now = self.now();
        let mut state = self.lock();
        let feed = state.lease(claim, now)?.job.feed.clone();
        let drift = &mut state.feeds.entry(feed).or_default().drift;
        let known = drift
            .iter_mut()
            .find(|known| known.job == record.job && known.stream == record.stream);
        match known {
            Some(known) => *known = record.clone(),
            None => drift.push(record.clone()),
        }
        Ok(())
    }

    async fn drift(&self, feed: &FeedId, limit: u32) -> Result<Vec<DriftRecord>> {
        let state = self.lock();
        let drift = state.feeds.get(feed).map(|feed| feed.drift.as_slice());
        let newest_first = drift.unwrap_or_default().iter().rev().cloned();
        Ok(page(newest_first, limit))
    }

    async fn accept_schema(
        &self,
        feed: &FeedId,
        stream: &str,
        accepted: &Observed,
        by: &Operator,
    ) -> Result<()> {
        let now = self.now();
        let mut state = self.lock();
        let known = state.feeds.entry(feed.clone()).or_default();
        let stream = stream.to_owned();
        known
            .state
            .accepted
            .insert(stream.clone(), accepted.clone());
        let last = known
            .drift
            .iter_mut()
            .rev()
            .find(|record| record.stream == stream);
        if let Some(record) = last.filter(|record| record.decision == DriftDecision::Blocked) {
            record.decision = DriftDecision::AcceptedByOperator;
        }
        state.note(
            &feed.tenant,
            by,
            "accept_schema",
            &feed.name,
            json!({}),
            now,
        );
        Ok(())
    }

    async fn feeds(&self, tenant: &TenantId) -> Result<Vec<(FeedId, Seq)>> {
        let state = self.lock();
        let of_tenant = state.feeds.iter().filter(|(id, _)| id.tenant == *tenant);
        Ok(of_tenant
            .map(|(id, feed)| (id.clone(), Seq(feed.last_seq)))
            .collect())
    }
}

impl Feed {
    fn set_cursors(&mut self, cursors: &[CursorState], by: Option<&JobId>) -> Result<()> {
        if cursors.iter().any(|cursor| cursor.cursor.is_none()) {
            return Err(internal("an empty cursor would overwrite a stored one"));
        }
        for cursor in cursors {
            let key = (cursor.stream.clone(), cursor.value.clone());
            let stored = CursorState {
                updated_by: by.cloned(),
                ..cursor.clone()
            };
            self.cursors.insert(key, stored);
        }
        Ok(())
    }
}

impl State {
    fn refuse_while_running(&self, feed: &FeedId) -> Result<()> {
        let is_busy = self
            .jobs
            .iter()
            .any(|record| record.job.feed == *feed && !record.job.state.is_terminal());
        if is_busy {
            return Err(conflict("the feed has an unfinished job"));
        }
        Ok(())
    }
}

//! The index of the quarantine in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_core::ids::{Operator, TenantId};
use runner_core::job::PartsState;
use runner_core::quarantine::{
    Hold, QuarantineFile, QuarantineFilter, QuarantineMark, QuarantineStore, RowRange,
};
use runner_core::{Claim, Error, ErrorKind, JobId, Result, ranges};
use serde_json::json;

use super::{MemoryStore, Replay, State, conflict, page};

#[async_trait]
impl QuarantineStore for MemoryStore {
    async fn files(
        &self,
        tenant: &TenantId,
        filter: &QuarantineFilter,
    ) -> Result<Vec<QuarantineFile>> {
        let state = self.lock();
        let found = state.quarantine.iter().rev().filter(|file| {
            file.feed.tenant == *tenant
                && filter
                    .feed
                    .as_ref()
                    .is_none_or(|feed| file.feed.name == *feed)
                && filter.job.as_ref().is_none_or(|job| file.job == *job)
                && filter
                    .stream
                    .as_ref()
                    .is_none_or(|stream| file.stream == *stream)
        });
        Ok(page(found.cloned(), filter.limit))
    }

    async fn reserve_replay(&self, claim: &Claim, wanted: &[RowRange]) -> Result<Vec<RowRange>> {
        let now = self.now();
        let mut state = self.lock();
        state.lease(claim, now)?;
        let mut reserved = Vec::new();
        for range in wanted {
            let available = state.available(&claim.tenant, &range.job, &range.part)?;
            let mut taken = ranges::subtract(&[(0, u64::MAX)], &available);
            taken.extend(state.done(&range.job, &range.part));
            for (from, to) in ranges::subtract(&[(range.from, range.to)], &taken) {
                reserved.push(RowRange {
                    from,
                    to,
                    ..range.clone()
                });
            }
        }
        for rows in &reserved {
            let is_known = state
                .replays
                .iter()
                .any(|replay| replay.by == claim.job && replay.rows == *rows);
            if !is_known {
                state.replays.push(Replay {
                    by: claim.job.clone(),
                    rows: rows.clone(),
                    is_done: false,
                });
            }
        }
        Ok(reserved)
    }

    async fn reserved(&self, claim: &Claim) -> Result<Vec<RowRange>> {
        let mut state = self.lock();
        state.attempt(claim)?;
        let own = state.replays.iter().filter(|replay| replay.by == claim.job);
        Ok(own.map(|replay| replay.rows.clone()).collect())
    }

    async fn replayed(&self, tenant: &TenantId, job: &JobId, part: &str) -> Result<Vec<RowRange>> {
        let state = self.lock();
        state.available(tenant, job, part)?;
        Ok(ranges::union(&state.done(job, part))
            .into_iter()
            .map(|(from, to)| RowRange {
                job: job.clone(),
                part: part.to_owned(),
                from,
                to,
            })
            .collect())
    }

    async fn holds(&self, tenant: &TenantId, feed: Option<&str>) -> Result<Vec<Hold>> {
        let state = self.lock();
        let found = state.holds.iter().filter(|hold| {
            hold.feed.tenant == *tenant && feed.is_none_or(|feed| hold.feed.name == feed)
        });
        Ok(found.cloned().collect())
    }

    async fn release_hold(
        &self,
        tenant: &TenantId,
        job: &JobId,
        load: &str,
        by: &Operator,
    ) -> Result<()> {
        let now = self.now();
        let mut state = self.lock();
        let place = state
            .holds
            .iter()
            .position(|hold| hold.feed.tenant == *tenant && hold.job == *job && hold.load == load);
        let Some(place) = place else {
            return Err(Error::new(ErrorKind::NotFound, "there is no such hold"));
        };
        state.holds.remove(place);
        state.record(job)?.job.parts = PartsState::Leftover;
        state.note(tenant, by, "release_hold", job.as_str(), json!({}), now);
        Ok(())
    }

    async fn forget(
        &self,
        recorded_before: DateTime<Utc>,
        dry_run: bool,
    ) -> Result<Vec<QuarantineFile>> {
        let mut state = self.lock();
        let is_old = |file: &QuarantineFile| file.recorded_at < recorded_before;
        let old = state.quarantine.iter().filter(|file| is_old(file));
        let old: Vec<_> = old.cloned().collect();
        if !dry_run {
            state.quarantine.retain(|file| !is_old(file));
        }
        Ok(old)
    }
}

impl State {
    /// Rows of a part that a replay may take.
    fn available(&self, tenant: &TenantId, job: &JobId, part: &str) -> Result<Vec<(u64, u64)>> {
        let file = self
            .quarantine
            .iter()
            .find(|file| file.feed.tenant == *tenant && file.job == *job && file.part.name == part);
        if let Some(file) = file {
            return match file.mark {
                QuarantineMark::Loaded => {
                    Ok(ranges::subtract(&[(0, file.part.rows)], &file.superseded))
                }
                QuarantineMark::Failed | QuarantineMark::Blocked => {
                    Err(conflict("the run did not complete"))
                }
            };
        }
        Err(Error::new(ErrorKind::NotFound, "there is no such file"))
    }

    fn done(&self, job: &JobId, part: &str) -> Vec<(u64, u64)> {
        self.replays
            .iter()
            .filter(|replay| replay.is_done && replay.rows.job == *job && replay.rows.part == part)
            .map(|replay| (replay.rows.from, replay.rows.to))
            .collect()
    }
}

//! The last step of a commit: cursors, schemas and what is accepted of the source's schema move once every sink has its rows.

use std::collections::VecDeque;

use runner_core::checkpoint::{ChainOutcome, Observed, SchemaRecord};
use runner_core::feed::CursorState;
use runner_core::job::{Job, Transition};
use runner_core::{FeedId, FeedState, FeedStore, Result, fault};
use runner_plan::windows::CursorKind;
use runner_plan::{ColumnType, StreamPlan};

use crate::attempt::{Attempt, Halt};
use crate::cursors::{forward, moved};
use crate::drift::{self, Needs};

/// A page of chain outcomes.
const CHAINS_PER_PAGE: u32 = 1_000;
/// Cursors set in one transaction.
const CURSORS_PER_STEP: usize = 1_000;
/// A page of stored cursors.
const STORED_PER_PAGE: u32 = 1_000;

impl Attempt<'_> {
    pub(crate) async fn finish(&self, job: &Job) -> Result<(), Halt> {
        fault::point("cursor.before");
        // Its rows were read by another job, which has moved the cursor.
        if job.plan.held.is_some() {
            return self.record(Transition::Completed).await;
        }
        // A job that commits is never ended by what fails here: the next attempt moves the same cursors.
        self.advance(job).await.map_err(Halt::Left)?;
        fault::point("cursor.after");
        self.record(Transition::Completed).await
    }

    async fn advance(&self, job: &Job) -> Result<()> {
        let mut state = self.ports.feeds.state(&job.feed).await?;
        for stream in &job.plan.streams {
            let found = self
                .ports
                .checkpoints
                .resume_state(self.claim, &stream.name)
                .await?;
            let cursor_type = cursor_type(stream, found.schema.as_ref());
            if let (Some(cursor_type), true) = (cursor_type, job.plan.moves_cursor) {
                self.advance_stream(job, &stream.name, CursorKind::of(&cursor_type))
                    .await?;
            }
            let replay = job.plan.replay.as_ref();
            // Masks are texts, whatever type their column has when it is read.
            let is_masked = replay.is_some_and(|replay| replay.masked.contains_key(&stream.name));
            if let (Some(schema), false) = (found.schema, is_masked) {
                state.schemas.insert(stream.name.clone(), schema);
            }
            // The source's schema was judged when the rows were read.
            if replay.is_none() {
                accept(&mut state, stream, &found.observed);
            }
        }
        self.ports
            .feeds
            .advance(self.claim, Some(&state), &[])
            .await
    }

    /// Chains and stored cursors come in one order, so a million values are passed in pages of both.
    async fn advance_stream(&self, job: &Job, stream: &str, kind: CursorKind) -> Result<()> {
        let mut stored = StoredCursors::new(self.ports.feeds.as_ref(), &job.feed, stream);
        let mut after = None;
        let mut of_value: Vec<ChainOutcome> = Vec::new();
        let mut cursors: Vec<CursorState> = Vec::new();
        loop {
            let page = self
                .ports
                .checkpoints
                .chain_outcomes(self.claim, stream, after.as_ref(), CHAINS_PER_PAGE)
                .await?;
            let is_end = page.is_empty();
            after = page.last().map(|outcome| outcome.chain.clone());
            for outcome in page.into_iter().map(Some).chain(is_end.then_some(None)) {
                let is_other = of_value.first().is_some_and(|first| {
                    outcome
                        .as_ref()
                        .is_none_or(|outcome| outcome.chain.value != first.chain.value)
                });
                if is_other {
                    if let Some(new) = moved(stream, &job.id, &of_value) {
                        let known = stored.of(&new.value).await?;
                        cursors.extend(forward(kind, job.nominal_time, known.as_ref(), new));
                    }
                    of_value.clear();
                }
                of_value.extend(outcome);
            }
            if cursors.len() >= CURSORS_PER_STEP || (is_end && !cursors.is_empty()) {
                self.ports.feeds.advance(self.claim, None, &cursors).await?;
                cursors.clear();
            }
            if is_end {
                return Ok(());
            }
        }
    }
}

/// Takes the run's schema of the source up into what is accepted: the gates have let it pass.
fn accept(state: &mut FeedState, stream: &StreamPlan, observed: &Observed) {
    let needs = Needs::of(stream, state.accepted_for.get(&stream.name));
    let accepted = drift::accepted_after(state.accepted.get(&stream.name), observed, &needs);
    state.accepted.insert(stream.name.clone(), accepted);
    state
        .accepted_for
        .insert(stream.name.clone(), drift::definitions(stream));
}

/// The type of the stream's cursor; none where it has no cursor that could move.
fn cursor_type(stream: &StreamPlan, schema: Option<&SchemaRecord>) -> Option<ColumnType> {
    let field = stream.incremental.as_ref()?.cursor_field.as_ref()?;
    let observed = schema
        .and_then(|schema| schema.columns.iter().find(|column| column.name == *field))
        .map(|column| column.column_type.clone());
    let planned = stream
        .columns
        .known
        .iter()
        .find(|column| column.name == *field)
        .and_then(|column| column.column_type.clone());
    Some(observed.or(planned).unwrap_or(ColumnType::String))
}

/// Stored cursors of a stream, asked for by values that grow.
struct StoredCursors<'a> {
    feeds: &'a dyn FeedStore,
    feed: &'a FeedId,
    stream: &'a str,
    page: VecDeque<CursorState>,
    last: Option<String>,
    is_end: bool,
}

impl<'a> StoredCursors<'a> {
    fn new(feeds: &'a dyn FeedStore, feed: &'a FeedId, stream: &'a str) -> Self {
        Self {
            feeds,
            feed,
            stream,
            page: VecDeque::new(),
            last: None,
            is_end: false,
        }
    }

    async fn of(&mut self, value: &str) -> Result<Option<CursorState>> {
        loop {
            while let Some(first) = self.page.front() {
                if first.value.as_str() > value {
                    return Ok(None);
                }
                let found = self.page.pop_front();
                if let Some(found) = found.filter(|found| found.value == value) {
                    return Ok(Some(found));
                }
            }
            if self.is_end {
                return Ok(None);
            }
            let after = self.last.as_deref().map(|last| (self.stream, last));
            let page = self
                .feeds
                .cursors(self.feed, Some(self.stream), after, STORED_PER_PAGE)
                .await?;
            self.is_end = page.is_empty();
            self.last = page.last().map(|cursor| cursor.value.clone());
            self.page = page.into();
        }
    }
}

//! Which chains a stream has, handed out one value at a time: a million parents are never in memory at once.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use runner_connectors::source::{ChainRequest, WindowBounds};
use runner_core::checkpoint::{ChainCursor, ResumeState};
use runner_core::{ChainKey, Error, ErrorKind, Position, Result};
use runner_plan::Plan;
use runner_plan::model::{Chains, IncrementalPlan, SourcePlan, Window, join_values};
use runner_plan::windows::{self, WindowInputs};

use crate::cursor::CursorTracker;
use crate::lane::ChainWork;
use crate::stream::{Advance, StreamRun};

/// Values taken from the store at once.
const VALUES_PER_PAGE: u32 = 1_000;

/// Under which a source's own list of chains is sealed; no column has this name.
const LISTED: &str = "$listed";

/// Values have cursors of their own and so different numbers of windows; each value's chains lie in a range of this size.
const MAXIMUM_WINDOWS: u64 = 1 << 20;

/// Hands out the chains of a stream, those of one value together: its windows are read in their order.
pub(crate) struct ChainQueue {
    run: Arc<StreamRun>,
    values: Values,
    ready: VecDeque<(u64, ChainKey)>,
    /// Of the chains in `ready`, those that an earlier attempt read to their end; asked for with them, since the store's answer takes
    /// longer than many a page.
    ended: HashSet<u64>,
    positions: BTreeMap<u64, Position>,
    cursors: BTreeMap<u64, ChainCursor>,
}

enum Values {
    /// All are known: a single chain, a list, files.
    Known(VecDeque<(u64, ChainKey)>),
    /// The numbers of a range, a page at a time.
    Range {
        from: i64,
        step: i64,
        count: u64,
        next: u64,
    },
    /// A parent's sealed list, page by page.
    Parent {
        stream: String,
        field: String,
        next: u64,
        is_done: bool,
    },
}

impl ChainQueue {
    pub(crate) async fn new(run: Arc<StreamRun>, resumed: ResumeState) -> Result<Self> {
        let values = values(&run).await?;
        match &values {
            Values::Known(known) => run.chains_known(known.len() as u64),
            Values::Range { count, .. } => run.chains_known(*count),
            Values::Parent { .. } => {}
        }
        Ok(Self {
            run,
            values,
            ready: VecDeque::new(),
            ended: HashSet::new(),
            positions: resumed
                .positions
                .into_iter()
                .map(|position| (position.chain.index, position))
                .collect(),
            cursors: resumed
                .cursors
                .into_iter()
                .map(|cursor| (cursor.chain.index, cursor))
                .collect(),
        })
    }

    /// The chains of the next value, or nothing when all have been handed out.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<ChainWork>>> {
        loop {
            if self.ready.is_empty() && !self.fill().await? {
                return Ok(None);
            }
            let Some((ordinal, key)) = self.ready.pop_front() else {
                return Ok(None);
            };
            let chains = self.chains_of(ordinal, key).await?;
            if !chains.is_empty() {
                return Ok(Some(chains));
            }
        }
    }

    async fn fill(&mut self) -> Result<bool> {
        match &mut self.values {
            Values::Known(known) => {
                let count = known.len().min(VALUES_PER_PAGE as usize);
                self.ready.extend(known.drain(..count));
            }
            Values::Range {
                from,
                step,
                count,
                next,
            } => {
                let end = next.saturating_add(u64::from(VALUES_PER_PAGE)).min(*count);
                for index in *next..end {
                    let value = i128::from(*from) + i128::from(index) * i128::from(*step);
                    self.ready.push_back(single(&value.to_string(), index));
                }
                *next = end;
            }
            Values::Parent { is_done: true, .. } => {}
            Values::Parent {
                stream,
                field,
                next,
                is_done,
            } => {
                let context = &self.run.context;
                let (values, is_complete) = context
                    .checkpoints
                    .values(&context.claim, stream, field, *next, VALUES_PER_PAGE)
                    .await?;
                if values.is_empty() {
                    if !is_complete {
                        return Err(Error::new(
                            ErrorKind::Internal,
                            format!("the values of the parent `{stream}` are not complete"),
                        ));
                    }
                    *is_done = true;
                }
                self.run.chains_known(values.len() as u64);
                for value in values {
                    self.ready.push_back((
                        *next,
                        ChainKey {
                            index: *next,
                            value,
                            window: 0,
                        },
                    ));
                    *next += 1;
                }
            }
        }
        self.find_ended().await?;
        Ok(!self.ready.is_empty())
    }

    async fn find_ended(&mut self) -> Result<()> {
        self.ended.clear();
        let (Some((first, _)), Some((last, _))) = (self.ready.front(), self.ready.back()) else {
            return Ok(());
        };
        // Windows lie far apart, and a value has several requests anyway.
        if steps_of(&self.run) {
            return Ok(());
        }
        let context = &self.run.context;
        let ended = context
            .checkpoints
            .ended_chains(&context.claim, &self.run.plan.name, *first, last + 1)
            .await?;
        self.ended.extend(ended);
        Ok(())
    }

    /// One chain per window of a value; chains that have ended are left out.
    async fn chains_of(&mut self, ordinal: u64, key: ChainKey) -> Result<Vec<ChainWork>> {
        let run = Arc::clone(&self.run);
        let context = &run.context;
        let Some(incremental) = &run.plan.incremental else {
            return self.works(ordinal, key, vec![(None, None)]).await;
        };
        let stored = match &incremental.cursor_field {
            Some(_) => {
                context
                    .feeds
                    .cursor(&context.feed, &run.plan.name, &key.value)
                    .await?
            }
            None => None,
        };
        let cursor = stored.as_ref().and_then(|state| state.cursor.clone());
        if context.plan.replay.is_some() {
            // Whatever the run that read them made of its windows: a row without a cursor value still fails.
            let known = cursor.as_ref().or(incremental.initial.as_ref());
            let tracker = incremental.cursor_field.as_ref().map(|field| {
                let bounds = WindowBounds::default();
                CursorTracker::new(field, &bounds, BTreeMap::new(), context.nominal_time)
                    .like(known.map(String::as_str))
            });
            return self.works(ordinal, key, vec![(None, tracker)]).await;
        }
        let boundary = stored.map(|state| state.boundary).unwrap_or_default();
        let bounds = window_bounds(
            incremental,
            cursor.as_deref(),
            context.nominal_time,
            &context.plan,
            &run.plan.name,
        )?;
        let windows = bounds
            .into_iter()
            .map(|bounds| {
                let tracker = incremental.cursor_field.as_ref().map(|field| {
                    let boundary = if bounds.to.is_none() {
                        boundary.clone()
                    } else {
                        BTreeMap::new()
                    };
                    CursorTracker::new(field, &bounds, boundary, context.nominal_time)
                });
                (Some(bounds), tracker)
            })
            .collect();
        self.works(ordinal, key, windows).await
    }

    async fn works(
        &mut self,
        ordinal: u64,
        key: ChainKey,
        windows: Vec<(Option<WindowBounds>, Option<CursorTracker>)>,
    ) -> Result<Vec<ChainWork>> {
        let run = Arc::clone(&self.run);
        let context = &run.context;
        let count = windows.len() as u64;
        let mut first = ordinal;
        if steps_of(&run) {
            first = ordinal * MAXIMUM_WINDOWS;
            let ended = context
                .checkpoints
                .ended_chains(&context.claim, &run.plan.name, first, first + count)
                .await?;
            self.ended = ended.into_iter().collect();
            run.chain_has_windows(count);
        }
        let mut works = Vec::with_capacity(windows.len());
        let mut read_before = 0;
        for (window, (bounds, cursor)) in (0_u32..).zip(windows) {
            let index = first + u64::from(window);
            if self.ended.contains(&index) {
                read_before += 1;
                continue;
            }
            let key = ChainKey {
                index,
                window,
                value: key.value.clone(),
            };
            let from = self.positions.remove(&index);
            let cursor = cursor.map(|tracker| tracker.resuming(self.cursors.remove(&index)));
            let request = ChainRequest {
                variables: variables(&run, &key.value),
                generation: from.as_ref().map_or(0, |position| position.generation),
                key,
                window: bounds,
            };
            works.push(ChainWork {
                request,
                from,
                cursor,
            });
        }
        if read_before > 0 {
            let advance = Advance {
                chains_done: read_before,
                ..Advance::default()
            };
            run.advance(advance, None);
        }
        Ok(works)
    }
}

fn single(value: &str, index: u64) -> (u64, ChainKey) {
    let key = ChainKey {
        index,
        value: value.to_owned(),
        window: 0,
    };
    (index, key)
}

async fn values(run: &StreamRun) -> Result<Values> {
    if run.context.plan.replay.is_some() {
        return Ok(Values::Known(listed(run).await?));
    }
    let known = match &run.plan.source {
        SourcePlan::Files(_) => listed(run).await?,
        SourcePlan::Http(http) => match &http.chains {
            Chains::Single => VecDeque::from([single("", 0)]),
            Chains::Values { values, .. } => values
                .iter()
                .zip(0..)
                .map(|(value, index)| single(value, index))
                .collect(),
            Chains::Range { from, to, step, .. } => {
                return Ok(Values::Range {
                    from: *from,
                    step: *step,
                    count: range_length(*from, *to, *step),
                    next: 0,
                });
            }
            Chains::Parent { stream, .. } => {
                return Ok(Values::Parent {
                    stream: stream.clone(),
                    field: join_values(&http.chains.parent_columns()),
                    next: 0,
                    is_done: false,
                });
            }
        },
    };
    Ok(Values::Known(known))
}

/// The chains that the source listed when the run first looked: sealed before any of them is read, so that every attempt reads the same.
async fn listed(run: &StreamRun) -> Result<VecDeque<(u64, ChainKey)>> {
    let context = &run.context;
    let (checkpoints, claim, stream) = (&context.checkpoints, &context.claim, &run.plan.name);
    let mut listed = Vec::new();
    loop {
        let from = listed.len() as u64;
        let (values, is_complete) = checkpoints
            .values(claim, stream, LISTED, from, VALUES_PER_PAGE)
            .await?;
        if !values.is_empty() {
            listed.extend(values);
            continue;
        }
        if !is_complete {
            listed = run.source.list().await?;
            checkpoints
                .seal_values(claim, stream, LISTED, &listed, true)
                .await?;
        }
        let keys = run.source.take_up(&listed).await?;
        return Ok(keys.into_iter().map(|key| (key.index, key)).collect());
    }
}

/// Both ends belong to the range.
fn range_length(from: i64, to: i64, step: i64) -> u64 {
    let span = i128::from(to) - i128::from(from);
    if step == 0 || (span != 0 && span.signum() != i128::from(step.signum())) {
        return 0;
    }
    u64::try_from(span / i128::from(step) + 1).unwrap_or(u64::MAX)
}

fn steps_of(run: &StreamRun) -> bool {
    run.plan
        .incremental
        .as_ref()
        .is_some_and(|plan| matches!(plan.window, Window::Steps { .. }))
}

fn variables(run: &StreamRun, value: &str) -> BTreeMap<String, String> {
    let SourcePlan::Http(http) = &run.plan.source else {
        return BTreeMap::new();
    };
    http.chains.variables(value)
}

/// The windows of one value, from its stored cursor on.
pub(crate) fn window_bounds(
    incremental: &IncrementalPlan,
    cursor: Option<&str>,
    nominal_time: DateTime<Utc>,
    plan: &Plan,
    stream: &str,
) -> Result<Vec<WindowBounds>> {
    let inputs = WindowInputs {
        incremental,
        kind: None,
        cursor,
        nominal_time,
        explicit: plan.window.as_ref(),
    };
    let windows = windows::windows(inputs).map_err(|error| {
        Error::new(ErrorKind::Spec, "the stream's windows can't be computed")
            .with_context("stream", stream)
            .with_source(error)
    })?;
    Ok(windows
        .into_iter()
        .map(|window| WindowBounds {
            from: window.from,
            to: window.to,
            last_cursor: window.last_cursor,
        })
        .collect())
}

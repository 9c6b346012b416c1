//! Sinks over the world's tables, which remember their last load in the same step that shows its rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use runner_core::commit::{Committer, Committers, Fence, LoadContext, Written};
use runner_core::{Error, ErrorKind, Part, Result, Retry, Segments};
use runner_plan::Plan;
use runner_plan::model::{Delivery, LoadPlan};

use super::chaos::Chaos;
use super::world::{StagedRow, World};

/// The sinks as one process sees them.
#[derive(Clone, Debug)]
pub struct ScriptedSinks {
    world: World,
    chaos: Chaos,
}

impl ScriptedSinks {
    pub fn new(world: World, chaos: Chaos) -> Self {
        Self { world, chaos }
    }
}

#[async_trait]
impl Committers for ScriptedSinks {
    async fn committer(&self, _plan: &Plan, load: &LoadPlan) -> Result<Arc<dyn Committer>> {
        Ok(Arc::new(ScriptedCommitter {
            world: self.world.clone(),
            chaos: self.chaos.clone(),
            load: load.id.clone(),
        }))
    }

    async fn discard_staged(&self, _plan: &Plan, _parts: &[Part]) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct ScriptedCommitter {
    world: World,
    chaos: Chaos,
    load: String,
}

impl ScriptedCommitter {
    /// Leaves superseded rows out, in a part of its own.
    fn rewrite(&self, load: &LoadContext, part: Part) -> Result<Part> {
        let mut state = self.world.lock();
        let rows = state.parts.get(&part.name).cloned().ok_or_else(|| {
            Error::new(ErrorKind::Sink, format!("part `{}` is gone", part.name))
                .with_retry(Retry::Never)
        })?;
        let live: Vec<StagedRow> = rows
            .iter()
            .copied()
            .filter(|staged| is_live(&load.generations, &part.input, staged))
            .collect();
        if live.len() == rows.len() {
            return Ok(part);
        }
        let count = live.len() as u64;
        Ok(Part {
            name: state.new_part("rewritten", live),
            rows: count,
            segments: Segments::default(),
            ..part
        })
    }

    fn make_visible(&self, fence: &Fence, load: &LoadContext, parts: &[Part]) -> Result<Written> {
        let mut state = self.world.lock();
        let staged: Vec<Vec<StagedRow>> = parts
            .iter()
            .map(|part| state.parts.get(&part.name).cloned().unwrap_or_default())
            .collect();
        let table = state.tables.entry(self.load.clone()).or_default();
        if let Some(failure) = table.failures.pop_front() {
            return Err(failure);
        }
        let written = Written {
            rows: parts.iter().map(|part| part.rows).sum(),
            location: self.load.clone(),
            ..Written::default()
        };
        match &table.mark {
            Some((_, id)) if *id == load.id => {
                return Ok(Written {
                    already_done: true,
                    ..written
                });
            }
            Some((seq, id)) if *seq >= fence.seq => {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("the table has load `{id}` of seq {}", seq.0),
                ));
            }
            _ => {}
        }
        table.mark = Some((fence.seq, load.id.clone()));
        table
            .rows
            .extend(staged.into_iter().flatten().map(|staged| staged.row));
        table
            .parts
            .extend(parts.iter().map(|part| part.name.clone()));
        Ok(written)
    }
}

#[async_trait]
impl Committer for ScriptedCommitter {
    fn delivery(&self) -> Delivery {
        Delivery::Atomic
    }

    async fn prepare(&self, load: &LoadContext, parts: Vec<Part>) -> Result<Vec<Part>> {
        self.chaos.step().await;
        let prepared = parts
            .into_iter()
            .map(|part| self.rewrite(load, part))
            .collect::<Result<Vec<_>>>()?;
        self.chaos.step().await;
        Ok(prepared)
    }

    async fn commit(&self, fence: &Fence, load: &LoadContext, parts: &[Part]) -> Result<Written> {
        self.chaos.step().await;
        let mut written = self.make_visible(fence, load, parts)?;
        if self.chaos.repeats() {
            written = self.make_visible(fence, load, parts)?;
        }
        // Here the rows are visible and nobody has noted it.
        self.chaos.step().await;
        Ok(written)
    }

    async fn discard(&self, parts: &[Part]) -> Result<()> {
        self.chaos.step().await;
        let mut state = self.world.lock();
        for part in parts {
            let is_visible = state
                .tables
                .values()
                .any(|table| table.parts.contains(&part.name));
            if is_visible {
                let violation = format!("visible part `{}` was to be discarded", part.name);
                state.violations.push(violation);
            } else {
                state.parts.remove(&part.name);
            }
        }
        Ok(())
    }
}

fn is_live(generations: &BTreeMap<(String, u64), u32>, input: &str, staged: &StagedRow) -> bool {
    generations
        .get(&(input.to_owned(), staged.chain))
        .is_none_or(|last| staged.generation >= *last)
}

//! An engine that reads the world's source page by page, and seals each behind a barrier.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runner_core::checkpoint::{
    ChainCounters, ChainCursor, Counters, Observed, ObservedField, SchemaRecord,
};
use runner_core::engine::{Artifact, Engine, EngineInfo, RunContext, RunHandle, RunStatus};
use runner_core::ids::SubmissionId;
use runner_core::part::Output;
use runner_core::{
    ChainEnd, ChainKey, Checkpoint, Error, ErrorKind, PageCursor, Part, Position, Result, Segment,
    Segments,
};
use runner_plan::Plan;
use runner_plan::model::{ColumnField, ColumnType, Input};
use runner_spec::Diagnostic;
use runner_spec::model::EngineName;

use super::chaos::Chaos;
use super::world::{Row, StagedRow, World};

/// Reads for one process; what it has sealed is in the store and the world.
#[derive(Clone, Debug)]
pub struct ScriptedEngine {
    world: World,
    chaos: Chaos,
}

impl ScriptedEngine {
    pub fn new(world: World, chaos: Chaos) -> Self {
        Self { world, chaos }
    }

    async fn read(&self, stream: &str, context: &RunContext) -> Result<RunStatus> {
        let checkpoints = &context.checkpoints;
        let state = checkpoints.resume_state(&context.claim, stream).await?;
        let chains = self.chains(stream);
        let ended = checkpoints
            .ended_chains(&context.claim, stream, 0, chains)
            .await?;
        let positions: BTreeMap<u64, Position> = state
            .positions
            .into_iter()
            .map(|position| (position.chain.index, position))
            .collect();
        let mut barrier = 0;
        for chain in (0..chains).filter(|chain| !ended.contains(chain)) {
            let (generation, mut page) = match positions.get(&chain) {
                None => (0, 0),
                Some(position) => self.resume(stream, position).await,
            };
            loop {
                self.chaos.step().await;
                if context.cancel.is_cancelled() {
                    return Ok(RunStatus::Cancelled);
                }
                barrier += 1;
                let rows = self.ask(stream, chain, page);
                page += 1;
                let is_last = page == self.pages(stream, chain);
                let parts = self.seal(context, stream, chain, generation, &rows);
                let checkpoint = Checkpoint {
                    barrier,
                    parts,
                    schemas: vec![schema()],
                    observed: self.observed(rows.len() as u64),
                    ..page_checkpoint(stream, chain, generation, page, is_last, &rows)
                };
                checkpoints.checkpoint(&context.claim, &checkpoint).await?;
                if is_last {
                    break;
                }
            }
        }
        Ok(RunStatus::Sealed)
    }

    /// The last sealed page is asked for again; if it is another one now, the chain starts over.
    async fn resume(&self, stream: &str, position: &Position) -> (u32, u64) {
        self.chaos.step().await;
        let chain = position.chain.index;
        self.ask(stream, chain, position.pages - 1);
        let mut state = self.world.lock();
        let change = state
            .changes
            .iter()
            .position(|(name, changed)| name == stream && *changed == chain);
        match change {
            Some(change) => {
                state.changes.remove(change);
                (position.generation + 1, 0)
            }
            None => (position.generation, position.pages),
        }
    }

    fn ask(&self, stream: &str, chain: u64, page: u64) -> Vec<Row> {
        let mut state = self.world.lock();
        *state
            .requests
            .entry((stream.to_owned(), chain, page))
            .or_default() += 1;
        let place = |number: u64| usize::try_from(number).unwrap();
        state.source[stream][place(chain)][place(page)].clone()
    }

    fn chains(&self, stream: &str) -> u64 {
        self.world.lock().source[stream].len() as u64
    }

    fn pages(&self, stream: &str, chain: u64) -> u64 {
        self.world.lock().source[stream][usize::try_from(chain).unwrap()].len() as u64
    }

    fn observed(&self, rows: u64) -> Observed {
        let field = ObservedField {
            types: vec![self.world.lock().field_type.clone()],
            present: rows,
            nulls: 0,
            outgrown: 0,
        };
        let at = ObservedField {
            types: vec!["string".to_owned()],
            ..field.clone()
        };
        Observed {
            fields: [("id".to_owned(), field), ("at".to_owned(), at)].into(),
            rows,
        }
    }

    /// A part for every load of the stream, and one for the quarantine.
    fn seal(
        &self,
        context: &RunContext,
        stream: &str,
        chain: u64,
        generation: u32,
        rows: &[Row],
    ) -> Vec<Part> {
        let outputs = context
            .plan
            .loads
            .iter()
            .filter(|load| load.inputs.contains(&Input::Stream(stream.to_owned())))
            .map(|load| (Output::Load(load.id.clone()), true))
            .chain([(Output::Quarantine(stream.to_owned()), false)]);
        let mut state = self.world.lock();
        let mut parts = Vec::new();
        for (output, is_good) in outputs {
            let staged: Vec<StagedRow> = rows
                .iter()
                .filter(|row| row.is_good == is_good)
                .map(|&row| StagedRow {
                    row,
                    chain,
                    generation,
                })
                .collect();
            let count = staged.len() as u64;
            if count == 0 {
                continue;
            }
            parts.push(Part {
                output,
                input: stream.to_owned(),
                name: state.new_part("part", staged),
                attempt: context.claim.attempt,
                rows: count,
                bytes: count,
                checksum: String::new(),
                schema_version: 1,
                segments: Segments::from_iter([Segment {
                    chain,
                    generation,
                    rows: count,
                }]),
                details: serde_json::Value::Null,
            });
        }
        parts
    }
}

#[async_trait]
impl Engine for ScriptedEngine {
    fn id(&self) -> EngineName {
        EngineName::Embedded
    }

    fn check(&self, _plan: &Plan) -> Vec<Diagnostic> {
        Vec::new()
    }

    fn compile(&self, plan: &Plan) -> Result<Artifact> {
        Ok(Artifact {
            engine: EngineName::Embedded,
            format: "json".to_owned(),
            text: plan.feed.clone(),
        })
    }

    async fn probe(&self) -> Result<EngineInfo> {
        Ok(EngineInfo {
            engine: EngineName::Embedded,
            version: "scripted".to_owned(),
            address: None,
        })
    }

    async fn submit(
        &self,
        artifact: &Artifact,
        submission: SubmissionId,
        context: &RunContext,
    ) -> Result<RunHandle> {
        self.chaos.step().await;
        if artifact.text != context.plan.feed {
            return Err(Error::new(
                ErrorKind::Engine,
                "the artifact is another plan's",
            ));
        }
        Ok(RunHandle {
            engine: EngineName::Embedded,
            submission,
            details: serde_json::Value::Null,
        })
    }

    async fn status(&self, _run: &RunHandle) -> Result<RunStatus> {
        // Runs end with their process.
        Ok(RunStatus::Unknown)
    }

    async fn wait(&self, _run: &RunHandle, context: &RunContext) -> Result<RunStatus> {
        for stream in &context.plan.streams {
            match self.read(&stream.name, context).await? {
                RunStatus::Sealed => {}
                other => return Ok(other),
            }
        }
        self.chaos.step().await;
        Ok(RunStatus::Sealed)
    }

    async fn cancel(&self, _run: &RunHandle) -> Result<()> {
        Ok(())
    }
}

fn page_checkpoint(
    stream: &str,
    chain: u64,
    generation: u32,
    pages: u64,
    is_last: bool,
    rows: &[Row],
) -> Checkpoint {
    let key = ChainKey {
        index: chain,
        value: format!("v{chain}"),
        window: 0,
    };
    let count = rows.len() as u64;
    let passed = rows.iter().filter(|row| row.is_good).count() as u64;
    Checkpoint {
        stream: stream.to_owned(),
        positions: vec![Position {
            chain: key.clone(),
            generation,
            pages,
            rows: pages * count,
            last_page: PageCursor::Page(pages - 1),
            last_page_hash: String::new(),
            next: (!is_last).then_some(PageCursor::Page(pages)),
            end: is_last.then_some(ChainEnd::Natural),
            seen: Vec::new(),
            sealed_at_ms: 0,
        }],
        counters: Counters {
            requests: 1,
            bytes_read: count,
            chains: vec![ChainCounters {
                chain,
                generation,
                pages: 1,
                rows_read: count,
                rows_passed: passed,
                rows_quarantined: count - passed,
                ..ChainCounters::default()
            }],
        },
        cursors: vec![ChainCursor {
            chain: key,
            generation,
            maximum: rows.iter().map(|row| row.id).max().map(|id| id.to_string()),
            ..ChainCursor::default()
        }],
        ..Checkpoint::default()
    }
}

fn schema() -> SchemaRecord {
    SchemaRecord {
        version: 1,
        columns: vec![ColumnField {
            name: "id".to_owned(),
            column_type: ColumnType::Integer,
            nullable: false,
        }],
        ..SchemaRecord::default()
    }
}

//! Rows of the quarantine as a [`Source`]: a sealed file is a chain, and its rows are decoded as they came, by the document of today.
//!
//! Which rows a run reads is what its job has reserved: the list is sealed like that of a folder's files, so that every attempt reads
//! the same. Rows keep the number of the run that has read them first, and those that fail again their chain and their request.

mod file;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use runner_connectors::context::SourceContext;
use runner_connectors::row_scope::RowScope;
use runner_connectors::source::{self, Chain, ChainProgress, ChainRequest, Fetched, Source, Steps};
use runner_core::engine::RunContext;
use runner_core::{
    ChainKey, Claim, Error, ErrorKind, PageCursor, Position, QuarantineStore, Result,
};
use runner_plan::StreamPlan;
use runner_plan::model::{Replay, ReplayPart, SourcePlan};
use tokio::sync::OnceCell;

use file::FileReader;

/// One stream's rows of the quarantine.
#[derive(Debug)]
pub(crate) struct ReplaySource {
    stream: Arc<ReplayedStream>,
    reserved: Reserved,
    /// By the part's name, which is the chain's value.
    parts: OnceCell<HashMap<String, ReplayPart>>,
}

/// What all chains of the stream have in common.
#[derive(Debug)]
pub(crate) struct ReplayedStream {
    plan: StreamPlan,
    context: SourceContext,
}

/// Where the rows that this job may read are asked for.
struct Reserved {
    store: Arc<dyn QuarantineStore>,
    claim: Claim,
    replay: Replay,
}

impl std::fmt::Debug for Reserved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reserved")
            .field("claim", &self.claim)
            .finish_non_exhaustive()
    }
}

/// One file being read by a thread.
struct ReplayChain {
    steps: Steps,
}

impl ReplaySource {
    pub(crate) fn new(stream: &StreamPlan, source: SourceContext, run: &RunContext) -> Self {
        Self {
            stream: Arc::new(ReplayedStream {
                plan: stream.clone(),
                context: source,
            }),
            reserved: Reserved {
                store: Arc::clone(&run.quarantine),
                claim: run.claim.clone(),
                replay: run.plan.replay.clone().unwrap_or_default(),
            },
            parts: OnceCell::new(),
        }
    }
}

impl Reserved {
    /// Of the parts that the plan names, the rows that nobody has replayed before.
    async fn parts(&self, stream: &str) -> Result<Vec<ReplayPart>> {
        let mut rows: HashMap<(String, String), Vec<(u64, u64)>> = HashMap::new();
        for range in self.store.reserved(&self.claim).await? {
            rows.entry((range.job.0, range.part))
                .or_default()
                .push((range.from, range.to));
        }
        let parts = self
            .replay
            .parts
            .iter()
            .filter(|part| part.stream == stream);
        Ok(parts
            .filter_map(|part| {
                let rows = rows.remove(&(part.job.clone(), part.part.clone()))?;
                Some(ReplayPart {
                    rows,
                    ..part.clone()
                })
            })
            .collect())
    }
}

impl ReplayedStream {
    /// Values of the columns that every row of a chain has alike.
    fn constants(&self, chain: &str) -> Result<BTreeMap<String, String>> {
        let values = match &self.plan.source {
            SourcePlan::Http(http) => http.chains.variables(chain),
            SourcePlan::Files(_) => BTreeMap::new(),
        };
        RowScope::new(&self.context, None, self.plan.incremental.as_ref())
            .with_values(values)
            .constants()
    }
}

#[async_trait]
impl Source for ReplaySource {
    async fn list(&self) -> Result<Vec<String>> {
        let parts = self.reserved.parts(&self.stream.plan.name).await?;
        let texts = parts.iter().map(serde_json::to_string);
        texts.collect::<Result<_, _>>().map_err(|cause| {
            Error::new(ErrorKind::Internal, "failed to write the list of a replay")
                .with_source(cause)
        })
    }

    async fn take_up(&self, listed: &[String]) -> Result<Vec<ChainKey>> {
        let parts = listed
            .iter()
            .map(|text| serde_json::from_str::<ReplayPart>(text))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| {
                Error::new(ErrorKind::Internal, "failed to read the list of a replay")
                    .with_source(cause)
            })?;
        let keys = (0..).zip(&parts).map(|(index, part)| ChainKey {
            index,
            value: part.part.clone(),
            window: 0,
        });
        let keys = keys.collect();
        let by_name = parts.into_iter().map(|part| (part.part.clone(), part));
        self.parts.get_or_init(|| async { by_name.collect() }).await;
        Ok(keys)
    }

    async fn open(&self, chain: ChainRequest, from: Option<Position>) -> Result<Box<dyn Chain>> {
        let found = self
            .parts
            .get()
            .and_then(|parts| parts.get(&chain.key.value));
        let part = found.cloned().ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                format!(
                    "the part `{}` is not on the list of the replay",
                    chain.key.value
                ),
            )
        })?;
        let (sender, steps) = source::steps("the thread that reads the quarantine");
        let reader = FileReader {
            stream: Arc::clone(&self.stream),
            part,
            progress: ChainProgress::new(&chain, from.as_ref()),
            at: start(from.as_ref()),
            steps: sender,
        };
        tokio::task::spawn_blocking(move || reader.run());
        Ok(Box::new(ReplayChain { steps }))
    }
}

/// Number of the file's row behind the last one that was sealed.
fn start(from: Option<&Position>) -> u64 {
    match from.and_then(|position| position.next.as_ref()) {
        Some(PageCursor::Offset(row)) => *row,
        _ => 0,
    }
}

#[async_trait]
impl Chain for ReplayChain {
    async fn next(&mut self) -> Result<Option<Fetched>> {
        self.steps.next().await
    }
}

//! The engine itself: a run is a task of this process, and its outcome is in the job's checkpoints.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use runner_connectors::context::SourceContext;
use runner_connectors::http::HttpRegistry;
use runner_connectors::meter::StreamMeter;
use runner_connectors::schema::{StreamSchema, WideningGuard};
use runner_connectors::secrets::RunSecrets;
use runner_connectors::sink::Target;
use runner_connectors::source::Source;
use runner_core::checkpoint::{SchemaRecord, Warning};
use runner_core::engine::{Artifact, Engine, EngineInfo, RunContext, RunHandle, RunStatus};
use runner_core::part::Output;
use runner_core::progress::ProgressEvent;
use runner_core::{
    Cancel, Error, ErrorKind, LoadContext, LoadId, Part, Result, SubmissionId, fault,
};
use runner_plan::model::{Chains, Input, SourcePlan, VariableSource, join_values};
use runner_plan::{LoadPlan, Plan, StreamPlan, TransformPlan};
use runner_spec::model::EngineName;
use runner_spec::{Code, Diagnostic, FieldPath};
use tokio::task::JoinHandle;

use crate::columns::{as_masked, initial_schema};
use crate::outputs::LoadOutput;
use crate::parts::PartFolder;
use crate::read::read_stream;
use crate::replay::ReplaySource;
use crate::stream::{StreamParts, StreamRun};
use crate::transform::TransformRun;

/// Makes the sources and targets of a plan: the one place that knows which kinds there are.
#[async_trait]
pub trait Connectors: Send + Sync {
    async fn source(&self, stream: &StreamPlan, context: SourceContext) -> Result<Arc<dyn Source>>;
    async fn target(&self, plan: &Plan, load: &LoadPlan) -> Result<Arc<dyn Target>>;
}

/// Runs plans in this process.
pub struct EmbeddedEngine {
    connectors: Arc<dyn Connectors>,
    http: HttpRegistry,
    folders: Folders,
    transform_memory_bytes: usize,
    runs: Mutex<HashMap<SubmissionId, Running>>,
}

/// Bytes that a transform's joins, groups and orders may hold in memory together; the rest is spilled.
const TRANSFORM_MEMORY_BYTES: usize = 128 * 1024 * 1024;

/// Where the engine keeps what no sink owns.
#[derive(Clone, Debug)]
pub struct Folders {
    pub data: PathBuf,
}

struct Running {
    task: Option<JoinHandle<Result<()>>>,
    cancel: Cancel,
}

impl Folders {
    /// Rows of one submission that a transform reads.
    pub fn stage(&self, context: &RunContext, submission: &SubmissionId) -> PartFolder {
        let folder = self.data.join("stage").join(context.feed.tenant.as_str());
        PartFolder::new(
            folder
                .join(context.claim.job.as_str())
                .join(submission.as_str()),
        )
    }

    /// What a transform holds beyond its memory; it is gone when the transform has run.
    pub fn spill(&self, context: &RunContext) -> PathBuf {
        let folder = self.data.join("spill").join(context.feed.tenant.as_str());
        folder.join(context.claim.job.as_str())
    }

    /// Quarantined rows of one job.
    pub fn quarantine(&self, context: &RunContext) -> PartFolder {
        let folder = self
            .data
            .join("quarantine")
            .join(context.feed.tenant.as_str());
        PartFolder::new(
            folder
                .join(&context.feed.name)
                .join(context.claim.job.as_str()),
        )
    }
}

impl EmbeddedEngine {
    pub fn new(connectors: Arc<dyn Connectors>, http: HttpRegistry, folders: Folders) -> Self {
        Self {
            connectors,
            http,
            folders,
            transform_memory_bytes: TRANSFORM_MEMORY_BYTES,
            runs: Mutex::default(),
        }
    }

    pub(crate) fn connectors(&self) -> &Arc<dyn Connectors> {
        &self.connectors
    }

    pub(crate) fn http(&self) -> &HttpRegistry {
        &self.http
    }

    /// The bytes that joins, groups and orders of a transform may hold in memory together.
    #[must_use]
    pub fn with_transform_memory(mut self, bytes: usize) -> Self {
        self.transform_memory_bytes = bytes;
        self
    }

    fn runs(&self) -> std::sync::MutexGuard<'_, HashMap<SubmissionId, Running>> {
        // Entries are inserted and removed whole.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for EmbeddedEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedEngine")
            .field("folders", &self.folders)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Engine for EmbeddedEngine {
    fn id(&self) -> EngineName {
        EngineName::Embedded
    }

    fn check(&self, plan: &Plan) -> Vec<Diagnostic> {
        let windowed = plan.streams.iter().filter(|stream| match &stream.source {
            SourcePlan::Files(files) => files
                .variables
                .iter()
                .any(|variable| variable.source == VariableSource::Window),
            SourcePlan::Http(_) => false,
        });
        let windowed = windowed.map(|stream| {
            let message = format!(
                "this version doesn't choose the files of `{}` by the window",
                stream.name
            );
            unsupported(Code::UnsupportedSetting, &stream.path, message)
        });
        windowed.collect()
    }

    fn compile(&self, plan: &Plan) -> Result<Artifact> {
        let text = serde_json::to_string_pretty(plan).map_err(|error| {
            Error::new(ErrorKind::Internal, "failed to write the plan").with_source(error)
        })?;
        Ok(Artifact {
            engine: EngineName::Embedded,
            format: "json".to_owned(),
            text,
        })
    }

    async fn probe(&self) -> Result<EngineInfo> {
        Ok(EngineInfo {
            engine: EngineName::Embedded,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address: None,
        })
    }

    async fn submit(
        &self,
        _artifact: &Artifact,
        submission: SubmissionId,
        context: &RunContext,
    ) -> Result<RunHandle> {
        let handle = RunHandle {
            engine: EngineName::Embedded,
            submission: submission.clone(),
            details: serde_json::Value::Null,
        };
        let mut runs = self.runs();
        if runs.contains_key(&submission) {
            return Ok(handle);
        }
        let cancel = context.cancel.clone();
        let run = Run {
            connectors: Arc::clone(&self.connectors),
            http: self.http.clone(),
            secrets: Arc::new(RunSecrets::new(
                Arc::clone(&context.secrets),
                &context.plan,
            )?),
            stage: self.folders.stage(context, &submission),
            quarantine: self.folders.quarantine(context),
            spill: self.folders.spill(context),
            transform_memory_bytes: self.transform_memory_bytes,
            context: context.clone(),
        };
        let task = tokio::spawn(async move { run.execute().await });
        runs.insert(
            submission,
            Running {
                task: Some(task),
                cancel,
            },
        );
        Ok(handle)
    }

    async fn status(&self, run: &RunHandle) -> Result<RunStatus> {
        let is_running = self
            .runs()
            .get(&run.submission)
            .and_then(|running| running.task.as_ref())
            .is_some_and(|task| !task.is_finished());
        // A run of an ended process is unknown here: submitting it again goes on from its checkpoints.
        Ok(if is_running {
            RunStatus::Running
        } else {
            RunStatus::Unknown
        })
    }

    async fn wait(&self, run: &RunHandle, _context: &RunContext) -> Result<RunStatus> {
        let task = self
            .runs()
            .get_mut(&run.submission)
            .and_then(|running| running.task.take());
        let Some(task) = task else {
            return Ok(RunStatus::Unknown);
        };
        let ended = task.await;
        self.runs().remove(&run.submission);
        Ok(match ended {
            Ok(Ok(())) => RunStatus::Sealed,
            Ok(Err(error)) if error.kind() == ErrorKind::Cancelled => RunStatus::Cancelled,
            Ok(Err(error)) => RunStatus::Failed(error),
            Err(panic) => RunStatus::Failed(
                Error::new(
                    ErrorKind::Internal,
                    "the embedded run ended without a result",
                )
                .with_source(panic),
            ),
        })
    }

    async fn cancel(&self, run: &RunHandle) -> Result<()> {
        if let Some(running) = self.runs().get(&run.submission) {
            running.cancel.cancel();
        }
        Ok(())
    }
}

/// Times that a stream may begin in one attempt: each makes a column wider, so that few are needed.
const MOST_STARTS: u32 = 50;

/// Why a stream has to start over, and the columns that are wide enough for what was seen.
struct Wider {
    reason: String,
    schema: SchemaRecord,
}

/// One run of a plan.
struct Run {
    connectors: Arc<dyn Connectors>,
    http: HttpRegistry,
    secrets: Arc<RunSecrets>,
    stage: PartFolder,
    quarantine: PartFolder,
    spill: PathBuf,
    transform_memory_bytes: usize,
    context: RunContext,
}

impl Run {
    async fn execute(&self) -> Result<()> {
        let plan = Arc::clone(&self.context.plan);
        let mut targets = BTreeMap::new();
        for load in &plan.loads {
            targets.insert(load.id.clone(), self.connectors.target(&plan, load).await?);
        }
        for stream in &plan.streams {
            self.context.progress.event(ProgressEvent::Stage {
                name: format!("read {}", stream.name),
            });
            self.read(stream, &targets).await?;
        }
        for transform in &plan.transforms {
            self.context.progress.event(ProgressEvent::Stage {
                name: format!("transform {}", transform.name),
            });
            self.transform(transform, &targets).await?;
        }
        Ok(())
    }

    async fn transform(
        &self,
        transform: &TransformPlan,
        targets: &BTreeMap<String, Arc<dyn Target>>,
    ) -> Result<()> {
        let context = &self.context;
        let input = Input::Transform(transform.name.clone());
        TransformRun {
            context: context.clone(),
            plan: transform.clone(),
            loads: self.loads(&input, targets),
            stage: context.plan.is_read(&input).then(|| self.stage.clone()),
            quarantine: self.quarantine.clone(),
            spill: self.spill.clone(),
            memory_bytes: self.transform_memory_bytes,
            scrubber: self.secrets.scrubber().clone(),
            meter: StreamMeter::new(transform.name.clone(), Arc::clone(&context.progress)),
        }
        .run()
        .await
    }

    /// Reads a stream to its end, from its first row again where the columns of what was sealed can't follow a wider type.
    async fn read(
        &self,
        stream: &StreamPlan,
        targets: &BTreeMap<String, Arc<dyn Target>>,
    ) -> Result<()> {
        for _ in 0..MOST_STARTS {
            let Some(wider) = self.read_once(stream, targets).await? else {
                return Ok(());
            };
            self.start_over(stream, &wider).await?;
        }
        Err(Error::new(
            ErrorKind::SourceData,
            format!("its columns became wider {MOST_STARTS} times, each time than what was read"),
        )
        .with_context("stream", &stream.name)
        .with_help("a type in the contract decides it from the start"))
    }

    /// Gives the columns to read the stream with where it has to start over.
    async fn read_once(
        &self,
        stream: &StreamPlan,
        targets: &BTreeMap<String, Arc<dyn Target>>,
    ) -> Result<Option<Wider>> {
        let context = &self.context;
        let resumed = context
            .checkpoints
            .resume_state(&context.claim, &stream.name)
            .await?;
        let stored = context
            .feeds
            .state(&context.feed)
            .await?
            .schemas
            .remove(&stream.name)
            .map(|stored| match &context.plan.replay {
                Some(replay) => as_masked(stored, replay, &stream.name),
                None => stored,
            });
        let input = Input::Stream(stream.name.clone());
        let loads = self.loads(&input, targets);
        let guard = widening_guard(&loads);
        let schema = initial_schema(stream, resumed.schema.as_ref(), stored.as_ref(), guard);
        let meter = StreamMeter::new(stream.name.clone(), Arc::clone(&context.progress));
        let source_context = self.source_context(&schema, &meter);
        let source: Arc<dyn Source> = match context.plan.replay {
            Some(_) => Arc::new(ReplaySource::new(stream, source_context, context)),
            None => self.connectors.source(stream, source_context).await?,
        };
        let run = StreamRun::new(StreamParts {
            context: context.clone(),
            plan: stream.clone(),
            source,
            schema: schema.clone(),
            loads,
            stage: context.plan.is_read(&input).then(|| self.stage.clone()),
            quarantine: self.quarantine.clone(),
            value_columns: value_columns(&context.plan, &stream.name),
            meter,
            scrubber: self.secrets.scrubber().clone(),
        });
        let ended = read_stream(Arc::new(run), resumed).await;
        match schema.start_over() {
            Some(reason) if !context.cancel.is_cancelled() => Ok(Some(Wider {
                reason,
                schema: schema.current().record(),
            })),
            _ => ended.map(|()| None),
        }
    }

    /// Forgets what was read of a stream.
    async fn start_over(&self, stream: &StreamPlan, wider: &Wider) -> Result<()> {
        let context = &self.context;
        let parts = context.checkpoints.parts(&context.claim).await?;
        let why = Warning {
            code: "stream_started_over".to_owned(),
            stream: Some(stream.name.clone()),
            message: format!(
                "`{}` was read again from its first row: {}",
                stream.name, wider.reason
            ),
        };
        context
            .checkpoints
            .start_over(&context.claim, &stream.name, &wider.schema, &why)
            .await?;
        fault::point("stream.started_over");
        context.progress.event(ProgressEvent::Warning {
            stream: why.stream,
            code: why.code,
            message: why.message,
        });
        // The store knows them no more, so nobody will ask for them. A target's own are swept with other leftovers.
        let own: Vec<Part> = parts
            .into_iter()
            .filter(|part| part.input == stream.name && !matches!(part.output, Output::Load(_)))
            .collect();
        PartFolder::discard(&own)
    }

    fn source_context(&self, schema: &StreamSchema, meter: &StreamMeter) -> SourceContext {
        let context = &self.context;
        SourceContext {
            plan: Arc::clone(&context.plan),
            job: context.claim.job.clone(),
            nominal_time: context.nominal_time,
            clock: Arc::clone(&context.clock),
            cancel: context.cancel.clone(),
            deadline: None,
            secrets: Arc::clone(&self.secrets),
            schema: schema.clone(),
            meter: meter.clone(),
            http: self.http.clone(),
        }
    }

    fn loads(&self, input: &Input, targets: &BTreeMap<String, Arc<dyn Target>>) -> Vec<LoadOutput> {
        let loads = self.context.plan.loads.iter();
        loads
            .filter(|load| load.inputs.contains(input))
            .filter_map(|load| {
                let target = Arc::clone(targets.get(&load.id)?);
                Some(LoadOutput {
                    load: load_context(&self.context, load),
                    target,
                })
            })
            .collect()
    }
}

/// A column is widened where every table of the stream can follow.
fn widening_guard(loads: &[LoadOutput]) -> WideningGuard {
    let targets: Vec<_> = loads
        .iter()
        .map(|output| Arc::clone(&output.target))
        .collect();
    Arc::new(move |from: &_, to: &_| {
        targets
            .iter()
            .all(|target: &Arc<dyn Target>| target.can_widen(from, to))
    })
}

fn unsupported(code: Code, path: &str, message: String) -> Diagnostic {
    let path = path.parse().unwrap_or_else(|_| FieldPath::root());
    Diagnostic::error(code, path, message).help("the document is right; a later version runs it")
}

/// What a writer has to know of its load; the rest is known when the load is prepared.
fn load_context(context: &RunContext, load: &LoadPlan) -> LoadContext {
    LoadContext {
        id: LoadId {
            job: context.claim.job.clone(),
            load: load.id.clone(),
        },
        feed: context.feed.clone(),
        seq: context.seq,
        plan: load.clone(),
        columns: Vec::new(),
        versions: BTreeMap::new(),
        generations: BTreeMap::new(),
        nominal_time: context.nominal_time,
        oldest_unfinished: None,
        replace_bounds: Vec::new(),
        insert_only: context.plan.inserts_only(load),
        is_replay: context.plan.replay.is_some(),
    }
}

/// Columns whose distinct values make the chains of other streams; several columns of one child stand as one list.
fn value_columns(plan: &Plan, stream: &str) -> Vec<String> {
    let mut columns: Vec<String> = plan
        .streams
        .iter()
        .filter_map(|child| match &child.source {
            SourcePlan::Http(http) => match &http.chains {
                Chains::Parent { stream: parent, .. } if parent == stream => {
                    Some(join_values(&http.chains.parent_columns()))
                }
                _ => None,
            },
            SourcePlan::Files(_) => None,
        })
        .collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

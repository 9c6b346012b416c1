//! A run whose streams are joined by a transform, interrupted before and after the transform's barrier.

#![expect(
    clippy::unwrap_used,
    reason = "code of tests: a panic is how it says that something is wrong"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use runner_connectors::context::SourceContext;
use runner_connectors::http::HttpRegistry;
use runner_connectors::registry::{self, TargetContext};
use runner_connectors::rows::{RawRows, Rows};
use runner_connectors::secrets::RunSecrets;
use runner_connectors::sink::Target;
use runner_connectors::source::{Chain, ChainRequest, Fetched, PageEnd, Source};
use runner_core::checkpoint::Observed;
use runner_core::commit::{Fence, table_columns};
use runner_core::engine::{Engine, RunContext, RunStatus};
use runner_core::job::{JobState, JobStore, Transition};
use runner_core::part::Output;
use runner_core::progress::{ProgressEvent, ProgressSink};
use runner_core::secret::{SecretRef, SecretVersion};
use runner_core::{
    Cancel, ChainEnd, ChainKey, Checkpoints, Claim, Clock, Error, ErrorKind, FeedStore,
    LoadContext, LoadId, PageCursor, Position, QuarantineStore, Result, Secret, SecretStore, Seq,
    SubmissionId, WorkerId,
};
use runner_engine_embedded::{Connectors, EmbeddedEngine, Folders};
use runner_plan::{LoadPlan, Plan, StreamPlan};
use runner_testkit::clock::ManualClock;
use runner_testkit::memory_store::MemoryStore;
use runner_testkit::plans::{self, feed, new_job};
use runner_testkit::simulation::{Chaos, ChaoticStore, Fate};
use serde_json::json;

/// What stands outside the engine: two streams, and a folder for the table.
struct World {
    folder: tempfile::TempDir,
    opened: Arc<AtomicU64>,
    clock: ManualClock,
    store: MemoryStore,
    /// What befalls the process that runs.
    chaos: Chaos,
    /// The stage that someone cancels the run in.
    cancelled_in: Option<&'static str>,
}

#[derive(Debug)]
struct NoSecrets;

#[async_trait]
impl SecretStore for NoSecrets {
    async fn get(&self, reference: &SecretRef) -> Result<(Secret, SecretVersion)> {
        Err(Error::new(ErrorKind::Secret, format!("no `{reference:?}`")))
    }
    async fn keys(&self, _path: &str) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    async fn put(
        &self,
        _reference: &SecretRef,
        _new: Secret,
        expected: &SecretVersion,
    ) -> Result<SecretVersion> {
        Ok(expected.clone())
    }
    fn is_writable(&self) -> bool {
        false
    }
    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

struct Outside {
    folder: std::path::PathBuf,
    opened: Arc<AtomicU64>,
    clock: ManualClock,
}

#[async_trait]
impl Connectors for Outside {
    async fn source(&self, stream: &StreamPlan, context: SourceContext) -> Result<Arc<dyn Source>> {
        let (ids, texts): (Vec<i64>, Vec<&str>) = match stream.name.as_str() {
            "shops" => (vec![1, 2, 3], vec!["north", "south", "north"]),
            // The last has no number, so that its row can't be cast.
            _ => (vec![1, 1, 2, 3, 1], vec!["10", "20", "5", "7", "much"]),
        };
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(ids)),
            Arc::new(StringArray::from(texts)),
        ];
        let batch = RecordBatch::try_new(context.schema.current().decoded(), arrays).unwrap();
        let opened = Arc::clone(&self.opened);
        Ok(Arc::new(OnePage { batch, opened }))
    }

    async fn target(&self, plan: &Plan, load: &LoadPlan) -> Result<Arc<dyn Target>> {
        let secrets = Arc::new(RunSecrets::new(Arc::new(NoSecrets), plan)?);
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let context = TargetContext::new(plan, secrets, clock, self.folder.clone());
        registry::build(load, &context).await
    }
}

struct OnePage {
    batch: RecordBatch,
    opened: Arc<AtomicU64>,
}

struct OneChain {
    steps: Vec<Fetched>,
}

#[async_trait]
impl Source for OnePage {
    async fn list(&self) -> Result<Vec<String>> {
        Ok(vec!["page".to_owned()])
    }

    async fn take_up(&self, _listed: &[String]) -> Result<Vec<ChainKey>> {
        Ok(vec![ChainKey::default()])
    }

    async fn open(&self, chain: ChainRequest, _from: Option<Position>) -> Result<Box<dyn Chain>> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let rows = self.batch.num_rows() as u64;
        let position = Position {
            chain: chain.key,
            generation: chain.generation,
            pages: 1,
            rows,
            last_page: PageCursor::First,
            last_page_hash: String::new(),
            next: None,
            end: Some(ChainEnd::Natural),
            seen: Vec::new(),
            sealed_at_ms: 0,
        };
        let end = PageEnd {
            position,
            rows,
            requests: 1,
            bytes: 1,
            observed: Observed::default(),
            fields_dropped: 0,
            total: None,
            warnings: Vec::new(),
        };
        let page = Rows {
            batch: self.batch.clone(),
            schema_version: 0,
            raw: RawRows::default(),
            numbers: (0..rows).collect(),
            invalid: Vec::new(),
            origin: Arc::from("test"),
        };
        // Taken from the end.
        let steps = vec![Fetched::PageEnd(Box::new(end)), Fetched::Rows(page)];
        Ok(Box::new(OneChain { steps }))
    }
}

#[async_trait]
impl Chain for OneChain {
    async fn next(&mut self) -> Result<Option<Fetched>> {
        Ok(self.steps.pop())
    }
}

/// Cancels the run when a stage begins.
struct Impatient {
    stage: Option<&'static str>,
    cancel: Cancel,
}

impl ProgressSink for Impatient {
    fn event(&self, event: ProgressEvent) {
        if matches!(&event, ProgressEvent::Stage { name } if Some(name.as_str()) == self.stage) {
            self.cancel.cancel();
        }
    }
}

/// `amounts` are the sales that can be cast; `by_region` joins them with the shops.
fn plan(folder: &Path) -> Plan {
    let mut plan = plans::plan_json(&["sales", "shops"]);
    let column = |name: &str, column_type: &str| plans::column(name, column_type, true);
    let columns = |second: &str| json!({ "known": [column("shop", "integer"), column(second, "string")], "pass_through": false });
    plan["streams"][0]["columns"] = columns("amount");
    plan["streams"][0]["primary_key"] = json!([]);
    plan["streams"][1]["columns"] = columns("region");
    plan["streams"][1]["primary_key"] = json!([]);
    plan["transforms"] = json!([
        {
            "name": "amounts", "path": "provider.transforms[0]",
            "sql": "SELECT shop, CAST(amount AS BIGINT) AS amount FROM sales",
            "views": { "sales": { "stream": "sales" } },
            "checks": [], "columns": [], "primary_key": [],
        },
        {
            "name": "by_region", "path": "provider.transforms[1]",
            "sql": "SELECT s.region, count(*) AS n, sum(a.amount) AS total FROM amounts a JOIN shops s ON a.shop = s.shop GROUP BY s.region",
            "views": { "amounts": { "transform": "amounts" }, "shops": { "stream": "shops" } },
            "checks": [], "columns": [], "primary_key": [],
        },
    ]);
    let mut load = plans::load("by_region");
    load["inputs"] = json!([{ "transform": "by_region" }]);
    load["primary_key"] = json!([]);
    load["target"]["location"] = json!(folder.join("table").to_string_lossy());
    plan["loads"] = json!([load]);
    plans::plan_of(&plan)
}

impl World {
    async fn new() -> (Self, Claim, Plan) {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new();
        let store = MemoryStore::new(clock.clone());
        let plan = plan(folder.path());
        store
            .create(new_job("job-1", plan.clone()), None)
            .await
            .unwrap();
        let world = Self {
            folder,
            opened: Arc::default(),
            clock,
            store,
            chaos: Chaos::new(Fate::Lives),
            cancelled_in: None,
        };
        let claim = world.claim().await;
        let preparing = Transition::To(JobState::Preparing);
        world.store.record(&claim, preparing).await.unwrap();
        (world, claim, plan)
    }

    /// A worker takes the job over from one that is gone.
    async fn claim(&self) -> Claim {
        self.clock.advance(Duration::from_mins(2));
        let worker = WorkerId::new("worker");
        let claim = self.store.claim(&worker, Duration::from_mins(1)).await;
        claim.unwrap().unwrap()
    }

    /// One attempt in a process of its own.
    async fn run(&self, claim: &Claim, plan: &Plan) -> RunStatus {
        let outside = Outside {
            folder: self.folder.path().to_path_buf(),
            opened: Arc::clone(&self.opened),
            clock: self.clock.clone(),
        };
        let folders = Folders {
            data: self.folder.path().join("data"),
        };
        let engine = EmbeddedEngine::new(Arc::new(outside), HttpRegistry::default(), folders);
        let cancel = Cancel::new();
        let context = RunContext {
            claim: claim.clone(),
            feed: feed(),
            seq: Seq(1),
            plan: Arc::new(plan.clone()),
            nominal_time: ManualClock::epoch(),
            checkpoints: Arc::new(ChaoticStore::new(
                Arc::new(self.store.clone()),
                self.chaos.clone(),
            )),
            feeds: Arc::new(self.store.clone()) as Arc<dyn FeedStore>,
            quarantine: Arc::new(self.store.clone()) as Arc<dyn QuarantineStore>,
            secrets: Arc::new(NoSecrets),
            clock: Arc::new(self.clock.clone()),
            progress: Arc::new(Impatient {
                stage: self.cancelled_in,
                cancel: cancel.clone(),
            }),
            cancel,
        };
        let artifact = engine.compile(plan).unwrap();
        let submission = SubmissionId::new("submission-1");
        let handle = engine
            .submit(&artifact, submission, &context)
            .await
            .unwrap();
        engine.wait(&handle, &context).await.unwrap()
    }

    /// Commits what was sealed, and reads the table.
    async fn table(&self, claim: &Claim, plan: &Plan) -> Vec<String> {
        let load = &plan.loads[0];
        let outside = Outside {
            folder: self.folder.path().to_path_buf(),
            opened: Arc::default(),
            clock: self.clock.clone(),
        };
        let target = outside.target(plan, load).await.unwrap();
        let schemas = self.store.schemas(claim, "by_region").await.unwrap();
        let columns = table_columns(load, &schemas[0].columns);
        let context = LoadContext {
            id: LoadId {
                job: claim.job.clone(),
                load: load.id.clone(),
            },
            feed: feed(),
            seq: Seq(1),
            plan: load.clone(),
            columns: columns.clone(),
            versions: BTreeMap::from([(("by_region".to_owned(), 0), columns)]),
            generations: BTreeMap::new(),
            nominal_time: ManualClock::epoch(),
            oldest_unfinished: None,
            replace_bounds: Vec::new(),
            insert_only: false,
            is_replay: false,
        };
        let parts = self.store.parts(claim).await.unwrap();
        let parts = parts.into_iter();
        let parts = parts.filter(|part| part.output == Output::Load(load.id.clone()));
        let parts = target.prepare(&context, parts.collect()).await.unwrap();
        let fence = Fence {
            seq: Seq(1),
            attempt: claim.attempt,
        };
        target.commit(&fence, &context, &parts).await.unwrap();
        let mut rows = Vec::new();
        read(&self.folder.path().join("table"), &mut rows);
        rows.sort();
        rows
    }

    async fn parts(&self, claim: &Claim) -> usize {
        self.store.parts(claim).await.unwrap().len()
    }

    fn opened(&self) -> u64 {
        self.opened.load(Ordering::SeqCst)
    }
}

/// The first three columns of every Parquet file below a folder.
fn read(folder: &Path, rows: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, rows);
        }
        if path
            .extension()
            .is_none_or(|extension| extension != "parquet")
        {
            continue;
        }
        let file = std::fs::File::open(&path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let options = FormatOptions::default();
            for row in 0..batch.num_rows() {
                let values = batch.columns().iter().take(3).map(|array| {
                    let formatter = ArrayFormatter::try_new(array.as_ref(), &options).unwrap();
                    formatter.value(row).to_string()
                });
                rows.push(values.collect::<Vec<_>>().join("|"));
            }
        }
    }
}

const TABLE: [&str; 2] = ["north|3|37", "south|1|5"];

#[tokio::test]
async fn streams_are_joined_and_a_row_that_fails_is_set_aside() {
    let (world, claim, plan) = World::new().await;
    let status = world.run(&claim, &plan).await;
    assert!(matches!(status, RunStatus::Sealed), "{status:?}");
    let amounts = world.store.resume_state(&claim, "amounts").await.unwrap();
    assert_eq!(amounts.totals.rows_read, 5);
    assert_eq!(amounts.totals.rows_passed, 4);
    assert_eq!(amounts.totals.rows_quarantined, 1);
    let by_region = world.store.resume_state(&claim, "by_region").await.unwrap();
    assert_eq!(by_region.totals.rows_passed, 2);
    assert_eq!(world.table(&claim, &plan).await, TABLE);
    let spilled = world.folder.path().join("data/spill/acme/job-1");
    assert!(!spilled.exists(), "nothing is left of what was spilled");
}

#[tokio::test]
async fn a_transform_that_died_before_its_barrier_is_repeated() {
    for lost in ["amounts", "by_region"] {
        let (world, claim, plan) = World::new().await;
        world.chaos.lose_checkpoint(lost);
        let status = world.run(&claim, &plan).await;
        assert!(matches!(status, RunStatus::Failed(_)), "{lost}: {status:?}");
        assert_eq!(world.opened(), 2);
        let next = world.claim().await;
        let status = world.run(&next, &plan).await;
        assert!(matches!(status, RunStatus::Sealed), "{lost}: {status:?}");
        // Both streams were sealed: nothing is read again.
        assert_eq!(world.opened(), 2, "{lost}");
        assert_eq!(world.table(&next, &plan).await, TABLE, "{lost}");
    }
}

#[tokio::test]
async fn a_transform_whose_barrier_is_stored_is_not_repeated() {
    let (world, claim, plan) = World::new().await;
    let status = world.run(&claim, &plan).await;
    assert!(matches!(status, RunStatus::Sealed), "{status:?}");
    let parts = world.parts(&claim).await;
    let next = world.claim().await;
    let status = world.run(&next, &plan).await;
    assert!(matches!(status, RunStatus::Sealed), "{status:?}");
    assert_eq!(world.parts(&next).await, parts);
    assert_eq!(world.opened(), 2);
    assert_eq!(world.table(&next, &plan).await, TABLE);
}

#[tokio::test]
async fn a_run_that_is_cancelled_in_a_transform_goes_on_there() {
    for (stage, sealed) in [("transform amounts", 0), ("transform by_region", 4)] {
        let (mut world, claim, plan) = World::new().await;
        world.cancelled_in = Some(stage);
        let status = world.run(&claim, &plan).await;
        assert!(
            matches!(status, RunStatus::Cancelled),
            "{stage}: {status:?}"
        );
        assert_eq!(world.opened(), 2, "{stage}");
        let amounts = world.store.resume_state(&claim, "amounts").await.unwrap();
        assert_eq!(amounts.totals.rows_passed, sealed, "{stage}");
        let spilled = world.folder.path().join("data/spill/acme/job-1");
        assert!(
            !spilled.exists(),
            "{stage}: nothing is left of what was spilled"
        );

        world.cancelled_in = None;
        let next = world.claim().await;
        let status = world.run(&next, &plan).await;
        assert!(matches!(status, RunStatus::Sealed), "{stage}: {status:?}");
        // Neither the streams nor what was transformed before are done again.
        assert_eq!(world.opened(), 2, "{stage}");
        let amounts = world.store.resume_state(&next, "amounts").await.unwrap();
        assert_eq!(amounts.totals.rows_passed, 4, "{stage}");
        assert_eq!(world.table(&next, &plan).await, TABLE, "{stage}");
    }
}

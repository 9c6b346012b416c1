//! A catalog, a table in it, and loads of that table as a driver makes them; beside them pyiceberg on the same table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use arrow::array::RecordBatch;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_connectors::iceberg::IcebergTarget;
use runner_connectors::registry::TargetContext;
use runner_connectors::sink::{RowOrigin, Target, WriterContext};
use runner_core::commit::table_columns;
use runner_core::{
    Attempt, Clock, Committer as _, FeedId, Fence, JobId, LoadContext, LoadId, Part, Seq,
    SystemClock, TenantId, Written,
};
use runner_e2e::provision::READERS;
use runner_e2e::readers::Readers;
use runner_e2e::{repository, require};
use runner_plan::model::{
    Catalog, ColumnField, ColumnType, Delivery, LoadPlan, Partition, PartitionTransform,
    Target as TargetPlan,
};
use runner_spec::model::{SinkKind, WriteMode};
use runner_testkit::sink::TableSpec;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

pub(crate) use runner_testkit::sink::column;

pub(crate) const TABLE: &str = "ns.t";
pub(crate) const INPUT: &str = "stream";
const MEMORY_BYTES: usize = 16 << 20;

/// A catalog that the sink and pyiceberg both know.
pub(crate) struct Lake {
    pub catalog: Catalog,
    pub storage: Map<String, Value>,
    /// Properties of pyiceberg's catalog.
    python: Value,
    readers: PathBuf,
    folder: TempDir,
}

impl Lake {
    /// A SQLite catalog in a folder of its own; none where pyiceberg isn't installed.
    pub(crate) fn sqlite() -> Result<Option<Self>> {
        let Some(readers) = require(&READERS) else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let database = folder.path().join("catalog.db");
        let warehouse = folder.path().join("warehouse");
        Ok(Some(Self {
            python: json!({
                "name": "local",
                "type": "sql",
                "uri": format!("sqlite:///{}", database.display()),
                "warehouse": format!("file://{}", warehouse.display()),
            }),
            catalog: Catalog::Sqlite {
                file: database.display().to_string(),
                name: "local".to_owned(),
                warehouse: warehouse.display().to_string(),
            },
            storage: Map::new(),
            readers,
            folder,
        }))
    }

    pub(crate) fn rest(
        catalog: Catalog,
        storage: &Value,
        python: Value,
        readers: PathBuf,
    ) -> Result<Self> {
        Ok(Self {
            catalog,
            storage: storage.as_object().cloned().unwrap_or_default(),
            python,
            readers,
            folder: tempfile::tempdir()?,
        })
    }

    /// The runner's own folder.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("runner")
    }

    /// Files of the warehouse and of the runner, by their names.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut open = vec![self.folder.path().join("warehouse"), self.data_dir()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    open.push(entry.path());
                } else {
                    names.push(entry.file_name().to_string_lossy().into_owned());
                }
            }
        }
        names.sort();
        names
    }

    /// Runs Python beside the sink (`e2e/readers/iceberg_table.py` says with what) and returns its `answer`.
    pub(crate) fn python(&self, code: &str) -> Result<Value> {
        python(&self.readers, &self.python, code)
    }

    /// The same as something to call later.
    pub(crate) fn python_later(&self, code: &str) -> Box<dyn FnOnce() + Send> {
        let (readers, catalog, code) = (self.readers.clone(), self.python.clone(), code.to_owned());
        Box::new(move || {
            python(&readers, &catalog, &code).expect("the other writer commits");
        })
    }

    /// Rows as pyiceberg reads them, sorted.
    pub(crate) fn rows(&self) -> Result<Value> {
        self.python("answer = rows(table)")
    }

    /// Some columns of the rows as lists, sorted.
    pub(crate) fn tuples(&self, columns: &[&str]) -> Result<Value> {
        let columns = json!(columns);
        self.python(&format!(
            "answer = sorted([[row[c] for c in {columns}] for row in rows(table)], key=str)"
        ))
    }

    pub(crate) fn count(&self) -> Result<Value> {
        self.python("answer = table.scan().count()")
    }
}

fn python(readers: &Path, catalog: &Value, code: &str) -> Result<Value> {
    let output = Readers::new(readers)
        .python()
        .arg(repository().join("e2e/readers/iceberg_table.py"))
        .args([&catalog.to_string(), TABLE, code])
        .output()
        .context("python starts")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A load of the table: what a test doesn't say is as simple as can be.
pub(crate) struct Load<'a> {
    lake: &'a Lake,
    pub plan: LoadPlan,
    pub feed: String,
    pub seq: u64,
    pub job: String,
    pub clock: Arc<dyn Clock>,
    pub columns: Vec<ColumnField>,
    pub versions: Vec<Vec<ColumnField>>,
    pub generations: BTreeMap<(String, u64), u32>,
    pub replace_bounds: Vec<(String, String, String)>,
    pub insert_only: bool,
    pub oldest_unfinished: Option<DateTime<Utc>>,
}

/// Rows of one version of the schema and one chain.
#[derive(Clone)]
pub(crate) struct Rows {
    pub version: u32,
    pub origin: RowOrigin,
    pub batch: RecordBatch,
}

impl<'a> Load<'a> {
    pub(crate) fn new(lake: &'a Lake, mode: WriteMode, columns: &[ColumnField]) -> Self {
        Self {
            lake,
            plan: plan(lake, mode),
            feed: "feed".to_owned(),
            seq: 1,
            job: "job-1".to_owned(),
            clock: Arc::new(SystemClock::new()),
            columns: columns.to_vec(),
            versions: Vec::new(),
            generations: BTreeMap::new(),
            replace_bounds: Vec::new(),
            insert_only: false,
            oldest_unfinished: None,
        }
    }

    pub(crate) fn seq(mut self, seq: u64) -> Self {
        self.seq = seq;
        self.job = format!("job-{seq}");
        self
    }

    pub(crate) fn key(mut self, key: &[&str]) -> Self {
        self.plan.primary_key = key.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    pub(crate) fn cursor(mut self, column: &str) -> Self {
        self.plan.cursor_field = Some(column.to_owned());
        self
    }

    pub(crate) fn partition(
        mut self,
        column: &str,
        transform: PartitionTransform,
        name: &str,
    ) -> Self {
        self.plan.partitions.push(Partition {
            column: column.to_owned(),
            transform,
            name: name.to_owned(),
        });
        self
    }

    pub(crate) fn context(&self) -> LoadContext {
        let of = |columns: &[ColumnField]| table_columns(&self.plan, columns);
        let versions = if self.versions.is_empty() {
            vec![self.columns.clone()]
        } else {
            self.versions.clone()
        };
        LoadContext {
            id: LoadId {
                job: JobId::new(&self.job),
                load: self.plan.id.clone(),
            },
            feed: FeedId {
                tenant: TenantId::new("acme"),
                name: self.feed.clone(),
            },
            seq: Seq(self.seq),
            plan: self.plan.clone(),
            columns: of(&self.columns),
            versions: versions
                .iter()
                .zip(1..)
                .map(|(columns, version)| ((INPUT.to_owned(), version), of(columns)))
                .collect(),
            generations: self.generations.clone(),
            nominal_time: DateTime::UNIX_EPOCH,
            oldest_unfinished: self.oldest_unfinished,
            replace_bounds: self.replace_bounds.clone(),
            insert_only: self.insert_only,
            is_replay: false,
        }
    }

    pub(crate) async fn target(&self) -> runner_core::Result<IcebergTarget> {
        let context = TargetContext {
            feed: self.context().feed,
            clock: Arc::clone(&self.clock),
            ..runner_testkit::sink::context(&self.lake.data_dir())
        };
        IcebergTarget::open(&self.plan, &context).await
    }

    /// Writes rows as parts, one seal for each item.
    pub(crate) async fn write(&self, rows: &[Rows]) -> runner_core::Result<Vec<Part>> {
        let target = self.target().await?;
        let mut parts = Vec::new();
        for rows in rows {
            let columns = match self.versions.get(rows.version as usize - 1) {
                Some(columns) => columns.clone(),
                None => self.columns.clone(),
            };
            let mut writer = target
                .writer(WriterContext {
                    load: self.context(),
                    input: INPUT.to_owned(),
                    attempt: Attempt(1),
                    columns,
                    schema_version: rows.version,
                    memory_bytes: MEMORY_BYTES,
                })
                .await?;
            writer.write(&rows.batch, rows.origin).await?;
            parts.extend(writer.seal().await?);
        }
        Ok(parts)
    }

    pub(crate) async fn prepare(&self, parts: Vec<Part>) -> runner_core::Result<Vec<Part>> {
        self.target().await?.prepare(&self.context(), parts).await
    }

    pub(crate) async fn commit(&self, parts: &[Part]) -> runner_core::Result<Written> {
        let fence = Fence {
            seq: Seq(self.seq),
            attempt: Attempt(1),
        };
        // Parts are stored between prepare and commit, and read back by whoever commits.
        let stored = serde_json::to_string(parts).expect("parts are stored");
        let parts: Vec<Part> = serde_json::from_str(&stored).expect("parts are read back");
        let target = self.target().await?;
        target.commit(&fence, &self.context(), &parts).await
    }

    /// The whole of it.
    pub(crate) async fn run(&self, batch: RecordBatch) -> runner_core::Result<Written> {
        self.run_all(&[of_chain(0, batch)]).await
    }

    pub(crate) async fn run_all(&self, rows: &[Rows]) -> runner_core::Result<Written> {
        let parts = self.prepare(self.write(rows).await?).await?;
        self.commit(&parts).await
    }
}

pub(crate) fn of_chain(chain: u64, batch: RecordBatch) -> Rows {
    Rows {
        version: 1,
        origin: RowOrigin {
            chain,
            generation: 0,
        },
        batch,
    }
}

fn plan(lake: &Lake, mode: WriteMode) -> LoadPlan {
    let spec = TableSpec {
        name: TABLE.to_owned(),
        write_mode: mode,
        inputs: vec![INPUT],
        ..TableSpec::default()
    };
    LoadPlan {
        id: "0:ns.t".to_owned(),
        declared_kind: SinkKind::Iceberg,
        target: TargetPlan::Iceberg {
            catalog: lake.catalog.clone(),
            namespace: vec!["ns".to_owned()],
            table: "t".to_owned(),
            storage: lake.storage.clone(),
            format_version: 2,
            compression: "zstd".to_owned(),
        },
        allow_empty: false,
        load_columns: false,
        delivery: Delivery::Atomic,
        ..runner_testkit::sink::plan(&spec)
    }
}

type Hook = Box<dyn FnOnce() + Send>;

/// A clock that does something when it is asked for the time of the new snapshot: after a load has computed its change,
/// and before it commits it.
pub(crate) struct Interposer {
    clock: SystemClock,
    hooks: Mutex<Vec<Hook>>,
}

impl Interposer {
    /// The first hook goes off at the first try of a commit, and so on.
    pub(crate) fn new(hooks: impl IntoIterator<Item = Hook>) -> Arc<Self> {
        let mut hooks: Vec<Hook> = hooks.into_iter().collect();
        hooks.reverse();
        Arc::new(Self {
            clock: SystemClock::new(),
            hooks: Mutex::new(hooks),
        })
    }

    /// Hooks that have not gone off.
    pub(crate) fn remaining(&self) -> usize {
        self.hooks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

impl std::fmt::Debug for Interposer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interposer").finish_non_exhaustive()
    }
}

#[async_trait]
impl Clock for Interposer {
    fn now(&self) -> DateTime<Utc> {
        let hook = self
            .hooks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        if let Some(hook) = hook {
            hook();
        }
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }
}

/// `id` and `v`, the table of tests that are about rows and not about columns.
pub(crate) fn id_and_value() -> Vec<ColumnField> {
    vec![
        column("id", ColumnType::Integer),
        column("v", ColumnType::String),
    ]
}

/// Rows of that table.
pub(crate) fn pairs<'v>(rows: impl IntoIterator<Item = (i64, &'v str)>) -> RecordBatch {
    let (ids, values): (Vec<i64>, Vec<&str>) = rows.into_iter().unzip();
    let arrays: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(arrow::array::Int64Array::from(ids)),
        Arc::new(arrow::array::StringArray::from(values)),
    ];
    RecordBatch::try_new(runner_plan::arrow::arrow_schema(&id_and_value()), arrays)
        .expect("the arrays fit")
}

/// Rows `from..to` whose value is their id's text.
pub(crate) fn numbers(from: i64, to: i64) -> RecordBatch {
    let texts: Vec<String> = (from..to).map(|id| id.to_string()).collect();
    pairs((from..to).zip(texts.iter().map(String::as_str)))
}

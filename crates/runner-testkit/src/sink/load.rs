//! Plans and loads, as short as a test can say them.

use std::collections::BTreeMap;

use chrono::DateTime;
use runner_core::commit::table_columns;
use runner_core::{Attempt, FeedId, Fence, JobId, LoadContext, LoadId, Seq, TenantId};
use runner_plan::model::{
    ColumnField, ColumnType, Delivery, Input, LoadPlan, Partition, Target as TargetPlan,
};
use runner_spec::model::{Settings, SinkKind, WriteMode};

/// What a test says of a table.
#[derive(Clone, Debug, Default)]
pub struct TableSpec {
    pub name: String,
    pub write_mode: WriteMode,
    pub primary_key: Vec<&'static str>,
    pub cursor_field: Option<&'static str>,
    pub partitions: Vec<Partition>,
    pub replace_scope: Vec<&'static str>,
    pub inputs: Vec<&'static str>,
    pub target_file_bytes: Option<u64>,
}

/// A plan without a place; [`super::SinkHarness::place`] gives it one.
pub fn plan(spec: &TableSpec) -> LoadPlan {
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let inputs = if spec.inputs.is_empty() {
        vec![Input::Stream("rows".to_owned())]
    } else {
        spec.inputs
            .iter()
            .map(|name| Input::Stream((*name).to_owned()))
            .collect()
    };
    LoadPlan {
        id: format!("sink/{}", spec.name),
        sink: 0,
        sink_name: "sink".to_owned(),
        declared_kind: SinkKind::Parquet,
        table: spec.name.clone(),
        target: TargetPlan::Parquet {
            location: String::new(),
            storage: Settings::new(),
            compression: "zstd".to_owned(),
        },
        inputs,
        is_declared: true,
        write_mode: spec.write_mode,
        primary_key: texts(&spec.primary_key),
        cursor_field: spec.cursor_field.map(ToOwned::to_owned),
        replace_scope: texts(&spec.replace_scope),
        allow_empty: true,
        partitions: spec.partitions.clone(),
        added: Vec::new(),
        load_columns: true,
        target_file_bytes: spec.target_file_bytes.unwrap_or(128 << 20),
        delivery: Delivery::Idempotent,
        redirection: None,
        contract: Vec::new(),
        path: "provider.sinks[0]".to_owned(),
    }
}

/// The feed that all loads of the suite belong to.
pub fn feed() -> FeedId {
    FeedId {
        tenant: TenantId::new("acme"),
        name: "contract-suite".to_owned(),
    }
}

/// A nullable column.
pub fn column(name: &str, column_type: ColumnType) -> ColumnField {
    ColumnField {
        name: name.to_owned(),
        column_type,
        nullable: true,
    }
}

/// One load: its job, its number, the columns of its rows.
#[derive(Clone, Debug)]
pub struct Load {
    pub context: LoadContext,
    pub attempt: Attempt,
}

impl Load {
    /// The load with this number, of a job of its own.
    pub fn new(plan: &LoadPlan, seq: u64, columns: &[ColumnField]) -> Self {
        let context = LoadContext {
            id: LoadId {
                job: JobId::new(format!("job-{seq}")),
                load: plan.id.clone(),
            },
            feed: feed(),
            seq: Seq(seq),
            plan: plan.clone(),
            columns: table_columns(plan, columns),
            versions: BTreeMap::new(),
            generations: BTreeMap::new(),
            nominal_time: DateTime::default(),
            oldest_unfinished: None,
            replace_bounds: Vec::new(),
            insert_only: false,
            is_replay: false,
        };
        Self {
            context,
            attempt: Attempt(1),
        }
    }

    #[must_use]
    pub fn of_job(mut self, job: &str) -> Self {
        self.context.id.job = JobId::new(job);
        self
    }

    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = Attempt(attempt);
        self
    }

    pub fn fence(&self) -> Fence {
        Fence {
            seq: self.context.seq,
            attempt: self.attempt,
        }
    }
}

//! Transforms: each runs once everything that it reads is sealed, and its own barrier is its only one.
//!
//! Until that barrier is stored a transform has left nothing behind, so that a crash repeats it; after it, it is never run again.

mod failure;
mod pool;
mod session;
mod staged;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use futures::StreamExt as _;
use runner_connectors::meter::StreamMeter;
use runner_connectors::rows::{Reason, row_json};
use runner_connectors::schema::SchemaVersion;
use runner_connectors::scrub::Scrubber;
use runner_connectors::sink::RowOrigin;
use runner_connectors::table::widen::widen_batch;
use runner_core::checkpoint::{ChainCounters, Checkpoint, Counters, SchemaRecord};
use runner_core::commit::masked_columns;
use runner_core::engine::RunContext;
use runner_core::part::Output;
use runner_core::{
    ChainEnd, ChainKey, Error, ErrorKind, PageCursor, Part, Position, Result, fault,
};
use runner_plan::TransformPlan;
use runner_plan::model::{CheckKind, ColumnField, Input};
use runner_spec::Diagnostic;
use runner_sql::{Relation, View, analyse_transform, closed_view, view_names};

use self::failure::failed;
use self::session::Session;
use self::staged::{StagedPart, StagedView};
use self::steps::{FailedRow, RowSteps};
use crate::completeness::decoded;
use crate::conform::conform;
use crate::evaluate::Checks;
use crate::outputs::{Destinations, LoadOutput, Outputs};
use crate::parts::PartFolder;
use crate::quarantine::{QuarantineWriter, QuarantinedRow, quarantine_columns};

/// One transform of a run.
pub(crate) struct TransformRun {
    pub(crate) context: RunContext,
    pub(crate) plan: TransformPlan,
    pub(crate) loads: Vec<LoadOutput>,
    /// Where later transforms read the rows from.
    pub(crate) stage: Option<PartFolder>,
    pub(crate) quarantine: PartFolder,
    pub(crate) spill: PathBuf,
    pub(crate) memory_bytes: usize,
    pub(crate) scrubber: Scrubber,
    pub(crate) meter: StreamMeter,
}

/// Rows have one chain: a transform is repeated as a whole.
const ORIGIN: RowOrigin = RowOrigin {
    chain: 0,
    generation: 0,
};

impl TransformRun {
    /// Runs it, unless an earlier attempt has.
    pub(crate) async fn run(self) -> Result<()> {
        let context = &self.context;
        let name = &self.plan.name;
        let resumed = context
            .checkpoints
            .resume_state(&context.claim, name)
            .await?;
        if !resumed.totals.chains_ended.is_empty() {
            let totals = resumed.totals;
            self.meter.update(|progress| {
                progress.rows = totals.rows_read;
                progress.quarantined = totals.rows_quarantined;
                progress.finished = true;
            });
            return Ok(());
        }
        let ran = self.transformed().await;
        // Leftovers of a run that failed are of no use to the next.
        let _ = std::fs::remove_dir_all(&self.spill);
        ran.map_err(|error| error.with_context("transform", name))
    }

    async fn transformed(&self) -> Result<()> {
        let inputs = self.inputs().await?;
        let relation = self.relation(&inputs)?;
        let session = Session::open(&self.spill, self.memory_bytes, &inputs)?;
        let steps = RowSteps::compile(&relation.steps, &session)?;
        let columns = relation.columns.clone();
        let destinations = Destinations {
            loads: &self.loads,
            stage: self.stage.as_ref(),
            input: &self.plan.name,
            attempt: self.context.claim.attempt,
            lanes: 1,
        };
        let mut writing = Writing {
            run: self,
            checks: Checks::compile(&self.plan.checks, &columns)?,
            outputs: destinations.open(columns.clone(), 0).await?,
            quarantine: self.open_quarantine(),
            parts: Vec::new(),
            counters: ChainCounters::default(),
            columns,
        };
        let written = writing.take_all(&session, relation, &inputs, &steps).await;
        match written {
            Ok(()) => writing.barrier().await,
            Err(error) => {
                writing.abort().await;
                Err(error)
            }
        }
    }

    /// What the transform reads, as it was sealed.
    async fn inputs(&self) -> Result<BTreeMap<Input, StagedView>> {
        let parts = self.context.checkpoints.parts(&self.context.claim).await?;
        let mut inputs = BTreeMap::new();
        for input in self.plan.views.values() {
            if !inputs.contains_key(input) {
                inputs.insert(input.clone(), self.input(input, &parts).await?);
            }
        }
        Ok(inputs)
    }

    async fn input(&self, input: &Input, parts: &[Part]) -> Result<StagedView> {
        let (Input::Stream(name) | Input::Transform(name)) = input;
        let context = &self.context;
        let plan = &context.plan;
        let stream = plan.stream(name);
        let masking = stream.map_or(&[][..], |stream| stream.masking.as_slice());
        let mut schemas = context.checkpoints.schemas(&context.claim, name).await?;
        if let (true, Some(stream)) = (schemas.is_empty(), stream) {
            // Nothing was read: the columns are those of the plan.
            schemas.push(SchemaVersion::of_plan(&stream.columns, None).record());
        }
        let versions: BTreeMap<u32, Vec<ColumnField>> = schemas
            .iter()
            .map(|schema| (schema.version, masked_columns(&schema.columns, masking)))
            .collect();
        let generations = context
            .checkpoints
            .generations(&context.claim, name)
            .await?;
        let staged = parts
            .iter()
            .filter(|part| part.output == Output::Stage(name.clone()))
            .map(|part| StagedPart::new(part, &versions, &generations))
            .collect::<Result<Vec<_>>>()?;
        Ok(StagedView::new(&versions, staged))
    }

    /// The query's meaning over the columns that there are.
    fn relation(&self, inputs: &BTreeMap<Input, StagedView>) -> Result<Relation> {
        let plan = &self.context.plan;
        let known: BTreeMap<Input, View> = inputs
            .iter()
            .map(|(input, staged)| {
                let (Input::Stream(name) | Input::Transform(name)) = input;
                let key = match input {
                    Input::Stream(name) => plan.stream(name).map(|stream| &stream.primary_key),
                    Input::Transform(name) => {
                        plan.transform(name).map(|transform| &transform.primary_key)
                    }
                };
                let key = key.map(Vec::as_slice).unwrap_or_default();
                (input.clone(), closed_view(name, staged.columns(), key))
            })
            .collect();
        let analysis = analyse_transform(
            &self.plan,
            &known,
            &view_names(plan),
            self.context.nominal_time,
        );
        if let Some(relation) = analysis.relation {
            return Ok(relation);
        }
        let errors: Vec<String> = analysis
            .diagnostics
            .iter()
            .filter(|found| found.is_error())
            .map(described)
            .collect();
        Err(Error::new(
            ErrorKind::Spec,
            format!(
                "the query doesn't fit the columns that were read: {}",
                errors.join("; ")
            ),
        )
        .with_help(format!(
            "{}; where some rows make a column text, cast it in the query: those rows go to the quarantine",
            as_read(inputs)
        )))
    }

    fn open_quarantine(&self) -> QuarantineWriter {
        let name = &self.plan.name;
        let writer = self.quarantine.writer(
            Output::Quarantine(name.clone()),
            name,
            &quarantine_columns(),
            0,
            self.context.claim.attempt,
        );
        QuarantineWriter::new(self.context.claim.job.clone(), name, writer)
    }

    /// Waits for work unless the run is cancelled: a query may take long before its first rows.
    async fn or_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.context.cancel.cancelled() => {
                Err(Error::new(ErrorKind::Cancelled, "the run was cancelled"))
            }
            done = work => Ok(done),
        }
    }
}

/// The columns that a query has to fit, with the types that their rows have made them.
fn as_read(inputs: &BTreeMap<Input, StagedView>) -> String {
    let read: Vec<String> = inputs
        .iter()
        .map(|(input, staged)| {
            let (Input::Stream(name) | Input::Transform(name)) = input;
            let columns: Vec<String> = staged
                .columns()
                .iter()
                .map(|column| format!("`{}` {}", column.name, column.column_type))
                .collect();
            format!("`{name}` was read as {}", columns.join(", "))
        })
        .collect();
    read.join("; ")
}

fn described(found: &Diagnostic) -> String {
    match &found.help {
        Some(help) => format!("{} ({help})", found.message),
        None => found.message.clone(),
    }
}

/// The rows of a transform on their way to its outputs.
struct Writing<'a> {
    run: &'a TransformRun,
    checks: Checks,
    outputs: Outputs,
    quarantine: QuarantineWriter,
    /// Sealed, and known to nobody before the barrier.
    parts: Vec<Part>,
    counters: ChainCounters,
    columns: Vec<ColumnField>,
}

impl Writing<'_> {
    async fn take_all(
        &mut self,
        session: &Session,
        relation: Relation,
        inputs: &BTreeMap<Input, StagedView>,
        steps: &RowSteps,
    ) -> Result<()> {
        let views = self.run.plan.views.iter();
        let views = views
            .filter_map(|(view, input)| Some((view.clone(), inputs.get(input)?.clone())))
            .collect();
        let executed = session.execute(relation.plan, &views);
        let mut batches = self.run.or_cancelled(executed).await??;
        while let Some(batch) = self.run.or_cancelled(batches.next()).await? {
            let batch = batch.map_err(failed)?;
            let evaluated = steps.run(&batch)?;
            for row in evaluated.failed {
                self.refuse(row).await?;
            }
            for batch in &evaluated.batches {
                self.write(batch).await?;
            }
            if self.outputs.is_full() {
                self.parts.extend(self.outputs.seal().await?);
            }
        }
        fault::point("transform.end");
        Ok(())
    }

    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let open: Vec<ColumnField> = self
            .columns
            .iter()
            .map(|column| ColumnField {
                nullable: true,
                ..column.clone()
            })
            .collect();
        let batch = conform(batch, &open)?;
        let first = self.counters.rows_read;
        let rows = batch.num_rows();
        self.counters.rows_read += rows as u64;
        self.count_required(&batch);
        let mut failures: BTreeMap<usize, Vec<Reason>> =
            self.checks.run(&batch)?.into_iter().collect();
        for output in &self.run.loads {
            for (row, reason) in output.target.rejects(&batch)? {
                failures.entry(row).or_default().push(reason);
            }
        }
        let keep: BooleanArray = (0..rows)
            .map(|row| Some(!failures.contains_key(&row)))
            .collect();
        for (row, reasons) in failures {
            self.quarantine(first + row as u64, reasons, row_json(&batch, row))
                .await?;
        }
        let passed = filter_record_batch(&batch, &keep).map_err(|error| failed(error.into()))?;
        self.run
            .meter
            .update(|progress| progress.rows += rows as u64);
        if passed.num_rows() == 0 {
            return Ok(());
        }
        self.counters.rows_passed += passed.num_rows() as u64;
        let passed = widen_batch(&passed, &open, &self.columns)?;
        self.outputs.write(&passed, ORIGIN, None).await
    }

    /// A row whose values can't be computed.
    async fn refuse(&mut self, row: FailedRow) -> Result<()> {
        let number = self.counters.rows_read;
        self.counters.rows_read += 1;
        self.run.meter.update(|progress| progress.rows += 1);
        self.quarantine(number, vec![row.reason], row.raw).await
    }

    async fn quarantine(&mut self, row: u64, reasons: Vec<Reason>, raw: String) -> Result<()> {
        self.counters.rows_quarantined += 1;
        self.run.meter.update(|progress| progress.quarantined += 1);
        let row = QuarantinedRow {
            origin: Arc::from(self.run.plan.name.as_str()),
            chain: Arc::from(""),
            page: 0,
            row,
            reasons,
            raw: self.run.scrubber.hide(&raw).into_owned(),
            seq: self.run.context.seq,
            line: None,
        };
        self.quarantine.add(row, ORIGIN).await
    }

    /// Cells of required columns, and those of them that hold a value.
    fn count_required(&mut self, batch: &RecordBatch) {
        for check in &self.run.plan.checks {
            if !matches!(check.kind, CheckKind::Required) {
                continue;
            }
            let cells = decoded(batch, check);
            self.counters.required_cells += cells.all;
            self.counters.required_present += cells.present;
        }
    }

    /// Makes the transform's rows durable, and the transform done, in one transaction.
    async fn barrier(mut self) -> Result<()> {
        self.parts.extend(self.outputs.seal().await?);
        self.parts.extend(self.quarantine.seal().await?);
        let context = &self.run.context;
        let position = Position {
            chain: ChainKey::default(),
            generation: ORIGIN.generation,
            pages: 1,
            rows: self.counters.rows_read,
            last_page: PageCursor::First,
            last_page_hash: String::new(),
            next: None,
            end: Some(ChainEnd::Natural),
            seen: Vec::new(),
            sealed_at_ms: context.clock.now().timestamp_millis(),
        };
        let checkpoint = Checkpoint {
            stream: self.run.plan.name.clone(),
            barrier: 1,
            positions: vec![position],
            parts: self.parts,
            counters: Counters {
                chains: vec![self.counters],
                ..Counters::default()
            },
            schemas: vec![SchemaRecord {
                columns: self.columns,
                ..SchemaRecord::default()
            }],
            ..Checkpoint::default()
        };
        fault::point("checkpoint.before");
        context
            .checkpoints
            .checkpoint(&context.claim, &checkpoint)
            .await?;
        fault::point("checkpoint.after");
        self.run.meter.update(|progress| progress.finished = true);
        Ok(())
    }

    /// Drops what no barrier names.
    async fn abort(&mut self) {
        // The run has failed already, and leftovers are swept.
        let _ = self.outputs.abort().await;
        let _ = self.quarantine.abort().await;
    }
}

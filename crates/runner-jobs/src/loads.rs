//! What a committer is told of a load, gathered from the job's checkpoints.

use std::collections::BTreeMap;

use runner_core::commit::{LoadContext, masked_columns, table_columns};
use runner_core::job::{Claim, Job};
use runner_core::part::Output;
use runner_core::quarantine::{Hold, SealedInput};
use runner_core::{Error, ErrorKind, LoadId, Part, Result};
use runner_plan::LoadPlan;
use runner_plan::model::{ColumnField, ColumnType, Held};
use runner_spec::model::WriteMode;

use crate::replace::Coverage;
use crate::runner::Ports;

/// A page of chain outcomes.
const CHAINS_PER_PAGE: u32 = 1_000;

/// The parts of one load, in the order in which they were sealed.
pub(crate) fn parts_of(load: &LoadPlan, parts: &[Part]) -> Vec<Part> {
    parts
        .iter()
        .filter(|part| part.output == Output::Load(load.id.clone()))
        .cloned()
        .collect()
}

pub(crate) async fn load_context(
    ports: &Ports,
    claim: &Claim,
    job: &Job,
    load: &LoadPlan,
) -> Result<LoadContext> {
    let mut versions = BTreeMap::new();
    let mut generations = BTreeMap::new();
    let mut columns: Vec<ColumnField> = Vec::new();
    let sealed = inputs(ports, claim, job, load).await?;
    for (name, input) in &sealed {
        let masking = job
            .plan
            .stream(name)
            .map(|stream| stream.masking.as_slice())
            .unwrap_or_default();
        let mut last = None;
        for schema in &input.schemas {
            let rows = table_columns(load, &masked_columns(&schema.columns, masking));
            last = Some(rows.clone());
            versions.insert((name.clone(), schema.version), rows);
        }
        take_up(&mut columns, last.unwrap_or_default());
        for (chain, generation) in &input.generations {
            generations.insert((name.clone(), *chain), *generation);
        }
    }
    if columns.is_empty() {
        columns = table_columns(load, &load.contract);
    }
    Ok(LoadContext {
        id: LoadId {
            job: job.id.clone(),
            load: load.id.clone(),
        },
        feed: job.feed.clone(),
        seq: job.seq,
        plan: load.clone(),
        columns,
        versions,
        generations,
        nominal_time: job.nominal_time,
        oldest_unfinished: ports.jobs.oldest_unfinished(&job.feed).await?,
        replace_bounds: replace_bounds(ports, claim, job, load).await?,
        insert_only: job.plan.inserts_only(load),
        is_replay: job.plan.is_replay(),
    })
}

/// What the job has sealed for its loads; for one that loads what another has on hold, that.
pub(crate) async fn sealed_parts(ports: &Ports, claim: &Claim, job: &Job) -> Result<Vec<Part>> {
    match &job.plan.held {
        None => ports.checkpoints.parts(claim).await,
        Some(held) => Ok(hold(ports, job, held).await?.sealed),
    }
}

/// The inputs of a load, in their order.
async fn inputs(
    ports: &Ports,
    claim: &Claim,
    job: &Job,
    load: &LoadPlan,
) -> Result<Vec<(String, SealedInput)>> {
    let mut held = match &job.plan.held {
        None => None,
        Some(held) => Some(hold(ports, job, held).await?.inputs),
    };
    let mut inputs = Vec::with_capacity(load.inputs.len());
    for input in &load.inputs {
        let name = input.name();
        let sealed = match &mut held {
            Some(held) => held.remove(name).unwrap_or_default(),
            None => SealedInput {
                schemas: ports.checkpoints.schemas(claim, name).await?,
                generations: ports.checkpoints.generations(claim, name).await?,
            },
        };
        inputs.push((name.to_owned(), sealed));
    }
    Ok(inputs)
}

async fn hold(ports: &Ports, job: &Job, held: &Held) -> Result<Hold> {
    let feed = &job.feed;
    let holds = ports
        .quarantine
        .holds(&feed.tenant, Some(&feed.name))
        .await?;
    holds
        .into_iter()
        .find(|hold| hold.job.as_str() == held.job && hold.load == held.load)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Conflict,
                format!(
                    "job `{}` has no rows of `{}` on hold any more",
                    held.job, held.load
                ),
            )
        })
}

/// A windowed replace takes away what the read windows cover, and nothing else.
async fn replace_bounds(
    ports: &Ports,
    claim: &Claim,
    job: &Job,
    load: &LoadPlan,
) -> Result<Vec<(String, String, String)>> {
    if load.write_mode != WriteMode::Replace || load.replace_scope.is_empty() {
        return Ok(Vec::new());
    }
    let mut coverage = Coverage::default();
    for input in &load.inputs {
        let name = input.name();
        let stream = job.plan.stream(name);
        if stream.is_none_or(|stream| stream.incremental.is_none()) {
            continue;
        }
        let mut after = None;
        loop {
            let page = ports
                .checkpoints
                .chain_outcomes(claim, name, after.as_ref(), CHAINS_PER_PAGE)
                .await?;
            let Some(last) = page.last() else { break };
            after = Some(last.chain.clone());
            for outcome in &page {
                coverage.add(outcome, load)?;
            }
        }
        coverage.end_input(load)?;
    }
    let Some((from, to)) = coverage.bounds(load)? else {
        return Ok(Vec::new());
    };
    Ok(load
        .replace_scope
        .iter()
        .map(|column| (column.clone(), from.clone(), to.clone()))
        .collect())
}

/// Columns of several inputs as one table's: a column has the type that holds the values of all.
fn take_up(columns: &mut Vec<ColumnField>, more: Vec<ColumnField>) {
    for column in more {
        match columns.iter_mut().find(|known| known.name == column.name) {
            None => columns.push(column),
            Some(known) => {
                known.nullable |= column.nullable;
                known.column_type = wider(&known.column_type, &column.column_type);
            }
        }
    }
}

/// Inputs of one table have equal columns by the plan, and differ only by what each had to widen.
fn wider(left: &ColumnType, right: &ColumnType) -> ColumnType {
    use ColumnType::{Decimal, Integer, Json, Number};
    match (left, right) {
        _ if left == right => left.clone(),
        (Json, _) | (_, Json) => Json,
        (Integer, Number) | (Number, Integer) => Number,
        (Integer, decimal @ Decimal { .. }) | (decimal @ Decimal { .. }, Integer) => {
            decimal.clone()
        }
        _ => ColumnType::String,
    }
}

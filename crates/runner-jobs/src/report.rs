//! The report of a job, from what the store has of it: the same for a run that was resumed ten times.

use std::collections::BTreeMap;

use runner_core::checkpoint::{Observed, StreamSummary, Warning};
use runner_core::job::{Claim, Job, JobState};
use runner_core::report::{Report, ReportError, SinkReport, StreamReport};
use runner_core::{Error, ErrorKind, LoadId, Result};
use runner_plan::LoadPlan;
use runner_plan::model::{Input, Target};

use crate::fields;
use crate::gates::measure;
use crate::runner::Ports;

/// The status of a job that was told to stop before its end.
const INTERRUPTED: &str = "interrupted";

/// Reports a job. `left` is why this attempt stopped, where the job's own record doesn't say.
pub async fn report(
    ports: &Ports,
    claim: &Claim,
    job: &Job,
    left: Option<Error>,
) -> Result<Report> {
    let mut streams = Vec::new();
    let mut summaries = ports.jobs.summary(&claim.tenant, &job.id).await?;
    summaries.sort_by_key(|summary| place(job, &summary.stream));
    let accepted = ports.feeds.state(&job.feed).await?.accepted;
    let warnings = warnings(job, &summaries, &accepted);
    for summary in summaries {
        let totals = summary.totals;
        let is_loaded =
            job.state == JobState::Completed && loads_of(job, &summary.stream).next().is_some();
        streams.push(StreamReport {
            name: summary.stream,
            requests: totals.requests,
            pages: totals.pages,
            rows_read: totals.rows_read,
            rows_loaded: if is_loaded { totals.rows_passed } else { 0 },
            rows_quarantined: totals.rows_quarantined,
            rows_outside: totals.rows_outside,
            rows_repeated: totals.rows_repeated,
            bytes_read: totals.bytes_read,
        });
    }
    // Nobody works on it now, and it goes on where it stopped.
    let is_interrupted = !job.state.is_terminal()
        && left
            .as_ref()
            .is_some_and(|error| error.kind() == ErrorKind::Cancelled);
    let error = match (&job.failure, left) {
        (Some(failure), _) => Some(ReportError {
            kind: failure.kind,
            message: failure.message.clone(),
            help: failure.help.clone(),
        }),
        (None, Some(error)) => Some(ReportError {
            kind: error.kind(),
            message: error.chain(),
            help: error.help().map(str::to_owned),
        }),
        (None, None) => None,
    };
    let seconds = job.ended_at.unwrap_or_else(|| ports.clock.now())
        - job.started_at.unwrap_or(job.created_at);
    Ok(Report {
        success: job.state == JobState::Completed,
        job_id: job.id.clone(),
        spec_name: job.feed.name.clone(),
        engine: engine_name(job),
        status: if is_interrupted {
            INTERRUPTED.to_owned()
        } else {
            job.state.as_str().to_owned()
        },
        partial: job.partial,
        error,
        duration_seconds: (seconds.as_seconds_f64() * 1000.0).round() / 1000.0,
        streams,
        sinks: job
            .plan
            .loads
            .iter()
            .filter_map(|load| sink(job, load))
            .collect(),
        warnings,
    })
}

/// Everything that a job warns of: what its totals say, then what came up while it read. `accepted` are the fields of the feed's runs.
pub fn warnings(
    job: &Job,
    summaries: &[StreamSummary],
    accepted: &BTreeMap<String, Observed>,
) -> Vec<Warning> {
    let mut warnings = quality_warnings(job, summaries);
    warnings.extend(fields::warnings(
        &job.plan,
        summaries,
        accepted,
        has_read_all(job),
    ));
    let of_streams = summaries.iter().flat_map(|summary| &summary.warnings);
    warnings.extend(of_streams.cloned());
    warnings
}

/// Streams stand in the order of the plan, transforms behind them.
fn place(job: &Job, name: &str) -> usize {
    let streams = job.plan.streams.iter().map(|stream| &stream.name);
    let transforms = job.plan.transforms.iter().map(|transform| &transform.name);
    streams
        .chain(transforms)
        .position(|known| known == name)
        .unwrap_or(usize::MAX)
}

/// Whether every row of the job's streams was read: it came as far as its gates.
fn has_read_all(job: &Job) -> bool {
    let is_gated = job
        .failure
        .as_ref()
        .is_some_and(|failure| matches!(failure.kind, ErrorKind::Quality | ErrorKind::Drift));
    job.state == JobState::Completed || is_gated
}

/// Broken thresholds that the document doesn't let block the run.
fn quality_warnings(job: &Job, summaries: &[StreamSummary]) -> Vec<Warning> {
    let gates = &job.plan.gates;
    if gates.block_on_quality_drop || job.state != JobState::Completed {
        return Vec::new();
    }
    let totals = summaries
        .iter()
        .map(|summary| (summary.stream.as_str(), &summary.totals));
    measure(gates, totals)
        .iter()
        .filter(|measurement| measurement.is_broken())
        .map(|measurement| Warning {
            code: "quality_below_threshold".to_owned(),
            stream: Some(measurement.stream.clone()),
            message: measurement.to_string(),
        })
        .collect()
}

fn sink(job: &Job, load: &LoadPlan) -> Option<SinkReport> {
    let written = job
        .loads
        .iter()
        .find(|state| state.load == load.id)?
        .written
        .as_ref()?;
    let kind = match &load.target {
        Target::Parquet { .. } => "parquet",
        Target::Iceberg { .. } => "iceberg",
        Target::Postgres { .. } => "postgres",
    };
    Some(SinkReport {
        kind: kind.to_owned(),
        table: load.table.clone(),
        location: written.location.clone(),
        rows: written.rows,
        bytes: written.bytes,
        load_id: LoadId {
            job: job.id.clone(),
            load: load.id.clone(),
        }
        .to_string(),
    })
}

/// Names are unique across streams and transforms.
fn loads_of<'a>(job: &'a Job, name: &'a str) -> impl Iterator<Item = &'a LoadPlan> {
    job.plan.loads.iter().filter(move |load| {
        load.inputs.iter().any(|input| {
            let (Input::Stream(known) | Input::Transform(known)) = input;
            known == name
        })
    })
}

fn engine_name(job: &Job) -> String {
    serde_json::to_value(job.plan.engine.engine)
        .ok()
        .and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}

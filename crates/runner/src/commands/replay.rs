//! `quarantine replay`: a job that loads quarantined rows by the document of today.

use std::fs::File;

use arrow::array::{AsArray, RecordBatch};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use runner_core::job::Job;
use runner_core::quarantine::{QuarantineFile, QuarantineFilter, QuarantineMark};
use runner_core::{Error, ErrorKind, FeedId, JobId, Result, TenantId, ranges};
use runner_engine_embedded::PartFolder;
use runner_plan::Plan;
use runner_plan::model::{MaskedColumn, ReplayPart};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::feed::{Hints, planned};
use super::run::{create, discard, drive, other_document};
use crate::arguments::ReplayArguments;
use crate::document::Planned;
use crate::exit_code;
use crate::settings::Settings;
use crate::terminal::Terminal;
use crate::wiring::Store;

/// Files that one replay takes at most.
const FILES: u32 = 10_000;
/// What the quarantine has of these rows is not the row: no document can mend it.
const NOT_ROWS: [&str; 2] = ["malformed", "unreadable_file"];

pub(crate) async fn replay(
    arguments: &ReplayArguments,
    settings: &Settings,
    terminal: Terminal,
) -> Result<u8> {
    let store = Store::open(settings).await?;
    let Some(planned) =
        planned(&arguments.feed(), Hints::OfRun, &store, settings, terminal).await?
    else {
        return Ok(exit_code::of(ErrorKind::Spec));
    };
    let feed = FeedId {
        tenant: TenantId::new(&planned.plan.tenant),
        name: planned.plan.feed.clone(),
    };
    let parameters = parameters_hash(arguments, &planned.plan)?;
    let id = match store.jobs().unfinished(&feed).await? {
        Some(job) if arguments.restart => {
            discard(&store, settings, &job, terminal).await?;
            None
        }
        Some(job) if is_continued(&job, &planned.plan, &parameters) => Some(job.id),
        Some(job) => return Err(other_document(&job)),
        None => None,
    };
    let id = if let Some(id) = id {
        id
    } else {
        let selection = select(arguments, &store, &feed, &planned.plan).await?;
        for note in &selection.notes {
            terminal.note(note);
        }
        if selection.parts.is_empty() {
            return nothing(&feed, terminal);
        }
        let planned = Planned {
            plan: planned
                .plan
                .into_replay(selection.parts, arguments.overwrite),
            ..planned
        };
        create(&store, &feed, planned, parameters).await?
    };
    drive(&store, settings, &feed.tenant, &id, terminal).await
}

/// Rows to load, and what people should know of the others.
#[derive(Debug, Default)]
struct Selection {
    parts: Vec<ReplayPart>,
    notes: Vec<String>,
}

async fn select(
    arguments: &ReplayArguments,
    store: &Store,
    feed: &FeedId,
    plan: &Plan,
) -> Result<Selection> {
    let files = files(arguments, store, feed).await?;
    let mut selection = Selection::default();
    let mut refusals: Vec<String> = Vec::new();
    let mut left_out = 0;
    for file in &files {
        let replayed = store
            .quarantine()
            .replayed(&feed.tenant, &file.job, &file.part.name)
            .await?;
        let mut taken: Vec<(u64, u64)> = replayed.iter().map(|rows| (rows.from, rows.to)).collect();
        taken.extend(&file.superseded);
        let left = ranges::subtract(&[(0, file.part.rows)], &taken);
        if left.is_empty() {
            continue;
        }
        if let Some(refusal) = plan.replay_refusal(&file.stream) {
            if !refusals.contains(&refusal) {
                refusals.push(refusal);
            }
            continue;
        }
        let (part, hidden) = part(file, &left, plan)?;
        left_out += hidden;
        selection.parts.extend(part);
    }
    if let (true, Some(refusal)) = (selection.parts.is_empty(), refusals.first()) {
        return Err(refused(refusal));
    }
    let notes = refusals
        .iter()
        .map(|refusal| format!("some rows stay in the quarantine: {refusal}"));
    selection.notes.extend(notes);
    if left_out > 0 {
        selection.notes.push(format!(
            "{left_out} rows stay in the quarantine: what it has of them is not the whole row"
        ));
    }
    Ok(selection)
}

/// Files of completed runs, those of earlier runs first: of two rows with one key the later one should win.
async fn files(
    arguments: &ReplayArguments,
    store: &Store,
    feed: &FeedId,
) -> Result<Vec<QuarantineFile>> {
    let filter = QuarantineFilter {
        feed: Some(feed.name.clone()),
        job: arguments.job.as_deref().map(JobId::new),
        stream: arguments.stream.clone(),
        limit: FILES,
    };
    let mut files = store.quarantine().files(&feed.tenant, &filter).await?;
    if let (Some(job), true) = (&arguments.job, files.is_empty()) {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!(
                "job `{job}` has no quarantined rows of the feed `{}`",
                feed.name
            ),
        )
        .with_help("`quarantine list` shows those that are there"));
    }
    if let (Some(job), Some(file)) = (
        &arguments.job,
        files
            .iter()
            .find(|file| file.mark != QuarantineMark::Loaded),
    ) {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("rows of job `{job}` can't be replayed: the run did not complete"),
        )
        .with_context("stream", &file.stream)
        .with_help("its rows come again with the next run of the feed"));
    }
    files.retain(|file| file.mark == QuarantineMark::Loaded);
    files.reverse();
    files.sort_by_key(|file| file.seq);
    Ok(files)
}

fn refused(refusal: &str) -> Error {
    Error::new(
        ErrorKind::Spec,
        format!("the rows can't be replayed: {refusal}"),
    )
    .with_help("run the feed again, so that the source sends them once more")
}

/// The rows of a file that can be read again, and the number of those that can't.
fn part(
    file: &QuarantineFile,
    left: &[(u64, u64)],
    plan: &Plan,
) -> Result<(Option<ReplayPart>, u64)> {
    let Some(path) = PartFolder::file(&file.part) else {
        return Ok((None, 0));
    };
    let masked = plan
        .stream(&file.stream)
        .map(|stream| stream.masking.as_slice())
        .unwrap_or_default();
    let count = |ranges: &[(u64, u64)]| -> u64 { ranges.iter().map(|(from, to)| to - from).sum() };
    let unusable = unusable(file, masked)?;
    let rows = ranges::subtract(left, &unusable);
    let left_out = count(left) - count(&rows);
    let part = (!rows.is_empty()).then(|| ReplayPart {
        stream: file.stream.clone(),
        job: file.job.to_string(),
        seq: file.seq.0,
        part: file.part.name.clone(),
        path: path.display().to_string(),
        rows,
    });
    Ok((part, left_out))
}

/// Rows that the quarantine doesn't have as they came: no rows at all, or rows whose masked values are what was wrong.
fn unusable(file: &QuarantineFile, masked: &[MaskedColumn]) -> Result<Vec<(u64, u64)>> {
    let path = PartFolder::file(&file.part).unwrap_or_default();
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(
            ErrorKind::NotFound,
            format!("failed to read the quarantine file `{}`", path.display()),
        )
        .with_source(error)
    };
    let reader = File::open(&path).map_err(|error| failed(error.into()))?;
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(reader).map_err(|error| failed(error.into()))?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["reasons"]);
    let batches = builder
        .with_projection(mask)
        .build()
        .map_err(|error| failed(error.into()))?;
    let mut unusable = Vec::new();
    let mut number = 0;
    for batch in batches {
        let batch: RecordBatch = batch.map_err(|error| failed(error.into()))?;
        let reasons = batch
            .columns()
            .first()
            .and_then(|column| column.as_string_opt::<i32>());
        for row in 0..batch.num_rows() {
            let text = reasons
                .map(|reasons| reasons.value(row))
                .unwrap_or_default();
            if is_unusable(text, masked) {
                unusable.push((number, number + 1));
            }
            number += 1;
        }
    }
    Ok(ranges::union(&unusable))
}

fn is_unusable(reasons: &str, masked: &[MaskedColumn]) -> bool {
    let reasons: Vec<serde_json::Value> = serde_json::from_str(reasons).unwrap_or_default();
    reasons.iter().any(|reason| {
        let is_no_row = reason["code"]
            .as_str()
            .is_some_and(|code| NOT_ROWS.contains(&code));
        let is_hidden = reason["column"].as_str().is_some_and(|column| {
            masked.iter().any(|masked| {
                column
                    .strip_prefix(masked.column.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        });
        is_no_row || is_hidden
    })
}

fn nothing(feed: &FeedId, terminal: Terminal) -> Result<u8> {
    if terminal.json {
        terminal.print_json(&json!({
            "success": true,
            "job_id": null,
            "spec_name": feed.name,
            "status": "nothing_to_replay",
            "streams": [],
            "sinks": [],
            "warnings": [],
        }))?;
    } else {
        terminal.print("no quarantined rows are left to replay\n")?;
    }
    Ok(exit_code::SUCCESS)
}

fn is_continued(job: &Job, plan: &Plan, parameters: &str) -> bool {
    job.plan.replay.is_some()
        && job.document_hash == plan.document_hash
        && job.parameters_hash == parameters
}

/// Of everything beside the document that decides what a replay does; no run has the same.
fn parameters_hash(arguments: &ReplayArguments, plan: &Plan) -> Result<String> {
    let deciding = (
        "replay",
        &plan.parameters,
        &plan.engine.engine,
        &arguments.job,
        &arguments.stream,
        arguments.overwrite,
    );
    let text = serde_json::to_vec(&deciding).map_err(|error| {
        Error::new(ErrorKind::Internal, "failed to hash the parameters").with_source(error)
    })?;
    Ok(hex::encode(Sha256::digest(&text)))
}

#[cfg(test)]
mod tests {
    use runner_spec::model::Masking;

    use super::*;

    #[test]
    fn rows_that_the_quarantine_has_not_as_they_came_stay_there() {
        let masked = [MaskedColumn {
            column: "email".to_owned(),
            masking: Masking::Hash,
        }];
        for (reasons, expected) in [
            (r#"[{"code":"range","column":"price","message":""}]"#, false),
            (r#"[{"code":"malformed","column":null,"message":""}]"#, true),
            (
                r#"[{"code":"unreadable_file","column":null,"message":""}]"#,
                true,
            ),
            (r#"[{"code":"format","column":"email","message":""}]"#, true),
            (
                r#"[{"code":"format","column":"email.domain","message":""}]"#,
                true,
            ),
            (
                r#"[{"code":"format","column":"email_2","message":""}]"#,
                false,
            ),
        ] {
            assert_eq!(is_unusable(reasons, &masked), expected, "{reasons}");
        }
    }
}

//! `quarantine`: rows that failed a check, whole and with their reasons.

use std::fmt::Write as _;
use std::fs::File;

use arrow::array::{Array, AsArray, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use runner_core::quarantine::{QuarantineFile, QuarantineFilter, QuarantineMark};
use runner_core::{Error, ErrorKind, JobId, Result};
use runner_engine_embedded::PartFolder;
use serde_json::{Value, json};

use super::jobs::find;
use super::replay::replay;
use crate::arguments::QuarantineCommand;
use crate::exit_code;
use crate::settings::Settings;
use crate::terminal::Terminal;
use crate::wiring::Store;

/// Files listed at most.
const LISTED: u32 = 200;

pub(crate) async fn quarantine(
    command: QuarantineCommand,
    settings: &Settings,
    terminal: Terminal,
) -> Result<u8> {
    let store = Store::open(settings).await?;
    match command {
        QuarantineCommand::List { feed } => list(&store, settings, feed, terminal).await,
        QuarantineCommand::Show { job, stream, limit } => {
            show(&store, settings, &job, stream, limit, terminal).await
        }
        QuarantineCommand::Replay(arguments) => replay(&arguments, settings, terminal).await,
    }
}

async fn list(
    store: &Store,
    settings: &Settings,
    feed: Option<String>,
    terminal: Terminal,
) -> Result<u8> {
    let filter = QuarantineFilter {
        feed,
        limit: LISTED,
        ..QuarantineFilter::default()
    };
    let mut files = Vec::new();
    for tenant in store.tenants(settings).await? {
        files.extend(store.quarantine().files(&tenant, &filter).await?);
    }
    let mut replayed = Vec::with_capacity(files.len());
    for file in &files {
        replayed.push(replayed_rows(store, file).await?);
    }
    if terminal.json {
        let listed: Vec<Value> = files
            .iter()
            .zip(&replayed)
            .map(|(file, replayed)| with_replayed(file, *replayed))
            .collect();
        terminal.print_json(&json!({ "files": listed }))?;
        return Ok(exit_code::SUCCESS);
    }
    let mut text = format!(
        "{:<40} {:<24} {:<20} {:>8} {:>8}  {}\n",
        "JOB", "FEED", "STREAM", "ROWS", "REPLAYED", "RUN"
    );
    for (file, replayed) in files.iter().zip(&replayed) {
        let mark = serde_json::to_value(file.mark).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<40} {:<24} {:<20} {:>8} {:>8}  {}",
            file.job.as_str(),
            file.feed.name,
            file.stream,
            file.rows(),
            replayed,
            mark.as_str().unwrap_or_default()
        );
    }
    terminal.print(if files.is_empty() {
        "the quarantine is empty\n"
    } else {
        &text
    })?;
    Ok(exit_code::SUCCESS)
}

/// Rows of a file that were replayed; of a run that didn't complete none can be.
async fn replayed_rows(store: &Store, file: &QuarantineFile) -> Result<u64> {
    if file.mark != QuarantineMark::Loaded {
        return Ok(0);
    }
    let replayed = store
        .quarantine()
        .replayed(&file.feed.tenant, &file.job, &file.part.name)
        .await?;
    Ok(replayed.iter().map(|rows| rows.to - rows.from).sum())
}

fn with_replayed(file: &QuarantineFile, replayed: u64) -> Value {
    let mut listed = json!(file);
    listed["rows_replayed"] = json!(replayed);
    listed
}

async fn show(
    store: &Store,
    settings: &Settings,
    job: &str,
    stream: Option<String>,
    limit: usize,
    terminal: Terminal,
) -> Result<u8> {
    let filter = QuarantineFilter {
        job: Some(JobId::new(job)),
        stream: stream.clone(),
        limit: LISTED,
        ..QuarantineFilter::default()
    };
    let mut files = Vec::new();
    for tenant in store.tenants(settings).await? {
        files.extend(store.quarantine().files(&tenant, &filter).await?);
    }
    if files.is_empty() {
        // A job that is unknown isn't one without bad rows.
        find(store, settings, job).await?;
    }
    let mut rows = Vec::new();
    for file in &files {
        if rows.len() >= limit {
            break;
        }
        rows.extend(read(file, limit - rows.len())?);
    }
    if terminal.json {
        terminal.print_json(&json!({ "job_id": job, "rows": rows }))?;
        return Ok(exit_code::SUCCESS);
    }
    let mut text = String::new();
    for row in &rows {
        let field = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        // Writing to a string cannot fail.
        let line = row["line"]
            .as_u64()
            .map_or_else(String::new, |line| format!(" line {line}"));
        let _ = writeln!(
            text,
            "{}  {}  page {} row {}{line}",
            field("stream"),
            field("request"),
            row["page"],
            row["row"]
        );
        for reason in row["reasons"].as_array().into_iter().flatten() {
            let of = |name: &str| reason[name].as_str().unwrap_or_default();
            let (code, message) = (of("code"), of("message"));
            // Most messages name their column themselves.
            let column = match of("column") {
                "" => String::new(),
                column if message.contains(&format!("`{column}`")) => String::new(),
                column => format!("`{column}`: "),
            };
            let _ = writeln!(text, "    {code}: {column}{message}");
        }
        let _ = writeln!(text, "    {}", field("raw"));
    }
    if rows.is_empty() {
        text = stream.map_or_else(
            || format!("job {job} has no quarantined rows"),
            |stream| format!("job {job} has no quarantined rows of a stream `{stream}`"),
        );
    }
    terminal.print(&text)?;
    Ok(exit_code::SUCCESS)
}

/// Rows of a file as JSON, those left out that a chain's new start superseded.
fn read(file: &QuarantineFile, limit: usize) -> Result<Vec<Value>> {
    let Some(path) = PartFolder::file(&file.part) else {
        return Ok(Vec::new());
    };
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(
            ErrorKind::NotFound,
            format!("failed to read the quarantine file `{}`", path.display()),
        )
        .with_source(error)
    };
    let reader = File::open(&path).map_err(|error| failed(error.into()))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(reader)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|error| failed(error.into()))?;
    let mut rows = Vec::new();
    let mut number = 0;
    for batch in reader {
        let batch = batch.map_err(|error| failed(error.into()))?;
        for row in 0..batch.num_rows() {
            let is_superseded = file
                .superseded
                .iter()
                .any(|(from, to)| (*from..*to).contains(&number));
            number += 1;
            if is_superseded {
                continue;
            }
            if rows.len() == limit {
                return Ok(rows);
            }
            rows.push(json(&batch, row));
        }
    }
    Ok(rows)
}

fn json(batch: &RecordBatch, row: usize) -> Value {
    let mut object = serde_json::Map::new();
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        let value = if array.is_null(row) {
            Value::Null
        } else if let Some(texts) = array.as_string_opt::<i32>() {
            Value::String(texts.value(row).to_owned())
        } else if let Some(numbers) = array.as_primitive_opt::<arrow::datatypes::Int64Type>() {
            Value::from(numbers.value(row))
        } else {
            Value::Null
        };
        // Reasons are a list already, not a text of one.
        let value = match (field.name().as_str(), value) {
            ("reasons", Value::String(text)) => {
                serde_json::from_str(&text).unwrap_or(Value::String(text))
            }
            (_, value) => value,
        };
        object.insert(field.name().clone(), value);
    }
    Value::Object(object)
}

//! `preview`: the first rows of a feed, raw and mapped; nothing is loaded.

use std::fmt::Write as _;
use std::sync::Arc;

use runner_core::{Cancel, ErrorKind, Result};
use runner_engine_embedded::{Preview, PreviewContext, PreviewRow};
use runner_plan::Plan;
use serde_json::{Value, json};

use super::feed::{Hints, planned, registry};
use crate::arguments::PreviewArguments;
use crate::exit_code;
use crate::settings::Settings;
use crate::terminal::Terminal;
use crate::wiring::{self, Store};

pub(crate) async fn preview(
    arguments: &PreviewArguments,
    settings: &Settings,
    terminal: Terminal,
) -> Result<u8> {
    let store = Store::open(settings).await?;
    let Some(planned) =
        planned(&arguments.feed, Hints::Counted, &store, settings, terminal).await?
    else {
        return Ok(exit_code::of(ErrorKind::Spec));
    };
    let previews = read(planned.plan, arguments.stream.as_deref(), &store, settings).await?;
    if terminal.json {
        let streams: Vec<Value> = previews.iter().map(as_json).collect();
        terminal.print_json(&json!({ "streams": streams }))?;
    } else {
        let texts: Vec<String> = previews.iter().map(as_text).collect();
        terminal.print(&texts.join("\n"))?;
    }
    Ok(exit_code::SUCCESS)
}

/// Reads the first rows of one stream, or of each.
pub(super) async fn read(
    plan: Plan,
    only: Option<&str>,
    store: &Store,
    settings: &Settings,
) -> Result<Vec<Preview>> {
    let engine = registry(settings, store)?.embedded();
    let limit = plan.row_limit.unwrap_or(u64::MAX);
    let context = PreviewContext {
        secrets: wiring::secrets(settings)?,
        clock: Arc::clone(&store.clock),
        nominal_time: store.clock.now(),
        cancel: Cancel::new(),
        plan: Arc::new(plan),
    };
    if let Some(stream) = only {
        let rows = rows_of(&context.plan, stream, limit);
        return Ok(vec![engine.preview(&context, stream, rows).await?]);
    }
    let mut previews = Vec::new();
    for stream in &context.plan.streams {
        let rows = rows_of(&context.plan, &stream.name, limit);
        previews.push(engine.preview(&context, &stream.name, rows).await?);
    }
    Ok(previews)
}

fn rows_of(plan: &Plan, name: &str, limit: u64) -> usize {
    plan.streams
        .iter()
        .find(|stream| stream.name == name)
        .and_then(|stream| usize::try_from(limit.min(u64::from(stream.sample_size))).ok())
        .unwrap_or_default()
}

/// Names and types of the columns that the rows have.
pub(super) fn columns_text(preview: &Preview) -> String {
    let mut text = format!(
        "{}: {} row{} of {} chain{}\n",
        preview.stream,
        preview.rows.len(),
        if preview.rows.len() == 1 { "" } else { "s" },
        preview.chains,
        if preview.chains == 1 { "" } else { "s" },
    );
    for column in &preview.columns {
        let null = if column.nullable { "" } else { "  not null" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:<28} {}{null}", column.name, column.column_type);
    }
    text
}

fn as_text(preview: &Preview) -> String {
    let mut text = columns_text(preview);
    for (number, row) in (1..).zip(&preview.rows) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n  row {number}\n    raw     {}", row.raw);
        if let Some(mapped) = &row.mapped {
            let _ = writeln!(text, "    mapped  {mapped}");
        }
        for reason in &row.reasons {
            let _ = writeln!(text, "    {}: {}", reason.code, reason.message);
        }
    }
    text
}

pub(super) fn columns_json(preview: &Preview) -> Value {
    let columns: Vec<Value> = preview
        .columns
        .iter()
        .map(|column| {
            json!({
                "name": column.name,
                "type": column.column_type.to_string(),
                "nullable": column.nullable,
            })
        })
        .collect();
    json!({
        "name": preview.stream,
        "chains": preview.chains,
        "rows": preview.rows.len(),
        "columns": columns,
    })
}

fn as_json(preview: &Preview) -> Value {
    let mut value = columns_json(preview);
    value["rows"] = preview.rows.iter().map(row_json).collect();
    value
}

/// A row that came as something else than JSON is shown as the text that it was.
fn row_json(row: &PreviewRow) -> Value {
    let parsed =
        |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    json!({
        "raw": parsed(&row.raw),
        "mapped": row.mapped.as_deref().map(parsed),
        "reasons": row.reasons,
    })
}

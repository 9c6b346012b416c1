//! `drift`: how a source's schema changed, and accepting it.

use std::fmt::Write as _;

use runner_core::feed::{DriftDecision, DriftRecord};
use runner_core::job::{Job, JobFilter};
use runner_core::{Error, ErrorKind, Result};
use runner_jobs::drift::accepted_by_operator;
use serde_json::json;

use super::state::find;
use crate::arguments::DriftCommand;
use crate::exit_code;
use crate::settings::Settings;
use crate::terminal::Terminal;
use crate::wiring::{Store, operator};

pub(crate) async fn drift(
    command: DriftCommand,
    settings: &Settings,
    terminal: Terminal,
) -> Result<u8> {
    let store = Store::open(settings).await?;
    match command {
        DriftCommand::Show { feed, limit } => show(&store, settings, &feed, limit, terminal).await,
        DriftCommand::Accept { feed, stream } => {
            accept(&store, settings, &feed, stream.as_deref(), terminal).await
        }
    }
}

async fn show(
    store: &Store,
    settings: &Settings,
    feed: &str,
    limit: u32,
    terminal: Terminal,
) -> Result<u8> {
    let feed = find(store, settings, feed).await?;
    let records = store.feeds().drift(&feed, limit).await?;
    if terminal.json {
        terminal.print_json(&json!({ "feed": feed, "drift": records }))?;
        return Ok(exit_code::SUCCESS);
    }
    let mut text = String::new();
    for record in &records {
        let decision = serde_json::to_value(record.decision).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}  {}  {}  {}",
            record.at.format("%Y-%m-%d %H:%M:%S"),
            record.job,
            record.stream,
            decision.as_str().unwrap_or_default()
        );
        for change in &record.changes {
            let kind = serde_json::to_value(change.kind).unwrap_or_default();
            let _ = writeln!(
                text,
                "    {:<8} {:<32} {} → {}",
                kind.as_str().unwrap_or_default(),
                change.field,
                change.before.as_deref().unwrap_or("-"),
                change.after.as_deref().unwrap_or("-")
            );
        }
    }
    terminal.print(if records.is_empty() {
        "no drift is recorded\n"
    } else {
        &text
    })?;
    Ok(exit_code::SUCCESS)
}

fn no_drift_in(stream: Option<&str>, blocked: &Job, records: &[DriftRecord]) -> Error {
    let changed: Vec<&str> = records
        .iter()
        .filter(|record| record.job == blocked.id && record.decision == DriftDecision::Blocked)
        .map(|record| record.stream.as_str())
        .collect();
    let place = stream.map_or_else(String::new, |stream| format!(" in `{stream}`"));
    Error::new(
        ErrorKind::NotFound,
        format!("the blocked run `{}` has no drift{place}", blocked.id),
    )
    .with_help(format!("it has some in `{}`", changed.join("`, `")))
}

/// Accepts what the feed's last blocked run observed.
async fn accept(
    store: &Store,
    settings: &Settings,
    feed: &str,
    stream: Option<&str>,
    terminal: Terminal,
) -> Result<u8> {
    const LOOKED_AT: u32 = 50;
    let feed = find(store, settings, feed).await?;
    let filter = JobFilter {
        feed: Some(feed.name.clone()),
        limit: LOOKED_AT,
        ..JobFilter::default()
    };
    let jobs = store.jobs().list(&feed.tenant, &filter).await?;
    let blocked = jobs
        .into_iter()
        .find(|job| job.blocked_by.as_deref() == Some("drift"))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("no run of `{}` is blocked by drift", feed.name),
            )
            .with_help(format!(
                "`drift show {}` tells what changed so far",
                feed.name
            ))
        })?;
    let records = store.feeds().drift(&feed, LOOKED_AT).await?;
    let state = store.feeds().state(&feed).await?;
    let mut accepted = Vec::new();
    for summary in store.jobs().summary(&feed.tenant, &blocked.id).await? {
        let record = records.iter().find(|record| {
            record.job == blocked.id
                && record.stream == summary.stream
                && record.decision == DriftDecision::Blocked
        });
        if let Some(record) =
            record.filter(|_| stream.is_none_or(|stream| stream == summary.stream))
        {
            let schema = accepted_by_operator(
                state.accepted.get(&summary.stream),
                &summary.observed,
                &record.changes,
            );
            store
                .feeds()
                .accept_schema(&feed, &summary.stream, &schema, &operator())
                .await?;
            accepted.push(summary.stream);
        }
    }
    if accepted.is_empty() {
        return Err(no_drift_in(stream, &blocked, &records));
    }
    if terminal.json {
        terminal.print_json(&json!({ "accepted": accepted, "job_id": blocked.id }))?;
        return Ok(exit_code::SUCCESS);
    }
    terminal.note(&format!(
        "accepted the schema of {}; `ingestion-runner jobs resume {}` commits the rows that were read",
        accepted.join(", "),
        blocked.id
    ));
    Ok(exit_code::SUCCESS)
}

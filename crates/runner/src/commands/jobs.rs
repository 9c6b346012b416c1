//! `jobs`: what ran, and what to do about it.

use std::fmt::Write as _;

use runner_core::checkpoint::{StreamSummary, Warning};
use runner_core::job::{Created, Job, JobEvent, JobFilter, NewJob};
use runner_core::part::PART_FORMAT;
use runner_core::{Error, ErrorKind, JobId, Result};
use runner_plan::model::Held;
use serde_json::{Value, json};

use super::run::{drive, other_document, set_aside};
use crate::arguments::JobsCommand;
use crate::exit_code;
use crate::holding::{is_dead, release_dead};
use crate::settings::Settings;
use crate::terminal::{Terminal, counted};
use crate::wiring::{Store, operator};

/// Events shown of one job.
const EVENTS: u32 = 200;

pub(crate) async fn jobs(
    command: JobsCommand,
    settings: &Settings,
    terminal: Terminal,
) -> Result<u8> {
    let store = Store::open(settings).await?;
    match command {
        JobsCommand::List { feed, limit } => list(&store, settings, feed, limit, terminal).await,
        JobsCommand::Show { id } => {
            let job = find(&store, settings, &id).await?;
            show(&store, settings, &job, terminal).await
        }
        JobsCommand::Resume { id } | JobsCommand::Retry { id } => {
            let job = find(&store, settings, &id).await?;
            store
                .jobs()
                .reopen(&job.feed.tenant, &job.id, &operator())
                .await?;
            drive(&store, settings, &job.feed.tenant, &job.id, terminal).await
        }
        JobsCommand::Abandon { id, sink, reason } => {
            let job = find(&store, settings, &id).await?;
            release_dead(&*store.jobs(), &settings.data_dir, &job.id).await?;
            store
                .jobs()
                .abandon(&job.feed.tenant, &job.id, &sink, &reason, &operator())
                .await?;
            drive(&store, settings, &job.feed.tenant, &job.id, terminal).await
        }
        JobsCommand::Replay { id, sink } => {
            let job = find(&store, settings, &id).await?;
            let id = replay_of_hold(&store, &job, &sink).await?;
            drive(&store, settings, &job.feed.tenant, &id, terminal).await
        }
        JobsCommand::Drop { id, sink } => {
            let job = find(&store, settings, &id).await?;
            let tenant = &job.feed.tenant;
            let quarantine = store.quarantine();
            quarantine
                .release_hold(tenant, &job.id, &sink, &operator())
                .await?;
            if terminal.json {
                terminal.print_json(&json!({ "job_id": job.id, "dropped": sink }))?;
            } else {
                terminal.note(&format!(
                    "the rows of `{sink}` are given up; `gc` takes them away"
                ));
            }
            Ok(exit_code::SUCCESS)
        }
        JobsCommand::Cancel { id } => {
            let job = find(&store, settings, &id).await?;
            cancel(&store, settings, &job, terminal).await
        }
    }
}

async fn cancel(store: &Store, settings: &Settings, job: &Job, terminal: Terminal) -> Result<u8> {
    release_dead(&*store.jobs(), &settings.data_dir, &job.id).await?;
    let state = store
        .jobs()
        .request_cancel(&job.feed.tenant, &job.id, &operator())
        .await?;
    if terminal.json {
        terminal.print_json(&json!({ "job_id": job.id, "status": state }))?;
        return Ok(exit_code::SUCCESS);
    }
    let said = match (job.state.is_terminal(), state.is_terminal()) {
        (true, _) => " already: there is nothing to cancel",
        (false, true) => "",
        (false, false) => "; its process was asked to stop",
    };
    terminal.note(&format!("job {} is {}{said}", job.id, state.as_str()));
    Ok(exit_code::SUCCESS)
}

/// The job that loads what another has on hold: a new one, or the unfinished one that an earlier call began.
async fn replay_of_hold(store: &Store, job: &Job, sink: &str) -> Result<JobId> {
    let feed = &job.feed;
    if let Some(unfinished) = store.jobs().unfinished(feed).await? {
        let is_it = |held: &Held| held.job == job.id.as_str() && held.load == sink;
        return match &unfinished.plan.held {
            Some(held) if is_it(held) => Ok(unfinished.id),
            _ => Err(other_document(&unfinished)),
        };
    }
    let holds = store
        .quarantine()
        .holds(&feed.tenant, Some(&feed.name))
        .await?;
    let of_job: Vec<_> = holds.iter().filter(|hold| hold.job == job.id).collect();
    if !of_job.iter().any(|hold| hold.load == sink) {
        let known: Vec<_> = of_job
            .iter()
            .map(|hold| format!("`{}`", hold.load))
            .collect();
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("job `{}` has no rows of `{sink}` on hold", job.id),
        )
        .with_help(if known.is_empty() {
            "rows are on hold where `jobs abandon` gave a sink up, until they are loaded or dropped"
                .to_owned()
        } else {
            format!("on hold are those of {}", known.join(", "))
        }));
    }
    let plan = job
        .plan
        .clone()
        .into_held(job.id.as_str(), sink)
        .map_err(|why| {
            Error::new(
                ErrorKind::Conflict,
                format!("the rows can't be loaded: {why}"),
            )
            .with_help(format!(
                "`jobs drop {} --sink {sink}` gives them up",
                job.id
            ))
        })?;
    let replay = NewJob {
        id: JobId::generate(),
        feed: feed.clone(),
        document_hash: job.document_hash.clone(),
        plan,
        document: job.document.clone(),
        parameters_hash: format!("held {} {sink}", job.id),
        nominal_time: store.clock.now(),
        part_format: PART_FORMAT,
    };
    match store.jobs().create(replay, None).await? {
        Created::New(id) | Created::Existing(id) => Ok(id),
    }
}

pub(super) async fn find(store: &Store, settings: &Settings, id: &str) -> Result<Job> {
    for tenant in store.tenants(settings).await? {
        if let Some(job) = store.jobs().get(&tenant, &JobId::new(id)).await? {
            return Ok(job);
        }
    }
    Err(
        Error::new(ErrorKind::NotFound, format!("there is no job `{id}`"))
            .with_help("`jobs list` shows the jobs"),
    )
}

async fn list(
    store: &Store,
    settings: &Settings,
    feed: Option<String>,
    limit: u32,
    terminal: Terminal,
) -> Result<u8> {
    let filter = JobFilter {
        feed,
        limit,
        ..JobFilter::default()
    };
    let mut jobs = Vec::new();
    for tenant in store.tenants(settings).await? {
        jobs.extend(store.jobs().list(&tenant, &filter).await?);
    }
    if terminal.json {
        let jobs: Vec<_> = jobs
            .iter()
            .map(|job| summary(job, is_interrupted(store, settings, job)))
            .collect();
        terminal.print_json(&json!({ "jobs": jobs }))?;
        return Ok(exit_code::SUCCESS);
    }
    let mut text = format!(
        "{:<38} {:<26} {:<6} {:<11} {:<19} {}\n",
        "JOB", "FEED", "KIND", "STATUS", "CREATED", "ERROR"
    );
    for job in &jobs {
        let error = job
            .failure
            .as_ref()
            .map(|failure| failure.kind.as_str())
            .unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<38} {:<26} {:<6} {:<11} {:<19} {error}",
            job.id.as_str(),
            job.feed.name,
            kind(job),
            status(job, is_interrupted(store, settings, job)),
            job.created_at.format("%Y-%m-%d %H:%M:%S").to_string(),
        );
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    if jobs.is_empty() {
        text = filter.feed.map_or_else(
            || "no job has run here yet".to_owned(),
            |feed| format!("no job of a feed `{feed}` has run here"),
        );
    }
    terminal.print(&text)?;
    Ok(exit_code::SUCCESS)
}

async fn show(store: &Store, settings: &Settings, job: &Job, terminal: Terminal) -> Result<u8> {
    let is_interrupted = is_interrupted(store, settings, job);
    let streams = store.jobs().summary(&job.feed.tenant, &job.id).await?;
    let accepted = store.feeds().state(&job.feed).await?.accepted;
    let warnings = runner_jobs::warnings(job, &streams, &accepted);
    let events = store
        .jobs()
        .events(&job.feed.tenant, &job.id, 0, EVENTS)
        .await?;
    let holds = store
        .quarantine()
        .holds(&job.feed.tenant, Some(&job.feed.name))
        .await?;
    let on_hold: Vec<String> = holds
        .into_iter()
        .filter(|hold| hold.job == job.id)
        .map(|hold| hold.load)
        .collect();
    if terminal.json {
        let mut value = summary(job, is_interrupted);
        value["on_hold"] = json!(on_hold);
        value["streams"] = json!(streams);
        value["warnings"] = json!(warnings);
        value["loads"] = json!(job.loads);
        value["events"] = json!(events.iter().map(|(_, event)| event).collect::<Vec<_>>());
        terminal.print_json(&value)?;
        return Ok(exit_code::SUCCESS);
    }
    let known = Known {
        is_interrupted,
        streams,
        warnings,
        on_hold,
        events,
    };
    terminal.print(&text(job, &known))?;
    Ok(exit_code::SUCCESS)
}

/// What the store has of a job beside itself.
struct Known {
    is_interrupted: bool,
    streams: Vec<StreamSummary>,
    warnings: Vec<Warning>,
    on_hold: Vec<String>,
    events: Vec<(u64, JobEvent)>,
}

fn text(job: &Job, known: &Known) -> String {
    let is_interrupted = known.is_interrupted;
    let mut text = format!(
        "{}\n  feed      {}\n  kind      {}\n  status    {}\n  attempt   {}\n",
        job.id,
        job.feed,
        kind(job),
        status(job, is_interrupted),
        job.attempt.0
    );
    // Writing to a string cannot fail.
    if is_interrupted {
        let state = job.state.as_str();
        let _ = writeln!(
            text,
            "  help      nobody works on it since it was {state}; `jobs resume {}` goes on, and so does running the document again",
            job.id
        );
    }
    if let Some(failure) = &job.failure {
        let _ = writeln!(text, "  error     [{}] {}", failure.kind, failure.message);
        if let Some(help) = &failure.help {
            let _ = writeln!(text, "  help      {help}");
        }
    }
    if let Some(blocked) = &job.blocked_on {
        let _ = writeln!(
            text,
            "  waits for {}: {} ({})",
            blocked.load,
            blocked.message,
            if blocked.tries == 1 {
                "1 try".to_owned()
            } else {
                format!("{} tries", blocked.tries)
            }
        );
    }
    streams(&mut text, known);
    loads(&mut text, job, known);
    for (_, event) in &known.events {
        let _ = writeln!(
            text,
            "  {}  {} (attempt {})",
            event.at.format("%H:%M:%S%.3f"),
            event.name,
            event.attempt.0
        );
    }
    text
}

fn streams(text: &mut String, known: &Known) {
    for stream in &known.streams {
        let totals = &stream.totals;
        let _ = writeln!(
            text,
            "  stream    {}: {} read, {} passed{}, {}",
            stream.stream,
            counted(totals.rows_read, "row"),
            totals.rows_passed,
            set_aside(
                totals.rows_quarantined,
                totals.rows_outside,
                totals.rows_repeated
            ),
            counted(totals.pages, "page")
        );
    }
    for warning in &known.warnings {
        let stream = warning.stream.as_ref();
        let stream = stream.map_or_else(String::new, |stream| format!("{stream}: "));
        let _ = writeln!(text, "  warning   {stream}{}", warning.message);
    }
}

fn loads(text: &mut String, job: &Job, known: &Known) {
    for load in &job.loads {
        let state = match (&load.written, &load.abandoned) {
            (Some(written), _) => {
                format!("{} in {}", counted(written.rows, "row"), written.location)
            }
            (None, Some(reason)) if known.on_hold.contains(&load.load) => format!(
                "abandoned: {reason}; its rows are on hold (`jobs replay {} --sink {}`)",
                job.id, load.load
            ),
            (None, Some(reason)) => format!("abandoned: {reason}"),
            (None, None) => "not committed".to_owned(),
        };
        let _ = writeln!(text, "  sink      {}: {state}", load.load);
    }
}

/// Whether nobody works on a job that was begun and has not ended, so that it waits for somebody to go on with it.
fn is_interrupted(store: &Store, settings: &Settings, job: &Job) -> bool {
    if job.state.is_terminal() || job.attempt.0 == 0 || job.blocked_on.is_some() {
        return false;
    }
    let is_held = job
        .lease_expires_at
        .is_some_and(|expires| expires > store.clock.now());
    !is_held || is_dead(&settings.data_dir, job)
}

fn status(job: &Job, is_interrupted: bool) -> &'static str {
    if is_interrupted {
        "interrupted"
    } else {
        job.state.as_str()
    }
}

/// Whether it read the source, or loaded rows of an earlier run.
fn kind(job: &Job) -> &'static str {
    if job.plan.is_replay() {
        "replay"
    } else {
        "run"
    }
}

fn summary(job: &Job, is_interrupted: bool) -> Value {
    json!({
        "job_id": job.id,
        "feed": job.feed,
        "kind": kind(job),
        "status": job.state,
        "is_interrupted": is_interrupted,
        "attempt": job.attempt,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "error": job.failure,
        "blocked_by": job.blocked_by,
        "blocked_on": job.blocked_on,
        "partial": job.partial,
    })
}

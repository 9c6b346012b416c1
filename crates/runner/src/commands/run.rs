//! `sample` (and `run`): one run of a feed in the foreground, through the job store.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::HumanBytes;
use runner_core::job::{Claim, Created, Job, JobState, NewJob};
use runner_core::part::PART_FORMAT;
use runner_core::report::Report;
use runner_core::{Cancel, Error, ErrorKind, FeedId, JobId, Result, TenantId, WorkerId};
use sha2::{Digest, Sha256};

use super::feed::{Hints, job_runner, planned};
use crate::arguments::RunArguments;
use crate::document::Planned;
use crate::exit_code;
use crate::holding::{Holder, Holding, release_dead};
use crate::progress::Display;
use crate::settings::Settings;
use crate::terminal::{Terminal, counted};
use crate::wiring::{Store, operator};

/// Of a job in the foreground, whose process may die while somebody looks on; renewed six times as often.
const LEASE: Duration = Duration::from_secs(15);

pub(crate) async fn run(
    arguments: &RunArguments,
    settings: &Settings,
    terminal: Terminal,
) -> Result<u8> {
    let store = Store::open(settings).await?;
    let Some(planned) = planned(&arguments.feed, Hints::OfRun, &store, settings, terminal).await?
    else {
        return Ok(exit_code::of(ErrorKind::Spec));
    };
    let feed = FeedId {
        tenant: TenantId::new(&planned.plan.tenant),
        name: planned.plan.feed.clone(),
    };
    let parameters = parameters_hash(&planned)?;
    let id = match store.jobs().unfinished(&feed).await? {
        None => create(&store, &feed, planned, parameters).await?,
        Some(job) if arguments.restart => {
            discard(&store, settings, &job, terminal).await?;
            create(&store, &feed, planned, parameters).await?
        }
        Some(job)
            if job.document_hash == planned.plan.document_hash
                && job.parameters_hash == parameters =>
        {
            job.id
        }
        Some(job) => return Err(other_document(&job)),
    };
    drive(&store, settings, &feed.tenant, &id, terminal).await
}

/// Runs a job of the store to its end, shows how it goes, and prints the report.
pub(crate) async fn drive(
    store: &Store,
    settings: &Settings,
    tenant: &TenantId,
    id: &JobId,
    terminal: Terminal,
) -> Result<u8> {
    let display = Arc::new(Display::new(terminal));
    let mut runner = job_runner(settings, store, Arc::clone(&display) as _)?;
    // Somebody is looking: a process that died should not be waited for long.
    runner.lease = LEASE;
    let (claim, holding) = claim(store, settings, tenant, id, runner.lease, terminal).await?;
    if claim.attempt.0 > 1 {
        terminal.note(&format!(
            "continuing the job {id} (attempt {})",
            claim.attempt.0
        ));
    }
    let cancel = Cancel::new();
    let watcher = tokio::spawn(stop_on_interrupt(cancel.clone(), terminal));
    let report = runner.run(&claim, cancel).await;
    watcher.abort();
    display.close();
    let report = report?;
    if let Some(holding) = holding {
        holding.end();
    }
    print(&report, terminal)?;
    Ok(report
        .error
        .as_ref()
        .map_or(exit_code::SUCCESS, |error| exit_code::of(error.kind)))
}

/// The first Ctrl-C stops at the next page and keeps the checkpoint; the second stops at once.
async fn stop_on_interrupt(cancel: Cancel, terminal: Terminal) {
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    terminal.note("stopping at the next page; press Ctrl-C again to stop at once");
    cancel.cancel();
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(i32::from(exit_code::of(ErrorKind::Cancelled)));
    }
}

/// Claims the job for this process. One whose process died on this machine is taken over at once; a process elsewhere may have died
/// too, so it is waited for until its lease ends, and no longer.
async fn claim(
    store: &Store,
    settings: &Settings,
    tenant: &TenantId,
    id: &JobId,
    lease: Duration,
    terminal: Terminal,
) -> Result<(Claim, Option<Holding>)> {
    const ASKED_EVERY: Duration = Duration::from_millis(500);
    let worker = WorkerId::generate();
    let began = store.clock.monotonic();
    let mut is_told = false;
    loop {
        let holder = release_dead(&*store.jobs(), &settings.data_dir, id).await?;
        let mut holding = Holding::begin(&settings.data_dir, id);
        if let Some(claim) = store.jobs().claim_job(tenant, id, &worker, lease).await? {
            if let Some(holding) = &mut holding {
                holding.keep(&claim)?;
            }
            return Ok((claim, holding));
        }
        drop(holding);
        let job = store
            .jobs()
            .get(tenant, id)
            .await?
            .ok_or_else(|| no_job(id))?;
        if job.state.is_terminal() {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "job `{id}` is {}: there is nothing left to do",
                    job.state.as_str()
                ),
            ));
        }
        let waited = store.clock.monotonic().saturating_sub(began);
        if holder == Holder::Alive || waited > lease + lease / 4 {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("another process is working on job `{id}`"),
            )
            .with_help(format!(
                "wait until it has ended, or stop it with `jobs cancel {id}`"
            )));
        }
        if !is_told {
            is_told = true;
            let until = job
                .lease_expires_at
                .map(|at| format!(" until {}", at.format("%H:%M:%S UTC")))
                .unwrap_or_default();
            terminal.note(&format!(
                "job {id} is held by another process{until}; waiting whether it is still alive"
            ));
        }
        store.clock.sleep(ASKED_EVERY).await;
    }
}

fn no_job(id: &JobId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no job `{id}`"))
        .with_help("`jobs list` shows the jobs")
}

pub(crate) async fn create(
    store: &Store,
    feed: &FeedId,
    planned: Planned,
    parameters_hash: String,
) -> Result<JobId> {
    let job = NewJob {
        id: JobId::generate(),
        feed: feed.clone(),
        document_hash: planned.plan.document_hash.clone(),
        plan: planned.plan,
        document: planned.text,
        parameters_hash,
        nominal_time: store.clock.now(),
        part_format: PART_FORMAT,
    };
    match store.jobs().create(job, None).await? {
        Created::New(id) | Created::Existing(id) => Ok(id),
    }
}

pub(crate) async fn discard(
    store: &Store,
    settings: &Settings,
    job: &Job,
    terminal: Terminal,
) -> Result<()> {
    release_dead(&*store.jobs(), &settings.data_dir, &job.id).await?;
    let state = store
        .jobs()
        .request_cancel(&job.feed.tenant, &job.id, &operator())
        .await?;
    if state != JobState::Cancelled {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("job `{}` is still held by another process", job.id),
        )
        .with_help("it was asked to stop; run this again when it has"));
    }
    terminal.note(&format!("discarded the unfinished job {}", job.id));
    Ok(())
}

pub(crate) fn other_document(job: &Job) -> Error {
    let what = match (&job.plan.replay, &job.plan.held) {
        (Some(_), _) => "a replay of quarantined rows",
        (None, Some(_)) => "a replay of rows on hold",
        (None, None) => "of another version of the document or with other parameters",
    };
    Error::new(
        ErrorKind::Conflict,
        format!("the feed has the unfinished job `{}`, {what}", job.id),
    )
    .with_help(format!(
        "`jobs resume {}` goes on with that one; `--restart` discards it",
        job.id
    ))
}

/// Of everything beside the document that decides what a run does.
fn parameters_hash(planned: &Planned) -> Result<String> {
    let plan = &planned.plan;
    let deciding = (
        &plan.parameters,
        plan.row_limit,
        &plan.window,
        plan.moves_cursor,
        &plan.engine.engine,
    );
    let text = serde_json::to_vec(&deciding).map_err(|error| {
        Error::new(ErrorKind::Internal, "failed to hash the parameters").with_source(error)
    })?;
    Ok(hex::encode(Sha256::digest(&text)))
}

/// Rows of a stream that were not loaded, where there are any, and why.
pub(crate) fn set_aside(quarantined: u64, outside: u64, repeated: u64) -> String {
    let mut text = String::new();
    for (rows, why) in [
        (quarantined, "quarantined"),
        (outside, "outside the window"),
        (repeated, "loaded by an earlier run"),
    ] {
        if rows > 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, ", {rows} {why}");
        }
    }
    text
}

fn verdict(report: &Report) -> String {
    let verdict = match report.status.as_str() {
        _ if report.partial => "completed in part",
        status => status,
    };
    match report.warnings.len() as u64 {
        0 => verdict.to_owned(),
        warnings => format!("{verdict} with {}", counted(warnings, "warning")),
    }
}

/// Prints what a run did.
pub(crate) fn print(report: &Report, terminal: Terminal) -> Result<()> {
    if terminal.json {
        return terminal.print_json(report);
    }
    // Between what was shown on the way and the end.
    let mut lines = vec![String::new()];
    for stream in &report.streams {
        let set_aside = set_aside(
            stream.rows_quarantined,
            stream.rows_outside,
            stream.rows_repeated,
        );
        lines.push(format!(
            "  {:<28} {:>15} read, {} loaded{set_aside} ({}, {})",
            stream.name,
            counted(stream.rows_read, "row"),
            stream.rows_loaded,
            counted(stream.requests, "request"),
            counted(stream.pages, "page"),
        ));
    }
    for sink in &report.sinks {
        lines.push(format!(
            "  → {:<26} {:>15}, {} in {}",
            format!("{} {}", sink.kind, sink.table),
            counted(sink.rows, "row"),
            HumanBytes(sink.bytes),
            sink.location
        ));
    }
    for warning in &report.warnings {
        let at = warning
            .stream
            .as_ref()
            .map(|stream| format!("{stream}: "))
            .unwrap_or_default();
        lines.push(format!("  warning: {at}{}", warning.message));
    }
    if lines.len() > 1 {
        lines.push(String::new());
    }
    lines.push(format!(
        "{} {} in {:.1} s on {}",
        report.job_id,
        verdict(report),
        report.duration_seconds,
        report.engine
    ));
    terminal.print(&lines.join("\n"))?;
    if let Some(error) = &report.error {
        let failure = Error::new(error.kind, error.message.clone());
        terminal.error(&match &error.help {
            Some(help) => failure.with_help(help.clone()),
            None => failure,
        });
    }
    Ok(())
}

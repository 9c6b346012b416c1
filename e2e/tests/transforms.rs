//! SQL over what a run has read: the result is loaded once, wherever the process dies in it, and no source is read again for it.

use std::{fs, path::Path, process::Child, time::Duration};

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{
    GeneratedApi, Invocation, Runner, Signal, Size, is_stopped,
    provision::READERS,
    readers::{Question, Readers, Tally},
    repository, require, wait_until,
};
use serde_json::{Value, json};

const VARIABLE: &str = "INGESTION_RUNNER_FAULT";
/// The exit code of a run that was cancelled.
const CANCELLED: i32 = 130;

const ROWS: u64 = 2_000;
const PAGE_ROWS: u64 = 100;
const SIZE: Size = Size {
    first: 1,
    step: 1,
    rows: ROWS,
    page_rows: PAGE_ROWS,
    parents: 1,
    page_delay: Duration::ZERO,
};
/// Before the first barrier behind the pages, in each transform, and around the barriers that keep what they yielded.
const POINTS: [&str; 7] = [
    "transform.end:1",
    "transform.end:2",
    "checkpoint.before:11",
    "checkpoint.after:11",
    "checkpoint.before:12",
    "checkpoint.after:12",
    "commit.*.during:1",
];

/// `e2e/documents/transformed.yaml` with an API, a data folder and a table of its own.
struct Feed {
    api: GeneratedApi,
    folder: tempfile::TempDir,
    runner: Runner,
}

impl Feed {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let api = GeneratedApi::start(SIZE)?;
        let sinks = json!([{"type": "parquet", "table_name": "totals", "config": {"path": folder.path().join("totals")}}]);
        fs::write(
            folder.path().join("overlay.json"),
            json!({"provider": {"base_url": api.url(), "sinks": sinks}}).to_string(),
        )?;
        let runner = Runner::new(&folder.path().join("data"))?;
        Ok(Self {
            api,
            folder,
            runner,
        })
    }

    fn sample(&self) -> Invocation {
        self.runner
            .sample(&repository().join("e2e/documents/transformed.yaml"))
            .option("--overlay", self.folder.path().join("overlay.json"))
    }

    fn tally(&self, python: &Path) -> Result<Tally> {
        let question = Question {
            sums: &["even_rows", "amount_cents"],
            distinct: Some("category"),
            ..Question::default()
        };
        let pattern = format!(
            "{}/**/*.parquet",
            self.folder.path().join("totals").display()
        );
        Readers::new(python).parquet(&pattern, &question)
    }

    /// Every row counts once.
    fn check_rows(&self, python: &Path) -> Result<()> {
        let tally = self.tally(python)?;
        let amounts: u64 = (2..=ROWS).step_by(2).map(|id| id * 7919 % 100_003).sum();
        let found = (
            tally.rows,
            tally.distinct,
            &tally.sums["even_rows"],
            &tally.sums["amount_cents"],
        );
        let expected = (5, Some(5), &json!(ROWS / 2), &json!(amounts));
        ensure!(found == expected, "{found:?} instead of {expected:?}");
        Ok(())
    }

    /// The same, and no page was asked for again.
    fn check_exact(&self, python: &Path) -> Result<()> {
        self.check_rows(python)?;
        let requests = self.api.page_requests();
        let again: Vec<_> = requests.iter().filter(|(_, asked)| **asked > 1).collect();
        ensure!(again.is_empty(), "asked again: {again:?}");
        requests
            .keys()
            .next_back()
            .filter(|last| **last == ROWS - PAGE_ROWS + 1)
            .context("the last page is missing")?;
        Ok(())
    }
}

#[test]
fn a_process_that_dies_in_a_transform_loads_its_result_once() -> Result<()> {
    let Some(python) = require(&READERS) else {
        return Ok(());
    };
    for point in POINTS {
        let feed = Feed::start()?;
        let died = feed.sample().env(VARIABLE, point).run()?;
        ensure!(
            died.code.is_none(),
            "it did not die at `{point}`: {}",
            died.describe()
        );
        feed.sample().succeed()?;
        feed.check_exact(&python).context(point)?;
    }
    Ok(())
}

/// A run that is asked to stop while it stands still at the end of its first transform: the second doesn't begin, and nothing is
/// loaded.
fn stop_in_a_transform(
    feed: &Feed,
    python: &Path,
    ask: impl FnOnce(&Child) -> Result<()>,
) -> Result<()> {
    let mut run = feed
        .sample()
        .env(VARIABLE, "stop@transform.end:1")
        .spawn()?;
    wait_until("the process to stop", || is_stopped(&mut run))?;
    ask(&run)?;
    // It finds what it was asked when it wakes up.
    Signal::Continue.send(run.id())?;
    let ended = run.wait_with_output()?;
    let report: Value = serde_json::from_slice(&ended.stdout)?;
    ensure!(
        ended.status.code() == Some(CANCELLED) && report["error"]["kind"] == json!("cancelled"),
        "{} {report}",
        ended.status
    );
    ensure!(feed.tally(python)?.rows == 0, "a cancelled run loaded rows");
    Ok(())
}

#[test]
fn a_run_that_is_interrupted_in_a_transform_goes_on_there() -> Result<()> {
    let Some(python) = require(&READERS) else {
        return Ok(());
    };
    let feed = Feed::start()?;
    stop_in_a_transform(&feed, &python, |run| Signal::Interrupt.send(run.id()))?;
    feed.sample().succeed()?;
    feed.check_exact(&python)
}

#[test]
fn a_run_that_another_process_cancels_in_a_transform_loads_nothing() -> Result<()> {
    let Some(python) = require(&READERS) else {
        return Ok(());
    };
    let feed = Feed::start()?;
    stop_in_a_transform(&feed, &python, |_| {
        let listed = feed.runner.command(&["jobs", "list", "--json"]).succeed()?;
        let listed = listed.json()?;
        let job = listed["jobs"][0]["job_id"].as_str().context("no job")?;
        feed.runner.command(&["jobs", "cancel", job]).succeed()?;
        Ok(())
    })?;
    // Nothing of it is kept: a new run begins at the source.
    feed.sample().succeed()?;
    feed.check_rows(&python)
}

/// Types that the rows decide are known when they were read: the error says what they are.
#[test]
fn a_query_that_does_not_fit_the_rows_is_told_with_their_types() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("sales.csv"), "id,qty\n1,2\n2,few\n")?;
    let document = folder.path().join("sales.json");
    fs::write(
        &document,
        json!({
            "version": "1.2",
            "name": "sales",
            "created_by": "shop",
            "provider": {
                "name": "shop",
                "display_name": "Shop",
                "owner": "shop",
                "provider_type": "file_ftp",
                "base_url": format!("file://{}", folder.path().display()),
                "tenant_id": "acme",
                "endpoints": [{"name": "sales", "path": "/sales.csv"}],
                "transforms": [{"name": "doubled", "type": "sql", "sql_query": "SELECT id, qty * 2 AS twice FROM sales"}],
                "sinks": [{"type": "parquet", "table_name": "doubled", "config": {"path": folder.path().join("doubled")}}],
            },
        })
        .to_string(),
    )?;
    let runner = Runner::new(&folder.path().join("data"))?;
    let outcome = runner.sample(&document).run()?;
    let error = &outcome.json()?["error"];
    ensure!(error["kind"] == "spec", "{error}");
    let message = error["message"].as_str().unwrap_or_default();
    ensure!(message.contains("`*` is between numbers"), "{message}");
    let help = error["help"].as_str().unwrap_or_default();
    ensure!(
        help.contains("`sales` was read as `id` integer, `qty` string"),
        "{help}"
    );
    ensure!(!folder.path().join("doubled").exists(), "rows were loaded");
    Ok(())
}

//! A cursor whose column holds texts, as JSON's points in time do: compared as what the texts say, from run to run.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{Outcome, Runner};
use serde_json::{Value, json};

struct Feed {
    folder: tempfile::TempDir,
    runner: Runner,
    document: PathBuf,
}

impl Feed {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let document = json!({
            "version": "1.2",
            "name": "visits",
            "created_by": "shop",
            "provider": {
                "name": "shop",
                "display_name": "Shop",
                "description": "Visits of a shop",
                "owner": "shop",
                "provider_type": "file_ftp",
                "base_url": format!("file://{}", folder.path().display()),
                "tenant_id": "acme",
                "endpoints": [{
                    "name": "visits",
                    "path": "/visits.jsonl",
                    "incremental": {"cursor_field": "at"},
                }],
                "sinks": [{
                    "type": "parquet",
                    "table_name": "visits",
                    "config": {"path": folder.path().join("table")},
                }],
            },
        });
        let path = folder.path().join("visits.json");
        fs::write(&path, document.to_string())?;
        Ok(Self {
            runner: Runner::new(&folder.path().join("data"))?,
            document: path,
            folder,
        })
    }

    /// Makes these all rows of the source.
    fn write(&self, times: &[&str]) -> Result<()> {
        let rows = times
            .iter()
            .zip(1..)
            .map(|(at, id)| json!({"id": id, "at": at}).to_string() + "\n");
        let text: String = rows.collect();
        fs::write(self.folder.path().join("visits.jsonl"), text)?;
        Ok(())
    }

    /// Runs over these rows alone; how many were loaded, how many quarantined, how many were old, and where the cursor stands then.
    fn run(&self, times: &[&str]) -> Result<(u64, u64, u64, String)> {
        self.write(times)?;
        let report = self.runner.sample(&self.document).succeed()?.json()?;
        let count = |name: &str| report["streams"][0][name].as_u64().context("no count");
        Ok((
            count("rows_loaded")?,
            count("rows_quarantined")?,
            count("rows_outside")? + count("rows_repeated")?,
            self.cursor()?,
        ))
    }

    /// Of the only file.
    fn cursor(&self) -> Result<String> {
        self.state("cursor")
    }

    fn state(&self, name: &str) -> Result<String> {
        let shown = self.runner.command(&["state", "show", "visits", "--json"]);
        let state: Value = shown.succeed()?.json()?;
        let found = state["cursors"][0][name].as_str();
        Ok(found.context("no cursor")?.to_owned())
    }

    fn set(&self, stream: &str, cursor: &str) -> Result<Outcome> {
        let command = ["state", "set", "visits", stream, cursor];
        let command = self.runner.command(&command);
        let file = self.state("value").unwrap_or_default();
        command.option("--value", file).run()
    }
}

/// A part of the rows, or rows of another place, say nothing of how far the feed has been read.
#[test]
fn runs_that_are_not_whole_leave_the_cursor() -> Result<()> {
    let feed = Feed::new()?;
    let before = "2024-01-02T00:00:00Z";
    assert_eq!(feed.run(&[before])?, (1, 0, 0, before.to_owned()));
    let copy = tempfile::tempdir()?;
    feed.write(&["2024-01-03T00:00:00Z", "2024-01-04T00:00:00Z"])?;
    fs::copy(
        feed.folder.path().join("visits.jsonl"),
        copy.path().join("visits.jsonl"),
    )?;
    let elsewhere = format!("file://{}", copy.path().display());
    for (option, value, loaded) in [("--limit", "1", 1), ("--base-url", elsewhere.as_str(), 2)] {
        let plan = feed.runner.command(&["plan"]).arg(&feed.document);
        let plan = plan.option(option, value).succeed()?.stdout;
        ensure!(plan.contains("Cursor      stays"), "{option}: {plan}");
        let report = feed.runner.sample(&feed.document).option(option, value);
        let report = report.succeed()?.json()?;
        assert_eq!(report["streams"][0]["rows_loaded"], loaded, "{option}");
        assert_eq!(feed.cursor()?, before, "{option}");
    }
    let later = ["2024-01-03T00:00:00Z", "2024-01-04T00:00:00Z"];
    assert_eq!(feed.run(&later)?, (2, 0, 0, later[1].to_owned()));
    Ok(())
}

#[test]
fn texts_of_instants_are_instants() -> Result<()> {
    let feed = Feed::new()?;
    let first = ["2024-01-02T00:00:00Z", "n/a", "2024-01-02T01:00:00Z"];
    assert_eq!(
        feed.run(&first)?,
        (2, 1, 0, "2024-01-02T01:00:00Z".to_owned())
    );
    // Later, though the text of the one stands before the cursor's, and one of the far future, which must not hide what comes next.
    let second = [
        "2024-01-01T23:30:00-05:00",
        "2999-01-01T00:00:00Z",
        "2024-01-02T00:59:59Z",
    ];
    assert_eq!(
        feed.run(&second)?,
        (2, 0, 1, "2024-01-01T23:30:00-05:00".to_owned())
    );
    // What the texts are is known by the cursor, whatever comes first.
    let third = ["n/a", "soon", "2024-01-03T00:00:00Z"];
    assert_eq!(
        feed.run(&third)?,
        (1, 2, 0, "2024-01-03T00:00:00Z".to_owned())
    );
    Ok(())
}

#[test]
fn no_orphans() -> Result<()> {
    let feed = Feed::new()?;
    feed.write(&["2024-01-02T00:00:00Z"])?;
    let killed = feed
        .runner
        .sample(&feed.document)
        .env("INGESTION_RUNNER_FAULT", "prepare.after")
        .run()?;
    assert_ne!(killed.code, Some(0), "{}", killed.describe());
    let list = || feed.runner.command(&["jobs", "list"]);
    let jobs = list().arg("--json").succeed()?.json()?;
    assert_eq!(jobs["jobs"][0]["is_interrupted"], true, "{jobs}");
    assert!(list().succeed()?.stdout.contains("interrupted"));
    let job = jobs["jobs"][0]["job_id"].as_str().context("no job")?;
    let shown = feed.runner.command(&["jobs", "show", job]).succeed()?;
    assert!(
        shown
            .stdout
            .contains(&format!("`jobs resume {job}` goes on")),
        "{}",
        shown.describe()
    );
    feed.runner.command(&["jobs", "resume", job]).succeed()?;
    let jobs = list().arg("--json").succeed()?.json()?;
    assert_eq!(jobs["jobs"][0]["is_interrupted"], false, "{jobs}");
    Ok(())
}

#[test]
fn only_what_can_be_a_cursor_is_set() -> Result<()> {
    let feed = Feed::new()?;
    assert_eq!(
        feed.set("visits", "2024-01-01")?.code,
        Some(16),
        "nothing is known of a feed that never ran"
    );
    feed.run(&["2024-01-02T00:00:00Z"])?;
    for (stream, cursor, said) in [
        (
            "visits",
            "garbage",
            "the cursor `garbage` is not a point in time",
        ),
        ("visit", "2024-01-01", "did you mean `visits`?"),
    ] {
        let refused = feed.set(stream, cursor)?;
        assert!(
            refused.code != Some(0) && refused.stderr.contains(said),
            "{}",
            refused.describe()
        );
    }
    assert_eq!(feed.cursor()?, "2024-01-02T00:00:00Z");
    assert_eq!(feed.set("visits", "2024-01-01")?.code, Some(0));
    assert_eq!(
        feed.run(&["2024-01-02T00:00:00Z"])?.0,
        1,
        "read again from there"
    );
    Ok(())
}

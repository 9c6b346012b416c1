//! A row in the quarantine names its line of the file that it came from, as `grep -n` does, also where the file is read in parts, and
//! keeps it through replays.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use runner_e2e::Runner;
use serde_json::{Value, json};

/// Enough for several parts.
const ROWS: u64 = 50_000;
const FILLING: usize = 400;

/// A row of several lines. One in thousands lacks a field, another costs too much.
fn row(id: u64) -> String {
    let note = "x".repeat(FILLING);
    match id {
        id if id % 5_000 == 17 => format!("row{id}x,1\n"),
        id if id % 5_000 == 4_321 => format!("row{id}x,999,\"a\n\n{note}\"\r\n"),
        _ => format!("row{id}x,1,\"a\n,\"\"{note}\"\n"),
    }
}

struct Feed {
    folder: tempfile::TempDir,
    lines: BTreeMap<String, u64>,
}

impl Feed {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut text = String::from("id,price,note\n");
        for id in 0..ROWS {
            text.push_str(&row(id));
        }
        fs::write(folder.path().join("orders.csv"), &text)?;
        let lines = text.split('\n').zip(1..).filter_map(|(line, number)| {
            let (id, _) = line.split_once(',')?;
            id.starts_with("row").then(|| (id.to_owned(), number))
        });
        let lines = lines.collect();
        Ok(Self { folder, lines })
    }

    fn document(&self, maximum: u64) -> Result<PathBuf> {
        let document = json!({
            "version": "1.2",
            "name": "orders",
            "created_by": "shop",
            "provider": {
                "name": "shop",
                "display_name": "Shop",
                "description": "Orders of a shop",
                "owner": "shop",
                "provider_type": "file_ftp",
                "base_url": format!("file://{}", self.folder.path().display()),
                "tenant_id": "acme",
                "parallelism": 3,
                "endpoints": [{
                    "name": "orders",
                    "path": "/orders.csv",
                    "validation_rules": {"numeric_ranges": {"price": [0, maximum]}},
                }],
                "sinks": [{
                    "type": "parquet",
                    "table_name": "orders",
                    "config": {"path": self.folder.path().join("table")},
                }],
            },
        });
        let path = self.folder.path().join("orders.json");
        fs::write(&path, document.to_string())?;
        Ok(path)
    }

    /// Rows of a job's quarantine; each has the line that it stands in.
    fn quarantined(&self, runner: &Runner, report: &Value) -> Result<Vec<Value>> {
        let job = report["job_id"].as_str().context("no job")?;
        let shown = runner.command(&["quarantine", "show", job, "--limit", "1000"]);
        let text = shown.succeed()?;
        let shown = runner.command(&["quarantine", "show", job, "--limit", "1000", "--json"]);
        let rows = shown.succeed()?.json()?["rows"].as_array().cloned();
        let rows = rows.context("no rows")?;
        for row in &rows {
            let raw: Value = serde_json::from_str(row["raw"].as_str().unwrap_or_default())?;
            let line = self.lines[raw["id"].as_str().unwrap_or_default()];
            ensure!(row["line"] == json!(line), "line {line}: {row}");
            let said = format!("row {} line {line}\n", row["row"]);
            ensure!(text.stdout.contains(&said), "{}", text.describe());
        }
        Ok(rows)
    }
}

#[test]
fn quarantined_rows_name_their_lines() -> Result<()> {
    let feed = Feed::new()?;
    let runner = Runner::new(&feed.folder.path().join("data"))?;
    let report = runner.sample(&feed.document(100)?).succeed()?.json()?;
    assert_eq!(feed.quarantined(&runner, &report)?.len(), 20, "{report}");

    let document = feed.document(100)?;
    let arguments = [
        "quarantine",
        "replay",
        &document.to_string_lossy(),
        "--json",
    ];
    let replayed = runner.command(&arguments).succeed()?.json()?;
    let rows = feed.quarantined(&runner, &replayed)?;
    assert!(!rows.is_empty(), "{replayed}");
    Ok(())
}

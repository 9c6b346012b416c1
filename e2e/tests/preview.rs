//! `preview` and `plan --probe` read the first rows and load nothing.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use runner_e2e::{GeneratedApi, Runner, Size, repository};
use serde_json::json;

const SIZE: Size = Size {
    first: 1,
    step: 1,
    rows: 5_000,
    page_rows: 30,
    parents: 1,
    page_delay: Duration::ZERO,
};

struct Feed {
    folder: tempfile::TempDir,
    api: GeneratedApi,
    runner: Runner,
}

impl Feed {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let api = GeneratedApi::start(SIZE)?;
        let runner = Runner::new(&folder.path().join("data"))?;
        let overlay = json!({"provider": {
            "base_url": api.url(),
            "endpoints": {"rows": {"masking": {"name": "redact"}}},
        }});
        fs::write(folder.path().join("overlay.json"), overlay.to_string())?;
        Ok(Self {
            folder,
            api,
            runner,
        })
    }

    fn command(&self, name: &str) -> runner_e2e::Invocation {
        let document = repository().join("e2e/documents/rows.yaml");
        self.runner
            .command(&[name, &document.to_string_lossy()])
            .option("--overlay", self.folder.path().join("overlay.json"))
    }
}

#[test]
fn a_preview_shows_rows_raw_and_mapped_and_loads_nothing() -> Result<()> {
    let feed = Feed::start()?;
    let shown = feed.command("preview").arg("--json").succeed()?.json()?;
    let stream = &shown["streams"][0];
    assert_eq!(stream["name"], "rows", "{shown}");
    let rows = stream["rows"].as_array().context("no rows")?;
    assert_eq!(rows.len(), 100, "sample_size is 100 unless said");
    assert_eq!(rows[6]["raw"]["id"], 7);
    assert_eq!(rows[6]["mapped"]["id"], 7);
    assert_eq!(rows[6]["mapped"]["name"], "***", "{shown}");
    assert_eq!(rows[6]["raw"]["name"], "***", "{shown}");
    // 100 rows lie on four pages of 30, of 167; some behind them may be on their way.
    assert!(
        (4..=8).contains(&feed.api.requests()),
        "{}",
        feed.api.requests()
    );

    let jobs = feed
        .runner
        .command(&["jobs", "list", "--json"])
        .succeed()?
        .json()?;
    assert_eq!(jobs["jobs"], json!([]));
    let data = fs::read_dir(feed.runner.data_folder())?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| !name.starts_with("jobs.db"))
        .collect::<Vec<_>>();
    assert!(data.is_empty(), "{data:?}");
    Ok(())
}

#[test]
fn a_probe_shows_the_columns_that_the_first_rows_have() -> Result<()> {
    let feed = Feed::start()?;
    let planned = feed
        .command("plan")
        .arg("--probe")
        .arg("--json")
        .succeed()?
        .json()?;
    let columns = planned["probe"][0]["columns"]
        .as_array()
        .context("no columns")?;
    assert!(
        columns.contains(&json!({"name": "happened_at", "type": "timestamp", "nullable": false})),
        "{columns:?}"
    );
    let unknown = feed.command("preview").option("--stream", "other").run()?;
    assert_ne!(unknown.code, Some(0));
    assert!(
        unknown.stderr.contains("its streams are rows"),
        "{}",
        unknown.describe()
    );
    Ok(())
}

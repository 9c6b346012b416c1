//! A feed of several streams, each with a table of its own.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{
    Outcome, Runner,
    readers::{Readers, Tally},
    servers::Answered,
    write_secrets,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// An endpoint without pagination and credentials.
pub(crate) fn endpoint(name: &str, path: &str, response_path: &str) -> Value {
    json!({"name": name, "path": path, "response_path": response_path})
}

/// The endpoint with more settings.
pub(crate) fn with(mut endpoint: Value, settings: &Value) -> Value {
    if let (Some(endpoint), Some(settings)) = (endpoint.as_object_mut(), settings.as_object()) {
        endpoint.extend(settings.clone());
    }
    endpoint
}

/// A document, and a folder for all that belongs to its runs.
pub(crate) struct Feed {
    folder: TempDir,
    runner: Runner,
    document: Value,
    environment: Vec<(String, PathBuf)>,
}

impl Feed {
    pub(crate) fn new(base_url: &str, endpoints: &[Value]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let sink = json!({"type": "parquet", "table_name": "readings", "config": {"path": folder.path().join("tables")}});
        let document = json!({
            "version": "1.2",
            "name": "readings",
            "created_by": "tests",
            "global_config": {"secrets": {"KEY": "vault://tests/api#key"}},
            "provider": {
                "name": "readings",
                "display_name": "Readings",
                "owner": "tests",
                "provider_type": "rest_api",
                "base_url": base_url,
                "tenant_id": "tests",
                "config": {"stable_order": true},
                "endpoints": endpoints,
                "sinks": [sink],
            },
        });
        let feed = Self {
            runner: Runner::new(&folder.path().join("data"))?,
            folder,
            document,
            environment: Vec::new(),
        };
        feed.keep_key("unused")?;
        Ok(feed)
    }

    /// Sets something of the provider.
    pub(crate) fn set(mut self, name: &str, value: Value) -> Self {
        self.document["provider"][name] = value;
        self
    }

    /// Sets a variable of the environment to a path.
    pub(crate) fn env(mut self, name: &str, path: &Path) -> Self {
        self.environment.push((name.to_owned(), path.to_owned()));
        self
    }

    /// What `{{ secrets.KEY }}` stands for.
    pub(crate) fn keep_key(&self, key: &str) -> Result<()> {
        write_secrets(
            &self.folder.path().join("secrets.json"),
            &json!({"tests/api": {"key": key}}),
        )
    }

    pub(crate) fn run(&self) -> Result<Outcome> {
        let document = self.folder.path().join("readings.json");
        fs::write(&document, self.document.to_string())?;
        let sample = self
            .runner
            .sample(&document)
            .option("--secrets", self.folder.path().join("secrets.json"));
        self.environment
            .iter()
            .fold(sample, |sample, (name, path)| {
                sample.env(name, &path.to_string_lossy())
            })
            .run()
    }

    /// Runs it to a good end and gives the report.
    pub(crate) fn report(&self) -> Result<Value> {
        let outcome = self.run()?;
        ensure!(outcome.code == Some(0), "{}", outcome.describe());
        outcome.json()
    }

    /// What DuckDB finds in each stream's table.
    pub(crate) fn tables(&self, python: &Path) -> Result<BTreeMap<String, Tally>> {
        Readers::new(python).parquet_folders(&self.folder.path().join("tables"), "id")
    }

    /// Fails unless the table holds the readings from the first to the last, each once.
    pub(crate) fn check_rows(
        tables: &BTreeMap<String, Tally>,
        table: &str,
        first: u64,
        last: u64,
    ) -> Result<()> {
        let none = Tally::default();
        let tally = tables.get(table).unwrap_or(&none);
        let rows = (last + 1).saturating_sub(first);
        let sum = (first..=last).sum::<u64>();
        ensure!(
            (tally.rows, tally.distinct.unwrap_or(0)) == (rows, rows),
            "`{table}` should have {rows} rows: {tally:?}"
        );
        let found = tally.sums.get("id").and_then(Value::as_u64).unwrap_or(0);
        ensure!(
            found == sum,
            "the ids of `{table}` add up to {found} and not to {sum}"
        );
        Ok(())
    }

    /// Whether any file of a run, its tables aside, holds this text.
    pub(crate) fn keeps(&self, text: &str) -> Result<bool> {
        holds(&self.folder.path().join("data"), text.as_bytes())
    }
}

/// A stream's entry in the report.
pub(crate) fn stream<'report>(report: &'report Value, name: &str) -> Result<&'report Value> {
    report["streams"]
        .as_array()
        .and_then(|streams| streams.iter().find(|stream| stream["name"] == name))
        .with_context(|| format!("no stream `{name}` in {report}"))
}

/// Requests that some were answered more than once, those with an error aside.
pub(crate) fn check_asked_once(answered: &[Answered]) -> Result<()> {
    let mut pages: Vec<&str> = answered
        .iter()
        .filter(|request| request.status == 200)
        .map(|request| request.target.as_str())
        .collect();
    pages.sort_unstable();
    let repeated = pages.windows(2).find(|pair| pair[0] == pair[1]);
    ensure!(repeated.is_none(), "asked for twice: {repeated:?}");
    Ok(())
}

fn holds(folder: &Path, text: &[u8]) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_found = if path.is_dir() {
            holds(&path, text)?
        } else {
            fs::read(&path)?
                .windows(text.len())
                .any(|window| window == text)
        };
        if is_found {
            return Ok(true);
        }
    }
    Ok(false)
}

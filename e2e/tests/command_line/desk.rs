//! A folder with a small shop's files and documents, and what the binary says in it.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};
use insta::internals::SettingsBindDropGuard;
use runner_e2e::{Invocation, Outcome, Runner};
use serde_json::Value;

/// Orders of a shop from a file, checked by a rule and a contract; the third is bad, twice.
pub(crate) const ORDERS: &str = r#"version: "1.2"
name: shop-orders
created_by: tests
provider:
  name: shop
  display_name: Shop
  owner: tests
  provider_type: file_ftp
  tenant_id: acme
  endpoints:
    - name: orders
      path: in/orders.jsonl
      incremental: {cursor_field: at}
      validation_rules:
        required_fields: [id, name]
        numeric_ranges: {price: [0, null]}
  schema_contract:
    type: object
    properties:
      id: {type: integer}
      name: {type: string}
      at: {type: string, format: date-time}
      price: {type: number}
    required: [id, name, at]
  sinks:
    - {type: parquet, table_name: orders}
"#;

pub(crate) const ROWS: &str = r#"{"id":1,"at":"2024-01-01T00:00:00Z","name":"a","price":1.5}
{"id":2,"at":"2024-01-02T00:00:00Z","name":"b","price":2}
{"id":null,"at":"2024-01-01T12:00:00Z","name":"c","price":-1}
"#;

/// What differs from run to run, and what stands for it.
const NOISE: [(&str, &str); 9] = [
    ("job-[0-9a-f]{32}", "[job]"),
    (
        r"20(2[5-9]|[3-9]\d)-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?",
        "[instant]",
    ),
    (r"\d\d:\d\d:\d\d\.\d{3}", "[time]"),
    (r"in \d+\.\d s on", "in [seconds] on"),
    (r"\d+(\.\d+)? (B|KiB|MiB)\b", "[size]"),
    (r#""bytes": \d+"#, r#""bytes": "[bytes]""#),
    (
        r#""duration_seconds": [0-9.]+"#,
        r#""duration_seconds": "[seconds]""#,
    ),
    (
        r#""(version|worker|submission)": "[^"]+""#,
        r#""$1": "[$1]""#,
    ),
    (
        r"ingestion-runner \d+\.\d+\.\d+",
        "ingestion-runner [version]",
    ),
];

/// A folder in which the binary runs; its data lies in `data`.
pub(crate) struct Desk {
    folder: tempfile::TempDir,
    runner: Runner,
    _filters: SettingsBindDropGuard,
}

impl Desk {
    /// With the shop's document and its orders.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(&folder.path().display().to_string(), "[folder]");
        for (pattern, replacement) in NOISE {
            settings.add_filter(pattern, replacement);
        }
        let desk = Self {
            folder,
            runner: Runner::new(Path::new("data"))?,
            _filters: settings.bind_to_scope(),
        };
        desk.write("orders.yaml", ORDERS)?;
        desk.write("in/orders.jsonl", ROWS)?;
        Ok(desk)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))
    }

    /// The shop's document with every `from` replaced.
    pub(crate) fn write_changed(&self, name: &str, changes: &[(&str, &str)]) -> Result<()> {
        let mut text = ORDERS.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "`{from}` is not in the document");
            text = text.replace(from, to);
        }
        self.write(name, &text)
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Invocation {
        self.runner.command(arguments).in_folder(self.folder())
    }

    /// Everything that a command says, with its exit code.
    pub(crate) fn said(&self, arguments: &[&str]) -> Result<String> {
        Ok(shown(&self.call(arguments).run()?))
    }

    /// What is said to one command after another; their words stand between blanks.
    pub(crate) fn transcript(&self, commands: &[&str]) -> Result<String> {
        let mut text = String::new();
        for command in commands {
            let arguments: Vec<&str> = command.split_whitespace().collect();
            let said = self.said(&arguments)?;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "$ {command}\n{said}");
        }
        Ok(text)
    }

    /// What a command that ends well prints under `--json`.
    pub(crate) fn json(&self, arguments: &[&str]) -> Result<Value> {
        self.call(arguments).arg("--json").succeed()?.json()
    }

    /// The id of the newest job.
    pub(crate) fn last_job(&self) -> Result<String> {
        let listed = self.json(&["jobs", "list"])?;
        let job = listed["jobs"][0]["job_id"].as_str();
        Ok(job.context("no job")?.to_owned())
    }
}

/// An outcome as one text.
pub(crate) fn shown(outcome: &Outcome) -> String {
    let code = outcome
        .code
        .map_or_else(|| "a signal".to_owned(), |code| code.to_string());
    let mut text = format!("exit code: {code}\n");
    for (name, output) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)] {
        if !output.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "----- {name} -----\n{}", output.trim_end());
        }
    }
    text
}

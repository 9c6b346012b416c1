//! `cargo xtask demo`: a feed from a local API into local tables, from nothing, in one command.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{Mock, repository};
use serde_json::Value;

use crate::{
    command::{Shown, cargo, inherited},
    workspace::{BINARY, Workspace},
};

const DOCUMENT: &str = "examples/polygon-api.yaml";
/// What the document's reference to a secret resolves to; the local API accepts this key and no other.
const SECRETS: &str = include_str!("../demo/secrets.json");
/// Shows Parquet files without any code of the runner.
const VIEWER: &str = "table-viewer";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Rows that the API has in each chain of pages
    #[arg(long, default_value_t = 500)]
    rows: u32,
    /// Rows shown of each table
    #[arg(long, default_value_t = 5)]
    show: u32,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    println!("==> building {BINARY} (the first time takes minutes)");
    inherited(cargo().args([
        "build",
        "--workspace",
        "--locked",
        "--bin",
        BINARY,
        "--bin",
        VIEWER,
    ]))?;
    let workspace = Workspace::load()?;
    let binary = workspace.binary("debug");

    let folder = fresh_folder()?;
    let secrets = folder.join("secrets.json");
    write_private(&secrets, SECRETS)?;

    println!("==> starting a local market-data API: pages by cursor, an API key, a rate limit");
    let api = market_data_api(&binary, &secrets, options.rows)?;
    println!("    {}", api.url());

    println!("==> running {DOCUMENT} against it");
    let data = folder.join("data");
    let mut command = Command::new(&binary);
    command
        .current_dir(repository())
        .args(["sample", DOCUMENT, "--json", "--base-url", api.url()]);
    command
        .arg("--secrets")
        .arg(&secrets)
        .arg("--data-dir")
        .arg(&data);
    println!("    {}", Shown(&command));
    let report = run_for_report(&mut command)?;

    print_streams(&report);
    let viewer = workspace.target_directory.join("debug").join(VIEWER);
    for sink in list(&report, "sinks") {
        println!(
            "==> {} table {}: {} rows",
            text(sink, "type"),
            text(sink, "table"),
            number(sink, "rows")
        );
        let location = text(sink, "location");
        let folder = location.strip_prefix("file://").unwrap_or(location);
        inherited(
            Command::new(&viewer)
                .arg(options.show.to_string())
                .arg(folder),
        )?;
    }
    println!("==> everything lies in {}", from_here(&folder).display());
    println!(
        "    jobs: {} jobs list --data-dir {}",
        from_here(&binary).display(),
        from_here(&data).display()
    );
    Ok(())
}

/// The API that the document describes, served from generated rows by the binary itself.
fn market_data_api(binary: &Path, secrets: &Path, rows: u32) -> Result<Mock> {
    let mut command = Command::new(binary);
    command
        .current_dir(repository())
        .args(["mock", DOCUMENT, "--rows", &rows.to_string()])
        .arg("--secrets")
        .arg(secrets);
    Mock::start(&mut command)
}

/// A path as one types it in the repository's root.
fn from_here(path: &Path) -> &Path {
    path.strip_prefix(repository()).unwrap_or(path)
}

/// A folder of the demo's own, emptied, so that every demo begins with nothing.
fn fresh_folder() -> Result<PathBuf> {
    let folder = repository().join(".ingestion-runner/demo");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("failed to empty `{}`", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Secrets that others can read are refused by the runner.
fn write_private(path: &Path, content: &str) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content.as_bytes())?;
    Ok(())
}

/// Runs the feed with its progress on this terminal, and reads the report from its output.
fn run_for_report(command: &mut Command) -> Result<Value> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "the run ended with {}:\n{printed}",
        output.status
    );
    serde_json::from_str(&printed).with_context(|| format!("the run printed no report: {printed}"))
}

fn print_streams(report: &Value) {
    for stream in list(report, "streams") {
        println!(
            "    {}: {} requests, {} pages, {} rows read, {} loaded, {} quarantined",
            text(stream, "name"),
            number(stream, "requests"),
            number(stream, "pages"),
            number(stream, "rows_read"),
            number(stream, "rows_loaded"),
            number(stream, "rows_quarantined"),
        );
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("?")
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

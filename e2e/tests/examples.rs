//! Every example runs as it stands: those of an API against `mock`, those of files on the files beside them.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{Mock, Runner, repository};
use serde_json::{Value, json};

/// Examples of files that the repository doesn't hold; they have tests of their own.
const WITH_OTHER_FILES: [&str; 1] = ["flights-csv"];
/// Rows of each stream at most: a feed with a rate limit and years of windows would take its time.
const LIMIT: &str = "200";

/// Whatever the examples ask for, by path; `mock` accepts these and nothing else.
fn secrets() -> Value {
    json!({
        "sales/crm": {
            "api_key": "crm-key", "token": "crm-token", "username": "crm", "password": "crm-password",
            "client_id": "crm-client", "client_secret": "crm-secret", "refresh_token": "crm-refresh",
        },
        "iot/devices": {"token": "device-token"},
        "platform/github": {"token": "github-token"},
        "commerce/catalogue": {"key": "catalogue-key"},
        "commerce/shop": {"client_id": "shop-client", "client_secret": "shop-secret"},
        "market-data/polygon": {"api_key": "polygon-key"},
        "finance/sales": {"username": "sales", "password": "sales-password"},
        "trading/exchange": {"key": "exchange-key", "secret": "exchange-secret"},
    })
}

fn mock(runner: &Runner, document: &Path, secrets: &Path) -> Result<Mock> {
    let mut command = runner
        .command(&["mock", &document.to_string_lossy()])
        .option("--rows", "40")
        .option("--parents", "3")
        .option("--secrets", secrets)
        .into_command();
    Mock::start(&mut command)
}

fn examples() -> Result<Vec<PathBuf>> {
    let mut examples: Vec<PathBuf> = fs::read_dir(repository().join("examples"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    examples.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    examples.sort();
    Ok(examples)
}

fn name_of(example: &Path) -> String {
    example
        .file_stem()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn run(example: &Path, folder: &Path, secrets: &Path) -> Result<()> {
    let runner = Runner::new(&folder.join(name_of(example)))?;
    let text = fs::read_to_string(example)?;
    let reads_files = text.contains("provider_type: file_ftp");
    let mock = if reads_files {
        None
    } else {
        Some(mock(&runner, example, secrets)?)
    };
    let mut invocation = runner
        .sample(example)
        .option("--secrets", secrets)
        .option("--limit", LIMIT)
        .in_folder(&repository());
    if let Some(mock) = &mock {
        invocation = invocation.option("--base-url", mock.url());
    }
    let report = invocation.succeed()?.json()?;
    ensure!(report["status"] == "completed", "{report}");
    for stream in report["streams"].as_array().context("no streams")? {
        ensure!(stream["rows_quarantined"] == 0, "{stream}");
    }
    for sink in report["sinks"].as_array().context("no sinks")? {
        ensure!(sink["rows"].as_u64().is_some_and(|rows| rows > 0), "{sink}");
    }
    Ok(())
}

#[test]
fn every_example_runs_as_it_stands() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("secrets.json");
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?
        .write_all(secrets().to_string().as_bytes())?;
    let examples = examples()?;
    assert!(examples.len() >= 12, "{} examples", examples.len());
    let mut failures = Vec::new();
    for example in &examples {
        let name = name_of(example);
        if WITH_OTHER_FILES.contains(&name.as_str()) {
            continue;
        }
        if let Err(error) = run(example, folder.path(), &path) {
            failures.push(format!("{name}: {error:#}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    Ok(())
}

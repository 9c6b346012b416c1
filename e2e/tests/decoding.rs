//! Decoding and conversion beside DuckDB's, on the same bytes: generated files of each format, with wrong values in a share of the rows.
//!
//! `e2e/readers/decoding` writes the files and compares; where the two programs part on purpose, its `differences.py` says why.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{
    Runner, SEED_VARIABLE, provision::READERS, readers::Readers, repository, require,
};
use serde::Deserialize;

const SEEDS: [u64; 3] = [1, 2, 3];
const ROWS: u64 = 1_200;
const RUNS_AT_ONCE: usize = 2;

/// What the comparison says.
#[derive(Debug, Deserialize)]
struct Findings {
    rows: u64,
    loaded: u64,
    quarantined: u64,
    cells: u64,
    /// How often each stated difference was met.
    differences: BTreeMap<String, u64>,
    /// Stated differences that no value met.
    never_seen: Vec<String>,
    /// What nothing states.
    unexpected: Vec<String>,
}

#[test]
fn decoding_and_conversion_agree_with_duckdb_on_the_same_bytes() -> Result<()> {
    let Some(component) = require(&READERS) else {
        return Ok(());
    };
    let readers = Readers::new(&component);
    let root = tempfile::tempdir()?;
    let root = root.path();
    let seeds = seeds()?;
    for seed in &seeds {
        let (seed, rows) = (seed.to_string(), ROWS.to_string());
        decoding(
            &readers,
            &["generate", &root.to_string_lossy(), &seed, &rows],
        )?;
    }
    load_all(&cases(root)?)?;
    let answer = decoding(&readers, &["compare", &root.to_string_lossy()])?;
    let findings: Findings =
        serde_json::from_str(&answer).with_context(|| format!("no findings: {answer}"))?;
    ensure!(
        findings.unexpected.is_empty(),
        "the runner and DuckDB disagree (`{SEED_VARIABLE}=SEED` repeats one seed):\n{}",
        findings.unexpected.join("\n")
    );
    // A comparison of nothing would agree as well.
    ensure!(
        findings.rows == findings.loaded + findings.quarantined
            && findings.loaded > findings.quarantined
            && findings.quarantined > findings.rows / 50
            && findings.cells > 5 * findings.loaded,
        "{findings:?}"
    );
    // One seed alone need not meet everything.
    ensure!(
        findings.never_seen.is_empty() || seeds.len() < SEEDS.len(),
        "differences that no value has shown: {:?}, beside {:?}",
        findings.never_seen,
        findings.differences
    );
    Ok(())
}

/// The one that the environment names, else the same every time.
fn seeds() -> Result<Vec<u64>> {
    match env::var(SEED_VARIABLE) {
        Ok(seed) => {
            Ok(vec![seed.parse().with_context(|| {
                format!("{SEED_VARIABLE} is no number: `{seed}`")
            })?])
        }
        Err(_) => Ok(SEEDS.to_vec()),
    }
}

/// What the generator and the comparison print.
fn decoding(readers: &Readers<'_>, arguments: &[&str]) -> Result<String> {
    let mut command = readers.python();
    command
        .arg("-B")
        .arg(repository().join("e2e/readers/decoding"))
        .args(arguments);
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// The folders of all cases, of every seed.
fn cases(root: &Path) -> Result<Vec<PathBuf>> {
    let mut cases = Vec::new();
    for seed in fs::read_dir(root)? {
        for case in fs::read_dir(seed?.path())? {
            cases.push(case?.path());
        }
    }
    Ok(cases)
}

fn load_all(cases: &[PathBuf]) -> Result<()> {
    let next = Mutex::new(cases.iter());
    let take = || next.lock().ok()?.next();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..RUNS_AT_ONCE)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while let Some(case) = take() {
                        load(case)?;
                    }
                    Ok(())
                })
            })
            .collect();
        for worker in workers {
            worker.join().ok().context("a worker panicked")??;
        }
        Ok(())
    })
}

/// Runs the case's document, and leaves its quarantine beside it.
fn load(case: &Path) -> Result<()> {
    let runner = Runner::new(&case.join("data"))?;
    let report = runner.sample(&case.join("document.json")).succeed()?;
    let report = report.json()?;
    let job = report["job_id"].as_str().context("no job")?;
    let limit = ROWS.to_string();
    let shown = runner
        .command(&["quarantine", "show", job, "--limit", &limit, "--json"])
        .succeed()?;
    fs::write(case.join("quarantine.json"), shown.stdout)?;
    Ok(())
}

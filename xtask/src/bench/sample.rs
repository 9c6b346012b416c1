//! One measured run, whose rows are counted where they went.

use std::{
    fmt,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{
    readers::{self, Question},
    repository,
};
use serde::Deserialize;

use super::{
    Arena,
    commands::{self, Place},
    contest::{Contender, Scenario, Target},
};

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub wall_s: f64,
    /// User and system time of the program and its children (not of a database server).
    pub cpu_s: f64,
    pub peak_rss_mb: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:7.3} s  {:7.3} CPU s  {:6.1} MB",
            self.wall_s, self.cpu_s, self.peak_rss_mb
        )
    }
}

/// What `bench/measure.py` writes.
#[derive(Debug, Deserialize)]
struct Usage {
    code: i32,
    wall_s: f64,
    user_s: f64,
    system_s: f64,
    peak_rss_kib: f64,
}

/// What the floor prints of the part that counts.
#[derive(Debug, Deserialize)]
struct FloorReport {
    wall_s: f64,
    cpu_s: f64,
}

/// Runs a contender once from an empty destination, and fails unless every row arrived.
pub(super) fn take(arena: &Arena, scenario: Scenario, contender: Contender) -> Result<Sample> {
    let place = Place::fresh(arena)?;
    if scenario.target == Target::Postgres {
        commands::reset_database(arena, scenario, contender)?;
    }
    let result = arena.folder.path().join("usage.json");
    let log = arena.folder.path().join("contender.log");
    let output = File::create(&log)?;
    let command = commands::command(arena, scenario, contender, &place)?;
    let mut measured = measured(&command, &result);
    measured
        .stdin(commands::standard_input(arena, scenario, contender)?)
        .stdout(output.try_clone()?)
        .stderr(output);
    measured.status().context("failed to start python3")?;
    let printed = fs::read_to_string(&log).unwrap_or_default();
    let usage: Usage =
        serde_json::from_slice(&fs::read(&result).with_context(|| printed.clone())?)?;
    ensure!(
        usage.code == 0,
        "it ended with code {}:\n{printed}",
        usage.code
    );

    let rows = count(arena, scenario, contender, &place)?;
    ensure!(
        rows == arena.rows,
        "{rows} of {} rows arrived:\n{printed}",
        arena.rows
    );
    let mut sample = Sample {
        wall_s: usage.wall_s,
        cpu_s: usage.user_s + usage.system_s,
        peak_rss_mb: usage.peak_rss_kib * 1024.0 / 1e6,
    };
    if contender == Contender::Floor {
        let report: FloorReport =
            serde_json::from_str(&printed).with_context(|| printed.clone())?;
        (sample.wall_s, sample.cpu_s) = (report.wall_s, report.cpu_s);
    }
    Ok(sample)
}

/// The command below the program that measures it, with the same environment and folder.
fn measured(command: &Command, result: &Path) -> Command {
    let mut measured = Command::new("python3");
    measured
        .arg(repository().join("bench/measure.py"))
        .arg(result)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => measured.env(name, value),
            None => measured.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        measured.current_dir(folder);
    }
    measured
}

fn count(arena: &Arena, scenario: Scenario, contender: Contender, place: &Place) -> Result<u64> {
    let question = Question::default();
    let tally = match scenario.target {
        Target::Parquet => {
            let pattern = match contender {
                // Its own tables lie beside the one that counts.
                Contender::Dlt => place.output.join("bench/flights/*.parquet"),
                _ => place.output.join("**/*.parquet"),
            };
            arena
                .readers()
                .parquet(&pattern.display().to_string(), &question)?
        }
        Target::Iceberg => arena
            .readers()
            .iceberg_metadata(&newest_metadata(&place.output)?, &question)?,
        Target::Postgres => {
            let table = if contender == Contender::Dlt {
                "bench.flights"
            } else {
                "public.flights"
            };
            readers::postgres(&arena.postgres, table, &question)?
        }
    };
    Ok(tally.rows)
}

/// The metadata file of the table `flights` that was written last.
fn newest_metadata(folder: &Path) -> Result<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    let mut newest = None;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(".metadata.json")
                && path.to_string_lossy().contains("flights")
            {
                newest = newest.max(Some((fs::metadata(&path)?.modified()?, path)));
            }
        }
    }
    newest
        .map(|(_, path)| path)
        .with_context(|| format!("no Iceberg metadata below `{}`", folder.display()))
}

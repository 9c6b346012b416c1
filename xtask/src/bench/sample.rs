//! One measured run, whose rows are counted where they went.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{
    Measured, measure,
    readers::{self, Question},
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
    let command = commands::command(arena, scenario, contender, &place)?;
    let standard_input = commands::standard_input(arena, scenario, contender)?;
    let Measured { usage, printed } = measure(&command, standard_input, arena.folder.path())?;
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
        cpu_s: usage.cpu_s(),
        peak_rss_mb: usage.peak_rss_mb(),
    };
    if contender == Contender::Floor {
        let report: FloorReport =
            serde_json::from_str(&printed).with_context(|| printed.clone())?;
        (sample.wall_s, sample.cpu_s) = (report.wall_s, report.cpu_s);
    }
    Ok(sample)
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

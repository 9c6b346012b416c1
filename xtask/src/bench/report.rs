//! The tables of `docs/benchmarks.md`.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::{
    contest::{Contender, Scenario},
    sample::Sample,
};
use crate::command::captured;

/// Every sample, by scenario and contender.
pub(super) struct Results {
    rows: u64,
    runs: usize,
    samples: BTreeMap<Scenario, BTreeMap<Contender, Vec<Sample>>>,
}

impl Results {
    pub(super) fn new(rows: u64, runs: usize) -> Self {
        Self {
            rows,
            runs,
            samples: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, scenario: Scenario, contender: Contender, sample: Sample) {
        self.samples
            .entry(scenario)
            .or_default()
            .entry(contender)
            .or_default()
            .push(sample);
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, self.markdown()?)
            .with_context(|| format!("failed to write `{}`", path.display()))
    }

    fn markdown(&self) -> Result<String> {
        let mut text = String::new();
        writeln!(text, "# Benchmarks\n")?;
        writeln!(
            text,
            "{} rows of flights (19 columns), {} runs of each contender in turns, each from an empty destination, rows counted \
             there after every run. Median, and the range in brackets. CPU is that of the program and its children, not of a \
             database server; the peak is that of its largest process. Written by `cargo xtask bench`.\n",
            grouped(self.rows),
            self.runs
        )?;
        writeln!(text, "Machine: {}\n", machine())?;
        for (scenario, contenders) in &self.samples {
            writeln!(
                text,
                "## {} → {}\n",
                scenario.source.name(),
                scenario.target.name()
            )?;
            writeln!(
                text,
                "| | wall s | CPU s | peak MB | wall, runner = 1 | CPU, runner = 1 |"
            )?;
            writeln!(text, "| --- | --- | --- | --- | --- | --- |")?;
            let runner = contenders.get(&Contender::Runner);
            for (contender, samples) in contenders {
                writeln!(text, "{}", row(*contender, samples, runner))?;
            }
            writeln!(text)?;
        }
        writeln!(text, "## What each does while it runs\n")?;
        for contender in Contender::ALL
            .iter()
            .filter(|contender| **contender != Contender::RunnerAgain)
        {
            writeln!(text, "- **{}**: {}", contender.name(), contender.does())?;
        }
        Ok(text)
    }
}

fn row(contender: Contender, samples: &[Sample], runner: Option<&Vec<Sample>>) -> String {
    let wall = Spread::of(samples, |sample| sample.wall_s);
    let cpu = Spread::of(samples, |sample| sample.cpu_s);
    let peak = Spread::of(samples, |sample| sample.peak_rss_mb);
    let ratio = |measured: &Spread, value: fn(&Sample) -> f64| {
        runner.map_or_else(String::new, |runner| {
            format!("{:.2}", measured.median / Spread::of(runner, value).median)
        })
    };
    format!(
        "| {} | {:.2} ({:.2}–{:.2}) | {:.2} ({:.2}–{:.2}) | {:.0} | {} | {} |",
        contender.name(),
        wall.median,
        wall.least,
        wall.most,
        cpu.median,
        cpu.least,
        cpu.most,
        peak.most,
        ratio(&wall, |sample| sample.wall_s),
        ratio(&cpu, |sample| sample.cpu_s),
    )
}

/// The middle and the ends of some measurements.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(samples: &[Sample], value: fn(&Sample) -> f64) -> Self {
        let mut values: Vec<f64> = samples.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let (lower, upper) = (values.len().saturating_sub(1) / 2, values.len() / 2);
        Self {
            least: at(0),
            median: f64::midpoint(at(lower), at(upper)),
            most: at(values.len().saturating_sub(1)),
        }
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}

/// Processor, cores, memory, system and compiler.
fn machine() -> String {
    let first_value = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_default();
        line.split_once([':', '='])
            .map(|(_, value)| value.trim().trim_matches('"').to_owned())
            .unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{}, {cores} cores, {} memory, {}, {}",
        first_value("/proc/cpuinfo", "model name"),
        first_value("/proc/meminfo", "MemTotal"),
        first_value("/etc/os-release", "PRETTY_NAME"),
        captured(Command::new("rustc").arg("--version"))
            .unwrap_or_default()
            .trim(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(walls: &[f64]) -> Vec<Sample> {
        walls
            .iter()
            .map(|wall| Sample {
                wall_s: *wall,
                cpu_s: wall * 2.0,
                peak_rss_mb: 50.0,
            })
            .collect()
    }

    #[test]
    fn the_median_is_the_middle_and_of_two_their_mean() {
        let wall = |sample: &Sample| sample.wall_s;
        assert!((Spread::of(&samples(&[9.0, 1.0, 2.0]), wall).median - 2.0).abs() < 1e-9);
        assert!((Spread::of(&samples(&[1.0, 2.0]), wall).median - 1.5).abs() < 1e-9);
    }

    #[test]
    fn ratios_are_relative_to_the_runner() {
        let row = row(
            Contender::Dlt,
            &samples(&[20.0, 22.0, 21.0]),
            Some(&samples(&[2.0, 2.0, 2.0])),
        );
        assert_eq!(
            row,
            "| dlt | 21.00 (20.00–22.00) | 42.00 (40.00–44.00) | 50 | 10.50 | 10.50 |"
        );
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!(
            (grouped(336_776), grouped(12), grouped(1_000)),
            ("336,776".into(), "12".into(), "1,000".into())
        );
    }
}

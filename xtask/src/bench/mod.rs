//! `cargo xtask bench`: this runner beside its peers and the floor, on the same bytes and the same machine.
//!
//! Rules: one run of each contender after another in turns, so that a slow minute hits all of them; the runner twice (the
//! A/A arm), so that the noise is known; rows counted at the destination after every run; the best documented settings for
//! everyone. The tables go to `docs/benchmarks.md`.

mod commands;
mod contest;
mod floor;
mod report;
mod sample;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use runner_e2e::{
    Flights,
    provision::{
        BENCH_DLT, BENCH_FAUCET, BENCH_SLING, Cache, FLIGHTS, NGINX, POSTGRES, READERS, SERVERS,
    },
    readers::Readers,
    repository,
    servers::{Nginx, Postgres},
};

use self::{
    commands::Peers,
    contest::{Contender, Scenario},
    report::Results,
};
use crate::{command::captured, provision, workspace};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Runs of each contender; fewer than five are no benchmark
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Only these scenarios, such as `http-parquet`
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<String>,
    /// Only these contenders, such as `dlt`
    #[arg(long, value_name = "NAME")]
    contenders: Vec<String>,
    /// Rows to load, instead of all flights
    #[arg(long)]
    rows: Option<u64>,
    /// Measure this binary instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Where the tables go
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks.md")]
    output: PathBuf,
}

/// Everything that the contenders need, running.
struct Arena {
    peers: Peers,
    postgres: Postgres,
    /// Serves the pages for as long as it lives.
    _nginx: Nginx,
    readers: PathBuf,
    folder: tempfile::TempDir,
    rows: u64,
    base_url: String,
}

/// What takes part in the bounded version: what needs neither a build nor an installation of its own.
const BOUNDED: [Contender; 4] = [
    Contender::Runner,
    Contender::DuckDb,
    Contender::Psql,
    Contender::PsqlStaged,
];
const BOUNDED_ROWS: u64 = 10_000;

pub(crate) fn run(options: &Options) -> Result<()> {
    let scenarios = chosen_scenarios(&options.only)?;
    let contenders = chosen_contenders(&options.contenders)?;
    provision::install(&SERVERS)?;
    for (contender, component) in [
        (Contender::Dlt, &BENCH_DLT),
        (Contender::Sling, &BENCH_SLING),
        (Contender::Faucet, &BENCH_FAUCET),
    ] {
        if contenders.contains(&contender) {
            provision::install(&[component])?;
        }
    }
    let binary = match &options.binary {
        Some(binary) => binary
            .canonicalize()
            .with_context(|| format!("there is no `{}`", binary.display()))?,
        None => workspace::release_binary()?,
    };
    let arena = Arena::open(binary, &contenders, options.rows)?;
    let results = hold(&arena, &scenarios, &contenders, options.runs)?;
    let output = repository().join(&options.output);
    results.write(&output)?;
    println!("wrote {}", options.output.display());
    Ok(())
}

/// Why the bounded version can't run here, if it can't.
pub(crate) fn missing() -> Result<Option<anyhow::Error>> {
    let cache = Cache::open()?;
    let needed = [&NGINX, &POSTGRES, &READERS, &FLIGHTS];
    Ok(needed
        .into_iter()
        .find_map(|component| cache.find(component).err()))
}

/// Every scenario once with few rows, all of which have to arrive: for the benchmark to work when it is needed. Measures nothing.
pub(crate) fn run_bounded(binary: PathBuf) -> Result<String> {
    let scenarios = Scenario::all();
    let arena = Arena::open(binary, &BOUNDED, Some(BOUNDED_ROWS))?;
    hold(&arena, &scenarios, &BOUNDED, 1)?;
    let left_out: Vec<&str> = Contender::ALL
        .iter()
        .filter(|contender| !BOUNDED.contains(contender))
        .map(|contender| contender.name())
        .collect();
    Ok(format!(
        "{} scenarios of {BOUNDED_ROWS} rows, without {}",
        scenarios.len(),
        left_out.join(", ")
    ))
}

fn hold(
    arena: &Arena,
    scenarios: &[Scenario],
    contenders: &[Contender],
    runs: usize,
) -> Result<Results> {
    let mut results = Results::new(arena.rows, runs);
    for scenario in scenarios {
        let field: Vec<Contender> = scenario
            .contenders()
            .iter()
            .copied()
            .filter(|contender| contenders.contains(contender))
            .collect();
        for round in 0..runs {
            // Each round begins with another contender, so that nobody always runs after the same one.
            for place in 0..field.len() {
                let contender = field[(place + round) % field.len()];
                let sample = sample::take(arena, *scenario, contender)
                    .with_context(|| format!("{} in {}", contender.name(), scenario.name()))?;
                println!("{:16} {:14} {sample}", scenario.name(), contender.name());
                results.add(*scenario, contender, sample);
            }
        }
    }
    Ok(results)
}

fn chosen_scenarios(names: &[String]) -> Result<Vec<Scenario>> {
    let all = Scenario::all();
    if let Some(unknown) = names
        .iter()
        .find(|name| !all.iter().any(|scenario| scenario.name() == **name))
    {
        let known: Vec<String> = all.iter().map(|scenario| scenario.name()).collect();
        bail!(
            "there is no scenario `{unknown}`; there are {}",
            known.join(", ")
        );
    }
    Ok(all
        .into_iter()
        .filter(|scenario| names.is_empty() || names.contains(&scenario.name()))
        .collect())
}

fn chosen_contenders(names: &[String]) -> Result<Vec<Contender>> {
    if let Some(unknown) = names.iter().find(|name| {
        !Contender::ALL
            .iter()
            .any(|contender| contender.name() == **name)
    }) {
        let known: Vec<&str> = Contender::ALL
            .iter()
            .map(|contender| contender.name())
            .collect();
        bail!(
            "there is no contender `{unknown}`; there are {}",
            known.join(", ")
        );
    }
    let is_chosen = |contender: &Contender| {
        names.is_empty() || names.iter().any(|name| name == contender.name())
    };
    Ok(Contender::ALL.into_iter().filter(is_chosen).collect())
}

impl Arena {
    fn open(binary: PathBuf, contenders: &[Contender], rows: Option<u64>) -> Result<Self> {
        let cache = Cache::open()?;
        let peers = Peers::find(binary, contenders, &cache)?;
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        std::fs::create_dir(&data)?;
        let nginx = Nginx::start(&cache.find(&NGINX)?, &data)?;
        let flights = Flights::in_folder(&cache.find(&FLIGHTS)?);
        let mut prepare = std::process::Command::new("python3");
        prepare
            .arg(repository().join("bench/prepare.py"))
            .arg(flights.csv())
            .arg(&data)
            .arg(nginx.url());
        prepare.args(rows.map(|rows| rows.to_string()));
        let prepared = captured(&mut prepare)?
            .trim()
            .parse()
            .context("no number of rows was prepared")?;
        let readers = cache.find(&READERS)?;
        let postgres = Postgres::start(
            &cache.find(&POSTGRES)?,
            &["shared_buffers=512MB", "max_wal_size=4GB"],
        )?;
        Ok(Self {
            peers,
            postgres,
            base_url: nginx.url(),
            _nginx: nginx,
            readers,
            folder,
            rows: prepared,
        })
    }

    fn readers(&self) -> Readers<'_> {
        Readers::new(&self.readers)
    }
}

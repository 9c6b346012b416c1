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
        BENCH_DLT, BENCH_FAUCET, BENCH_SLING, Cache, NGINX, POSTGRES, READERS, SERVERS, program,
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

pub(crate) fn run(options: &Options) -> Result<()> {
    let scenarios = chosen_scenarios(&options.only)?;
    let contenders = chosen_contenders(&options.contenders)?;
    provision::install(&SERVERS)?;
    provision::install(&[&BENCH_DLT, &BENCH_SLING, &BENCH_FAUCET])?;
    let binary = match &options.binary {
        Some(binary) => binary
            .canonicalize()
            .with_context(|| format!("there is no `{}`", binary.display()))?,
        None => workspace::release_binary()?,
    };
    let arena = Arena::open(binary, options.rows)?;
    let mut results = Results::new(arena.rows, options.runs);
    for scenario in scenarios {
        let field: Vec<Contender> = scenario
            .contenders()
            .iter()
            .copied()
            .filter(|contender| contenders.contains(contender))
            .collect();
        for round in 0..options.runs {
            // Each round begins with another contender, so that nobody always runs after the same one.
            for place in 0..field.len() {
                let contender = field[(place + round) % field.len()];
                let sample = sample::take(&arena, scenario, contender)
                    .with_context(|| format!("{} in {}", contender.name(), scenario.name()))?;
                println!("{:16} {:14} {sample}", scenario.name(), contender.name());
                results.add(scenario, contender, sample);
            }
        }
    }
    let output = repository().join(&options.output);
    results.write(&output)?;
    println!("wrote {}", options.output.display());
    Ok(())
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
    fn open(binary: PathBuf, rows: Option<u64>) -> Result<Self> {
        let cache = Cache::open()?;
        let floor = floor::build()?;
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        std::fs::create_dir(&data)?;
        let nginx = Nginx::start(&cache.find(&NGINX)?, &data)?;
        let flights = Flights::in_folder(&cache.find(&runner_e2e::provision::FLIGHTS)?);
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
        let peers = Peers {
            binary,
            floor,
            dlt: cache.find(&BENCH_DLT)?.join("bin/python"),
            duckdb: readers.join("bin/python"),
            faucet: program(&cache.find(&BENCH_FAUCET)?, "faucet")?,
            sling: program(&cache.find(&BENCH_SLING)?, "sling-linux-amd64")?,
        };
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

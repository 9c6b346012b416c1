//! `cargo xtask provision`: what tests and benchmarks take from package registries, into one cache folder.

use std::time::Instant;

use anyhow::Result;
use runner_e2e::provision::{
    BENCH_DLT, BENCH_FAUCET, BENCH_SLING, Cache, Component, SERVERS, TOOLS,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Also install the tools that the benchmark compares with
    #[arg(long)]
    bench: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    install(&SERVERS)?;
    install(&[&TOOLS])?;
    if options.bench {
        install(&[&BENCH_DLT, &BENCH_SLING, &BENCH_FAUCET])?;
    }
    Ok(())
}

/// Installs components, saying what is new; goes on after a failure, and reports all of them.
pub(crate) fn install(components: &[&Component]) -> Result<()> {
    let cache = Cache::open()?;
    let mut failures = Vec::new();
    for component in components {
        let known = cache.find(component).is_ok();
        let started = Instant::now();
        match cache.install(component) {
            Ok(_) if known => {}
            Ok(folder) => {
                println!(
                    "installed {} in {:.0?}: {}",
                    component.name,
                    started.elapsed(),
                    folder.display()
                );
            }
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    anyhow::ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

//! The project's own commands: `cargo xtask demo`, `test`, `provision`, `generate`, `bench` and `soak`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

mod bench;
mod checks;
mod command;
mod demo;
mod generated;
mod provision;
mod soak;
mod test;
mod toolbox;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "Builds, checks and shows the Ingestion Runner"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Load a local market-data API into local Iceberg and Parquet tables, and show what landed
    Demo(demo::Options),
    /// Run every check that CI runs
    Test(test::Options),
    /// Install the servers and tools that the tests need into the cache folder
    Provision(provision::Options),
    /// Measure a release build beside other tools and the floor
    Bench(bench::Options),
    /// Run a release build at full size: random kills, and memory on large inputs
    Soak(soak::Options),
    /// Write the generated files anew (schema of the document, reference pages)
    Generate,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Provision(options) => provision::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Soak(options) => soak::run(&options),
        Task::Generate => generated::write(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

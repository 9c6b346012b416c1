//! The command line: reads arguments and settings, wires the implementations together, and prints.

mod arguments;
mod commands;
mod configuration;
mod document;
mod exit_code;
mod holding;
mod mock;
mod progress;
mod settings;
mod terminal;
mod wiring;

use std::process::ExitCode;

use clap::Parser;
use runner_core::Result;

use arguments::{Arguments, Command};
use settings::Settings;
use terminal::Terminal;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let terminal = Terminal::new(&arguments.global);
    // Connections would have to choose between providers otherwise; a second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(arguments, terminal) {
        Ok(code) => exit_code::exit(code),
        Err(error) => {
            terminal.error(&error);
            exit_code::exit(exit_code::of(error.kind()))
        }
    }
}

fn run(arguments: Arguments, terminal: Terminal) -> Result<u8> {
    match &arguments.command {
        Command::Validate(validate) => return commands::documents::validate(validate, terminal),
        Command::Schema => return commands::documents::schema(terminal),
        Command::Explain { code } => {
            return commands::documents::explain(code.as_deref(), terminal);
        }
        Command::Completions { shell } => return commands::completions::print(*shell, terminal),
        _ => {}
    }
    let settings = Settings::resolve(&arguments.global)?;
    wiring::runtime()?.block_on(dispatch(arguments.command, settings, terminal))
}

async fn dispatch(command: Command, settings: Settings, terminal: Terminal) -> Result<u8> {
    match command {
        Command::Plan(plan) => commands::plan::plan(&plan, &settings, terminal).await,
        Command::Preview(preview) => {
            commands::preview::preview(&preview, &settings, terminal).await
        }
        Command::Sample(run) => commands::run::run(&run, &settings, terminal).await,
        Command::Jobs(jobs) => commands::jobs::jobs(jobs, &settings, terminal).await,
        Command::State(state) => commands::state::state(state, &settings, terminal).await,
        Command::Quarantine(quarantine) => {
            commands::quarantine::quarantine(quarantine, &settings, terminal).await
        }
        Command::Drift(drift) => commands::drift::drift(drift, &settings, terminal).await,
        Command::Mock(mock) => commands::mock::mock(&mock, terminal).await,
        Command::Info => commands::info::info(&settings, terminal),
        Command::Health => commands::health::health(&settings, terminal).await,
        Command::Gc(gc) => commands::gc::gc(&gc, &settings, terminal).await,
        Command::Validate(_)
        | Command::Schema
        | Command::Explain { .. }
        | Command::Completions { .. } => Ok(exit_code::SUCCESS),
    }
}

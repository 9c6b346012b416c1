//! `cargo xtask test`: every check that CI runs, one after another, with a table of what came of each.

use std::{
    fs,
    path::PathBuf,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use runner_e2e::{in_ci, provision::SERVERS};

use crate::{
    bench,
    checks::{arrows, crate_count, file_length, row_values, shell},
    command::{cargo, inherited},
    generated, provision,
    toolbox::tool,
    workspace::{BINARY, Workspace},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Run only these steps (`--list` names them)
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Leave these steps out
    #[arg(long, value_name = "STEP")]
    skip: Vec<String>,
    /// Show the steps and end
    #[arg(long)]
    list: bool,
    /// Run only the tests whose names contain one of these (and no other step)
    filters: Vec<String>,
}

/// One step: a name, what it is for, and the check.
struct Step {
    name: &'static str,
    about: &'static str,
    check: fn(&mut Session) -> Result<Verdict>,
}

enum Verdict {
    Passed(String),
    Skipped(String),
}

/// What steps share.
struct Session {
    workspace: Workspace,
    filters: Vec<String>,
    servers: Option<JoinHandle<Result<()>>>,
    skips: PathBuf,
}

struct Report {
    name: &'static str,
    outcome: Result<Verdict>,
    took: Duration,
}

/// The cheap checks come first: who forgot to format learns it in a second, not after the build.
const STEPS: [Step; 15] = [
    Step {
        name: "format",
        about: "rustfmt",
        check: check_format,
    },
    Step {
        name: "files",
        about: "length of Rust files, and the way of rows",
        check: check_files,
    },
    Step {
        name: "arrows",
        about: "dependencies between the crates",
        check: check_arrows,
    },
    Step {
        name: "crates",
        about: "number of third-party crates",
        check: check_crates,
    },
    Step {
        name: "shell",
        about: "shellcheck",
        check: check_shell,
    },
    Step {
        name: "deny",
        about: "licences, bans and sources of dependencies",
        check: check_dependencies,
    },
    Step {
        name: "lint",
        about: "clippy on the default features",
        check: lint,
    },
    Step {
        name: "lint-fault-points",
        about: "clippy with fault points",
        check: lint_fault_points,
    },
    Step {
        name: "servers",
        about: "real servers for the tests",
        check: provide_servers,
    },
    Step {
        name: "build",
        about: "the binary under test",
        check: build,
    },
    Step {
        name: "generated",
        about: "generated files are current",
        check: check_generated,
    },
    Step {
        name: "tests",
        about: "unit, integration and end-to-end tests",
        check: run_tests,
    },
    Step {
        name: "bench",
        about: "the benchmark, with few rows and no peers",
        check: run_bounded_bench,
    },
    Step {
        name: "doctests",
        about: "examples in the documentation",
        check: run_doctests,
    },
    Step {
        name: "docs",
        about: "rustdoc",
        check: document,
    },
];

/// The steps that running some tests takes.
const STEPS_FOR_FILTERS: [&str; 3] = ["servers", "build", "tests"];

/// Compiled into the binary under test, so that tests can crash it at a chosen point.
const FAULT_POINTS: [&str; 2] = ["--features", "runner/fault-points"];

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.list {
        for step in &STEPS {
            println!("{:18} {}", step.name, step.about);
        }
        return Ok(());
    }
    let steps = chosen_steps(options)?;
    let scratch = tempfile::tempdir()?;
    let needs_servers = steps.iter().any(|step| step.name == "servers");
    let mut session = Session {
        workspace: Workspace::load()?,
        filters: options.filters.clone(),
        // Downloads and compilation don't stand in each other's way.
        servers: needs_servers.then(|| thread::spawn(|| provision::install(&SERVERS))),
        skips: scratch.path().join("skips"),
    };
    let reports: Vec<Report> = steps
        .iter()
        .map(|step| execute(step, &mut session))
        .collect();
    summarise(&reports, &session)
}

fn chosen_steps(options: &Options) -> Result<Vec<&'static Step>> {
    for name in options.only.iter().chain(&options.skip) {
        if !STEPS.iter().any(|step| step.name == name) {
            let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
            bail!(
                "there is no step `{name}`; the steps are {}",
                names.join(", ")
            );
        }
    }
    let is_chosen = |step: &&Step| {
        let name = step.name.to_owned();
        let named = options.only.is_empty() || options.only.contains(&name);
        let filtered = options.filters.is_empty() || STEPS_FOR_FILTERS.contains(&step.name);
        named && filtered && !options.skip.contains(&name)
    };
    Ok(STEPS.iter().filter(is_chosen).collect())
}

fn execute(step: &Step, session: &mut Session) -> Report {
    println!("==> {}: {}", step.name, step.about);
    let started = Instant::now();
    let outcome = (step.check)(session);
    if let Err(error) = &outcome {
        eprintln!("{} failed: {error:#}", step.name);
    }
    Report {
        name: step.name,
        outcome,
        took: started.elapsed(),
    }
}

fn summarise(reports: &[Report], session: &Session) -> Result<()> {
    let skips = fs::read_to_string(&session.skips).unwrap_or_default();
    let mut skipped: Vec<&str> = skips.lines().collect();
    skipped.sort_unstable();
    skipped.dedup();
    println!("\n{:18} {:>8}  outcome", "step", "seconds");
    for Report {
        name,
        outcome,
        took,
    } in reports
    {
        let outcome = match outcome {
            Ok(Verdict::Passed(detail)) => format!("passed  {detail}"),
            Ok(Verdict::Skipped(reason)) => format!("SKIPPED {reason}"),
            Err(_) => "FAILED".to_owned(),
        };
        println!("{name:18} {:>8.1}  {outcome}", took.as_secs_f64());
    }
    for skip in skipped {
        println!("{skip}");
    }
    let failed: Vec<&str> = reports
        .iter()
        .filter(|report| report.outcome.is_err())
        .map(|report| report.name)
        .collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn passed(detail: impl Into<String>) -> Verdict {
    Verdict::Passed(detail.into())
}

/// A tool or server that can't be had is a reason to skip on a developer's machine, and a failure in CI.
fn skipped_unless_in_ci(error: anyhow::Error) -> Result<Verdict> {
    if in_ci() {
        return Err(error);
    }
    let text = format!("{error:#}");
    Ok(Verdict::Skipped(
        text.lines().next().unwrap_or_default().to_owned(),
    ))
}

fn check_format(_: &mut Session) -> Result<Verdict> {
    inherited(cargo().args(["fmt", "--all", "--", "--check"]))?;
    // The benchmark's floor stands outside the workspace.
    inherited(cargo().args([
        "fmt",
        "--manifest-path",
        "bench/floor/Cargo.toml",
        "--",
        "--check",
    ]))?;
    Ok(passed(""))
}

fn check_files(_: &mut Session) -> Result<Verdict> {
    Ok(passed(format!(
        "{} files, {} on the way of rows",
        file_length::check()?,
        row_values::check()?
    )))
}

fn check_arrows(session: &mut Session) -> Result<Verdict> {
    arrows::check(&session.workspace)?;
    Ok(passed(format!(
        "{} crates",
        session.workspace.packages.len()
    )))
}

fn check_crates(session: &mut Session) -> Result<Verdict> {
    Ok(passed(format!(
        "{} of at most {}",
        crate_count::check(&session.workspace)?,
        crate_count::LIMIT
    )))
}

fn check_shell(_: &mut Session) -> Result<Verdict> {
    if let Err(error) = tool("shellcheck") {
        return skipped_unless_in_ci(error);
    }
    Ok(passed(format!("{} scripts", shell::check()?)))
}

fn check_dependencies(_: &mut Session) -> Result<Verdict> {
    let program = match tool("cargo-deny") {
        Ok(program) => program,
        Err(error) => return skipped_unless_in_ci(error),
    };
    let mut command = std::process::Command::new(program);
    // Advisories would need a database that no registry serves.
    inherited(
        command
            .args([
                "--log-level",
                "warn",
                "check",
                "licenses",
                "bans",
                "sources",
            ])
            .current_dir(runner_e2e::repository()),
    )?;
    Ok(passed(""))
}

fn clippy(features: &[&str]) -> Result<Verdict> {
    inherited(
        cargo()
            .args(["clippy", "--workspace", "--all-targets", "--locked"])
            .args(quiet())
            .args(features)
            .args(["--", "-D", "warnings"]),
    )?;
    Ok(passed(""))
}

fn lint(_: &mut Session) -> Result<Verdict> {
    clippy(&[])
}

fn lint_fault_points(_: &mut Session) -> Result<Verdict> {
    clippy(&FAULT_POINTS)
}

fn provide_servers(session: &mut Session) -> Result<Verdict> {
    let installation = session
        .servers
        .take()
        .context("the servers were not asked for")?;
    match installation.join() {
        Ok(Ok(())) => Ok(passed("")),
        Ok(Err(error)) => skipped_unless_in_ci(error),
        Err(_) => bail!("the installation of the servers panicked"),
    }
}

fn build(_: &mut Session) -> Result<Verdict> {
    inherited(
        cargo()
            .args(["build", "--workspace", "--bin", BINARY, "--locked"])
            .args(quiet())
            .args(FAULT_POINTS),
    )?;
    Ok(passed(""))
}

fn check_generated(session: &mut Session) -> Result<Verdict> {
    Ok(passed(format!(
        "{} files",
        generated::check(&session.workspace.binary("debug"))?
    )))
}

fn run_tests(session: &mut Session) -> Result<Verdict> {
    let mut command = match tool("cargo-nextest") {
        Ok(program) => {
            let mut command = std::process::Command::new(program);
            command
                .args(["nextest", "run"])
                .current_dir(runner_e2e::repository());
            command
        }
        Err(error) if in_ci() => return Err(error),
        Err(_) => {
            let mut command = cargo();
            command.args(["test", "--lib", "--bins", "--tests", "--no-fail-fast"]);
            command
        }
    };
    command
        .args(["--workspace", "--locked"])
        .args(FAULT_POINTS)
        .args(&session.filters);
    command
        .env("INGESTION_RUNNER_BINARY", session.workspace.binary("debug"))
        .env(runner_e2e::SKIPS_VARIABLE, &session.skips);
    inherited(&mut command)?;
    Ok(passed(""))
}

fn run_bounded_bench(session: &mut Session) -> Result<Verdict> {
    if let Some(missing) = bench::missing()? {
        return skipped_unless_in_ci(missing);
    }
    Ok(passed(bench::run_bounded(
        session.workspace.binary("debug"),
    )?))
}

fn run_doctests(_: &mut Session) -> Result<Verdict> {
    // With the features of the tests, so that nothing is compiled again.
    inherited(
        cargo()
            .args(["test", "--workspace", "--doc", "--locked"])
            .args(quiet())
            .args(FAULT_POINTS),
    )?;
    Ok(passed(""))
}

fn document(_: &mut Session) -> Result<Verdict> {
    inherited(
        cargo()
            .args(["doc", "--workspace", "--no-deps", "--locked"])
            .args(quiet())
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    Ok(passed(""))
}

/// Tests and the binary they drive are built together with the same features, so that nothing is compiled twice.
/// A person watches the build; a log needs only what went wrong.
fn quiet() -> &'static [&'static str] {
    if in_ci() { &["--quiet"] } else { &[] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(only: &[&str], skip: &[&str], filters: &[&str]) -> Result<Vec<&'static str>> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let options = Options {
            only: owned(only),
            skip: owned(skip),
            list: false,
            filters: owned(filters),
        };
        Ok(chosen_steps(&options)?
            .iter()
            .map(|step| step.name)
            .collect())
    }

    #[test]
    fn steps_are_chosen_by_name_and_a_filter_runs_only_tests() {
        assert_eq!(chosen(&[], &[], &[]).unwrap().len(), STEPS.len());
        assert_eq!(
            chosen(&["lint", "format"], &[], &[]).unwrap(),
            ["format", "lint"]
        );
        assert_eq!(
            chosen(&[], &["servers"], &["datasette"]).unwrap(),
            ["build", "tests"]
        );
        assert!(chosen(&["lnt"], &[], &[]).is_err());
    }
}

//! The command line of each contender in each scenario.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use runner_e2e::{
    provision::{BENCH_DLT, BENCH_FAUCET, BENCH_SLING, Cache, READERS, program},
    repository,
};
use serde_json::{Value, json};

use super::{
    Arena,
    contest::{Contender, Scenario, Source, Target},
    floor,
};

/// The programs that take part; those of contenders that were not asked for need not be there.
pub(super) struct Peers {
    pub binary: PathBuf,
    others: BTreeMap<Contender, PathBuf>,
}

impl Peers {
    pub(super) fn find(binary: PathBuf, contenders: &[Contender], cache: &Cache) -> Result<Self> {
        let mut others = BTreeMap::new();
        for contender in contenders {
            let found = match contender {
                Contender::Dlt => cache.find(&BENCH_DLT)?.join("bin/python"),
                Contender::DuckDb => cache.find(&READERS)?.join("bin/python"),
                Contender::Faucet => program(&cache.find(&BENCH_FAUCET)?, "faucet")?,
                Contender::Sling => program(&cache.find(&BENCH_SLING)?, "sling-linux-amd64")?,
                Contender::Floor => floor::build()?,
                Contender::Runner
                | Contender::RunnerAgain
                | Contender::Psql
                | Contender::PsqlStaged => continue,
            };
            others.insert(*contender, found);
        }
        Ok(Self { binary, others })
    }

    fn command(&self, contender: Contender) -> Result<Command> {
        let program = self
            .others
            .get(&contender)
            .with_context(|| format!("{} was not asked for", contender.name()))?;
        Ok(Command::new(program))
    }
}

/// Folders of one run: what it writes for others, and what it keeps for itself.
pub(super) struct Place {
    pub output: PathBuf,
    pub scratch: PathBuf,
}

impl Place {
    /// Empty folders: no run finds anything of the one before.
    pub(super) fn fresh(arena: &Arena) -> Result<Self> {
        let place = Self {
            output: arena.folder.path().join("output"),
            scratch: arena.folder.path().join("scratch"),
        };
        for folder in [&place.output, &place.scratch] {
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
            fs::create_dir(folder)?;
        }
        Ok(place)
    }
}

/// The command that loads everything once.
pub(super) fn command(
    arena: &Arena,
    scenario: Scenario,
    contender: Contender,
    place: &Place,
) -> Result<Command> {
    let mut command = match contender {
        Contender::Runner | Contender::RunnerAgain => runner(arena, scenario, place)?,
        Contender::Dlt => {
            let mut command = arena.peers.command(contender)?;
            command
                .arg(bench("dlt/pipeline.py"))
                .args([scenario.source.name(), scenario.target.name()]);
            command
        }
        Contender::Sling => sling(arena, place)?,
        Contender::Faucet => {
            let mut command = arena.peers.command(contender)?;
            let file = format!(
                "faucet/{}_{}.yaml",
                scenario.source.name(),
                scenario.target.name()
            );
            command.args(["run", "--quiet"]).arg(bench(&file));
            command
        }
        Contender::DuckDb => {
            let mut command = arena.peers.command(contender)?;
            command
                .arg(bench("duckdb/load.py"))
                .arg(scenario.source.name());
            command
        }
        Contender::Floor => {
            let mut command = arena.peers.command(contender)?;
            let kind = if scenario.source == Source::Http {
                "pages"
            } else {
                scenario.source.name()
            };
            command
                .arg(kind)
                .arg(input_path(arena, scenario.source))
                .arg(place.output.join("flights.parquet"));
            command
        }
        Contender::Psql => psql(arena, "psql/copy.sql"),
        Contender::PsqlStaged => psql(arena, "psql/staged.sql"),
    };
    let output = match scenario.target {
        Target::Parquet | Target::Iceberg => place.output.display().to_string(),
        Target::Postgres => postgres_url(arena),
    };
    let input = match scenario.source {
        Source::Http => format!("{}/pages/1.json", arena.base_url),
        Source::Csv | Source::JsonLines => input_path(arena, scenario.source).display().to_string(),
    };
    command
        .env("BENCH_INPUT", input)
        .env("BENCH_OUTPUT", output);
    command
        .env("BENCH_BASE_URL", &arena.base_url)
        .env("BENCH_SCRATCH", &place.scratch);
    command.current_dir(&place.scratch);
    Ok(command)
}

/// What a contender reads on its standard input.
pub(super) fn standard_input(
    arena: &Arena,
    scenario: Scenario,
    contender: Contender,
) -> Result<Stdio> {
    match contender {
        Contender::Psql | Contender::PsqlStaged => {
            Ok(File::open(input_path(arena, scenario.source))?.into())
        }
        _ => Ok(Stdio::null()),
    }
}

/// The document is kept in `bench/runner`; only where it reads from and where it loads to is laid over it.
fn runner(arena: &Arena, scenario: Scenario, place: &Place) -> Result<Command> {
    let overlay = place.scratch.join("overlay.json");
    let base_url = match scenario.source {
        Source::Http => arena.base_url.clone(),
        Source::Csv | Source::JsonLines => {
            format!("file://{}", arena.folder.path().join("data").display())
        }
    };
    let laid_over = json!({"provider": {"base_url": base_url, "sinks": [sink(scenario.target, &place.output)]}});
    fs::write(&overlay, laid_over.to_string())?;
    let configuration = place.scratch.join("config.json");
    let warehouse = place.output.join("warehouse");
    let connections = json!({
        "analytics": {"type": "postgres", "url": postgres_url(arena)},
        "lakehouse": {"type": "iceberg", "file": place.output.join("catalog.db"), "warehouse": warehouse},
    });
    fs::write(
        &configuration,
        json!({ "connections": connections }).to_string(),
    )?;
    let document = format!("runner/{}.yaml", scenario.source.name());
    let mut command = Command::new(&arena.peers.binary);
    command
        .arg("sample")
        .arg(bench(&document))
        .arg("--json")
        .arg("--overlay")
        .arg(&overlay);
    command
        .arg("--config")
        .arg(&configuration)
        .arg("--data-dir")
        .arg(place.scratch.join("data"));
    Ok(command)
}

fn sling(arena: &Arena, place: &Place) -> Result<Command> {
    let mut command = arena.peers.command(Contender::Sling)?;
    command
        .args(["run", "-r"])
        .arg(bench("sling/csv_postgres.yaml"));
    command
        .env(
            "BENCH_TARGET",
            format!("{}?sslmode=disable", postgres_url(arena)),
        )
        .env("HOME", &place.scratch);
    Ok(command)
}

fn sink(target: Target, output: &Path) -> Value {
    match target {
        Target::Parquet => {
            json!({"type": "parquet", "table_name": "flights", "config": {"path": output}})
        }
        Target::Iceberg => {
            json!({"type": "iceberg", "table_name": "bench.flights", "config": {"catalog": "lakehouse"}})
        }
        Target::Postgres => {
            json!({"type": "postgres", "table_name": "public.flights", "config": {"connection": "analytics"}})
        }
    }
}

fn psql(arena: &Arena, script: &str) -> Command {
    let mut command = arena.postgres.psql_command();
    command.arg("--file").arg(bench(script));
    command
}

/// Brings the database to the state that a contender expects: empty, or with the table that it fills.
pub(super) fn reset_database(
    arena: &Arena,
    scenario: Scenario,
    contender: Contender,
) -> Result<()> {
    let table = match contender {
        Contender::Faucet if scenario.source == Source::Csv => Some("psql/text_table.sql"),
        Contender::Faucet | Contender::Psql | Contender::PsqlStaged => Some("psql/table.sql"),
        _ => None,
    };
    for script in std::iter::once("psql/reset.sql").chain(table) {
        let output = psql(arena, script)
            .stdin(Stdio::null())
            .output()
            .context("failed to start psql")?;
        if !output.status.success() {
            bail!(
                "{script} failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    Ok(())
}

/// Tools that insist on a password get one; the server asks for none.
fn postgres_url(arena: &Arena) -> String {
    arena
        .postgres
        .url()
        .replacen("postgres@", "postgres:postgres@", 1)
}

fn input_path(arena: &Arena, source: Source) -> PathBuf {
    let name = match source {
        Source::Http => "pages",
        Source::Csv => "flights.csv",
        Source::JsonLines => "flights.jsonl",
    };
    arena.folder.path().join("data").join(name)
}

fn bench(file: &str) -> PathBuf {
    repository().join("bench").join(file)
}

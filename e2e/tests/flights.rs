//! Real input: 336,776 flights from datasette and from a CSV file into three sinks, counted by programs of others.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use runner_e2e::{
    Configuration, Flights, Outcome, Runner,
    provision::{DATASETTE, POSTGRES, READERS, SEAWEEDFS},
    readers::{self, Question, Readers, Tally},
    repository, require,
    servers::{Datasette, Postgres, SeaweedFs},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const SUMMED: [&str; 3] = ["distance", "air_time", "dep_delay"];

/// A folder with everything that belongs to one test.
struct Setup {
    folder: TempDir,
    runner: Runner,
}

impl Setup {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let runner = Runner::new(&folder.path().join("data"))?;
        Ok(Self { folder, runner })
    }

    fn file(&self, name: &str, content: &Value) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::write(&path, content.to_string())?;
        Ok(path)
    }

    /// Where a sink's rows of this run are, from the report.
    fn location(outcome: &Outcome, kind: &str) -> Result<String> {
        let report = outcome.json()?;
        let sinks = report["sinks"]
            .as_array()
            .context("the report has no sinks")?;
        let sink = sinks
            .iter()
            .find(|sink| sink["type"] == kind)
            .with_context(|| format!("no {kind} in {report}"))?;
        Ok(sink["location"]
            .as_str()
            .context("a sink without a location")?
            .to_owned())
    }
}

fn assert_is_all_flights(name: &str, tally: &Tally) {
    assert_eq!(tally.rows, Flights::ROWS, "{name}");
    for (column, expected) in Flights::SUMS {
        assert_eq!(tally.sums[column], json!(expected), "{name}, {column}");
    }
}

fn loaded(outcome: &Outcome) -> Result<u64> {
    let report = outcome.json()?;
    let streams = report["streams"]
        .as_array()
        .context("the report has no streams")?;
    Ok(streams
        .iter()
        .filter_map(|stream| stream["rows_loaded"].as_u64())
        .sum())
}

fn check_three_sinks(
    setup: &Setup,
    readers: Readers<'_>,
    postgres: &Postgres,
    table: &str,
    outcome: &Outcome,
) -> Result<()> {
    let question = Question {
        sums: &SUMMED,
        ..Question::default()
    };
    let catalog = setup.folder.path().join("catalog.db");
    assert_is_all_flights(
        "iceberg",
        &readers.iceberg_sqlite(&catalog, &format!("travel.{table}"), &question)?,
    );
    let folder = Setup::location(outcome, "parquet")?;
    let pattern = format!("{}/**/*.parquet", folder.trim_start_matches("file://"));
    assert_is_all_flights("parquet", &readers.parquet(&pattern, &question)?);
    assert_is_all_flights(
        "postgres",
        &readers::postgres(postgres, &format!("public.{table}"), &question)?,
    );
    Ok(())
}

fn connections(setup: &Setup, postgres: &Postgres) -> Result<PathBuf> {
    let path = setup.folder.path().join("config.json");
    let catalog = json!({
        "type": "iceberg",
        "file": setup.folder.path().join("catalog.db"),
        "warehouse": setup.folder.path().join("warehouse"),
    });
    Configuration::default()
        .postgres("analytics", postgres)
        .connection("lakehouse", catalog)
        .write(&path)?;
    Ok(path)
}

fn example(name: &str) -> PathBuf {
    repository().join("examples").join(name)
}

#[test]
fn flights_from_an_api_land_whole_in_three_sinks_and_a_second_run_loads_nothing() -> Result<()> {
    let (Some(datasette), Some(postgres), Some(python)) =
        (require(&DATASETTE), require(&POSTGRES), require(&READERS))
    else {
        return Ok(());
    };
    let Some(flights) = Flights::require() else {
        return Ok(());
    };
    let setup = Setup::new()?;
    let readers = Readers::new(&python);
    let postgres = Postgres::start(&postgres, &[])?;
    let datasette = Datasette::start(&datasette, &[&flights.database()], 1000)?;
    let configuration = connections(&setup, &postgres)?;
    let overlay = setup.file(
        "overlay.json",
        &json!({"provider": {"base_url": datasette.url()}}),
    )?;
    let run = || {
        let invocation = setup.runner.sample(&example("flights-datasette.yaml"));
        invocation
            .option("--config", &configuration)
            .option("--overlay", &overlay)
            .succeed()
    };

    let first = run()?;
    assert_eq!(loaded(&first)?, Flights::ROWS);
    check_three_sinks(&setup, readers, &postgres, "flights", &first)?;
    let requests = datasette.requests("/flights/flights.json");
    assert!(
        (337..=340).contains(&requests),
        "{requests} requests for 337 pages"
    );

    let second = run()?;
    assert_eq!(loaded(&second)?, 0, "{}", second.describe());
    check_three_sinks(&setup, readers, &postgres, "flights", &first)?;
    let requests = datasette.requests("/flights/flights.json") - requests;
    assert!(
        requests <= 2,
        "the second run asked {requests} times for what is new"
    );
    Ok(())
}

#[test]
fn flights_from_a_csv_file_land_whole_in_three_sinks_and_a_second_run_loads_nothing() -> Result<()>
{
    let (Some(postgres), Some(python), Some(flights)) =
        (require(&POSTGRES), require(&READERS), Flights::require())
    else {
        return Ok(());
    };
    let setup = Setup::new()?;
    let readers = Readers::new(&python);
    let postgres = Postgres::start(&postgres, &[])?;
    let configuration = connections(&setup, &postgres)?;
    let csv = flights.csv();
    let folder = csv.parent().unwrap_or_else(|| Path::new("/"));
    let overlay = setup.file(
        "overlay.json",
        &json!({"provider": {"base_url": format!("file://{}", folder.display())}}),
    )?;
    let run = || {
        let invocation = setup.runner.sample(&example("flights-csv.yaml"));
        invocation
            .option("--config", &configuration)
            .option("--overlay", &overlay)
            .succeed()
    };

    let first = run()?;
    assert_eq!(loaded(&first)?, Flights::ROWS);
    check_three_sinks(&setup, readers, &postgres, "flights_from_csv", &first)?;

    let second = run()?;
    assert_eq!(loaded(&second)?, 0, "{}", second.describe());
    check_three_sinks(&setup, readers, &postgres, "flights_from_csv", &first)?;
    Ok(())
}

#[test]
fn flights_land_in_a_rest_catalog_on_s3() -> Result<()> {
    let (Some(datasette), Some(seaweedfs), Some(python)) =
        (require(&DATASETTE), require(&SEAWEEDFS), require(&READERS))
    else {
        return Ok(());
    };
    let Some(flights) = Flights::require() else {
        return Ok(());
    };
    let setup = Setup::new()?;
    let store = SeaweedFs::start(&seaweedfs)?;
    let datasette = Datasette::start(&datasette, &[&flights.database()], 1000)?;
    let configuration = setup.folder.path().join("config.json");
    Configuration::default()
        .iceberg_rest("lakehouse", &store)
        .write(&configuration)?;
    let sinks = json!([{"type": "iceberg", "table_name": "travel.flights", "config": {"catalog": "lakehouse"}}]);
    let overlay = setup.file(
        "overlay.json",
        &json!({"provider": {"base_url": datasette.url(), "sinks": sinks}}),
    )?;
    let outcome = setup
        .runner
        .sample(&example("flights-datasette.yaml"))
        .option("--config", &configuration)
        .option("--overlay", &overlay)
        .succeed()?;
    assert_eq!(loaded(&outcome)?, Flights::ROWS);
    let question = Question {
        sums: &SUMMED,
        ..Question::default()
    };
    assert_is_all_flights(
        "rest",
        &Readers::new(&python).iceberg_rest(&store, "travel.flights", &question)?,
    );
    Ok(())
}

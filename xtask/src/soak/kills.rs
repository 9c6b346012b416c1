//! `SIGKILL` at random times, over and over: every row is at every destination once.

use std::time::Duration;

use anyhow::{Result, ensure};
use runner_e2e::{
    Configuration, GeneratedApi, Random, Runner, Size,
    provision::POSTGRES,
    readers::{self, Question, Tally},
    repository, run_through_kills,
    servers::Postgres,
};
use serde_json::json;

use super::{Ground, Options};

const SIZE: Size = Size {
    first: 1,
    rows: 100_000,
    page_rows: 500,
    parents: 1,
    page_delay: Duration::from_millis(5),
};
/// Kills of one feed before it may end; then another begins.
const KILLS_OF_A_FEED: u32 = 10;
/// Longer than a whole run takes, so that commits are hit too.
const LONGEST: Duration = Duration::from_secs(3);

pub(super) fn run(ground: &Ground, options: &Options) -> Result<String> {
    let postgres = Postgres::start(&ground.cache.find(&POSTGRES)?, &[])?;
    let mut random = Random::new(ground.seed);
    let (mut kills, mut feeds) = (0, 0);
    while kills < options.kills {
        let wanted = KILLS_OF_A_FEED.min(options.kills - kills);
        kills += one_feed(ground, &postgres, &mut random, wanted)?;
        feeds += 1;
        println!("  {kills} kills, {feeds} feeds exact");
    }
    Ok(format!("{kills} kills over {feeds} feeds"))
}

fn one_feed(ground: &Ground, postgres: &Postgres, random: &mut Random, kills: u32) -> Result<u32> {
    let folder = tempfile::tempdir()?;
    let api = GeneratedApi::start(SIZE)?;
    let configuration = folder.path().join("config.json");
    let catalog = folder.path().join("catalog.db");
    let files = folder.path().join("files");
    postgres.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")?;
    Configuration::default()
        .postgres("analytics", postgres)
        .connection("files", json!({"type": "s3", "path": files}))
        .connection(
            "lakehouse",
            json!({"type": "iceberg", "file": catalog, "warehouse": folder.path().join("warehouse")}),
        )
        .write(&configuration)?;
    let overlay = folder.path().join("overlay.json");
    std::fs::write(
        &overlay,
        json!({"provider": {"base_url": api.url()}}).to_string(),
    )?;
    let runner = Runner::with_program(&ground.binary, &folder.path().join("data"));
    let document = repository().join("e2e/documents/rows.yaml");
    let command = || {
        runner
            .sample(&document)
            .option("--config", &configuration)
            .option("--overlay", &overlay)
    };
    let done = run_through_kills(command, random, kills, LONGEST)?;

    let question = Question {
        sums: &["amount_cents"],
        distinct: Some("id"),
        ..Question::default()
    };
    let pattern = format!("{}/**/*.parquet", files.display());
    check(
        "iceberg",
        &ground
            .readers()
            .iceberg_sqlite(&catalog, "tests.rows", &question)?,
        &api,
    )?;
    check(
        "parquet",
        &ground.readers().parquet(&pattern, &question)?,
        &api,
    )?;
    check(
        "postgres",
        &readers::postgres(postgres, "public.rows", &question)?,
        &api,
    )?;
    Ok(done)
}

fn check(sink: &str, tally: &Tally, api: &GeneratedApi) -> Result<()> {
    let sum = tally
        .sums
        .get("amount_cents")
        .and_then(serde_json::Value::as_u64);
    let found = (tally.rows, tally.distinct, sum);
    let expected = (SIZE.rows, Some(SIZE.rows), Some(api.sum_of_amounts()));
    ensure!(
        found == expected,
        "{sink} has (rows, distinct ids, sum) {found:?} instead of {expected:?}"
    );
    Ok(())
}

//! One of three sinks refuses a load for good after another has it: nothing is lost, and an operator decides.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{
    Outcome, Size, ThreeSinks,
    provision::{POSTGRES, READERS},
    require,
    servers::Postgres,
};
use serde_json::json;

const SIZE: Size = Size {
    first: 1,
    step: 1,
    rows: 1_000,
    page_rows: 100,
    parents: 1,
    page_delay: Duration::ZERO,
};

/// The exit code for what isn't there.
const NOT_FOUND: i32 = 16;

/// Iceberg, PostgreSQL and Parquet in this order; PostgreSQL has a constraint that no row meets, put there after the rows were prepared.
fn blocked_feed<'a>(
    postgres: &'a Postgres,
    python: &'a std::path::Path,
) -> Result<(ThreeSinks<'a>, Outcome)> {
    let sinks = json!([
        {"type": "iceberg", "table_name": "tests.rows", "config": {"catalog": "lakehouse"}},
        {"type": "postgres", "table_name": "public.rows", "config": {"connection": "analytics"}},
        {"type": "parquet", "table_name": "rows", "config": {"connection": "files"}},
    ]);
    let feed = ThreeSinks::start(SIZE, postgres, python, json!({ "sinks": sinks }))?;
    let died = feed
        .sample()
        .env("INGESTION_RUNNER_FAULT", "commit.*.before:1")
        .run()?;
    ensure!(died.code.is_none(), "{}", died.describe());
    postgres.psql("ALTER TABLE public.rows ADD CONSTRAINT none CHECK (id < 0) NOT VALID")?;
    let refused = feed.sample().run()?;
    ensure!(
        refused.code.is_some_and(|code| code != 0),
        "{}",
        refused.describe()
    );
    Ok((feed, refused))
}

fn rows(feed: &ThreeSinks<'_>) -> Result<[u64; 3]> {
    Ok(feed.tallies()?.map(|(_, tally)| tally.rows))
}

#[test]
fn a_sink_that_refuses_for_good_keeps_the_job_and_its_rows_until_it_is_retried() -> Result<()> {
    let (Some(postgres), Some(python)) = (require(&POSTGRES), require(&READERS)) else {
        return Ok(());
    };
    let postgres = Postgres::start(&postgres, &[])?;
    let (feed, refused) = blocked_feed(&postgres, &python)?;
    let text = refused.describe();
    for part in ["none", "jobs retry", "jobs abandon"] {
        ensure!(text.contains(part), "`{part}` is missing: {text}");
    }
    assert_eq!(rows(&feed)?[2], 0, "postgres");

    let job = feed.job_id()?;
    let cancelled = feed.command(&["jobs", "cancel", &job]).run()?;
    assert_ne!(cancelled.code, Some(0), "{}", cancelled.describe());

    postgres.psql("ALTER TABLE public.rows DROP CONSTRAINT none")?;
    feed.command(&["jobs", "retry", &job]).succeed()?;
    feed.check_exact()
}

#[test]
fn a_sink_that_is_given_up_leaves_the_others_whole_and_gets_its_rows_later() -> Result<()> {
    let (Some(postgres), Some(python)) = (require(&POSTGRES), require(&READERS)) else {
        return Ok(());
    };
    let postgres = Postgres::start(&postgres, &[])?;
    let (feed, refused) = blocked_feed(&postgres, &python)?;
    let job = feed.job_id()?;
    let shown = feed
        .command(&["jobs", "show", &job, "--json"])
        .succeed()?
        .json()?;
    let load = shown["blocked_on"]["load"]
        .as_str()
        .with_context(|| {
            format!(
                "no sink that it waits for in {shown}, after {}",
                refused.describe()
            )
        })?
        .to_owned();
    let arguments = [
        "jobs",
        "abandon",
        &job,
        "--sink",
        &load,
        "--reason",
        "moved away",
        "--json",
    ];
    let abandoned = feed.command(&arguments).succeed()?.json()?;
    assert_eq!(abandoned["partial"], true, "{abandoned}");
    assert_eq!(rows(&feed)?, [SIZE.rows, SIZE.rows, 0]);

    // Its rows are kept, and loaded once wherever the process dies.
    postgres.psql("ALTER TABLE public.rows DROP CONSTRAINT none")?;
    feed.command(&["gc"]).succeed()?;
    let replay = || feed.command(&["jobs", "replay", &job, "--sink", &load]);
    for point in [
        "prepare.before:1",
        "prepare.after:1",
        "commit.*.before:1",
        "commit.*.during:1",
        "commit.*.after:1",
    ] {
        let died = replay().env("INGESTION_RUNNER_FAULT", point).run()?;
        ensure!(died.code.is_none(), "`{point}`: {}", died.describe());
    }
    replay().succeed()?;
    feed.check_exact()?;
    let again = replay().run()?;
    ensure!(
        again.code == Some(NOT_FOUND) && again.stderr.contains("on hold"),
        "{}",
        again.describe()
    );
    feed.command(&["gc"]).succeed()?;
    feed.check_exact()
}

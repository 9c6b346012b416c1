//! Two processes that both believe they own a job: one slept past its lease, another went on with the job, and the first wakes up.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{
    Signal, Size, ThreeSinks, is_stopped,
    provision::{POSTGRES, READERS},
    require,
    servers::Postgres,
    wait_until,
};
use serde_json::json;

const VARIABLE: &str = "INGESTION_RUNNER_FAULT";
const SIZE: Size = Size {
    first: 1,
    step: 1,
    rows: 2_000,
    page_rows: 100,
    parents: 1,
    page_delay: Duration::ZERO,
};
/// Where the first process falls asleep; each destination's commit is among them.
const POINTS: [&str; 6] = [
    "page.mid:5",
    "prepare.after",
    "commit.*.during:1",
    "commit.*.during:2",
    "commit.*.during:3",
    "cursor.before",
];
const PATIENCE: Duration = Duration::from_mins(2);

fn one_sleeps_and_another_goes_on(point: &str) -> Result<()> {
    let (Some(postgres), Some(python)) = (require(&POSTGRES), require(&READERS)) else {
        return Ok(());
    };
    let postgres = Postgres::start(&postgres, &[])?;
    let config = json!({"config": {"checkpoint_pages": 2}});
    let feed = ThreeSinks::start(SIZE, &postgres, &python, config)?;
    let mut first = feed
        .sample()
        .env(VARIABLE, &format!("stop@{point}"))
        .spawn_silent()?;
    wait_until("the first process to stop", || is_stopped(&mut first))?;

    // The lease has to end first: the first process is not dead.
    let mut second = feed.sample().run()?;
    let started = Instant::now();
    while second.code != Some(0) && started.elapsed() < PATIENCE {
        ensure!(
            second.describe().contains("another process is working"),
            "{}",
            second.describe()
        );
        thread::sleep(Duration::from_secs(1));
        second = feed.sample().run()?;
    }
    ensure!(second.code == Some(0), "{}", second.describe());
    feed.check_exact().context("before the first wakes up")?;

    Signal::Continue.send(first.id())?;
    let mut status = None;
    wait_until("the first process to end", || {
        status = first.try_wait()?;
        Ok(status.is_some())
    })?;
    ensure!(
        status.is_some_and(|status| !status.success()),
        "the first process believes that it has done the job: {status:?}"
    );
    feed.check_exact().context("after the first woke up")
}

#[test]
fn a_process_that_slept_past_its_lease_changes_nothing_when_it_wakes_up() -> Result<()> {
    let outcomes: Vec<Result<()>> = thread::scope(|scope| {
        let sleepers: Vec<_> = POINTS
            .iter()
            .map(|point| scope.spawn(|| one_sleeps_and_another_goes_on(point).context(*point)))
            .collect();
        sleepers
            .into_iter()
            .map(|sleeper| {
                sleeper
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("panicked")))
            })
            .collect()
    });
    outcomes.into_iter().collect()
}

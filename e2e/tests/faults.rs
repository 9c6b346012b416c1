//! The process dies at a named point; the next one goes on, and every row is at every destination once.
//!
//! The binary has the points only when built with `--features fault-points`, as `cargo xtask test` does.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{
    Size, ThreeSinks,
    provision::{POSTGRES, READERS},
    require,
    servers::Postgres,
};
use serde_json::json;

const VARIABLE: &str = "INGESTION_RUNNER_FAULT";
const PAGE_ROWS: u64 = 100;
const PAGES: u64 = 20;
/// Pages that one checkpoint covers; no other reason makes one in the time of a test.
const PAGES_PER_CHECKPOINT: u64 = 2;
const SIZE: Size = Size {
    first: 1,
    step: 1,
    rows: PAGES * PAGE_ROWS,
    page_rows: PAGE_ROWS,
    parents: 1,
    page_delay: Duration::ZERO,
};

/// A point, and how many pages are sealed when the process dies there.
type Point = (&'static str, u64);

const WHILE_READING: [Point; 6] = [
    ("first_page.before", 0),
    ("page.mid:5", 4),
    ("page.between:6", 4),
    ("seal.mid:2", 2),
    ("checkpoint.before:3", 4),
    ("checkpoint.after:3", 6),
];

const WHILE_LOADING: [Point; 14] = [
    ("gates", PAGES),
    ("prepare.before", PAGES),
    ("prepare.after", PAGES),
    ("commit.*.before:1", PAGES),
    ("commit.*.during:1", PAGES),
    ("commit.*.after:1", PAGES),
    ("commit.*.before:2", PAGES),
    ("commit.*.during:2", PAGES),
    ("commit.*.after:2", PAGES),
    ("commit.*.before:3", PAGES),
    ("commit.*.during:3", PAGES),
    ("commit.*.after:3", PAGES),
    ("cursor.before", PAGES),
    ("cursor.after", PAGES),
];

/// Dies at each point in a feed of its own, and goes on: half of the jobs by name, half since the document is run again.
fn dies_and_goes_on(points: &[Point]) -> Result<()> {
    let (Some(postgres), Some(python)) = (require(&POSTGRES), require(&READERS)) else {
        return Ok(());
    };
    let postgres = Postgres::start(&postgres, &[])?;
    for (index, (point, sealed)) in points.iter().enumerate() {
        let config = json!({"config": {
            "checkpoint_pages": PAGES_PER_CHECKPOINT,
            "checkpoint_interval_seconds": 3600,
        }});
        let feed = ThreeSinks::start(SIZE, &postgres, &python, config)?;
        let died = feed.sample().env(VARIABLE, point).run()?;
        ensure!(
            died.code.is_none(),
            "it did not die at `{point}`: {}",
            died.describe()
        );
        feed.check_all_or_nothing()
            .with_context(|| format!("after it died at `{point}`"))?;
        if index % 2 == 0 {
            feed.command(&["jobs", "resume", &feed.job_id()?])
                .succeed()?;
        } else {
            feed.sample().succeed()?;
        }
        feed.check_exact()
            .and_then(|()| check_requests(&feed, *sealed))
            .with_context(|| format!("it died at `{point}` and went on"))?;
    }
    Ok(())
}

/// Of the pages that were sealed, only the last of a chain that has not ended is asked for again.
fn check_requests(feed: &ThreeSinks<'_>, sealed: u64) -> Result<()> {
    let requests = feed.api.page_requests();
    ensure!(
        requests.len() as u64 == PAGES,
        "pages asked for: {requests:?}"
    );
    for (index, (cursor, asked)) in (1..).zip(&requests) {
        let allowed = match sealed {
            PAGES => 1..=1,
            _ if index < sealed => 1..=1,
            _ if index == sealed => 2..=2,
            _ => 1..=2,
        };
        ensure!(
            allowed.contains(asked),
            "with {sealed} pages sealed, page {index} (cursor {cursor}) was asked for {asked} times"
        );
    }
    Ok(())
}

#[test]
fn a_process_that_dies_while_reading_costs_no_row_and_no_sealed_page() -> Result<()> {
    dies_and_goes_on(&WHILE_READING)
}

#[test]
fn a_process_that_dies_while_loading_leaves_every_row_once_in_every_sink() -> Result<()> {
    dies_and_goes_on(&WHILE_LOADING)
}

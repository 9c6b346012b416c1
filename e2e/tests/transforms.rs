//! SQL over what a run has read: the result is loaded once, wherever the process dies in it, and no source is read again for it.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{
    GeneratedApi, Invocation, Runner, Size,
    provision::READERS,
    readers::{Question, Readers},
    repository, require,
};
use serde_json::json;

const ROWS: u64 = 2_000;
const PAGE_ROWS: u64 = 100;
const SIZE: Size = Size {
    first: 1,
    rows: ROWS,
    page_rows: PAGE_ROWS,
    parents: 1,
    page_delay: Duration::ZERO,
};
/// Before the first barrier behind the pages, in each transform, and around the barriers that keep what they yielded.
const POINTS: [&str; 7] = [
    "transform.end:1",
    "transform.end:2",
    "checkpoint.before:11",
    "checkpoint.after:11",
    "checkpoint.before:12",
    "checkpoint.after:12",
    "commit.*.during:1",
];

#[test]
fn a_process_that_dies_in_a_transform_loads_its_result_once() -> Result<()> {
    let Some(python) = require(&READERS) else {
        return Ok(());
    };
    for point in POINTS {
        let folder = tempfile::tempdir()?;
        let api = GeneratedApi::start(SIZE)?;
        let totals = folder.path().join("totals");
        let sinks =
            json!([{"type": "parquet", "table_name": "totals", "config": {"path": totals}}]);
        let overlay = folder.path().join("overlay.json");
        fs::write(
            &overlay,
            json!({"provider": {"base_url": api.url(), "sinks": sinks}}).to_string(),
        )?;
        let runner = Runner::new(&folder.path().join("data"))?;
        let sample = || -> Invocation {
            runner
                .sample(&repository().join("e2e/documents/transformed.yaml"))
                .option("--overlay", &overlay)
        };
        let died = sample().env("INGESTION_RUNNER_FAULT", point).run()?;
        ensure!(
            died.code.is_none(),
            "it did not die at `{point}`: {}",
            died.describe()
        );
        sample().succeed()?;

        let question = Question {
            sums: &["even_rows", "amount_cents"],
            distinct: Some("category"),
            ..Question::default()
        };
        let tally = Readers::new(&python)
            .parquet(&format!("{}/**/*.parquet", totals.display()), &question)?;
        let amounts: u64 = (2..=ROWS).step_by(2).map(|id| id * 7919 % 100_003).sum();
        assert_eq!((tally.rows, tally.distinct), (5, Some(5)), "{point}");
        assert_eq!(tally.sums["even_rows"], json!(ROWS / 2), "{point}");
        assert_eq!(tally.sums["amount_cents"], json!(amounts), "{point}");
        let requests = api.page_requests();
        let again: Vec<_> = requests.iter().filter(|(_, asked)| **asked > 1).collect();
        ensure!(again.is_empty(), "asked again after `{point}`: {again:?}");
        requests
            .keys()
            .next_back()
            .filter(|last| **last == ROWS - PAGE_ROWS + 1)
            .context("the last page is missing")?;
    }
    Ok(())
}

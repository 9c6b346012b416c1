//! Memory stays the same for many rows and for one large response: the soak's parts at a size for every day.

use std::{fs, process::Stdio, time::Duration};

use anyhow::Result;
use runner_e2e::{
    GeneratedApi, Runner, Size, measure,
    provision::READERS,
    readers::{Question, Readers},
    repository, require,
};
use serde_json::json;

/// The limit of the soak, whose inputs are ten times as large.
const LIMIT_MB: f64 = 400.0;
/// What a large input may take beyond a small one: half of the response, so that none can be held whole.
const GROWTH_MB: f64 = 100.0;

fn peak_of_loading(document: &str, rows: u64) -> Result<Option<f64>> {
    let Some(python) = require(&READERS) else {
        return Ok(None);
    };
    let size = Size {
        first: 1,
        step: 1,
        rows,
        page_rows: 5_000,
        parents: 1,
        page_delay: Duration::ZERO,
    };
    let api = GeneratedApi::start(size)?;
    let folder = tempfile::tempdir()?;
    let loaded = folder.path().join("rows");
    let sinks = json!([{"type": "parquet", "table_name": "rows", "config": {"path": loaded}}]);
    let overlay = folder.path().join("overlay.json");
    fs::write(
        &overlay,
        json!({"provider": {"base_url": api.url(), "sinks": sinks}}).to_string(),
    )?;
    let runner = Runner::new(&folder.path().join("data"))?;
    let document = repository().join("e2e/documents").join(document);
    let invocation = runner.sample(&document).option("--overlay", &overlay);
    let measured = measure(invocation.command(), Stdio::null(), folder.path())?;
    assert_eq!(measured.usage.code, 0, "{}", measured.printed);

    let question = Question {
        sums: &["amount_cents"],
        distinct: Some("id"),
        ..Question::default()
    };
    let tally =
        Readers::new(&python).parquet(&format!("{}/**/*.parquet", loaded.display()), &question)?;
    assert_eq!((tally.rows, tally.distinct), (rows, Some(rows)));
    assert_eq!(tally.sums["amount_cents"], json!(api.sum_of_amounts()));
    Ok(Some(measured.usage.peak_rss_mb()))
}

/// Compares a large input with a small one: what a run takes of itself is in both.
fn grows_little(document: &str, few: u64, many: u64) -> Result<()> {
    let (Some(small), Some(large)) = (
        peak_of_loading(document, few)?,
        peak_of_loading(document, many)?,
    ) else {
        return Ok(());
    };
    assert!(large < LIMIT_MB, "peak memory was {large:.0} MB");
    assert!(
        large - small < GROWTH_MB,
        "peak memory was {large:.0} MB for {many} rows, and {small:.0} MB for {few}"
    );
    Ok(())
}

#[test]
fn a_hundred_thousand_rows_in_pages_take_bounded_memory() -> Result<()> {
    grows_little("rows.yaml", 5_000, 100_000)
}

#[test]
fn one_response_of_two_hundred_megabytes_takes_bounded_memory() -> Result<()> {
    grows_little("document.yaml", 13_000, 1_300_000)
}

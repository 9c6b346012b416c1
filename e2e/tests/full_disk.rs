//! A disk that is full: one clear error, nothing at the sink, and the next run goes on.

use std::time::Duration;

use anyhow::{Result, ensure};
use runner_e2e::{
    GeneratedApi, Runner, Size, on_small_disk,
    provision::READERS,
    readers::{Question, Readers},
    report_skip, repository, require,
};
use serde_json::{Value, json};

const ROWS: u64 = 100_000;

#[test]
fn a_run_that_fills_the_disk_loads_nothing_and_goes_on_when_there_is_room() -> Result<()> {
    let Some(python) = require(&READERS) else {
        return Ok(());
    };
    let api = GeneratedApi::start(Size {
        first: 1,
        step: 1,
        rows: ROWS,
        page_rows: 5_000,
        parents: 1,
        page_delay: Duration::ZERO,
    })?;
    let folder = tempfile::tempdir()?;
    let disk = folder.path().join("disk");
    let sinks =
        json!([{"type": "parquet", "table_name": "rows", "config": {"path": disk.join("rows")}}]);
    let overlay = folder.path().join("overlay.json");
    std::fs::write(
        &overlay,
        json!({"provider": {"base_url": api.url(), "sinks": sinks}}).to_string(),
    )?;
    let runner = Runner::new(&folder.path().join("data"))?;
    let document = repository().join("e2e/documents/rows.yaml");
    let run = runner.sample(&document).option("--overlay", &overlay);
    let Some([full, roomy]) = on_small_disk(&run, &disk, &folder.path().join("copies"))? else {
        report_skip("SKIPPED full_disk: this kernel lets nobody mount a file system");
        return Ok(());
    };

    let readers = Readers::new(&python);
    let question = Question {
        distinct: Some("id"),
        ..Question::default()
    };
    let tally = |disk: &std::path::Path| {
        readers.parquet(&format!("{}/rows/**/*.parquet", disk.display()), &question)
    };
    let report: Value = serde_json::from_str(&full.stdout)?;
    let error = &report["error"];
    ensure!(
        full.code == 13 && error["kind"] == json!("sink"),
        "{full:?}"
    );
    let message = error["message"].as_str().unwrap_or_default();
    ensure!(
        message.matches("No space left on device").count() == 1
            && error["help"] == json!("there is no space left: free some, then run it again"),
        "{error}"
    );
    assert_eq!(tally(&full.folder)?.rows, 0, "a failed run loaded rows");

    ensure!(roomy.code == 0, "{roomy:?}");
    let loaded = tally(&roomy.folder)?;
    assert_eq!((loaded.rows, loaded.distinct), (ROWS, Some(ROWS)));
    Ok(())
}

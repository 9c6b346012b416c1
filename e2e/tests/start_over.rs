//! A column turns out to need a wider type than what was read of it can follow: the stream is read again, and each row is loaded once.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Result, ensure};
use runner_e2e::{
    Invocation, Runner,
    provision::READERS,
    readers::{Question, Readers, Tally},
    require,
};
use serde_json::{Value, json};

const FILES: u64 = 3;
const ROWS_OF_A_FILE: u64 = 20_000;
const ROWS: u64 = FILES * ROWS_OF_A_FILE;

/// A double that a text can't be made of again stands in every row but the last, which has a text.
fn write_files(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for file in 0..FILES {
        let mut lines = String::new();
        for id in file * ROWS_OF_A_FILE + 1..=(file + 1) * ROWS_OF_A_FILE {
            let value = if id == ROWS { "\"much\"" } else { "2.0" };
            let _ = writeln!(lines, "{{\"id\":{id},\"value\":{value}}}");
        }
        fs::write(folder.join(format!("{file}.jsonl")), lines)?;
    }
    Ok(())
}

/// A feed of these files into a table of Parquet files that is replaced.
struct Feed {
    folder: tempfile::TempDir,
    runner: Runner,
}

impl Feed {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        write_files(&folder.path().join("in"))?;
        let document = json!({
            "version": "1.2", "name": "measured", "created_by": "tests",
            "provider": {
                "name": "files", "display_name": "Files", "owner": "tests", "provider_type": "file_ftp", "tenant_id": "tests",
                "config": {"format": "jsonl", "checkpoint_pages": 1},
                "endpoints": [{"name": "rows", "path": folder.path().join("in/*.jsonl")}],
                "sinks": [{
                    "type": "parquet", "table_name": "rows", "write_mode": "replace",
                    "config": {"path": folder.path().join("out")},
                }],
            },
        });
        fs::write(folder.path().join("document.json"), document.to_string())?;
        let runner = Runner::new(&folder.path().join("data"))?;
        Ok(Self { folder, runner })
    }

    fn sample(&self) -> Invocation {
        self.runner
            .sample(&self.folder.path().join("document.json"))
    }

    fn tally(&self, python: &Path) -> Result<Tally> {
        let question = Question {
            sums: &["id"],
            distinct: Some("id"),
            first_rows: 1,
        };
        let pattern = format!("{}/**/*.parquet", self.folder.path().join("out").display());
        Readers::new(python).parquet(&pattern, &question)
    }
}

fn check(tally: &Tally, report: &Value) -> Result<()> {
    let found = (tally.rows, tally.distinct, &tally.sums["id"]);
    ensure!(
        found == (ROWS, Some(ROWS), &json!(ROWS * (ROWS + 1) / 2)),
        "(rows, distinct ids, sum) are {found:?}"
    );
    // What reading everything as text from the start would have given.
    ensure!(
        tally.columns["value"] == "VARCHAR" && tally.first_rows[0]["value"] == json!("2.0"),
        "{:?} {:?}",
        tally.columns,
        tally.first_rows
    );
    let stream = &report["streams"][0];
    ensure!(
        (&stream["rows_read"], &stream["rows_quarantined"]) == (&json!(ROWS), &json!(0)),
        "{stream}"
    );
    ensure!(
        report["warnings"]
            .to_string()
            .contains("read again from its first row"),
        "{report}"
    );
    Ok(())
}

#[test]
fn a_stream_whose_rows_cannot_follow_a_wider_type_is_read_again() -> Result<()> {
    let Some(python) = require(&READERS) else {
        return Ok(());
    };
    let feed = Feed::new()?;
    let report = feed.sample().succeed()?.json()?;
    check(&feed.tally(&python)?, &report)
}

/// The wider columns are stored with what is forgotten: whoever goes on reads with them at once.
#[test]
fn a_process_that_dies_when_its_stream_starts_over_loads_each_row_once() -> Result<()> {
    let Some(python) = require(&READERS) else {
        return Ok(());
    };
    for point in ["stream.started_over", "checkpoint.after:3"] {
        let feed = Feed::new()?;
        let died = feed.sample().env("INGESTION_RUNNER_FAULT", point).run()?;
        ensure!(
            died.code.is_none(),
            "it did not die at `{point}`: {}",
            died.describe()
        );
        let report = feed.sample().succeed()?.json()?;
        check(&feed.tally(&python)?, &report)?;
    }
    Ok(())
}

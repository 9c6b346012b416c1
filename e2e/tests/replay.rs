//! Rows of the quarantine are loaded by a mended document, each once, wherever the process dies.

use std::{fs, path::PathBuf};

use anyhow::{Result, ensure};
use runner_e2e::{
    Invocation, Outcome, Runner,
    provision::READERS,
    readers::{Question, Readers, Tally},
    require,
};
use serde_json::{Value, json};

const ROWS: u64 = 3_000;
const FAULT_VARIABLE: &str = "INGESTION_RUNNER_FAULT";
/// Before anything is read, in a page, between pages, around the barriers and around the commit.
const POINTS: [&str; 10] = [
    "first_page.before",
    "page.mid:1",
    "page.between:2",
    "seal.mid",
    "checkpoint.before",
    "checkpoint.after",
    "prepare.after",
    "commit.*.before",
    "commit.*.during",
    "commit.*.after",
];

/// A feed of a file; every second row costs more than the document first allows.
struct Feed {
    folder: tempfile::TempDir,
    python: PathBuf,
}

impl Feed {
    fn new() -> Result<Option<Self>> {
        let Some(python) = require(&READERS) else {
            return Ok(None);
        };
        let feed = Self {
            folder: tempfile::tempdir()?,
            python,
        };
        feed.write_rows((0..ROWS).map(|id| row(id, price(id))))?;
        Ok(Some(feed))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_rows(&self, rows: impl Iterator<Item = Value>) -> Result<()> {
        let lines: Vec<String> = rows.map(|row| row.to_string()).collect();
        fs::write(self.path("orders.jsonl"), lines.join("\n"))?;
        Ok(())
    }

    /// The document, by the highest price that it lets pass.
    fn write(&self, maximum: u64, change: impl FnOnce(&mut Value)) -> Result<PathBuf> {
        let mut document = json!({
            "version": "1.2",
            "name": "orders",
            "created_by": "shop",
            "provider": {
                "name": "shop",
                "display_name": "Shop",
                "description": "Orders of a shop",
                "owner": "shop",
                "provider_type": "file_ftp",
                "base_url": format!("file://{}", self.folder.path().display()),
                "tenant_id": "acme",
                "config": {"checkpoint_pages": 1},
                "endpoints": [{
                    "name": "orders",
                    "path": "/orders.jsonl",
                    "validation_rules": {"numeric_ranges": {"price": [0, maximum]}},
                }],
                "sinks": [{"type": "parquet", "table_name": "orders", "config": {"path": self.path("table")}}],
            },
        });
        change(&mut document);
        let path = self.path("orders.json");
        fs::write(&path, document.to_string())?;
        Ok(path)
    }

    fn runner(&self) -> Result<Runner> {
        Runner::new(&self.path("data"))
    }

    fn run(&self, maximum: u64) -> Result<Value> {
        let document = self.write(maximum, |_| {})?;
        self.runner()?.sample(&document).succeed()?.json()
    }

    /// By the document as it was written last.
    fn replay(&self) -> Result<Invocation> {
        let document = self.path("orders.json");
        let arguments = [
            "quarantine",
            "replay",
            &document.to_string_lossy(),
            "--json",
        ];
        Ok(self.runner()?.command(&arguments))
    }

    fn table(&self) -> Result<Tally> {
        let question = Question {
            sums: &["price", "id"],
            distinct: Some("id"),
            ..Question::default()
        };
        let pattern = format!("{}/**/*.parquet", self.path("table").display());
        Readers::new(&self.python).parquet(&pattern, &question)
    }

    fn quarantine(&self) -> Result<Vec<Value>> {
        let listed = self.runner()?.command(&["quarantine", "list", "--json"]);
        let listed = listed.succeed()?.json()?;
        Ok(listed["files"].as_array().cloned().unwrap_or_default())
    }
}

fn price(id: u64) -> u64 {
    if id.is_multiple_of(2) {
        10_000 + id
    } else {
        id
    }
}

fn row(id: u64, price: u64) -> Value {
    json!({"id": id, "price": price, "note": format!("order \"{id}\", [{id}]")})
}

fn sum(of: impl Fn(u64) -> u64) -> Value {
    json!((0..ROWS).map(of).sum::<u64>())
}

fn refusal(outcome: &Outcome) -> Result<String> {
    Ok(outcome.json()?["error"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

#[test]
fn mended_rows_are_loaded_once() -> Result<()> {
    let Some(feed) = Feed::new()? else {
        return Ok(());
    };
    let first = feed.run(9_999)?;
    assert_eq!(
        first["streams"][0]["rows_quarantined"],
        json!(1_500),
        "{first:#}"
    );
    assert_eq!(feed.table()?.rows, 1_500);

    // What the document still doesn't let pass comes back, and stays.
    feed.write(11_999, |_| {})?;
    let replayed = feed.replay()?.succeed()?.json()?;
    assert_eq!(
        replayed["streams"][0]["rows_read"],
        json!(1_500),
        "{replayed:#}"
    );
    assert_eq!(replayed["streams"][0]["rows_quarantined"], json!(500));
    assert_eq!(replayed["sinks"][0]["rows"], json!(1_000));
    let table = feed.table()?;
    assert_eq!((table.rows, table.distinct), (2_500, Some(2_500)));
    let counts = |files: &[Value]| -> Vec<(u64, u64)> {
        let count = |file: &Value, name: &str| file[name].as_u64().unwrap_or(u64::MAX);
        files
            .iter()
            .map(|file| (count(&file["part"], "rows"), count(file, "rows_replayed")))
            .collect()
    };
    assert_eq!(counts(&feed.quarantine()?), [(500, 0), (1_500, 1_500)]);

    // The rows that came back are replayed by their own right; then none is left.
    feed.write(20_000, |_| {})?;
    feed.replay()?.succeed()?;
    for _ in 0..2 {
        let table = feed.table()?;
        assert_eq!((table.rows, table.distinct), (ROWS, Some(ROWS)));
        assert_eq!(table.sums["price"], sum(price));
        assert_eq!(table.sums["id"], sum(|id| id));
        let nothing = feed.replay()?.succeed()?.json()?;
        assert_eq!(nothing["status"], json!("nothing_to_replay"), "{nothing:#}");
    }
    assert_eq!(counts(&feed.quarantine()?), [(500, 500), (1_500, 1_500)]);
    Ok(())
}

#[test]
fn a_replay_that_was_killed_loads_every_row_once() -> Result<()> {
    for point in POINTS {
        let Some(feed) = Feed::new()? else {
            return Ok(());
        };
        feed.run(9_999)?;
        feed.write(20_000, |_| {})?;
        let died = feed.replay()?.env(FAULT_VARIABLE, point).run()?;
        ensure!(
            died.code.is_none(),
            "it did not die at `{point}`: {}",
            died.describe()
        );
        let replayed = feed.replay()?.succeed()?.json()?;
        assert_eq!(replayed["streams"][0]["rows_read"], json!(1_500), "{point}");
        let table = feed.table()?;
        assert_eq!((table.rows, table.distinct), (ROWS, Some(ROWS)), "{point}");
        assert_eq!(table.sums["price"], sum(price), "{point}");
        let nothing = feed.replay()?.succeed()?.json()?;
        assert_eq!(nothing["status"], json!("nothing_to_replay"), "{point}");
    }
    Ok(())
}

#[test]
fn a_replay_waits_for_an_unfinished_run_and_a_gate_frees_its_rows() -> Result<()> {
    let Some(feed) = Feed::new()? else {
        return Ok(());
    };
    feed.run(9_999)?;
    // A gate judges a replay as it does a run: what it blocks has loaded nothing, and its rows can be replayed again.
    feed.write(11_999, |document| {
        document["provider"]["slos"] = json!({"accuracy_threshold": 0.9});
    })?;
    let blocked = feed.replay()?.run()?;
    ensure!(
        refusal(&blocked)?.contains("1000 of 1500 rows pass"),
        "{}",
        blocked.describe()
    );
    assert_eq!(feed.table()?.rows, 1_500);
    let document = feed.write(20_000, |_| {})?;
    let died = feed.runner()?.sample(&document);
    died.env(FAULT_VARIABLE, "checkpoint.after").run()?;
    let refused = feed.replay()?.run()?;
    ensure!(
        refusal(&refused)?.contains("unfinished job"),
        "{}",
        refused.describe()
    );
    let restarted = feed.replay()?.arg("--restart").succeed()?.json()?;
    assert_eq!(restarted["sinks"][0]["rows"], json!(1_500), "{restarted:#}");
    assert_eq!(feed.table()?.rows, ROWS);
    Ok(())
}

#[test]
fn a_table_that_is_replaced_is_refused() -> Result<()> {
    let Some(feed) = Feed::new()? else {
        return Ok(());
    };
    let replaces = |document: &mut Value| {
        document["provider"]["sinks"][0]["write_mode"] = json!("replace");
    };
    let document = feed.write(9_999, replaces)?;
    feed.runner()?.sample(&document).succeed()?;
    feed.write(20_000, replaces)?;
    let refused = feed.replay()?.run()?;
    ensure!(
        refusal(&refused)?.contains("`orders` is replaced by every run"),
        "{}",
        refused.describe()
    );
    assert_eq!(feed.table()?.rows, 1_500);
    Ok(())
}

/// Prices by id after a merge, without and with `--overwrite`: the row of the newer run stands, whenever it is loaded.
#[test]
fn a_replayed_row_merges_as_one_of_the_run_that_read_it() -> Result<()> {
    let merged = |document: &mut Value| {
        document["provider"]["endpoints"][0]["primary_key"] = json!(["id"]);
        document["provider"]["sinks"][0]["write_mode"] = json!("merge");
    };
    // Of the first run 1 is bad, and 2 of the second; 3 is bad in both. 4 is never loaded before.
    let first = [(1, 10_001), (2, 2), (3, 10_003), (4, 10_004)];
    let second = [(1, 1), (2, 10_002), (3, 20_003)];
    for (overwrites, expected) in [
        (false, 1 + 2 + 20_003 + 10_004),
        (true, 1 + 10_002 + 20_003 + 10_004),
    ] {
        let Some(feed) = Feed::new()? else {
            return Ok(());
        };
        let document = feed.write(9_999, merged)?;
        for rows in [&first[..], &second[..]] {
            feed.write_rows(rows.iter().map(|(id, price)| row(*id, *price)))?;
            feed.runner()?.sample(&document).succeed()?;
        }
        feed.write(99_999, merged)?;
        let replay = feed.replay()?;
        let replay = if overwrites {
            replay.arg("--overwrite")
        } else {
            replay
        };
        replay.succeed()?;
        let table = feed.table()?;
        assert_eq!((table.rows, table.distinct), (4, Some(4)), "{overwrites}");
        assert_eq!(table.sums["price"], json!(expected), "{overwrites}");
    }
    Ok(())
}

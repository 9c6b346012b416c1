//! Feeds of any shape, killed anywhere: what the tables hold is what a run without a kill loads, row for row.
//!
//! The API is the runner's `mock`, which shares no code with the extraction, and the rows are compared by DuckDB. A failure is had again
//! with the seed that it prints; `INGESTION_RUNNER_GENERATED_FEEDS` asks for more feeds.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{Mock, Random, Runner, SEED_VARIABLE, provision::READERS, require, run_for};
use serde_json::{Value, json};

const FEEDS_VARIABLE: &str = "INGESTION_RUNNER_GENERATED_FEEDS";
/// In every check.
const FEEDS: u64 = 12;
/// Of one feed.
const MOST_KILLS: u64 = 4;
/// About as long as most runs take.
const LONGEST: Duration = Duration::from_millis(450);

/// A document, and how much its API has.
struct Generated {
    document: Value,
    /// The same rows in pages of other sizes, one request at a time.
    reference: Value,
    volume: [(&'static str, String); 3],
}

/// One of the ways in which APIs give pages, with a size; all rows in one response else.
fn paged(endpoint: &mut Value, kind: u64, size: u64) {
    let (kind, config) = match kind {
        0 => (
            "offset",
            json!({"offset_param": "offset", "limit_param": "limit", "page_size": size}),
        ),
        1 => (
            "page",
            json!({"page_param": "page", "limit_param": "per_page", "page_size": size}),
        ),
        2 => (
            "cursor",
            json!({"cursor_param": "after", "cursor_path": "$.meta.next_cursor", "limit_param": "count", "page_size": size}),
        ),
        3 => (
            "link_header",
            json!({"limit_param": "per_page", "page_size": size}),
        ),
        4 => (
            "next_url",
            json!({"next_url_path": "links.next", "limit_param": "size", "page_size": size}),
        ),
        _ => return,
    };
    endpoint["pagination"] = json!(kind);
    endpoint["pagination_config"] = config;
}

fn endpoints() -> [Value; 3] {
    [
        json!({
            "name": "customers",
            "path": "/customers",
            "response_path": "$.data",
            "field_mapping": {"id": "customer_id", "name": "name", "score": "score"},
        }),
        json!({
            "name": "orders",
            "path": "/customers/{{ customer_id }}/orders",
            "response_path": "$.result.items[*]",
            "field_mapping": {"customer_id": "{{ customer_id }}", "id": "order_id", "amount": "amount"},
        }),
        json!({
            "name": "lines",
            "path": "/orders/{{ order_id }}/lines",
            "response_path": "$.data",
            "field_mapping": {"order_id": "{{ order_id }}", "id": "line_id", "quantity": "quantity"},
        }),
    ]
}

impl Generated {
    fn new(random: &mut Random, tables: &Path, expected: &Path) -> Self {
        let streams = usize::try_from(1 + random.below(3)).unwrap_or(1);
        let shapes: Vec<[u64; 3]> = (0..streams)
            .map(|_| [random.below(6), 1 + random.below(40), 1 + random.below(40)])
            .collect();
        let document = |tables: &Path, parallelism: u64, of: usize, pages: u64| {
            let mut endpoints = endpoints()[..streams].to_vec();
            for (endpoint, shape) in endpoints.iter_mut().zip(&shapes) {
                paged(endpoint, shape[0], shape[of]);
            }
            json!({
                "version": "1.2",
                "name": "generated",
                "created_by": "tests",
                "provider": {
                    "name": "generated",
                    "display_name": "Generated",
                    "owner": "tests",
                    "provider_type": "rest_api",
                    "base_url": "https://api.example.com",
                    "tenant_id": "acme",
                    "parallelism": parallelism,
                    "config": {"checkpoint_pages": pages, "stable_order": true},
                    "endpoints": endpoints,
                    "sinks": [{
                        "type": "parquet",
                        "table_name": "rows",
                        "config": {"path": tables},
                    }],
                },
            })
        };
        Self {
            reference: document(expected, 1, 2, 100),
            document: document(tables, 1 + random.below(8), 1, 1 + random.below(5)),
            volume: [
                ("--rows", (1 + random.below(60)).to_string()),
                ("--parents", (1 + random.below(12)).to_string()),
                ("--seed", random.below(1_000).to_string()),
            ],
        }
    }
}

/// Rows of the tables that the one has more often than the other, and the number of all.
fn differences(python: &Path, loaded: &Path, expected: &Path) -> Result<(u64, u64)> {
    const COMPARE: &str = r#"
import duckdb, glob, json, os, sys
apart = rows = 0
places = [{os.path.dirname(os.path.relpath(file, folder)) for file in glob.glob(folder + "/**/part-*.parquet", recursive=True)} for folder in sys.argv[1:]]
for table in sorted(places[0] | places[1]):
    left, right = [
        f"(SELECT * EXCLUDE (_uis_load_id) FROM read_parquet('{folder}/{table}/part-*.parquet'))" for folder in sys.argv[1:]
    ]
    rows += duckdb.sql(f"SELECT count(*) FROM {left}").fetchall()[0][0]
    for one, other in [(left, right), (right, left)]:
        apart += duckdb.sql(f"SELECT count(*) FROM ({one} EXCEPT ALL {other})").fetchall()[0][0]
print(json.dumps([rows, apart]))
"#;
    let output = Command::new(python.join("bin/python"))
        .args(["-c", COMPARE])
        .args([loaded, expected])
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("no numbers were printed")
}

struct Feed {
    folder: tempfile::TempDir,
    document: PathBuf,
    runner: Runner,
    mock: Mock,
}

impl Feed {
    fn sample(&self) -> runner_e2e::Invocation {
        self.runner
            .sample(&self.document)
            .option("--base-url", self.mock.url())
    }

    /// A process can be killed between the end of the job and its own; running the document again would be another job.
    fn is_done(&self) -> Result<bool> {
        let listed = self.runner.command(&["jobs", "list", "--json"]).succeed()?;
        Ok(listed.json()?["jobs"][0]["status"] == "completed")
    }

    fn run_through_kills(&self, random: &mut Random) -> Result<()> {
        for _ in 0..random.below(MOST_KILLS + 1) {
            let ended = run_for(self.sample(), random.shorter_than(LONGEST))?;
            if let Some(status) = ended {
                ensure!(status.success(), "{}", self.sample().run()?.describe());
                return Ok(());
            }
            if self.is_done()? {
                return Ok(());
            }
        }
        self.sample().succeed()?;
        Ok(())
    }
}

fn check_feed(python: &Path, random: &mut Random) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (tables, expected) = (folder.path().join("tables"), folder.path().join("expected"));
    let generated = Generated::new(random, &tables, &expected);
    let document = folder.path().join("feed.json");
    fs::write(&document, generated.document.to_string())?;
    let reference = folder.path().join("reference.json");
    fs::write(&reference, generated.reference.to_string())?;
    let runner = Runner::new(&folder.path().join("data"))?;
    let mut serving = runner.command(&["mock"]).arg(&document);
    for (option, value) in &generated.volume {
        serving = serving.option(option, value);
    }
    let mock = Mock::start(&mut serving.into_command())?;
    Runner::new(&folder.path().join("reference"))?
        .sample(&reference)
        .option("--base-url", mock.url())
        .succeed()?;
    let feed = Feed {
        folder,
        document,
        runner,
        mock,
    };
    feed.run_through_kills(random)?;
    let (rows, apart) = differences(python, &tables, &expected)?;
    ensure!(
        apart == 0 && rows > 0,
        "of {rows} rows {apart} are in one place and not in the other: {}",
        fs::read_to_string(feed.folder.path().join("feed.json"))?
    );
    Ok(())
}

#[test]
fn any_feed_killed_anywhere_loads_each_row_once() -> Result<()> {
    let Some(python) = require(&READERS) else {
        return Ok(());
    };
    let seed = Random::chosen_seed();
    let feeds = match env::var(FEEDS_VARIABLE) {
        Ok(text) => text.parse().context(FEEDS_VARIABLE)?,
        Err(_) => FEEDS,
    };
    let mut random = Random::new(seed);
    for number in 0..feeds {
        check_feed(&python, &mut random)
            .with_context(|| format!("feed {number} of {SEED_VARIABLE}={seed}"))?;
    }
    Ok(())
}

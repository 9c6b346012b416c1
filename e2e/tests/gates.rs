//! Three rows in a hundred are bad: below the threshold nothing is loaded anywhere, above it the good ones are.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{
    Configuration, Invocation, Outcome, Runner,
    provision::{DATASETTE, POSTGRES, READERS},
    readers::{self, Question, Readers},
    repository, require,
    servers::{Datasette, Postgres},
};
use serde_json::json;

const ROWS: u64 = 10_000;
const BAD: u64 = 300;
/// In the middle of the pages, some of them sealed.
const KILLED_AT: &str = "page.between:10";
const FAULT_VARIABLE: &str = "INGESTION_RUNNER_FAULT";

/// The flights' table with 3 % of the rows at a distance that no flight has.
const DATABASE: &str = "import sqlite3, sys\n\
    target = sqlite3.connect(sys.argv[2])\n\
    target.execute('ATTACH ? AS source', (sys.argv[1],))\n\
    target.execute('CREATE TABLE flights (id INTEGER PRIMARY KEY, ' + ', '.join(\n\
        f'{c[1]} {c[2]}' for c in target.execute(\"PRAGMA source.table_info('flights')\").fetchall() if c[1] != 'id') + ')')\n\
    target.execute(f'INSERT INTO flights SELECT * FROM source.flights ORDER BY id LIMIT {sys.argv[3]}')\n\
    target.execute('UPDATE flights SET distance = -distance WHERE id % 100 < 3')\n\
    target.commit()\n";

struct Feed {
    folder: tempfile::TempDir,
    postgres: Postgres,
    datasette: Datasette,
    python: std::path::PathBuf,
}

impl Feed {
    fn start() -> Result<Option<Self>> {
        let (Some(datasette), Some(postgres), Some(python)) =
            (require(&DATASETTE), require(&POSTGRES), require(&READERS))
        else {
            return Ok(None);
        };
        let Some(flights) = runner_e2e::Flights::require() else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let database = folder.path().join("flights.db");
        let made = Readers::new(&python)
            .python()
            .args(["-c", DATABASE])
            .arg(flights.database())
            .arg(&database)
            .arg(ROWS.to_string())
            .output()?;
        ensure!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let datasette = Datasette::start(&datasette, &[&database], 500)?;
        Ok(Some(Self {
            folder,
            postgres: Postgres::start(&postgres, &[])?,
            datasette,
            python,
        }))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn runner(&self) -> Result<Runner> {
        Runner::new(&self.path("data"))
    }

    fn run(&self, accuracy: f64) -> Result<Outcome> {
        self.invocation(accuracy)?.run()
    }

    fn invocation(&self, accuracy: f64) -> Result<Invocation> {
        let lakehouse = json!({"type": "iceberg", "file": self.path("catalog.db"), "warehouse": self.path("warehouse")});
        Configuration::default()
            .postgres("analytics", &self.postgres)
            .connection("lakehouse", lakehouse)
            .write(&self.path("config.json"))?;
        let overlay = json!({"provider": {
            "base_url": self.datasette.url(),
            "slos": {"accuracy_threshold": accuracy},
            "config": {"checkpoint_pages": 4},
            "sinks": {"parquet": {"config": {"path": self.path("files")}}},
        }});
        fs::write(self.path("overlay.json"), overlay.to_string())?;
        let invocation = self
            .runner()?
            .sample(&repository().join("examples/flights-datasette.yaml"))
            .option("--config", self.path("config.json"))
            .option("--overlay", self.path("overlay.json"));
        Ok(invocation)
    }

    /// Rows in Iceberg, Parquet and PostgreSQL; a table that isn't there has none.
    fn loaded(&self) -> Result<[u64; 3]> {
        let readers = Readers::new(&self.python);
        let question = Question::default();
        let catalog = self.path("catalog.db");
        let iceberg = if tables_of(&self.python, &catalog)? == 0 {
            0
        } else {
            readers
                .iceberg_sqlite(&catalog, "travel.flights", &question)?
                .rows
        };
        let parquet = readers
            .parquet(
                &format!("{}/**/*.parquet", self.path("files").display()),
                &question,
            )?
            .rows;
        let exists = self
            .postgres
            .psql("SELECT to_regclass('public.flights') IS NOT NULL")?;
        let postgres = if exists == "t" {
            readers::postgres(&self.postgres, "public.flights", &question)?.rows
        } else {
            0
        };
        Ok([iceberg, parquet, postgres])
    }
}

fn tables_of(python: &Path, catalog: &Path) -> Result<u64> {
    if !catalog.exists() {
        return Ok(0);
    }
    let count = "import sqlite3, sys\n\
        c = sqlite3.connect(sys.argv[1])\n\
        t = c.execute(\"SELECT count(*) FROM sqlite_master WHERE name = 'iceberg_tables'\").fetchone()[0]\n\
        print(c.execute('SELECT count(*) FROM iceberg_tables').fetchone()[0] if t else 0)\n";
    let output = Readers::new(python)
        .python()
        .args(["-c", count])
        .arg(catalog)
        .output()?;
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .context("no number of tables")
}

#[test]
fn bad_rows_above_the_threshold_leave_every_sink_untouched_and_below_it_the_good_ones_load()
-> Result<()> {
    let Some(feed) = Feed::start()? else {
        return Ok(());
    };

    // The verdict of a run that was killed on the way is that of one that never stopped.
    let killed = feed
        .invocation(0.99)?
        .env(FAULT_VARIABLE, KILLED_AT)
        .run()?;
    assert_eq!(killed.code, None, "{}", killed.describe());
    assert_eq!(feed.loaded()?, [0, 0, 0]);
    let blocked = feed.run(0.99)?;
    assert_ne!(blocked.code, Some(0), "{}", blocked.describe());
    let report = blocked.json()?;
    assert_eq!(report["error"]["kind"], "quality", "{}", blocked.describe());
    let message = report["error"]["message"]
        .as_str()
        .context("an error without a message")?;
    assert!(
        message.contains("0.97") && message.contains("0.99"),
        "the numbers are missing: {message}"
    );
    assert_eq!(feed.loaded()?, [0, 0, 0]);
    assert_eq!(report["streams"][0]["rows_quarantined"], json!(BAD));
    let listed = feed
        .runner()?
        .command(&["quarantine", "list", "--json"])
        .succeed()?;
    let files = listed.json()?["files"].clone();
    let quarantined: u64 = files
        .as_array()
        .context("no files of the quarantine")?
        .iter()
        .filter_map(|file| file["part"]["rows"].as_u64())
        .sum();
    assert_eq!(quarantined, BAD, "{}", listed.describe());

    let loaded = feed.run(0.95)?;
    assert_eq!(loaded.code, Some(0), "{}", loaded.describe());
    assert_eq!(feed.loaded()?, [ROWS - BAD; 3]);
    assert_eq!(loaded.json()?["streams"][0]["rows_quarantined"], json!(BAD));
    Ok(())
}

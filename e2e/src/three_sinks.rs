//! One feed of the generated API into Iceberg, Parquet and PostgreSQL, and what each of them has of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    Configuration, GeneratedApi, Invocation, Runner, Size,
    readers::{self, Question, Readers, Tally},
    repository,
    servers::Postgres,
};

/// `e2e/documents/rows.yaml` with an API, a data folder and empty destinations of its own.
#[derive(Debug)]
pub struct ThreeSinks<'a> {
    pub api: GeneratedApi,
    folder: TempDir,
    runner: Runner,
    size: Size,
    postgres: &'a Postgres,
    python: &'a Path,
}

impl<'a> ThreeSinks<'a> {
    /// Starts the API and empties the database's default schema. `provider` is laid over the document's.
    pub fn start(
        size: Size,
        postgres: &'a Postgres,
        python: &'a Path,
        provider: Value,
    ) -> Result<Self> {
        Self::start_with(&Runner::program()?, size, postgres, python, provider)
    }

    /// With another program than the one beside the tests.
    pub fn start_with(
        program: &Path,
        size: Size,
        postgres: &'a Postgres,
        python: &'a Path,
        mut provider: Value,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let api = GeneratedApi::start(size)?;
        let runner = Runner::with_program(program, &folder.path().join("data"));
        postgres.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")?;
        provider["base_url"] = json!(api.url());
        let feed = Self {
            api,
            folder,
            runner,
            size,
            postgres,
            python,
        };
        fs::write(
            feed.path("overlay.json"),
            json!({ "provider": provider }).to_string(),
        )?;
        let lakehouse =
            json!({"type": "iceberg", "file": feed.catalog(), "warehouse": feed.path("warehouse")});
        Configuration::default()
            .postgres("analytics", postgres)
            .connection("files", json!({"type": "s3", "path": feed.path("files")}))
            .connection("lakehouse", lakehouse)
            .write(&feed.path("config.json"))?;
        Ok(feed)
    }

    /// `sample` of the feed.
    pub fn sample(&self) -> Invocation {
        let document = repository().join("e2e/documents/rows.yaml");
        self.runner
            .sample(&document)
            .option("--config", self.path("config.json"))
            .option("--overlay", self.path("overlay.json"))
    }

    /// Any other command on the feed's data folder.
    pub fn command(&self, arguments: &[&str]) -> Invocation {
        self.runner
            .command(arguments)
            .option("--config", self.path("config.json"))
    }

    /// The last job of the feed.
    pub fn job_id(&self) -> Result<String> {
        self.last_job()?["job_id"]
            .as_str()
            .map(str::to_owned)
            .context("there is no job")
    }

    /// How the last job stands; `None` before the first.
    pub fn last_job_status(&self) -> Result<Option<String>> {
        Ok(self.last_job()?["status"].as_str().map(str::to_owned))
    }

    fn last_job(&self) -> Result<Value> {
        let listed = self
            .command(&["jobs", "list", "--json"])
            .succeed()?
            .json()?;
        Ok(listed["jobs"][0].clone())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn catalog(&self) -> PathBuf {
        self.path("catalog.db")
    }

    /// What each destination has, by its name; a table that is not there has nothing.
    pub fn tallies(&self) -> Result<[(&'static str, Tally); 3]> {
        let readers = Readers::new(self.python);
        let question = Question {
            sums: &["amount_cents"],
            distinct: Some("id"),
            ..Question::default()
        };
        let iceberg = if self.has_iceberg_table()? {
            readers.iceberg_sqlite(&self.catalog(), "tests.rows", &question)?
        } else {
            Tally::default()
        };
        let pattern = format!("{}/**/*.parquet", self.path("files").display());
        let parquet = readers.parquet(&pattern, &question)?;
        let has_table = self
            .postgres
            .psql("SELECT to_regclass('public.rows') IS NOT NULL")?
            == "t";
        let postgres = if has_table {
            readers::postgres(self.postgres, "public.rows", &question)?
        } else {
            Tally::default()
        };
        Ok([
            ("iceberg", iceberg),
            ("parquet", parquet),
            ("postgres", postgres),
        ])
    }

    fn has_iceberg_table(&self) -> Result<bool> {
        if !self.catalog().exists() {
            return Ok(false);
        }
        let count = "import sqlite3, sys\n\
            catalog = sqlite3.connect(sys.argv[1])\n\
            names = [n for n, in catalog.execute(\"SELECT name FROM sqlite_master WHERE name = 'iceberg_tables'\")]\n\
            print(sum(n for n, in catalog.execute('SELECT count(*) FROM iceberg_tables')) if names else 0)\n";
        let output = Readers::new(self.python)
            .python()
            .args(["-c", count])
            .arg(self.catalog())
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim() != "0")
    }

    /// Fails unless each destination has every row of the API once.
    pub fn check_exact(&self) -> Result<()> {
        for (sink, tally) in self.tallies()? {
            self.check_whole(sink, &tally)?;
        }
        Ok(())
    }

    /// Fails where a destination shows a part of a load.
    pub fn check_all_or_nothing(&self) -> Result<()> {
        for (sink, tally) in self.tallies()? {
            if tally.rows != 0 {
                self.check_whole(sink, &tally)?;
            }
        }
        Ok(())
    }

    fn check_whole(&self, sink: &str, tally: &Tally) -> Result<()> {
        let sum = tally.sums.get("amount_cents").and_then(Value::as_u64);
        let found = (tally.rows, tally.distinct, sum);
        let expected = (
            self.size.rows,
            Some(self.size.rows),
            Some(self.api.sum_of_amounts()),
        );
        ensure!(
            found == expected,
            "{sink} has (rows, distinct ids, sum) {found:?} instead of {expected:?}"
        );
        Ok(())
    }
}

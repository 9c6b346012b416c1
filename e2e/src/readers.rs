//! Programs that read what the runner wrote, and share no code with it: pyiceberg, Spark, DuckDB and psql.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    repository,
    servers::{ACCESS_KEY, Postgres, SECRET_KEY, SeaweedFs, TABLE_BUCKET},
};

/// What a reader found in a table.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Tally {
    pub rows: u64,
    /// By column; an integer where the column holds integers.
    pub sums: BTreeMap<String, Value>,
    /// Different values of the column asked for.
    #[serde(default)]
    pub distinct: Option<u64>,
    /// Type of each column, as the reader calls it.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// Snapshots of an Iceberg table.
    #[serde(default)]
    pub snapshots: u64,
    /// Data files.
    #[serde(default)]
    pub files: u64,
    /// Properties of an Iceberg table.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    #[serde(default)]
    pub first_rows: Vec<BTreeMap<String, Value>>,
}

/// What to find out about a table.
#[derive(Clone, Debug, Default)]
pub struct Question<'a> {
    pub sums: &'a [&'a str],
    pub distinct: Option<&'a str>,
    pub first_rows: usize,
}

impl Question<'_> {
    fn arguments(&self) -> Vec<String> {
        let sums = self
            .sums
            .iter()
            .flat_map(|column| ["--sum".to_owned(), (*column).to_owned()]);
        let distinct = self
            .distinct
            .iter()
            .flat_map(|column| ["--distinct".to_owned(), (*column).to_owned()]);
        sums.chain(distinct)
            .chain(["--rows".to_owned(), self.first_rows.to_string()])
            .collect()
    }
}

/// The readers in their virtual environment.
#[derive(Clone, Copy, Debug)]
pub struct Readers<'a> {
    component: &'a Path,
}

impl<'a> Readers<'a> {
    /// Takes the folder of the component `READERS`.
    pub fn new(component: &'a Path) -> Self {
        Self { component }
    }

    /// pyiceberg on a table of a SQL catalog in SQLite.
    pub fn iceberg_sqlite(
        &self,
        database: &Path,
        table: &str,
        question: &Question<'_>,
    ) -> Result<Tally> {
        read(
            self.script("iceberg.py")
                .arg("sql")
                .arg(database)
                .arg(table)
                .args(question.arguments()),
        )
    }

    /// pyiceberg on a table of SeaweedFS's REST catalog.
    pub fn iceberg_rest(
        &self,
        server: &SeaweedFs,
        table: &str,
        question: &Question<'_>,
    ) -> Result<Tally> {
        let warehouse = format!("s3://{TABLE_BUCKET}/");
        let mut command = self.script("iceberg.py");
        command.arg("rest").args([
            &server.catalog_url(),
            &server.s3_url(),
            ACCESS_KEY,
            SECRET_KEY,
            &warehouse,
            table,
        ]);
        read(command.args(question.arguments()))
    }

    /// pyiceberg on one metadata file, without a catalog.
    pub fn iceberg_metadata(&self, file: &Path, question: &Question<'_>) -> Result<Tally> {
        read(
            self.script("iceberg.py")
                .arg("metadata")
                .arg(file)
                .args(question.arguments()),
        )
    }

    /// DuckDB on the Parquet files that match a pattern (`**` crosses folders).
    pub fn parquet(&self, pattern: &str, question: &Question<'_>) -> Result<Tally> {
        read(
            self.script("parquet.py")
                .arg(pattern)
                .args(question.arguments()),
        )
    }

    /// DuckDB on the Parquet files below each folder of `root`, by its name; `column` is summed and its values are told apart.
    pub fn parquet_folders(&self, root: &Path, column: &str) -> Result<BTreeMap<String, Tally>> {
        read(self.script("parquet_folders.py").arg(root).arg(column))
    }

    /// A Python of the readers' environment, for a check that only one test makes.
    pub fn python(&self) -> Command {
        let mut command = Command::new(self.component.join("bin/python"));
        // What these programs do on the side must not depend on whose machine this is.
        command
            .env("PYTHONWARNINGS", "ignore")
            .env_remove("PYICEBERG_HOME")
            .stdin(Stdio::null());
        command
    }

    fn script(&self, name: &str) -> Command {
        let mut command = self.python();
        command.arg(repository().join("e2e/readers").join(name));
        command
    }
}

/// Spark on the tables of a SQL catalog in SQLite: what each statement answers, as a list of rows.
pub fn spark(
    component: &Path,
    database: &str,
    warehouse: &str,
    statements: &[&str],
) -> Result<Vec<Value>> {
    let mut command = Command::new(component.join("bin/python"));
    command
        .arg(repository().join("e2e/readers/spark.py"))
        .arg(component.join("jars"))
        .args([database, warehouse])
        .args(statements)
        .stdin(Stdio::null());
    let printed = printed(&mut command)?;
    let answers: serde_json::Result<Vec<Value>> =
        printed.lines().map(serde_json::from_str).collect();
    answers.with_context(|| format!("Spark printed something else than answers: {printed}"))
}

/// psql on a table of PostgreSQL.
pub fn postgres(server: &Postgres, table: &str, question: &Question<'_>) -> Result<Tally> {
    let sums: Vec<String> = question
        .sums
        .iter()
        .map(|column| format!("'{column}', sum(\"{column}\")"))
        .collect();
    let distinct = question.distinct.map_or_else(
        || "0".to_owned(),
        |column| format!("count(DISTINCT \"{column}\")"),
    );
    let sql = format!(
        "SELECT json_build_object('rows', count(*), 'distinct', {distinct}, 'sums', json_build_object({})) FROM {table}",
        sums.join(", ")
    );
    let answer = server.psql(&sql)?;
    serde_json::from_str(&answer).with_context(|| format!("psql printed no tally: {answer}"))
}

fn read<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let printed = printed(command)?;
    serde_json::from_str(&printed)
        .with_context(|| format!("{command:?} printed no tally: {printed}"))
}

/// What a command prints on its standard output; it fails unless it ends well.
fn printed(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("failed to start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{command:?} printed no UTF-8"))
}

//! Memory is bounded by batches and queues, whatever the number of rows or the size of one response.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Result, ensure};
use runner_e2e::{
    Configuration, GeneratedApi, Invocation, Runner, Size, measure,
    readers::{Question, Tally},
    repository,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Ground, Options};

/// The most resident memory that a run may ever have, in megabytes.
const LIMIT_MB: f64 = 400.0;
/// One row of the generated API takes at least this many bytes of JSON.
const LEAST_ROW_BYTES: u64 = 150;
const GIBIBYTE: u64 = 1 << 30;

/// Ten million rows through the HTTP source.
pub(super) fn many_rows(ground: &Ground, options: &Options) -> Result<String> {
    let field = Field::new(ground, pages(1, 10_000_000 / options.divide))?;
    let sinks =
        json!([{"type": "parquet", "table_name": "rows", "config": {"path": field.path("rows")}}]);
    let detail = field.run("rows", &json!({ "sinks": sinks }))?;
    field.expect_rows("rows", field.size.rows)?;
    Ok(detail)
}

/// One response of two gibibytes.
pub(super) fn one_document(ground: &Ground, options: &Options) -> Result<String> {
    let field = Field::new(
        ground,
        pages(1, 2 * GIBIBYTE / LEAST_ROW_BYTES / options.divide),
    )?;
    let sinks =
        json!([{"type": "parquet", "table_name": "rows", "config": {"path": field.path("rows")}}]);
    let detail = field.run("document", &json!({ "sinks": sinks }))?;
    field.expect_rows("rows", field.size.rows)?;
    Ok(detail)
}

/// A merge of a million rows, half of them new, into an Iceberg table of twenty million.
pub(super) fn merge_iceberg(ground: &Ground, options: &Options) -> Result<String> {
    merge(ground, options, None, |field, question| {
        let catalog = field.folder.path().join("catalog.db");
        ground
            .readers()
            .iceberg_sqlite(&catalog, "tests.merged", question)
    })
}

/// The same into a folder of Parquet files.
pub(super) fn merge_parquet(ground: &Ground, options: &Options) -> Result<String> {
    merge(ground, options, Some("parquet"), |field, question| {
        let pattern = format!("{}/**/*.parquet", field.path("merged"));
        ground.readers().parquet(&pattern, question)
    })
}

/// Loads rows and merges others into them whose keys are spread over all of them, so that every file is written anew: nothing
/// takes more.
fn merge(
    ground: &Ground,
    options: &Options,
    sink: Option<&str>,
    count: impl Fn(&Field<'_>, &Question<'_>) -> Result<Tally>,
) -> Result<String> {
    let (stored, merged) = (20_000_000 / options.divide, 1_000_000 / options.divide);
    let mut field = Field::new(ground, pages(1, stored))?;
    let provider = sink.map_or_else(
        || json!({}),
        |sink| {
            json!({"sinks": [{"type": sink, "table_name": "merged", "write_mode": "merge", "primary_key": ["id"],
                "config": {"path": field.path("merged")}}]})
        },
    );
    field.run("merge", &provider)?;
    field.api = GeneratedApi::start(Size {
        step: stored / (merged / 2),
        ..pages(1, merged)
    })?;
    let detail = field.run("merge", &provider)?;
    let question = Question {
        distinct: Some("id"),
        ..Question::default()
    };
    let tally = count(&field, &question)?;
    let expected = stored + merged - merged / 2;
    let found = (tally.rows, tally.distinct);
    ensure!(
        found == (expected, Some(expected)),
        "(rows, distinct ids) are {found:?}, {expected} expected"
    );
    Ok(detail)
}

/// A million parents, each with a request of its own.
pub(super) fn many_parents(ground: &Ground, options: &Options) -> Result<String> {
    let parents = 1_000_000 / options.divide;
    let field = Field::new(
        ground,
        Size {
            parents,
            ..pages(1, 1)
        },
    )?;
    let sinks =
        json!([{"type": "parquet", "table_name": "family", "config": {"path": field.path("all")}}]);
    let detail = field.run("parents", &json!({ "sinks": sinks }))?;
    field.expect_rows("all/children", parents)?;
    Ok(detail)
}

fn pages(first: u64, rows: u64) -> Size {
    Size {
        first,
        step: 1,
        rows,
        page_rows: 10_000,
        parents: 1,
        page_delay: Duration::ZERO,
    }
}

/// An API, a runner, and a folder for what it writes.
struct Field<'a> {
    ground: &'a Ground,
    size: Size,
    api: GeneratedApi,
    folder: TempDir,
    runner: Runner,
}

impl<'a> Field<'a> {
    fn new(ground: &'a Ground, size: Size) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let runner = Runner::with_program(&ground.binary, &folder.path().join("data"));
        Ok(Self {
            ground,
            size,
            api: GeneratedApi::start(size)?,
            folder,
            runner,
        })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Runs a document once and fails above the limit.
    fn run(&self, document: &str, provider: &Value) -> Result<String> {
        let configuration = self.folder.path().join("config.json");
        let catalog = json!({"type": "iceberg", "file": self.path("catalog.db"), "warehouse": self.path("warehouse")});
        Configuration::default()
            .connection("lakehouse", catalog)
            .write(&configuration)?;
        let measured = measure(
            self.invocation(document, provider, &configuration)?
                .command(),
            Stdio::null(),
            self.folder.path(),
        )?;
        let usage = measured.usage;
        ensure!(
            usage.code == 0,
            "the run ended with code {}:\n{}",
            usage.code,
            measured.printed
        );
        let peak = usage.peak_rss_mb();
        let detail = format!(
            "{:.1} s, {:.1} CPU s, peak {peak:.0} MB",
            usage.wall_s,
            usage.cpu_s()
        );
        println!("  {document}: {detail}");
        ensure!(
            peak < LIMIT_MB,
            "peak memory was {peak:.0} MB, {LIMIT_MB} are allowed"
        );
        Ok(detail)
    }

    fn invocation(
        &self,
        document: &str,
        provider: &Value,
        configuration: &Path,
    ) -> Result<Invocation> {
        let overlay = self.folder.path().join("overlay.json");
        let mut laid_over = provider.clone();
        laid_over["base_url"] = json!(self.api.url());
        std::fs::write(&overlay, json!({ "provider": laid_over }).to_string())?;
        let document = repository()
            .join("e2e/documents")
            .join(format!("{document}.yaml"));
        Ok(self
            .runner
            .sample(&document)
            .option("--config", configuration)
            .option("--overlay", &overlay))
    }

    fn expect_rows(&self, folder: &str, expected: u64) -> Result<()> {
        let pattern = format!("{}/**/*.parquet", self.path(folder));
        let found = self
            .ground
            .readers()
            .parquet(&pattern, &Question::default())?
            .rows;
        ensure!(
            found == expected,
            "{found} rows arrived, {expected} expected"
        );
        Ok(())
    }
}

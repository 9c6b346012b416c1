//! Many chains of requests, several at once: wherever the process dies or is stopped, each row is loaded once, and memory does not grow
//! with the chains.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{
    GeneratedApi, Invocation, Random, Runner, SEED_VARIABLE, Size, measure,
    provision::READERS,
    readers::{Question, Readers},
    repository, require, run_for,
};
use serde_json::{Value, json};

const PARENTS: u64 = 400;
const CHAINS_PER_CHECKPOINT: u64 = 10;
const KILLS: u32 = 12;
/// About as long as a whole run takes, so that commits are hit too.
const LONGEST: Duration = Duration::from_millis(1_500);

/// In the parents, among the children, while eight lanes seal, and in the commits of both tables.
const POINTS: [&str; 9] = [
    "page.between:3",
    "page.mid:30",
    "page.between:100",
    "seal.mid:12",
    "checkpoint.before:9",
    "checkpoint.after:20",
    "commit.*.before:2",
    "commit.*.during:2",
    "cursor.before",
];

/// `e2e/documents/parents.yaml` with an API, a data folder and tables of its own.
struct Family {
    api: GeneratedApi,
    folder: tempfile::TempDir,
    runner: Runner,
    parents: u64,
}

impl Family {
    fn start(parents: u64, page_delay: Duration, config: &Value) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let api = GeneratedApi::start(Size {
            first: 1,
            step: 1,
            rows: 1,
            page_rows: (parents / 4).max(1),
            parents,
            page_delay,
        })?;
        let runner = Runner::new(&folder.path().join("data"))?;
        let sinks = json!([{"type": "parquet", "table_name": "family", "config": {"path": folder.path().join("all")}}]);
        let provider = json!({"base_url": api.url(), "sinks": sinks, "config": config});
        fs::write(
            folder.path().join("overlay.json"),
            json!({ "provider": provider }).to_string(),
        )?;
        Ok(Self {
            api,
            folder,
            runner,
            parents,
        })
    }

    fn sample(&self) -> Invocation {
        self.runner
            .sample(&repository().join("e2e/documents/parents.yaml"))
            .option("--overlay", self.folder.path().join("overlay.json"))
    }

    fn last_job_status(&self) -> Result<Option<String>> {
        let listed = self.runner.command(&["jobs", "list", "--json"]);
        let listed = listed.succeed()?.json()?;
        Ok(listed["jobs"][0]["status"].as_str().map(str::to_owned))
    }

    /// Fails unless each parent and each child is in its table once.
    fn check_exact(&self, python: &Path) -> Result<()> {
        for (table, key) in [("parents", "parent_id"), ("children", "id")] {
            let question = Question {
                sums: &[key],
                distinct: Some(key),
                ..Question::default()
            };
            let folder = self.folder.path().join("all").join(table);
            let tally = Readers::new(python)
                .parquet(&format!("{}/**/*.parquet", folder.display()), &question)?;
            let found = (tally.rows, tally.distinct, &tally.sums[key]);
            let sum = json!(self.parents * (self.parents + 1) / 2);
            ensure!(
                found == (self.parents, Some(self.parents), &sum),
                "`{table}` has (rows, distinct, sum) {found:?} instead of {} with the sum {sum}",
                self.parents
            );
        }
        Ok(())
    }
}

/// Barriers that a short run has several of in each lane.
fn often() -> Value {
    json!({"checkpoint_pages": CHAINS_PER_CHECKPOINT})
}

#[test]
fn a_process_that_dies_among_chains_loads_each_row_once() -> Result<()> {
    let Some(python) = require(&READERS) else {
        return Ok(());
    };
    for point in POINTS {
        let family = Family::start(PARENTS, Duration::ZERO, &often())?;
        let died = family.sample().env("INGESTION_RUNNER_FAULT", point).run()?;
        ensure!(
            died.code.is_none(),
            "it did not die at `{point}`: {}",
            died.describe()
        );
        family.sample().succeed()?;
        family
            .check_exact(&python)
            .with_context(|| format!("it died at `{point}`"))?;
        // A request for each parent, and again for those that no barrier had taken when it died: one lane's worth each.
        let allowed = PARENTS + 8 * (CHAINS_PER_CHECKPOINT + 1) + 16;
        ensure!(
            family.api.requests() <= allowed,
            "{} requests after it died at `{point}`, {allowed} are allowed",
            family.api.requests()
        );
    }
    Ok(())
}

#[test]
fn a_process_that_is_killed_among_chains_loads_each_row_once() -> Result<()> {
    let Some(python) = require(&READERS) else {
        return Ok(());
    };
    let seed = Random::chosen_seed();
    println!("{SEED_VARIABLE}={seed}");
    let mut random = Random::new(seed);
    let mut kills = 0;
    while kills < KILLS {
        let family = Family::start(PARENTS, Duration::from_millis(10), &often())?;
        while kills < KILLS {
            let status = run_for(family.sample(), random.shorter_than(LONGEST))?;
            if let Some(status) = status {
                ensure!(status.success(), "it ended with {status}");
                break;
            }
            kills += 1;
            // A process can be killed between the end of the job and its own.
            if family.last_job_status()?.as_deref() == Some("completed") {
                break;
            }
        }
        if family.last_job_status()?.as_deref() != Some("completed") {
            family.sample().succeed()?;
        }
        family.check_exact(&python)?;
    }
    Ok(())
}

/// `many_parents`: the soak has a million.
#[test]
fn many_parents_take_bounded_memory() -> Result<()> {
    const FEW: u64 = 2_000;
    const MANY: u64 = 12_000;
    /// What a parent may add to the peak before queues and batches are full; a batch of its own for each took five thousand.
    const BYTES_OF_A_PARENT: f64 = 2_000.0;
    let Some(python) = require(&READERS) else {
        return Ok(());
    };
    let mut peaks = Vec::new();
    for parents in [FEW, MANY] {
        let family = Family::start(parents, Duration::ZERO, &json!({}))?;
        let measured = measure(
            family.sample().command(),
            Stdio::null(),
            family.folder.path(),
        )?;
        assert_eq!(measured.usage.code, 0, "{}", measured.printed);
        family.check_exact(&python)?;
        peaks.push(measured.usage.peak_rss_mb());
    }
    #[expect(clippy::cast_precision_loss, reason = "both are small")]
    let allowed = peaks[0] + BYTES_OF_A_PARENT * (MANY - FEW) as f64 / 1e6;
    ensure!(
        peaks[1] <= allowed,
        "{FEW} parents took {:.0} MB and {MANY} took {:.0} MB, {allowed:.0} MB are allowed",
        peaks[0],
        peaks[1]
    );
    Ok(())
}

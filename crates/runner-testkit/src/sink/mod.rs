//! The contract that every sink keeps, as one suite.
//!
//! A sink brings a [`SinkHarness`]: how a table is planned, how a process of its own opens it, and how readers see it, read by
//! code that the sink shares nothing with. [`run`] runs every case, each on tables of its own, and says which failed.

mod bench;
mod cases;
mod context;
mod load;
pub mod values;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use runner_connectors::sink::Target;
use runner_plan::model::{ColumnField, LoadPlan};
use serde_json::Value;

pub use bench::Bench;
pub use context::context;
pub use load::{Load, TableSpec, column, feed, plan};
pub use values::Row;

/// One kind of sink, as the suite needs it.
#[async_trait]
pub trait SinkHarness: Send + Sync {
    /// Completes a plan whose target is any: fills in where the table of this name stands.
    fn place(&self, plan: LoadPlan) -> LoadPlan;
    /// What a process that has just started would make of the plan.
    async fn open(&self, plan: &LoadPlan) -> Arc<dyn Target>;
    /// The rows that readers see, in any order; only these columns, in the form of [`values`].
    async fn rows(&self, plan: &LoadPlan, columns: &[ColumnField]) -> Vec<Row>;
    /// Everything of unfinished loads that the sink still keeps (staged files, staging tables).
    async fn staged(&self, plan: &LoadPlan) -> Vec<String>;
    /// What the sink does differently, by the letter of its guarantee.
    fn traits(&self) -> Traits {
        Traits::default()
    }
}

/// Where sinks may differ.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// Types keep their structure; else structs and lists of structs are JSON.
    pub keeps_structs: bool,
    /// A column of an existing table may change from integer to decimal.
    pub widens_tables: bool,
}

impl Default for Traits {
    fn default() -> Self {
        Self {
            keeps_structs: true,
            widens_tables: false,
        }
    }
}

/// Runs every case of the suite.
///
/// # Panics
/// With the names of the cases that failed.
pub async fn run(harness: &dyn SinkHarness) {
    let mut failed: BTreeMap<&str, String> = BTreeMap::new();
    for (name, case) in cases::all(harness) {
        if let Err(panic) = AssertUnwindSafe(case).catch_unwind().await {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_default();
            failed.insert(name, text);
        }
    }
    let report: Vec<String> = failed
        .iter()
        .map(|(name, text)| format!("{name}: {text}"))
        .collect();
    assert!(
        failed.is_empty(),
        "{} cases failed:\n{}",
        failed.len(),
        report.join("\n")
    );
}

/// Runs one case by its name.
///
/// # Panics
/// When it fails, or there is none of this name.
pub async fn run_case(harness: &dyn SinkHarness, name: &str) {
    let found = cases::all(harness)
        .into_iter()
        .find(|(case, _)| *case == name);
    match found {
        Some((_, case)) => case.await,
        None => panic!("there is no case `{name}`"),
    }
}

/// Names of all cases.
pub fn case_names() -> &'static [&'static str] {
    cases::NAMES
}

/// A row from a JSON object: what tests write.
pub fn row(value: Value) -> Row {
    match value {
        Value::Object(entries) => entries.into_iter().collect(),
        other => panic!("`{other}` is no row"),
    }
}

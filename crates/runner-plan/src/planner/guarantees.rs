//! What holds between the loads of a run: no two in one place, and what readers see while they commit.

use runner_spec::model::{Sink, WriteMode};
use runner_spec::{Code, Diagnostic};

use super::findings::{Findings, at, list};
use crate::model::{Catalog, Delivery, LoadPlan, StreamPlan, Target, Window};

const DELIVERY_SEMANTICS: &str = "delivery_semantics";
const EXACTLY_ONCE: &str = "exactly_once";

/// A load is exact whatever crashes. What is read again on purpose, though, is loaded again where no key tells it.
pub(crate) fn asked_for(
    load: &LoadPlan,
    sink: &Sink,
    sources: &[&StreamPlan],
    findings: &mut Findings,
) {
    let asked = sink.config.get(DELIVERY_SEMANTICS);
    if asked.and_then(|value| value.as_str()) != Some(EXACTLY_ONCE) {
        return;
    }
    let is_told_by_key = load.write_mode != WriteMode::Append || !load.primary_key.is_empty();
    let reads_again = |stream: &&&StreamPlan| {
        let window = stream.incremental.as_ref().map(|plan| &plan.window);
        matches!(window, Some(Window::LastDays { days }) if *days > 0)
    };
    let Some(stream) = sources.iter().find(reads_again).filter(|_| !is_told_by_key) else {
        return;
    };
    findings.error(
        Code::UnsupportedGuarantee,
        &at::sink(load.sink).key("config").key(DELIVERY_SEMANTICS),
        format!(
            "`{EXACTLY_ONCE}` can't be kept for `{}`: every run of `{}` reads days again, and nothing tells the rows that are there",
            load.table, stream.name
        ),
        "add a `primary_key`, write `config.lookback_days: 0`, or ask for `at_least_once`",
    );
}

/// No two loads of one run write to one table.
pub(crate) fn shared_tables(loads: &[LoadPlan], broken: &[usize], findings: &mut Findings) {
    let loads: Vec<&LoadPlan> = loads
        .iter()
        .filter(|load| !broken.contains(&load.sink))
        .collect();
    for (index, load) in loads.iter().enumerate() {
        let twin = loads
            .iter()
            .skip(index + 1)
            .find(|other| other.sink != load.sink && is_same_place(&other.target, &load.target));
        if let Some(twin) = twin {
            findings.error(
                Code::DuplicateTable,
                &at::sink(twin.sink),
                format!(
                    "the sinks `{}` and `{}` both write to `{}`",
                    load.sink_name, twin.sink_name, load.table
                ),
                "give one of them another `table_name` or another place",
            );
        }
    }
}

/// Two tables in one folder are one place, whatever their catalogs are called.
fn is_same_place(left: &Target, right: &Target) -> bool {
    let place = |target: &Target| match target {
        Target::Parquet { location, .. } => vec![location.clone()],
        Target::Iceberg {
            catalog,
            namespace,
            table,
            ..
        } => {
            let catalog = match catalog {
                Catalog::Sqlite { file, .. } => file.clone(),
                Catalog::Rest { uri, warehouse, .. } => format!("{uri} {warehouse:?}"),
            };
            vec![catalog, namespace.join("."), table.clone()]
        }
        Target::Postgres {
            url,
            host,
            port,
            database,
            schema,
            table,
            ..
        } => vec![
            format!("{url:?} {host}:{port}/{database}"),
            schema.clone(),
            table.clone(),
        ],
    };
    place(left) == place(right)
}

pub(crate) fn readers(loads: &[LoadPlan], findings: &mut Findings) {
    let mut seen_in_part: Vec<&str> = loads
        .iter()
        .filter(|load| load.delivery == Delivery::Idempotent)
        .map(|load| load.sink_name.as_str())
        .collect();
    seen_in_part.dedup();
    if !seen_in_part.is_empty() {
        findings.hint(
            Code::ReadersSeePart,
            &at::provider().key("sinks"),
            format!(
                "readers of {} can see part of a load while it commits; a repeat changes nothing",
                list(&seen_in_part)
            ),
        );
    }
    let mut sinks: Vec<&str> = loads.iter().map(|load| load.sink_name.as_str()).collect();
    sinks.dedup();
    if sinks.len() > 1 {
        findings.push(Diagnostic::hint(
            Code::AtomicPerSink,
            at::provider().key("sinks"),
            format!(
                "{} commit one after the other: each is exact, and for a moment one shows rows that another doesn't",
                list(&sinks)
            ),
        ));
    }
}

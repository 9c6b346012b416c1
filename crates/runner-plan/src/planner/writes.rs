//! Which write modes fit which ways of reading (`append`, `replace`, `merge` against windows and lookbacks).

use runner_spec::model::WriteMode;
use runner_spec::{Code, Diagnostic, FieldPath};

use super::findings::{Findings, list};
use super::incremental;
use crate::model::{ColumnType, IncrementalPlan, LoadPlan, PartitionTransform, StreamPlan, Window};

pub(crate) fn check(
    load: &LoadPlan,
    sources: &[&StreamPlan],
    mode_path: &FieldPath,
    findings: &mut Findings,
) {
    match load.write_mode {
        WriteMode::Append => append(load, sources, findings),
        WriteMode::Replace => replace(load, sources, mode_path, findings),
        WriteMode::Merge => {
            merge(load, mode_path, findings);
            newest(load, sources, findings);
        }
    }
}

fn sink_path(load: &LoadPlan) -> FieldPath {
    load.path.parse().unwrap_or_default()
}

fn stream_path(stream: &StreamPlan) -> FieldPath {
    stream.path.parse().unwrap_or_default()
}

/// What reads rows again needs a key to know them by.
fn append(load: &LoadPlan, sources: &[&StreamPlan], findings: &mut Findings) {
    if !load.primary_key.is_empty() {
        return;
    }
    for stream in sources {
        let Some(incremental) = &stream.incremental else {
            continue;
        };
        let path = stream_path(stream);
        if incremental.lookback_ms > 0 {
            findings.error(
                Code::LookbackWithoutKey,
                &path.key("incremental").key("lookback"),
                format!("`lookback` reads rows of `{}` again and, without a `primary_key`, `{}` would get them twice", stream.name, load.table),
                "add a `primary_key`: keys that are there are skipped, or merged with `write_mode: merge`",
            );
        }
        if let Window::LastDays { days } = incremental.window
            && days > 0
        {
            incremental::overlap(&stream.name, days, &path, findings);
        }
    }
}

/// Of rows with one key the one with the greatest cursor stays, and a target compares what its column holds.
fn newest(load: &LoadPlan, sources: &[&StreamPlan], findings: &mut Findings) {
    let Some(cursor) = &load.cursor_field else {
        return;
    };
    for stream in sources {
        let mut known = stream.columns.known.iter();
        let column = known.find(|column| column.name == *cursor);
        let column_type = column.and_then(|column| column.column_type.as_ref());
        if column_type.is_some_and(|known| *known != ColumnType::String) {
            continue;
        }
        findings.push(
            Diagnostic::hint(
                Code::CursorFieldText,
                stream_path(stream).key("incremental").key("cursor_field"),
                format!(
                    "`{}` keeps the row with the greatest `{cursor}` of a key, and as a text `10` stands before `9`, and an instant \
                     before an earlier one of another zone",
                    load.table
                ),
            )
            .help(format!(
                "unless it is a text, give `{cursor}` its type in the contract, such as `{{type: string, format: date-time}}`"
            )),
        );
    }
}

fn merge(load: &LoadPlan, mode_path: &FieldPath, findings: &mut Findings) {
    if !load.primary_key.is_empty() {
        return;
    }
    let help = if load.is_declared {
        "add `primary_key: [COLUMN]`".to_owned()
    } else {
        format!(
            "give the endpoint a `primary_key`, or a table of its own kind: `{}` is written beside the declared table, and \
             `config.endpoints` leaves it out",
            load.table
        )
    };
    findings.error(
        Code::MergeWithoutKey,
        mode_path,
        format!(
            "`{}` is merged, and nothing says which columns identify a row",
            load.table
        ),
        help,
    );
}

/// Only what the window covers whole may be replaced.
fn replace(
    load: &LoadPlan,
    sources: &[&StreamPlan],
    mode_path: &FieldPath,
    findings: &mut Findings,
) {
    unknown_scope(load, findings);
    for stream in sources {
        let Some(incremental) = &stream.incremental else {
            continue;
        };
        if load.replace_scope.is_empty() {
            unscoped(load, stream, incremental, mode_path, findings);
            continue;
        }
        for column in &load.replace_scope {
            if !covers(load, stream, incremental, column) {
                findings.error(
                    Code::ReplaceScope,
                    &sink_path(load).key("replace_scope"),
                    format!("the windows of `{}` don't cover whole partitions of `{column}`, so that rows would be replaced that were not read again", stream.name),
                    format!("partition by the cursor itself, a date (`{}` of `format: date`), or use `write_mode: merge`", cursor(incremental)),
                );
            }
        }
    }
}

fn cursor(incremental: &IncrementalPlan) -> &str {
    incremental.cursor_field.as_deref().unwrap_or("date")
}

fn unscoped(
    load: &LoadPlan,
    stream: &StreamPlan,
    incremental: &IncrementalPlan,
    mode_path: &FieldPath,
    findings: &mut Findings,
) {
    let help = "write `write_mode: merge` with a `primary_key`, or `append`, or limit the replacement with `replace_scope`";
    match incremental.window {
        Window::LastDays { days } => findings.warning(
            Code::ReplaceIncremental,
            mode_path,
            format!(
                "every run replaces `{}` by the last {days} days of `{}`",
                load.table, stream.name
            ),
            help,
        ),
        Window::Open | Window::Whole | Window::Steps { .. } => findings.error(
            Code::ReplaceIncremental,
            mode_path,
            format!(
                "`{}` reads only what is new, and `{}` would be replaced by that",
                stream.name, load.table
            ),
            help,
        ),
    }
}

fn unknown_scope(load: &LoadPlan, findings: &mut Findings) {
    let columns: Vec<&str> = load
        .partitions
        .iter()
        .map(|partition| partition.column.as_str())
        .collect();
    let missing: Vec<&String> = load
        .replace_scope
        .iter()
        .filter(|name| {
            !load
                .partitions
                .iter()
                .any(|partition| partition.column == **name || partition.name == **name)
        })
        .collect();
    if !missing.is_empty() {
        findings.error(
            Code::ReplaceScope,
            &sink_path(load).key("replace_scope"),
            format!(
                "{} is no partition column of `{}`",
                list(&missing),
                load.table
            ),
            format!("the table is partitioned by {}", list(&columns)),
        );
    }
}

/// Whether each window holds all rows of every partition that it touches: days of a cursor that is a date, or days back.
fn covers(
    load: &LoadPlan,
    stream: &StreamPlan,
    incremental: &IncrementalPlan,
    scope: &str,
) -> bool {
    let Some(partition) = load
        .partitions
        .iter()
        .find(|partition| partition.column == scope || partition.name == scope)
    else {
        // It has been reported that there is none.
        return true;
    };
    let is_daily = matches!(
        partition.transform,
        PartitionTransform::Identity | PartitionTransform::Day
    );
    let is_date = stream.columns.known.iter().any(|column| {
        column.name == partition.column && column.column_type == Some(ColumnType::Date)
    });
    match &incremental.cursor_field {
        Some(cursor) => *cursor == partition.column && is_date && is_daily,
        None => is_date && is_daily,
    }
}

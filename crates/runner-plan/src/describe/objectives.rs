//! What the service watches, in words.

use super::page::Page;
use crate::model::{ColumnType, Input, Objectives, Plan};
use crate::windows::format_duration;

const MINUTE_MS: f64 = 60_000.0;

pub(super) fn describe(plan: &Plan, page: &mut Page) {
    let Some(objectives) = &plan.objectives else {
        return;
    };
    page.heading("Objectives, which the service measures over many runs; a single run isn't checked against them");
    if let Some(minutes) = objectives.freshness_target_minutes {
        let age = duration(minutes);
        let measured = measured_by(plan, objectives);
        page.field(
            "Fresh",
            &format!("{measured} is at most {age} ago, else an alert"),
        );
    } else if let Some(field) = &objectives.freshness_field {
        page.field(
            "Fresh",
            &format!("`{field}` says how new a row is; without `freshness_target_minutes` no age is too old"),
        );
    }
    if let Some(target) = objectives.availability_target {
        let share = (target * 1e6).round() / 1e4;
        page.field(
            "Available",
            &format!("at least {share}% of the runs of 30 days are good, else an alert"),
        );
    }
}

fn duration(minutes: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the reader takes positive numbers only, and a cast to an integer saturates"
    )]
    let milliseconds = (minutes * MINUTE_MS).round() as u64;
    format_duration(milliseconds)
}

/// The document's field, else the cursors, else the only date-time column, else the last run.
fn measured_by(plan: &Plan, objectives: &Objectives) -> String {
    if let Some(field) = &objectives.freshness_field {
        return format!("the newest `{field}` of the committed rows");
    }
    let mut cursors: Vec<&str> = plan
        .streams
        .iter()
        .filter_map(|stream| stream.incremental.as_ref()?.cursor_field.as_deref())
        .collect();
    cursors.dedup();
    if !cursors.is_empty() {
        return format!(
            "the newest `{}` (the cursor) of the committed rows",
            cursors.join("` or `")
        );
    }
    let times = times(plan);
    match (times.columns.as_slice(), times.is_open) {
        ([column], false) => {
            format!("the newest `{column}` (the only date-time column) of the committed rows")
        }
        ([] | [_], true) => {
            "the newest value of the rows' only date-time column, or the last completed run where they have none or several,".to_owned()
        }
        _ => "the last completed run".to_owned(),
    }
}

struct Times<'a> {
    columns: Vec<&'a str>,
    /// Rows may have more.
    is_open: bool,
}

/// Date-time columns of what is loaded.
fn times(plan: &Plan) -> Times<'_> {
    let mut times = Times {
        columns: Vec::new(),
        is_open: false,
    };
    let mut add = |name, column_type: Option<&ColumnType>| {
        if column_type == Some(&ColumnType::Timestamp) && !times.columns.contains(&name) {
            times.columns.push(name);
        }
        times.is_open |= column_type.is_none();
    };
    let mut is_open = false;
    for input in plan.loads.iter().flat_map(|load| &load.inputs) {
        match input {
            Input::Stream(name) => {
                let Some(stream) = plan.stream(name) else {
                    continue;
                };
                is_open |= stream.columns.pass_through;
                for column in &stream.columns.known {
                    add(column.name.as_str(), column.column_type.as_ref());
                }
            }
            Input::Transform(name) => {
                let Some(transform) = plan.transform(name) else {
                    continue;
                };
                let columns = if transform.output.is_empty() {
                    is_open = true;
                    &transform.columns
                } else {
                    &transform.output
                };
                for column in columns {
                    add(column.name.as_str(), Some(&column.column_type));
                }
            }
        }
    }
    times.is_open |= is_open;
    times
}

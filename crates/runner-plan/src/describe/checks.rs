//! Checks as short sentences.

use super::page::Page;
use crate::model::{Check, CheckKind, CheckOrigin};

/// What is said twice, by a rule and by the contract, is shown once.
pub(super) fn describe(checks: &[Check], page: &mut Page) {
    let mut rows: Vec<(String, String, Vec<&'static str>)> = Vec::new();
    for check in checks {
        let sentence = kind(&check.kind);
        let origin = origin(check.origin);
        let same = rows
            .iter_mut()
            .find(|(column, known, _)| *column == check.column && *known == sentence);
        match same {
            Some((_, _, origins)) if origins.contains(&origin) => {}
            Some((_, _, origins)) => origins.push(origin),
            None => rows.push((check.column.clone(), sentence, vec![origin])),
        }
    }
    let rows = rows.into_iter().map(|(column, sentence, origins)| {
        vec![column, sentence, format!("({})", origins.join(", "))]
    });
    page.table("Checks", rows);
}

fn kind(kind: &CheckKind) -> String {
    match kind {
        CheckKind::Required => "not null".to_owned(),
        CheckKind::Range { minimum, maximum } => {
            bounds(minimum.as_ref(), maximum.as_ref(), ["≥", "≤"])
        }
        CheckKind::ExclusiveRange { minimum, maximum } => {
            bounds(minimum.as_ref(), maximum.as_ref(), [">", "<"])
        }
        CheckKind::MultipleOf(divisor) => format!("a multiple of {divisor}"),
        CheckKind::Length { minimum, maximum } => {
            format!(
                "length {}",
                bounds(minimum.as_ref(), maximum.as_ref(), ["≥", "≤"])
            )
        }
        CheckKind::Pattern(pattern) => format!("matches `{pattern}`"),
        CheckKind::Format(format) => format!("is a {format}"),
        CheckKind::Enumeration(values) => {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            format!("one of {}", values.join(", "))
        }
        CheckKind::Items {
            minimum,
            maximum,
            unique,
        } => {
            let mut parts = Vec::new();
            if minimum.is_some() || maximum.is_some() {
                parts.push(format!(
                    "items {}",
                    bounds(minimum.as_ref(), maximum.as_ref(), ["≥", "≤"])
                ));
            }
            if *unique {
                parts.push("items are distinct".to_owned());
            }
            parts.join(", ")
        }
    }
}

fn bounds<T: std::fmt::Display>(
    minimum: Option<&T>,
    maximum: Option<&T>,
    signs: [&str; 2],
) -> String {
    let minimum = minimum.map(|minimum| format!("{} {minimum}", signs[0]));
    let maximum = maximum.map(|maximum| format!("{} {maximum}", signs[1]));
    let parts: Vec<String> = minimum.into_iter().chain(maximum).collect();
    parts.join(" and ")
}

fn origin(origin: CheckOrigin) -> &'static str {
    match origin {
        CheckOrigin::Rule => "rule",
        CheckOrigin::Contract => "contract",
        CheckOrigin::PrimaryKey => "primary key",
        CheckOrigin::Cursor => "cursor",
    }
}

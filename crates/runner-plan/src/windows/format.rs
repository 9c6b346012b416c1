//! How the bounds of a window are written into requests.

use std::collections::BTreeMap;

use chrono::format::{Fixed, Item, Numeric, StrftimeItems};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::{Bounds, CursorKind, CursorValue};
use crate::model::TimeFormat;
use crate::template::{format_time, from_epoch, parse_instant};

/// The names under which templates find the bounds of their window.
pub const WINDOW_VARIABLES: [&str; 7] = [
    "end_date",
    "from_date",
    "last_cursor",
    "since",
    "start_date",
    "to_date",
    "until",
];

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The window's variables for templates.
///
/// Without a declared format, `since`, `until` and `last_cursor` are written as the cursor came, and the names that end in
/// `_date` as dates: an API that calls a parameter a date seldom takes a time. A declared format holds for all of them but
/// `last_cursor`, which is always the stored text.
pub fn window_variables(bounds: &Bounds, format: &TimeFormat) -> BTreeMap<String, String> {
    let date_format = match format {
        TimeFormat::Natural => &TimeFormat::Date,
        declared => declared,
    };
    let mut variables = BTreeMap::new();
    let mut set = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            variables.insert(name.to_owned(), value);
        }
    };
    let (from, to) = (bounds.from.as_deref(), bounds.to.as_deref());
    set("from_date", from.map(|from| format_from(from, date_format)));
    set(
        "start_date",
        from.map(|from| format_from(from, date_format)),
    );
    set("since", from.map(|from| format_from(from, format)));
    set("to_date", to.map(|to| format_to(to, date_format)));
    set("end_date", to.map(|to| format_to(to, date_format)));
    set("until", to.map(|to| format_to(to, format)));
    set("last_cursor", bounds.last_cursor.clone());
    variables
}

/// A lower bound as the request has it: where the format is coarser than the bound, the time before it.
pub fn format_from(bound: &str, format: &TimeFormat) -> String {
    format_bound(bound, format, Rounding::Down)
}

/// An upper bound as the request has it: where the format is coarser than the bound, the time after it.
pub fn format_to(bound: &str, format: &TimeFormat) -> String {
    format_bound(bound, format, Rounding::Up)
}

/// Whether a text is a pattern that points in time can be written with.
pub fn is_time_format(pattern: &str) -> bool {
    !StrftimeItems::new(pattern).any(|item| matches!(item, Item::Error))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rounding {
    Down,
    Up,
}

fn format_bound(bound: &str, format: &TimeFormat, rounding: Rounding) -> String {
    let Some(time) = instant(bound) else {
        // An id or a token: there is nothing to format.
        return bound.to_owned();
    };
    let rounded = |granularity| round(time, granularity, rounding).unwrap_or(time);
    match format {
        TimeFormat::Natural => bound.to_owned(),
        TimeFormat::Date => rounded(DAY).date_naive().to_string(),
        TimeFormat::EpochSeconds => rounded(SECOND).timestamp().to_string(),
        TimeFormat::EpochMillis => rounded(SECOND / 1000).timestamp_millis().to_string(),
        TimeFormat::Strftime(pattern) => format_time(&rounded(granularity(pattern)), pattern)
            .unwrap_or_else(|| time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
    }
}

fn instant(bound: &str) -> Option<DateTime<Utc>> {
    if let Some(time) = parse_instant(bound) {
        return Some(time);
    }
    let number = CursorKind::Integer.parse(bound).ok()?;
    let CursorValue::Integer(epoch) = number else {
        return None;
    };
    number.epoch_unit()?;
    from_epoch(epoch)
}

fn round(time: DateTime<Utc>, granularity: i64, rounding: Rounding) -> Option<DateTime<Utc>> {
    let over = time.timestamp_micros().rem_euclid(granularity);
    let down = time.checked_sub_signed(TimeDelta::microseconds(over))?;
    if over == 0 || rounding == Rounding::Down {
        return Some(down);
    }
    down.checked_add_signed(TimeDelta::microseconds(granularity))
}

/// The finest part of a time that a pattern writes, in microseconds. A pattern without a day is used as if it had one.
fn granularity(pattern: &str) -> i64 {
    let mut finest = DAY;
    for item in StrftimeItems::new(pattern) {
        let part = match item {
            Item::Numeric(Numeric::Hour | Numeric::Hour12, _) => HOUR,
            Item::Numeric(Numeric::Minute, _) => MINUTE,
            Item::Numeric(Numeric::Second | Numeric::Timestamp, _)
            | Item::Fixed(Fixed::RFC2822) => SECOND,
            Item::Numeric(Numeric::Nanosecond, _)
            | Item::Fixed(
                Fixed::Nanosecond
                | Fixed::Nanosecond3
                | Fixed::Nanosecond6
                | Fixed::Nanosecond9
                | Fixed::RFC3339,
            ) => 1,
            _ => DAY,
        };
        finest = finest.min(part);
    }
    finest
}

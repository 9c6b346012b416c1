//! Date and time filters.

use std::fmt::Write as _;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};

/// `{{ from_date | date_format("%d.%m.%Y") }}`, also with `tz="Europe/Berlin"`.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature is the one that the template language calls"
)]
pub(super) fn date_format(
    value: &Value,
    pattern: Option<String>,
    options: Kwargs,
) -> Result<String, Error> {
    let time = instant(value)?;
    let zone = options.get::<Option<String>>("tz")?;
    options.assert_all_used()?;
    let pattern = pattern.unwrap_or_else(|| "%Y-%m-%d".to_owned());
    let zone: chrono_tz::Tz = match zone {
        Some(name) => name
            .parse()
            .map_err(|_| invalid(format!("`{name}` is not a time zone")))?,
        None => chrono_tz::UTC,
    };
    format_time(&time.with_timezone(&zone), &pattern)
        .ok_or_else(|| invalid(format!("`{pattern}` is not a date format")))
}

/// Seconds since the epoch.
pub(super) fn epoch(value: &Value) -> Result<i64, Error> {
    Ok(instant(value)?.timestamp())
}

pub(super) fn epoch_ms(value: &Value) -> Result<i64, Error> {
    Ok(instant(value)?.timestamp_millis())
}

/// RFC 3339 in UTC.
pub(super) fn iso(value: &Value) -> Result<String, Error> {
    Ok(instant(value)?.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A day keeps being a day, a point in time a point in time.
pub(super) fn add_days(value: &Value, days: i64) -> Result<String, Error> {
    let is_date = value
        .as_str()
        .is_some_and(|text| text.parse::<NaiveDate>().is_ok());
    let moved = TimeDelta::try_days(days)
        .and_then(|days| instant(value).ok()?.checked_add_signed(days))
        .ok_or_else(|| invalid("not a date, or too far away".to_owned()))?;
    let pattern = if is_date {
        "%Y-%m-%d"
    } else {
        "%Y-%m-%dT%H:%M:%SZ"
    };
    Ok(moved.format(pattern).to_string())
}

/// Formats without ever panicking; nothing where the pattern is wrong.
pub(crate) fn format_time<Zone: chrono::TimeZone>(
    time: &DateTime<Zone>,
    pattern: &str,
) -> Option<String>
where
    Zone::Offset: std::fmt::Display,
{
    let items: Vec<Item<'_>> = StrftimeItems::new(pattern).collect();
    if items.iter().any(|item| matches!(item, Item::Error)) {
        return None;
    }
    let mut text = String::new();
    write!(text, "{}", time.format_with_items(items.iter())).ok()?;
    Some(text)
}

fn instant(value: &Value) -> Result<DateTime<Utc>, Error> {
    let number = if value.is_number() {
        i64::try_from(value.clone()).ok()
    } else {
        value.as_str().and_then(|text| text.parse::<i64>().ok())
    };
    number
        .and_then(from_epoch)
        .or_else(|| parse_instant(value.as_str()?))
        .ok_or_else(|| invalid("the value is not a date or a time".to_owned()))
}

/// A text that is a point in time; without an offset it is UTC, without a time it is midnight.
pub(crate) fn parse_instant(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.with_timezone(&Utc));
    }
    for pattern in ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z"] {
        if let Ok(time) = DateTime::parse_from_str(text, pattern) {
            return Some(time.with_timezone(&Utc));
        }
    }
    for pattern in [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
    ] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, pattern) {
            return Some(time.and_utc());
        }
    }
    let date = text.parse::<NaiveDate>().ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc())
}

/// An epoch number by its magnitude: seconds, milliseconds, microseconds or nanoseconds.
pub(crate) fn from_epoch(number: i64) -> Option<DateTime<Utc>> {
    match number.unsigned_abs() {
        0..100_000_000_000 => DateTime::from_timestamp(number, 0),
        100_000_000_000..100_000_000_000_000 => DateTime::from_timestamp_millis(number),
        100_000_000_000_000..100_000_000_000_000_000 => DateTime::from_timestamp_micros(number),
        _ => Some(DateTime::from_timestamp_nanos(number)),
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

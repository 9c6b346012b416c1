//! Durations, points in time, and how bounds are written.

use std::time::Duration;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveDateTime};

use super::{Problem, not_empty};
use crate::Code;

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no duration: {reason}")]
pub struct BadDuration {
    text: String,
    reason: &'static str,
}

/// Reads `500ms`, `90s`, `15m`, `1h30m`, `7d`, `2w`.
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    let bad = |reason| BadDuration {
        text: text.to_owned(),
        reason,
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(bad("it is empty"));
    }
    if rest == "0" {
        // The one number that is the same in every unit.
        return Ok(Duration::ZERO);
    }
    let mut milliseconds = 0u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(bad("a number is missing before its unit"));
        }
        let number: u64 = rest[..digits].parse().map_err(|_| bad("it is too long"))?;
        let after = rest[digits..].trim_start();
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = match &after[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "" => return Err(bad("a unit is missing behind its number")),
            _ => return Err(bad("its unit is not known")),
        };
        milliseconds = number
            .checked_mul(unit)
            .and_then(|part| milliseconds.checked_add(part))
            .ok_or_else(|| bad("it is too long"))?;
        rest = after[letters..].trim_start();
    }
    Ok(Duration::from_millis(milliseconds))
}

pub(super) fn check_duration(text: &str) -> Result<(), Problem> {
    let Err(error) = parse_duration(text) else {
        return Ok(());
    };
    let help = if text.trim().bytes().all(|byte| byte.is_ascii_digit()) && !text.trim().is_empty() {
        format!("write `{}s` for seconds", text.trim())
    } else {
        "write it with units, as in `500ms`, `90s`, `15m`, `1h`, `7d` or `2w`".to_owned()
    };
    Err(Problem::new(Code::BadDuration, error.to_string()).help(help))
}

/// A date, or a date and a time with or without its offset.
pub(super) fn check_timestamp(text: &str) -> Result<(), Problem> {
    let fits = DateTime::parse_from_rfc3339(text).is_ok()
        || NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
        || [
            "%Y-%m-%dT%H:%M:%S%.f",
            "%Y-%m-%d %H:%M:%S%.f",
            "%Y-%m-%dT%H:%M",
            "%Y-%m-%d %H:%M",
        ]
        .iter()
        .any(|format| NaiveDateTime::parse_from_str(text, format).is_ok())
        || DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%:z").is_ok();
    if fits {
        return Ok(());
    }
    Err(
        Problem::new(Code::BadTimestamp, format!("`{text}` is no point in time"))
            .help("write `2024-01-31` or `2024-01-31T12:00:00Z`"),
    )
}

/// A strftime pattern, `epoch_s` or `epoch_ms`.
pub(super) fn check_time_format(text: &str) -> Result<(), Problem> {
    not_empty(text)?;
    if matches!(text, "epoch_s" | "epoch_ms") {
        return Ok(());
    }
    let items: Vec<Item<'_>> = StrftimeItems::new(text).collect();
    let bad = |message: String| {
        Problem::new(Code::BadTimeFormat, message)
            .help("write a pattern like `%Y-%m-%dT%H:%M:%SZ`, or `epoch_s` or `epoch_ms`")
    };
    if items.contains(&Item::Error) {
        return Err(bad(format!("`{text}` has a `%` that stands for nothing")));
    }
    if !items
        .iter()
        .any(|item| matches!(item, Item::Numeric(..) | Item::Fixed(..)))
    {
        return Err(bad(format!("`{text}` contains no part of a time")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("90s", 90_000),
            ("15m", 900_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("2w", 1_209_600_000),
            ("0s", 0),
            ("0", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "90",
            "1 hour",
            "h",
            "-1h",
            "1.5h",
            "1y",
            "99999999999999999999s",
            "99999999999999999w",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_duration_or_an_error(text in ".{0,20}") {
            let _ = check_duration(&text);
            let _ = check_time_format(&text);
            let _ = check_timestamp(&text);
        }
    }
}

//! Dates, times of day and instants in ISO 8601, and instants as epoch numbers.

use super::number::Lexeme;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
pub(crate) const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;

/// Days since 1970-01-01 of `YYYY-MM-DD`.
pub(crate) fn date(text: &[u8]) -> Option<i32> {
    let (days, rest) = leading_date(text)?;
    rest.is_empty().then_some(days)
}

/// Microseconds since the epoch of a date with a time, in UTC where no offset is given; of a date alone, its midnight. Finer digits are cut.
pub(crate) fn timestamp(text: &[u8]) -> Option<i64> {
    let (days, rest) = leading_date(text)?;
    let midnight = i64::from(days) * MICROS_PER_DAY;
    let Some((separator, rest)) = rest.split_first() else {
        return Some(midnight);
    };
    if !matches!(separator, b'T' | b't' | b' ') {
        return None;
    }
    let (time, rest) = leading_time(rest)?;
    let offset = offset_seconds(rest)?;
    Some(midnight + time - offset * MICROS_PER_SECOND)
}

/// Microseconds since midnight of `HH:MM`, `HH:MM:SS` or `HH:MM:SS.f`, brought to UTC where an offset is given.
pub(crate) fn time_of_day(text: &[u8]) -> Option<i64> {
    let (time, rest) = leading_time(text)?;
    let offset = offset_seconds(rest)?;
    Some((time - offset * MICROS_PER_SECOND).rem_euclid(MICROS_PER_DAY))
}

/// The instant of an epoch number, in the unit that its magnitude tells: seconds below 10^11, then milli-, micro- and nanoseconds.
pub(crate) fn epoch(number: &Lexeme<'_>) -> Option<i64> {
    // Nanoseconds beyond microseconds are cut, as everywhere; so are digits of a fraction.
    let magnitude = number.double()?.abs();
    let power = if magnitude < 1e11 {
        6
    } else if magnitude < 1e14 {
        3
    } else if magnitude < 1e17 {
        0
    } else {
        -3
    };
    if let Some(micros) = number.decimal(power) {
        return i64::try_from(micros).ok();
    }
    let finer = number.decimal(12)?;
    let divisor = 10_i128.checked_pow(u32::try_from(12 - power).ok()?)?;
    i64::try_from(finer.div_euclid(divisor)).ok()
}

/// Whether the text is an instant with a zone, as an open text column takes it for one: `2024-01-31T12:00:00Z` or with an offset.
pub(crate) fn is_instant(text: &[u8]) -> bool {
    let Some((_, rest)) = leading_date(text) else {
        return false;
    };
    let Some((b'T' | b't' | b' ', rest)) = rest.split_first() else {
        return false;
    };
    // Digits finer than microseconds would be lost: such a text stays one.
    leading_time(rest).is_some_and(|(_, zone)| {
        !zone.is_empty() && offset_seconds(zone).is_some() && rest.len() - zone.len() <= 15
    })
}

fn leading_date(text: &[u8]) -> Option<(i32, &[u8])> {
    let (head, rest) = text.split_at_checked(10)?;
    if head[4] != b'-' || head[7] != b'-' {
        return None;
    }
    let year = i32::from(two(&head[0..2])?) * 100 + i32::from(two(&head[2..4])?);
    let (month, day) = (two(&head[5..7])?, two(&head[8..10])?);
    if !(1..=12).contains(&month) || day == 0 || day > days_of_month(year, month) {
        return None;
    }
    Some((days_from_civil(year, month, day), rest))
}

/// Microseconds since midnight, and what follows the time.
fn leading_time(text: &[u8]) -> Option<(i64, &[u8])> {
    let (head, mut rest) = text.split_at_checked(5)?;
    if head[2] != b':' {
        return None;
    }
    let (hour, minute) = (two(&head[0..2])?, two(&head[3..5])?);
    let mut second = 0;
    let mut micros = 0;
    if let [b':', tens, units, after @ ..] = rest {
        second = two(&[*tens, *units])?;
        rest = after;
        if let [b'.' | b',', digits @ ..] = rest {
            let count = digits
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            if count == 0 {
                return None;
            }
            micros = (0..6).fold(0, |value, index| {
                let digit = if index < count {
                    digits[index] - b'0'
                } else {
                    0
                };
                value * 10 + i64::from(digit)
            });
            rest = &digits[count..];
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Some((seconds * MICROS_PER_SECOND + micros, rest))
}

/// Seconds east of UTC of `Z`, `±HH`, `±HHMM`, `±HH:MM` or nothing.
fn offset_seconds(text: &[u8]) -> Option<i64> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let (sign, hours, minutes) = match text {
        [] | b"Z" | b"z" | b"UTC" => return Some(0),
        [sign, hours @ ..] if hours.len() == 2 => (sign, two(hours)?, 0),
        [sign, digits @ ..] if digits.len() == 4 => (sign, two(&digits[..2])?, two(&digits[2..])?),
        [sign, digits @ ..] if digits.len() == 5 && digits[2] == b':' => {
            (sign, two(&digits[..2])?, two(&digits[3..])?)
        }
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = i64::from(hours) * 3600 + i64::from(minutes) * 60;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

fn two(digits: &[u8]) -> Option<u8> {
    match digits {
        [tens @ b'0'..=b'9', units @ b'0'..=b'9'] => Some((tens - b'0') * 10 + (units - b'0')),
        _ => None,
    }
}

fn days_of_month(year: i32, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant's algorithm: years begin in March, so that leap days are last).
fn days_from_civil(year: i32, month: u8, day: u8) -> i32 {
    let (month, day) = (i32::from(month), i32::from(day));
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate};
    use proptest::prelude::*;

    use super::*;
    use crate::decode::number;
    use crate::table::json::{date_text, time_text, timestamp_text};

    #[test]
    fn instants_are_read_in_every_common_form() {
        for (text, wanted) in [
            ("2024-02-29T12:30:45Z", "2024-02-29T12:30:45Z"),
            ("2024-02-29 12:30:45", "2024-02-29T12:30:45Z"),
            ("2024-02-29T12:30", "2024-02-29T12:30:00Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z"),
            ("2024-02-29T12:30:45.5+02:00", "2024-02-29T10:30:45.500Z"),
            (
                "2024-02-29T00:30:45.123456789-0130",
                "2024-02-29T02:00:45.123456Z",
            ),
            ("2024-02-29T12:30:45 +02", "2024-02-29T10:30:45Z"),
            ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        ] {
            let micros = timestamp(text.as_bytes());
            assert_eq!(
                micros.map(timestamp_text).as_deref(),
                Some(wanted),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "2024",
            "2024-02-30",
            "2023-02-29T00:00:00Z",
            "2024-13-01",
            "2024-00-10",
            "2024-01-00",
            "2024-01-01T24:00:00Z",
            "2024-01-01T23:60:00Z",
            "2024-01-01T23:59:60Z",
            "2024-01-01X00:00:00Z",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00Zulu",
            "24-01-01",
            "2024/01/01",
            "２０２４-01-01",
            "2024-01-01T1:00:00Z",
        ] {
            assert_eq!(timestamp(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn epochs_are_told_apart_by_magnitude() {
        for (text, wanted) in [
            ("0", "1970-01-01T00:00:00Z"),
            ("-1", "1969-12-31T23:59:59Z"),
            ("1700000000", "2023-11-14T22:13:20Z"),
            ("1700000000.25", "2023-11-14T22:13:20.250Z"),
            ("1700000000123", "2023-11-14T22:13:20.123Z"),
            ("1700000000123.5", "2023-11-14T22:13:20.123500Z"),
            ("1700000000123456", "2023-11-14T22:13:20.123456Z"),
            ("1700000000123456789", "2023-11-14T22:13:20.123456Z"),
            ("1700000000.1234567", "2023-11-14T22:13:20.123456Z"),
            ("1.7e9", "2023-11-14T22:13:20Z"),
        ] {
            let micros = number::whole(text.as_bytes()).and_then(|number| epoch(&number));
            assert_eq!(
                micros.map(timestamp_text).as_deref(),
                Some(wanted),
                "{text}"
            );
        }
    }

    #[test]
    fn times_of_day_are_brought_to_utc() {
        assert_eq!(time_of_day(b"12:30"), Some(45_000_000_000));
        assert_eq!(time_of_day(b"00:30:00+01:00"), Some(84_600_000_000));
        assert_eq!(time_of_day(b"00:00:00.000001"), Some(1));
        assert_eq!(time_of_day(b"25:00:00"), None);
        assert_eq!(time_text(45_000_000_001), "12:30:00.000001");
    }

    proptest! {
        #[test]
        fn dates_agree_with_chrono(days in -700_000_i32..2_900_000) {
            let expected = NaiveDate::from_epoch_days(days).expect("in range");
            let text = expected.format("%Y-%m-%d").to_string();
            prop_assume!(text.len() == 10);
            prop_assert_eq!(date(text.as_bytes()), Some(days));
            prop_assert_eq!(date_text(days), text);
        }

        #[test]
        fn instants_agree_with_chrono(micros in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
            let expected = DateTime::from_timestamp_micros(micros).expect("in range");
            prop_assert_eq!(timestamp(expected.to_rfc3339().as_bytes()), Some(micros));
            prop_assert_eq!(timestamp(timestamp_text(micros).as_bytes()), Some(micros));
        }
    }
}

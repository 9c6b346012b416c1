//! When a feed runs: cron expressions in a time zone.
//!
//! The days that match are croner's; the search through local time is ours, since a gap and an overlap of the clock mean
//! different things for a fixed time and for a repeated one.

use std::str::FromStr;

use chrono::{
    DateTime, Datelike, Days, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta,
    TimeZone, Utc,
};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use croner::time::Weekday;

use super::Problem;
use crate::Code;
use crate::names::nearest;

/// Every expression that fires at all does so within this time: the longest cycle is that of 29 February.
const HORIZON_DAYS: u64 = 366 * 41;

const FIELDS: [&str; 6] = [
    "second",
    "minute",
    "hour",
    "day of month",
    "month",
    "day of week",
];

/// A cron expression in a time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    zone: Tz,
    /// Hours are a list or a range, not `*` and no steps: a time that the clock skips is made up for, and one that it repeats counts once.
    is_fixed: bool,
}

/// A text that is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSchedule {
    #[error("`{expression}` is no cron expression: {reason}")]
    Expression { expression: String, reason: String },
    #[error("`{0}` is no time zone")]
    Zone(String),
}

impl Schedule {
    /// Reads an expression of 5 fields, or of 6 with seconds first, in a time zone by its IANA name.
    pub fn new(expression: &str, zone: &str) -> Result<Self, BadSchedule> {
        let zone = Tz::from_str(zone).map_err(|_| BadSchedule::Zone(zone.to_owned()))?;
        let bad = |reason: String| BadSchedule::Expression {
            expression: expression.to_owned(),
            reason,
        };
        let fields: Vec<&str> = expression.split_whitespace().collect();
        if !matches!(fields.len(), 5 | 6) {
            return Err(bad(format!(
                "it has {} fields, and 5 or 6 are needed",
                fields.len()
            )));
        }
        for (name, field) in FIELDS[6 - fields.len()..].iter().zip(&fields) {
            if let Some(reason) = field_problem(name, field) {
                return Err(bad(format!("{reason} in the {name} field")));
            }
        }
        let cron = parser()
            .parse(&normalised(&fields))
            .map_err(|error| bad(reason(&error.to_string())))?;
        let hour = fields[fields.len() - 4];
        Ok(Self {
            cron,
            zone,
            is_fixed: !hour.contains(['*', '/']),
        })
    }

    /// The first time after another that the schedule fires at, if it ever does.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let first_day = after.with_timezone(&self.zone).date_naive().pred_opt()?;
        (0..HORIZON_DAYS)
            .map_while(|days| first_day.checked_add_days(Days::new(days)))
            .filter(|day| self.matches_day(*day))
            .find_map(|day| self.next_on(day, after))
    }

    /// Whether it fires at all: `0 0 30 2 *` never does.
    pub fn ever_fires(&self) -> bool {
        self.next_after(DateTime::UNIX_EPOCH).is_some()
    }

    fn matches_day(&self, day: NaiveDate) -> bool {
        let pattern = &self.cron.pattern;
        let weekday = weekday(day.weekday());
        pattern.month_match(day.month()).unwrap_or(false)
            && pattern
                .day_match(day.year(), day.month(), day.day(), weekday)
                .unwrap_or(false)
    }

    /// The earliest firing on a local day that is after a time.
    fn next_on(&self, day: NaiveDate, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let pattern = &self.cron.pattern;
        let (minutes, seconds) = (pattern.minutes.values(), pattern.seconds.values());
        let mut best: Option<DateTime<Utc>> = None;
        for hour in pattern.hours.values() {
            let last = day.and_time(NaiveTime::from_hms_opt(u32::from(hour), 59, 59)?);
            if self
                .instants(last)
                .into_iter()
                .all(|instant| instant <= after)
                && !self.is_skipped(last)
            {
                continue;
            }
            for (minute, second) in minutes
                .iter()
                .flat_map(|minute| seconds.iter().map(move |second| (*minute, *second)))
            {
                let local = day.and_time(NaiveTime::from_hms_opt(
                    u32::from(hour),
                    u32::from(minute),
                    u32::from(second),
                )?);
                let instants = self.instants(local);
                if let (Some(best), Some(earliest)) = (best, instants.first())
                    && *earliest >= best
                {
                    return Some(best);
                }
                let next = instants
                    .into_iter()
                    .filter(|instant| *instant > after)
                    .min();
                best = [best, next].into_iter().flatten().min();
            }
        }
        best
    }

    /// When a local time is: never or at the gap's end, once, or twice; ascending.
    fn instants(&self, local: NaiveDateTime) -> Vec<DateTime<Utc>> {
        match self.zone.from_local_datetime(&local) {
            MappedLocalTime::Single(instant) => vec![instant.to_utc()],
            MappedLocalTime::Ambiguous(first, _) if self.is_fixed => vec![first.to_utc()],
            MappedLocalTime::Ambiguous(first, second) => vec![first.to_utc(), second.to_utc()],
            MappedLocalTime::None if self.is_fixed => self.end_of_gap(local).into_iter().collect(),
            MappedLocalTime::None => Vec::new(),
        }
    }

    fn is_skipped(&self, local: NaiveDateTime) -> bool {
        matches!(self.zone.from_local_datetime(&local), MappedLocalTime::None)
    }

    /// The first second whose local time is past one that the clock skips.
    fn end_of_gap(&self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        // Offsets reach from -12 to +14 hours, so that the gap is between these bounds.
        let (mut before, mut after) = (
            local.and_utc().checked_sub_signed(TimeDelta::hours(26))?,
            local.and_utc().checked_add_signed(TimeDelta::hours(26))?,
        );
        while after - before > TimeDelta::seconds(1) {
            let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
            if middle.with_timezone(&self.zone).naive_local() > local {
                after = middle;
            } else {
                before = middle;
            }
        }
        Some(after)
    }
}

fn parser() -> CronParser {
    CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .build()
}

/// `?` is `*`, for which day fields are the only ones that have it.
fn normalised(fields: &[&str]) -> String {
    fields
        .iter()
        .map(|field| if *field == "?" { "*" } else { field })
        .collect::<Vec<_>>()
        .join(" ")
}

/// What is wrong with one field, found by parsing it alone.
fn field_problem(name: &str, field: &str) -> Option<String> {
    if field == "?" {
        return (!name.starts_with("day")).then(|| "`?` stands for a day only, and is".to_owned());
    }
    if field.contains('@') {
        return Some(format!("`{field}` is not known"));
    }
    if field.split(',').any(str::is_empty) {
        return Some(format!("`{field}` has an empty element"));
    }
    let alone: Vec<&str> = FIELDS
        .iter()
        .map(|other| if *other == name { field } else { "*" })
        .collect();
    let error = parser().parse(&alone.join(" ")).err()?;
    let reason = reason(&error.to_string());
    Some(if reason.contains("out of bounds") {
        format!("`{field}` is out of its range")
    } else {
        format!("`{field}` can't be read ({reason})")
    })
}

fn reason(error: &str) -> String {
    let reason = error.rsplit_once(": ").map_or(error, |(_, reason)| reason);
    reason.trim_end_matches('.').to_lowercase()
}

fn weekday(day: chrono::Weekday) -> Weekday {
    match day {
        chrono::Weekday::Mon => Weekday::Monday,
        chrono::Weekday::Tue => Weekday::Tuesday,
        chrono::Weekday::Wed => Weekday::Wednesday,
        chrono::Weekday::Thu => Weekday::Thursday,
        chrono::Weekday::Fri => Weekday::Friday,
        chrono::Weekday::Sat => Weekday::Saturday,
        chrono::Weekday::Sun => Weekday::Sunday,
    }
}

pub(super) fn check_cron(text: &str) -> Result<(), Problem> {
    let Err(error) = Schedule::new(text, "UTC") else {
        return Ok(());
    };
    let help = match text.trim() {
        "@hourly" => "write `0 * * * *`",
        "@daily" | "@midnight" => "write `0 0 * * *`",
        "@weekly" => "write `0 0 * * 0`",
        "@monthly" => "write `0 0 1 * *`",
        "@yearly" | "@annually" => "write `0 0 1 1 *`",
        "" => "leave the field out if the feed runs on request only",
        _ => {
            "write minute (0-59), hour (0-23), day of month (1-31), month (1-12), day of week (0-7), and seconds before them if wanted: `30 6 * * 1-5`"
        }
    };
    Err(Problem::new(Code::BadCron, error.to_string()).help(help))
}

pub(super) fn check_time_zone(text: &str) -> Result<(), Problem> {
    if Tz::from_str(text).is_ok() {
        return Ok(());
    }
    let names = || chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
    let city = |name: &&str| {
        name.rsplit('/')
            .next()
            .is_some_and(|city| city.eq_ignore_ascii_case(&text.trim().replace(' ', "_")))
    };
    let help = match names()
        .find(|name| name.eq_ignore_ascii_case(text))
        .or_else(|| names().find(city))
        .or_else(|| nearest(text, names()))
    {
        Some(name) => format!("did you mean `{name}`?"),
        None => "write an IANA name like `Europe/Berlin`, or `UTC`".to_owned(),
    };
    Err(Problem::new(Code::BadTimeZone, format!("`{text}` is no time zone")).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firings(expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::new(expression, zone).expect("a schedule");
        let zone = Tz::from_str(zone).expect("a zone");
        let from = DateTime::parse_from_rfc3339(from).expect("a time").to_utc();
        std::iter::successors(schedule.next_after(from), |last| schedule.next_after(*last))
            .take(count)
            .map(|time| time.with_timezone(&zone).format("%d %H:%M%z").to_string())
            .collect()
    }

    #[test]
    fn a_fixed_time_in_a_gap_fires_once_at_its_end() {
        let night = "2024-03-10T00:00:00-05:00";
        assert_eq!(
            firings("30 2 * * *", "America/New_York", night, 2),
            ["10 03:00-0400", "11 02:30-0400"]
        );
        assert_eq!(
            firings("15,45 2 * * *", "America/New_York", night, 3),
            ["10 03:00-0400", "11 02:15-0400", "11 02:45-0400"]
        );
        assert_eq!(
            firings("30 1,2 * * *", "America/New_York", night, 3),
            ["10 01:30-0500", "10 03:00-0400", "11 01:30-0400"]
        );
        assert_eq!(
            firings("0 2,3 * * *", "America/New_York", night, 2),
            ["10 03:00-0400", "11 02:00-0400"]
        );
    }

    #[test]
    fn a_fixed_time_in_an_overlap_fires_at_the_first() {
        let night = "2024-11-03T00:00:00-04:00";
        assert_eq!(
            firings("30 1 * * *", "America/New_York", night, 2),
            ["03 01:30-0400", "04 01:30-0500"]
        );
        assert_eq!(
            firings("0,30 1 * * *", "America/New_York", night, 3),
            ["03 01:00-0400", "03 01:30-0400", "04 01:00-0500"]
        );
    }

    #[test]
    fn repeated_hours_follow_elapsed_time() {
        assert_eq!(
            firings(
                "*/30 * * * *",
                "America/New_York",
                "2024-11-03T00:30:00-04:00",
                5
            ),
            [
                "03 01:00-0400",
                "03 01:30-0400",
                "03 01:00-0500",
                "03 01:30-0500",
                "03 02:00-0500"
            ]
        );
        assert_eq!(
            firings(
                "30 * * * *",
                "America/New_York",
                "2024-03-10T00:45:00-05:00",
                3
            ),
            ["10 01:30-0500", "10 03:30-0400", "10 04:30-0400"]
        );
        assert_eq!(
            firings(
                "0 */2 * * *",
                "America/New_York",
                "2024-03-10T00:00:00-05:00",
                2
            ),
            ["10 04:00-0400", "10 06:00-0400"]
        );
    }

    #[test]
    fn days_are_either_of_both_and_sunday_has_two_numbers() {
        let start = "2024-01-01T00:00:00Z";
        assert_eq!(
            firings("0 0 * * 7", "UTC", start, 2),
            ["07 00:00+0000", "14 00:00+0000"]
        );
        assert_eq!(
            firings("0 0 * * 0", "UTC", start, 2),
            ["07 00:00+0000", "14 00:00+0000"]
        );
        assert_eq!(
            firings("0 0 3 * 0", "UTC", start, 3),
            ["03 00:00+0000", "07 00:00+0000", "14 00:00+0000"]
        );
        assert_eq!(firings("0 0 ? * MON", "UTC", start, 1), ["08 00:00+0000"]);
        assert_eq!(firings("15 0 0 * * *", "UTC", start, 1), ["01 00:00+0000"]);
    }

    #[test]
    fn a_day_that_was_skipped_whole_fires_at_its_end() {
        assert_eq!(
            firings(
                "0 12 30 12 *",
                "Pacific/Apia",
                "2011-12-29T00:00:00-10:00",
                1
            ),
            ["31 00:00+1400"]
        );
    }

    #[test]
    fn what_never_fires_is_found_quickly() {
        for expression in ["0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
            assert!(
                !Schedule::new(expression, "UTC")
                    .expect("a schedule")
                    .ever_fires(),
                "{expression}"
            );
        }
        assert!(
            Schedule::new("0 0 29 2 *", "UTC")
                .expect("a schedule")
                .ever_fires()
        );
    }

    #[test]
    fn what_is_no_expression_says_which_field() {
        for (text, reason) in [
            ("61 * * * *", "`61` is out of its range in the minute field"),
            ("* * * *", "it has 4 fields, and 5 or 6 are needed"),
            ("0 0 * * * * 2024", "it has 7 fields, and 5 or 6 are needed"),
            ("0 0 * 13 *", "`13` is out of its range in the month field"),
            (
                "0 0 * * 8",
                "`8` is out of its range in the day of week field",
            ),
            (
                ",,, * * * *",
                "`,,,` has an empty element in the minute field",
            ),
            (
                "? * * * *",
                "`?` stands for a day only, and is in the minute field",
            ),
        ] {
            let error = Schedule::new(text, "UTC").expect_err(text).to_string();
            assert_eq!(error, format!("`{text}` is no cron expression: {reason}"));
        }
        for text in [
            "@daily",
            "*/0 * * * *",
            "x y z a b",
            "",
            "5-1 * * * *",
            "0/15 * * * *",
        ] {
            assert!(Schedule::new(text, "UTC").is_err(), "{text}");
        }
    }
}

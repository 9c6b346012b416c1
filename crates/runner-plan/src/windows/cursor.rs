//! Values of a cursor, which compare as their type.

use std::cmp::Ordering;
use std::fmt;

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};

use super::WindowError;
use crate::model::ColumnType;
use crate::template::{from_epoch, parse_instant};

const DAY_MS: u64 = 86_400_000;

/// The types that a cursor can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CursorKind {
    Timestamp,
    Date,
    /// An id or an epoch number.
    Integer,
    Number,
    Text,
}

/// One value of a cursor.
#[derive(Clone, Debug)]
pub enum CursorValue {
    Timestamp(DateTime<Utc>),
    Date(NaiveDate),
    Integer(i64),
    Number(f64),
    Text(String),
}

/// What an epoch number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EpochUnit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl CursorKind {
    /// The kind of a column's values.
    pub fn of(column_type: &ColumnType) -> Self {
        match column_type {
            ColumnType::Timestamp => Self::Timestamp,
            ColumnType::Date => Self::Date,
            ColumnType::Integer | ColumnType::Decimal { scale: 0, .. } => Self::Integer,
            ColumnType::Number | ColumnType::Decimal { .. } => Self::Number,
            _ => Self::Text,
        }
    }

    /// The kind that a value looks like, where no type is known.
    pub fn guess(text: &str) -> Self {
        let text = text.trim();
        if text.parse::<i64>().is_ok() {
            Self::Integer
        } else if text.parse::<f64>().is_ok_and(f64::is_finite) {
            Self::Number
        } else if text.parse::<NaiveDate>().is_ok() {
            Self::Date
        } else if parse_instant(text).is_some() {
            Self::Timestamp
        } else {
            Self::Text
        }
    }

    /// The kind by which texts like this one compare, where a column holds texts: a date is an instant beside others, and an integer a
    /// number.
    pub fn of_text(text: &str) -> Self {
        match Self::guess(text) {
            Self::Date | Self::Timestamp => Self::Timestamp,
            Self::Integer | Self::Number => Self::Number,
            Self::Text => Self::Text,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Text => "string",
        }
    }

    /// Reads a value. Dates and times are read from each other, and from epoch numbers by their magnitude.
    pub fn parse(self, text: &str) -> Result<CursorValue, WindowError> {
        let text = text.trim();
        let instant = || parse_instant(text).or_else(|| from_epoch(text.parse().ok()?));
        let value = match self {
            Self::Timestamp => instant().map(CursorValue::Timestamp),
            Self::Date => instant().map(|time| CursorValue::Date(time.date_naive())),
            Self::Integer => text.parse().ok().map(CursorValue::Integer),
            Self::Number => text
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .map(CursorValue::Number),
            Self::Text => Some(CursorValue::Text(text.to_owned())),
        };
        value.ok_or_else(|| WindowError::BadCursor {
            cursor: text.to_owned(),
            expected: match self {
                Self::Timestamp => "a point in time such as `2024-01-31T00:00:00Z`".to_owned(),
                Self::Date => "a date such as `2024-01-31`".to_owned(),
                _ => format!("of type {}", self.name()),
            },
        })
    }
}

impl CursorValue {
    pub fn kind(&self) -> CursorKind {
        match self {
            Self::Timestamp(_) => CursorKind::Timestamp,
            Self::Date(_) => CursorKind::Date,
            Self::Integer(_) => CursorKind::Integer,
            Self::Number(_) => CursorKind::Number,
            Self::Text(_) => CursorKind::Text,
        }
    }

    /// Earlier by a time; nothing where the value isn't a time. A date goes back by whole days, never by less than asked.
    pub fn back(&self, milliseconds: u64) -> Option<Self> {
        self.shift(milliseconds, Direction::Back)
    }

    /// Later by a time; a date goes on by one day at least.
    pub fn step(&self, milliseconds: u64) -> Option<Self> {
        self.shift(milliseconds, Direction::On)
    }

    fn shift(&self, milliseconds: u64, direction: Direction) -> Option<Self> {
        let signed = i64::try_from(milliseconds).ok()?;
        let signed = match direction {
            Direction::Back => -signed,
            Direction::On => signed,
        };
        match self {
            Self::Timestamp(time) => {
                let delta = TimeDelta::try_milliseconds(signed)?;
                time.checked_add_signed(delta).map(Self::Timestamp)
            }
            Self::Date(date) => {
                let days = i64::try_from(milliseconds.div_ceil(DAY_MS)).ok()?;
                let delta = TimeDelta::try_days(days * signed.signum())?;
                date.checked_add_signed(delta).map(Self::Date)
            }
            Self::Integer(number) => {
                let per_second = self.epoch_unit()?.per_second();
                let delta = i128::from(signed) * i128::from(per_second) / 1000;
                let shifted = i128::from(*number) + delta;
                i64::try_from(shifted).ok().map(Self::Integer)
            }
            Self::Number(_) | Self::Text(_) => None,
        }
    }

    /// What an integer counts, if it can be a time at all: small numbers are ids.
    pub(super) fn epoch_unit(&self) -> Option<EpochUnit> {
        let Self::Integer(number) = self else {
            return None;
        };
        match number.unsigned_abs() {
            0..100_000_000 => None,
            100_000_000..100_000_000_000 => Some(EpochUnit::Seconds),
            100_000_000_000..100_000_000_000_000 => Some(EpochUnit::Milliseconds),
            100_000_000_000_000..100_000_000_000_000_000 => Some(EpochUnit::Microseconds),
            _ => Some(EpochUnit::Nanoseconds),
        }
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Back,
    On,
}

impl EpochUnit {
    fn per_second(self) -> i64 {
        match self {
            Self::Seconds => 1,
            Self::Milliseconds => 1_000,
            Self::Microseconds => 1_000_000,
            Self::Nanoseconds => 1_000_000_000,
        }
    }

    pub(super) fn of(self, time: DateTime<Utc>) -> Option<i64> {
        match self {
            Self::Seconds => Some(time.timestamp()),
            Self::Milliseconds => Some(time.timestamp_millis()),
            Self::Microseconds => Some(time.timestamp_micros()),
            Self::Nanoseconds => time.timestamp_nanos_opt(),
        }
    }
}

impl fmt::Display for CursorValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timestamp(time) => {
                formatter.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
            }
            Self::Date(date) => write!(formatter, "{date}"),
            Self::Integer(number) => write!(formatter, "{number}"),
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

impl Ord for CursorValue {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Timestamp(left), Self::Timestamp(right)) => left.cmp(right),
            (Self::Date(left), Self::Date(right)) => left.cmp(right),
            (Self::Integer(left), Self::Integer(right)) => left.cmp(right),
            (Self::Number(left), Self::Number(right)) => left.total_cmp(right),
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            // Values of one cursor have one type; any order will do as long as it is one.
            _ => (self.kind() as u8).cmp(&(other.kind() as u8)),
        }
    }
}

impl PartialOrd for CursorValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for CursorValue {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for CursorValue {}

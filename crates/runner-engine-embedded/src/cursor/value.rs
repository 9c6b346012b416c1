//! Values of a cursor as a column holds them, compared as their type.
//!
//! A column of texts may hold points in time or numbers all the same, as JSON has no type for the first and APIs quote the second.
//! Compared as texts, `2024-01-01T23:30:00-05:00` stands before `2024-01-02T01:00:00Z` and `10` before `9`, and rows would be lost.

use std::cmp::Ordering;

use arrow::array::{
    Array, AsArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use chrono::{DateTime, Duration, NaiveDate, SecondsFormat, Utc};
use runner_core::{Error, ErrorKind, Result};
use runner_plan::windows::{CursorKind, CursorValue as Planned};

/// A value, and the text that stands for it in the state of the feed.
#[derive(Clone, Debug)]
pub(super) struct CursorValue {
    key: Key,
    /// As the source writes it, where the column holds texts: the source is asked with it.
    text: Option<String>,
}

/// What values compare by.
#[derive(Clone, Debug)]
enum Key {
    Integer(i128),
    Number(f64),
    /// Microseconds.
    Timestamp(i64),
    Date(i32),
    Text(String),
}

/// What a row has for a cursor.
#[derive(Debug)]
pub(super) enum Found {
    Value(CursorValue),
    Null,
    /// A text that is no value of the cursor's kind.
    Unreadable,
}

/// Reads the values of one column.
#[derive(Debug)]
pub(super) struct Reader {
    data_type: DataType,
    text_kind: CursorKind,
}

impl Reader {
    /// `text_kind` says what texts mean; it matters for columns of texts only.
    pub(super) fn new(data_type: &DataType, text_kind: Option<CursorKind>) -> Self {
        Self {
            data_type: data_type.clone(),
            text_kind: text_kind.unwrap_or(CursorKind::Text),
        }
    }

    pub(super) fn read(&self, array: &dyn Array, row: usize) -> Result<Found> {
        if array.is_null(row) {
            return Ok(Found::Null);
        }
        let any = array.as_any();
        let key = match array.data_type() {
            DataType::Utf8 => {
                let text = array.as_string::<i32>().value(row);
                return Ok(of_text(text, self.text_kind).map_or(Found::Unreadable, Found::Value));
            }
            DataType::Int64 => any
                .downcast_ref::<Int64Array>()
                .map(|array| Key::Integer(array.value(row).into())),
            DataType::Float64 => any
                .downcast_ref::<Float64Array>()
                .map(|array| Key::Number(array.value(row))),
            DataType::Decimal128(_, 0) => any
                .downcast_ref::<Decimal128Array>()
                .map(|array| Key::Integer(array.value(row))),
            DataType::Date32 => any
                .downcast_ref::<Date32Array>()
                .map(|array| Key::Date(array.value(row))),
            DataType::Timestamp(..) => any
                .downcast_ref::<TimestampMicrosecondArray>()
                .map(|array| Key::Timestamp(array.value(row))),
            _ => None,
        };
        let key = key.ok_or_else(|| {
            Error::new(
                ErrorKind::SourceData,
                format!("a cursor can't be of type {}", array.data_type()),
            )
            .with_help("use a column of integers, numbers, dates, date-times or texts")
        })?;
        Ok(Found::Value(CursorValue { key, text: None }))
    }

    /// The value that a stored or configured text means for this column.
    pub(super) fn parse(&self, text: &str) -> Result<CursorValue> {
        let key = match &self.data_type {
            DataType::Int64 | DataType::Decimal128(_, 0) => text.parse().ok().map(Key::Integer),
            DataType::Float64 => text.parse().ok().map(Key::Number),
            DataType::Date32 => parse_date(text).map(Key::Date),
            DataType::Timestamp(..) => parse_timestamp(text).map(Key::Timestamp),
            _ => return of_text(text, self.text_kind).ok_or_else(|| self.is_none(text)),
        };
        key.map(|key| CursorValue { key, text: None })
            .ok_or_else(|| self.is_none(text))
    }

    fn is_none(&self, text: &str) -> Error {
        let expected = match self.data_type {
            DataType::Utf8 => format!("a {}, as the others are", self.text_kind.name()),
            _ => format!("of the column's type ({})", self.data_type),
        };
        Error::new(
            ErrorKind::Spec,
            format!("cursor value `{text}` is not {expected}"),
        )
        .with_help(
            "set `incremental.initial` in the column's own form, or reset it with `state set`",
        )
    }
}

/// The kind of most of the texts; none where the column holds no texts, or only nulls. What the others are can't be read then, so that
/// one `n/a` doesn't make texts of points in time.
pub(super) fn majority(array: &dyn Array) -> Option<CursorKind> {
    let texts = array.as_string_opt::<i32>()?;
    let kinds: Vec<_> = texts.iter().flatten().map(CursorKind::of_text).collect();
    if kinds.is_empty() {
        return None;
    }
    let is_most =
        |kind: &CursorKind| kinds.iter().filter(|other| *other == kind).count() * 2 > kinds.len();
    let most = [CursorKind::Timestamp, CursorKind::Number]
        .into_iter()
        .find(is_most);
    Some(most.unwrap_or(CursorKind::Text))
}

fn of_text(text: &str, kind: CursorKind) -> Option<CursorValue> {
    let key = match kind {
        CursorKind::Timestamp | CursorKind::Date => match CursorKind::Timestamp.parse(text).ok()? {
            Planned::Timestamp(time) => Key::Timestamp(time.timestamp_micros()),
            _ => return None,
        },
        // An id beyond 64 bits is not cut to a double.
        CursorKind::Integer | CursorKind::Number => match text.trim().parse() {
            Ok(number) => Key::Integer(number),
            Err(_) => match CursorKind::Number.parse(text).ok()? {
                Planned::Number(number) => Key::Number(number),
                _ => return None,
            },
        },
        CursorKind::Text => Key::Text(text.to_owned()),
    };
    Some(CursorValue {
        key,
        text: Some(text.to_owned()),
    })
}

impl CursorValue {
    pub(super) fn to_text(&self) -> String {
        if let Some(text) = &self.text {
            return text.clone();
        }
        match &self.key {
            Key::Integer(value) => value.to_string(),
            Key::Number(value) => value.to_string(),
            Key::Timestamp(micros) => DateTime::<Utc>::from_timestamp_micros(*micros)
                .map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
                .unwrap_or_default(),
            Key::Date(days) => NaiveDate::default()
                .checked_add_signed(Duration::days(i64::from(*days)))
                .unwrap_or_default()
                .to_string(),
            Key::Text(value) => value.clone(),
        }
    }

    pub(super) fn is_after(&self, limit: DateTime<Utc>) -> bool {
        match self.key {
            Key::Timestamp(micros) => micros > limit.timestamp_micros(),
            Key::Date(days) => i64::from(days) > limit.timestamp().div_euclid(86_400),
            Key::Integer(_) | Key::Number(_) | Key::Text(_) => false,
        }
    }
}

/// One instant is one value, however it is written.
impl PartialEq for CursorValue {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for CursorValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (&self.key, &other.key) {
            (Key::Integer(a), Key::Integer(b)) => Some(a.cmp(b)),
            (Key::Number(a), Key::Number(b)) => Some(a.total_cmp(b)),
            (Key::Integer(a), Key::Number(b)) => Some(double(*a).total_cmp(b)),
            (Key::Number(a), Key::Integer(b)) => Some(a.total_cmp(&double(*b))),
            (Key::Timestamp(a), Key::Timestamp(b)) => Some(a.cmp(b)),
            (Key::Date(a), Key::Date(b)) => Some(a.cmp(b)),
            (Key::Text(a), Key::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            _ => None,
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an integer beside a fraction: both are compared as doubles"
)]
fn double(number: i128) -> f64 {
    number as f64
}

fn parse_date(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()
        .or_else(|| {
            DateTime::parse_from_rfc3339(text)
                .ok()
                .map(|at| at.naive_utc().date())
        })?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

fn parse_timestamp(text: &str) -> Option<i64> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.timestamp_micros());
    }
    let midnight = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()?
        .and_hms_opt(0, 0, 0)?;
    Some(midnight.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn texts_of_values_come_back() {
        for (text, data_type) in [
            (
                "2026-01-31T10:00:00.123456Z",
                DataType::Timestamp(TimeUnit::Microsecond, None),
            ),
            ("2026-01-31", DataType::Date32),
            ("-5", DataType::Int64),
            ("abc", DataType::Utf8),
        ] {
            let reader = Reader::new(&data_type, None);
            assert_eq!(reader.parse(text).unwrap().to_text(), text);
        }
        let integers = Reader::new(&DataType::Int64, None);
        assert!(integers.parse("soon").is_err());
    }

    #[test]
    fn texts_compare_as_what_they_say() {
        use Ordering::{Equal, Greater, Less};
        for (kind, left, right, order) in [
            (
                CursorKind::Timestamp,
                "2024-01-01T23:30:00-05:00",
                "2024-01-02T01:00:00Z",
                Greater,
            ),
            (
                CursorKind::Timestamp,
                "2024-01-02 01:00:00",
                "2024-01-02T01:00:00Z",
                Equal,
            ),
            (
                CursorKind::Timestamp,
                "2024-01-02",
                "2024-01-01T23:59:59Z",
                Greater,
            ),
            (CursorKind::Number, "10", "9", Greater),
            (CursorKind::Number, "10", "10.5", Less),
            (
                CursorKind::Number,
                "9007199254740993",
                "9007199254740992",
                Greater,
            ),
            (CursorKind::Text, "10", "9", Less),
        ] {
            let reader = Reader::new(&DataType::Utf8, Some(kind));
            let (left, right) = (reader.parse(left).unwrap(), reader.parse(right).unwrap());
            assert_eq!(left.partial_cmp(&right), Some(order), "{left:?} {right:?}");
        }
    }

    #[test]
    fn most_of_the_texts_say_what_they_are() {
        for (texts, kind) in [
            (
                vec![
                    Some("2024-01-02"),
                    Some("n/a"),
                    None,
                    Some("2024-01-02T01:00:00Z"),
                ],
                Some(CursorKind::Timestamp),
            ),
            (
                vec![Some("9"), Some("10.5"), Some("-")],
                Some(CursorKind::Number),
            ),
            (vec![Some("A1"), Some("9")], Some(CursorKind::Text)),
            (vec![None, None], None),
        ] {
            assert_eq!(
                majority(&StringArray::from(texts.clone())),
                kind,
                "{texts:?}"
            );
        }
        assert_eq!(majority(&Int64Array::from(vec![1])), None);
    }
}

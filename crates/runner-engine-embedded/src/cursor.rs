//! The cursor of one chain while it is read: which rows are inside its window, which were there at the last run, and how far it gets.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch};
use arrow::array::{
    AsArray, Date32Array, Decimal128Array, Float64Array, Int64Array, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use chrono::{DateTime, Duration, NaiveDate, SecondsFormat, Utc};
use runner_connectors::rows::RawRows;
use runner_connectors::source::WindowBounds;
use runner_core::checkpoint::ChainCursor;
use runner_core::{ChainKey, Error, ErrorKind, Result};

/// Rows that may share the cursor's value; with more, the cursor stays one distinct value behind.
pub(crate) const BOUNDARY_LIMIT: usize = 100_000;
/// Later values are loaded and warned of, but don't move the cursor.
const FUTURE_TOLERANCE_MINUTES: i64 = 5;

/// A cursor's value, compared as its type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CursorValue {
    Integer(i128),
    Number(f64),
    /// Microseconds.
    Timestamp(i64),
    Date(i32),
    Text(String),
}

/// What a batch's rows mean for the cursor.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    /// Rows outside the window: dropped and counted.
    pub(crate) outside: Vec<usize>,
    /// Rows that the last run loaded: dropped and counted.
    pub(crate) repeated: Vec<usize>,
    /// Rows without a cursor value: quarantined.
    pub(crate) missing: Vec<usize>,
    /// Rows beyond the nominal time: loaded, with a warning.
    pub(crate) future: usize,
}

/// Tracks one chain.
#[derive(Debug)]
pub(crate) struct CursorTracker {
    column: String,
    from: Option<String>,
    to: Option<String>,
    latest_allowed: DateTime<Utc>,
    /// What the last run had seen at its cursor; rows are taken out of it as they come again.
    last_cursor: Option<String>,
    last_boundary: BTreeMap<String, u32>,
    initial_boundary: BTreeMap<String, u32>,
    /// What the sealed part of the chain had seen; it takes the column's type to read it.
    resumed: Option<ChainCursor>,
    maximum: Option<CursorValue>,
    boundary: Boundary,
    /// Largest value below `maximum`, and its rows, for a boundary that grew too large.
    below: Option<CursorValue>,
    below_boundary: Boundary,
}

/// The rows that have one value of the cursor, as far as they can be held.
#[derive(Clone, Debug, Default)]
struct Boundary {
    /// Hash of the raw row → count.
    rows: BTreeMap<String, u32>,
    is_full: bool,
}

impl Boundary {
    fn add(&mut self, raw: &RawRows, row: usize) {
        if self.is_full {
            return;
        }
        if self.rows.len() >= BOUNDARY_LIMIT {
            self.is_full = true;
            self.rows.clear();
            return;
        }
        *self.rows.entry(row_hash(raw, row)).or_default() += 1;
    }
}

impl CursorTracker {
    /// `boundary` is what the last run left at `bounds.last_cursor`; with an upper bound there is none.
    pub(crate) fn new(
        column: &str,
        bounds: &WindowBounds,
        boundary: BTreeMap<String, u32>,
        nominal_time: DateTime<Utc>,
    ) -> Self {
        Self {
            column: column.to_owned(),
            from: bounds.from.clone(),
            to: bounds.to.clone(),
            latest_allowed: nominal_time + Duration::minutes(FUTURE_TOLERANCE_MINUTES),
            last_cursor: bounds.last_cursor.clone(),
            initial_boundary: boundary.clone(),
            last_boundary: boundary,
            resumed: None,
            maximum: None,
            boundary: Boundary::default(),
            below: None,
            below_boundary: Boundary::default(),
        }
    }

    /// Whether more rows share the newest value than can be told apart when they come again.
    pub(crate) fn is_behind(&self) -> bool {
        self.boundary.is_full
    }

    /// Takes up where the sealed part of the chain ended.
    pub(crate) fn resuming(mut self, sealed: Option<ChainCursor>) -> Self {
        self.resumed = sealed;
        self
    }

    /// The chain is read anew: what it had seen so far is superseded.
    pub(crate) fn restart(&mut self) {
        self.last_boundary.clone_from(&self.initial_boundary);
        self.maximum = None;
        self.boundary = Boundary::default();
        self.below = None;
        self.below_boundary = Boundary::default();
        self.resumed = None;
    }

    /// Sorts the rows of a batch, and moves the maximum over those inside the window.
    pub(crate) fn observe(&mut self, batch: &RecordBatch, raw: &RawRows) -> Result<Sorted> {
        let Some(array) = batch.column_by_name(&self.column) else {
            return Err(Error::new(
                ErrorKind::SourceData,
                format!("cursor_field `{}` is in no row of the stream", self.column),
            ));
        };
        let parse = |text: &Option<String>| {
            text.as_deref()
                .map(|text| CursorValue::parse(text, array.data_type()))
                .transpose()
        };
        let (from, to) = (parse(&self.from)?, parse(&self.to)?);
        let last = if self.to.is_none() {
            parse(&self.last_cursor)?
        } else {
            None
        };
        self.take_up(array.data_type())?;
        let mut sorted = Sorted::default();
        for row in 0..array.len() {
            let Some(value) = CursorValue::read(array.as_ref(), row)? else {
                sorted.missing.push(row);
                continue;
            };
            let is_before = from.as_ref().is_some_and(|from| value < *from);
            let is_after = to.as_ref().is_some_and(|to| value >= *to);
            if is_before || is_after {
                sorted.outside.push(row);
                continue;
            }
            if value.is_after(self.latest_allowed) {
                sorted.future += 1;
                continue;
            }
            let repeats = last.as_ref() == Some(&value) && self.take_repeated(raw, row);
            if repeats {
                sorted.repeated.push(row);
            }
            self.advance(value, raw, row);
        }
        Ok(sorted)
    }

    /// What a barrier stores.
    pub(crate) fn state(&self, chain: &ChainKey, generation: u32) -> ChainCursor {
        if let Some(resumed) = &self.resumed {
            // No row has come since: what was sealed still stands.
            return resumed.clone();
        }
        ChainCursor {
            chain: chain.clone(),
            generation,
            from: self.from.clone(),
            maximum: self.maximum.as_ref().map(CursorValue::to_text),
            boundary: self.boundary.rows.clone(),
            behind: if self.boundary.is_full {
                self.below.as_ref().map(CursorValue::to_text)
            } else {
                None
            },
            below: self.below.as_ref().map(CursorValue::to_text),
            below_boundary: self.below_boundary.rows.clone(),
            complete_to: self.to.clone(),
        }
    }

    fn take_up(&mut self, data_type: &DataType) -> Result<()> {
        let Some(resumed) = self.resumed.take() else {
            return Ok(());
        };
        let parse = |text: Option<String>| {
            text.map(|text| CursorValue::parse(&text, data_type))
                .transpose()
        };
        let is_bounded = self.to.is_some();
        // A value that some row has, and no row: there were too many.
        let taken_up = |value: Option<&CursorValue>, rows: BTreeMap<String, u32>| Boundary {
            is_full: !is_bounded && value.is_some() && rows.is_empty(),
            rows,
        };
        self.maximum = parse(resumed.maximum)?;
        self.boundary = taken_up(self.maximum.as_ref(), resumed.boundary);
        self.below = parse(resumed.below.or(resumed.behind))?;
        self.below_boundary = taken_up(self.below.as_ref(), resumed.below_boundary);
        Ok(())
    }

    fn take_repeated(&mut self, raw: &RawRows, row: usize) -> bool {
        let key = row_hash(raw, row);
        let Some(count) = self.last_boundary.get_mut(&key) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.last_boundary.remove(&key);
        }
        true
    }

    fn advance(&mut self, value: CursorValue, raw: &RawRows, row: usize) {
        let place = self
            .maximum
            .as_ref()
            .map_or(Some(Ordering::Greater), |maximum| {
                value.partial_cmp(maximum)
            });
        // With an upper bound windows are half-open, and nothing is read twice.
        let is_bounded = self.to.is_some();
        match place {
            Some(Ordering::Greater) => {
                self.below = self.maximum.replace(value);
                self.below_boundary = std::mem::take(&mut self.boundary);
            }
            Some(Ordering::Equal) => {}
            Some(Ordering::Less) => {
                let against = self
                    .below
                    .as_ref()
                    .map_or(Some(Ordering::Greater), |below| value.partial_cmp(below));
                match against {
                    Some(Ordering::Greater) => {
                        self.below = Some(value);
                        self.below_boundary = Boundary::default();
                    }
                    Some(Ordering::Equal) => {}
                    Some(Ordering::Less) | None => return,
                }
                if !is_bounded {
                    self.below_boundary.add(raw, row);
                }
                return;
            }
            None => return,
        }
        if !is_bounded {
            self.boundary.add(raw, row);
        }
    }
}

fn row_hash(raw: &RawRows, row: usize) -> String {
    format!("{:032x}", raw.hash(row))
}

impl CursorValue {
    /// The value of a row; none where it is null.
    pub(crate) fn read(array: &dyn Array, row: usize) -> Result<Option<Self>> {
        if array.is_null(row) {
            return Ok(None);
        }
        let any = array.as_any();
        let value = match array.data_type() {
            DataType::Int64 => any
                .downcast_ref::<Int64Array>()
                .map(|array| Self::Integer(array.value(row).into())),
            DataType::Float64 => any
                .downcast_ref::<Float64Array>()
                .map(|array| Self::Number(array.value(row))),
            DataType::Decimal128(_, 0) => any
                .downcast_ref::<Decimal128Array>()
                .map(|array| Self::Integer(array.value(row))),
            DataType::Date32 => any
                .downcast_ref::<Date32Array>()
                .map(|array| Self::Date(array.value(row))),
            DataType::Timestamp(..) => any
                .downcast_ref::<TimestampMicrosecondArray>()
                .map(|array| Self::Timestamp(array.value(row))),
            DataType::Utf8 => Some(Self::Text(array.as_string::<i32>().value(row).to_owned())),
            _ => None,
        };
        value.map(Some).ok_or_else(|| {
            Error::new(
                ErrorKind::SourceData,
                format!("a cursor can't be of type {}", array.data_type()),
            )
            .with_help("use a column of integers, numbers, dates, date-times or texts")
        })
    }

    /// The value that a stored or configured text means for a column of this type.
    pub(crate) fn parse(text: &str, data_type: &DataType) -> Result<Self> {
        let value = match data_type {
            DataType::Int64 | DataType::Decimal128(_, 0) => text.parse().ok().map(Self::Integer),
            DataType::Float64 => text.parse().ok().map(Self::Number),
            DataType::Date32 => parse_date(text).map(Self::Date),
            DataType::Timestamp(..) => parse_timestamp(text).map(Self::Timestamp),
            _ => Some(Self::Text(text.to_owned())),
        };
        value.ok_or_else(|| {
            Error::new(
                ErrorKind::Spec,
                format!("cursor value `{text}` is not of the column's type ({data_type})"),
            )
            .with_help(
                "set `incremental.initial` in the column's own form, or reset it with `state set`",
            )
        })
    }

    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Integer(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Timestamp(micros) => DateTime::<Utc>::from_timestamp_micros(*micros)
                .map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
                .unwrap_or_default(),
            Self::Date(days) => NaiveDate::default()
                .checked_add_signed(Duration::days(i64::from(*days)))
                .unwrap_or_default()
                .to_string(),
            Self::Text(value) => value.clone(),
        }
    }

    fn is_after(&self, limit: DateTime<Utc>) -> bool {
        match self {
            Self::Timestamp(micros) => *micros > limit.timestamp_micros(),
            Self::Date(days) => i64::from(*days) > limit.timestamp().div_euclid(86_400),
            Self::Integer(_) | Self::Number(_) | Self::Text(_) => false,
        }
    }
}

impl PartialOrd for CursorValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(b)),
            (Self::Number(a), Self::Number(b)) => Some(a.total_cmp(b)),
            (Self::Timestamp(a), Self::Timestamp(b)) => Some(a.cmp(b)),
            (Self::Date(a), Self::Date(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            _ => None,
        }
    }
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
    use std::sync::Arc;

    use arrow::array::ArrayRef;
    use bytes::Bytes;

    use super::*;

    fn rows(values: &[Option<i64>]) -> (RecordBatch, RawRows) {
        let array: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        let batch = RecordBatch::try_from_iter_with_nullable([("id", array, true)]).unwrap();
        let mut text = String::new();
        let ranges = values
            .iter()
            .enumerate()
            .map(|(row, value)| {
                let start = text.len();
                // Row numbers make rows with one cursor value differ.
                text.extend([format!("{{\"id\":{value:?},\"row\":{row}}}")]);
                start..text.len()
            })
            .collect();
        (batch, RawRows::new(Bytes::from(text), ranges))
    }

    fn tracker(bounds: &WindowBounds, boundary: BTreeMap<String, u32>) -> CursorTracker {
        CursorTracker::new("id", bounds, boundary, DateTime::default())
    }

    #[test]
    fn equal_cursor_values() {
        let (batch, raw) = rows(&[Some(1), Some(2), Some(2)]);
        let mut first = tracker(&WindowBounds::default(), BTreeMap::new());
        first.observe(&batch, &raw).unwrap();
        let state = first.state(&ChainKey::default(), 0);
        assert_eq!(state.maximum.as_deref(), Some("2"));
        assert_eq!(state.boundary.len(), 2);

        // The next run asks inclusively: the two rows come again, and a third one with the same value is new.
        let bounds = WindowBounds {
            from: Some("2".into()),
            to: None,
            last_cursor: Some("2".into()),
        };
        let (batch, raw) = rows(&[Some(1), Some(2), Some(2), Some(2), Some(3)]);
        let sorted = tracker(&bounds, state.boundary)
            .observe(&batch, &raw)
            .unwrap();
        assert_eq!((sorted.outside, sorted.repeated), (vec![0], vec![1, 2]));
    }

    #[test]
    fn a_missing_cursor_value_is_told_and_windows_are_half_open() {
        let bounds = WindowBounds {
            from: Some("10".into()),
            to: Some("20".into()),
            last_cursor: None,
        };
        let (batch, raw) = rows(&[Some(9), Some(10), None, Some(19), Some(20)]);
        let mut tracker = tracker(&bounds, BTreeMap::new());
        let sorted = tracker.observe(&batch, &raw).unwrap();
        assert_eq!((sorted.outside, sorted.missing), (vec![0, 4], vec![2]));
        let state = tracker.state(&ChainKey::default(), 0);
        assert_eq!(
            (state.maximum.as_deref(), state.complete_to.as_deref()),
            (Some("19"), Some("20"))
        );
        assert!(state.boundary.is_empty());
    }

    #[test]
    fn bounded_state() {
        let many = BOUNDARY_LIMIT + 10;
        let mut values = vec![Some(1), Some(2)];
        values.extend(std::iter::repeat_n(Some(3), many));
        let (batch, raw) = rows(&values);
        let mut first = tracker(&WindowBounds::default(), BTreeMap::new());
        first.observe(&batch, &raw).unwrap();
        let state = first.state(&ChainKey::default(), 0);
        assert!(state.boundary.is_empty() && first.is_behind());
        assert_eq!(state.behind.as_deref(), Some("2"));

        // A chain that goes on after a checkpoint knows the same.
        let mut resumed =
            tracker(&WindowBounds::default(), BTreeMap::new()).resuming(Some(state.clone()));
        resumed.observe(&batch.slice(0, 0), &raw).unwrap();
        assert!(resumed.is_behind());
        assert_eq!(resumed.state(&ChainKey::default(), 0), state);

        // The next run begins at the value behind, and knows that value's rows.
        let bounds = WindowBounds {
            from: Some("2".into()),
            to: None,
            last_cursor: Some("2".into()),
        };
        let mut next = tracker(&bounds, state.below_boundary);
        let sorted = next.observe(&batch, &raw).unwrap();
        assert_eq!((sorted.outside, sorted.repeated), (vec![0], vec![1]));
    }

    #[test]
    fn rows_below_the_maximum_are_known_in_whatever_order_they_come() {
        let values: [&[i64]; 4] = [&[1, 2, 2, 3], &[3, 2, 1, 2], &[2, 3, 2, 1], &[1, 3, 2, 2]];
        for values in values {
            let given: Vec<_> = values.iter().copied().map(Some).collect();
            let (batch, raw) = rows(&given);
            let mut tracker = tracker(&WindowBounds::default(), BTreeMap::new());
            tracker.observe(&batch, &raw).unwrap();
            let state = tracker.state(&ChainKey::default(), 0);
            assert_eq!(state.below.as_deref(), Some("2"), "{values:?}");
            assert_eq!(state.below_boundary.len(), 2, "{values:?}");
            assert_eq!(
                (state.boundary.len(), state.behind),
                (1, None),
                "{values:?}"
            );
        }
    }

    #[test]
    fn texts_of_values_come_back() {
        for (text, data_type) in [
            (
                "2026-01-31T10:00:00.123456Z",
                DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None),
            ),
            ("2026-01-31", DataType::Date32),
            ("-5", DataType::Int64),
            ("abc", DataType::Utf8),
        ] {
            assert_eq!(
                CursorValue::parse(text, &data_type).unwrap().to_text(),
                text
            );
        }
        assert!(CursorValue::parse("soon", &DataType::Int64).is_err());
    }
}

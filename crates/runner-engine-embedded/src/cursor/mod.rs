//! The cursor of one chain while it is read: which rows are inside its window, which were there at the last run, and how far it gets.

mod value;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch};
use chrono::{DateTime, Duration, Utc};
use runner_connectors::rows::RawRows;
use runner_connectors::source::WindowBounds;
use runner_core::checkpoint::ChainCursor;
use runner_core::{ChainKey, Error, ErrorKind, Result};
use runner_plan::windows::CursorKind;

use self::value::{CursorValue, Found, Reader};

/// Rows that may share the cursor's value; with more, the cursor stays one distinct value behind.
pub(crate) const BOUNDARY_LIMIT: usize = 100_000;
/// Later values are loaded and warned of, but don't move the cursor.
const FUTURE_TOLERANCE_MINUTES: i64 = 5;

/// What a batch's rows mean for the cursor.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    /// Rows outside the window: dropped and counted.
    pub(crate) outside: Vec<usize>,
    /// Rows that the last run loaded: dropped and counted.
    pub(crate) repeated: Vec<usize>,
    /// Rows without a cursor value: quarantined.
    pub(crate) missing: Vec<usize>,
    /// Rows whose text is no value of the cursor's kind: quarantined.
    pub(crate) unreadable: Vec<usize>,
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
    /// What the texts of the cursor mean, where its column holds texts; told by an earlier value, else by the first rows.
    text_kind: Option<CursorKind>,
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
        let earlier = [&bounds.last_cursor, &bounds.from, &bounds.to];
        let earlier = earlier.into_iter().find_map(Option::as_deref);
        Self {
            column: column.to_owned(),
            from: bounds.from.clone(),
            to: bounds.to.clone(),
            latest_allowed: nominal_time + Duration::minutes(FUTURE_TOLERANCE_MINUTES),
            text_kind: earlier.map(CursorKind::of_text),
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

    /// Texts mean what this earlier value does.
    #[must_use]
    pub(crate) fn like(mut self, earlier: Option<&str>) -> Self {
        self.text_kind = earlier.map(CursorKind::of_text).or(self.text_kind);
        self
    }

    /// The kind of value that a text which can't be read should have been.
    pub(crate) fn text_kind(&self) -> &'static str {
        self.text_kind.unwrap_or(CursorKind::Text).name()
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
        let reader = self.reader(array.as_ref());
        let parse =
            |text: &Option<String>| text.as_deref().map(|text| reader.parse(text)).transpose();
        let (from, to) = (parse(&self.from)?, parse(&self.to)?);
        let last = if self.to.is_none() {
            parse(&self.last_cursor)?
        } else {
            None
        };
        self.take_up(&reader)?;
        let mut sorted = Sorted::default();
        for row in 0..array.len() {
            let value = match reader.read(array.as_ref(), row)? {
                Found::Value(value) => value,
                Found::Null => {
                    sorted.missing.push(row);
                    continue;
                }
                Found::Unreadable => {
                    sorted.unreadable.push(row);
                    continue;
                }
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

    /// How this batch's values are read. Until a row has a value, nothing tells what texts mean.
    fn reader(&mut self, array: &dyn Array) -> Reader {
        if self.text_kind.is_none() {
            let sealed = self
                .resumed
                .as_ref()
                .and_then(|sealed| sealed.maximum.as_deref());
            self.text_kind = sealed
                .map(CursorKind::of_text)
                .or_else(|| value::majority(array));
        }
        Reader::new(array.data_type(), self.text_kind)
    }

    fn take_up(&mut self, reader: &Reader) -> Result<()> {
        let Some(resumed) = self.resumed.take() else {
            return Ok(());
        };
        let parse = |text: Option<String>| text.map(|text| reader.parse(&text)).transpose();
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
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

    fn texts(values: &[&str]) -> (RecordBatch, RawRows) {
        let array: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
        let batch = RecordBatch::try_from_iter_with_nullable([("id", array, true)]).unwrap();
        let mut text = String::new();
        let ranges = values.iter().map(|value| {
            let start = text.len();
            text.push_str(value);
            start..text.len()
        });
        let ranges = ranges.collect();
        (batch, RawRows::new(Bytes::from(text), ranges))
    }

    fn since(cursor: &str) -> WindowBounds {
        WindowBounds {
            from: Some(cursor.to_owned()),
            to: None,
            last_cursor: Some(cursor.to_owned()),
        }
    }

    #[test]
    fn a_later_instant_of_another_zone_is_new() {
        let (batch, raw) = texts(&["2024-01-01T23:30:00-05:00", "2024-01-02T00:59:59Z"]);
        let mut tracker = CursorTracker::new(
            "id",
            &since("2024-01-02T01:00:00Z"),
            BTreeMap::new(),
            "2024-02-01T00:00:00Z".parse().unwrap(),
        );
        let sorted = tracker.observe(&batch, &raw).unwrap();
        assert_eq!(sorted.outside, [1]);
        let state = tracker.state(&ChainKey::default(), 0);
        // As the source writes it: that is what it is asked with.
        assert_eq!(state.maximum.as_deref(), Some("2024-01-01T23:30:00-05:00"));
    }

    #[test]
    fn texts_of_the_future_and_of_no_kind_move_nothing() {
        let values = [
            "2024-01-02T01:00:00",
            "n/a",
            "2099-01-01T00:00:00",
            "2024-01-03",
        ];
        let (batch, raw) = texts(&values);
        let nominal = "2024-02-01T00:00:00Z".parse().unwrap();
        let first = WindowBounds::default();
        // The first rows tell what the texts mean, and so does the cursor of an earlier run, of whichever row comes first then.
        for (bounds, rows) in [
            (first, 4),
            (since("2024-01-02T01:00:00Z"), 4),
            (since("2024-01-01"), 2),
        ] {
            let mut tracker = CursorTracker::new("id", &bounds, BTreeMap::new(), nominal);
            let sorted = tracker.observe(&batch.slice(0, rows), &raw).unwrap();
            assert_eq!(
                (sorted.unreadable, sorted.outside),
                (vec![1], vec![]),
                "{bounds:?}"
            );
            assert_eq!(sorted.future, usize::from(rows == 4));
            let maximum = tracker.state(&ChainKey::default(), 0).maximum;
            let newest = if rows == 4 {
                "2024-01-03"
            } else {
                "2024-01-02T01:00:00"
            };
            assert_eq!(maximum.as_deref(), Some(newest));
        }
    }

    #[test]
    fn numbers_in_quotes_are_numbers() {
        let (batch, raw) = texts(&["8", "9", "10", "11"]);
        let mut tracker = tracker(&since("9"), BTreeMap::new());
        let sorted = tracker.observe(&batch, &raw).unwrap();
        assert_eq!(sorted.outside, [0]);
        let state = tracker.state(&ChainKey::default(), 0);
        assert_eq!(state.maximum.as_deref(), Some("11"));
        // A resumed chain whose first row says nothing knows it by what it had sealed.
        let mut resumed =
            self::tracker(&WindowBounds::default(), BTreeMap::new()).resuming(Some(state));
        let (batch, raw) = texts(&["x", "9", "y"]);
        let sorted = resumed.observe(&batch, &raw).unwrap();
        assert_eq!(sorted.unreadable, [0, 2]);
        assert_eq!(
            resumed.state(&ChainKey::default(), 0).maximum.as_deref(),
            Some("11")
        );
    }
}

//! What of a page has been delivered, so that no row of it is delivered twice.

use tokio::sync::OwnedSemaphorePermit;
use xxhash_rust::xxh3::xxh3_128;

use crate::rows::Rows;
use crate::scrub::Scrubber;

/// What was delivered of a page, over all its tries.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    rows: u64,
    fingerprint: u128,
}

/// A try gave other rows than those that were delivered.
#[derive(Debug)]
pub(super) struct Differs;

/// The rows of one try.
#[derive(Debug)]
pub(super) struct Collector<'a> {
    delivered: &'a mut Delivered,
    scrubber: &'a Scrubber,
    /// Given back when the page turns out to be too large to be held.
    permit: &'a mut Option<OwnedSemaphorePermit>,
    most_bytes: usize,
    /// Of the rows of this try that were delivered before.
    repeated: u128,
    is_compared: bool,
    held: Vec<Rows>,
    held_bytes: usize,
    held_rows: u64,
    held_fingerprint: u128,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        delivered: &'a mut Delivered,
        scrubber: &'a Scrubber,
        permit: &'a mut Option<OwnedSemaphorePermit>,
        most_bytes: usize,
    ) -> Self {
        Self {
            is_compared: delivered.rows == 0,
            delivered,
            scrubber,
            permit,
            most_bytes,
            repeated: 0,
            held: Vec::new(),
            held_bytes: 0,
            held_rows: 0,
            held_fingerprint: 0,
        }
    }

    /// Takes the next rows of the page, and gives those that have to be delivered now: none while the page can be held.
    pub(super) fn take(&mut self, rows: Rows) -> Result<Vec<Rows>, Differs> {
        let Some(rows) = self.fresh(rows)? else {
            return Ok(Vec::new());
        };
        self.held_bytes += rows.memory();
        self.held_rows += rows.count() as u64;
        self.held_fingerprint = self
            .held_fingerprint
            .wrapping_add(fingerprint(&rows, u64::MAX));
        self.held.push(self.scrubber.hide_rows(rows));
        if self.held_bytes <= self.most_bytes {
            return Ok(Vec::new());
        }
        // From here on the page goes as fast as its rows are taken: it must not keep others from being asked for meanwhile.
        self.permit.take();
        self.held_bytes = 0;
        self.delivered.rows += std::mem::take(&mut self.held_rows);
        self.delivered.fingerprint = self
            .delivered
            .fingerprint
            .wrapping_add(std::mem::take(&mut self.held_fingerprint));
        Ok(std::mem::take(&mut self.held))
    }

    /// The page is whole: what is still held.
    pub(super) fn end(mut self) -> Result<Vec<Rows>, Differs> {
        self.compare()?;
        Ok(self.held)
    }

    /// The rows that were not delivered by an earlier try.
    fn fresh(&mut self, rows: Rows) -> Result<Option<Rows>, Differs> {
        if self.is_compared {
            return Ok(Some(rows));
        }
        let boundary = self.delivered.rows;
        self.repeated = self.repeated.wrapping_add(fingerprint(&rows, boundary));
        let last_valid = rows.numbers.last().copied();
        let last_invalid = rows.invalid.last().map(|row| row.number);
        if last_valid
            .max(last_invalid)
            .is_none_or(|last| last + 1 < boundary)
        {
            return Ok(None);
        }
        self.compare()?;
        let rest = rows.since(boundary);
        Ok((rest.count() > 0).then_some(rest))
    }

    /// Whether this try begins with the rows that were delivered.
    fn compare(&mut self) -> Result<(), Differs> {
        if !self.is_compared && self.repeated != self.delivered.fingerprint {
            return Err(Differs);
        }
        self.is_compared = true;
        Ok(())
    }
}

/// Of the rows before `end`. A sum: it doesn't depend on how rows are cut into batches.
fn fingerprint(rows: &Rows, end: u64) -> u128 {
    let valid = rows
        .numbers
        .iter()
        .enumerate()
        .map(|(index, number)| (*number, rows.raw.hash(index)));
    let invalid = rows
        .invalid
        .iter()
        .map(|row| (row.number, xxh3_128(row.raw.as_bytes())));
    valid
        .chain(invalid)
        .filter(|(number, _)| *number < end)
        // Two rows that change places are not the same rows.
        .map(|(number, hash)| hash.wrapping_mul(u128::from(number) * 2 + 1))
        .fold(0, u128::wrapping_add)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::rows::{InvalidRow, RawRows};

    /// Rows from `first` on; every seventh is invalid, and a row's text is its number and `salt`.
    fn rows(first: u64, count: u64, salt: &str) -> Rows {
        let (mut numbers, mut invalid) = (Vec::new(), Vec::new());
        let (mut buffer, mut ranges) = (String::new(), Vec::new());
        for number in first..first + count {
            let raw = format!("{number}{salt}");
            if number % 7 == 3 {
                invalid.push(InvalidRow {
                    raw,
                    reasons: Vec::new(),
                    number,
                });
            } else {
                ranges.push(buffer.len()..buffer.len() + raw.len());
                buffer.push_str(&raw);
                numbers.push(number);
            }
        }
        let values: Int64Array = numbers
            .iter()
            .map(|number| i64::try_from(*number).ok())
            .collect();
        let schema = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
        Rows {
            batch: RecordBatch::try_new(Arc::new(schema), vec![Arc::new(values)]).unwrap(),
            schema_version: 0,
            raw: RawRows::new(Bytes::from(buffer), ranges),
            numbers,
            invalid,
            origin: Arc::from(""),
        }
    }

    fn numbers(delivered: &[Rows]) -> Vec<u64> {
        let mut numbers: Vec<u64> = delivered
            .iter()
            .flat_map(|rows| {
                let invalid = rows.invalid.iter().map(|row| row.number);
                rows.numbers.iter().copied().chain(invalid)
            })
            .collect();
        numbers.sort_unstable();
        numbers
    }

    proptest! {
        #[test]
        fn a_page_tried_again_gives_every_row_once_however_it_is_cut(
            all in 1_u64..200,
            lost_after in 0_u64..200,
            first_cut in 1_u64..40,
            second_cut in 1_u64..40,
        ) {
            let scrubber = Scrubber::new();
            let mut delivered = Delivered::default();
            let mut permit = None;
            let mut given = Vec::new();
            let mut first = Collector::new(&mut delivered, &scrubber, &mut permit, 0);
            let mut at = 0;
            while at < lost_after.min(all) {
                let count = first_cut.min(all - at);
                given.extend(first.take(rows(at, count, "")).unwrap());
                at += count;
            }
            let mut second = Collector::new(&mut delivered, &scrubber, &mut permit, 0);
            let mut at = 0;
            while at < all {
                let count = second_cut.min(all - at);
                given.extend(second.take(rows(at, count, "")).unwrap());
                at += count;
            }
            given.extend(second.end().unwrap());
            prop_assert_eq!(numbers(&given), (0..all).collect::<Vec<_>>());
        }
    }

    #[test]
    fn other_rows_or_fewer_of_them_are_noticed() {
        let scrubber = Scrubber::new();
        let mut permit = None;
        let mut delivered = Delivered::default();
        Collector::new(&mut delivered, &scrubber, &mut permit, 0)
            .take(rows(0, 10, ""))
            .unwrap();
        let mut other = Collector::new(&mut delivered, &scrubber, &mut permit, 0);
        other.take(rows(0, 10, "x")).unwrap_err();
        let mut fewer = Collector::new(&mut delivered, &scrubber, &mut permit, 0);
        assert!(fewer.take(rows(0, 5, "")).unwrap().is_empty());
        fewer.end().unwrap_err();
    }

    #[test]
    fn a_page_is_held_until_it_is_too_large() {
        let scrubber = Scrubber::new();
        let mut permit = None;
        let mut delivered = Delivered::default();
        let size = rows(0, 10, "").memory() + rows(10, 10, "").memory();
        let mut collector = Collector::new(&mut delivered, &scrubber, &mut permit, size);
        assert!(collector.take(rows(0, 10, "")).unwrap().is_empty());
        assert!(collector.take(rows(10, 10, "")).unwrap().is_empty());
        assert_eq!(collector.take(rows(20, 10, "")).unwrap().len(), 3);
        assert!(collector.take(rows(30, 10, "")).unwrap().is_empty());
        assert_eq!(
            numbers(&collector.end().unwrap()),
            (30..40).collect::<Vec<_>>()
        );
    }
}

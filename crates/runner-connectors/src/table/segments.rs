//! Rows of chains that started over: they are in sealed parts, and left out.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::{BooleanArray, BooleanBufferBuilder};
use runner_core::{LoadContext, Part, Segment, Segments};

/// The last generation of each chain that was started over.
#[derive(Clone, Copy, Debug)]
pub struct Generations<'a>(&'a BTreeMap<(String, u64), u32>);

impl<'a> Generations<'a> {
    pub fn of(load: &'a LoadContext) -> Self {
        Self(&load.generations)
    }

    pub fn is_superseded(&self, input: &str, segment: &Segment) -> bool {
        // Chains that started over are few; most loads have none.
        !self.0.is_empty()
            && self
                .0
                .get(&(input.to_owned(), segment.chain))
                .is_some_and(|last| segment.generation < *last)
    }

    /// Whether some of a part's rows are left out.
    pub fn touches(&self, part: &Part) -> bool {
        part.segments
            .iter()
            .any(|segment| self.is_superseded(&part.input, &segment))
    }

    /// The segments that stay, and the ranges of rows that they are.
    pub fn remaining(&self, part: &Part) -> (Segments, Vec<Range<u64>>) {
        let mut segments = Segments::default();
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut start = 0;
        for segment in &part.segments {
            let end = start + segment.rows;
            if !self.is_superseded(&part.input, &segment) {
                segments.push(segment);
                match ranges.last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    _ => ranges.push(start..end),
                }
            }
            start = end;
        }
        (segments, ranges)
    }
}

/// Which of the rows `first..first + count` lie in one of the sorted ranges.
pub fn mask(ranges: &[Range<u64>], first: u64, count: usize) -> BooleanArray {
    let mut mask = BooleanBufferBuilder::new(count);
    let end = first + count as u64;
    let mut at = first;
    for range in ranges {
        let (from, to) = (range.start.max(at), range.end.min(end));
        if from >= to {
            continue;
        }
        mask.append_n(usize::try_from(from - at).unwrap_or(count), false);
        mask.append_n(usize::try_from(to - from).unwrap_or(count), true);
        at = to;
    }
    mask.append_n(usize::try_from(end - at).unwrap_or(0), false);
    BooleanArray::new(mask.finish(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(ranges: &[Range<u64>], first: u64, count: usize) -> String {
        mask(ranges, first, count)
            .iter()
            .map(|bit| if bit == Some(true) { '1' } else { '0' })
            .collect()
    }

    #[test]
    fn masks_cover_what_the_ranges_do() {
        let cases: [(&[Range<u64>], u64, usize, &str); 6] = [
            (&[2..4, 6..7], 0, 8, "00110010"),
            (&[2..4, 6..7], 3, 3, "100"),
            (&[Range { start: 2, end: 4 }], 4, 2, "00"),
            (&[Range { start: 0, end: 100 }], 10, 3, "111"),
            (&[], 10, 2, "00"),
            (&[Range { start: 0, end: 1 }], 0, 0, ""),
        ];
        for (ranges, first, count, expected) in cases {
            assert_eq!(bits(ranges, first, count), expected, "{ranges:?}");
        }
    }
}

//! Whose rows stand where in a part: packed, since a part may hold the rows of very many chains.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Consecutive rows of one chain in a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Index of the chain in its stream: the order in which rows of one key are ranked.
    pub chain: u64,
    /// How often the chain had been started over when these rows were read; rows of an earlier generation are superseded.
    pub generation: u32,
    pub rows: u64,
}

/// Runs of rows of one chain, in the order of the rows.
///
/// A segment takes a few bytes: the step from the chain before it, its generation and its rows, in as many bytes as they need.
/// It is stored as a flat list of these numbers, `[step, generation, rows, ...]`; a list of objects is read too.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Segments {
    packed: Vec<u8>,
    count: usize,
    /// The chain of the last packed segment.
    packed_chain: u64,
    /// Not packed yet: more rows of its chain may come.
    last: Option<Segment>,
}

/// The segments, one by one.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    packed: &'a [u8],
    chain: u64,
    last: Option<Segment>,
}

impl Segments {
    /// Adds rows to the end: to the last segment where they are of the same generation of its chain.
    pub fn add_rows(&mut self, chain: u64, generation: u32, rows: u64) {
        match &mut self.last {
            Some(last) if last.chain == chain && last.generation == generation => last.rows += rows,
            _ => self.push(Segment {
                chain,
                generation,
                rows,
            }),
        }
    }

    /// Adds a segment of its own.
    pub fn push(&mut self, segment: Segment) {
        if let Some(last) = self.last.replace(segment) {
            let step = last.chain.wrapping_sub(self.packed_chain).cast_signed();
            pack(&mut self.packed, zigzag(step));
            pack(&mut self.packed, u64::from(last.generation));
            pack(&mut self.packed, last.rows);
            self.packed_chain = last.chain;
        }
        self.count += 1;
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn iter(&self) -> Iter<'_> {
        Iter {
            packed: &self.packed,
            chain: 0,
            last: self.last,
        }
    }
}

impl Iterator for Iter<'_> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        if self.packed.is_empty() {
            return self.last.take();
        }
        let step = unzigzag(unpack(&mut self.packed));
        let generation = unpack(&mut self.packed);
        let rows = unpack(&mut self.packed);
        self.chain = self.chain.wrapping_add(step.cast_unsigned());
        Some(Segment {
            chain: self.chain,
            generation: u32::try_from(generation).unwrap_or(u32::MAX),
            rows,
        })
    }
}

impl<'a> IntoIterator for &'a Segments {
    type Item = Segment;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Extend<Segment> for Segments {
    fn extend<T: IntoIterator<Item = Segment>>(&mut self, segments: T) {
        for segment in segments {
            self.push(segment);
        }
    }
}

impl FromIterator<Segment> for Segments {
    fn from_iter<T: IntoIterator<Item = Segment>>(segments: T) -> Self {
        let mut collected = Self::default();
        collected.extend(segments);
        collected
    }
}

impl fmt::Debug for Segments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self).finish()
    }
}

impl Serialize for Segments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(3 * self.count))?;
        let mut before = 0_u64;
        for segment in self {
            list.serialize_element(&segment.chain.wrapping_sub(before).cast_signed())?;
            list.serialize_element(&segment.generation)?;
            list.serialize_element(&segment.rows)?;
            before = segment.chain;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Segments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Stored)
    }
}

/// One element of the stored list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Element {
    Step(i64),
    /// As part format 1 has it.
    Whole(Segment),
}

struct Stored;

impl<'de> Visitor<'de> for Stored {
    type Value = Segments;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("segments of a part")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Segments, A::Error> {
        let missing = || serde::de::Error::custom("a segment of a part is cut off");
        let mut segments = Segments::default();
        let mut chain = 0_u64;
        while let Some(element) = list.next_element()? {
            match element {
                Element::Whole(segment) => segments.push(segment),
                Element::Step(step) => {
                    chain = chain.wrapping_add(step.cast_unsigned());
                    segments.push(Segment {
                        chain,
                        generation: list.next_element()?.ok_or_else(missing)?,
                        rows: list.next_element()?.ok_or_else(missing)?,
                    });
                }
            }
        }
        Ok(segments)
    }
}

/// Small for steps in both directions.
fn zigzag(step: i64) -> u64 {
    ((step << 1) ^ (step >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn pack(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn unpack(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0_u64, 0_u32);
    while let Some((byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(chain: u64, generation: u32, rows: u64) -> Segment {
        Segment {
            chain,
            generation,
            rows,
        }
    }

    fn any_segment() -> impl Strategy<Value = Segment> {
        let chain = prop_oneof![0..200_u64, any::<u64>()];
        let rows = prop_oneof![1..200_u64, 0..=u64::MAX >> 1];
        (chain, any::<u32>(), rows)
            .prop_map(|(chain, generation, rows)| segment(chain, generation, rows))
    }

    proptest! {
        #[test]
        fn segments_come_back_as_they_were(listed in prop::collection::vec(any_segment(), 0..20)) {
            let segments: Segments = listed.iter().copied().collect();
            prop_assert_eq!(segments.len(), listed.len());
            prop_assert_eq!(segments.iter().collect::<Vec<_>>(), listed);
            let stored = serde_json::to_string(&segments).unwrap();
            prop_assert_eq!(serde_json::from_str::<Segments>(&stored).unwrap(), segments);
        }
    }

    #[test]
    fn rows_of_one_chain_are_one_segment() {
        let mut segments = Segments::default();
        for (chain, generation, rows) in [(4, 0, 2), (4, 0, 3), (4, 1, 1), (2, 1, 1)] {
            segments.add_rows(chain, generation, rows);
        }
        let expected = [segment(4, 0, 5), segment(4, 1, 1), segment(2, 1, 1)];
        assert_eq!(segments.iter().collect::<Vec<_>>(), expected);
        assert_eq!(
            serde_json::to_string(&segments).unwrap(),
            "[4,0,5,0,1,1,-2,1,1]"
        );
    }

    #[test]
    fn the_first_stored_form_is_read() {
        let stored = r#"[{"chain":4,"generation":0,"rows":5},{"chain":2,"generation":1,"rows":1}]"#;
        let segments: Segments = serde_json::from_str(stored).unwrap();
        let expected = [segment(4, 0, 5), segment(2, 1, 1)];
        assert_eq!(segments.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_list_that_is_cut_off_is_refused() {
        for stored in ["[1]", "[1,0]", "[1,0,5,1]"] {
            assert!(
                serde_json::from_str::<Segments>(stored).is_err(),
                "{stored}"
            );
        }
    }

    /// `many_parents`: a million chains of a row each, taken by eight lanes.
    #[test]
    fn many_parents_take_a_few_bytes_each() {
        const CHAINS: u64 = 100_000;
        let segments: Segments = (0..CHAINS)
            .map(|index| segment(index * 8 + index % 3, 0, 1))
            .collect();
        assert!(segments.packed.capacity() <= 8 * 100_000);
        assert!(serde_json::to_string(&segments).unwrap().len() <= 8 * 100_000);
    }
}

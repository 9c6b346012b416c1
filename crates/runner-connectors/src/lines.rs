//! Line numbers in files, from 1, as an editor shows them. Line ends are followed while a text is read; what lies before the place where
//! reading began (a part of a file, a page that a killed run goes on with) is counted when somebody asks for a line, and only then.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock, OnceLock};

use bytes::Bytes;

/// Of a line whose columns are counted: nobody looks for a place further on by its column.
const MOST_COLUMNS: usize = 64 << 10;

type Count = Box<dyn FnOnce() -> Option<u64> + Send>;

/// Line ends before the place where reading began; unknown where they can't be counted.
#[derive(Clone)]
pub struct LineOrigin {
    ends: Arc<LazyLock<Option<u64>, Count>>,
    tells_rows: bool,
}

/// Follows the lines of a text whose bytes are forgotten piece by piece.
#[derive(Clone, Debug)]
pub(crate) struct LineCounter {
    origin: LineOrigin,
    /// Since reading began.
    ends: u64,
    /// Characters since the last of them; none where they are too many.
    characters: Option<u64>,
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: u64,
    /// In characters, from 1; unknown in a line that is too long for it.
    pub(crate) column: Option<u64>,
}

/// The lines in which rows begin, by the rows' numbers.
pub struct RowLines(Lines);

enum Lines {
    Known(BTreeMap<u64, u64>),
    Counted {
        /// At the buffer's first byte.
        counter: LineCounter,
        buffer: Bytes,
        rows: Vec<Range<usize>>,
        /// Number of the first of them.
        first: u64,
        lines: OnceLock<Option<Vec<u64>>>,
    },
}

impl LineOrigin {
    /// The file's first byte.
    pub fn first() -> Self {
        Self::counted(|| Some(0))
    }

    /// `count` is asked once, and may wait.
    pub fn counted(count: impl FnOnce() -> Option<u64> + Send + 'static) -> Self {
        Self {
            ends: Arc::new(LazyLock::new(Box::new(count))),
            tells_rows: true,
        }
    }

    /// Counting costs more than the line of a row is worth: only an error that ends the reading is told its line.
    #[must_use]
    pub fn for_errors(self) -> Self {
        Self {
            tells_rows: false,
            ..self
        }
    }

    fn ends(&self) -> Option<u64> {
        **self.ends
    }
}

impl LineCounter {
    pub(crate) fn new(origin: LineOrigin) -> Self {
        Self {
            origin,
            ends: 0,
            characters: Some(0),
        }
    }

    pub(crate) fn tells_rows(&self) -> bool {
        self.origin.tells_rows
    }

    /// These bytes have been read.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        let mut line = bytes;
        if let Some(last) = memchr::memrchr(b'\n', bytes) {
            let (ended, begun) = bytes.split_at(last + 1);
            self.ends += line_ends(ended);
            self.characters = Some(0);
            line = begun;
        }
        self.characters = self
            .characters
            .filter(|_| line.len() <= MOST_COLUMNS)
            .map(|before| before + characters(line))
            .filter(|characters| *characters <= MOST_COLUMNS as u64);
    }

    /// The place behind these bytes, which follow those that were passed. It may wait.
    pub(crate) fn place(&self, bytes: &[u8]) -> Option<Place> {
        let mut counter = self.clone();
        counter.pass(bytes);
        Some(Place {
            line: counter.origin.ends()? + counter.ends + 1,
            column: counter.characters.map(|characters| characters + 1),
        })
    }
}

impl RowLines {
    /// Lines by the numbers of their rows.
    pub fn known(lines: BTreeMap<u64, u64>) -> Self {
        Self(Lines::Known(lines))
    }

    /// Of rows that stand in a buffer at whose first byte the counter is.
    pub(crate) fn of_buffer(
        counter: LineCounter,
        buffer: Bytes,
        rows: Vec<Range<usize>>,
        first: u64,
    ) -> Self {
        Self(Lines::Counted {
            counter,
            buffer,
            rows,
            first,
            lines: OnceLock::new(),
        })
    }

    /// Counts the lines, which may wait: the file may have to be read up to there.
    pub fn count(&self) {
        if let Lines::Counted {
            counter,
            buffer,
            rows,
            lines,
            ..
        } = &self.0
        {
            lines.get_or_init(|| lines_of(counter, buffer, rows));
        }
    }

    /// The line in which the row of this number begins, once they are counted.
    pub fn line(&self, number: u64) -> Option<u64> {
        match &self.0 {
            Lines::Known(lines) => lines.get(&number).copied(),
            Lines::Counted { first, lines, .. } => {
                let row = usize::try_from(number.checked_sub(*first)?).ok()?;
                lines.get()?.as_ref()?.get(row).copied()
            }
        }
    }
}

fn lines_of(counter: &LineCounter, buffer: &[u8], rows: &[Range<usize>]) -> Option<Vec<u64>> {
    let mut line = counter.origin.ends()? + counter.ends + 1;
    let mut at = 0;
    rows.iter()
        .map(|row| {
            line += line_ends(buffer.get(at..row.start)?);
            at = row.start;
            Some(line)
        })
        .collect()
}

pub(crate) fn line_ends(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Of UTF-8, which may be cut within one.
fn characters(bytes: &[u8]) -> u64 {
    let begins = |byte: &&u8| **byte & 0xC0 != 0x80;
    bytes.iter().filter(begins).count() as u64
}

impl fmt::Debug for LineOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LineOrigin")
    }
}

/// Without the rows, which may hold what nobody is to see.
impl fmt::Debug for RowLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowLines")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place_by_hand(text: &str, at: usize, before: u64) -> Place {
        let lines: Vec<&str> = text[..at].split('\n').collect();
        let last = lines.last().copied().unwrap_or_default();
        Place {
            line: before + lines.len() as u64,
            column: Some(last.chars().count() as u64 + 1),
        }
    }

    proptest! {
        #[test]
        fn places_do_not_depend_on_how_a_text_is_cut(
            text in "[ab\né\r]{0,60}", cut in 0_usize..60, more in 0_usize..60, before in 0_u64..3,
        ) {
            let boundary = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let at = boundary(more);
            // The bytes may be cut within a character.
            let cut = cut.min(at);
            let mut counter = LineCounter::new(LineOrigin::counted(move || Some(before)));
            counter.pass(&text.as_bytes()[..cut]);
            let place = counter.place(&text.as_bytes()[cut..at]);
            prop_assert_eq!(place, Some(place_by_hand(&text, at, before)));
        }
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let mut counter = LineCounter::new(LineOrigin::first());
        for _ in 0..3 {
            counter.pass(&vec![b'x'; MOST_COLUMNS / 2]);
        }
        let place = counter.place(b"yz").unwrap();
        assert_eq!((place.line, place.column), (1, None));
        let place = counter.place(b"y\nz").unwrap();
        assert_eq!((place.line, place.column), (2, Some(2)));
        let unknown = LineCounter::new(LineOrigin::counted(|| None));
        assert_eq!(unknown.place(b"x"), None);
        let rows = RowLines::of_buffer(unknown, Bytes::from_static(b"a\nb"), vec![0..1, 2..3], 7);
        rows.count();
        assert_eq!(rows.line(7), None);
    }

    #[test]
    fn rows_have_the_lines_in_which_they_begin() {
        let mut counter = LineCounter::new(LineOrigin::counted(|| Some(10)));
        counter.pass(b"a\nb\n");
        let text = b"1\n\n\"2\n2\"\n3";
        let rows = RowLines::of_buffer(
            counter,
            Bytes::from_static(text),
            vec![0..1, 3..8, 9..10],
            5,
        );
        assert_eq!(rows.line(5), None, "nobody has counted");
        rows.count();
        let lines = [4, 5, 6, 7, 8].map(|number| rows.line(number));
        assert_eq!(lines, [None, Some(13), Some(15), Some(17), None]);
        assert_eq!(RowLines::known([(3, 9)].into()).line(3), Some(9));
    }
}

//! Records of CSV (RFC 4180): where they end, and where their fields are.
//!
//! A field that begins with a quote ends at the next single one; a quote elsewhere is a character like any other.
//! Records end at `\n`, `\r\n` or `\r`; empty lines are no records.

use std::ops::Range;

/// What parts fields and quotes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
}

/// One field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Without its quotes.
    pub(crate) text: Range<usize>,
    pub(crate) is_quoted: bool,
    /// Quotes within it are doubled.
    pub(crate) has_escapes: bool,
    /// The delimiter or line end behind it.
    pub(crate) end: usize,
}

/// Why no field was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldFault {
    Incomplete,
    /// Something stands between a closing quote and the delimiter.
    AfterQuote,
}

impl Dialect {
    /// The field that begins at `at`.
    #[inline]
    pub(crate) fn field(self, bytes: &[u8], at: usize) -> Result<Field, FieldFault> {
        if bytes.get(at) == Some(&self.quote) {
            return self.quoted(bytes, at + 1);
        }
        let end = self.plain_end(bytes, at);
        if end == bytes.len() {
            return Err(FieldFault::Incomplete);
        }
        Ok(Field {
            text: at..end,
            is_quoted: false,
            has_escapes: false,
            end,
        })
    }

    fn quoted(self, bytes: &[u8], start: usize) -> Result<Field, FieldFault> {
        let mut at = start;
        let mut has_escapes = false;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(found) = memchr::memchr(self.quote, rest) else {
                return Err(FieldFault::Incomplete);
            };
            let quote = at + found;
            match bytes.get(quote + 1) {
                Some(next) if *next == self.quote => {
                    has_escapes = true;
                    at = quote + 2;
                }
                Some(next) if *next == self.delimiter || matches!(next, b'\n' | b'\r') => {
                    return Ok(Field {
                        text: start..quote,
                        is_quoted: true,
                        has_escapes,
                        end: quote + 1,
                    });
                }
                Some(_) => return Err(FieldFault::AfterQuote),
                None => return Err(FieldFault::Incomplete),
            }
        }
    }

    /// The first delimiter or line end from `at` on.
    #[inline]
    fn plain_end(self, bytes: &[u8], mut at: usize) -> usize {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x8080_8080_8080_8080;
        let delimiters = ONES * u64::from(self.delimiter);
        // Eight bytes at once: a byte's high bit is set where it is a delimiter or a control character (line ends are two of them).
        // Borrows reach only bytes after a hit.
        while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_le_bytes(*chunk);
            let parted = (word ^ delimiters).wrapping_sub(ONES) & !(word ^ delimiters);
            let controls = word.wrapping_sub(ONES * 0x0E) & !word;
            let mut hits = (parted | controls) & HIGH;
            while hits != 0 {
                let hit = at + (hits.trailing_zeros() / 8) as usize;
                let byte = bytes[hit];
                if byte == self.delimiter || matches!(byte, b'\n' | b'\r') {
                    return hit;
                }
                hits &= hits - 1;
            }
            at += 8;
        }
        while let Some(byte) = bytes.get(at) {
            if *byte == self.delimiter || matches!(byte, b'\n' | b'\r') {
                return at;
            }
            at += 1;
        }
        at
    }

    /// Every field of a record that has been found to be whole; what follows a closing quote belongs to its field.
    pub(crate) fn fields(self, record: &[u8]) -> Vec<(Vec<u8>, bool)> {
        let mut marked = record.to_vec();
        marked.push(b'\n');
        let mut fields = Vec::new();
        let mut at = 0;
        loop {
            let (text, is_quoted, end) = match self.field(&marked, at) {
                Ok(field) => (self.text(&marked, &field), field.is_quoted, field.end),
                Err(_) => {
                    let mut scanner = RecordScanner::within(self, at);
                    let end = scanner.field_end(&marked).unwrap_or(record.len());
                    (marked[at..end].to_vec(), true, end)
                }
            };
            fields.push((text, is_quoted));
            if end >= record.len() || marked[end] != self.delimiter {
                return fields;
            }
            at = end + 1;
        }
    }

    /// The field's text, with doubled quotes made single.
    pub(crate) fn text(self, bytes: &[u8], field: &Field) -> Vec<u8> {
        let raw = &bytes[field.text.clone()];
        if !field.has_escapes {
            return raw.to_vec();
        }
        let mut text = Vec::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(at) = memchr::memchr(self.quote, rest) {
            text.extend_from_slice(&rest[..=at]);
            rest = rest.get(at + 2..).unwrap_or_default();
        }
        text.extend_from_slice(rest);
        text
    }
}

/// Finds where a record ends while its bytes come in, each of them looked at once.
#[derive(Debug)]
pub(crate) struct RecordScanner {
    dialect: Dialect,
    /// The next byte to look at.
    pub(crate) at: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote in a quoted field: it closes the field or is the first of two.
    AfterQuote,
}

impl RecordScanner {
    pub(crate) fn new(dialect: Dialect, at: usize) -> Self {
        Self {
            dialect,
            at,
            state: State::FieldStart,
        }
    }

    fn within(dialect: Dialect, at: usize) -> Self {
        Self::new(dialect, at)
    }

    /// The line end behind the record, if these bytes have it. They begin with those of the last call.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            let end = self.field_end(bytes)?;
            if bytes[end] != self.dialect.delimiter {
                return Some(end);
            }
            self.at = end + 1;
            self.state = State::FieldStart;
        }
    }

    /// The delimiter or line end behind the field.
    fn field_end(&mut self, bytes: &[u8]) -> Option<usize> {
        while let Some(byte) = bytes.get(self.at) {
            match self.state {
                State::Quoted => match memchr::memchr(self.dialect.quote, &bytes[self.at..]) {
                    Some(found) => {
                        self.at += found + 1;
                        self.state = State::AfterQuote;
                        continue;
                    }
                    None => {
                        self.at = bytes.len();
                        return None;
                    }
                },
                State::FieldStart | State::AfterQuote if *byte == self.dialect.quote => {
                    self.state = State::Quoted;
                }
                State::FieldStart | State::Plain | State::AfterQuote => {
                    if *byte == self.dialect.delimiter || matches!(byte, b'\n' | b'\r') {
                        return Some(self.at);
                    }
                    self.state = State::Plain;
                }
            }
            self.at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIALECT: Dialect = Dialect {
        delimiter: b',',
        quote: b'"',
    };

    fn records(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let mut marked = bytes.to_vec();
        marked.push(b'\n');
        let mut at = 0;
        let mut records = Vec::new();
        while at < marked.len() {
            if matches!(marked[at], b'\n' | b'\r') {
                at += 1;
                continue;
            }
            let end = RecordScanner::new(DIALECT, at)
                .scan(&marked)
                .expect("the mark ends it");
            let fields = DIALECT.fields(&marked[at..end]);
            records.push(fields.into_iter().map(|(text, _)| text).collect());
            at = end;
        }
        records
    }

    fn by_csv_crate(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
        csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(bytes)
            .byte_records()
            .map(|record| record.expect("bytes").iter().map(<[u8]>::to_vec).collect())
            .collect()
    }

    #[test]
    fn records_are_those_that_the_csv_crate_reads() {
        for text in [
            "a,b\n1,2\n",
            "a,b\r\n\"x,\"\"y\"\"\",\"line\nbreak\"\r\n",
            "5\" pipe,x\"y\n",
            ",,\n\n\nlast",
            "\"\"\n\"\",\"\"\n",
            "\u{1}\u{e},\tb\n",
        ] {
            assert_eq!(
                records(text.as_bytes()),
                by_csv_crate(text.as_bytes()),
                "{text:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn well_formed_records_are_those_that_the_csv_crate_reads(
            rows in prop::collection::vec(prop::collection::vec("[a-c,\"\r\n é]{0,12}", 2..5), 0..8),
        ) {
            let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).expect("memory");
            }
            let bytes = writer.into_inner().expect("memory");
            prop_assert_eq!(records(&bytes), by_csv_crate(&bytes));
        }

        #[test]
        fn bytes_cut_anywhere_give_the_same_ends(bytes in "[ab,\"\n\r]{0,60}", cut in 0_usize..60) {
            let mut marked = bytes.into_bytes();
            marked.push(b'\n');
            let whole = RecordScanner::new(DIALECT, 0).scan(&marked);
            let mut scanner = RecordScanner::new(DIALECT, 0);
            let cut = cut.min(marked.len());
            let cut = scanner.scan(&marked[..cut]).or_else(|| scanner.scan(&marked));
            prop_assert_eq!(cut, whole);
        }
    }
}

//! Cuts large files so that several chains read one, where the cut is known to stand between two rows: behind a line end of JSON lines,
//! behind a line end of CSV that no quote spans, before a row group of Parquet.

use std::fs::File;
use std::io::Read;

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use runner_core::{Cancel, Error, ErrorKind, Result};
use runner_plan::model::{DataFormat, TextFormat};

use super::columnar::footer;
use super::content::{self, Access};
use super::error;
use super::piece::Piece;

/// Below this a part isn't worth a chain of its own; above, too much hangs on one.
const LEAST_BYTES: u64 = 8 << 20;
const MOST_BYTES: u64 = 256 << 20;
/// So that chains end at about the same time.
const PARTS_PER_LANE: u64 = 2;
/// Read at once while places to cut are searched.
const SEARCH_BYTES: usize = 256 << 10;

/// How files are cut.
#[derive(Clone, Debug)]
pub(super) struct Splitter {
    pub(super) access: Access,
    pub(super) text: TextFormat,
    pub(super) cancel: Cancel,
    /// Chains that are read at once.
    pub(super) lanes: u64,
    /// A single row may have.
    pub(super) max_row_bytes: u64,
    /// Of a part; none where the sizes of the files decide.
    pub(super) part_bytes: Option<u64>,
}

impl Splitter {
    /// The files with large ones cut; it reads files, and is for a thread that may wait.
    pub(super) fn split(&self, files: Vec<Piece>) -> Result<Vec<Piece>> {
        let total: u64 = files.iter().map(|file| file.bytes).sum();
        let part_bytes = self.part_bytes.unwrap_or_else(|| {
            (total / (self.lanes * PARTS_PER_LANE).max(1)).clamp(LEAST_BYTES, MOST_BYTES)
        });
        let mut pieces = Vec::with_capacity(files.len());
        for file in files {
            if self.lanes < 2 || file.bytes < part_bytes.saturating_mul(3) / 2 {
                pieces.push(file);
                continue;
            }
            let (places, end) = self.places(&file, part_bytes)?;
            pieces.extend(file.cut(&places, end));
        }
        Ok(pieces)
    }

    /// Where to cut, and where the file ends.
    fn places(&self, file: &Piece, part_bytes: u64) -> Result<(Vec<u64>, u64)> {
        if file.is_columnar() {
            return self.row_groups(file, part_bytes);
        }
        let start = self.access.start(file, 4)?;
        let is_packed = file
            .kind
            .packed
            .compression(file.kind.format, &start)
            .is_some();
        // Other encodings than UTF-8 are refused where the file is read, at its beginning.
        let is_wide = start.contains(&0) || start.first().is_some_and(|first| *first >= 0xFE);
        let parts = file.bytes.div_ceil(part_bytes);
        let targets: Vec<u64> = (1..parts).map(|part| part * (file.bytes / parts)).collect();
        let mut places = match file.kind.format {
            _ if is_packed || is_wide => Vec::new(),
            DataFormat::JsonLines => self.line_ends(file, &targets)?,
            // Whether a line end stands within quotes shows from the file's beginning alone: all of the object would come over the network
            // before its first part is read, and then again. A stretch from its middle can't decide it either: where one reading of its
            // quotes breaks the rules of CSV, that may as well be a record for the quarantine.
            DataFormat::Csv if file.key.is_some() => Vec::new(),
            DataFormat::Csv => self.record_ends(file, &targets)?,
            DataFormat::Json | DataFormat::Xml | DataFormat::Parquet => Vec::new(),
        };
        places.dedup();
        places.retain(|place| *place > 0 && *place < file.bytes);
        Ok((places, file.bytes))
    }

    /// Behind the first line end from each target on: a line of JSON holds no line end.
    fn line_ends(&self, file: &Piece, targets: &[u64]) -> Result<Vec<u64>> {
        let mut places = Vec::new();
        for target in targets {
            let mut at = *target;
            while at < file.bytes && at - target <= self.max_row_bytes {
                self.check_cancelled()?;
                let end = file.bytes.min(at + SEARCH_BYTES as u64);
                let bytes = self.access.stored(file, at, end)?;
                if let Some(found) = memchr::memchr(b'\n', &bytes) {
                    places.push(at + found as u64 + 1);
                    break;
                }
                at = end;
            }
        }
        Ok(places)
    }

    /// Behind the first line end outside of quotes from each target on. What is inside of quotes only shows from the beginning.
    fn record_ends(&self, file: &Piece, targets: &[u64]) -> Result<Vec<u64>> {
        let text = file.kind.text(&self.text);
        let (Ok(delimiter), Ok(quote)) = (u8::try_from(text.delimiter), u8::try_from(text.quote))
        else {
            return Ok(Vec::new());
        };
        let mut scan = QuoteScan::new(delimiter, quote, targets);
        let mut content: File = content::open(file)?;
        let mut buffer = vec![0; SEARCH_BYTES];
        while scan.is_searching() {
            self.check_cancelled()?;
            let read = content
                .read(&mut buffer)
                .map_err(|cause| error::unreadable(&file.path, cause))?;
            if read == 0 {
                break;
            }
            scan.stretch(&buffer[..read]);
        }
        Ok(scan.places)
    }

    fn row_groups(&self, file: &Piece, part_bytes: u64) -> Result<(Vec<u64>, u64)> {
        let metadata = match self.access.remote(file)? {
            Some(remote) => self.access.runtime.block_on(async {
                let mut reader = remote.parquet().await?;
                ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new())
                    .await
                    .map_err(|cause| super::columnar::unreadable(&file.path, cause))
            }),
            None => footer(file, &content::open(file)?),
        };
        // A file that can't be read says so when its turn comes.
        let Ok(metadata) = metadata else {
            return Ok((Vec::new(), file.bytes));
        };
        let groups = metadata.metadata().row_groups();
        let mut places = Vec::new();
        let mut size = 0;
        for (index, group) in groups.iter().enumerate() {
            if size >= part_bytes {
                places.push(index as u64);
                size = 0;
            }
            size += u64::try_from(group.compressed_size()).unwrap_or(0);
        }
        Ok((places, groups.len() as u64))
    }

    fn check_cancelled(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "the run was cancelled"));
        }
        Ok(())
    }
}

/// Follows quotes through a file, as the decoder does: one opens a field where the field begins with it, and the next single one closes it.
#[derive(Debug)]
struct QuoteScan<'a> {
    delimiter: u8,
    quote: u8,
    /// Places that have not been passed.
    targets: &'a [u64],
    places: Vec<u64>,
    /// Bytes before this stretch.
    before: u64,
    previous: u8,
    is_quoted: bool,
    /// The last byte closed a field, or is the first of two quotes.
    is_after_quote: bool,
}

impl<'a> QuoteScan<'a> {
    fn new(delimiter: u8, quote: u8, targets: &'a [u64]) -> Self {
        Self {
            delimiter,
            quote,
            targets,
            places: Vec::new(),
            before: 0,
            previous: b'\n',
            is_quoted: false,
            is_after_quote: false,
        }
    }

    fn is_searching(&self) -> bool {
        !self.targets.is_empty()
    }

    fn stretch(&mut self, bytes: &[u8]) {
        let mut at = 0;
        if self.before == 0 && bytes.starts_with(b"\xEF\xBB\xBF") {
            at = 3;
        }
        let first = at;
        while at < bytes.len() {
            if self.is_quoted {
                let Some(found) = memchr::memchr(self.quote, &bytes[at..]) else {
                    break;
                };
                at += found + 1;
                self.is_quoted = false;
                self.is_after_quote = true;
            } else if std::mem::take(&mut self.is_after_quote) && bytes[at] == self.quote {
                at += 1;
                self.is_quoted = true;
            } else {
                let opened = self.opening(bytes, first, at);
                let end = opened.unwrap_or(bytes.len());
                self.search(&bytes[at..end], at);
                self.is_quoted = opened.is_some();
                at = end + 1;
            }
        }
        self.before += bytes.len() as u64;
        self.previous = bytes.last().copied().unwrap_or(self.previous);
    }

    /// The next quote that a field begins with.
    fn opening(&self, bytes: &[u8], first: usize, at: usize) -> Option<usize> {
        memchr::memchr_iter(self.quote, &bytes[at..])
            .map(|found| at + found)
            .find(|quote| {
                let previous = if *quote == first {
                    self.previous
                } else {
                    bytes[quote - 1]
                };
                previous == self.delimiter || matches!(previous, b'\n' | b'\r')
            })
    }

    /// Takes the line ends that are wanted from a stretch outside of quotes, which begins at `at`.
    fn search(&mut self, outside: &[u8], at: usize) {
        let start = self.before + at as u64;
        while let Some(target) = self.targets.first() {
            let from = usize::try_from(target.saturating_sub(start)).unwrap_or(usize::MAX);
            let Some(rest) = outside.get(from..) else {
                return;
            };
            let Some(found) = memchr::memchr(b'\n', rest) else {
                return;
            };
            let place = start + (from + found) as u64 + 1;
            self.places.push(place);
            // Targets that lie before it have their place in it too.
            let passed = self.targets.partition_point(|target| *target < place);
            self.targets = &self.targets[passed.max(1)..];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places(text: &[u8], targets: &[u64], stretch: usize) -> Vec<u64> {
        let mut scan = QuoteScan::new(b',', b'"', targets);
        for bytes in text.chunks(stretch) {
            scan.stretch(bytes);
        }
        scan.places
    }

    fn records(text: &[u8]) -> Vec<Vec<Vec<u8>>> {
        csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(text)
            .byte_records()
            .map(|record| record.unwrap().iter().map(<[u8]>::to_vec).collect())
            .collect()
    }

    #[test]
    fn a_line_end_within_quotes_is_no_place() {
        let text = b"a,b\n1,\"x\ny\"\"\n\"\n2,5\"\n3,z\n";
        for stretch in 1..text.len() {
            assert_eq!(places(text, &[5], stretch), [15], "{stretch}");
            assert_eq!(places(text, &[0, 1, 17], stretch), [4, 20], "{stretch}");
        }
        assert_eq!(places(b"\xEF\xBB\xBF\"\n\"\n1\n", &[1], 100), [7]);
    }

    proptest! {
        #[test]
        fn parts_hold_the_records_of_the_whole(
            rows in prop::collection::vec(prop::collection::vec("[ab,\"\r\n]{0,6}", 1..4), 1..12),
            targets in prop::collection::btree_set(0_u64..120, 1..5),
            stretch in 1_usize..50,
        ) {
            let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let text = writer.into_inner().unwrap();
            let targets: Vec<u64> = targets.into_iter().collect();
            let places = places(&text, &targets, stretch);
            let mut parts = Vec::new();
            let mut start = 0;
            for place in places.iter().map(|place| usize::try_from(*place).unwrap()).chain([text.len()]) {
                parts.extend(records(&text[start..place]));
                start = place;
            }
            prop_assert_eq!(parts, records(&text));
        }
    }
}

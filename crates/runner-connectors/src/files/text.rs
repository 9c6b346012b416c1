//! Reads a piece of text on a thread of its own: bytes in, batches of rows and the ends of pages out.

use std::sync::Arc;

use bytes::Bytes;
use runner_core::checkpoint::Warning;
use runner_core::{Error, ErrorKind, PageCursor, Result};
use runner_plan::model::{ColumnSource, DataFormat, RowPath, RowPathStep};

use super::chain::Reading;
use super::content::{Content, check_unchanged};
use super::error;
use super::lines;
use crate::decode::{self, PageDecoder, PageSummary};
use crate::schema::TypeBinding;
use crate::source::Gone;

/// Decoded bytes of a page: behind each a barrier may stand.
const PAGE_BYTES: u64 = 8 << 20;
/// The names of all fields have to lie within these first bytes.
const HEADER_BYTES: usize = 4 << 20;

/// One piece while it is read.
struct TextReader<'a> {
    reading: &'a mut Reading,
    decoder: PageDecoder,
    /// Where the page began.
    page_start: u64,
    received: u64,
}

/// Reads the piece to its end; false where nobody takes its rows any more.
pub(super) fn read(reading: &mut Reading) -> Result<bool> {
    let start = reading.start();
    let mut content = reading.stream.access.content(&reading.piece, start)?;
    let first = content.next()?;
    let Some(first) = first else {
        return nothing(reading, start);
    };
    let mut options = reading.options();
    options.offset = start;
    options.lines = Some(lines::before(&reading.stream, &reading.piece, start));
    if reading.piece.kind.format == DataFormat::Csv {
        let header = header(reading, start, &first)?;
        options.header = (start > 0)
            .then(|| header.map(Arc::<[String]>::from))
            .flatten();
    }
    let decoder = PageDecoder::new(
        reading.piece.kind.format,
        &reading.stream.rows,
        reading.stream.schema.clone(),
        options,
    )?;
    let reader = TextReader {
        reading,
        decoder,
        page_start: start,
        received: 0,
    };
    reader.run(&mut content, first)
}

/// A piece without bytes has no rows, unless it had to be a document.
fn nothing(reading: &mut Reading, start: u64) -> Result<bool> {
    if start > 0 {
        // The rest of a file that was read to its last byte.
        return Ok(reading.end(PageSummary::default(), 0, None).is_ok());
    }
    if !reading.piece.kind.has_records() {
        return Err(error::empty(reading.piece.kind.format_name()));
    }
    let summary = PageSummary {
        warnings: vec![Warning {
            code: "empty_file".to_owned(),
            stream: Some(reading.stream.name.clone()),
            message: format!("the file `{}` is empty", reading.piece.path),
        }],
        ..PageSummary::default()
    };
    Ok(reading.end(summary, 0, None).is_ok())
}

impl TextReader<'_> {
    fn run(mut self, content: &mut Content, first: Bytes) -> Result<bool> {
        let mut next = Some(first);
        while let Some(bytes) = next {
            self.decoder.push(bytes)?;
            if self.deliver(content)?.is_err() {
                return Ok(false);
            }
            next = content.next()?;
        }
        self.decoder.end()?;
        if self.deliver(content)?.is_err() {
            return Ok(false);
        }
        check_unchanged(&self.reading.piece)?;
        let received = content.received() - self.received;
        let summary = self.decoder.finish()?;
        if !summary.rows_found {
            return Err(no_rows(&self.reading.stream.rows, &summary));
        }
        Ok(self.reading.end(summary, received, None).is_ok())
    }

    /// Hands on what is decoded, with the end of a page where it is large enough.
    fn deliver(&mut self, content: &Content) -> Result<Result<(), Gone>> {
        while let Some(rows) = self.decoder.next_rows()? {
            if self.reading.deliver(rows).is_err() {
                return Ok(Err(Gone));
            }
            let page_bytes = self.reading.stream.page_bytes.unwrap_or(PAGE_BYTES);
            let Some(offset) = self
                .decoder
                .offset()
                .filter(|offset| offset - self.page_start >= page_bytes)
            else {
                continue;
            };
            let Some(summary) = self.decoder.cut() else {
                continue;
            };
            let received = content.received();
            let bytes = received - std::mem::replace(&mut self.received, received);
            self.page_start = offset;
            if self
                .reading
                .end(summary, bytes, Some(PageCursor::Byte(offset)))
                .is_err()
            {
                return Ok(Err(Gone));
            }
        }
        Ok(Ok(()))
    }
}

/// Names of the fields, from the file's beginning; none where the decoder will say what is wrong with it.
fn header(reading: &Reading, start: u64, first: &Bytes) -> Result<Option<Vec<String>>> {
    let text = &reading.options().text;
    let names = if start == 0 {
        decode::csv_header(first, false, text)?
    } else {
        whole_header(reading)?
    };
    if let Some(names) = names.as_ref().filter(|_| text.has_header) {
        check_header(reading, names)?;
    }
    Ok(names)
}

fn whole_header(reading: &Reading) -> Result<Option<Vec<String>>> {
    let text = &reading.options().text;
    let mut content = reading.stream.access.content(&reading.piece, 0)?;
    let mut start = Vec::new();
    loop {
        let next = content.next()?;
        start.extend_from_slice(next.as_deref().unwrap_or_default());
        if let Some(names) = decode::csv_header(&start, next.is_none(), text)? {
            return Ok(Some(names));
        }
        if next.is_none() || start.len() > HEADER_BYTES {
            return Err(Error::new(
                ErrorKind::SourceData,
                format!("the first line is longer than {HEADER_BYTES} bytes"),
            )
            .with_help("check `config.csv.delimiter` and `config.csv.quote`"));
        }
    }
}

/// Where the document says which fields there are, a first line that names none of them is no header.
fn check_header(reading: &Reading, names: &[String]) -> Result<()> {
    let schema = reading.stream.schema.current();
    let wanted: Vec<String> = schema
        .columns
        .iter()
        .filter(|column| column.binding == TypeBinding::Fixed || !schema.is_open)
        .filter_map(|column| match &column.source {
            ColumnSource::Field(RowPath::Steps(steps)) => dotted(steps),
            _ => None,
        })
        .collect();
    let is_named = |wanted: &String| {
        names
            .iter()
            .any(|name| name.trim() == wanted || decode::snake_case(name) == *wanted)
    };
    if wanted.is_empty() || wanted.iter().any(is_named) {
        return Ok(());
    }
    Err(error::no_header(names, &wanted))
}

fn dotted(steps: &[RowPathStep]) -> Option<String> {
    let names: Option<Vec<&str>> = steps
        .iter()
        .map(|step| match step {
            RowPathStep::Name(name) => Some(name.as_str()),
            RowPathStep::Index(_) | RowPathStep::Each => None,
        })
        .collect();
    names.map(|names| names.join("."))
}

fn no_rows(rows: &RowPath, summary: &PageSummary) -> Error {
    let path = decode::row_path_text(rows);
    let error = Error::new(
        ErrorKind::SourceData,
        format!("the file has nothing at `{path}`"),
    )
    .with_help("check `response_path`");
    match &summary.instead {
        Some(instead) => error.with_context("found", instead),
        None => error,
    }
}

//! JSON lines: one row a line. A line that is no JSON is an invalid row, and the lines after it are read.

use runner_core::Result;

use super::rows::JsonRows;
use crate::decode::options::DecodeOptions;
use crate::decode::records::{RecordFormat, RecordPage, Records};
use crate::schema::StreamSchema;

/// Finds the lines of a page.
#[derive(Debug, Default)]
pub(crate) struct JsonLines {
    /// Bytes of the next line in which no end was found.
    searched: usize,
}

/// A page of lines.
pub(crate) fn json_lines(
    schema: StreamSchema,
    options: DecodeOptions,
) -> Result<RecordPage<JsonLines>> {
    let reader = JsonRows::new(options.max_depth);
    RecordPage::new(JsonLines::default(), reader, schema, options)
}

impl RecordFormat for JsonLines {
    type Reader = JsonRows;
    const NAME: &'static str = "JSON lines";
    const ROW: &'static str = "a line";

    fn take(&mut self, records: &mut Records<JsonRows>) -> Result<()> {
        let Records { batch, input, at } = records;
        while !batch.is_full() {
            let rest = &batch.buffer[*at..];
            let Some(found) = memchr::memchr(b'\n', &rest[self.searched..]) else {
                self.searched = rest.len();
                return Ok(());
            };
            let length = self.searched + found;
            let line = &rest[..length];
            let start = *at + line.len() - line.trim_ascii_start().len();
            let end = start + line.trim_ascii().len();
            let is_text = !input.is_suspect || std::str::from_utf8(line).is_ok();
            *at += length + 1;
            self.searched = 0;
            if start >= end {
                continue;
            }
            if is_text {
                batch.take_row(start..end);
            } else {
                batch.take_unreadable(start..end);
            }
            batch.settle_early()?;
        }
        Ok(())
    }
}

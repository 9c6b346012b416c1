//! A page of CSV while it streams.

use runner_core::{Error, Result};

use super::CsvForm;
use super::record::RecordScanner;
use super::rows::CsvRows;
use crate::decode::json::Stop;
use crate::decode::options::DecodeOptions;
use crate::decode::records::{RecordFormat, RecordPage, Records};
use crate::schema::StreamSchema;

/// Finds the records of a page.
#[derive(Debug)]
pub(crate) struct CsvRecords {
    /// A record whose end has not come yet.
    scanner: Option<RecordScanner>,
    /// The fields have names.
    is_named: bool,
}

/// A page whose first record may be the header.
pub(crate) fn csv_page(
    schema: StreamSchema,
    options: DecodeOptions,
) -> Result<RecordPage<CsvRecords>> {
    let reader = CsvRows::new(CsvForm::new(&options.text)?, options.max_depth);
    let header = options.header.clone();
    let format = CsvRecords {
        scanner: None,
        is_named: header.is_some(),
    };
    let mut page = RecordPage::new(format, reader, schema, options)?;
    if let Some(header) = &header {
        page.batch().name(header.iter().cloned())?;
    }
    Ok(page)
}

impl RecordFormat for CsvRecords {
    type Reader = CsvRows;
    const NAME: &'static str = "CSV";
    const ROW: &'static str = "a record";

    fn take(&mut self, records: &mut Records<CsvRows>) -> Result<()> {
        while !records.batch.is_full() {
            match records.batch.buffer.get(records.at) {
                Some(b'\n' | b'\r') => {
                    records.at += 1;
                    continue;
                }
                Some(_) => {}
                None => return Ok(()),
            }
            if !self.is_named || records.input.is_suspect || self.scanner.is_some() {
                let Some(end) = self.record_end(records) else {
                    return Ok(());
                };
                self.whole_record(records, end)?;
                records.at = end;
            } else {
                let at = records.at;
                let dialect = records.batch.reader.form().dialect;
                let taken = records.batch.take(at, |bytes| {
                    RecordScanner::new(dialect, at)
                        .scan(bytes)
                        .ok_or(Stop::Incomplete)
                });
                match taken {
                    Ok(end) => records.at = end,
                    Err(_) => {
                        self.scanner = Some(RecordScanner::new(dialect, at));
                        continue;
                    }
                }
            }
            records.batch.settle_early()?;
        }
        Ok(())
    }

    fn dropped(&mut self, count: usize) {
        if let Some(scanner) = &mut self.scanner {
            scanner.at -= count;
        }
    }

    fn endless(error: Error) -> Error {
        error.with_help("a quote that is never closed makes the rest of a file one field")
    }
}

impl CsvRecords {
    fn record_end(&mut self, records: &Records<CsvRows>) -> Option<usize> {
        let dialect = records.batch.reader.form().dialect;
        let scanner = self
            .scanner
            .get_or_insert_with(|| RecordScanner::new(dialect, records.at));
        let end = scanner.scan(&records.batch.buffer)?;
        self.scanner = None;
        Some(end)
    }

    /// Takes a record all of whose bytes are here.
    fn whole_record(&mut self, records: &mut Records<CsvRows>, end: usize) -> Result<()> {
        let Records { batch, input, at } = records;
        let record = *at..end;
        if !self.is_named {
            self.is_named = true;
            let dialect = batch.reader.form().dialect;
            let fields = dialect.fields(&batch.buffer[record.clone()]);
            if batch.options.text.has_header {
                let names = fields
                    .into_iter()
                    .map(|(text, _)| String::from_utf8_lossy(&text).into_owned());
                return batch.name(names);
            }
            batch.name(fields.iter().map(|_| String::new()))?;
        }
        let is_text =
            !input.is_suspect || std::str::from_utf8(&batch.buffer[record.clone()]).is_ok();
        if is_text {
            batch.take_row(record);
        } else {
            batch.take_unreadable(record);
        }
        Ok(())
    }
}

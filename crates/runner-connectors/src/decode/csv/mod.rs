//! CSV: one row a record, fields named by a header.
//!
//! Without a header, fields are `column_1`, `column_2`, … A record with more or fewer fields than there are names is an invalid row.
//! A text that means null ([`runner_plan::model::TextFormat::nulls`]) does so only without quotes: `""` is an empty text.

mod cells;
mod page;
mod record;
mod rows;

use runner_core::checkpoint::Warning;
use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::TextFormat;
use serde_json::{Map, Value};

pub(crate) use page::csv_page;
pub(crate) use rows::CsvRows;

use record::{Dialect, RecordScanner};

use super::names;
use super::text::shortened;

/// How rows are written: what is needed to make JSON of one.
#[derive(Clone, Debug)]
pub(crate) struct CsvForm {
    names: Vec<String>,
    dialect: Dialect,
    nulls: Nulls,
}

/// Texts that mean null.
#[derive(Clone, Debug)]
struct Nulls {
    texts: Vec<Vec<u8>>,
    /// Whether the empty text is one of them.
    has_empty: bool,
    /// Whether one of them begins with a byte: hardly any cell gets past this.
    begins: [bool; 256],
}

/// Names of the fields by a file's first bytes, if they hold the first record; without a header, as many empty names as it has fields.
pub(crate) fn csv_header(
    start: &[u8],
    is_whole: bool,
    text: &TextFormat,
) -> Result<Option<Vec<String>>> {
    let dialect = CsvForm::new(text)?.dialect;
    let start = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start);
    let Some(at) = start.iter().position(|byte| !matches!(byte, b'\n' | b'\r')) else {
        return Ok(is_whole.then(Vec::new));
    };
    let found = RecordScanner::new(dialect, at).scan(start);
    let Some(end) = found.or_else(|| is_whole.then_some(start.len())) else {
        return Ok(None);
    };
    let names = dialect
        .fields(&start[at..end])
        .into_iter()
        .map(|(name, _)| {
            if text.has_header {
                String::from_utf8_lossy(&name).into_owned()
            } else {
                String::new()
            }
        });
    Ok(Some(names.collect()))
}

impl Nulls {
    fn new(texts: &[String]) -> Self {
        let mut begins = [false; 256];
        for first in texts.iter().filter_map(|text| text.as_bytes().first()) {
            begins[usize::from(*first)] = true;
        }
        Self {
            texts: texts.iter().map(|text| text.as_bytes().to_vec()).collect(),
            has_empty: texts.iter().any(String::is_empty),
            begins,
        }
    }

    #[inline]
    fn has(&self, text: &[u8]) -> bool {
        match text.first() {
            None => self.has_empty,
            Some(first) => {
                self.begins[usize::from(*first)] && self.texts.iter().any(|null| null == text)
            }
        }
    }
}

impl CsvForm {
    fn new(text: &TextFormat) -> Result<Self> {
        let byte = |character: char, what: &str| {
            u8::try_from(character)
                .ok()
                .filter(|byte| byte.is_ascii() && !matches!(byte, b'\n' | b'\r'))
                .ok_or_else(|| {
                    let message = format!(
                        "`{character}` can't be the {what} of CSV: only ASCII characters can"
                    );
                    Error::new(ErrorKind::Spec, message)
                })
        };
        Ok(Self {
            names: Vec::new(),
            dialect: Dialect {
                delimiter: byte(text.delimiter, "delimiter")?,
                quote: byte(text.quote, "quote")?,
            },
            nulls: Nulls::new(&text.nulls),
        })
    }

    /// Names of the fields; those that are missing or there twice get one of their own.
    fn name(&mut self, fields: impl Iterator<Item = String>) {
        for (index, field) in fields.enumerate() {
            let field = field.trim();
            let name = if field.is_empty() {
                format!("column_{}", index + 1)
            } else {
                field.to_owned()
            };
            let name = names::unique(name, |name| self.names.iter().any(|taken| taken == name));
            self.names.push(name);
        }
    }

    #[inline]
    fn is_null(&self, text: &[u8], is_quoted: bool) -> bool {
        !is_quoted && self.nulls.has(text)
    }

    /// The row as a JSON object of texts and nulls.
    pub(crate) fn json(&self, row: &[u8]) -> String {
        let mut object = Map::new();
        for (index, (text, is_quoted)) in self.dialect.fields(row).into_iter().enumerate() {
            let name = match self.names.get(index) {
                Some(name) => name.clone(),
                None => format!("column_{}", index + 1),
            };
            let value = if self.is_null(&text, is_quoted) {
                Value::Null
            } else {
                Value::from(String::from_utf8_lossy(&text).into_owned())
            };
            object.insert(name, value);
        }
        Value::Object(object).to_string()
    }

    /// A header of one name that another delimiter would part: most likely it does, and all rows look like one text each.
    pub(crate) fn doubtful_header(&self) -> Option<Warning> {
        let [name] = &self.names[..] else {
            return None;
        };
        let (delimiter, written) = [(';', ";"), ('\t', "\\t"), ('|', "|"), (',', ",")]
            .into_iter()
            .find(|(delimiter, _)| name.contains(*delimiter))?;
        (u32::from(self.dialect.delimiter) != u32::from(delimiter)).then(|| Warning {
            code: "doubtful_header".to_owned(),
            stream: None,
            message: format!(
                "the header is the one name `{}`: if `{written}` parts its names, write `config.csv.delimiter: \"{written}\"`",
                shortened(name.as_bytes(), 80)
            ),
        })
    }
}

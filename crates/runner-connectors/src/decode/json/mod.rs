//! JSON: documents whose rows are somewhere within, and lines of it.

mod cursor;
mod document;
mod envelope;
mod lines;
mod missed;
pub(crate) mod paths;
mod rows;
mod scanner;
mod value;

pub(crate) use cursor::Stop;
pub(crate) use document::JsonDocument;
pub(crate) use envelope::JsonPage;
pub(crate) use lines::json_lines;
pub(crate) use paths::{Path, needs_whole, row_path_text};
pub(crate) use rows::{JsonRows, names, not_taken, path_of, reason};
pub(crate) use value::take_cell_json;

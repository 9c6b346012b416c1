//! What can be wrong with a page as a whole. Every error names the place: the request or file, and the byte.

use runner_core::{Error, ErrorKind};
use runner_plan::model::ColumnType;

use super::text::shortened;

/// A page's bytes can't be decoded.
pub(crate) fn malformed(origin: &str, format: &str, offset: u64, what: &str, near: &[u8]) -> Error {
    let near = shortened(near.trim_ascii(), 40);
    Error::new(
        ErrorKind::SourceData,
        format!("failed to read {format} at byte {offset}: {what}, near `{near}`"),
    )
    .with_context("origin", origin)
}

pub(crate) fn truncated(origin: &str, format: &str, offset: u64) -> Error {
    Error::new(
        ErrorKind::SourceData,
        format!("the {format} ends within a value, after {offset} bytes"),
    )
    .with_context("origin", origin)
    .with_help("the source sent less than it began: the answer was cut off, or it is not complete at the source")
    .with_retry(runner_core::Retry::WithBackoff)
    .with_blame(runner_core::Blame::External)
}

pub(crate) fn empty(origin: &str, format: &str) -> Error {
    Error::new(
        ErrorKind::SourceData,
        format!("the response is empty where {format} was expected"),
    )
    .with_context("origin", origin)
    .with_help(
        "if an empty response means that there are no rows, say so with `on_status: {200: empty}`",
    )
}

pub(crate) fn markup(origin: &str, near: &[u8]) -> Error {
    Error::new(
        ErrorKind::SourceData,
        format!(
            "the response is HTML or XML where JSON was expected: it begins with `{}`",
            shortened(near, 60)
        ),
    )
    .with_context("origin", origin)
    .with_help("check the address: a login page or an error page often answers with status 200")
}

pub(crate) fn encoding(origin: &str, encoding: &str) -> Error {
    Error::new(
        ErrorKind::SourceData,
        format!("the text is encoded in {encoding}, and only UTF-8 can be read"),
    )
    .with_context("origin", origin)
}

pub(crate) fn not_utf8(origin: &str, offset: u64) -> Error {
    Error::new(
        ErrorKind::SourceData,
        format!("the text is not UTF-8 at byte {offset}"),
    )
    .with_context("origin", origin)
}

pub(crate) fn too_large(origin: &str, what: &str, limit: u64) -> Error {
    Error::new(
        ErrorKind::SourceData,
        format!("{what} is larger than {limit} bytes"),
    )
    .with_context("origin", origin)
    .with_help("a response_path of names, indices and `[*]` is read as it streams; otherwise raise `config.max_document_bytes`")
}

pub(crate) fn start_over(origin: &str, reason: String) -> Error {
    Error::new(ErrorKind::SourceData, reason)
        .with_context("origin", origin)
        .with_help("the stream has to be read again with the wider type; a type in the contract decides it from the start")
}

pub(crate) fn constant(name: &str, text: &str, column_type: &ColumnType) -> Error {
    Error::new(
        ErrorKind::SourceData,
        format!(
            "column `{name}` takes a variable whose value `{}` is no {column_type}",
            shortened(text.as_bytes(), 100)
        ),
    )
}

/// A bug: the columns of a batch don't make one.
pub(crate) fn not_a_batch(origin: &str, cause: arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::Internal, "decoded columns don't make a batch")
        .with_context("origin", origin)
        .with_source(cause)
}

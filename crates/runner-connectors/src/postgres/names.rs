//! Names in SQL: quoted, so that they may be anything; and those of the sink's own tables.

use runner_core::{Attempt, Error, ErrorKind, FeedId, LoadContext, Result, Retry};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of an identifier; PostgreSQL cuts longer ones without a word.
const MAX_BYTES: usize = 63;

/// Numbers the segments of a staging table's parts.
pub(super) const PART_COLUMN: &str = "_uis_part";
/// Chain of a row, where keys are ranked.
pub(super) const CHAIN_COLUMN: &str = "_uis_chain";
/// Order of arrival over all attempts and lanes, where keys are ranked.
pub(super) const ROW_COLUMN: &str = "_uis_row";
/// Table of the marks.
pub(super) const LOADS_TABLE: &str = "_uis_loads";

/// An identifier in double quotes.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in single quotes.
pub(super) fn literal(text: &str) -> String {
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// A table in a schema, quoted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TableName {
    pub schema: String,
    pub table: String,
}

impl TableName {
    pub(super) fn new(schema: &str, table: &str) -> Self {
        Self {
            schema: schema.to_owned(),
            table: table.to_owned(),
        }
    }

    pub(super) fn sql(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.table))
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// Refuses names that the server would cut or can't hold.
pub(super) fn check(name: &str, what: &str) -> Result<()> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > MAX_BYTES {
        "is longer than the 63 bytes that PostgreSQL keeps of a name"
    } else if name.contains('\0') {
        "holds a NUL character"
    } else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::Sink,
        format!("the name of {what} `{name}` {problem}"),
    )
    .with_retry(Retry::Never)
    .with_help("map the field to another name"))
}

/// What the names of a feed's staging tables for one table begin with.
pub(super) fn staging_prefix(feed: &FeedId, load: &str) -> String {
    format!(
        "_uis_stage_{:016x}_",
        xxh3_64(format!("{feed}/{load}").as_bytes())
    )
}

/// A staging table that no other writer has.
pub(super) fn staging(load: &LoadContext, attempt: Attempt) -> String {
    format!(
        "{}{:08x}_a{}_{:08x}",
        staging_prefix(&load.feed, &load.id.load),
        xxh3_64(load.id.job.as_str().as_bytes()) >> 32,
        attempt.0,
        rand::random::<u32>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_end_their_quotes() {
        assert_eq!(
            quote("a\"; DROP TABLE x; --"),
            "\"a\"\"; DROP TABLE x; --\""
        );
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
    }

    #[test]
    fn names_that_would_be_cut_are_refused() {
        assert!(check(&"x".repeat(63), "column").is_ok());
        assert!(check(&"é".repeat(32), "column").is_err());
        assert!(check("", "column").is_err());
        assert!(check("a\0", "column").is_err());
    }
}

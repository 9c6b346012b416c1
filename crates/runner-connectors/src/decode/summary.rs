//! What is known of a page when its rows have been taken.

use std::collections::BTreeMap;

use runner_core::checkpoint::{Observed, Warning};

/// The page as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageSummary {
    /// Rows, the invalid ones included.
    pub rows: u64,
    /// Whether the path of the rows led anywhere. Where it didn't, that is no error of the decoder: the envelope may say why
    /// (an API's error in a response with status 200), and the source turns both into one.
    pub rows_found: bool,
    /// The document as a whole is the only row: it may be no row at all, but an API's error.
    pub is_document: bool,
    /// How far the path of the rows led where it led nowhere, and what is there: `$.data has the keys …`.
    pub instead: Option<String>,
    /// 128-bit hash of the rows as they came, hex. It does not depend on how the bytes were cut into pushes and batches.
    pub hash: String,
    /// Value of each of [`super::DecodeOptions::captures`], where it was there.
    pub captured: Vec<Option<serde_json::Value>>,
    /// Scalars of the envelope (what surrounds the rows) by dotted path, for finding the next page without being told where it is:
    /// at most 256 of them, down to the fourth level, of at most 8 KiB each.
    pub envelope: BTreeMap<String, serde_json::Value>,
    /// The source's own fields, before mapping.
    pub observed: Observed,
    /// Values of fields that no column names.
    pub fields_dropped: u64,
    pub warnings: Vec<Warning>,
}

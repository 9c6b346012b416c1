//! Positions: how far one chain of requests, or one file, has been read.

use serde::{Deserialize, Serialize};

/// Names a chain within its stream; the same in every attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChainKey {
    /// Order of the chain in its stream.
    pub index: u64,
    /// The value that the chain was made for (a parent's value, a file's location); empty for a single chain.
    pub value: String,
    /// The window's index, where the stream is read in steps.
    pub window: u32,
}

/// How far a chain has been read. Scrubbed of secrets before it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    pub chain: ChainKey,
    /// How often the chain was started over; parts of earlier generations are superseded.
    pub generation: u32,
    /// Pages sealed.
    pub pages: u64,
    /// Rows read.
    pub rows: u64,
    /// The request that gave the last sealed page; it is the one that is asked for again.
    pub last_page: PageCursor,
    /// Hash of that page's rows, hex.
    pub last_page_hash: String,
    /// Where the next page is.
    pub next: Option<PageCursor>,
    /// Set when the chain has been read to its end.
    pub end: Option<ChainEnd>,
    /// Hashes of the cursors seen, for the loop guard; bounded.
    pub seen: Vec<String>,
    /// When it was sealed, in milliseconds since the epoch.
    pub sealed_at_ms: i64,
}

/// Where a page is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "value")]
pub enum PageCursor {
    First,
    Offset(u64),
    Page(u64),
    Token(String),
    Url(String),
    /// A byte offset into a file, at a row's start; a row group for Parquet.
    Byte(u64),
}

/// Why a chain has no more pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainEnd {
    /// The source has no more.
    Natural,
    /// A full page without a next one, under pagination by default: a warning.
    FullPage,
    MaxPages,
    RowLimit,
    /// `on_status: skip`.
    Skipped,
}

impl ChainEnd {
    /// Only a chain that was read to its natural end may move a cursor.
    pub fn is_natural(self) -> bool {
        matches!(self, Self::Natural | Self::FullPage)
    }
}

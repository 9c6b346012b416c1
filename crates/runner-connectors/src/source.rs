//! The source port: a stream is a set of chains (of requests, of files), each read page by page.

mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use runner_core::checkpoint::{Observed, Warning};
use runner_core::{ChainKey, Position, Result, Seq};

pub use steps::{ChainProgress, Gone, StepSender, Steps, steps};

use crate::rows::Rows;

/// Which chain to read, and with what.
#[derive(Clone, Debug)]
pub struct ChainRequest {
    pub key: ChainKey,
    pub generation: u32,
    /// The parent's value, the for_each value, under the names that the templates use.
    pub variables: BTreeMap<String, String>,
    pub window: Option<WindowBounds>,
}

/// Half-open, as the cursor's text; either may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowBounds {
    pub from: Option<String>,
    pub to: Option<String>,
    /// The stored cursor, for `{{ last_cursor }}`.
    pub last_cursor: Option<String>,
}

/// One step of reading a chain.
#[derive(Debug)]
pub enum Fetched {
    Rows(Rows),
    /// The rows that follow were read before, by another run: they are what they were then.
    Replayed(Provenance),
    /// Every row of the page has been delivered: a barrier may stand here.
    PageEnd(Box<PageEnd>),
    /// The page that was asked for again is not the one that was sealed, or the cursor was refused:
    /// the chain has to start over as its next generation.
    Restart {
        reason: String,
    },
}

/// Where rows of the quarantine came from when they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Number of the run that read them: rows merge by it.
    pub seq: Seq,
    /// Value of their chain.
    pub chain: Arc<str>,
    pub page: u64,
}

/// A page has been read whole.
#[derive(Clone, Debug)]
pub struct PageEnd {
    /// Where the chain stands after it; `end` is set on the last page.
    pub position: Position,
    /// Rows of this page, the invalid ones included.
    pub rows: u64,
    /// Requests sent for it, retries included, and bytes of bodies as received.
    pub requests: u64,
    pub bytes: u64,
    /// What was seen of the source's schema on this page.
    pub observed: Observed,
    /// Values of fields that no mapping names.
    pub fields_dropped: u64,
    /// The source's own total, where it states one.
    pub total: Option<u64>,
    pub warnings: Vec<Warning>,
}

/// A chain being read. Dropping it stops it.
#[async_trait]
pub trait Chain: Send {
    /// `None` after the page whose position has an end.
    async fn next(&mut self) -> Result<Option<Fetched>>;
}

/// A stream that can be read.
#[async_trait]
pub trait Source: Send + Sync {
    /// Chains that the source itself knows of (files of a folder), each as a text of its own; none where the plan says how many there
    /// are. It is asked once a run: the list is sealed before the first chain is read, and every attempt goes by it.
    async fn list(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    /// The chains of a sealed list, in its order.
    async fn take_up(&self, _listed: &[String]) -> Result<Vec<ChainKey>> {
        Ok(Vec::new())
    }
    /// Starts a chain, or goes on after the page that `from` names.
    async fn open(&self, chain: ChainRequest, from: Option<Position>) -> Result<Box<dyn Chain>>;
}

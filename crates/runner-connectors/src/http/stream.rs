//! What the pages of a stream, and of a chain, have in common.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;
use runner_plan::model;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::exchange::{Exchange, Traffic};
use super::pages::{Captures, ResponseFacts};
use super::request::RequestTemplate;
use super::scope::ChainScope;
use crate::decode::{DecodeOptions, PageSummary};
use crate::schema::StreamSchema;
use crate::scrub::Scrubber;
use crate::source::ChainRequest;

/// One stream, ready to be read.
#[derive(Debug)]
pub(super) struct StreamState {
    pub(super) name: String,
    pub(super) http: model::HttpSource,
    pub(super) template: RequestTemplate,
    pub(super) captures: Captures,
    pub(super) exchange: Exchange,
    pub(super) schema: StreamSchema,
    /// Without what differs from page to page.
    pub(super) decode_options: DecodeOptions,
    /// Requests under way at once, over all chains.
    pub(super) permits: Arc<Semaphore>,
    pub(super) parallelism: usize,
    /// Bytes of rows that a page may hold back.
    pub(super) held_bytes: usize,
    pub(super) row_limit: Option<u64>,
    pub(super) is_graphql: bool,
}

/// One chain being read.
#[derive(Debug)]
pub(super) struct ChainState {
    pub(super) request: ChainRequest,
    pub(super) scope: ChainScope,
    /// Values of the columns that every row of the chain has alike.
    pub(super) constants: BTreeMap<String, String>,
    pub(super) traffic: Traffic,
}

impl StreamState {
    pub(super) fn scrubber(&self) -> &Scrubber {
        self.exchange.secrets.scrubber()
    }

    pub(super) fn facts<'a>(
        &self,
        summary: &'a PageSummary,
        headers: &'a HeaderMap,
    ) -> ResponseFacts<'a> {
        // One more may follow: the API's errors.
        let pages = self.captures.paths.len().min(summary.captured.len());
        ResponseFacts {
            headers,
            captured: &summary.captured[..pages],
            envelope: &summary.envelope,
        }
    }

    /// What stands where APIs put their errors.
    pub(super) fn errors<'a>(&self, summary: &'a PageSummary) -> Option<&'a Value> {
        summary.captured.get(self.captures.paths.len())?.as_ref()
    }
}

//! What a plan is made from, and what comes out.

use std::collections::{BTreeMap, BTreeSet};

use runner_spec::model::EngineName;
use runner_spec::{Diagnostic, Spec};

use crate::environment::Environment;
use crate::model::{ColumnField, ExplicitWindow, Plan};

/// Everything that decides a plan. Nothing else does: no clock, no file, no network.
#[derive(Clone, Copy, Debug)]
pub struct PlanInputs<'a> {
    pub spec: &'a Spec,
    /// SHA-256 of the document after overlays, hex.
    pub document_hash: &'a str,
    pub environment: &'a Environment,
    /// Schemas stored by earlier runs of the feed.
    pub state: &'a FeedSchemas,
    /// Run parameters (`--param`).
    pub parameters: &'a BTreeMap<String, String>,
    pub options: &'a PlanOptions,
}

/// Columns that earlier runs stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedSchemas {
    /// Stream → its columns as last loaded, or as a probe saw them.
    pub streams: BTreeMap<String, Vec<ColumnField>>,
    /// Stream → column → the field of the raw rows that it was read from, where that is one of the row itself.
    pub sources: BTreeMap<String, BTreeMap<String, String>>,
    /// [`crate::LoadPlan::id`] → the table's columns.
    pub tables: BTreeMap<String, Vec<ColumnField>>,
    /// Streams whose columns come from a probe of the source, not from earlier runs.
    pub sampled: BTreeSet<String>,
    /// Stream → top-level fields of its raw rows, before mapping, as earlier runs or a probe saw them.
    pub fields: BTreeMap<String, BTreeSet<String>>,
}

/// What the caller asks for beside the document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// `--engine`.
    pub engine: Option<EngineName>,
    /// `--limit`: rows of each stream.
    pub limit: Option<u64>,
    /// `--base-url`: another server that stands in for the source.
    pub base_url: Option<String>,
    /// `--strict-connections`: refuse what isn't configured instead of replacing it.
    pub strict_connections: bool,
    /// Reads this window instead of the one after the cursor.
    pub window: Option<ExplicitWindow>,
}

/// A plan, unless something is an error, and everything that was noticed on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// Absent where a diagnostic is an error.
    pub plan: Option<Plan>,
    /// All of them, in the order of the document's parts.
    pub diagnostics: Vec<Diagnostic>,
}

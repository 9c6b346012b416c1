//! The Unified Ingestion Spec: its wire format, its parser with positions, and its diagnostics.
//!
//! No I/O and no runtime: a document comes in as text and leaves as a [`Spec`] plus everything that is wrong with it.
//!
//! ```
//! use runner_spec::{Options, RenderOptions, Source, load, render};
//!
//! let source = Source::new("feed.yaml", "name: prices\nprovder: {}\n");
//! let loaded = load(&source, &[], &Options::default());
//! assert!(loaded.spec.is_none());
//! let text = render(&loaded.diagnostics, &loaded.sources, RenderOptions::default());
//! assert!(text.contains("did you mean `provider`?"), "{text}");
//! ```
//!
//! The way of a document: [`Source`] → tree with positions (`read`) → overlays (`overlay`) → check against the table of
//! fields (`check`, `fields`) → [`model`] (`lower`) → rules over several fields (`rules`). The JSON Schema that editors use
//! comes from the same table ([`json_schema`]). Later phases report through [`Diagnostic`]s by [`FieldPath`], for which
//! [`SourceMap::place`] finds the lines.

mod alignment;
mod check;
mod code;
mod contract;
mod diagnostic;
mod fields;
mod for_each;
mod load;
mod lower;
pub mod model;
mod names;
mod overlay;
mod path;
mod read;
mod redact;
mod render;
mod rules;
mod schema;
mod source;
mod source_map;
mod tree;
mod values;
mod version;

pub use code::{Code, UnknownCode};
pub use diagnostic::{Diagnostic, Place, Severity};
pub use load::{Loaded, Options, load, read_value};
pub use model::Spec;
pub use names::nearest;
pub use path::{BadFieldPath, FieldPath, Segment};
pub use render::{RenderOptions, render, summary};
pub use rules::is_reversed;
pub use schema::json_schema;
pub use source::{Location, MAX_DOCUMENT_BYTES, Source, has_errors};
pub use source_map::SourceMap;
pub use values::{
    BadDuration, BadSchedule, Schedule, is_json_path, parse_duration, parse_json_path,
};

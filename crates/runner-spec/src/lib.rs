//! The Unified Ingestion Spec: its wire format, its parser with positions, and its diagnostics.
//!
//! No I/O and no runtime: a document comes in as text and leaves as a [`Spec`] plus everything that is wrong with it.

mod alignment;
mod code;
mod diagnostic;
mod load;
pub mod model;
mod names;
mod path;
mod render;
mod source;
mod source_map;
mod tree;

pub use code::{Code, UnknownCode};
pub use diagnostic::{Diagnostic, Place, Severity};
pub use load::{Loaded, Options, load};
pub use model::Spec;
pub use names::nearest;
pub use path::{BadFieldPath, FieldPath, Segment};
pub use render::{RenderOptions, render, summary};
pub use source::{Location, MAX_DOCUMENT_BYTES, Source, has_errors};
pub use source_map::SourceMap;

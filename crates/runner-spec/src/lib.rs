//! The Unified Ingestion Spec: its wire format, its parser with positions, and its diagnostics.
//!
//! No I/O and no runtime: a document comes in as text and leaves as a [`Spec`] plus everything that is wrong with it.

pub mod model;

pub use model::Spec;

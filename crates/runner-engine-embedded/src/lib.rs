//! The embedded engine: extraction, checks, stage and SQL in this process, on Arrow and DataFusion.
//!
//! A row-wise plan makes one pass: bytes become batches, batches are checked and go to every sink's own invisible form.
//! Only a plan with transforms stages its rows first.

mod added;
mod chains;
mod columns;
mod completeness;
mod conform;
mod cursor;
mod engine;
mod evaluate;
mod lane;
mod masking;
mod outputs;
mod parts;
mod preview;
mod quarantine;
mod read;
mod reading;
mod replay;
mod stream;
mod transform;
mod values;

pub use engine::{Connectors, EmbeddedEngine, Folders};
pub use parts::PartFolder;
pub use preview::{Preview, PreviewContext, PreviewRow};

//! The embedded engine: extraction, checks, stage and SQL in this process, on Arrow and DataFusion.
//!
//! A row-wise plan makes one pass: bytes become batches, batches are checked and go to every sink's own invisible form.
//! Only a plan with transforms stages its rows first.

mod added;
mod cursor;
mod evaluate;
mod masking;

//! What decoding gives, for every format.

#![expect(
    clippy::too_many_lines,
    reason = "tables of cases read best in one piece"
)]

mod conversion;
mod envelope;
mod faults;
mod parquet;
mod widening;

use super::harness::{Case, Decoded, column, field, steps};

//! What decoding gives, for every format.

mod conversion;
mod envelope;
mod faults;
mod widening;

use super::harness::{Case, Decoded, column, field, steps};

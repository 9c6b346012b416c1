//! The relation: mapping, checks and portable SQL as DataFusion expressions and logical plans.
//!
//! It plans and never executes: no physical plan, no data source, no catalog. The embedded engine executes what it builds;
//! other engines get it in their own dialect.

pub mod checks;

pub use checks::{CheckError, CompiledCheck, compile_check};

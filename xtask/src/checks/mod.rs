//! Checks of the repository that no tool on the market makes: each returns every violation, not the first.

pub(crate) mod arrows;
pub(crate) mod crate_count;
pub(crate) mod file_length;
pub(crate) mod row_values;
pub(crate) mod shell;

use anyhow::{Result, bail};

/// Turns a list of violations into one error that shows them all.
fn none_of(what: &str, violations: &[String]) -> Result<()> {
    if violations.is_empty() {
        return Ok(());
    }
    bail!(
        "{} {what}:\n  {}",
        violations.len(),
        violations.join("\n  ")
    )
}

//! A file that nobody can hold in their head is two files.

use std::fs;

use anyhow::{Context as _, Result};

use super::none_of;
use crate::workspace::{files, has_extension};

/// The most lines that a Rust file may have.
const LIMIT: usize = 600;

/// Fails with every Rust file of the repository that is too long; the number of files otherwise.
pub(crate) fn check() -> Result<usize> {
    let root = runner_e2e::repository();
    let sources: Vec<String> = files()?
        .into_iter()
        .filter(|file| has_extension(file, "rs"))
        .collect();
    let mut violations = Vec::new();
    for file in &sources {
        let text = fs::read_to_string(root.join(file))
            .with_context(|| format!("failed to read `{file}`"))?;
        let lines = text.lines().count();
        if lines > LIMIT {
            violations.push(format!("{file}: {lines} lines"));
        }
    }
    none_of(&format!("files of more than {LIMIT} lines"), &violations)?;
    Ok(sources.len())
}

//! The runner's file of secrets, which it takes only where nobody else can read it.

use std::{fs::OpenOptions, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Writes the file: paths, each with its keys.
pub fn write_secrets(file: &Path, secrets: &Value) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut opened| opened.write_all(secrets.to_string().as_bytes()))
        .with_context(|| format!("failed to write `{}`", file.display()))
}

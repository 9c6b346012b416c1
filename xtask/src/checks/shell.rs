//! shellcheck over every shell script.

use std::process::Command;

use anyhow::Result;

use crate::{
    command::captured,
    toolbox::tool,
    workspace::{files, has_extension},
};

/// Scripts without an extension.
const SCRIPTS: [&str; 1] = [".ci/run"];

/// Fails with what shellcheck says; the number of scripts checked otherwise.
pub(crate) fn check() -> Result<usize> {
    let scripts: Vec<String> = files()?
        .into_iter()
        .filter(|file| has_extension(file, "sh") || SCRIPTS.contains(&file.as_str()))
        .collect();
    if !scripts.is_empty() {
        let mut command = Command::new(tool("shellcheck")?);
        captured(
            command
                .arg("--severity=style")
                .args(&scripts)
                .current_dir(runner_e2e::repository()),
        )?;
    }
    Ok(scripts.len())
}

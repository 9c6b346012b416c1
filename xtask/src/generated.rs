//! Files that the binary writes about itself and that are kept in the repository: they are compared in every check.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{captured, cargo, inherited},
    workspace::{BINARY, Workspace},
};

/// A file and the command of the binary that prints it.
struct Generated {
    path: &'static str,
    arguments: &'static [&'static str],
}

const GENERATED: [Generated; 0] = [];

/// Writes every generated file anew.
pub(crate) fn write() -> Result<()> {
    inherited(cargo().args(["build", "--workspace", "--bin", BINARY, "--locked"]))?;
    let binary = Workspace::load()?.binary("debug");
    for file in &GENERATED {
        let path = target(file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, printed_by(&binary, file)?)
            .with_context(|| format!("failed to write `{}`", file.path))?;
        println!("wrote {}", file.path);
    }
    Ok(())
}

/// Fails with the names of those that differ from what the binary prints now; how many there are otherwise.
pub(crate) fn check(binary: &Path) -> Result<usize> {
    let mut stale = Vec::new();
    for file in &GENERATED {
        let kept = fs::read_to_string(target(file)).unwrap_or_default();
        if kept != printed_by(binary, file)? {
            stale.push(file.path);
        }
    }
    if !stale.is_empty() {
        bail!(
            "not current, run `cargo xtask generate`: {}",
            stale.join(", ")
        );
    }
    Ok(GENERATED.len())
}

fn printed_by(binary: &Path, file: &Generated) -> Result<String> {
    captured(Command::new(binary).args(file.arguments))
}

fn target(file: &Generated) -> PathBuf {
    runner_e2e::repository().join(file.path)
}

//! What cargo says about this workspace: its packages, their declared dependencies.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::command::{captured, cargo, inherited};

/// The package that holds the binary.
pub(crate) const BINARY_PACKAGE: &str = "runner";
/// The binary itself.
pub(crate) const BINARY: &str = "ingestion-runner";

#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    pub packages: Vec<Package>,
    pub target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub name: String,
    pub dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub name: String,
    /// `None` for an ordinary dependency, else `dev` or `build`.
    pub kind: Option<String>,
}

impl Dependency {
    pub(crate) fn is_for_development_only(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

impl Workspace {
    pub(crate) fn load() -> Result<Self> {
        let json = captured(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
        serde_json::from_str(&json).context("failed to read what `cargo metadata` printed")
    }

    pub(crate) fn package_names(&self) -> BTreeSet<&str> {
        self.packages
            .iter()
            .map(|package| package.name.as_str())
            .collect()
    }

    /// Where a build of the binary in a profile lands (`debug` for the profile `dev`).
    pub(crate) fn binary(&self, folder: &str) -> PathBuf {
        self.target_directory.join(folder).join(BINARY)
    }
}

/// Builds the binary for users and gives its path.
pub(crate) fn release_binary() -> Result<PathBuf> {
    println!("==> building the release binary");
    inherited(cargo().args([
        "build",
        "--release",
        "--workspace",
        "--locked",
        "--bin",
        BINARY,
    ]))?;
    Ok(Workspace::load()?.binary("release"))
}

/// The repository's files, by their paths from its root: no build output and nothing hidden, but for `.ci`.
pub(crate) fn files() -> Result<Vec<String>> {
    let root = runner_e2e::repository();
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))
            .with_context(|| format!("failed to list `{}`", folder.display()))?
        {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                if is_of_the_repository(&path) {
                    folders.push(path);
                }
            } else if let Some(path) = path.to_str() {
                files.push(path.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

fn is_of_the_repository(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name == ".ci" || !(name.starts_with('.') || name == "target" || name == "node_modules")
}

/// Whether a path ends in an extension.
pub(crate) fn has_extension(file: &str, extension: &str) -> bool {
    Path::new(file)
        .extension()
        .is_some_and(|found| found == extension)
}

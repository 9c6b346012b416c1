//! Builds the floor: a package outside the workspace, in the profile that the runner is measured in.

use std::path::PathBuf;

use anyhow::Result;
use runner_e2e::repository;

use crate::{
    command::{cargo, inherited},
    workspace::Workspace,
};

pub(super) fn build() -> Result<PathBuf> {
    println!("==> building the floor");
    let target = Workspace::load()?.target_directory.join("floor");
    let manifest = repository().join("bench/floor/Cargo.toml");
    inherited(
        cargo()
            .args(["build", "--release", "--locked", "--manifest-path"])
            .arg(manifest)
            .arg("--target-dir")
            .arg(&target),
    )?;
    Ok(target.join("release/floor"))
}

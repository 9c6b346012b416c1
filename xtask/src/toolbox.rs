//! cargo-nextest, cargo-deny and shellcheck: of this machine if it has them, else from the cache.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use runner_e2e::provision::{Cache, TOOLS};

/// A tool's program, installed if need be.
pub(crate) fn tool(name: &str) -> Result<PathBuf> {
    if let Some(program) = on_path(name) {
        return Ok(program);
    }
    let folder = Cache::open()?
        .install(&TOOLS)
        .with_context(|| format!("`{name}` is not on the PATH"))?;
    let program = folder.join("bin").join(name);
    anyhow::ensure!(
        program.is_file(),
        "the tools in `{}` hold no `{name}`",
        folder.display()
    );
    Ok(program)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|program| Path::is_file(program))
}

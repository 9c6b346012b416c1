//! One cache folder with everything that tests and benchmarks take from package registries.
//!
//! A [`Component`] is a pinned recipe. Its folder is named by the hash of that recipe, so a changed pin is a new folder
//! and two clones with different pins share one cache. A marker file, written last, says that a folder is whole.
//! Tests only look components up; `cargo xtask test` and `cargo xtask provision` install them.

mod components;
mod recipe;

pub use components::{
    BENCH_DLT, BENCH_FAUCET, BENCH_SLING, DATASETTE, FLIGHTS, NGINX, NODE_SERVERS, POSTGRES,
    READERS, REST_FRAMEWORKS, SEAWEEDFS, SERVERS, SPARK, TOOLS,
};

use std::{
    env,
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use recipe::Recipe;

const MARKER: &str = ".complete";
const LOCATION_VARIABLE: &str = "INGESTION_RUNNER_CACHE";

/// Something that a registry's ordinary client installs.
#[derive(Debug)]
pub struct Component {
    /// What it is called in messages, and how its folder's name begins.
    pub name: &'static str,
    recipe: Recipe,
}

impl Component {
    fn folder_name(&self) -> String {
        let digest = hex::encode(Sha256::digest(self.recipe.fingerprint()));
        format!("{}-{}", self.name, &digest[..12])
    }
}

/// The folder that holds the components.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$INGESTION_RUNNER_CACHE`, else `ingestion-runner` in the user's cache folder.
    pub fn open() -> Result<Self> {
        let user_cache = env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
        let root = env::var_os(LOCATION_VARIABLE)
            .map(PathBuf::from)
            .or_else(|| user_cache.map(|folder| folder.join("ingestion-runner")))
            .with_context(|| {
                format!(
                    "no cache folder: neither {LOCATION_VARIABLE}, XDG_CACHE_HOME nor HOME is set"
                )
            })?;
        Ok(Self { root })
    }

    /// Where the components lie.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of an installed component.
    pub fn find(&self, component: &Component) -> Result<PathBuf> {
        if let Some(folder) = component.recipe.already_on_this_machine() {
            return Ok(folder);
        }
        let folder = self.root.join(component.folder_name());
        if !folder.join(MARKER).is_file() {
            bail!(
                "not installed in `{}` (`cargo xtask provision` does)",
                self.root.display()
            );
        }
        Ok(folder)
    }

    /// Installs a component unless it is there, and says where. Concurrent callers wait for one another.
    pub fn install(&self, component: &Component) -> Result<PathBuf> {
        if let Ok(folder) = self.find(component) {
            return Ok(folder);
        }
        fs::create_dir_all(&self.root).with_context(|| {
            format!(
                "failed to create the cache folder `{}` (set {LOCATION_VARIABLE} to another)",
                self.root.display()
            )
        })?;
        let lock = File::create(self.root.join(format!("{}.lock", component.name)))?;
        lock.lock()
            .with_context(|| format!("failed to lock the installation of `{}`", component.name))?;
        // Whoever held the lock before may have installed it.
        if let Ok(folder) = self.find(component) {
            return Ok(folder);
        }
        let folder = self.root.join(component.folder_name());
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("failed to clear `{}`", folder.display()))?;
        }
        fs::create_dir_all(&folder)?;
        component
            .recipe
            .install(self, &folder)
            .with_context(|| format!("failed to install `{}`", component.name))?;
        fs::write(folder.join(MARKER), "")?;
        Ok(folder)
    }
}

/// A program that a component brings along, wherever its package puts it.
pub fn program(component: &Path, name: &str) -> Result<PathBuf> {
    let mut folders = vec![component.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() == name
                && entry.metadata()?.permissions().mode() & 0o111 != 0
            {
                return Ok(entry.path());
            }
        }
    }
    bail!("found no program `{name}` in `{}`", component.display())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn folders_are_named_by_their_recipe() {
        let names: BTreeSet<String> = SERVERS
            .iter()
            .map(|component| component.folder_name())
            .collect();
        assert_eq!(names.len(), SERVERS.len());
        assert!(
            names.iter().any(|name| name.starts_with("datasette-")),
            "{names:?}"
        );
    }

    #[test]
    fn a_folder_without_its_marker_is_not_installed() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache {
            root: root.path().to_owned(),
        };
        let folder = root.path().join(DATASETTE.folder_name());
        fs::create_dir_all(&folder).unwrap();
        assert!(cache.find(&DATASETTE).is_err());
        fs::write(folder.join(MARKER), "").unwrap();
        assert_eq!(cache.find(&DATASETTE).unwrap(), folder);
    }
}

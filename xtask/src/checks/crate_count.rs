//! Weight counts: how many third-party crates end up in the binary.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::{
    command::{captured, cargo},
    workspace::{BINARY_PACKAGE, Workspace},
};

/// The most third-party crates that the binary may be built from.
pub(crate) const LIMIT: usize = 550;

/// The number of third-party crates; fails above the limit.
pub(crate) fn check(workspace: &Workspace) -> Result<usize> {
    let tree = captured(cargo().args([
        "tree",
        "-e",
        "normal",
        "-p",
        BINARY_PACKAGE,
        "--prefix",
        "none",
    ]))?;
    let count = third_party(&tree, &workspace.package_names());
    ensure!(
        count <= LIMIT,
        "the binary is built from {count} third-party crates, {LIMIT} are allowed (`cargo tree -e normal -p {BINARY_PACKAGE}`)"
    );
    Ok(count)
}

/// Different `name version` pairs outside the workspace.
fn third_party(tree: &str, members: &BTreeSet<&str>) -> usize {
    let crates: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .filter(|(name, _)| !members.contains(name))
        .collect();
    crates.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_counts_once_and_our_own_not_at_all() {
        let tree = "runner v0.1.0 (/x)\nserde v1.0.0\nsyn v1.0.0 (proc-macro)\nsyn v2.0.0 (proc-macro)\nserde v1.0.0\n";
        assert_eq!(third_party(tree, &["runner"].into()), 3);
    }
}

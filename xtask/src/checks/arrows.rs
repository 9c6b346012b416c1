//! Dependency arrows point one way: no edge between crates of the workspace that the table doesn't name.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::none_of;
use crate::workspace::{Package, Workspace};

/// A crate, and the crates it may use; what those use, it may use too.
const ARROWS: [(&str, &[&str]); 18] = [
    ("runner-spec", &[]),
    ("runner-plan", &["runner-spec"]),
    ("runner-sql", &["runner-plan"]),
    ("runner-core", &["runner-plan"]),
    ("runner-connectors", &["runner-core"]),
    (
        "runner-engine-embedded",
        &["runner-connectors", "runner-sql"],
    ),
    ("runner-engine-external", &["runner-core", "runner-sql"]),
    ("runner-jobs", &["runner-core"]),
    ("runner-store", &["runner-core"]),
    ("runner-secrets", &["runner-core"]),
    ("runner-telemetry", &["runner-core"]),
    ("runner-server", &["runner-jobs"]),
    (
        "runner",
        &[
            "runner-engine-embedded",
            "runner-engine-external",
            "runner-jobs",
            "runner-store",
            "runner-secrets",
            "runner-telemetry",
            "runner-server",
        ],
    ),
    ("runner-python", &["runner-engine-embedded", "runner-jobs"]),
    ("runner-testkit", &["runner-connectors"]),
    ("runner-e2e", &["runner-connectors"]),
    ("table-viewer", &[]),
    ("xtask", &["runner-e2e"]),
];

/// Crates that any crate may use in its tests, and none outside them (`xtask` stands outside the product).
const FOR_TESTS: [&str; 2] = ["runner-testkit", "runner-e2e"];

/// A family of crates, by the beginning of its name, and the only crates that may depend on it directly.
struct Reserved {
    family: &'static str,
    /// Whether a longer name belongs to the family too (`datafusion-expr` to `datafusion`).
    whole_family: bool,
    users: &'static [&'static str],
    reason: &'static str,
}

const EMBEDDED: &[&str] = &["runner-engine-embedded"];

const RESERVED: [Reserved; 6] = [
    Reserved {
        family: "datafusion",
        whole_family: false,
        users: EMBEDDED,
        reason: "only the embedded engine executes plans",
    },
    Reserved {
        family: "datafusion-physical",
        whole_family: true,
        users: EMBEDDED,
        reason: "only the embedded engine executes plans",
    },
    Reserved {
        family: "datafusion-datasource",
        whole_family: true,
        users: EMBEDDED,
        reason: "only the embedded engine reads tables",
    },
    Reserved {
        family: "datafusion-catalog",
        whole_family: true,
        users: EMBEDDED,
        reason: "only the embedded engine has a catalog",
    },
    Reserved {
        family: "datafusion",
        whole_family: true,
        users: &[
            "runner-sql",
            "runner-engine-embedded",
            "runner-engine-external",
        ],
        reason: "checking the rest stays fast",
    },
    Reserved {
        family: "tokio",
        whole_family: true,
        users: &[
            "runner-core",
            "runner-connectors",
            "runner-engine-embedded",
            "runner-engine-external",
            "runner-jobs",
            "runner-store",
            "runner-secrets",
            "runner-telemetry",
            "runner-server",
            "runner",
            "runner-python",
            "runner-testkit",
            "runner-e2e",
        ],
        reason: "the document, the plan and its SQL do no I/O",
    },
];

/// Fails with every edge that isn't allowed.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let allowed = closure(&ARROWS);
    let members = workspace.package_names();
    let violations: Vec<String> = workspace
        .packages
        .iter()
        .flat_map(|package| violations_of(package, &members, &allowed))
        .collect();
    none_of(
        "dependencies against the arrows (xtask/src/checks/arrows.rs; a new arrow needs a decision record)",
        &violations,
    )
}

type Allowed = BTreeMap<&'static str, BTreeSet<&'static str>>;

fn closure(arrows: &[(&'static str, &'static [&'static str])]) -> Allowed {
    let direct: BTreeMap<_, _> = arrows.iter().copied().collect();
    arrows
        .iter()
        .map(|(name, targets)| {
            let mut reached = BTreeSet::new();
            let mut open: Vec<&'static str> = targets.to_vec();
            while let Some(target) = open.pop() {
                if reached.insert(target) {
                    open.extend(direct.get(target).copied().unwrap_or_default());
                }
            }
            (*name, reached)
        })
        .collect()
}

fn violations_of(package: &Package, members: &BTreeSet<&str>, allowed: &Allowed) -> Vec<String> {
    let name = package.name.as_str();
    let Some(targets) = allowed.get(name) else {
        return vec![format!("`{name}` is not in the table of crates")];
    };
    let mut violations = Vec::new();
    for dependency in &package.dependencies {
        let target = dependency.name.as_str();
        let is_test_use = dependency.is_for_development_only() && FOR_TESTS.contains(&target);
        if members.contains(target) && !targets.contains(target) && !is_test_use {
            let kind = if dependency.is_for_development_only() {
                "uses in its tests"
            } else {
                "uses"
            };
            violations.push(format!("`{name}` {kind} `{target}`"));
        }
        for reserved in RESERVED
            .iter()
            .filter(|reserved| reserved.covers(target) && !reserved.users.contains(&name))
        {
            violations.push(format!("`{name}` names `{target}`: {}", reserved.reason));
        }
    }
    violations
}

impl Reserved {
    fn covers(&self, name: &str) -> bool {
        name == self.family || self.whole_family && name.starts_with(&format!("{}-", self.family))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn check_edge(from: &str, to: &str, kind: Option<&str>) -> Vec<String> {
        let package = Package {
            name: from.to_owned(),
            dependencies: vec![Dependency {
                name: to.to_owned(),
                kind: kind.map(str::to_owned),
            }],
        };
        let members = ARROWS.iter().map(|(name, _)| *name).collect();
        violations_of(&package, &members, &closure(&ARROWS))
    }

    #[test]
    fn arrows_point_one_way() {
        for (from, to, kind, good) in [
            ("runner-engine-embedded", "runner-spec", None, true),
            ("runner-core", "runner-connectors", None, false),
            ("runner-store", "runner-secrets", None, false),
            ("runner-jobs", "runner-store", Some("dev"), false),
            ("runner-jobs", "runner-testkit", Some("dev"), true),
            ("runner-jobs", "runner-testkit", None, false),
            ("runner-sql", "runner-core", None, false),
            ("runner-sql", "datafusion-expr", None, true),
            ("runner-sql", "datafusion", Some("dev"), false),
            ("runner-sql", "datafusion-physical-plan", None, false),
            ("runner-connectors", "datafusion-common", None, false),
            ("runner-engine-embedded", "datafusion", None, true),
            ("runner-plan", "tokio", None, false),
            ("runner-unheard-of", "serde", None, false),
        ] {
            let violations = check_edge(from, to, kind);
            assert_eq!(
                violations.is_empty(),
                good,
                "{from} -> {to} ({kind:?}): {violations:?}"
            );
        }
    }
}

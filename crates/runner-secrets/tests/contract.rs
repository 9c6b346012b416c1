//! The contract of secret stores, on each of them.

#![expect(
    clippy::unwrap_used,
    reason = "a store that can't be made is a failed test"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use runner_core::SecretStore;
use runner_secrets::{ChainedSecrets, EnvironmentSecrets, FileSecrets};
use runner_testkit::secret_contract::{CANARY, SINGLE, SecretHarness};

fn bundles() -> BTreeMap<&'static str, BTreeMap<&'static str, &'static str>> {
    [
        (
            "app/api",
            [("token", CANARY), ("other", "canary-other")].into(),
        ),
        ("app/single", [("password", SINGLE)].into()),
    ]
    .into()
}

fn file_in(folder: &Path) -> FileSecrets {
    let path = folder.join("secrets.json");
    std::fs::write(&path, serde_json::to_string(&bundles()).unwrap()).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    FileSecrets::open(path).unwrap()
}

fn environment_of(paths: &[&str]) -> EnvironmentSecrets {
    let variables = bundles()
        .into_iter()
        .filter(|(path, _)| paths.contains(path));
    EnvironmentSecrets::from_variables(variables.flat_map(|(path, keys)| {
        let path = path.to_uppercase().replace('/', "__");
        keys.into_iter().map(move |(key, value)| {
            let name = format!("INGESTION_RUNNER_SECRET__{path}__{}", key.to_uppercase());
            (OsString::from(name), OsString::from(value))
        })
    }))
}

fn harness(store: impl SecretStore + 'static) -> SecretHarness {
    SecretHarness {
        store: Arc::new(store),
        guard: None,
    }
}

mod file {
    use super::{SecretHarness, file_in, harness};

    fn make() -> SecretHarness {
        let folder = tempfile::tempdir().unwrap();
        harness(file_in(folder.path())).keep(folder)
    }

    runner_testkit::secret_contract!(make);
}

mod environment {
    use super::{SecretHarness, environment_of, harness};

    fn make() -> SecretHarness {
        harness(environment_of(&["app/api", "app/single"]))
    }

    runner_testkit::secret_contract!(make);
}

/// The token is in the environment, which can't be written: the file that could is not asked.
mod chained {
    use super::{Arc, ChainedSecrets, SecretHarness, environment_of, file_in, harness};

    fn make() -> SecretHarness {
        let folder = tempfile::tempdir().unwrap();
        let stores = vec![
            Arc::new(environment_of(&["app/api"])) as _,
            Arc::new(file_in(folder.path())) as _,
        ];
        harness(ChainedSecrets::new(stores)).keep(folder)
    }

    runner_testkit::secret_contract!(make);
}

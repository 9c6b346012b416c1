//! Secrets in the environment: `vault://market/polygon#api_key` is `INGESTION_RUNNER_SECRET__MARKET__POLYGON__API_KEY`.
//!
//! Segments of the path and the key stand in capitals between double underscores; whatever is neither letter nor digit is one
//! underscore.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use async_trait::async_trait;
use runner_core::secret::SecretVersion;
use runner_core::{Error, ErrorKind, Result, Secret, SecretRef, SecretStore};

use crate::missing;

const PREFIX: &str = "INGESTION_RUNNER_SECRET";
const LOOKED: &str = "the environment";

/// Read-only: a process can't change the environment that it will be started with next.
pub struct EnvironmentSecrets {
    /// Variables with the prefix; none for a value that is not text.
    variables: BTreeMap<String, Option<Secret>>,
}

impl EnvironmentSecrets {
    /// The environment of this process, as it is now.
    pub fn from_process() -> Self {
        Self::from_variables(std::env::vars_os())
    }

    pub fn from_variables(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let variables = variables
            .into_iter()
            .filter_map(|(name, value)| {
                let name = name.into_string().ok()?;
                name.starts_with(PREFIX)
                    .then(|| (name, value.into_string().ok().map(Secret::new)))
            })
            .collect();
        Self { variables }
    }

    /// Variables of the keys at a path, by key.
    fn keys_at(&self, path: &str) -> BTreeMap<String, &str> {
        let prefix = format!("{}__", variable(path, None));
        self.variables
            .keys()
            .filter_map(|name| {
                let key = name.strip_prefix(&prefix)?;
                // A further double underscore begins a longer path.
                (!key.is_empty() && !key.contains("__"))
                    .then(|| (key.to_ascii_lowercase(), name.as_str()))
            })
            .collect()
    }

    /// The variable that a reference means; without a key, the only one at its path.
    fn name_of(&self, reference: &SecretRef) -> String {
        if reference.key.is_none()
            && let Some((_, only)) = self.keys_at(&reference.path).pop_first()
            && self.keys_at(&reference.path).len() == 1
        {
            return only.to_owned();
        }
        variable(&reference.path, reference.key.as_deref())
    }
}

/// The variable that holds a secret.
fn variable(path: &str, key: Option<&str>) -> String {
    let mut name = String::from(PREFIX);
    for segment in path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .chain(key)
    {
        name.push_str("__");
        name.extend(segment.chars().map(|character| {
            if character.is_ascii_alphanumeric() {
                character.to_ascii_uppercase()
            } else {
                '_'
            }
        }));
    }
    name
}

#[async_trait]
impl SecretStore for EnvironmentSecrets {
    async fn get(&self, reference: &SecretRef) -> Result<(Secret, SecretVersion)> {
        let name = self.name_of(reference);
        match self.variables.get(&name) {
            Some(Some(secret)) if !secret.expose().is_empty() => {
                Ok((secret.clone(), SecretVersion(String::new())))
            }
            Some(Some(_)) => Err(missing(
                reference,
                LOOKED,
                format!("the variable `{name}` is empty"),
            )),
            Some(None) => Err(Error::new(
                ErrorKind::Secret,
                format!(
                    "the variable `{name}`, which holds the secret `{reference}`, is not UTF-8"
                ),
            )),
            None => Err(missing(
                reference,
                LOOKED,
                format!("set the variable `{name}`, or put the secret into a secrets file"),
            )),
        }
    }

    async fn keys(&self, path: &str) -> Result<Vec<String>> {
        let keys = self.keys_at(path);
        if keys.is_empty() {
            let reference = SecretRef {
                path: path.to_owned(),
                key: None,
            };
            return Err(missing(
                &reference,
                LOOKED,
                format!("set variables that begin with `{}__`", variable(path, None)),
            ));
        }
        Ok(keys.into_keys().collect())
    }

    async fn put(
        &self,
        reference: &SecretRef,
        _new: Secret,
        _expected: &SecretVersion,
    ) -> Result<SecretVersion> {
        Err(Error::new(
            ErrorKind::Secret,
            format!("the secret `{reference}` can't be written: the environment is read-only"),
        )
        .with_help("keep a secret that is rotated in a secrets file (`--secrets FILE`)"))
    }

    fn is_writable(&self) -> bool {
        false
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

impl fmt::Debug for EnvironmentSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvironmentSecrets")
            .field("variables", &self.variables.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_documentation() {
        assert_eq!(
            variable("market/polygon", Some("api_key")),
            "INGESTION_RUNNER_SECRET__MARKET__POLYGON__API_KEY"
        );
        assert_eq!(variable("/a-b/", None), "INGESTION_RUNNER_SECRET__A_B");
    }

    #[tokio::test]
    async fn keys_of_longer_paths_are_not_of_shorter_ones() {
        let store = EnvironmentSecrets::from_variables(
            [
                (
                    "INGESTION_RUNNER_SECRET__MARKET__POLYGON__API_KEY",
                    "canary-1",
                ),
                ("INGESTION_RUNNER_SECRET__MARKET__TOKEN", "canary-2"),
                ("PATH", "/bin"),
            ]
            .map(|(name, value)| (OsString::from(name), OsString::from(value))),
        );
        assert_eq!(store.keys("market").await.unwrap(), ["token"]);
        assert_eq!(store.keys("market/polygon").await.unwrap(), ["api_key"]);
        let shown = format!("{store:?}");
        assert!(
            !shown.contains("canary") && !shown.contains("PATH\""),
            "{shown}"
        );
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_value_that_is_no_text_is_said_to_be_so() {
        use std::os::unix::ffi::OsStringExt as _;
        let value = OsString::from_vec(vec![0xff, 0xfe]);
        let store = EnvironmentSecrets::from_variables([(
            OsString::from("INGESTION_RUNNER_SECRET__A__K"),
            value,
        )]);
        let error = store
            .get(&"vault://a#k".parse().unwrap())
            .await
            .unwrap_err();
        assert!(error.message().contains("is not UTF-8"), "{error}");
    }
}

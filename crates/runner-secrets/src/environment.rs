//! Secrets in the environment: `vault://market/polygon#api_key` is `INGESTION_RUNNER_SECRET__MARKET__POLYGON__API_KEY`.

use async_trait::async_trait;
use runner_core::secret::SecretVersion;
use runner_core::{Error, ErrorKind, Result, Secret, SecretRef, SecretStore};

use crate::missing;

const PREFIX: &str = "INGESTION_RUNNER_SECRET";
const LOOKED: &str = "the environment";

/// Read-only: a process can't change the environment that it will be started with next.
#[derive(Clone, Copy, Debug, Default)]
pub struct EnvironmentSecrets;

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
        let name = variable(&reference.path, reference.key.as_deref());
        match std::env::var(&name) {
            Ok(value) if !value.is_empty() => {
                Ok((Secret::new(value), SecretVersion(String::new())))
            }
            _ => Err(missing(
                reference,
                LOOKED,
                format!("set the variable `{name}`"),
            )),
        }
    }

    async fn keys(&self, path: &str) -> Result<Vec<String>> {
        let prefix = format!("{}__", variable(path, None));
        let keys: Vec<_> = std::env::vars_os()
            .filter_map(|(name, _)| Some(name.to_str()?.strip_prefix(&prefix)?.to_lowercase()))
            .collect();
        if keys.is_empty() {
            let reference = SecretRef {
                path: path.to_owned(),
                key: None,
            };
            return Err(missing(
                &reference,
                LOOKED,
                format!("set variables that begin with `{prefix}`"),
            ));
        }
        Ok(keys)
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
}

//! Secrets that stand in the runner's configuration: `connection://NAME#SETTING`.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use runner_core::secret::SecretVersion;
use runner_core::{Error, ErrorKind, Result, Secret, SecretRef, SecretStore};

use crate::{elsewhere, missing};

const SCHEME: &str = "connection://";
const LOOKED: &str = "the configuration's connections";

/// Connection → setting → value.
#[derive(Default)]
pub struct ConnectionSecrets {
    settings: BTreeMap<String, BTreeMap<String, Secret>>,
}

impl ConnectionSecrets {
    pub fn new(settings: BTreeMap<String, BTreeMap<String, Secret>>) -> Self {
        Self { settings }
    }
}

#[async_trait]
impl SecretStore for ConnectionSecrets {
    async fn get(&self, reference: &SecretRef) -> Result<(Secret, SecretVersion)> {
        let Some(name) = reference.path.strip_prefix(SCHEME) else {
            return Err(elsewhere(reference));
        };
        let found = self
            .settings
            .get(name)
            .zip(reference.key.as_ref())
            .and_then(|(settings, key)| settings.get(key));
        match found {
            Some(secret) => Ok((secret.clone(), SecretVersion(String::new()))),
            None => Err(missing(
                reference,
                LOOKED,
                "add the setting to the connection",
            )),
        }
    }

    async fn keys(&self, path: &str) -> Result<Vec<String>> {
        let reference = SecretRef {
            path: path.to_owned(),
            key: None,
        };
        path.strip_prefix(SCHEME)
            .and_then(|name| self.settings.get(name))
            .map(|settings| settings.keys().cloned().collect())
            .ok_or_else(|| {
                missing(
                    &reference,
                    LOOKED,
                    "add the connection to the configuration",
                )
            })
    }

    async fn put(
        &self,
        reference: &SecretRef,
        _new: Secret,
        _expected: &SecretVersion,
    ) -> Result<SecretVersion> {
        Err(Error::new(
            ErrorKind::Secret,
            format!("the secret `{reference}` can't be written: it stands in the configuration"),
        ))
    }

    fn is_writable(&self) -> bool {
        false
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

impl fmt::Debug for ConnectionSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionSecrets")
            .field("connections", &self.settings.keys())
            .finish()
    }
}

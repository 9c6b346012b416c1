//! Several stores in a row: the first that has a secret gives it.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use runner_core::secret::SecretVersion;
use runner_core::{Result, Secret, SecretRef, SecretStore};

use crate::{is_missing, missing};

/// Asks each store in turn. A store that fails is not passed over: its answer might have been another one.
#[derive(Debug)]
pub struct ChainedSecrets {
    stores: Vec<Arc<dyn SecretStore>>,
}

impl ChainedSecrets {
    pub fn new(stores: Vec<Arc<dyn SecretStore>>) -> Self {
        Self { stores }
    }

    /// The store that has the secret, with it.
    async fn find(
        &self,
        reference: &SecretRef,
    ) -> Result<(&Arc<dyn SecretStore>, Secret, SecretVersion)> {
        let mut looked = Vec::new();
        let mut help = Vec::new();
        for store in &self.stores {
            match store.get(reference).await {
                Ok((secret, version)) => return Ok((store, secret, version)),
                Err(error) if is_missing(&error) => {
                    let places = error.context().iter().map(|(_, place)| place.clone());
                    looked.extend(places.filter(|place| !place.is_empty()));
                    help.extend(
                        error
                            .help()
                            .filter(|help| !help.is_empty())
                            .map(str::to_owned),
                    );
                }
                Err(error) => return Err(error),
            }
        }
        let looked = if looked.is_empty() {
            "no secret store, none is configured for it".to_owned()
        } else {
            looked.join(", ")
        };
        Err(missing(reference, &looked, help.join("; ")))
    }
}

#[async_trait]
impl SecretStore for ChainedSecrets {
    async fn get(&self, reference: &SecretRef) -> Result<(Secret, SecretVersion)> {
        self.find(reference)
            .await
            .map(|(_, secret, version)| (secret, version))
    }

    async fn keys(&self, path: &str) -> Result<Vec<String>> {
        let mut known = BTreeSet::new();
        let mut last = None;
        for store in &self.stores {
            match store.keys(path).await {
                Ok(keys) => known.extend(keys),
                Err(error) if is_missing(&error) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        match last {
            Some(error) if known.is_empty() => Err(error),
            _ => Ok(known.into_iter().collect()),
        }
    }

    async fn put(
        &self,
        reference: &SecretRef,
        new: Secret,
        expected: &SecretVersion,
    ) -> Result<SecretVersion> {
        let (store, _, _) = self.find(reference).await?;
        store.put(reference, new, expected).await
    }

    fn is_writable(&self) -> bool {
        self.stores.iter().any(|store| store.is_writable())
    }

    async fn can_put(&self, reference: &SecretRef) -> Result<bool> {
        let (store, _, _) = self.find(reference).await?;
        store.can_put(reference).await
    }

    async fn probe(&self) -> Result<()> {
        for store in &self.stores {
            store.probe().await?;
        }
        Ok(())
    }
}

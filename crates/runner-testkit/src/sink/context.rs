//! What a target needs of the world: no secrets, and the suite's feed.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use runner_connectors::RunSecrets;
use runner_connectors::registry::TargetContext;
use runner_core::secret::SecretVersion;
use runner_core::{Error, ErrorKind, Result, Secret, SecretRef, SecretStore, SystemClock};

use super::feed;

/// The suite's feed, in a process that has just started and keeps its own files in this folder.
///
/// # Panics
/// When a plan without secrets can't be resolved.
pub fn context(data_dir: &Path) -> TargetContext {
    let plan = crate::plans::plan(&["rows"]);
    let secrets = Arc::new(RunSecrets::new(Arc::new(NoSecrets), &plan).unwrap());
    let clock = Arc::new(SystemClock::new());
    let mut context = TargetContext::new(&plan, secrets, clock, data_dir.to_owned());
    context.feed = feed();
    context
}

/// A store without secrets.
#[derive(Debug)]
struct NoSecrets;

#[async_trait]
impl SecretStore for NoSecrets {
    async fn get(&self, reference: &SecretRef) -> Result<(Secret, SecretVersion)> {
        Err(Error::new(
            ErrorKind::Secret,
            format!("there is no secret `{reference}`"),
        ))
    }

    async fn keys(&self, _: &str) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn put(&self, _: &SecretRef, _: Secret, _: &SecretVersion) -> Result<SecretVersion> {
        Err(Error::new(
            ErrorKind::Secret,
            "the store can't be written to",
        ))
    }

    fn is_writable(&self) -> bool {
        false
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

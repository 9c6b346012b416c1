//! The secrets of one run: resolved when a template first needs them, kept in memory, and known to the run's [`Scrubber`].

use std::collections::BTreeMap;
use std::sync::Arc;

use runner_core::secret::SecretVersion;
use runner_core::{Error, ErrorKind, Result, Secret, SecretRef, SecretStore};
use runner_plan::Plan;
use runner_plan::template::{Scope, ScopeValue};
use tokio::sync::Mutex;

use crate::scrub::Scrubber;

/// One per run, shared by all its sources and sinks.
#[derive(Debug)]
pub struct RunSecrets {
    store: Arc<dyn SecretStore>,
    names: BTreeMap<String, SecretRef>,
    credentials: Option<SecretRef>,
    resolved: Mutex<BTreeMap<SecretRef, (Secret, SecretVersion)>>,
    scrubber: Scrubber,
}

/// Secrets by the names that templates use, for rendering.
#[derive(Clone, Debug, Default)]
pub struct SecretScope {
    values: BTreeMap<String, Secret>,
}

impl RunSecrets {
    pub fn new(store: Arc<dyn SecretStore>, plan: &Plan) -> Result<Self> {
        let names = plan
            .secrets
            .iter()
            .map(|(name, reference)| Ok((name.clone(), reference.parse()?)))
            .collect::<Result<_>>()?;
        let credentials = plan.credentials.as_deref().map(str::parse).transpose()?;
        Ok(Self {
            store,
            names,
            credentials,
            resolved: Mutex::default(),
            scrubber: Scrubber::new(),
        })
    }

    /// Knows every secret that this run has resolved so far.
    pub fn scrubber(&self) -> &Scrubber {
        &self.scrubber
    }

    /// The reference behind a template's name: `api_key`, `secrets.NAME`, `secret.NAME`.
    pub fn reference(&self, name: &str) -> Option<SecretRef> {
        let name = name
            .strip_prefix("secrets.")
            .or_else(|| name.strip_prefix("secret."))
            .unwrap_or(name);
        if let Some(reference) = self.names.get(name) {
            return Some(reference.clone());
        }
        let bundle = self.credentials.as_ref()?;
        match &bundle.key {
            Some(key) if key != name => None,
            _ => Some(SecretRef {
                path: bundle.path.clone(),
                key: Some(name.to_owned()),
            }),
        }
    }

    /// The secret behind a reference, from memory if it was resolved before.
    pub async fn get(&self, reference: &SecretRef) -> Result<Secret> {
        let mut resolved = self.resolved.lock().await;
        if let Some((secret, _)) = resolved.get(reference) {
            return Ok(secret.clone());
        }
        let (secret, version) = self.read(reference).await?;
        resolved.insert(reference.clone(), (secret.clone(), version));
        Ok(secret)
    }

    /// The secret as its store has it now: another process may have changed it.
    pub async fn get_current(&self, reference: &SecretRef) -> Result<(Secret, SecretVersion)> {
        let mut resolved = self.resolved.lock().await;
        let current = self.read(reference).await?;
        resolved.insert(reference.clone(), current.clone());
        Ok(current)
    }

    /// Replaces a secret in its store, if its version is still the expected one.
    pub async fn put(
        &self,
        reference: &SecretRef,
        new: Secret,
        expected: &SecretVersion,
    ) -> Result<()> {
        self.scrubber.register(&reference.to_string(), &new)?;
        let mut resolved = self.resolved.lock().await;
        let version = self.store.put(reference, new.clone(), expected).await?;
        resolved.insert(reference.clone(), (new, version));
        Ok(())
    }

    /// Whether [`RunSecrets::put`] can work for this secret.
    pub async fn can_put(&self, reference: &SecretRef) -> Result<bool> {
        self.store.can_put(reference).await
    }

    /// Resolves the names that a template uses; a name that no reference stands behind is left out.
    pub async fn scope<'name>(
        &self,
        names: impl IntoIterator<Item = &'name str>,
    ) -> Result<SecretScope> {
        let mut values = BTreeMap::new();
        for name in names {
            if let Some(reference) = self.reference(name) {
                values.insert(name.to_owned(), self.get(&reference).await?);
            }
        }
        Ok(SecretScope { values })
    }

    /// A stored text with its secrets put back; those that this process has not resolved yet are resolved now.
    pub async fn restore(&self, text: &str) -> Result<String> {
        for reference in Scrubber::references(text) {
            if let Ok(reference) = reference.parse::<SecretRef>() {
                self.get(&reference).await?;
            }
        }
        self.scrubber.restore(text)
    }

    async fn read(&self, reference: &SecretRef) -> Result<(Secret, SecretVersion)> {
        let (secret, version) = self.store.get(reference).await?;
        if secret.expose().is_empty() {
            return Err(Error::new(
                ErrorKind::Secret,
                format!("the secret `{reference}` is empty"),
            )
            .with_help("store a value under that key"));
        }
        self.scrubber.register(&reference.to_string(), &secret)?;
        Ok((secret, version))
    }
}

impl Scope for SecretScope {
    fn lookup(&self, name: &str) -> Option<ScopeValue> {
        self.values
            .get(name)
            .map(|secret| ScopeValue::Secret(secret.expose().to_owned()))
    }

    fn places(&self) -> Vec<String> {
        vec!["the secrets".to_owned()]
    }
}

//! Secrets: a value that can't be printed, and the store that resolves references to one.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};

/// A secret's value. It has no `Serialize`, prints as `***` and is overwritten when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value itself; what it is put into must be scrubbed before it is stored or shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

const VAULT: &str = "vault://";
const CONNECTION: &str = "connection://";

/// `vault://path#key`; without a key the bundle's only one, or the one that a template names. A secret that stands in a connection
/// of the configuration is `connection://NAME#SETTING`, and its path is `connection://NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretRef {
    pub path: String,
    pub key: Option<String>,
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.starts_with(CONNECTION) {
            f.write_str(VAULT)?;
        }
        f.write_str(&self.path)?;
        self.key.as_ref().map_or(Ok(()), |key| write!(f, "#{key}"))
    }
}

impl FromStr for SecretRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_connection = text.len() > CONNECTION.len() && text.starts_with(CONNECTION);
        let rest = if is_connection {
            text
        } else {
            text.strip_prefix(VAULT).unwrap_or_default()
        };
        let (path, key) = match rest.split_once('#') {
            Some((path, key)) => (path, Some(key)),
            None => (rest, None),
        };
        if path.is_empty() || key.is_some_and(str::is_empty) {
            return Err(Error::new(
                ErrorKind::Secret,
                format!("`{text}` is not a reference to a secret"),
            )
            .with_help("write `vault://path#key`, or `vault://path` for a bundle"));
        }
        Ok(Self {
            path: path.to_owned(),
            key: key.map(ToOwned::to_owned),
        })
    }
}

/// What a store calls the state of a secret that it read; opaque.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVersion(pub String);

/// Resolves references. A missing secret is an error that names the path, never an empty string.
#[async_trait]
pub trait SecretStore: Send + Sync + fmt::Debug {
    async fn get(&self, reference: &SecretRef) -> Result<(Secret, SecretVersion)>;
    /// Every key of the bundle at a path.
    async fn keys(&self, path: &str) -> Result<Vec<String>>;
    /// Writes a rotated refresh token back, if the version is still the expected one.
    async fn put(
        &self,
        reference: &SecretRef,
        new: Secret,
        expected: &SecretVersion,
    ) -> Result<SecretVersion>;
    /// Whether [`SecretStore::put`] can work for some secret; [`SecretStore::can_put`] tells for one.
    fn is_writable(&self) -> bool;
    /// Whether [`SecretStore::put`] can work for this secret: of several stores, it may be in one that can't be written.
    async fn can_put(&self, _reference: &SecretRef) -> Result<bool> {
        Ok(self.is_writable())
    }
    async fn probe(&self) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_as_it_is_written() {
        for text in [
            "vault://feeds/polygon",
            "vault://feeds/polygon#api_key",
            "connection://warehouse#password",
        ] {
            assert_eq!(text.parse::<SecretRef>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            "feeds/polygon",
            "vault://",
            "vault://#key",
            "vault://path#",
            "connection://",
        ] {
            let error = text.parse::<SecretRef>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Secret, "{text}");
        }
    }
}

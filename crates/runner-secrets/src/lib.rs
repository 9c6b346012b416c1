//! Secret stores: a file, the environment, connections of the configuration, and several of them in a row.

mod chained;
mod connections;
mod environment;
mod file;

pub use chained::ChainedSecrets;
pub use connections::ConnectionSecrets;
pub use environment::EnvironmentSecrets;
pub use file::FileSecrets;

use runner_core::{Error, ErrorKind, SecretRef};

/// A secret that is nowhere. Stores say this, and nothing else, where another store may still have it.
pub(crate) fn missing(reference: &SecretRef, looked: &str, help: impl Into<String>) -> Error {
    Error::new(
        ErrorKind::Secret,
        format!("there is no secret `{reference}`"),
    )
    .with_help(help)
    .with_context(MISSING, looked)
}

/// A reference of another store's kind.
pub(crate) fn elsewhere(reference: &SecretRef) -> Error {
    missing(reference, "", "")
}

/// Context by which a missing secret is told from a store that failed.
pub(crate) const MISSING: &str = "looked in";

pub(crate) fn is_missing(error: &Error) -> bool {
    error.context().iter().any(|(name, _)| *name == MISSING)
}

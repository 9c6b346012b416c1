//! What can go wrong with a storage, and what to do about it. Locations are named, keys never.

use std::error::Error as StdError;
use std::io;

use runner_core::{Blame, Error, ErrorKind, Retry};

/// A storage operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("`{location}` is no usable location: {reason}")]
    Location { location: String, reason: String },
    #[error("failed to open `{location}`")]
    Settings {
        location: String,
        #[source]
        source: object_store::Error,
    },
    #[error("failed to {operation} `{location}`")]
    Failed {
        operation: &'static str,
        location: String,
        #[source]
        source: object_store::Error,
    },
    #[error(transparent)]
    Setting(#[from] Error),
}

impl StorageError {
    /// The error at the crate's edge: of a sink's kind, unless the location or a setting is wrong.
    pub fn into_sink(self) -> Error {
        self.into_error(ErrorKind::Sink)
    }

    /// The same for whoever reads from the storage.
    pub fn into_source(self) -> Error {
        self.into_error(ErrorKind::SourceUnavailable)
    }

    fn into_error(self, kind: ErrorKind) -> Error {
        match self {
            Self::Setting(error) => error,
            Self::Location { .. } | Self::Settings { .. } => {
                Error::new(ErrorKind::Config, self.to_string()).with_source(self.into_cause())
            }
            Self::Failed { .. } => {
                let lasting = self.lasting();
                let error = Error::new(kind, self.to_string());
                let error = match lasting {
                    Some(help) => error
                        .with_retry(Retry::Never)
                        .with_blame(Blame::User)
                        .with_help(help),
                    None => error,
                };
                error.with_source(self.into_cause())
            }
        }
    }

    /// Whether the file isn't there.
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::Failed {
                source: object_store::Error::NotFound { .. },
                ..
            }
        )
    }

    /// What to do about a failure that trying again doesn't mend.
    fn lasting(&self) -> Option<&'static str> {
        let Self::Failed { source, .. } = self else {
            return None;
        };
        match source {
            object_store::Error::PermissionDenied { .. } => {
                return Some("the credentials are known but may not do this: grant the permission");
            }
            object_store::Error::Unauthenticated { .. } => {
                return Some("the store refuses the credentials: check access key and secret key");
            }
            object_store::Error::NotImplemented { .. } => {
                return Some("the store can't do this; conditional writes are needed");
            }
            _ => {}
        }
        let mut cause: Option<&(dyn StdError + 'static)> = Some(source);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                match error.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        return Some("there is no space left: free some, then run it again");
                    }
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                        return Some("the folder can't be written to by this user");
                    }
                    io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
                        return Some("a file stands where a folder is needed, or the reverse");
                    }
                    _ => {}
                }
            }
            cause = error.source();
        }
        None
    }

    /// The cause alone, since the message is already the error's own.
    fn into_cause(self) -> Box<dyn StdError + Send + Sync> {
        match self {
            Self::Settings { source, .. } | Self::Failed { source, .. } => Box::new(source),
            Self::Location { reason, .. } => reason.into(),
            Self::Setting(error) => Box::new(error),
        }
    }
}

/// A location without what may stand before an `@` in it.
pub(super) fn redact(location: &str) -> String {
    let Some((scheme, rest)) = location.split_once("://") else {
        return location.to_owned();
    };
    let authority_end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{scheme}://{host}{path}")
}

//! What can go wrong with an Iceberg table, one variant per kind of operation.

use runner_core::{Blame, Error, ErrorKind, Retry};

use crate::storage::StorageError;

pub(super) type Result<T, E = IcebergError> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub(super) enum IcebergError {
    #[error("failed to {doing}")]
    Metadata {
        doing: String,
        #[source]
        source: Box<iceberg::Error>,
    },
    #[error("failed to {doing}")]
    Parquet {
        doing: String,
        #[source]
        source: Box<parquet::errors::ParquetError>,
    },
    #[error("failed to {doing}")]
    Arrow {
        doing: String,
        #[source]
        source: Box<arrow::error::ArrowError>,
    },
    #[error("failed to {doing}")]
    Json {
        doing: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("failed to {doing}")]
    Sqlite {
        doing: String,
        #[source]
        source: Box<sqlx::Error>,
    },
    #[error("failed to {doing}: the catalog gave no answer")]
    Unreachable {
        doing: String,
        #[source]
        source: Box<reqwest::Error>,
    },
    #[error("failed to {doing}: the catalog answered {status}: {message}")]
    Refused {
        doing: String,
        status: u16,
        message: String,
    },
    /// The table is not what the load needs, or another load stands in its place.
    #[error("{message}")]
    Conflict { message: String, help: String },
    /// The table uses something that can't be written to, or read, without harm.
    #[error("{message}")]
    Unsupported { message: String, help: String },
    #[error("{message}")]
    Config { message: String, help: String },
    /// Other writers were faster, every time.
    #[error(
        "the table changed under {attempts} attempts to commit to it, the last time since {reason}"
    )]
    Contended { attempts: u32, reason: String },
    #[error("{0}")]
    Broken(String),
    #[error(transparent)]
    Shared(#[from] Error),
}

impl From<StorageError> for IcebergError {
    fn from(error: StorageError) -> Self {
        Self::Shared(error.into_sink())
    }
}

impl IcebergError {
    pub(super) fn metadata(doing: impl Into<String>) -> impl FnOnce(iceberg::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Metadata {
            doing,
            source: Box::new(source),
        }
    }

    pub(super) fn parquet(
        doing: impl Into<String>,
    ) -> impl FnOnce(parquet::errors::ParquetError) -> Self {
        let doing = doing.into();
        move |source| Self::Parquet {
            doing,
            source: Box::new(source),
        }
    }

    pub(super) fn arrow(doing: impl Into<String>) -> impl FnOnce(arrow::error::ArrowError) -> Self {
        let doing = doing.into();
        move |source| Self::Arrow {
            doing,
            source: Box::new(source),
        }
    }

    pub(super) fn json(doing: impl Into<String>) -> impl FnOnce(serde_json::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Json { doing, source }
    }

    pub(super) fn sqlite(doing: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Sqlite {
            doing,
            source: Box::new(source),
        }
    }

    /// The URL is left out: it can hold what must not be shown.
    pub(super) fn unreachable(doing: impl Into<String>) -> impl FnOnce(reqwest::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Unreachable {
            doing,
            source: Box::new(source.without_url()),
        }
    }

    pub(super) fn conflict(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Conflict {
            message: message.into(),
            help: help.into(),
        }
    }

    pub(super) fn unsupported(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Unsupported {
            message: message.into(),
            help: help.into(),
        }
    }

    pub(super) fn config(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Config {
            message: message.into(),
            help: help.into(),
        }
    }
}

impl From<IcebergError> for Error {
    fn from(error: IcebergError) -> Self {
        let message = error.to_string();
        match error {
            IcebergError::Shared(error) => error,
            IcebergError::Conflict { help, .. } => {
                Self::new(ErrorKind::Conflict, message).with_help(help)
            }
            IcebergError::Unsupported { help, .. } => Self::new(ErrorKind::Sink, message)
                .with_retry(Retry::Never)
                .with_blame(Blame::User)
                .with_help(help),
            IcebergError::Config { help, .. } => {
                Self::new(ErrorKind::Config, message).with_help(help)
            }
            IcebergError::Contended { .. } => Self::new(ErrorKind::Conflict, message)
                .with_retry(Retry::WithBackoff)
                .with_blame(Blame::External)
                .with_help("other writers commit to this table; the load is tried again later"),
            IcebergError::Broken(_) => Self::new(ErrorKind::Internal, message),
            IcebergError::Refused { status, .. } => refused(status, message),
            IcebergError::Unreachable { source, .. } => {
                Self::new(ErrorKind::Sink, message).with_source(source)
            }
            IcebergError::Sqlite { source, .. } => {
                Self::new(ErrorKind::Sink, message).with_source(source)
            }
            IcebergError::Metadata { source, .. } => metadata(*source, message),
            IcebergError::Parquet { source, .. } => {
                Self::new(ErrorKind::Sink, message).with_source(source)
            }
            IcebergError::Arrow { source, .. } => Self::new(ErrorKind::Sink, message)
                .with_retry(Retry::Never)
                .with_source(source),
            IcebergError::Json { source, .. } => Self::new(ErrorKind::Sink, message)
                .with_retry(Retry::Never)
                .with_source(source),
        }
    }
}

fn refused(status: u16, message: String) -> Error {
    match status {
        401 | 419 => Error::new(ErrorKind::Auth, message)
            .with_help("check the catalog's token, credential or signing settings"),
        403 => Error::new(ErrorKind::Forbidden, message)
            .with_help("the catalog's credential needs the right to create and to write tables"),
        429 | 500.. => Error::new(ErrorKind::Sink, message),
        _ => Error::new(ErrorKind::Sink, message).with_retry(Retry::Never),
    }
}

fn metadata(source: iceberg::Error, message: String) -> Error {
    use iceberg::ErrorKind as Cause;
    let error = match source.kind() {
        Cause::FeatureUnsupported => Error::new(ErrorKind::Sink, message)
            .with_retry(Retry::Never)
            .with_blame(Blame::User),
        Cause::DataInvalid => Error::new(ErrorKind::Sink, message).with_retry(Retry::Never),
        _ => Error::new(ErrorKind::Sink, message),
    };
    error.with_source(source)
}

//! What can go wrong in the store, and what callers are told of it.

use std::path::PathBuf;

use runner_core::{Blame, Error, ErrorKind, Retry};

/// An operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("failed to open the job store `{path}`")]
    Create {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to open the job store `{path}`")]
    Open {
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
    #[error(
        "the job store `{path}` is of version {found}, and this program knows versions up to {known}"
    )]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error("`{path}` is a database of another program")]
    Foreign { path: PathBuf },
    #[error("failed to {what} in the job store")]
    Statement {
        what: &'static str,
        #[source]
        source: sqlx::Error,
    },
    #[error("failed to read a stored {what}")]
    Stored {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("failed to write a {what} as JSON")]
    Encode {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("the stored {what} is of format {found}, and this program knows formats up to {known}")]
    NewerFormat {
        what: &'static str,
        found: u32,
        known: u32,
    },
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let described = match &error {
            StoreError::Create { .. } | StoreError::Open { .. } => {
                Self::new(ErrorKind::Config, error.to_string()).with_help(
                    "choose another folder with `--data-dir`, or let this user write to it",
                )
            }
            StoreError::Newer { .. } | StoreError::NewerFormat { .. } => {
                Self::new(ErrorKind::Config, error.to_string()).with_help(
                    "use the newer program that wrote it, or another folder with `--data-dir`",
                )
            }
            StoreError::Foreign { .. } => Self::new(ErrorKind::Config, error.to_string())
                .with_help("choose another folder with `--data-dir`"),
            StoreError::Statement { source, .. } => statement(&error.to_string(), source),
            StoreError::Stored { .. } | StoreError::Encode { .. } => {
                Self::new(ErrorKind::Internal, error.to_string())
            }
        };
        match error {
            StoreError::Create { source, .. } => described.with_source(source),
            StoreError::Open { source, .. } | StoreError::Statement { source, .. } => {
                described.with_source(source)
            }
            StoreError::Stored { source, .. } | StoreError::Encode { source, .. } => {
                described.with_source(source)
            }
            StoreError::Newer { .. }
            | StoreError::Foreign { .. }
            | StoreError::NewerFormat { .. } => described,
        }
    }
}

/// SQLite's primary result codes that a user can do something about.
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READ_ONLY: i32 = 8;
const INPUT_OUTPUT: i32 = 10;
const FULL: i32 = 13;
const CANNOT_OPEN: i32 = 14;
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;

fn statement(message: &str, source: &sqlx::Error) -> Error {
    let code = source
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .and_then(|code| code.parse::<i32>().ok())
        // Extended codes carry the primary one in their low byte.
        .map(|code| code & 0xff);
    let config = |help: &str| {
        Error::new(ErrorKind::Config, message)
            .with_blame(Blame::User)
            .with_help(help)
    };
    match code {
        Some(BUSY | LOCKED) => Error::new(ErrorKind::Internal, message)
            .with_retry(Retry::WithBackoff)
            .with_blame(Blame::External)
            .with_help("another process holds the job store for long; try again"),
        Some(FULL) => config("the disk is full: make room, then `jobs resume`"),
        Some(READ_ONLY | CANNOT_OPEN) => {
            config("the folder or file can't be written to: change its permissions")
        }
        Some(INPUT_OUTPUT) => config("reading or writing the disk failed: see the cause"),
        Some(CORRUPT | NOT_A_DATABASE) => {
            config("the file is damaged: restore it from a copy, or move it away to start anew")
        }
        _ => Error::new(ErrorKind::Internal, message),
    }
}

/// Says what was being done when a statement failed.
pub(crate) trait During<T> {
    fn during(self, what: &'static str) -> Result<T, Error>;
}

impl<T> During<T> for Result<T, sqlx::Error> {
    fn during(self, what: &'static str) -> Result<T, Error> {
        self.map_err(|source| StoreError::Statement { what, source }.into())
    }
}

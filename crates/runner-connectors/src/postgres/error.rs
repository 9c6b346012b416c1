//! What PostgreSQL says, as this project's errors: whether to try again, and who can mend it.

use std::borrow::Cow;

use runner_core::{Blame, Error, ErrorKind, Retry};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

/// An operation on the server failed. `doing` completes "failed to …".
pub(super) fn failed(doing: impl AsRef<str>, error: sqlx::Error) -> Error {
    let message = format!("failed to {}", doing.as_ref());
    let (kind, retry, blame, help) = classify(&error);
    let mut result = Error::new(kind, message)
        .with_retry(retry)
        .with_blame(blame);
    if let Some(help) = help {
        result = result.with_help(help);
    }
    if let Some(detail) = detail(&error) {
        result = result.with_context("detail", detail);
    }
    result.with_source(error)
}

/// Whether the server may have done what was asked although it could not say so.
pub(super) fn is_outcome_unknown(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::PoolClosed => true,
        // The server was shut down, or ended the connection.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("57P") || code.starts_with("08")),
        _ => false,
    }
}

type Class = (ErrorKind, Retry, Blame, Option<&'static str>);

fn classify(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::Database(error) => by_state(&error.code().unwrap_or(Cow::Borrowed(""))),
        sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => (
            ErrorKind::Config,
            Retry::Never,
            Blame::User,
            Some("check the connection's settings"),
        ),
        error if is_about_certificates(error) => (
            ErrorKind::Config,
            Retry::Never,
            Blame::User,
            Some(
                "check `ssl_mode` and `ssl_root_certificate` of the connection; the server's certificate has to name its host, with `verify-ca` too",
            ),
        ),
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => {
            (ErrorKind::Sink, Retry::WithBackoff, Blame::External, None)
        }
        _ => (ErrorKind::Internal, Retry::Never, Blame::Us, None),
    }
}

/// What a handshake refuses arrives as a failure of the connection, and would be tried for ever.
fn is_about_certificates(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => error
            .get_ref()
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>),
        _ => false,
    }
}

/// By SQLSTATE.
fn by_state(code: &str) -> Class {
    let lasting = |help| (ErrorKind::Sink, Retry::Never, Blame::User, Some(help));
    let passing = (ErrorKind::Sink, Retry::WithBackoff, Blame::External, None);
    match code {
        "28000" | "28P01" => (
            ErrorKind::Auth,
            Retry::Never,
            Blame::User,
            Some("the server refuses the user or its password"),
        ),
        "3D000" => (
            ErrorKind::Config,
            Retry::Never,
            Blame::User,
            Some("create the database, or name another one at the connection"),
        ),
        "42501" => lasting("grant the privilege to the user of the connection"),
        "53100" => lasting("the server's disk is full: free some space, then run it again"),
        "55P03" => (
            ErrorKind::Sink,
            Retry::WithBackoff,
            Blame::External,
            Some(
                "another session holds a lock on the table: `pg_locks` and `pg_stat_activity` tell which",
            ),
        ),
        // The process slept in its transaction, which the server has rolled back.
        "25P03" => passing,
        "2BP01" => lasting("something else in the database depends on it"),
        code => match code.get(..2) {
            Some("08" | "40" | "53" | "55" | "57") => passing,
            Some("22") => (
                ErrorKind::SourceData,
                Retry::Never,
                Blame::External,
                Some("a value doesn't fit its column"),
            ),
            Some("23") => lasting("the rows break a constraint of the table"),
            _ => (ErrorKind::Sink, Retry::Never, Blame::User, None),
        },
    }
}

/// What the server tells beside its message: table, column, constraint. Its detail may hold values, so it is left out.
fn detail(error: &sqlx::Error) -> Option<String> {
    let error = error
        .as_database_error()
        .and_then(<dyn DatabaseError>::try_downcast_ref::<PgDatabaseError>)?;
    let named = [
        ("table", error.table()),
        ("column", error.column()),
        ("constraint", error.constraint()),
    ];
    let parts: Vec<String> = named
        .iter()
        .filter_map(|(what, name)| name.map(|name| format!("{what} `{name}`")))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

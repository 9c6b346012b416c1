//! Connections to a server.

use std::str::FromStr as _;
use std::time::Duration;

use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::Target as TargetPlan;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode, Postgres};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};

use super::error::failed;
use super::names::TableName;
use crate::resolve::Resolver;

const APPLICATION: &str = "ingestion-runner";
/// One per lane that writes, and a few for everything else.
const MAX_CONNECTIONS: u32 = 16;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// Nothing waits longer for a lock that others hold: a load that can't have it is tried again later.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_mins(1);
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);

/// A server, and the table in it.
#[derive(Clone, Debug)]
pub(super) struct Connected {
    pub pool: PgPool,
    pub table: TableName,
    /// `host:port/database`, for people.
    pub location: String,
}

/// Connects when a connection is first needed.
pub(super) async fn connect(target: &TargetPlan, resolver: &Resolver) -> Result<Connected> {
    let TargetPlan::Postgres {
        host,
        port,
        database,
        user,
        password,
        ssl_mode,
        ssl_root_certificate,
        schema,
        table,
    } = target
    else {
        return Err(Error::new(
            ErrorKind::Internal,
            "the load does not go to PostgreSQL",
        ));
    };
    let host = resolver.template(host).await?;
    let database = resolver.template(database).await?;
    let user = resolver.template(user).await?;
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(host.expose())
        .port(*port)
        .database(database.expose())
        .username(user.expose())
        .application_name(APPLICATION)
        .ssl_mode(parse_ssl_mode(ssl_mode)?);
    if let Some(password) = password {
        options = options.password(resolver.template(password).await?.expose());
    }
    if let Some(certificate) = ssl_root_certificate {
        check_certificate(certificate)?;
        options = options.ssl_root_cert(certificate);
    }
    let pool = PgPoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        .connect_lazy_with(options);
    Ok(Connected {
        pool,
        table: TableName::new(schema, table),
        location: format!("{}:{port}/{}", host.expose(), database.expose()),
    })
}

/// A connection. Where none can be had in time, the error is the one that a connection of its own meets.
pub(super) async fn acquire(connected: &Connected) -> Result<PoolConnection<Postgres>> {
    let connecting = || format!("connect to `{}`", connected.location);
    match connected.pool.acquire().await {
        Ok(connection) => Ok(connection),
        Err(sqlx::Error::PoolTimedOut) => {
            let options = connected.pool.connect_options();
            let error = match PgConnection::connect_with(&options).await {
                Ok(_) => sqlx::Error::PoolTimedOut,
                Err(error) => error,
            };
            Err(failed(connecting(), error))
        }
        Err(error) => Err(failed(connecting(), error)),
    }
}

/// For the rest of the transaction, statements that wait longer for a lock fail.
pub(super) async fn limit_waiting(
    transaction: &mut PgConnection,
    longest: Duration,
) -> sqlx::Result<()> {
    let sql = format!("SET LOCAL lock_timeout = '{}ms'", longest.as_millis());
    execute(transaction, &sql).await?;
    Ok(())
}

/// Runs statements without parameters, several at once if need be, and gives the number of rows that the last one touched.
pub(super) async fn execute(connection: &mut PgConnection, sql: &str) -> sqlx::Result<u64> {
    let done = connection.execute(sql).await?;
    Ok(done.rows_affected())
}

/// A file that can't be read would look like a server that can't be reached, which is tried for ever.
fn check_certificate(path: &str) -> Result<()> {
    let malformed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(
            ErrorKind::Config,
            format!("failed to read the certificate `{path}` that `ssl_root_certificate` names"),
        )
        .with_help("name a file with the authority's certificate as PEM")
        .with_source(error)
    };
    let mut authorities =
        CertificateDer::pem_file_iter(path).map_err(|error| malformed(error.into()))?;
    match authorities.next() {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(malformed(error.into())),
        None => Err(malformed("it holds no certificate".into())),
    }
}

fn parse_ssl_mode(text: &str) -> Result<PgSslMode> {
    PgSslMode::from_str(text).map_err(|error| {
        Error::new(
            ErrorKind::Config,
            format!("`{text}` is no `ssl_mode` of PostgreSQL"),
        )
        .with_help("use `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`")
        .with_source(error)
    })
}

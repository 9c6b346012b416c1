//! Connections to a server.

use std::str::FromStr as _;
use std::time::Duration;

use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::Target as TargetPlan;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{Executor as _, PgConnection, PgPool};

use super::names::TableName;
use crate::resolve::Resolver;

const APPLICATION: &str = "ingestion-runner";
/// One per lane that writes, and a few for everything else.
const MAX_CONNECTIONS: u32 = 16;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
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

/// Runs statements without parameters, several at once if need be, and gives the number of rows that the last one touched.
pub(super) async fn execute(connection: &mut PgConnection, sql: &str) -> sqlx::Result<u64> {
    let done = connection.execute(sql).await?;
    Ok(done.rows_affected())
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

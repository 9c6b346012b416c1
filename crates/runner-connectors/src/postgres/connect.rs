//! Connections to a server.

use std::str::FromStr as _;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use runner_core::{Error, ErrorKind, Result, Secret};
use runner_plan::Template;
use runner_plan::model::Target as TargetPlan;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode, Postgres};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool};

use url::Url;

use super::error::failed;
use super::names::TableName;
use crate::resolve::Resolver;

const APPLICATION: &str = "ingestion-runner";
/// One per lane that writes, and a few for everything else.
const MAX_CONNECTIONS: u32 = 16;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// Nothing waits longer for a lock that others hold: a load that can't have it is tried again later.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_mins(1);

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
    let TargetPlan::Postgres { schema, table, .. } = target else {
        return Err(Error::new(
            ErrorKind::Internal,
            "the load does not go to PostgreSQL",
        ));
    };
    let options = options(target, resolver).await?;
    let location = format!(
        "{}:{}/{}",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or(options.get_username()),
    );
    // No idle or lifetime limit, so that sqlx 0.8 starts no maintenance task: one whose count of idle connections
    // went below zero never ends, and keeps the process from ending.
    let pool = PgPoolOptions::new()
        .idle_timeout(None)
        .max_lifetime(None)
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options);
    Ok(Connected {
        pool,
        table: TableName::new(schema, table),
        location,
    })
}

/// The server's address, with what the plan says besides in place of its parts.
async fn options(target: &TargetPlan, resolver: &Resolver) -> Result<PgConnectOptions> {
    let TargetPlan::Postgres {
        url,
        host,
        port,
        database,
        user,
        password,
        ssl_mode,
        ssl_root_certificate,
        ..
    } = target
    else {
        return Ok(PgConnectOptions::new_without_pgpass());
    };
    let mut options = match url {
        Some(url) => address(url, resolver).await?,
        None => PgConnectOptions::new_without_pgpass(),
    }
    .application_name(APPLICATION);
    let stated = async |text: &Template| -> Result<Option<Secret>> {
        let is_left_open = url.is_some() && text.as_str().is_empty();
        if is_left_open {
            return Ok(None);
        }
        resolver.template(text).await.map(Some)
    };
    if let Some(host) = stated(host).await? {
        options = options.host(host.expose());
    }
    if *port != 0 {
        options = options.port(*port);
    }
    if let Some(database) = stated(database).await? {
        options = options.database(database.expose());
    }
    if let Some(user) = stated(user).await? {
        options = options.username(user.expose());
    }
    if let Some(password) = password {
        options = options.password(resolver.template(password).await?.expose());
    }
    if url.is_none() || !ssl_mode.is_empty() {
        options = options.ssl_mode(parse_ssl_mode(ssl_mode)?);
    }
    if let Some(certificate) = ssl_root_certificate {
        check_certificate(certificate)?;
        options = options.ssl_root_cert(certificate);
    }
    Ok(options)
}

/// An address that is one secret. What is wrong with it is not told by its text.
async fn address(url: &Template, resolver: &Resolver) -> Result<PgConnectOptions> {
    let refused = || {
        Error::new(
            ErrorKind::Config,
            format!("what `{url}` stands for is no PostgreSQL address"),
        )
        .with_help("store it as `postgres://user:password@host:5432/database`")
    };
    let address = resolver.template(url).await?;
    let parsed = Url::parse(address.expose().trim()).map_err(|_| refused())?;
    if !matches!(parsed.scheme(), "postgres" | "postgresql") {
        return Err(refused());
    }
    if let Some(password) = parsed.password() {
        let plain = percent_decode_str(password).decode_utf8_lossy();
        resolver.register("PostgreSQL password", &Secret::new(plain))?;
    }
    PgConnectOptions::from_url(&parsed).map_err(|_| refused())
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use runner_core::SecretStore;

    use super::*;
    use crate::http::tests::fixture::{Vault, plan};
    use crate::secrets::RunSecrets;

    /// Of a target whose whole address is this secret.
    async fn options_of(address: &str, host: &str, ssl_mode: &str) -> Result<PgConnectOptions> {
        let mut plan = plan();
        let reference = "vault://warehouse#url".to_owned();
        plan.secrets.insert("PG_URL".to_owned(), reference.clone());
        let store: Arc<dyn SecretStore> = Arc::new(Vault::with(&[(&reference, address)]));
        let secrets = Arc::new(RunSecrets::new(store, &plan)?);
        let target = TargetPlan::Postgres {
            url: Some(Template::new("{{ secrets.PG_URL }}")),
            host: Template::new(host),
            port: 0,
            database: Template::new(""),
            user: Template::new(""),
            password: None,
            ssl_mode: ssl_mode.to_owned(),
            ssl_root_certificate: None,
            schema: "public".to_owned(),
            table: "rows".to_owned(),
        };
        let options = options(&target, &Resolver::new(Arc::clone(&secrets), &plan)).await?;
        assert_eq!(
            secrets.scrubber().hide("c4n/ry"),
            "{{secret:PostgreSQL password}}"
        );
        Ok(options)
    }

    #[tokio::test]
    async fn an_address_may_be_one_secret() {
        let address = "postgres://loader:c4n%2Fry@db.example.com:6432/market?sslmode=require";
        let options = options_of(address, "", "").await.unwrap();
        assert_eq!(
            (options.get_host(), options.get_port()),
            ("db.example.com", 6432)
        );
        assert_eq!(options.get_database(), Some("market"));
        assert_eq!(options.get_username(), "loader");
        assert!(matches!(options.get_ssl_mode(), PgSslMode::Require));
        // What the document says besides goes before.
        let options = options_of(address, "replica.example.com", "disable")
            .await
            .unwrap();
        assert_eq!(options.get_host(), "replica.example.com");
        assert!(matches!(options.get_ssl_mode(), PgSslMode::Disable));
    }

    #[tokio::test]
    async fn what_is_no_address_is_refused_without_its_text() {
        for address in [
            "mysql://u:c4nary@host/db",
            "c4nary",
            "postgres://u:c4nary@[/db",
        ] {
            let error = options_of(address, "", "").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.message().contains("{{ secrets.PG_URL }}"), "{error}");
            assert!(!format!("{error:?}").contains("c4nary"), "{error:?}");
        }
    }
}

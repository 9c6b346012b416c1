//! The store on SQLite: one file, in the mode that lets readers and one writer work side by side.

mod audit;
mod chains;
mod checkpoints;
mod create;
mod feeds;
mod held;
mod interventions;
mod jobs;
mod migrations;
mod quarantine;
mod retention;
mod rows;
mod summary;
mod terminal;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use runner_core::{Clock, Result, TenantId};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Sqlite};

use crate::error::{During as _, StoreError};

/// Name of the file in the data folder.
const FILE_NAME: &str = "jobs.db";
/// How long a write waits for another process's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECTIONS: u32 = 4;

type Transaction = sqlx::Transaction<'static, Sqlite>;

/// Jobs, checkpoints and state of feeds in `<data_dir>/jobs.db`.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    pool: SqlitePool,
    clock: Arc<dyn Clock>,
}

impl SqliteStore {
    /// Opens the store of a data folder, and creates or upgrades it. Several processes may do so at once.
    pub async fn open(data_dir: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let path = data_dir.join(FILE_NAME);
        create_private(&path)?;
        let options = options(SqliteConnectOptions::new().filename(&path));
        // No idle or lifetime limit, so that sqlx 0.8 starts no maintenance task: one whose count of idle connections
        // went below zero never ends, and keeps the process from ending.
        let pool = SqlitePoolOptions::new()
            .idle_timeout(None)
            .max_lifetime(None)
            .max_connections(CONNECTIONS)
            .connect_with(options)
            .await
            .map_err(|source| StoreError::Open {
                path: path.clone(),
                source,
            })?;
        migrations::run(&pool, &path).await?;
        Ok(Self { pool, clock })
    }

    /// A store that ends with its value.
    pub async fn in_memory(clock: Arc<dyn Clock>) -> Result<Self> {
        let path = PathBuf::from(":memory:");
        let options = options(SqliteConnectOptions::new().in_memory(true));
        let pool = SqlitePoolOptions::new()
            // The database is its only connection's.
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await
            .map_err(|source| StoreError::Open {
                path: path.clone(),
                source,
            })?;
        migrations::run(&pool, &path).await?;
        Ok(Self { pool, clock })
    }

    /// Tenants that have feeds here. For a command line that acts for whoever owns the file, never for a caller of a server.
    pub async fn tenants(&self) -> Result<Vec<TenantId>> {
        let mut transaction = self.read().await?;
        let tenants: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT tenant FROM feeds ORDER BY tenant")
                .fetch_all(&mut *transaction)
                .await
                .during("read the tenants")?;
        Ok(tenants.into_iter().map(TenantId::new).collect())
    }

    /// Waits for statements that run and closes the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Takes the write lock at once: a transaction that reads first and writes later could not get it without losing what it read.
    async fn write(&self) -> Result<Transaction> {
        self.pool
            .begin_with("BEGIN IMMEDIATE")
            .await
            .during("begin a change")
    }

    /// One view of the store for several reads.
    async fn read(&self) -> Result<Transaction> {
        self.pool.begin().await.during("begin a read")
    }

    fn now_us(&self) -> i64 {
        self.clock.now().timestamp_micros()
    }
}

async fn commit(transaction: Transaction) -> Result<()> {
    transaction.commit().await.during("commit a change")
}

fn options(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .journal_mode(SqliteJournalMode::Wal)
        // What a checkpoint says is durable must be so when the machine loses power, too.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .create_if_missing(false)
        .disable_statement_logging()
}

/// Documents and plans name systems and people: the file is its owner's alone. SQLite gives its journal the same mode.
fn create_private(path: &Path) -> Result<()> {
    let create = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut options = std::fs::OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
            const PRIVATE: u32 = 0o600;
            options.mode(PRIVATE);
            let file = options.open(path)?;
            let mode = file.metadata()?.permissions().mode();
            if mode & 0o077 != 0 {
                file.set_permissions(std::fs::Permissions::from_mode(PRIVATE))?;
            }
            Ok(())
        }
        #[cfg(not(unix))]
        options.open(path).map(drop)
    };
    create().map_err(|source| {
        StoreError::Create {
            path: path.to_owned(),
            source,
        }
        .into()
    })
}

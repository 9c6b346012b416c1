//! Versions of the database, and how it gets from one to the next.

use std::path::Path;

use runner_core::Result;
use sqlx::sqlite::SqlitePool;
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use crate::error::{During as _, StoreError};

/// "irjs": tells this program's files from other databases.
const APPLICATION_ID: i64 = 0x6972_6a73;

/// Script `n` makes version `n + 1`. A script that was released is never changed.
const SCRIPTS: &[&str] = &[include_str!("../../migrations/0001_jobs.sql")];

/// Brings the database to the newest version, under the write lock: of several processes one does it, and the others find it done.
pub(super) async fn run(pool: &SqlitePool, path: &Path) -> Result<()> {
    let mut connection = pool.acquire().await.map_err(|source| StoreError::Open {
        path: path.to_owned(),
        source,
    })?;
    let mut transaction = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(|source| StoreError::Open {
            path: path.to_owned(),
            source,
        })?;
    let known = i64::try_from(SCRIPTS.len()).unwrap_or(i64::MAX);
    let found = version(&mut transaction, path).await?;
    if found > known {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known,
        }
        .into());
    }
    for (number, script) in (1_i64..).zip(SCRIPTS) {
        if number > found {
            transaction
                .execute(*script)
                .await
                .during("bring the tables to a newer version")?;
        }
    }
    if found < known {
        // Pragmas take no parameters; both numbers are this module's own.
        let stamp =
            format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {known};");
        transaction
            .execute(stamp.as_str())
            .await
            .during("note the tables' version")?;
    }
    transaction.commit().await.during("commit a change")
}

async fn version(connection: &mut SqliteConnection, path: &Path) -> Result<i64> {
    let what = "read the tables' version";
    let application: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut *connection)
        .await
        .during(what)?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *connection)
        .await
        .during(what)?;
    let tables: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await
        .during(what)?;
    let is_new = application == 0 && version == 0 && tables == 0;
    if application == APPLICATION_ID || is_new {
        Ok(version)
    } else {
        Err(StoreError::Foreign {
            path: path.to_owned(),
        }
        .into())
    }
}

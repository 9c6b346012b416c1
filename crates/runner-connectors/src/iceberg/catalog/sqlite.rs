//! A catalog in a SQLite file, in the format of the reference implementations' SQL catalog (`iceberg_tables`,
//! `iceberg_namespace_properties`), so that pyiceberg and others open the same file.
//!
//! A commit writes the next metadata file beside the table and then swaps the table's row, if it still names the metadata that
//! the change was computed from. SQLite's own locks make that exact between processes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use iceberg::spec::{SortOrder, TableMetadata, TableMetadataBuilder};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use tokio::sync::Mutex;

use super::super::error::{IcebergError, Result};
use super::super::files::TableFiles;
use super::super::metadata_file;
use super::{Catalog, CommitOutcome, LoadedTable, NewTable, TableChange, TableName};

/// How long another process may hold the file before this one gives up.
const BUSY_TIMEOUT: Duration = Duration::from_mins(1);

const CREATE_TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS iceberg_tables (
        catalog_name VARCHAR(255) NOT NULL,
        table_namespace VARCHAR(255) NOT NULL,
        table_name VARCHAR(255) NOT NULL,
        metadata_location VARCHAR(1000),
        previous_metadata_location VARCHAR(1000),
        iceberg_type VARCHAR(5),
        PRIMARY KEY (catalog_name, table_namespace, table_name)
    )",
    "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
        catalog_name VARCHAR(255) NOT NULL,
        namespace VARCHAR(255) NOT NULL,
        property_key VARCHAR(255) NOT NULL,
        property_value VARCHAR(1000) NOT NULL,
        PRIMARY KEY (catalog_name, namespace, property_key)
    )",
];

pub(in super::super) struct SqliteCatalog {
    file: PathBuf,
    name: String,
    /// Location without a slash at its end.
    warehouse: String,
    files: TableFiles,
    database: Mutex<Option<Database>>,
}

#[derive(Clone)]
struct Database {
    pool: SqlitePool,
    /// Older files have no column that tells tables from views.
    has_types: bool,
}

impl SqliteCatalog {
    pub(in super::super) fn new(
        file: PathBuf,
        name: String,
        warehouse: &str,
        files: TableFiles,
    ) -> Self {
        Self {
            file,
            name,
            warehouse: warehouse.trim_end_matches('/').to_owned(),
            files,
            database: Mutex::new(None),
        }
    }

    /// The open file, or none where it doesn't exist and isn't to be created.
    async fn database(&self, create: bool) -> Result<Option<Database>> {
        let mut database = self.database.lock().await;
        if database.is_none() && (create || self.file.exists()) {
            *database = Some(self.open(create).await?);
        }
        Ok(database.clone())
    }

    async fn open(&self, create: bool) -> Result<Database> {
        let doing = || IcebergError::sqlite(format!("open the catalog `{}`", self.file.display()));
        if create && let Some(folder) = self.file.parent() {
            std::fs::create_dir_all(folder).map_err(|error| doing()(sqlx::Error::Io(error)))?;
        }
        let options = SqliteConnectOptions::new()
            .filename(&self.file)
            .create_if_missing(create)
            .busy_timeout(BUSY_TIMEOUT);
        // No idle or lifetime limit, so that sqlx 0.8 starts no maintenance task: one whose count of idle connections
        // went below zero never ends, and keeps the process from ending.
        let pool = SqlitePoolOptions::new()
            .idle_timeout(None)
            .max_lifetime(None)
            .max_connections(1)
            .connect_with(options)
            .await
            .map_err(doing())?;
        // Also in a file that is there: the process that created it may have died between the two.
        for statement in CREATE_TABLES {
            sqlx::query(statement)
                .execute(&pool)
                .await
                .map_err(doing())?;
        }
        let columns = sqlx::query("SELECT name FROM pragma_table_info('iceberg_tables')")
            .fetch_all(&pool)
            .await
            .map_err(doing())?;
        let has_types = columns
            .iter()
            .any(|row| row.get::<String, _>(0) == "iceberg_type");
        Ok(Database { pool, has_types })
    }

    async fn location(&self, table: &TableName) -> Result<Option<String>> {
        let Some(database) = self.database(false).await? else {
            return Ok(None);
        };
        let filter = if database.has_types {
            " AND (iceberg_type IS NULL OR iceberg_type = 'TABLE')"
        } else {
            ""
        };
        let query = format!(
            "SELECT metadata_location FROM iceberg_tables
             WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?{filter}"
        );
        sqlx::query(&query)
            .bind(&self.name)
            .bind(table.namespace.join("."))
            .bind(&table.name)
            .fetch_optional(&database.pool)
            .await
            .map_err(IcebergError::sqlite(format!(
                "look up `{table}` in the catalog `{}`",
                self.file.display()
            )))
            .map(|row| row.and_then(|row| row.get::<Option<String>, _>(0)))
    }

    async fn loaded(&self, location: String) -> Result<LoadedTable> {
        Ok(LoadedTable {
            metadata: Arc::new(metadata_file::read(&self.files, &location).await?),
            metadata_location: Some(location),
            storage: BTreeMap::new(),
        })
    }

    async fn insert(
        &self,
        database: &Database,
        table: &TableName,
        location: &str,
    ) -> Result<bool, sqlx::Error> {
        let mut transaction = database.pool.begin().await?;
        let namespace = table.namespace.join(".");
        sqlx::query(
            "INSERT OR IGNORE INTO iceberg_namespace_properties
             (catalog_name, namespace, property_key, property_value) VALUES (?, ?, 'exists', 'true')",
        )
        .bind(&self.name)
        .bind(&namespace)
        .execute(&mut *transaction)
        .await?;
        let (column, value) = if database.has_types {
            (", iceberg_type", ", 'TABLE'")
        } else {
            ("", "")
        };
        let insert = format!(
            "INSERT OR IGNORE INTO iceberg_tables
             (catalog_name, table_namespace, table_name, metadata_location{column})
             VALUES (?, ?, ?, ?{value})"
        );
        let inserted = sqlx::query(&insert)
            .bind(&self.name)
            .bind(&namespace)
            .bind(&table.name)
            .bind(location)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(inserted.rows_affected() == 1)
    }

    async fn swap(
        &self,
        table: &TableName,
        from: &str,
        to: &str,
    ) -> std::result::Result<bool, sqlx::Error> {
        let Ok(Some(database)) = self.database(false).await else {
            return Ok(false);
        };
        let swapped = sqlx::query(
            "UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ?
             WHERE catalog_name = ? AND table_namespace = ? AND table_name = ? AND metadata_location = ?",
        )
        .bind(to)
        .bind(from)
        .bind(&self.name)
        .bind(table.namespace.join("."))
        .bind(&table.name)
        .bind(from)
        .execute(&database.pool)
        .await?;
        Ok(swapped.rows_affected() == 1)
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn load(&self, table: &TableName) -> Result<Option<LoadedTable>> {
        match self.location(table).await? {
            Some(location) => self.loaded(location).await.map(Some),
            None => Ok(None),
        }
    }

    async fn create(&self, table: &TableName, new: NewTable) -> Result<Option<LoadedTable>> {
        let doing = || IcebergError::metadata(format!("create the table `{table}`"));
        let location = place(&self.warehouse, table);
        let metadata = TableMetadataBuilder::new(
            new.schema,
            new.partition_spec,
            SortOrder::unsorted_order(),
            location,
            new.format_version,
            new.properties,
        )
        .and_then(TableMetadataBuilder::build)
        .map_err(doing())?
        .metadata;
        let Some(database) = self.database(true).await? else {
            return Ok(None);
        };
        let location = metadata_file::write(&self.files, &metadata, None).await?;
        let inserted =
            self.insert(&database, table, &location)
                .await
                .map_err(IcebergError::sqlite(format!(
                    "create `{table}` in the catalog `{}`",
                    self.file.display()
                )))?;
        if !inserted {
            // Another process created it; nothing can refer to this file.
            self.files.delete(&location).await?;
            return Ok(None);
        }
        Ok(Some(LoadedTable {
            metadata: Arc::new(metadata),
            metadata_location: Some(location),
            storage: BTreeMap::new(),
        }))
    }

    async fn commit(
        &self,
        table: &TableName,
        base: &LoadedTable,
        change: TableChange,
    ) -> Result<CommitOutcome> {
        let from = base.metadata_location.as_deref().ok_or_else(|| {
            IcebergError::Broken("a table of the SQL catalog has no location".to_owned())
        })?;
        for requirement in &change.requirements {
            if let Err(error) = requirement.check(Some(&base.metadata)) {
                return Ok(CommitOutcome::Conflict(error.message().to_owned()));
            }
        }
        let (metadata, expired) = apply(&base.metadata, from, change)?;
        let to = metadata_file::write(&self.files, &metadata, Some(from)).await?;
        match self.swap(table, from, &to).await {
            Ok(true) => {}
            Ok(false) => {
                self.files.delete(&to).await?;
                return Ok(CommitOutcome::Conflict(
                    "another writer has committed".to_owned(),
                ));
            }
            Err(error) if is_busy(&error) => {
                self.files.delete(&to).await?;
                return Ok(CommitOutcome::Conflict(format!(
                    "the catalog was locked for {} seconds",
                    BUSY_TIMEOUT.as_secs()
                )));
            }
            Err(error) => {
                let doing = format!("commit `{table}` to the catalog `{}`", self.file.display());
                return Ok(CommitOutcome::Unknown(IcebergError::sqlite(doing)(error)));
            }
        }
        metadata_file::delete_expired(&self.files, &metadata, &expired).await;
        Ok(CommitOutcome::Committed(LoadedTable {
            metadata: Arc::new(metadata),
            metadata_location: Some(to),
            storage: BTreeMap::new(),
        }))
    }

    async fn probe(&self) -> Result<()> {
        if self.database(false).await?.is_some() {
            return Ok(());
        }
        let parent = self.file.ancestors().skip(1).find(|folder| folder.exists());
        match parent.map(Path::metadata) {
            Some(Ok(folder)) if !folder.permissions().readonly() => Ok(()),
            _ => Err(IcebergError::config(
                format!(
                    "the catalog `{}` can't be created: its folder can't be written to",
                    self.file.display()
                ),
                "name a file in a folder that this user may write to",
            )),
        }
    }

    fn address(&self) -> String {
        self.file.display().to_string()
    }
}

impl std::fmt::Debug for SqliteCatalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteCatalog")
            .field("file", &self.file)
            .field("name", &self.name)
            .field("warehouse", &self.warehouse)
            .finish_non_exhaustive()
    }
}

/// Where a table is made.
pub(in super::super) fn place(warehouse: &str, table: &TableName) -> String {
    let warehouse = warehouse.trim_end_matches('/');
    format!("{warehouse}/{}/{}", table.namespace.join("/"), table.name)
}

/// The changed metadata, and the locations that have fallen out of its log.
fn apply(
    base: &TableMetadata,
    location: &str,
    change: TableChange,
) -> Result<(TableMetadata, Vec<String>)> {
    let doing = || IcebergError::metadata("change the table's metadata");
    let mut builder = base.clone().into_builder(Some(location.to_owned()));
    for update in change.updates {
        builder = update.apply(builder).map_err(doing())?;
    }
    let built = builder.build().map_err(doing())?;
    let expired = built
        .expired_metadata_logs
        .into_iter()
        .map(|entry| entry.metadata_file)
        .collect();
    Ok((built.metadata, expired))
}

fn is_busy(error: &sqlx::Error) -> bool {
    // SQLITE_BUSY and SQLITE_LOCKED, in their plain and extended forms: the statement had no effect.
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| matches!(code & 0xff, 5 | 6))
}

//! Catalogs: where the current metadata of a table is named, and swapped.

mod rest;
mod sqlite;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use iceberg::spec::{FormatVersion, Schema, TableMetadata, UnboundPartitionSpec};
use iceberg::{TableRequirement, TableUpdate};
use runner_core::Secret;

use super::error::{IcebergError, Result};

pub(super) use rest::{Credentials, RestCatalog, RestSettings, Signing};
pub(super) use sqlite::{SqliteCatalog, place};

/// Name of a table in its catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableName {
    pub namespace: Vec<String>,
    pub name: String,
}

/// A table as the catalog has it.
#[derive(Clone, Debug)]
pub(super) struct LoadedTable {
    pub metadata: Arc<TableMetadata>,
    /// Of the metadata file; a REST catalog may keep it to itself.
    pub metadata_location: Option<String>,
    /// Settings of the table's storage that the catalog hands out, credentials among them.
    pub storage: BTreeMap<String, Secret>,
}

/// A table to create. The catalog gives it a place, and its columns their ids.
#[derive(Clone, Debug)]
pub(super) struct NewTable {
    pub schema: Schema,
    pub partition_spec: UnboundPartitionSpec,
    pub properties: HashMap<String, String>,
    pub format_version: FormatVersion,
}

/// A change of a table's metadata, and what has to hold for it.
#[derive(Clone, Debug, Default)]
pub(super) struct TableChange {
    pub requirements: Vec<TableRequirement>,
    pub updates: Vec<TableUpdate>,
}

/// What came of a commit.
#[derive(Debug)]
pub(super) enum CommitOutcome {
    Committed(LoadedTable),
    /// Nothing was changed: something that had to hold did not.
    Conflict(String),
    /// It may have been committed, or may yet be: nobody knows before the table is loaded again.
    Unknown(IcebergError),
}

#[async_trait]
pub(super) trait Catalog: Send + Sync + fmt::Debug {
    /// The table, or none where it doesn't exist.
    async fn load(&self, table: &TableName) -> Result<Option<LoadedTable>>;
    /// Creates the namespace where it is absent, and the table. None where the table exists by now.
    async fn create(&self, table: &TableName, new: NewTable) -> Result<Option<LoadedTable>>;
    /// `base` is the table as it was loaded before the change was made.
    async fn commit(
        &self,
        table: &TableName,
        base: &LoadedTable,
        change: TableChange,
    ) -> Result<CommitOutcome>;
    /// Settings of the table's storage with credentials that have just been lent; `table` has those that are about to end.
    async fn lend(
        &self,
        name: &TableName,
        table: &LoadedTable,
    ) -> Result<BTreeMap<String, Secret>> {
        let _ = table;
        storage_of(name, self.load(name).await?)
    }
    /// Whether the catalog answers and lets this caller in; nothing is written.
    async fn probe(&self) -> Result<()>;
    /// Where people find the catalog.
    fn address(&self) -> String;
}

fn storage_of(name: &TableName, table: Option<LoadedTable>) -> Result<BTreeMap<String, Secret>> {
    table.map(|table| table.storage).ok_or_else(|| {
        IcebergError::conflict(
            format!("the table `{name}` is gone from its catalog"),
            "run the feed again",
        )
    })
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for level in &self.namespace {
            write!(f, "{level}.")?;
        }
        f.write_str(&self.name)
    }
}

//! The columns of a stream while it is read, shared by everything that reads it.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use runner_core::checkpoint::SchemaRecord;
pub use runner_plan::arrow::{LOGICAL_TYPE, arrow_schema, arrow_type};
use runner_plan::model::{ColumnField, ColumnSource, ColumnType};

/// One column that a decoder fills.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodedColumn {
    pub name: String,
    pub source: ColumnSource,
    pub column_type: ColumnType,
    pub nullable: bool,
    /// The contract or the target fixes the type: a value that needs a wider one makes its row invalid.
    pub is_fixed: bool,
}

/// The columns at one version. Versions only grow, and each is wider than the one before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchemaVersion {
    pub version: u32,
    pub columns: Vec<DecodedColumn>,
    /// Fields that no column names become columns when they are first seen.
    pub is_open: bool,
}

/// A stream's columns, shared by its chains: what one widens, all the others see at their next batch.
#[derive(Clone, Debug)]
pub struct StreamSchema {
    /// Never empty; every version since this process began, so that batches and parts of earlier ones can be widened.
    versions: Arc<Mutex<Vec<Arc<SchemaVersion>>>>,
}

impl StreamSchema {
    pub fn new(initial: SchemaVersion) -> Self {
        Self {
            versions: Arc::new(Mutex::new(vec![Arc::new(initial)])),
        }
    }

    pub fn current(&self) -> Arc<SchemaVersion> {
        // A panic elsewhere can't leave the list half written: a version is pushed whole.
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.last().map(Arc::clone).unwrap_or_default()
    }

    /// The columns of an earlier version, if this process has seen it.
    pub fn version(&self, version: u32) -> Option<Arc<SchemaVersion>> {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions
            .iter()
            .rev()
            .find(|known| known.version == version)
            .map(Arc::clone)
    }

    /// Replaces the columns by what `change` makes of them, if it makes anything, and returns the version that stands then.
    pub fn evolve(
        &self,
        change: impl FnOnce(&SchemaVersion) -> Option<Vec<DecodedColumn>>,
    ) -> Arc<SchemaVersion> {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let current = versions.last().map(Arc::clone).unwrap_or_default();
        let Some(columns) = change(&current) else {
            return current;
        };
        let next = Arc::new(SchemaVersion {
            version: current.version + 1,
            columns,
            is_open: current.is_open,
        });
        versions.push(Arc::clone(&next));
        next
    }
}

impl SchemaVersion {
    pub fn fields(&self) -> Vec<ColumnField> {
        self.columns
            .iter()
            .map(|column| ColumnField {
                name: column.name.clone(),
                column_type: column.column_type.clone(),
                nullable: column.nullable,
            })
            .collect()
    }

    pub fn record(&self) -> SchemaRecord {
        SchemaRecord {
            version: self.version,
            columns: self.fields(),
            sources: self
                .columns
                .iter()
                .map(|column| column.source.clone())
                .collect(),
        }
    }

    pub fn arrow(&self) -> SchemaRef {
        arrow_schema(&self.fields())
    }
}

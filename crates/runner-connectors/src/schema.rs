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
    current: Arc<Mutex<Arc<SchemaVersion>>>,
}

impl StreamSchema {
    pub fn new(initial: SchemaVersion) -> Self {
        Self {
            current: Arc::new(Mutex::new(Arc::new(initial))),
        }
    }

    pub fn current(&self) -> Arc<SchemaVersion> {
        // A panic elsewhere can't leave the version half written: it is replaced as a whole.
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the columns by what `change` makes of them, if it makes anything, and returns the version that stands then.
    pub fn evolve(
        &self,
        change: impl FnOnce(&SchemaVersion) -> Option<Vec<DecodedColumn>>,
    ) -> Arc<SchemaVersion> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(columns) = change(&current) {
            *current = Arc::new(SchemaVersion {
                version: current.version + 1,
                columns,
                is_open: current.is_open,
            });
        }
        Arc::clone(&current)
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

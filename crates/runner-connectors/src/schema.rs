//! The columns of a stream while it is read, shared by everything that reads it, and the Arrow types of columns.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use runner_core::checkpoint::SchemaRecord;
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
        }
    }

    pub fn arrow(&self) -> SchemaRef {
        arrow_schema(&self.fields())
    }
}

/// The Arrow schema of these columns.
pub fn arrow_schema(columns: &[ColumnField]) -> SchemaRef {
    Arc::new(Schema::new(
        columns.iter().map(arrow_field).collect::<Vec<_>>(),
    ))
}

fn arrow_field(column: &ColumnField) -> Field {
    let field = Field::new(
        &column.name,
        arrow_type(&column.column_type),
        column.nullable,
    );
    match column.column_type {
        ColumnType::Uuid => {
            field.with_metadata([(LOGICAL_TYPE.to_owned(), "uuid".to_owned())].into())
        }
        ColumnType::Json => {
            field.with_metadata([(LOGICAL_TYPE.to_owned(), "json".to_owned())].into())
        }
        _ => field,
    }
}

/// Key of the field metadata that tells a column's type where Arrow's own type says less.
pub const LOGICAL_TYPE: &str = "uis.type";

/// The Arrow type that holds a column's values. UUIDs and JSON are text (see [`LOGICAL_TYPE`]).
pub fn arrow_type(column_type: &ColumnType) -> DataType {
    match column_type {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Integer => DataType::Int64,
        ColumnType::Number => DataType::Float64,
        ColumnType::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
        ColumnType::String | ColumnType::Uuid | ColumnType::Json => DataType::Utf8,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ColumnType::Time => DataType::Time64(TimeUnit::Microsecond),
        ColumnType::Binary => DataType::Binary,
        ColumnType::List(item) => DataType::List(Arc::new(arrow_field(item))),
        ColumnType::Struct(fields) => {
            DataType::Struct(fields.iter().map(arrow_field).collect::<Fields>())
        }
    }
}

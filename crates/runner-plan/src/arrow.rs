//! The Arrow types that hold columns: one mapping for connectors, relation and engines.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use crate::model::{ColumnField, ColumnType};

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

//! The columns that a file of unknown origin has, and its values in the forms that columns have here.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit, TimestampMicrosecondType};
use runner_core::{Error, ErrorKind, Result};
use runner_plan::arrow::{LOGICAL_TYPE, arrow_type};
use runner_plan::model::{ColumnField, ColumnType};

/// The columns of an Arrow schema.
pub fn columns_of(schema: &Schema) -> Result<Vec<ColumnField>> {
    schema
        .fields()
        .iter()
        .map(|field| column_of(field))
        .collect()
}

fn column_of(field: &Field) -> Result<ColumnField> {
    Ok(ColumnField {
        name: field.name().clone(),
        column_type: type_of(field)?,
        nullable: field.is_nullable(),
    })
}

fn type_of(field: &Field) -> Result<ColumnType> {
    let logical = field.metadata().get(LOGICAL_TYPE).map(String::as_str);
    Ok(match (field.data_type(), logical) {
        (DataType::Boolean, _) => ColumnType::Boolean,
        (
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32,
            _,
        ) => ColumnType::Integer,
        (DataType::UInt64, _) => ColumnType::Decimal {
            precision: 20,
            scale: 0,
        },
        (DataType::Float16 | DataType::Float32 | DataType::Float64, _) => ColumnType::Number,
        (
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale),
            _,
        ) => ColumnType::Decimal {
            precision: *precision,
            scale: *scale,
        },
        (DataType::Utf8, Some("uuid")) => ColumnType::Uuid,
        (DataType::Utf8, Some("json")) => ColumnType::Json,
        (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View, _) => ColumnType::String,
        (DataType::Date32 | DataType::Date64, _) => ColumnType::Date,
        (DataType::Timestamp(_, _), _) => ColumnType::Timestamp,
        (DataType::Time32(_) | DataType::Time64(_), _) => ColumnType::Time,
        (
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_),
            _,
        ) => ColumnType::Binary,
        (DataType::Dictionary(_, values), _) => {
            let plain = Field::new(field.name(), values.as_ref().clone(), true)
                .with_metadata(field.metadata().clone());
            type_of(&plain)?
        }
        (DataType::List(item) | DataType::LargeList(item), _) => {
            ColumnType::List(Box::new(ColumnField {
                name: "item".to_owned(),
                ..column_of(item)?
            }))
        }
        (DataType::Struct(fields), _) => ColumnType::Struct(
            fields
                .iter()
                .map(|field| column_of(field))
                .collect::<Result<_>>()?,
        ),
        (other, _) => {
            return Err(Error::new(
                ErrorKind::Sink,
                format!(
                    "column `{}` has the type {other}, which is not supported",
                    field.name()
                ),
            )
            .with_retry(runner_core::Retry::Never));
        }
    })
}

/// The values in the Arrow type that columns of this type have here.
pub fn normalize(array: &ArrayRef, column_type: &ColumnType) -> Result<ArrayRef> {
    let target = arrow_type(column_type);
    if array.data_type() == &target {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let cast = |array: &ArrayRef, target: &DataType| {
        cast_with_options(array, target, &options).map_err(|error| {
            Error::new(ErrorKind::Sink, "failed to read a column of a table's file")
                .with_source(error)
        })
    };
    if let DataType::Timestamp(_, zone) = array.data_type() {
        // The zone is how it is shown, not what it is: the instant stays the same.
        let micros = cast(
            array,
            &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        )?;
        let instants = micros.as_primitive::<TimestampMicrosecondType>().clone();
        return Ok(Arc::new(instants.with_timezone("UTC")));
    }
    cast(array, &target)
}

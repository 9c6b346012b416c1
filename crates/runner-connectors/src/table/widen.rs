//! Values of a column whose type became wider, as the wider type would have held them from the start.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, RecordBatchOptions, StringArray,
    StringBuilder, StructArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float64Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use runner_core::{Error, ErrorKind, Result};
use runner_plan::arrow::{arrow_schema, arrow_type};
use runner_plan::model::{ColumnField, ColumnType};

use super::json::{date_text, decimal_text, time_text, timestamp_text, to_json};

/// Integers up to here are doubles without loss.
const EXACT_INTEGERS: i64 = 1 << 53;

/// Whether values of one type can become the other's without loss; some of them only (integers up to 2^53 as doubles).
pub fn is_wider(from: &ColumnType, to: &ColumnType) -> bool {
    use ColumnType as T;
    match (from, to) {
        (from, to) if from == to => true,
        (_, T::Json)
        | (T::Integer, T::Number | T::Decimal { .. })
        | (T::Number, T::Decimal { .. })
        | (T::Date, T::Timestamp)
        | (
            T::Boolean
            | T::Integer
            | T::Number
            | T::Decimal { .. }
            | T::Date
            | T::Timestamp
            | T::Time
            | T::Uuid,
            T::String,
        ) => true,
        (
            T::Decimal {
                precision: from_precision,
                scale: from_scale,
            },
            T::Decimal {
                precision: to_precision,
                scale: to_scale,
            },
        ) => {
            let whole = |precision: &u8, scale: &i8| i16::from(*precision) - i16::from(*scale);
            to_scale >= from_scale
                && whole(to_precision, to_scale) >= whole(from_precision, from_scale)
        }
        (T::List(from), T::List(to)) => is_wider(&from.column_type, &to.column_type),
        (T::Struct(from), T::Struct(to)) => from.iter().all(|field| {
            to.iter().any(|wider| {
                wider.name == field.name && is_wider(&field.column_type, &wider.column_type)
            })
        }),
        _ => false,
    }
}

/// The rows with the columns `to`, found by name; one that they haven't got is null.
pub fn widen_batch(
    batch: &RecordBatch,
    from: &[ColumnField],
    to: &[ColumnField],
) -> Result<RecordBatch> {
    let arrays = to
        .iter()
        .map(|column| {
            let given = from.iter().find(|given| given.name == column.name);
            match given.zip(batch.column_by_name(&column.name)) {
                Some((given, array)) => widen(array, given, column),
                None => Ok(new_null_array(
                    &arrow_type(&column.column_type),
                    batch.num_rows(),
                )),
            }
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(arrow_schema(to), arrays, &options).map_err(|error| {
        Error::new(
            ErrorKind::Internal,
            "rows can't be brought to wider columns",
        )
        .with_source(error)
    })
}

/// The values in the wider type.
pub fn widen(array: &ArrayRef, from: &ColumnField, to: &ColumnField) -> Result<ArrayRef> {
    use ColumnType as T;
    let target = arrow_type(&to.column_type);
    if from.column_type == to.column_type && array.data_type() == &target {
        return Ok(Arc::clone(array));
    }
    if array.data_type() == &DataType::Null || array.null_count() == array.len() {
        return Ok(new_null_array(&target, array.len()));
    }
    match (&from.column_type, &to.column_type) {
        (from, to) if from == to => cast(array, &target),
        (T::Uuid, T::String) => Ok(Arc::clone(array)),
        (_, T::Json) => {
            let schema = arrow_schema(std::slice::from_ref(from));
            to_json(array, schema.field(0))
        }
        (T::Integer, T::Number) => {
            check_exact(array, from)?;
            cast(array, &target)
        }
        (from, T::String) => Ok(Arc::new(to_text(array, from)?)),
        (T::List(from_item), T::List(to_item)) => widen_list(array, from_item, to_item),
        (T::Struct(from_fields), T::Struct(to_fields)) => {
            widen_struct(array, from_fields, to_fields)
        }
        (from_type, to_type) if is_wider(from_type, to_type) => cast(array, &target),
        _ => Err(Error::new(
            ErrorKind::Internal,
            format!(
                "column `{}` can't change from {} to {}",
                from.name, from.column_type, to.column_type
            ),
        )),
    }
}

fn check_exact(array: &ArrayRef, column: &ColumnField) -> Result<()> {
    let integers: &Int64Array = array.as_primitive::<Int64Type>();
    match integers
        .iter()
        .flatten()
        .find(|value| value.unsigned_abs() > EXACT_INTEGERS.unsigned_abs())
    {
        None => Ok(()),
        Some(value) => Err(Error::new(
            ErrorKind::SourceData,
            format!(
                "`{value}` of column `{}` is no double without loss",
                column.name
            ),
        )),
    }
}

fn to_text(array: &ArrayRef, from: &ColumnType) -> Result<StringArray> {
    let rows = 0..array.len();
    let valid = |row: &usize| array.is_valid(*row);
    let texts = |text: &dyn Fn(usize) -> String| -> StringArray {
        let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 12);
        for row in rows.clone() {
            if valid(&row) {
                builder.append_value(text(row));
            } else {
                builder.append_null();
            }
        }
        builder.finish()
    };
    Ok(match from {
        ColumnType::Decimal { scale, .. } => {
            let values = array.as_primitive::<Decimal128Type>();
            texts(&|row| decimal_text(values.value(row), *scale))
        }
        // The decoder widens numbers to text only while each is written like this.
        ColumnType::Number => {
            let values = array.as_primitive::<Float64Type>();
            texts(&|row| values.value(row).to_string())
        }
        ColumnType::Date => {
            let values = array.as_primitive::<Date32Type>();
            texts(&|row| date_text(values.value(row)))
        }
        ColumnType::Time => {
            let values = array.as_primitive::<Time64MicrosecondType>();
            texts(&|row| time_text(values.value(row)))
        }
        ColumnType::Timestamp => {
            let values = array.as_primitive::<TimestampMicrosecondType>();
            texts(&|row| timestamp_text(values.value(row)))
        }
        _ => cast(array, &DataType::Utf8)?.as_string::<i32>().clone(),
    })
}

fn widen_list(array: &ArrayRef, from: &ColumnField, to: &ColumnField) -> Result<ArrayRef> {
    let list = array.as_list::<i32>();
    let values = widen(list.values(), from, to)?;
    let schema = arrow_schema(std::slice::from_ref(to));
    let item: Arc<Field> = Arc::new(schema.field(0).clone());
    ListArray::try_new(item, list.offsets().clone(), values, list.nulls().cloned())
        .map(|list| Arc::new(list) as ArrayRef)
        .map_err(failed)
}

fn widen_struct(array: &ArrayRef, from: &[ColumnField], to: &[ColumnField]) -> Result<ArrayRef> {
    let values = array.as_struct();
    let columns = to
        .iter()
        .map(|wider| {
            let found = from.iter().position(|field| field.name == wider.name);
            match found {
                Some(index) => widen(values.column(index), &from[index], wider),
                None => Ok(new_null_array(
                    &arrow_type(&wider.column_type),
                    values.len(),
                )),
            }
        })
        .collect::<Result<Vec<_>>>()?;
    let fields = arrow_schema(to).fields().clone();
    StructArray::try_new(fields, columns, values.nulls().cloned())
        .map(|values| Arc::new(values) as ArrayRef)
        .map_err(failed)
}

/// Never turns what doesn't fit into a null.
fn cast(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, target, &options).map_err(failed)
}

fn failed(error: arrow::error::ArrowError) -> Error {
    Error::new(
        ErrorKind::SourceData,
        "failed to convert a column to its wider type",
    )
    .with_source(error)
}

#[cfg(test)]
mod tests;

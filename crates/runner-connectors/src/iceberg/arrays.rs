//! Batches in the Arrow types of an Iceberg file: UUIDs as bytes, lists and structs with the names and ids of the schema.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
    FixedSizeBinaryBuilder, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::spec::{Datum, PrimitiveLiteral};
use runner_plan::model::ColumnType;
use uuid::Uuid;

use super::error::{IcebergError, Result};

const UUID_BYTES: i32 = 16;

/// The Arrow schema of a file with this Iceberg schema; every field carries its id.
pub(super) fn file_arrow_schema(schema: &iceberg::spec::Schema) -> Result<SchemaRef> {
    schema_to_arrow_schema(schema)
        .map(|schema| Arc::new(binary_schema(&schema)))
        .map_err(IcebergError::metadata(
            "make the Arrow schema of a data file",
        ))
}

/// Iceberg's own mapping has 64-bit offsets for binary columns, which batches here have no use for.
fn binary_schema(schema: &Schema) -> Schema {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| small_binary(field))
        .collect();
    Schema::new(fields)
}

fn small_binary(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::LargeBinary => DataType::Binary,
        DataType::List(item) => DataType::List(Arc::new(small_binary(item))),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| small_binary(field)).collect())
        }
        other => other.clone(),
    };
    field.clone().with_data_type(data_type)
}

/// The batch with the file's schema; columns are found by name.
pub(super) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let doing = || IcebergError::arrow("bring rows into the table's form");
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) => conform_array(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(doing())?;
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(doing())
}

pub(super) fn conform_array(
    array: &ArrayRef,
    data_type: &DataType,
) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), data_type) {
        (DataType::Utf8, DataType::FixedSizeBinary(UUID_BYTES)) => uuids(array),
        (DataType::FixedSizeBinary(UUID_BYTES), DataType::Utf8) => Ok(uuid_texts(array)),
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let values = conform_array(list.values(), item.data_type())?;
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(item),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let rows = array.as_struct();
            let columns = fields
                .iter()
                .map(|field| match rows.column_by_name(field.name()) {
                    Some(column) => conform_array(column, field.data_type()),
                    None => Ok(new_null_array(field.data_type(), rows.len())),
                })
                .collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(StructArray::try_new(
                fields.clone(),
                columns,
                rows.nulls().cloned(),
            )?))
        }
        // The same instants under another name of the zone, or none.
        (DataType::Timestamp(unit, _), DataType::Timestamp(wanted, zone)) if unit == wanted => {
            Ok(Arc::new(
                array
                    .as_primitive::<arrow::datatypes::TimestampMicrosecondType>()
                    .clone()
                    .with_timezone_opt(zone.clone()),
            ))
        }
        (_, data_type) => cast(array, data_type),
    }
}

/// A bound of a column as an array of one value in the type that batches have; none where the two don't go together.
pub(super) fn datum_array(datum: &Datum, column_type: &ColumnType) -> Option<ArrayRef> {
    use PrimitiveLiteral as Value;
    let array: ArrayRef = match (datum.literal(), column_type) {
        (Value::Boolean(value), ColumnType::Boolean) => Arc::new(BooleanArray::from(vec![*value])),
        (Value::Int(value), ColumnType::Integer) => {
            Arc::new(Int64Array::from(vec![i64::from(*value)]))
        }
        (Value::Int(value), ColumnType::Date) => Arc::new(Date32Array::from(vec![*value])),
        (Value::Long(value), ColumnType::Integer) => Arc::new(Int64Array::from(vec![*value])),
        (Value::Long(value), ColumnType::Time) => {
            Arc::new(Time64MicrosecondArray::from(vec![*value]))
        }
        (Value::Long(value), ColumnType::Timestamp) => {
            Arc::new(TimestampMicrosecondArray::from(vec![*value]).with_timezone("UTC"))
        }
        (Value::String(value), ColumnType::String | ColumnType::Json | ColumnType::Uuid) => {
            Arc::new(StringArray::from(vec![value.as_str()]))
        }
        (Value::UInt128(value), ColumnType::Uuid) => {
            Arc::new(StringArray::from(vec![Uuid::from_u128(*value).to_string()]))
        }
        (Value::Binary(value), ColumnType::Binary) => {
            Arc::new(BinaryArray::from(vec![value.as_slice()]))
        }
        (Value::Int128(value), ColumnType::Decimal { precision, scale }) => Arc::new(
            Decimal128Array::from(vec![*value])
                .with_precision_and_scale(*precision, *scale)
                .ok()?,
        ),
        _ => return None,
    };
    Some(array)
}

fn uuid_texts(array: &ArrayRef) -> ArrayRef {
    let texts: StringArray = array
        .as_fixed_size_binary()
        .iter()
        .map(|bytes| {
            bytes
                .and_then(|bytes| Uuid::from_slice(bytes).ok())
                .map(|uuid| uuid.to_string())
        })
        .collect();
    Arc::new(texts)
}

fn uuids(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let texts = array.as_string::<i32>();
    let mut builder = FixedSizeBinaryBuilder::with_capacity(texts.len(), UUID_BYTES);
    for text in texts {
        match text {
            Some(text) => {
                let uuid = Uuid::try_parse(text)
                    .map_err(|error| ArrowError::CastError(format!("`{text}`: {error}")))?;
                builder.append_value(uuid.as_bytes())?;
            }
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_become_bytes_and_missing_columns_null() {
        let batch = RecordBatch::try_from_iter([
            ("n", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
            (
                "id",
                Arc::new(StringArray::from(vec![
                    Some("00000000-0000-0000-0000-00000000002a"),
                    None,
                ])) as ArrayRef,
            ),
        ])
        .unwrap();
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::FixedSizeBinary(16), true),
            Field::new("absent", DataType::Utf8, true),
        ]));
        let conformed = conform(&batch, &schema).unwrap();
        assert_eq!(conformed.column(0).as_fixed_size_binary().value(0)[15], 42);
        assert!(conformed.column(0).is_null(1));
        assert_eq!(conformed.column(1).null_count(), 2);
    }

    #[test]
    fn text_that_is_no_uuid_is_an_error() {
        let batch = RecordBatch::try_from_iter([(
            "id",
            Arc::new(StringArray::from(vec!["x"])) as ArrayRef,
        )])
        .unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new(
            "id",
            DataType::FixedSizeBinary(16),
            true,
        )]));
        assert!(conform(&batch, &schema).is_err());
    }
}

//! The columns that a file of unknown origin has, and its values in the forms that columns have here.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray, StructArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use arrow::error::ArrowError;
use parquet::basic::LogicalType;
use parquet::schema::types::SchemaDescriptor;
use runner_core::{Error, ErrorKind, Result};
use runner_plan::arrow::{LOGICAL_TYPE, arrow_type};
use runner_plan::model::{ColumnField, ColumnType};
use uuid::Uuid;

/// Key and value of the field metadata by which Arrow's own schema tells a UUID from other bytes.
const EXTENSION_TYPE_NAME_KEY: &str = "ARROW:extension:name";
const UUID: &str = "arrow.uuid";

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
    Ok(match (field.data_type(), logical_type(field)) {
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
        (DataType::Utf8 | DataType::FixedSizeBinary(16), Some("uuid")) => ColumnType::Uuid,
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

/// What the field's metadata say of its type: in the runner's own words, or in Arrow's.
fn logical_type(field: &Field) -> Option<&str> {
    let own = field.metadata().get(LOGICAL_TYPE).map(String::as_str);
    own.or_else(|| (field.extension_type_name() == Some(UUID)).then_some("uuid"))
}

/// The fields of a Parquet file's schema, where a UUID is known by its logical type though the writer left no Arrow schema.
pub(crate) fn with_uuids(schema: &SchemaRef, parquet: &SchemaDescriptor) -> SchemaRef {
    let roots = parquet.root_schema().get_fields();
    let fields = schema.fields().iter().zip(roots).map(|(field, root)| {
        let mut field = field.as_ref().clone();
        if root.get_basic_info().logical_type_ref() == Some(&LogicalType::Uuid) {
            let name = (EXTENSION_TYPE_NAME_KEY.to_owned(), UUID.to_owned());
            field.metadata_mut().extend([name]);
        }
        field
    });
    let fields: Vec<_> = fields.collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The values in the Arrow type that columns of this type have here.
pub fn normalize(array: &ArrayRef, column_type: &ColumnType) -> Result<ArrayRef> {
    let target = arrow_type(column_type);
    if array.data_type() == &target {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), column_type) {
        (DataType::Dictionary(_, values), _) => normalize(&cast(array, values)?, column_type),
        (DataType::FixedSizeBinary(_), ColumnType::Uuid) => Ok(Arc::new(uuid_texts(array))),
        (DataType::Timestamp(unit, zone), _) => {
            // The zone is how it is shown, not what it is: the instant stays the same.
            let instants = if *unit == TimeUnit::Nanosecond {
                // Finer digits are cut as they are in texts; a cast would round those before 1970 up.
                array
                    .as_primitive::<TimestampNanosecondType>()
                    .unary(|nanoseconds| nanoseconds.div_euclid(1000))
            } else {
                let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
                let micros = cast(array, &micros)?;
                micros.as_primitive::<TimestampMicrosecondType>().clone()
            };
            Ok(Arc::new(instants.with_timezone("UTC")))
        }
        (DataType::LargeList(item), ColumnType::List(_)) => normalize(
            &cast(array, &DataType::List(Arc::clone(item)))?,
            column_type,
        ),
        (DataType::List(_), ColumnType::List(item)) => {
            let list = array.as_list::<i32>();
            let items = normalize(list.values(), &item.column_type)?;
            let DataType::List(field) = target else {
                return cast(array, &target);
            };
            let list =
                ListArray::try_new(field, list.offsets().clone(), items, list.nulls().cloned());
            Ok(Arc::new(list.map_err(unreadable)?))
        }
        (DataType::Struct(_), ColumnType::Struct(fields)) => {
            let values = array.as_struct();
            let columns = values.columns().iter().zip(fields);
            let columns = columns
                .map(|(column, field)| normalize(column, &field.column_type))
                .collect::<Result<Vec<_>>>()?;
            let DataType::Struct(fields) = target else {
                return cast(array, &target);
            };
            let nulls = values.nulls().cloned();
            let values = StructArray::try_new_with_length(fields, columns, nulls, values.len());
            Ok(Arc::new(values.map_err(unreadable)?))
        }
        _ => cast(array, &target),
    }
}

fn cast(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, target, &options).map_err(unreadable)
}

fn unreadable(cause: ArrowError) -> Error {
    Error::new(ErrorKind::Sink, "failed to read a column of a table's file").with_source(cause)
}

fn uuid_texts(array: &ArrayRef) -> StringArray {
    let values = array.as_fixed_size_binary().iter();
    let texts =
        values.map(|value| Some(Uuid::from_slice(value?).ok()?.as_hyphenated().to_string()));
    texts.collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{FixedSizeBinaryArray, TimestampMicrosecondArray, TimestampNanosecondArray};
    use arrow::buffer::OffsetBuffer;
    use parquet::arrow::parquet_to_arrow_schema;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    /// As in a text, where the digits behind the sixth are cut whatever the year.
    #[test]
    fn nanoseconds_before_1970_are_cut_as_those_after_it_are_also_within_a_list() {
        let wanted = TimestampMicrosecondArray::from(vec![Some(-2), Some(1), Some(-1), None])
            .with_timezone("UTC");
        let given: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![
            Some(-1_001),
            Some(1_999),
            Some(-1_000),
            None,
        ]));
        let instants = normalize(&given, &ColumnType::Timestamp).unwrap();
        assert_eq!(instants.as_primitive::<TimestampMicrosecondType>(), &wanted);

        let field = Arc::new(Field::new("item", given.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths([4]);
        let list: ArrayRef = Arc::new(ListArray::new(field.clone(), offsets, given, None));
        let list_type = type_of(&Field::new("v", DataType::List(field), true)).unwrap();
        let list = normalize(&list, &list_type).unwrap();
        assert_eq!(list.data_type(), &arrow_type(&list_type));
        let items = list.as_list::<i32>().values();
        assert_eq!(items.as_primitive::<TimestampMicrosecondType>(), &wanted);
    }

    #[test]
    fn uuids_of_other_writers_are_uuids_and_other_bytes_are_bytes() {
        let message = "message schema {
            optional fixed_len_byte_array(16) key (UUID);
            optional fixed_len_byte_array(16) digest;
        }";
        let parquet = SchemaDescriptor::new(Arc::new(parse_message_type(message).unwrap()));
        let schema = parquet_to_arrow_schema(&parquet, None).unwrap();
        let columns = columns_of(&with_uuids(&Arc::new(schema), &parquet)).unwrap();
        let types: Vec<_> = columns
            .into_iter()
            .map(|column| column.column_type)
            .collect();
        assert_eq!(types, [ColumnType::Uuid, ColumnType::Binary]);

        let bytes = vec![Some([0x1A; 16]), None].into_iter();
        let keys = FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes, 16).unwrap();
        let keys: ArrayRef = Arc::new(keys);
        let texts = normalize(&keys, &ColumnType::Uuid).unwrap();
        let wanted = [Some("1a1a1a1a-1a1a-1a1a-1a1a-1a1a1a1a1a1a"), None];
        assert_eq!(
            texts.as_string::<i32>(),
            &StringArray::from(wanted.to_vec())
        );
    }
}

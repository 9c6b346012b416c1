//! Rows as tests write and compare them, and their Arrow form.
//!
//! A value is JSON: booleans, integers and doubles as they are; decimals, texts, dates (`2024-01-31`), times (`10:20:30.5`),
//! timestamps (`2024-01-31T10:20:30.500Z`), UUIDs and binary (hex) as strings; JSON, lists and structs as what they hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
    Float64Array, Int64Array, ListArray, RecordBatch, RecordBatchOptions, StringArray, StructArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Field, Float64Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use chrono::{DateTime, NaiveDate, NaiveTime, Timelike};
use runner_plan::arrow::arrow_schema;
use runner_plan::model::{ColumnField, ColumnType};
use serde_json::{Number, Value, json};

/// A row, by column.
pub type Row = BTreeMap<String, Value>;

/// A batch of these columns; what a row lacks is null.
pub fn batch(columns: &[ColumnField], rows: &[Row]) -> RecordBatch {
    let arrays = columns
        .iter()
        .map(|column| {
            let values: Vec<Value> = rows
                .iter()
                .map(|row| row.get(&column.name).cloned().unwrap_or(Value::Null))
                .collect();
            array(&column.column_type, &values)
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(arrow_schema(columns), arrays, &options).unwrap()
}

/// The rows of a batch with these columns.
pub fn rows(batch: &RecordBatch, columns: &[ColumnField]) -> Vec<Row> {
    (0..batch.num_rows())
        .map(|row| {
            columns
                .iter()
                .map(|column| {
                    let value = batch
                        .column_by_name(&column.name)
                        .map_or(Value::Null, |array| value(array, &column.column_type, row));
                    (column.name.clone(), value)
                })
                .collect()
        })
        .collect()
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => panic!("`{other}` is no text"),
    }
}

fn array(column_type: &ColumnType, values: &[Value]) -> ArrayRef {
    let texts = || values.iter().map(text);
    match column_type {
        ColumnType::Boolean => {
            Arc::new(values.iter().map(Value::as_bool).collect::<BooleanArray>())
        }
        ColumnType::Integer => Arc::new(values.iter().map(Value::as_i64).collect::<Int64Array>()),
        ColumnType::Number => Arc::new(values.iter().map(Value::as_f64).collect::<Float64Array>()),
        ColumnType::Decimal { precision, scale } => Arc::new(
            texts()
                .map(|text| text.map(|text| unscaled(text, *scale)))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(*precision, *scale)
                .unwrap(),
        ),
        ColumnType::String | ColumnType::Uuid => Arc::new(texts().collect::<StringArray>()),
        ColumnType::Json => Arc::new(
            values
                .iter()
                .map(|value| (!value.is_null()).then(|| value.to_string()))
                .collect::<StringArray>(),
        ),
        ColumnType::Date => Arc::new(texts().map(|text| text.map(days)).collect::<Date32Array>()),
        ColumnType::Timestamp => Arc::new(
            texts()
                .map(|text| {
                    text.map(|text| {
                        DateTime::parse_from_rfc3339(text)
                            .unwrap()
                            .timestamp_micros()
                    })
                })
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        ColumnType::Time => Arc::new(
            texts()
                .map(|text| text.map(micros_of_day))
                .collect::<Time64MicrosecondArray>(),
        ),
        ColumnType::Binary => {
            let bytes: Vec<Option<Vec<u8>>> = texts()
                .map(|text| text.map(|text| hex::decode(text).unwrap()))
                .collect();
            Arc::new(bytes.iter().map(Option::as_deref).collect::<BinaryArray>())
        }
        ColumnType::List(item) => list(item, values),
        ColumnType::Struct(fields) => structure(fields, values),
    }
}

fn list(item: &ColumnField, values: &[Value]) -> ArrayRef {
    let lists: Vec<&[Value]> = values
        .iter()
        .map(|value| value.as_array().map_or(&[][..], Vec::as_slice))
        .collect();
    let items: Vec<Value> = lists.iter().flat_map(|items| items.to_vec()).collect();
    let offsets = OffsetBuffer::from_lengths(lists.iter().map(|items| items.len()));
    let nulls: NullBuffer = values.iter().map(|value| !value.is_null()).collect();
    let field: Arc<Field> = Arc::new(arrow_schema(std::slice::from_ref(item)).field(0).clone());
    let items = array(&item.column_type, &items);
    Arc::new(ListArray::new(field, offsets, items, Some(nulls)))
}

fn structure(fields: &[ColumnField], values: &[Value]) -> ArrayRef {
    let columns = fields
        .iter()
        .map(|field| {
            let inner: Vec<Value> = values
                .iter()
                .map(|value| value.get(&field.name).cloned().unwrap_or(Value::Null))
                .collect();
            array(&field.column_type, &inner)
        })
        .collect();
    let nulls: NullBuffer = values.iter().map(|value| !value.is_null()).collect();
    Arc::new(StructArray::new(
        arrow_schema(fields).fields().clone(),
        columns,
        Some(nulls),
    ))
}

/// One value of an array.
pub fn value(array: &ArrayRef, column_type: &ColumnType, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match column_type {
        ColumnType::Boolean => json!(array.as_boolean().value(row)),
        ColumnType::Integer => json!(array.as_primitive::<Int64Type>().value(row)),
        ColumnType::Number => Number::from_f64(array.as_primitive::<Float64Type>().value(row))
            .map_or(Value::Null, Value::Number),
        ColumnType::Decimal { scale, .. } => json!(scaled(
            array.as_primitive::<Decimal128Type>().value(row),
            *scale
        )),
        ColumnType::String | ColumnType::Uuid => json!(array.as_string::<i32>().value(row)),
        ColumnType::Json => serde_json::from_str(array.as_string::<i32>().value(row)).unwrap(),
        ColumnType::Date => {
            let days = array.as_primitive::<Date32Type>().value(row);
            let date = NaiveDate::default() + chrono::Duration::days(i64::from(days));
            json!(date.to_string())
        }
        ColumnType::Timestamp => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let moment = DateTime::from_timestamp_micros(micros).unwrap();
            json!(moment.format("%FT%T%.fZ").to_string())
        }
        ColumnType::Time => {
            let micros = array.as_primitive::<Time64MicrosecondType>().value(row);
            let time = NaiveTime::from_num_seconds_from_midnight_opt(
                u32::try_from(micros / 1_000_000).unwrap(),
                u32::try_from(micros % 1_000_000).unwrap() * 1000,
            );
            json!(time.unwrap().format("%T%.f").to_string())
        }
        ColumnType::Binary => json!(hex::encode(array.as_binary::<i32>().value(row))),
        ColumnType::List(item) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len())
                .map(|index| value(&items, &item.column_type, index))
                .collect()
        }
        ColumnType::Struct(fields) => fields
            .iter()
            .map(|field| {
                let inner = array.as_struct().column_by_name(&field.name).unwrap();
                (field.name.clone(), value(inner, &field.column_type, row))
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

fn days(text: &str) -> i32 {
    let date: NaiveDate = text.parse().unwrap();
    i32::try_from((date - NaiveDate::default()).num_days()).unwrap()
}

fn micros_of_day(text: &str) -> i64 {
    let time: NaiveTime = text.parse().unwrap();
    i64::from(time.num_seconds_from_midnight()) * 1_000_000 + i64::from(time.nanosecond()) / 1000
}

fn unscaled(text: &str, scale: i8) -> i128 {
    let scale = usize::try_from(scale).unwrap();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(fraction.len() <= scale, "`{text}` has too many digits");
    format!("{whole}{fraction:0<scale$}").parse().unwrap()
}

fn scaled(value: i128, scale: i8) -> String {
    let scale = usize::try_from(scale).unwrap();
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    if scale == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

//! Rows in PostgreSQL's binary COPY format, straight from Arrow arrays.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
    Float64Array, Int64Array, ListArray, RecordBatch, StringArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Field, Float64Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use runner_core::{Error, ErrorKind, Result, Retry};

use super::types::Form;
use crate::table::json::Encoder as JsonEncoder;

/// Signature, flags, length of the header's extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: &[u8] = &(-1_i16).to_be_bytes();
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// From 1970-01-01 to 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i32 = 10_957;
const NUMERIC_NEGATIVE: u16 = 0x4000;
const JSONB_VERSION: u8 = 1;

/// Integers that the writer adds to every row, before its columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowTags {
    pub part: i32,
    /// Chain, and the number of the first row; only where keys are ranked.
    pub rank: Option<(i64, i64)>,
}

pub(super) fn header(buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(HEADER);
}

pub(super) fn trailer(buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(TRAILER);
}

/// Appends the rows of a batch whose columns have these forms.
pub(super) fn rows(
    buffer: &mut Vec<u8>,
    batch: &RecordBatch,
    forms: &[Form],
    tags: RowTags,
) -> Result<()> {
    let schema = batch.schema();
    let columns = forms
        .iter()
        .zip(batch.columns())
        .zip(schema.fields())
        .map(|((form, array), field)| Column::new(form, array, field))
        .collect::<Result<Vec<_>>>()?;
    let tag_count = if tags.rank.is_some() { 3 } else { 1 };
    let count = i16::try_from(columns.len() + tag_count).map_err(|error| {
        Error::new(
            ErrorKind::Sink,
            "a row has more columns than PostgreSQL can hold",
        )
        .with_retry(Retry::Never)
        .with_source(error)
    })?;
    for row in 0..batch.num_rows() {
        buffer.extend_from_slice(&count.to_be_bytes());
        put(buffer, &tags.part.to_be_bytes());
        if let Some((chain, first)) = tags.rank {
            put(buffer, &chain.to_be_bytes());
            let place = i64::try_from(row).map_or(first, |row| first + row);
            put(buffer, &place.to_be_bytes());
        }
        for (column, field) in columns.iter().zip(schema.fields()) {
            column
                .write(row, buffer)
                .map_err(|problem| problem.into_error(field.name(), row))?;
        }
    }
    Ok(())
}

/// A value that PostgreSQL can't hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    Nul,
    Uuid,
    TooLong,
    OutOfRange,
}

impl Problem {
    fn into_error(self, column: &str, row: usize) -> Error {
        let what = match self {
            Self::Nul => "holds a NUL character, which PostgreSQL's text can't",
            Self::Uuid => "is no UUID",
            Self::TooLong => "is longer than the gigabyte that PostgreSQL can hold",
            Self::OutOfRange => "is out of the range that PostgreSQL can hold",
        };
        Error::new(
            ErrorKind::SourceData,
            format!("the value of column `{column}` {what}"),
        )
        .with_context("row", row)
        .with_help("such rows belong in the quarantine: `Target::rejects` tells which they are")
    }
}

enum Column<'a> {
    Boolean(&'a BooleanArray),
    Integer(&'a Int64Array),
    Number(&'a Float64Array),
    Numeric(&'a Decimal128Array, i8),
    Text(&'a StringArray),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMicrosecondArray),
    Time(&'a Time64MicrosecondArray),
    Uuid(&'a StringArray),
    Binary(&'a BinaryArray),
    Json(&'a StringArray),
    Nested(&'a ArrayRef, JsonEncoder<'a>),
    Array {
        list: &'a ListArray,
        items: Box<Column<'a>>,
        oid: u32,
    },
}

impl<'a> Column<'a> {
    fn new(form: &Form, array: &'a ArrayRef, field: &Field) -> Result<Self> {
        let column = match form {
            Form::Boolean => array.as_boolean_opt().map(Column::Boolean),
            Form::Integer => array.as_primitive_opt::<Int64Type>().map(Column::Integer),
            Form::Number => array.as_primitive_opt::<Float64Type>().map(Column::Number),
            Form::Numeric { scale } => array
                .as_primitive_opt::<Decimal128Type>()
                .map(|array| Column::Numeric(array, *scale)),
            Form::Text => array.as_string_opt::<i32>().map(Column::Text),
            Form::Date => array.as_primitive_opt::<Date32Type>().map(Column::Date),
            Form::Timestamp => array
                .as_primitive_opt::<TimestampMicrosecondType>()
                .map(Column::Timestamp),
            Form::Time => array
                .as_primitive_opt::<Time64MicrosecondType>()
                .map(Column::Time),
            Form::Uuid => array.as_string_opt::<i32>().map(Column::Uuid),
            Form::Binary => array.as_binary_opt::<i32>().map(Column::Binary),
            Form::Json => array.as_string_opt::<i32>().map(Column::Json),
            Form::Nested => Some(Column::Nested(array, JsonEncoder::new(array, field)?)),
            Form::Array(item) => match array.as_list_opt::<i32>() {
                Some(list) => {
                    let arrow::datatypes::DataType::List(item_field) = list.data_type() else {
                        return Err(mismatch(field));
                    };
                    Some(Column::Array {
                        list,
                        items: Box::new(Column::new(item, list.values(), item_field)?),
                        oid: item.oid(),
                    })
                }
                None => None,
            },
        };
        column.ok_or_else(|| mismatch(field))
    }

    fn array(&self) -> &dyn Array {
        match self {
            Self::Boolean(array) => *array,
            Self::Integer(array) => *array,
            Self::Number(array) => *array,
            Self::Numeric(array, _) => *array,
            Self::Text(array) | Self::Uuid(array) | Self::Json(array) => *array,
            Self::Date(array) => *array,
            Self::Timestamp(array) => *array,
            Self::Time(array) => *array,
            Self::Binary(array) => *array,
            Self::Nested(array, _) => *array,
            Self::Array { list, .. } => *list,
        }
    }

    /// Appends one field: its length, then its bytes.
    fn write(&self, row: usize, buffer: &mut Vec<u8>) -> Result<(), Problem> {
        if self.array().is_null(row) {
            buffer.extend_from_slice(&NULL);
            return Ok(());
        }
        match self {
            Self::Boolean(array) => put(buffer, &[u8::from(array.value(row))]),
            Self::Integer(array) => put(buffer, &array.value(row).to_be_bytes()),
            Self::Number(array) => put(buffer, &array.value(row).to_be_bytes()),
            Self::Numeric(array, scale) => put_numeric(buffer, array.value(row), *scale),
            Self::Text(array) => put_text(buffer, array.value(row))?,
            Self::Date(array) => {
                let days = array.value(row).checked_sub(EPOCH_DAYS);
                put(buffer, &days.ok_or(Problem::OutOfRange)?.to_be_bytes());
            }
            Self::Timestamp(array) => {
                let micros = array.value(row).checked_sub(EPOCH_MICROS);
                put(buffer, &micros.ok_or(Problem::OutOfRange)?.to_be_bytes());
            }
            Self::Time(array) => put(buffer, &array.value(row).to_be_bytes()),
            Self::Uuid(array) => {
                let uuid = uuid::Uuid::parse_str(array.value(row)).map_err(|_| Problem::Uuid)?;
                put(buffer, uuid.as_bytes());
            }
            Self::Binary(array) => put_bytes(buffer, array.value(row))?,
            Self::Json(array) => put_json(buffer, array.value(row))?,
            Self::Nested(_, encoder) => {
                let mut text = String::new();
                encoder.write(row, &mut text);
                put_json(buffer, &text)?;
            }
            Self::Array { list, items, oid } => put_array(buffer, list, items, *oid, row)?,
        }
        Ok(())
    }
}

fn mismatch(field: &Field) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!(
            "column `{}` came as {}, which is not what was announced",
            field.name(),
            field.data_type()
        ),
    )
}

/// A value whose size is a constant.
fn put(buffer: &mut Vec<u8>, value: &[u8]) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "sixteen bytes at most"
    )]
    let length = value.len() as i32;
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(value);
}

fn put_bytes(buffer: &mut Vec<u8>, value: &[u8]) -> Result<(), Problem> {
    let length = i32::try_from(value.len()).map_err(|_| Problem::TooLong)?;
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(value);
    Ok(())
}

fn put_text(buffer: &mut Vec<u8>, value: &str) -> Result<(), Problem> {
    if memchr::memchr(0, value.as_bytes()).is_some() {
        return Err(Problem::Nul);
    }
    put_bytes(buffer, value.as_bytes())
}

fn put_json(buffer: &mut Vec<u8>, text: &str) -> Result<(), Problem> {
    let length = i32::try_from(text.len() + 1).map_err(|_| Problem::TooLong)?;
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.push(JSONB_VERSION);
    buffer.extend_from_slice(text.as_bytes());
    Ok(())
}

fn put_array(
    buffer: &mut Vec<u8>,
    list: &ListArray,
    items: &Column<'_>,
    oid: u32,
    row: usize,
) -> Result<(), Problem> {
    let offsets = list.value_offsets();
    let bound = |index: usize| {
        offsets
            .get(index)
            .and_then(|offset| usize::try_from(*offset).ok())
            .ok_or(Problem::OutOfRange)
    };
    let range = bound(row)?..bound(row + 1)?;
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    if range.is_empty() {
        for number in [0, 0, oid] {
            buffer.extend_from_slice(&number.to_be_bytes());
        }
    } else {
        let length = u32::try_from(range.len()).map_err(|_| Problem::TooLong)?;
        let array = items.array();
        let has_nulls = range.clone().any(|item| array.is_null(item));
        // One dimension, its flag for nulls, the element's type, its length, its lower bound.
        for number in [1, u32::from(has_nulls), oid, length, 1] {
            buffer.extend_from_slice(&number.to_be_bytes());
        }
        for item in range {
            items.write(item, buffer)?;
        }
    }
    let length = i32::try_from(buffer.len() - start - 4).map_err(|_| Problem::TooLong)?;
    buffer[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Groups of four decimal digits around the decimal point.
fn put_numeric(buffer: &mut Vec<u8>, value: i128, scale: i8) {
    let magnitude = value.unsigned_abs();
    let scale = u32::from(u8::try_from(scale).unwrap_or(0));
    let split = 10_u128.pow(scale);
    let (mut whole, fraction) = (magnitude / split, magnitude % split);
    let mut digits = [0_u16; 24];
    let mut at = 12;
    while whole > 0 {
        at -= 1;
        digits[at] = group(whole % 10_000);
        whole /= 10_000;
    }
    let mut start = at;
    let mut end = 12;
    let mut weight = 11 - i16::try_from(at).unwrap_or(0);
    let mut left = scale;
    while left > 0 {
        let taken = left.min(4);
        left -= taken;
        let digit = fraction / 10_u128.pow(left) % 10_u128.pow(taken);
        digits[end] = group(digit * 10_u128.pow(4 - taken));
        end += 1;
    }
    while end > start && digits[end - 1] == 0 {
        end -= 1;
    }
    while start < end && digits[start] == 0 {
        start += 1;
        weight -= 1;
    }
    let groups = digits.get(start..end).unwrap_or_default();
    if groups.is_empty() {
        weight = 0;
    }
    let sign = if value < 0 { NUMERIC_NEGATIVE } else { 0 };
    let count = u16::try_from(groups.len()).unwrap_or(0);
    let shown = u16::try_from(scale).unwrap_or(0);
    let length = 8 + 2 * i32::from(count);
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(&count.to_be_bytes());
    buffer.extend_from_slice(&weight.to_be_bytes());
    buffer.extend_from_slice(&sign.to_be_bytes());
    buffer.extend_from_slice(&shown.to_be_bytes());
    for group in groups {
        buffer.extend_from_slice(&group.to_be_bytes());
    }
}

fn group(value: u128) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;

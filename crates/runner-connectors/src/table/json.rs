//! Arrow values as JSON text, for sinks that have no structs and for columns that widened to JSON.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float64Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runner_core::{Error, ErrorKind, Result};
use runner_plan::arrow::LOGICAL_TYPE;

/// A column of JSON texts; nulls stay nulls.
pub fn to_json(array: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    let encoder = Encoder::new(array, field)?;
    let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 16);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            texts.append_null();
        } else {
            text.clear();
            encoder.write(row, &mut text);
            texts.append_value(&text);
        }
    }
    Ok(Arc::new(texts.finish()))
}

/// Writes values of one array as JSON.
pub struct Encoder<'a> {
    array: &'a dyn Array,
    form: Form<'a>,
}

enum Form<'a> {
    Boolean,
    Int32,
    Int64,
    Number,
    Decimal(i8),
    Text,
    /// Text that is JSON already.
    Json,
    Binary,
    Date,
    Time,
    Timestamp,
    List(Box<Encoder<'a>>),
    Struct(Vec<(String, Encoder<'a>)>),
}

impl<'a> Encoder<'a> {
    pub fn new(array: &'a dyn Array, field: &Field) -> Result<Self> {
        let form = match field.data_type() {
            DataType::Boolean => Form::Boolean,
            DataType::Int32 => Form::Int32,
            DataType::Int64 => Form::Int64,
            DataType::Float64 => Form::Number,
            DataType::Decimal128(_, scale) => Form::Decimal(*scale),
            DataType::Utf8 if is_json(field) => Form::Json,
            DataType::Utf8 => Form::Text,
            DataType::Binary => Form::Binary,
            DataType::Date32 => Form::Date,
            DataType::Time64(TimeUnit::Microsecond) => Form::Time,
            DataType::Timestamp(TimeUnit::Microsecond, _) => Form::Timestamp,
            DataType::List(item) => {
                let values: &'a dyn Array = array.as_list::<i32>().values().as_ref();
                Form::List(Box::new(Self::new(values, item)?))
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let inner = fields
                    .iter()
                    .zip(columns)
                    .map(|(field, column)| {
                        let column: &'a dyn Array = column.as_ref();
                        Ok((quoted(field.name()), Self::new(column, field)?))
                    })
                    .collect::<Result<_>>()?;
                Form::Struct(inner)
            }
            other => {
                return Err(Error::new(
                    ErrorKind::Internal,
                    format!("values of type {other} can't be written as JSON"),
                ));
            }
        };
        Ok(Self { array, form })
    }

    /// Appends one value.
    pub fn write(&self, row: usize, text: &mut String) {
        if self.array.is_null(row) {
            text.push_str("null");
            return;
        }
        let array = self.array;
        match &self.form {
            Form::Boolean => push(text, array.as_boolean().value(row)),
            Form::Int32 => push(text, array.as_primitive::<Int32Type>().value(row)),
            Form::Int64 => push(text, array.as_primitive::<Int64Type>().value(row)),
            Form::Number => write_number(text, array.as_primitive::<Float64Type>().value(row)),
            Form::Decimal(scale) => {
                let value = array.as_primitive::<Decimal128Type>().value(row);
                text.push_str(&decimal_text(value, *scale));
            }
            Form::Text => quote(text, array.as_string::<i32>().value(row)),
            Form::Json => text.push_str(array.as_string::<i32>().value(row)),
            Form::Binary => quote(text, &STANDARD.encode(array.as_binary::<i32>().value(row))),
            Form::Date => quote(
                text,
                &date_text(array.as_primitive::<Date32Type>().value(row)),
            ),
            Form::Time => quote(
                text,
                &time_text(array.as_primitive::<Time64MicrosecondType>().value(row)),
            ),
            Form::Timestamp => quote(
                text,
                &timestamp_text(array.as_primitive::<TimestampMicrosecondType>().value(row)),
            ),
            Form::List(items) => {
                let offsets = array.as_list::<i32>().value_offsets();
                let index = |row: usize| {
                    offsets
                        .get(row)
                        .and_then(|offset| usize::try_from(*offset).ok())
                        .unwrap_or(0)
                };
                text.push('[');
                for (position, item) in (index(row)..index(row + 1)).enumerate() {
                    if position > 0 {
                        text.push(',');
                    }
                    items.write(item, text);
                }
                text.push(']');
            }
            Form::Struct(fields) => {
                text.push('{');
                for (position, (name, values)) in fields.iter().enumerate() {
                    if position > 0 {
                        text.push(',');
                    }
                    text.push_str(name);
                    text.push(':');
                    values.write(row, text);
                }
                text.push('}');
            }
        }
    }
}

impl std::fmt::Debug for Encoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("type", self.array.data_type())
            .finish_non_exhaustive()
    }
}

pub(super) fn is_json(field: &Field) -> bool {
    field.metadata().get(LOGICAL_TYPE).map(String::as_str) == Some("json")
}

fn push(text: &mut String, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{value}");
}

/// The shortest digits that give the double back, without an exponent and without `.0`: what a number that is read as text at once
/// looks like, or else it is not widened to text. JSON has no infinities and no NaN: they are null, as browsers write them.
fn write_number(text: &mut String, value: f64) {
    if value.is_finite() {
        push(text, value);
    } else {
        text.push_str("null");
    }
}

fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    quote(&mut text, value);
    text
}

/// A text as JSON.
pub(crate) fn quote(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            control if u32::from(control) < 0x20 => {
                let _ = write!(text, "\\u{:04x}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

/// `1.10` for 110 with scale 2.
pub fn decimal_text(value: i128, scale: i8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = value.unsigned_abs().to_string();
    let Ok(scale) = usize::try_from(scale) else {
        let zeros = "0".repeat(usize::from(scale.unsigned_abs()));
        return format!("{sign}{digits}{zeros}");
    };
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// ISO 8601.
pub fn date_text(days: i32) -> String {
    let date =
        chrono::NaiveDate::default().checked_add_signed(chrono::Duration::days(i64::from(days)));
    date.map_or_else(|| days.to_string(), |date| date.format("%F").to_string())
}

/// ISO 8601, with microseconds where there are any.
pub fn time_text(micros: i64) -> String {
    let seconds = u32::try_from(micros.div_euclid(1_000_000)).unwrap_or(0);
    let nanos = u32::try_from(micros.rem_euclid(1_000_000)).unwrap_or(0) * 1000;
    chrono::NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos).map_or_else(
        || micros.to_string(),
        |time| time.format("%T%.f").to_string(),
    )
}

/// RFC 3339 in UTC, with microseconds where there are any.
pub fn timestamp_text(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros).map_or_else(
        || micros.to_string(),
        |moment| moment.format("%FT%T%.fZ").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray,
        StructArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::Fields;

    use super::*;

    fn texts(array: &ArrayRef, field: &Field) -> Vec<Option<String>> {
        to_json(array, field)
            .unwrap()
            .as_string::<i32>()
            .iter()
            .map(|text| text.map(ToOwned::to_owned))
            .collect()
    }

    #[test]
    fn nested_values_become_what_a_json_parser_reads_back() {
        let names: ArrayRef =
            Arc::new(StringArray::from(vec![Some("a \"quoted\"\n\u{1} é"), None]));
        let amounts: ArrayRef = Arc::new(
            Decimal128Array::from(vec![Some(-5), Some(12345)])
                .with_precision_and_scale(10, 2)
                .unwrap(),
        );
        let tags: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1), None]),
            Some(vec![]),
        ]));
        let fields = Fields::from(vec![
            Field::new("name", DataType::Utf8, true),
            Field::new("amount", DataType::Decimal128(10, 2), true),
            Field::new("tags", tags.data_type().clone(), true),
        ]);
        let array: ArrayRef = Arc::new(StructArray::new(
            fields.clone(),
            vec![names, amounts, tags],
            None,
        ));
        let field = Field::new("value", DataType::Struct(fields), true);
        let texts = texts(&array, &field);
        let parsed: serde_json::Value = serde_json::from_str(texts[0].as_ref().unwrap()).unwrap();
        assert_eq!(parsed["name"], "a \"quoted\"\n\u{1} é");
        assert_eq!(parsed["tags"], serde_json::json!([1, null]));
        assert!(texts[0].as_ref().unwrap().contains(r#""amount":-0.05"#));
        assert_eq!(
            texts[1].as_deref(),
            Some(r#"{"name":null,"amount":123.45,"tags":[]}"#)
        );
    }

    #[test]
    fn scalars_have_their_json_form() {
        let cases: Vec<(ArrayRef, &str)> = vec![
            (Arc::new(BooleanArray::from(vec![true])), "true"),
            (
                Arc::new(Int64Array::from(vec![i64::MIN])),
                "-9223372036854775808",
            ),
            (Arc::new(Float64Array::from(vec![0.1])), "0.1"),
            (Arc::new(Float64Array::from(vec![2.0])), "2"),
            (Arc::new(Float64Array::from(vec![f64::NAN])), "null"),
            (
                Arc::new(TimestampMicrosecondArray::from(vec![1_700_000_000_500_000])),
                "\"2023-11-14T22:13:20.500Z\"",
            ),
        ];
        for (array, expected) in cases {
            let field = Field::new("value", array.data_type().clone(), true);
            assert_eq!(texts(&array, &field), [Some(expected.to_owned())]);
        }
    }

    #[test]
    fn json_text_stays_as_it_is() {
        let array: ArrayRef = Arc::new(StringArray::from(vec![r#"{"a": 1}"#]));
        let field = Field::new("value", DataType::Utf8, true)
            .with_metadata([(LOGICAL_TYPE.to_owned(), "json".to_owned())].into());
        assert_eq!(texts(&array, &field), [Some(r#"{"a": 1}"#.to_owned())]);
    }

    #[test]
    fn decimals_keep_their_digits() {
        let cases = [
            (110, 2, "1.10"),
            (-5, 2, "-0.05"),
            (0, 3, "0.000"),
            (7, 0, "7"),
            (7, -2, "700"),
        ];
        for (value, scale, expected) in cases {
            assert_eq!(decimal_text(value, scale), expected);
        }
    }
}

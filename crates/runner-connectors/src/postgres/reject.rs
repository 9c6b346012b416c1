//! Rows that PostgreSQL can't hold: NUL characters, date-times beyond its calendar.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, TimestampMicrosecondType};
use memchr::memmem;
use runner_core::Result;
use runner_plan::arrow::LOGICAL_TYPE;

use crate::rows::Reason;
use crate::table::json::Encoder;

/// 4714-11-24 BC, in microseconds from 1970. The last instant lies beyond those that Arrow has.
const FIRST_INSTANT: i64 = -210_866_803_200_000_000;
/// How JSON writes a NUL.
const ESCAPED_NUL: &[u8] = br"\u0000";

/// Indices of the rows, with the first reason of each.
pub(super) fn rejects(batch: &RecordBatch) -> Result<Vec<(usize, Reason)>> {
    let mut found: BTreeMap<usize, Reason> = BTreeMap::new();
    let schema = batch.schema();
    for (array, field) in batch.columns().iter().zip(schema.fields()) {
        for (row, message) in of_column(array, field)? {
            found.entry(row).or_insert_with(|| Reason {
                code: "not_storable".to_owned(),
                column: Some(field.name().clone()),
                message: message.to_owned(),
            });
        }
    }
    Ok(found.into_iter().collect())
}

fn of_column(array: &ArrayRef, field: &Field) -> Result<Vec<(usize, &'static str)>> {
    const NUL: &str = "holds a NUL character, which PostgreSQL's text can't";
    const RANGE: &str = "is out of the range that PostgreSQL's date-times have";
    let rows = |is_bad: &dyn Fn(usize) -> bool, message: &'static str| {
        (0..array.len())
            .filter(|row| array.is_valid(*row) && is_bad(*row))
            .map(|row| (row, message))
            .collect()
    };
    Ok(match array.data_type() {
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            if field.metadata().get(LOGICAL_TYPE).map(String::as_str) == Some("json") {
                if memmem::find(texts.value_data(), ESCAPED_NUL).is_none() {
                    return Ok(Vec::new());
                }
                rows(&|row| has_escaped_nul(texts.value(row)), NUL)
            } else {
                if memchr::memchr(0, texts.value_data()).is_none() {
                    return Ok(Vec::new());
                }
                rows(
                    &|row| memchr::memchr(0, texts.value(row).as_bytes()).is_some(),
                    NUL,
                )
            }
        }
        DataType::Timestamp(_, _) => {
            let Some(instants) = array.as_primitive_opt::<TimestampMicrosecondType>() else {
                return Ok(Vec::new());
            };
            rows(&|row| instants.value(row) < FIRST_INSTANT, RANGE)
        }
        DataType::List(_) | DataType::Struct(_) if may_hold_nul(array) => {
            let encoder = Encoder::new(array, field)?;
            rows(
                &|row| {
                    let mut text = String::new();
                    encoder.write(row, &mut text);
                    has_escaped_nul(&text)
                },
                NUL,
            )
        }
        _ => Vec::new(),
    })
}

/// Whether some text below this array may hold one: looked up in the buffers as a whole.
fn may_hold_nul(array: &ArrayRef) -> bool {
    match array.data_type() {
        DataType::Utf8 => {
            let data = array.as_string::<i32>().value_data();
            memchr::memchr(0, data).is_some() || memmem::find(data, ESCAPED_NUL).is_some()
        }
        DataType::List(_) => may_hold_nul(array.as_list::<i32>().values()),
        DataType::Struct(_) => array.as_struct().columns().iter().any(may_hold_nul),
        _ => false,
    }
}

/// Whether a JSON text has `\u0000` that isn't a backslash followed by `u0000`.
fn has_escaped_nul(text: &str) -> bool {
    memmem::find_iter(text.as_bytes(), ESCAPED_NUL).any(|at| {
        let before = text.as_bytes()[..at]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
        before % 2 == 0
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::Schema;

    use super::*;

    #[test]
    fn only_rows_that_cannot_be_stored_are_named() {
        let json = [(LOGICAL_TYPE.to_owned(), "json".to_owned())];
        let schema = Schema::new(vec![
            Field::new("text", DataType::Utf8, true),
            Field::new("json", DataType::Utf8, true).with_metadata(json.into()),
            Field::new(
                "at",
                DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None),
                true,
            ),
            Field::new("id", DataType::Int64, true),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![
                Some("a\0b"),
                Some("fine"),
                None,
                Some("x"),
                Some(""),
            ])),
            Arc::new(StringArray::from(vec![
                Some("{}"),
                Some(r#""\u0000""#),
                Some(r#""\\u0000""#),
                Some(r#""\\\u0000""#),
                None,
            ])),
            Arc::new(TimestampMicrosecondArray::from(vec![
                None,
                None,
                Some(0),
                None,
                Some(i64::MIN),
            ])),
            Arc::new(Int64Array::from(vec![0; 5])),
        ];
        let batch = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
        let found: Vec<(usize, String)> = rejects(&batch)
            .unwrap()
            .into_iter()
            .map(|(row, reason)| (row, reason.column.unwrap()))
            .collect();
        let expected = [(0, "text"), (1, "json"), (3, "json"), (4, "at")];
        assert_eq!(
            found,
            expected.map(|(row, column)| (row, column.to_owned()))
        );
    }
}

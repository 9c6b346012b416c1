//! Rows without secrets: an API that echoes a key must not get it into a table or the quarantine.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::DataType;

use super::Scrubber;
use crate::rows::{RawRows, Rows};

impl Scrubber {
    /// The rows, with every secret in their texts hidden; unchanged, and nothing copied, where there is none.
    #[must_use]
    pub fn hide_rows(&self, mut rows: Rows) -> Rows {
        if self.is_empty() {
            return rows;
        }
        for row in &mut rows.invalid {
            if self.finds(row.raw.as_bytes()) {
                row.raw = self.hide(&row.raw).into_owned();
            }
            for reason in &mut row.reasons {
                if self.finds_in_text(&reason.message) {
                    reason.message = self.hide(&reason.message).into_owned();
                }
            }
        }
        let mut is_clean = true;
        let mut is_escaped = false;
        for bytes in (0..rows.raw.len()).filter_map(|row| rows.raw.get(row)) {
            is_clean &= !self.finds(&bytes);
            is_escaped |= memchr::memchr2(b'\\', b'&', &bytes).is_some();
        }
        if !is_clean {
            rows.raw = self.hide_raw(&rows.raw);
        }
        // An escape may be written in ways that only decoding shows.
        if !is_clean || is_escaped {
            rows.batch = self.hide_batch(&rows.batch);
        }
        rows
    }

    fn hide_raw(&self, raw: &RawRows) -> RawRows {
        raw.rewritten(|bytes| {
            if self.finds(&bytes) {
                let hidden = self.hide(&String::from_utf8_lossy(&bytes)).into_owned();
                Cow::Owned(hidden.into_bytes())
            } else {
                bytes
            }
        })
    }

    fn hide_batch(&self, batch: &RecordBatch) -> RecordBatch {
        let columns = batch
            .columns()
            .iter()
            .map(|column| self.hide_array(column))
            .collect();
        // Types, nulls and lengths are those of the batch: it can be put together again.
        RecordBatch::try_new(batch.schema(), columns).unwrap_or_else(|_| batch.slice(0, 0))
    }

    fn hide_array(&self, array: &ArrayRef) -> ArrayRef {
        match array.data_type() {
            DataType::Utf8 => {
                let texts = array.as_string::<i32>();
                if !self.finds(texts.value_data()) {
                    return Arc::clone(array);
                }
                let hidden: StringArray = texts
                    .iter()
                    .map(|text| text.map(|text| self.hide(text)))
                    .collect();
                Arc::new(hidden)
            }
            DataType::List(item) => {
                let list = array.as_list::<i32>();
                Arc::new(ListArray::new(
                    Arc::clone(item),
                    list.offsets().clone(),
                    self.hide_array(list.values()),
                    list.nulls().cloned(),
                ))
            }
            DataType::Struct(fields) => {
                let structure = array.as_struct();
                let columns = structure
                    .columns()
                    .iter()
                    .map(|column| self.hide_array(column))
                    .collect();
                Arc::new(StructArray::new(
                    fields.clone(),
                    columns,
                    structure.nulls().cloned(),
                ))
            }
            _ => Arc::clone(array),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, ListBuilder, StringBuilder};
    use arrow::datatypes::{Field, Fields, Schema};
    use bytes::Bytes;
    use runner_core::Secret;

    use super::*;
    use crate::rows::{InvalidRow, Reason};

    fn rows() -> Rows {
        let mut tags = ListBuilder::new(StringBuilder::new());
        tags.values().append_value("k=c4nary-value");
        tags.append(true);
        tags.append(false);
        let tags = tags.finish();
        let inner = Fields::from(vec![Field::new("echo", DataType::Utf8, true)]);
        let structure = StructArray::new(
            inner.clone(),
            vec![Arc::new(StringArray::from(vec![
                Some("c4nary-value"),
                None,
            ]))],
            None,
        );
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("name", DataType::Utf8, true),
            Field::new("tags", tags.data_type().clone(), true),
            Field::new("inner", DataType::Struct(inner), true),
        ]);
        let batch = RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(Int64Array::from(vec![1, 2])),
                Arc::new(StringArray::from(vec![
                    Some("a c4nary-value b"),
                    Some("clean"),
                ])),
                Arc::new(tags),
                Arc::new(structure),
            ],
        )
        .unwrap();
        let text = r#"{"name":"a c4nary-value b"}{"name":"clean"}"#;
        Rows {
            batch,
            schema_version: 0,
            raw: RawRows::new(Bytes::from_static(text.as_bytes()), vec![0..27, 27..43]),
            numbers: vec![0, 2],
            invalid: vec![InvalidRow {
                raw: "c4nary-value".to_owned(),
                reasons: vec![Reason {
                    code: "range".to_owned(),
                    column: None,
                    message: "c4nary-value is no number".to_owned(),
                }],
                number: 1,
            }],
            origin: Arc::from("GET /"),
        }
    }

    #[test]
    fn a_secret_that_an_api_echoes_reaches_no_row() {
        let scrubber = Scrubber::new();
        let untouched = scrubber.hide_rows(rows());
        assert!(
            format!("{untouched:?}").contains("c4nary"),
            "nothing is registered yet"
        );
        scrubber
            .register("vault://a#b", &Secret::new("c4nary-value"))
            .unwrap();
        let hidden = scrubber.hide_rows(rows());
        assert!(!format!("{hidden:?}").contains("c4nary"), "{hidden:?}");
        assert_eq!(hidden.raw.text(1), r#"{"name":"clean"}"#);
        assert_eq!(hidden.batch.num_rows(), 2);
        assert_eq!(hidden.batch.column(1).as_string::<i32>().value(1), "clean");
        assert!(hidden.batch.column(2).is_null(1));
    }

    #[test]
    fn a_secret_behind_escapes_reaches_no_column() {
        let scrubber = Scrubber::new();
        scrubber
            .register("vault://a#b", &Secret::new("c4nary-value"))
            .unwrap();
        let mut rows = rows();
        let text = r#"{"name":"a \u0063\u0034nary-value"}{"name":"clean"}"#;
        rows.raw = RawRows::new(Bytes::from_static(text.as_bytes()), vec![0..35, 35..51]);
        rows.invalid.clear();
        let hidden = scrubber.hide_rows(rows);
        assert!(
            !format!("{:?}", hidden.batch).contains("c4nary"),
            "{hidden:?}"
        );
    }

    #[test]
    fn the_rows_since_a_number_keep_their_texts() {
        let rest = rows().since(1);
        assert_eq!(rest.numbers, [2]);
        assert_eq!(rest.raw.text(0), r#"{"name":"clean"}"#);
        assert_eq!(rest.batch.num_rows(), 1);
        assert_eq!(rest.invalid.len(), 1);
        assert_eq!(rows().since(3).count(), 0);
        assert_eq!(rows().since(0).count(), 3);
    }
}

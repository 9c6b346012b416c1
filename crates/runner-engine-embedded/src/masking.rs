//! Masking: applied before any sink, the quarantine and preview, so that nobody downstream has to be trusted with it.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use runner_connectors::schema::SchemaVersion;
use runner_core::{Error, ErrorKind, Result};
use runner_plan::StreamPlan;
use runner_plan::model::{ColumnField, ColumnSource, MaskedColumn, RowPath, RowPathStep};
use runner_spec::model::Masking;
use sha2::{Digest, Sha256};

use crate::conform::conform;

/// What stands in place of a redacted value.
const REDACTED: &str = "***";

/// The batch with its masked columns hidden.
pub(crate) fn mask(
    batch: &RecordBatch,
    masking: &[MaskedColumn],
    columns: &[ColumnField],
) -> Result<RecordBatch> {
    if masking.is_empty() {
        return conform(batch, columns);
    }
    let mut masked = batch.clone();
    for rule in masking.iter().filter(|rule| rule.masking != Masking::Drop) {
        masked = hide_column(&masked, &rule.column, rule.masking)?;
    }
    conform(&masked, columns)
}

fn hide_column(batch: &RecordBatch, column: &str, kind: Masking) -> Result<RecordBatch> {
    let (schema, mut arrays, _) = batch.clone().into_parts();
    let Ok(index) = schema.index_of(column) else {
        return Ok(batch.clone());
    };
    arrays[index] = hide(&arrays[index], kind)?;
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields[index] = Arc::new(Field::new(column, DataType::Utf8, true));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|error| {
        Error::new(ErrorKind::Internal, "failed to mask a batch").with_source(error)
    })
}

/// Where the masked columns of a stream stand in its raw rows.
pub(crate) fn masked_fields(
    stream: &StreamPlan,
    version: &SchemaVersion,
) -> Vec<(Vec<String>, Masking)> {
    stream
        .masking
        .iter()
        .filter_map(|masked| {
            let column = version
                .columns
                .iter()
                .find(|column| column.name == masked.column)?;
            let ColumnSource::Field(RowPath::Steps(steps)) = &column.source else {
                return None;
            };
            let path = steps
                .iter()
                .filter_map(|step| match step {
                    RowPathStep::Name(name) => Some(name.clone()),
                    RowPathStep::Index(_) | RowPathStep::Each => None,
                })
                .collect();
            Some((path, masked.masking))
        })
        .collect()
}

/// A raw row (JSON text) with the masked columns' source fields hidden. A row that is no JSON object is hidden whole.
pub(crate) fn mask_raw(raw: &str, fields: &[(Vec<String>, Masking)]) -> String {
    if fields.is_empty() {
        return raw.to_owned();
    }
    let Ok(mut row) = serde_json::from_str::<serde_json::Value>(raw) else {
        return REDACTED.to_owned();
    };
    for (path, kind) in fields {
        hide_field(&mut row, path, *kind);
    }
    row.to_string()
}

fn hide(array: &ArrayRef, kind: Masking) -> Result<ArrayRef> {
    if array.data_type().is_nested() {
        return Ok(hide_nested(array));
    }
    let text = cast(array, &DataType::Utf8).map_err(|error| {
        Error::new(ErrorKind::Internal, "failed to mask a column").with_source(error)
    })?;
    let Some(text) = text.as_any().downcast_ref::<StringArray>() else {
        return Ok(new_null_array(&DataType::Utf8, array.len()));
    };
    Ok(Arc::new(
        text.iter()
            .map(|value| value.map(|value| masked(value, kind)))
            .collect::<StringArray>(),
    ))
}

/// A list or struct has no short form: it is redacted whichever way was asked for.
fn hide_nested(array: &ArrayRef) -> ArrayRef {
    Arc::new(
        (0..array.len())
            .map(|row| array.is_valid(row).then_some(REDACTED))
            .collect::<StringArray>(),
    )
}

fn hide_field(value: &mut serde_json::Value, path: &[String], kind: Masking) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let Some(object) = value.as_object_mut() else {
        return;
    };
    if !rest.is_empty() {
        if let Some(inner) = object.get_mut(first) {
            hide_field(inner, rest, kind);
        }
        return;
    }
    if kind == Masking::Drop {
        object.remove(first);
        return;
    }
    if let Some(inner) = object.get_mut(first).filter(|inner| !inner.is_null()) {
        *inner = match inner.as_str() {
            Some(text) => masked(text, kind).into(),
            None => masked(&inner.to_string(), kind).into(),
        };
    }
}

fn masked(value: &str, kind: Masking) -> String {
    match kind {
        Masking::Hash => hash(value),
        Masking::Partial => partial(value),
        Masking::Redact | Masking::Drop => REDACTED.to_owned(),
    }
}

/// SHA-256 in hex: equal values stay equal, so that masked columns can still be joined.
fn hash(value: &str) -> String {
    Sha256::digest(value.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The last quarter, at most four characters; short values show nothing.
fn partial(value: &str) -> String {
    const SHOWN_AT_MOST: usize = 4;
    let length = value.chars().count();
    let shown = (length / 4).min(SHOWN_AT_MOST);
    format!(
        "{REDACTED}{}",
        value.chars().skip(length - shown).collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_value_is_in_no_output() {
        let path = |name: &str| vec![name.to_owned()];
        let fields = [
            (path("email"), Masking::Redact),
            (path("card"), Masking::Partial),
            (path("ssn"), Masking::Drop),
            (
                vec!["address".to_owned(), "street".to_owned()],
                Masking::Redact,
            ),
        ];
        let raw = r#"{"id":1,"email":"a@b.example","card":"4111111111111111","ssn":"078-05-1120","address":{"street":"Main"}}"#;
        assert_eq!(
            mask_raw(raw, &fields),
            r#"{"address":{"street":"***"},"card":"***1111","email":"***","id":1}"#
        );
        assert_eq!(mask_raw("not json", &fields), REDACTED);
    }

    #[test]
    fn hashes_keep_equality() {
        assert_eq!(masked("a", Masking::Hash), masked("a", Masking::Hash));
        assert_ne!(masked("a", Masking::Hash), masked("b", Masking::Hash));
        assert_eq!(partial("abc"), "***");
    }
}

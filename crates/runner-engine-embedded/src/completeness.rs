//! How many cells of required columns there are, and how many hold a value: the share is a gate's.

use arrow::array::{Array, AsArray, RecordBatch, StructArray};
use runner_connectors::rows::{InvalidRow, Rows};
use runner_plan::model::{Check, CheckKind, CheckOrigin};

/// Cells of required columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cells {
    pub(crate) all: u64,
    pub(crate) present: u64,
}

/// Counted over every row that was read, those that could not be decoded included.
pub(crate) fn required_cells(checks: &[Check], rows: &Rows) -> Cells {
    let mut sum = Cells::default();
    for check in checks {
        if !matches!(check.kind, CheckKind::Required) {
            continue;
        }
        let decoded = decoded(&rows.batch, check);
        sum.all += decoded.all;
        sum.present += decoded.present;
        // What is required of an object is required of the objects that are there, and of these nothing is known.
        if !check.column.contains('.') {
            let present = rows
                .invalid
                .iter()
                .filter(|row| has_value(row, &check.column));
            sum.all += rows.invalid.len() as u64;
            sum.present += present.count() as u64;
        }
    }
    sum
}

/// Of one column, in rows that were decoded.
pub(crate) fn decoded(batch: &RecordBatch, check: &Check) -> Cells {
    let column = check.column.as_str();
    let rows = batch.num_rows() as u64;
    if let Some(array) = batch.column_by_name(column) {
        return Cells {
            all: rows,
            present: rows - array.null_count() as u64,
        };
    }
    let Some((outer, inner)) = column.split_once('.') else {
        return Cells {
            all: rows,
            present: 0,
        };
    };
    // What the contract requires of objects is counted where there are some, with columns of their own.
    let is_of_objects = check.origin == CheckOrigin::Contract;
    let Some(structure) = batch
        .column_by_name(outer)
        .and_then(|array| array.as_struct_opt())
    else {
        let is_missing = !is_of_objects && batch.column_by_name(outer).is_none();
        return Cells {
            all: if is_missing { rows } else { 0 },
            present: 0,
        };
    };
    let is_there = (0..structure.len()).map(|row| !is_of_objects || structure.is_valid(row));
    within(structure, is_there.collect(), inner)
}

/// Of a field of objects, in the rows that have the object.
fn within(structure: &StructArray, is_there: Vec<bool>, field: &str) -> Cells {
    let there = is_there
        .iter()
        .enumerate()
        .filter(|(_, is_there)| **is_there);
    if let Some(array) = structure.column_by_name(field) {
        return Cells {
            all: there.clone().count() as u64,
            present: there
                .filter(|(row, _)| structure.is_valid(*row) && array.is_valid(*row))
                .count() as u64,
        };
    }
    let Some((outer, inner)) = field.split_once('.') else {
        return Cells {
            all: there.count() as u64,
            present: 0,
        };
    };
    let Some(nested) = structure
        .column_by_name(outer)
        .and_then(|array| array.as_struct_opt())
    else {
        return Cells::default();
    };
    let is_there = is_there
        .into_iter()
        .enumerate()
        .map(|(row, is_there)| is_there && nested.is_valid(row));
    within(nested, is_there.collect(), inner)
}

/// Whether a row that could not be decoded fails by other columns only.
fn has_value(row: &InvalidRow, column: &str) -> bool {
    row.reasons
        .iter()
        .all(|reason| reason.column.as_deref().is_some_and(|name| name != column))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Fields};
    use bytes::Bytes;
    use runner_connectors::rows::{RawRows, Reason};

    use super::*;

    fn required(column: &str) -> Check {
        Check {
            column: column.to_owned(),
            kind: CheckKind::Required,
            origin: CheckOrigin::Contract,
            path: String::new(),
        }
    }

    fn invalid(column: Option<&str>) -> InvalidRow {
        InvalidRow {
            raw: "{}".to_owned(),
            reasons: vec![Reason {
                code: "not_convertible".to_owned(),
                column: column.map(str::to_owned),
                message: String::new(),
            }],
            number: 0,
        }
    }

    fn rows(invalid: Vec<InvalidRow>) -> Rows {
        let id: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
        let city: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None, Some("z")]));
        let fields = Fields::from(vec![Field::new("city", DataType::Utf8, true)]);
        let there = vec![true, true, false].into();
        let address: ArrayRef = Arc::new(StructArray::new(fields, vec![city], Some(there)));
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("id", id, true),
            ("address", address, true),
        ])
        .unwrap();
        Rows {
            batch,
            schema_version: 0,
            raw: RawRows::new(Bytes::new(), vec![0..0, 0..0, 0..0]),
            numbers: vec![0, 1, 2],
            invalid,
            origin: Arc::from("GET /"),
        }
    }

    fn share(column: &str, invalid: Vec<InvalidRow>) -> (u64, u64) {
        let cells = required_cells(&[required(column)], &rows(invalid));
        (cells.present, cells.all)
    }

    #[test]
    fn rows_that_could_not_be_decoded_count() {
        assert_eq!(share("id", Vec::new()), (2, 3));
        let three = || vec![invalid(Some("id")), invalid(Some("other")), invalid(None)];
        assert_eq!(share("id", three()), (3, 6));
        assert_eq!(share("missing", three()), (2, 6));
    }

    #[test]
    fn a_field_of_an_object_is_required_where_the_object_is() {
        assert_eq!(share("address", Vec::new()), (2, 3));
        assert_eq!(share("address.city", vec![invalid(None)]), (1, 2));
        assert_eq!(share("address.street", Vec::new()), (0, 2));
        assert_eq!(share("invoice.street", Vec::new()), (0, 0));
        assert_eq!(share("address.tags[].name", Vec::new()), (0, 0));
    }
}

//! Brings a batch to the columns that an output has: decoded batches may hold nulls everywhere, outputs say where they may.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::cast;
use runner_core::{Error, ErrorKind, Result};
use runner_plan::arrow::arrow_schema;
use runner_plan::model::ColumnField;

/// The batch with exactly these columns, found by name; one that it hasn't got is null.
pub(crate) fn conform(batch: &RecordBatch, columns: &[ColumnField]) -> Result<RecordBatch> {
    let schema = arrow_schema(columns);
    let arrays = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            Some(array) if array.data_type() == field.data_type() => Ok(Arc::clone(array)),
            Some(array) => cast(array, field.data_type()).map_err(|error| {
                Error::new(
                    ErrorKind::Internal,
                    "a column can't be brought to its output's type",
                )
                .with_context("column", field.name())
                .with_source(error)
            }),
        })
        .collect::<Result<Vec<ArrayRef>>>()?;
    RecordBatch::try_new(schema, arrays).map_err(|error| {
        Error::new(
            ErrorKind::Internal,
            "a batch can't be brought to its output's columns",
        )
        .with_source(error)
    })
}

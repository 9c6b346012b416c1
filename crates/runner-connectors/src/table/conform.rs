//! Rows in the columns of their table: the right order, the right types, what is missing added.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use arrow::datatypes::SchemaRef;
use runner_core::commit::{LOAD_ID_COLUMN, SEQ_COLUMN};
use runner_core::{Error, ErrorKind, LoadContext, Result};
use runner_plan::arrow::{arrow_schema, arrow_type};
use runner_plan::model::ColumnField;

use super::widen::widen;

/// Turns batches with some columns into batches with a table's.
#[derive(Clone, Debug)]
pub struct Conform {
    columns: Vec<ColumnField>,
    schema: SchemaRef,
    steps: Vec<Step>,
    is_identity: bool,
}

#[derive(Clone, Debug)]
enum Step {
    /// The n-th column of the batch.
    Take(usize, ColumnField),
    LoadId(String),
    Seq(i64),
    Null,
}

impl Conform {
    /// From batches with the columns `from` to the columns `to`. What `from` lacks is null, but for the load's own columns.
    pub fn new(from: &[ColumnField], to: &[ColumnField], load: &LoadContext) -> Result<Self> {
        let mut steps = Vec::with_capacity(to.len());
        for column in to {
            let found = from.iter().position(|given| given.name == column.name);
            steps.push(match (found, column.name.as_str()) {
                (Some(index), _) => Step::Take(index, from[index].clone()),
                (None, LOAD_ID_COLUMN) => Step::LoadId(load.id.to_string()),
                (None, SEQ_COLUMN) => Step::Seq(seq(load)?),
                (None, _) if column.nullable => Step::Null,
                (None, name) => {
                    return Err(Error::new(
                        ErrorKind::Internal,
                        format!("rows for `{}` lack the column `{name}`", load.plan.table),
                    ));
                }
            });
        }
        let is_identity = from.len() == to.len()
            && steps.iter().zip(to).enumerate().all(|(position, (step, to))| {
                matches!(step, Step::Take(index, from)
                    if *index == position && from.column_type == to.column_type && from.nullable == to.nullable)
            });
        Ok(Self {
            columns: to.to_vec(),
            schema: arrow_schema(to),
            steps,
            is_identity,
        })
    }

    /// The same without a load: what `from` lacks is null, so every column of the result is nullable.
    pub fn reading(from: &[ColumnField], to: &[ColumnField]) -> Self {
        let steps = to
            .iter()
            .map(|column| {
                from.iter()
                    .position(|given| given.name == column.name)
                    .map_or(Step::Null, |index| Step::Take(index, from[index].clone()))
            })
            .collect();
        let columns: Vec<ColumnField> = to
            .iter()
            .map(|column| ColumnField {
                nullable: true,
                ..column.clone()
            })
            .collect();
        Self {
            schema: arrow_schema(&columns),
            columns,
            steps,
            is_identity: false,
        }
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn columns(&self) -> &[ColumnField] {
        &self.columns
    }

    /// Whether batches stay as they are.
    pub fn is_identity(&self) -> bool {
        self.is_identity
    }

    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        if self.is_identity && batch.schema_ref() == &self.schema {
            return Ok(batch.clone());
        }
        let rows = batch.num_rows();
        let arrays = self
            .steps
            .iter()
            .zip(&self.columns)
            .map(|(step, column)| -> Result<ArrayRef> {
                Ok(match step {
                    Step::Take(index, from) => {
                        let array = batch.columns().get(*index).ok_or_else(|| {
                            Error::new(
                                ErrorKind::Internal,
                                format!("a batch lacks the column `{}`", column.name),
                            )
                        })?;
                        widen(array, from, column)?
                    }
                    Step::LoadId(id) => Arc::new(StringArray::from_iter_values(
                        std::iter::repeat_n(id.as_str(), rows),
                    )),
                    Step::Seq(seq) => Arc::new(Int64Array::from_value(*seq, rows)),
                    Step::Null => new_null_array(&arrow_type(&column.column_type), rows),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options).map_err(
            |error| {
                Error::new(
                    ErrorKind::Internal,
                    "rows don't have the columns that their stream announced",
                )
                .with_source(error)
            },
        )
    }
}

/// Columns of the rows that a writer leaves: those it was told of, and the load's own where the table has them.
pub fn written_columns(load: &LoadContext, columns: &[ColumnField]) -> Vec<ColumnField> {
    let mut written = columns.to_vec();
    for name in [LOAD_ID_COLUMN, SEQ_COLUMN] {
        let is_missing = columns.iter().all(|column| column.name != name);
        let own = load.columns.iter().find(|column| column.name == name);
        if let (true, Some(own)) = (is_missing, own) {
            written.push(own.clone());
        }
    }
    written
}

/// The load's number as the column holds it.
pub fn seq(load: &LoadContext) -> Result<i64> {
    i64::try_from(load.seq.0).map_err(|error| {
        Error::new(ErrorKind::Internal, "the load's number is out of range").with_source(error)
    })
}

//! Keys as hashes, cursors as something that compares like the values.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow::row::{RowConverter, Rows, SortField};
use runner_core::Result;
use runner_plan::arrow::arrow_type;
use runner_plan::model::ColumnField;
use xxhash_rust::xxh3::xxh3_128;

use super::internal;

/// Hashes the key columns of batches: the first columns of each.
#[derive(Debug)]
pub struct KeyEncoder {
    columns: usize,
    converter: RowConverter,
}

impl KeyEncoder {
    pub fn new(key: &[ColumnField]) -> Result<Self> {
        let fields = key
            .iter()
            .map(|column| SortField::new(arrow_type(&column.column_type)))
            .collect();
        Ok(Self {
            columns: key.len(),
            converter: RowConverter::new(fields).map_err(internal)?,
        })
    }

    /// One hash per row; none where a key column is null, which equals nothing.
    pub fn hashes(&self, batch: &RecordBatch) -> Result<Vec<Option<u128>>> {
        let columns: Vec<ArrayRef> = batch.columns().iter().take(self.columns).cloned().collect();
        let rows = self.converter.convert_columns(&columns).map_err(internal)?;
        let has_nulls = columns.iter().any(|column| column.null_count() > 0);
        Ok(rows
            .iter()
            .enumerate()
            .map(|(index, row)| {
                let is_null = has_nulls && columns.iter().any(|column| column.is_null(index));
                (!is_null).then(|| xxh3_128(row.data()))
            })
            .collect())
    }
}

/// A cursor's value; greater ones win. A null loses against everything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CursorKey {
    Null,
    Fixed(i64),
    Bytes(Box<[u8]>),
}

/// The cursors of a batch.
pub(super) struct Cursors<'a> {
    form: Form<'a>,
}

enum Form<'a> {
    None,
    Integer(&'a ArrayRef),
    Encoded(&'a ArrayRef, Rows),
}

impl<'a> Cursors<'a> {
    /// Of a column, or of rows that have none.
    pub(super) fn new(column: Option<&'a ArrayRef>) -> Result<Self> {
        let form = match column {
            None => Form::None,
            Some(column) => match column.data_type() {
                DataType::Int64
                | DataType::Date32
                | DataType::Time64(_)
                | DataType::Timestamp(_, _) => Form::Integer(column),
                // Doubles, decimals and texts compare as their sortable encoding does.
                other => {
                    let converter =
                        RowConverter::new(vec![SortField::new(other.clone())]).map_err(internal)?;
                    let rows = converter
                        .convert_columns(std::slice::from_ref(column))
                        .map_err(internal)?;
                    Form::Encoded(column, rows)
                }
            },
        };
        Ok(Self { form })
    }

    pub(super) fn get(&self, row: usize) -> CursorKey {
        match &self.form {
            Form::None => CursorKey::Null,
            Form::Integer(column) | Form::Encoded(column, _) if column.is_null(row) => {
                CursorKey::Null
            }
            Form::Integer(column) => CursorKey::Fixed(match column.data_type() {
                DataType::Int64 => column.as_primitive::<Int64Type>().value(row),
                DataType::Date32 => i64::from(column.as_primitive::<Date32Type>().value(row)),
                DataType::Time64(_) => column.as_primitive::<Time64MicrosecondType>().value(row),
                _ => column.as_primitive::<TimestampMicrosecondType>().value(row),
            }),
            Form::Encoded(_, rows) => CursorKey::Bytes(rows.row(row).data().into()),
        }
    }
}

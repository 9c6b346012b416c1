//! Values of a parent's rows: each distinct one, or each distinct row of several, makes a chain of a child.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::{join_values, split_values};

/// The value of each row under this key, which is a column or, as [`join_values`] writes them, several; none where the rows lack
/// one of the columns.
pub(crate) fn chain_values(batch: &RecordBatch, key: &str) -> Result<Option<StringArray>> {
    if let Some(array) = batch.column_by_name(key) {
        return texts(key, array).map(Some);
    }
    let mut columns = Vec::new();
    for column in split_values(key) {
        let Some(array) = batch.column_by_name(&column) else {
            return Ok(None);
        };
        columns.push(texts(&column, array)?);
    }
    if columns.is_empty() {
        return Ok(None);
    }
    let rows = (0..batch.num_rows()).map(|row| row_value(&columns, row));
    Ok(Some(rows.collect()))
}

fn texts(column: &str, array: &ArrayRef) -> Result<StringArray> {
    let texts = cast(array, &DataType::Utf8).map_err(|error| {
        Error::new(
            ErrorKind::SourceData,
            "a parent's value must be a plain value",
        )
        .with_context("column", column)
        .with_source(error)
    })?;
    Ok(texts.as_string::<i32>().clone())
}

/// The values of one row as one text; a row that lacks one of them makes no chain.
fn row_value(columns: &[StringArray], row: usize) -> Option<String> {
    let values: Option<Vec<&str>> = columns
        .iter()
        .map(|column| column.is_valid(row).then(|| column.value(row)))
        .collect();
    values.map(|values| join_values(&values))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    fn batch() -> RecordBatch {
        let org: ArrayRef = Arc::new(StringArray::from(vec![
            Some("a"),
            Some("a"),
            None,
            Some("b"),
        ]));
        let number: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(3), Some(1)]));
        RecordBatch::try_from_iter_with_nullable([("org", org, true), ("number", number, true)])
            .unwrap()
    }

    fn values(key: &str) -> Option<Vec<Option<String>>> {
        let values = chain_values(&batch(), key).unwrap()?;
        Some(
            values
                .iter()
                .map(|value| value.map(str::to_owned))
                .collect(),
        )
    }

    #[test]
    fn a_column_gives_its_own_texts() {
        let number = ["1", "2", "3", "1"].map(|text| Some(text.to_owned()));
        assert_eq!(values("number").unwrap(), number);
    }

    /// Not every organisation with every number: the pairs that stand in the rows.
    #[test]
    fn several_columns_give_one_value_a_row() {
        let key = join_values(&["org", "number"]);
        let pairs = [
            Some(r#"["a","1"]"#.to_owned()),
            Some(r#"["a","2"]"#.to_owned()),
            None,
            Some(r#"["b","1"]"#.to_owned()),
        ];
        assert_eq!(values(&key).unwrap(), pairs);
    }

    #[test]
    fn rows_without_the_column_give_none() {
        assert_eq!(values("missing"), None);
        assert_eq!(values(&join_values(&["org", "missing"])), None);
    }
}

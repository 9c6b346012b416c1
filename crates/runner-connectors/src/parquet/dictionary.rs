//! Which columns are worth a dictionary, judged by the first rows of a file.
//!
//! A dictionary for ids and free text costs a fifth to a half of the writing speed and saves nothing; the writer gives it up
//! by itself, but only after a megabyte of it.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use xxhash_rust::xxh3::xxh3_64;

/// Rows that are looked at, and that a file waits for before it decides.
pub const SAMPLE_ROWS: usize = 8192;
/// Below this a dictionary can't hurt.
const FEW_ROWS: usize = 1024;

/// Names of the columns for which a dictionary doesn't pay.
pub fn without_dictionary(sample: &[RecordBatch]) -> Vec<String> {
    let Some(first) = sample.first() else {
        return Vec::new();
    };
    let schema = first.schema();
    (0..schema.fields().len())
        .filter(|column| {
            let arrays: Vec<&ArrayRef> = sample.iter().map(|batch| batch.column(*column)).collect();
            is_mostly_distinct(&arrays)
        })
        .map(|column| schema.field(column).name().clone())
        .collect()
}

/// Whether more than a quarter of the values are distinct.
fn is_mostly_distinct(arrays: &[&ArrayRef]) -> bool {
    let mut seen: HashSet<u64> = HashSet::new();
    let mut values = 0_usize;
    let mut rows = 0_usize;
    for array in arrays {
        let Some(hash) = hasher(array) else {
            return false;
        };
        for row in 0..array.len().min(SAMPLE_ROWS.saturating_sub(rows)) {
            if array.is_valid(row) {
                seen.insert(hash(row));
                values += 1;
            }
        }
        rows += array.len();
        if rows >= SAMPLE_ROWS {
            break;
        }
    }
    values >= FEW_ROWS && seen.len() > values / 4
}

/// Hashes a row of the array; none for types that a dictionary isn't decided for (nested ones, booleans).
fn hasher(array: &ArrayRef) -> Option<Box<dyn Fn(usize) -> u64 + '_>> {
    match array.data_type() {
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            Some(Box::new(|row| xxh3_64(array.value(row).as_bytes())))
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            Some(Box::new(|row| xxh3_64(array.value(row))))
        }
        other => {
            let width = other.primitive_width()?;
            let data = array.to_data();
            let offset = data.offset();
            let buffer = data.buffers().first()?.clone();
            Some(Box::new(move |row| {
                let start = (offset + row) * width;
                buffer.get(start..start + width).map_or(0, xxh3_64)
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    fn batch(rows: i64) -> RecordBatch {
        let ids: Int64Array = (0..rows).collect();
        let months: Int64Array = (0..rows).map(|row| row % 12).collect();
        let texts: StringArray = (0..rows).map(|row| Some(format!("text {row}"))).collect();
        let names: StringArray = (0..rows).map(|row| Some(format!("{}", row % 20))).collect();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let doubles: Float64Array = (0..rows).map(|row| row as f64 / 7.0).collect();
        let nulls: StringArray = (0..rows).map(|_| None::<&str>).collect();
        RecordBatch::try_from_iter([
            ("id", Arc::new(ids) as ArrayRef),
            ("month", Arc::new(months)),
            ("text", Arc::new(texts)),
            ("name", Arc::new(names)),
            ("double", Arc::new(doubles)),
            ("nothing", Arc::new(nulls)),
        ])
        .unwrap()
    }

    #[test]
    fn ids_and_free_text_get_no_dictionary() {
        assert_eq!(without_dictionary(&[batch(5000)]), ["id", "text", "double"]);
    }

    #[test]
    fn sliced_batches_are_judged_by_their_own_rows() {
        let whole = batch(8000);
        let slices = [whole.slice(3000, 2500), whole.slice(5500, 2500)];
        assert_eq!(without_dictionary(&slices), ["id", "text", "double"]);
    }

    #[test]
    fn few_rows_decide_nothing() {
        assert!(without_dictionary(&[batch(100)]).is_empty());
        assert!(without_dictionary(&[]).is_empty());
    }
}

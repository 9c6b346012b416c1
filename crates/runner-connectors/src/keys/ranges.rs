//! Which parts of a table can hold a load's keys at all, by the statistics of its files.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Schema};
use arrow::row::{RowConverter, SortField};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::ParquetMetaData;
use runner_core::Result;
use runner_plan::arrow::arrow_type;
use runner_plan::model::ColumnField;

use super::internal;

/// Bytes of a value's sortable encoding that are kept.
const PREFIX: usize = 16;

/// The values of each key column in a load, cut to a prefix that sorts as they do.
#[derive(Debug)]
pub struct KeyRanges {
    columns: Vec<ColumnRange>,
}

#[derive(Debug)]
struct ColumnRange {
    column: ColumnField,
    converter: RowConverter,
    /// Sorted, each once.
    prefixes: Vec<u128>,
}

impl KeyRanges {
    /// The key's columns, in the key's order.
    pub fn columns(&self) -> impl Iterator<Item = &ColumnField> {
        self.columns.iter().map(|range| &range.column)
    }

    /// Whether places with these least and greatest values can hold a key of the load; a null bound bounds nothing.
    /// The bounds have the column's type.
    pub fn may_hold(
        &self,
        column: usize,
        least: &ArrayRef,
        greatest: &ArrayRef,
    ) -> Result<Vec<bool>> {
        let Some(range) = self.columns.get(column) else {
            return Ok(vec![true; least.len()]);
        };
        // NaN is outside of every bound that a writer records.
        if matches!(
            range.column.column_type,
            runner_plan::model::ColumnType::Number
        ) {
            return Ok(vec![true; least.len()]);
        }
        let low = range
            .converter
            .convert_columns(&[Arc::clone(least)])
            .map_err(internal)?;
        let high = range
            .converter
            .convert_columns(&[Arc::clone(greatest)])
            .map_err(internal)?;
        Ok((0..least.len())
            .map(|place| {
                if least.is_null(place) || greatest.is_null(place) {
                    return true;
                }
                let from = prefix(low.row(place).data());
                let to = prefix(high.row(place).data());
                let first = range.prefixes.partition_point(|value| *value < from);
                range.prefixes.get(first).is_some_and(|value| *value <= to)
            })
            .collect())
    }
}

/// Row groups of a file that can hold one of the keys, by its statistics. Columns that the file lacks bound nothing.
pub fn matching_row_groups(
    metadata: &ParquetMetaData,
    schema: &Schema,
    ranges: &KeyRanges,
) -> Result<Vec<usize>> {
    let groups = metadata.row_groups();
    let mut matching = vec![true; groups.len()];
    for (index, column) in ranges.columns().enumerate() {
        let Ok(converter) = StatisticsConverter::try_new(
            &column.name,
            schema,
            metadata.file_metadata().schema_descr(),
        ) else {
            continue;
        };
        let least = converter.row_group_mins(groups).map_err(internal)?;
        let greatest = converter.row_group_maxes(groups).map_err(internal)?;
        let target = arrow_type(&column.column_type);
        // A file from before a widening: its bounds are taken over where the order stays the same.
        let Some((least, greatest)) = as_type(&least, &greatest, &target) else {
            continue;
        };
        let held = ranges.may_hold(index, &least, &greatest)?;
        for (matching, held) in matching.iter_mut().zip(held) {
            *matching &= held;
        }
    }
    Ok((0..groups.len()).filter(|group| matching[*group]).collect())
}

fn as_type(
    least: &ArrayRef,
    greatest: &ArrayRef,
    target: &DataType,
) -> Option<(ArrayRef, ArrayRef)> {
    if least.data_type() == target {
        return Some((Arc::clone(least), Arc::clone(greatest)));
    }
    if !(least.data_type().is_numeric() && target.is_numeric()) {
        return None;
    }
    Some((cast(least, target).ok()?, cast(greatest, target).ok()?))
}

/// Collects the values of a load's keys.
pub(super) struct RangeCollector {
    columns: Vec<ColumnRange>,
}

impl RangeCollector {
    pub(super) fn new(key: &[ColumnField]) -> Result<Self> {
        let columns = key
            .iter()
            .map(|column| {
                let field = SortField::new(arrow_type(&column.column_type));
                Ok(ColumnRange {
                    column: column.clone(),
                    converter: RowConverter::new(vec![field]).map_err(internal)?,
                    prefixes: Vec::new(),
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { columns })
    }

    /// Adds these rows of a batch whose first columns are the key's.
    pub(super) fn add(&mut self, batch: &RecordBatch, rows: &[usize]) -> Result<()> {
        let indices: UInt32Array = rows
            .iter()
            .map(|row| u32::try_from(*row).unwrap_or(u32::MAX))
            .collect();
        for (range, column) in self.columns.iter_mut().zip(batch.columns()) {
            let values = take(column, &indices, None).map_err(internal)?;
            let encoded = range
                .converter
                .convert_columns(&[values])
                .map_err(internal)?;
            range
                .prefixes
                .extend(encoded.iter().map(|row| prefix(row.data())));
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> KeyRanges {
        for range in &mut self.columns {
            range.prefixes.sort_unstable();
            range.prefixes.dedup();
            range.prefixes.shrink_to_fit();
        }
        KeyRanges {
            columns: self.columns,
        }
    }
}

/// The first bytes of an encoding, as a number that sorts as they do.
fn prefix(encoded: &[u8]) -> u128 {
    let mut bytes = [0; PREFIX];
    let length = encoded.len().min(PREFIX);
    bytes[..length].copy_from_slice(&encoded[..length]);
    u128::from_be_bytes(bytes)
}

//! Data files: what a part keeps of one until it is committed, and the entry that a manifest gets.
//!
//! The kept form names columns by field id and values by Iceberg's own binary form, so that it doesn't depend on the version of
//! any library; it is stored with the job.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Literal, PrimitiveType,
    Schema, Struct, StructType, Type,
};
use parquet::basic::Repetition;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;
use runner_core::Part;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{IcebergError, Result};

/// Version of [`FileDetails`] as stored.
const FORMAT: u32 = 1;

/// [`Part::details`] of a part of an Iceberg table: one data file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FileDetails {
    pub format: u32,
    /// Absolute.
    pub location: String,
    /// Whose load it is: what is looked at before a file is taken away.
    pub mark: MarkOf,
    /// Of the file; it may have been written before the table existed.
    pub schema: Schema,
    pub partition: Vec<PartitionValue>,
    pub metrics: Metrics,
}

/// Key, seq and load id of the mark that stands in the table once the file is committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MarkOf {
    pub key: String,
    pub seq: u64,
    pub load_id: String,
}

/// One field of the file's partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartitionValue {
    /// Column that it is made of.
    pub source_id: i32,
    /// As Iceberg writes it: `identity`, `day`, `bucket[16]`.
    pub transform: String,
    /// Of the partition field.
    pub name: String,
    /// In Iceberg's JSON form.
    pub value: Value,
}

/// What manifests say of a file's columns, by field id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Metrics {
    pub column_sizes: BTreeMap<i32, u64>,
    pub value_counts: BTreeMap<i32, u64>,
    pub null_counts: BTreeMap<i32, u64>,
    /// Base64 of Iceberg's binary form.
    pub lower_bounds: BTreeMap<i32, String>,
    pub upper_bounds: BTreeMap<i32, String>,
    pub split_offsets: Vec<i64>,
}

impl FileDetails {
    pub(super) fn new(
        location: String,
        mark: MarkOf,
        schema: Schema,
        partition: Vec<PartitionValue>,
        metrics: Metrics,
    ) -> Self {
        Self {
            format: FORMAT,
            location,
            mark,
            schema,
            partition,
            metrics,
        }
    }

    pub(super) fn of(part: &Part) -> Result<Self> {
        let details = Self::deserialize(&part.details).map_err(IcebergError::json(format!(
            "read what is stored of part `{}`",
            part.name
        )))?;
        if details.format != FORMAT {
            return Err(IcebergError::Broken(format!(
                "part `{}` is stored in format {}, this version knows format {FORMAT}",
                part.name, details.format
            )));
        }
        Ok(details)
    }

    pub(super) fn to_json(&self) -> Result<Value> {
        serde_json::to_value(self).map_err(IcebergError::json(format!(
            "store what is known of `{}`",
            self.location
        )))
    }

    /// The manifest's entry. `table` is the table's schema now, `partition_type` that of the spec it is filed under.
    pub(super) fn data_file(
        &self,
        rows: u64,
        bytes: u64,
        table: &Schema,
        spec_id: i32,
        partition_type: &StructType,
    ) -> Result<DataFile> {
        let metrics = &self.metrics;
        DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path(self.location.clone())
            .file_format(DataFileFormat::Parquet)
            .partition(self.partition_struct(partition_type)?)
            .partition_spec_id(spec_id)
            .record_count(rows)
            .file_size_in_bytes(bytes)
            .column_sizes(to_map(&metrics.column_sizes))
            .value_counts(to_map(&metrics.value_counts))
            .null_value_counts(to_map(&metrics.null_counts))
            .lower_bounds(bounds(&metrics.lower_bounds, table)?)
            .upper_bounds(bounds(&metrics.upper_bounds, table)?)
            .split_offsets(Some(metrics.split_offsets.clone()))
            .build()
            .map_err(|error| {
                IcebergError::Broken(format!("the entry of `{}`: {error}", self.location))
            })
    }

    fn partition_struct(&self, partition_type: &StructType) -> Result<Struct> {
        let doing = || {
            IcebergError::metadata(format!(
                "read the partition of the file `{}`",
                self.location
            ))
        };
        self.partition
            .iter()
            .zip(partition_type.fields())
            .map(|(value, field)| {
                Literal::try_from_json(value.value.clone(), &field.field_type).map_err(doing())
            })
            .collect::<Result<Vec<_>>>()
            .map(Struct::from_iter)
    }
}

fn to_map(counts: &BTreeMap<i32, u64>) -> HashMap<i32, u64> {
    counts.iter().map(|(id, count)| (*id, *count)).collect()
}

fn bounds(stored: &BTreeMap<i32, String>, table: &Schema) -> Result<HashMap<i32, Datum>> {
    let mut bounds = HashMap::with_capacity(stored.len());
    for (id, text) in stored {
        let Some(Type::Primitive(primitive)) = table
            .field_by_id(*id)
            .map(|field| field.field_type.as_ref())
        else {
            continue;
        };
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| IcebergError::Broken(format!("a stored bound: {error}")))?;
        let datum = Datum::try_from_bytes(&bytes, primitive.clone())
            .map_err(IcebergError::metadata("read a stored bound"))?;
        bounds.insert(*id, datum);
    }
    Ok(bounds)
}

/// What a finished file's own metadata says of its columns.
pub(super) fn metrics(file: &ParquetMetaData, schema: &Schema) -> Metrics {
    let mut metrics = Metrics::default();
    let mut bounds: BTreeMap<i32, Bounds> = BTreeMap::new();
    for group in file.row_groups() {
        if let Some(offset) = group.columns().iter().map(first_offset).min() {
            metrics.split_offsets.push(offset);
        }
        for column in group.columns() {
            let info = column.column_descr().self_type().get_basic_info();
            if !info.has_id() {
                continue;
            }
            let id = info.id();
            *metrics.column_sizes.entry(id).or_default() +=
                u64::try_from(column.compressed_size()).unwrap_or(0);
            let values = u64::try_from(column.num_values()).unwrap_or(0);
            *metrics.value_counts.entry(id).or_default() += values;
            let statistics = column.statistics();
            let nulls = statistics.and_then(Statistics::null_count_opt);
            count_nulls(&mut metrics, id, column, nulls);
            let Some(Type::Primitive(primitive)) = schema
                .field_by_id(id)
                .map(|field| field.field_type.as_ref())
            else {
                continue;
            };
            // Items of lists have no bounds: rows are not found by them.
            if column.column_descr().max_rep_level() == 0 {
                let is_all_null = nulls == Some(values);
                bounds
                    .entry(id)
                    .or_default()
                    .add(statistics, primitive, is_all_null);
            }
        }
    }
    for (id, bounds) in bounds {
        let (lower, upper) = bounds.finish();
        metrics.lower_bounds.extend(lower.map(|text| (id, text)));
        metrics.upper_bounds.extend(upper.map(|text| (id, text)));
    }
    metrics
}

fn first_offset(column: &ColumnChunkMetaData) -> i64 {
    column
        .dictionary_page_offset()
        .map_or(column.data_page_offset(), |dictionary| {
            dictionary.min(column.data_page_offset())
        })
}

fn count_nulls(metrics: &mut Metrics, id: i32, column: &ColumnChunkMetaData, nulls: Option<u64>) {
    let is_required = column.column_descr().max_def_level() == 0
        && column
            .column_descr()
            .self_type()
            .get_basic_info()
            .repetition()
            == Repetition::REQUIRED;
    if let Some(nulls) = nulls.or(is_required.then_some(0)) {
        *metrics.null_counts.entry(id).or_default() += nulls;
    }
}

/// The least and the greatest value over the row groups. One group that doesn't tell makes the bound unknown: a bound that
/// leaves rows out would hide them.
#[derive(Debug, Default)]
struct Bounds {
    lower: Option<Datum>,
    upper: Option<Datum>,
    lower_unknown: bool,
    upper_unknown: bool,
}

impl Bounds {
    fn add(
        &mut self,
        statistics: Option<&Statistics>,
        primitive: &PrimitiveType,
        is_all_null: bool,
    ) {
        if is_all_null {
            return;
        }
        let (lower, upper) = statistics.map_or((None, None), |statistics| {
            (
                statistics
                    .min_bytes_opt()
                    .and_then(|bytes| datum(bytes, statistics, primitive)),
                statistics
                    .max_bytes_opt()
                    .and_then(|bytes| datum(bytes, statistics, primitive)),
            )
        });
        self.lower_unknown |= lower.is_none();
        self.upper_unknown |= upper.is_none();
        if let Some(lower) = lower
            && self.lower.as_ref().is_none_or(|known| lower < *known)
        {
            self.lower = Some(lower);
        }
        if let Some(upper) = upper
            && self.upper.as_ref().is_none_or(|known| upper > *known)
        {
            self.upper = Some(upper);
        }
    }

    fn finish(self) -> (Option<String>, Option<String>) {
        let text = |datum: Option<Datum>| {
            let bytes = datum?.to_bytes().ok()?;
            Some(STANDARD.encode(bytes))
        };
        (
            text(self.lower.filter(|_| !self.lower_unknown)),
            text(self.upper.filter(|_| !self.upper_unknown)),
        )
    }
}

/// A statistic's bytes in Iceberg's binary form: the same, but for decimals, which are big-endian there whatever holds them here.
fn datum(bytes: &[u8], statistics: &Statistics, primitive: &PrimitiveType) -> Option<Datum> {
    let converted;
    let bytes = match (primitive, statistics) {
        (PrimitiveType::Decimal { .. }, Statistics::Int32(_)) => {
            converted = i32::from_le_bytes(bytes.try_into().ok()?)
                .to_be_bytes()
                .to_vec();
            &converted
        }
        (PrimitiveType::Decimal { .. }, Statistics::Int64(_)) => {
            converted = i64::from_le_bytes(bytes.try_into().ok()?)
                .to_be_bytes()
                .to_vec();
            &converted
        }
        _ => bytes,
    };
    Datum::try_from_bytes(bytes, primitive.clone())
        .ok()
        .filter(|datum| !datum.is_nan())
}

#[cfg(test)]
mod tests;

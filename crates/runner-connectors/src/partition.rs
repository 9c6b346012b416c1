//! Which rows of a batch belong to which partition, by the transforms of the Iceberg specification.
//!
//! The transforms themselves are those of the `iceberg` crate, so that a folder partitioned by `bucket(16, id)` and an Iceberg
//! table agree on where a row is.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryBuilder, RecordBatch, StringArray, UInt32Array,
};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Schema};
use arrow::row::{RowConverter, SortField};
use chrono::{DateTime, Days, Months, NaiveDate};
use iceberg::spec::Transform;
use iceberg::transform::{BoxedTransformFunction, create_transform_function};
use runner_core::{Error, ErrorKind, Result};
use runner_plan::arrow::LOGICAL_TYPE;
use runner_plan::model::{Partition, PartitionTransform};

/// What Hive, Spark and DuckDB write for a null in a folder's name.
const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// Splits batches of one schema by partition.
#[derive(Debug)]
pub struct Splitter {
    fields: Vec<SplitField>,
    converter: Option<RowConverter>,
}

#[derive(Debug)]
struct SplitField {
    column: usize,
    name: String,
    transform: PartitionTransform,
    /// Absent where the value is the column's own.
    function: Option<BoxedTransformFunction>,
    is_uuid: bool,
}

/// The values that rows of one partition share.
#[derive(Clone, Debug)]
pub struct PartitionKey {
    /// Equal for equal values, and only for them.
    encoded: Box<[u8]>,
    /// One array of length 1 per partition field: the transform's result.
    values: Vec<ArrayRef>,
    /// `name=value/name=value`, escaped.
    folder: String,
}

/// Rows of one partition.
#[derive(Clone, Debug)]
pub struct Split {
    pub key: PartitionKey,
    pub batch: RecordBatch,
}

impl PartitionKey {
    /// The key of a table without partitions.
    pub fn whole() -> Self {
        Self {
            encoded: Box::default(),
            values: Vec::new(),
            folder: String::new(),
        }
    }

    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    pub fn values(&self) -> &[ArrayRef] {
        &self.values
    }

    /// Relative folder in Hive's style; empty without partitions.
    pub fn folder(&self) -> &str {
        &self.folder
    }
}

impl PartialEq for PartitionKey {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for PartitionKey {}

impl std::hash::Hash for PartitionKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.encoded.hash(state);
    }
}

impl Splitter {
    pub fn new(partitions: &[Partition], schema: &Schema) -> Result<Self> {
        let fields = partitions
            .iter()
            .map(|partition| SplitField::new(partition, schema))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            fields,
            converter: None,
        })
    }

    /// Indices of the columns whose value a folder's name holds unchanged.
    pub fn identity_columns(&self) -> Vec<usize> {
        self.fields
            .iter()
            .filter(|field| field.transform == PartitionTransform::Identity)
            .map(|field| field.column)
            .collect()
    }

    /// The rows of each partition, in their order; partitions in the order of their first row.
    pub fn split(&mut self, batch: &RecordBatch) -> Result<Vec<Split>> {
        if batch.num_rows() == 0 {
            return Ok(Vec::new());
        }
        if self.fields.is_empty() {
            return Ok(vec![Split {
                key: PartitionKey::whole(),
                batch: batch.clone(),
            }]);
        }
        let values = self
            .fields
            .iter()
            .map(|field| field.values(batch))
            .collect::<Result<Vec<_>>>()?;
        let groups = self.group(&values)?;
        groups
            .into_iter()
            .map(|group| {
                let first = group.first();
                let values: Vec<ArrayRef> =
                    values.iter().map(|array| array.slice(first, 1)).collect();
                Ok(Split {
                    key: PartitionKey {
                        folder: self.folder(&values)?,
                        encoded: group.encoded.clone(),
                        values,
                    },
                    batch: group.rows(batch)?,
                })
            })
            .collect()
    }

    fn group(&mut self, values: &[ArrayRef]) -> Result<Vec<Group>> {
        if self.converter.is_none() {
            let fields = values
                .iter()
                .map(|array| SortField::new(array.data_type().clone()))
                .collect();
            self.converter = Some(RowConverter::new(fields).map_err(internal)?);
        }
        let Some(converter) = self.converter.as_ref() else {
            return Ok(Vec::new());
        };
        let rows = converter.convert_columns(values).map_err(internal)?;
        let mut groups: Vec<Group> = Vec::new();
        let mut known: HashMap<Box<[u8]>, usize> = HashMap::new();
        let mut current: Option<usize> = None;
        for (index, row) in rows.iter().enumerate() {
            // Rows of one partition mostly follow one another.
            let same = current.filter(|group| *groups[*group].encoded == *row.data());
            let found = same.or_else(|| known.get(row.data()).copied());
            let group = found.unwrap_or_else(|| {
                groups.push(Group {
                    encoded: row.data().into(),
                    runs: Vec::new(),
                });
                known.insert(row.data().into(), groups.len() - 1);
                groups.len() - 1
            });
            groups[group].push(index);
            current = Some(group);
        }
        Ok(groups)
    }

    fn folder(&self, values: &[ArrayRef]) -> Result<String> {
        let mut folder = String::new();
        for (field, value) in self.fields.iter().zip(values) {
            if !folder.is_empty() {
                folder.push('/');
            }
            folder.push_str(&escape(&field.name));
            folder.push('=');
            match field.text(value)? {
                // Readers put the underscore back, and tell it from a null.
                Some(text) if text == NULL_FOLDER => {
                    folder.push_str(&text.replacen('_', "%5F", 1));
                }
                Some(text) => folder.push_str(&escape(&text)),
                None => folder.push_str(NULL_FOLDER),
            }
        }
        Ok(folder)
    }
}

/// Rows of one partition within a batch, as runs of consecutive ones.
struct Group {
    encoded: Box<[u8]>,
    runs: Vec<std::ops::Range<usize>>,
}

impl Group {
    fn push(&mut self, row: usize) {
        match self.runs.last_mut() {
            Some(run) if run.end == row => run.end += 1,
            _ => self.runs.push(row..row + 1),
        }
    }

    fn first(&self) -> usize {
        self.runs.first().map_or(0, |run| run.start)
    }

    fn rows(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        // A slice is no copy, but it keeps the whole batch in memory as long as it waits for company.
        if let [run] = self.runs.as_slice()
            && run.len() * 2 >= batch.num_rows()
        {
            return Ok(batch.slice(run.start, run.len()));
        }
        let indices: UInt32Array = self
            .runs
            .iter()
            .flat_map(Clone::clone)
            .map(|row| u32::try_from(row).unwrap_or(u32::MAX))
            .collect();
        take_record_batch(batch, &indices).map_err(internal)
    }
}

impl SplitField {
    fn new(partition: &Partition, schema: &Schema) -> Result<Self> {
        let (column, field) = schema.column_with_name(&partition.column).ok_or_else(|| {
            Error::new(
                ErrorKind::Spec,
                format!(
                    "partition column `{}` is no column of the table",
                    partition.column
                ),
            )
        })?;
        let function = iceberg_transform(partition.transform)
            .map(|transform| create_transform_function(&transform))
            .transpose()
            .map_err(internal)?;
        Ok(Self {
            column,
            name: partition.name.clone(),
            transform: partition.transform,
            function,
            is_uuid: field.metadata().get(LOGICAL_TYPE).map(String::as_str) == Some("uuid"),
        })
    }

    fn values(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let column = batch.column(self.column);
        let Some(function) = &self.function else {
            return Ok(Arc::clone(column));
        };
        // Iceberg hashes the sixteen bytes of a UUID, not its text.
        let input = if self.is_uuid && matches!(self.transform, PartitionTransform::Bucket(_)) {
            uuid_bytes(column)?
        } else {
            Arc::clone(column)
        };
        function.transform(input).map_err(|error| {
            Error::new(
                ErrorKind::Spec,
                format!(
                    "partition `{}` can't be made of a column of type {}",
                    self.name,
                    column.data_type()
                ),
            )
            .with_source(error)
        })
    }

    /// The value as a folder's name has it; none for a null.
    fn text(&self, value: &ArrayRef) -> Result<Option<String>> {
        if value.is_null(0) {
            return Ok(None);
        }
        let text = match self.transform {
            PartitionTransform::Year => temporal(value, |years| {
                years.checked_add(1970).map(|year| year.to_string())
            })?,
            PartitionTransform::Month => temporal(value, |months| {
                let date = shift_months(months)?;
                Some(date.format("%Y-%m").to_string())
            })?,
            PartitionTransform::Day => match value.data_type() {
                DataType::Date32 => day(value.as_primitive::<Date32Type>().value(0)),
                _ => temporal(value, day)?,
            },
            PartitionTransform::Hour => temporal(value, |hours| {
                let moment = DateTime::from_timestamp(i64::from(hours) * 3600, 0)?;
                Some(moment.format("%Y-%m-%d-%H").to_string())
            })?,
            PartitionTransform::Identity
            | PartitionTransform::Bucket(_)
            | PartitionTransform::Truncate(_) => Some(identity_text(value)?),
        };
        text.map(Some).ok_or_else(|| {
            Error::new(
                ErrorKind::SourceData,
                format!("a value of partition `{}` is out of range", self.name),
            )
        })
    }
}

/// Iceberg's name of a transform; none for the identity, whose value is the column's.
pub fn iceberg_transform(transform: PartitionTransform) -> Option<Transform> {
    match transform {
        PartitionTransform::Identity => None,
        PartitionTransform::Year => Some(Transform::Year),
        PartitionTransform::Month => Some(Transform::Month),
        PartitionTransform::Day => Some(Transform::Day),
        PartitionTransform::Hour => Some(Transform::Hour),
        PartitionTransform::Bucket(count) => Some(Transform::Bucket(count)),
        PartitionTransform::Truncate(width) => Some(Transform::Truncate(width)),
    }
}

/// The value of an identity partition column, read back from a folder's name: an array of length 1.
pub fn folder_value(text: &str, data_type: &DataType) -> Result<ArrayRef> {
    let text = (text != NULL_FOLDER).then(|| unescape(text));
    if let DataType::Timestamp(unit, zone) = data_type {
        let plain = DataType::Timestamp(*unit, None);
        let parsed = cast(&StringArray::from(vec![text]), &plain).map_err(internal)?;
        let micros = cast(&parsed, &DataType::Int64).map_err(internal)?;
        let zoned = DataType::Timestamp(*unit, zone.clone());
        return cast(&micros, &zoned).map_err(internal);
    }
    cast(&StringArray::from(vec![text]), data_type).map_err(internal)
}

fn identity_text(value: &ArrayRef) -> Result<String> {
    let text = match value.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            let plain = cast(value, &DataType::Int64)
                .and_then(|array| cast(&array, &DataType::Timestamp(*unit, None)))
                .map_err(internal)?;
            cast(&plain, &DataType::Utf8).map_err(internal)?
        }
        _ => cast(value, &DataType::Utf8).map_err(internal)?,
    };
    Ok(text.as_string::<i32>().value(0).to_owned())
}

fn temporal(
    value: &ArrayRef,
    format: impl FnOnce(i32) -> Option<String>,
) -> Result<Option<String>> {
    match value.as_primitive_opt::<Int32Type>() {
        Some(array) => Ok(format(array.value(0))),
        None => Err(internal(format!(
            "a date partition of type {}",
            value.data_type()
        ))),
    }
}

fn epoch() -> NaiveDate {
    NaiveDate::default()
}

fn shift_months(months: i32) -> Option<NaiveDate> {
    let count = Months::new(months.unsigned_abs());
    if months < 0 {
        epoch().checked_sub_months(count)
    } else {
        epoch().checked_add_months(count)
    }
}

fn day(days: i32) -> Option<String> {
    let count = Days::new(u64::from(days.unsigned_abs()));
    let date = if days < 0 {
        epoch().checked_sub_days(count)
    } else {
        epoch().checked_add_days(count)
    };
    date.map(|date| date.format("%Y-%m-%d").to_string())
}

fn uuid_bytes(column: &ArrayRef) -> Result<ArrayRef> {
    let texts = column
        .as_string_opt::<i32>()
        .ok_or_else(|| internal(format!("a UUID column of type {}", column.data_type())))?;
    let mut bytes = FixedSizeBinaryBuilder::with_capacity(texts.len(), 16);
    for text in texts {
        match text {
            None => bytes.append_null(),
            Some(text) => {
                let uuid = uuid::Uuid::parse_str(text).map_err(internal)?;
                bytes.append_value(uuid.as_bytes()).map_err(internal)?;
            }
        }
    }
    Ok(Arc::new(bytes.finish()))
}

/// Escapes what Hive escapes, so that every reader finds the value again.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        let is_special = character.is_ascii_control()
            || matches!(
                character,
                '"' | '#'
                    | '%'
                    | '\''
                    | '*'
                    | '/'
                    | ':'
                    | '='
                    | '?'
                    | '\\'
                    | '{'
                    | '['
                    | ']'
                    | '^'
                    | '\u{7f}'
            );
        if is_special {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{:02X}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

fn unescape(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, "failed to split rows by partition").with_source(error)
}

#[cfg(test)]
mod tests;

//! Batches that are columns already (Parquet) into a stream's columns: taken as they are where the types agree, else value by value
//! like the same values in JSON.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow::buffer::NullBuffer;
use arrow::compute::filter_record_batch;
use runner_core::checkpoint::{Observed, Warning};
use runner_core::{Error, ErrorKind, Result};
use runner_plan::arrow::arrow_schema;
use runner_plan::model::{ColumnField, ColumnSource, ColumnType, RowPath, RowPathStep};

use super::batch::{self, constant_array};
use super::column::ColumnBuffer;
use super::evolution::{self, MAX_COLUMNS};
use super::json::{names, not_taken, path_of, take_cell_json};
use super::options::DecodeOptions;
use super::summary::PageSummary;
use super::text::shortened;
use super::trace::{Trace, wider};
use super::{error, names as column_names};
use crate::rows::{InvalidRow, RawRows, Reason, Rows};
use crate::schema::{DecodedColumn, SchemaVersion, StreamSchema, TypeBinding, nullable};
use crate::table::infer::{columns_of, normalize};
use crate::table::json::Encoder;

/// Each round widens a column; more than this is a mistake.
const MAX_ROUNDS: usize = 64;

/// Rows of one page that come as batches.
#[derive(Debug)]
pub(crate) struct Columnar {
    schema: StreamSchema,
    options: DecodeOptions,
    /// Number of the page's first row.
    first: u64,
    rows: u64,
    observed: Observed,
    fields_dropped: u64,
}

/// A batch in the types that columns have here, with nulls allowed everywhere.
#[derive(Debug)]
struct Given {
    batch: RecordBatch,
    fields: Vec<ColumnField>,
}

/// A column of the stream, taken from a batch.
struct Taken {
    array: ArrayRef,
    /// Rows whose value does not fit.
    misfits: Vec<(usize, Reason)>,
}

impl Columnar {
    pub(crate) fn new(schema: StreamSchema, options: DecodeOptions) -> Self {
        Self {
            first: options.first_row,
            schema,
            options,
            rows: 0,
            observed: Observed::default(),
            fields_dropped: 0,
        }
    }

    pub(crate) fn take(&mut self, batch: &RecordBatch) -> Result<Rows> {
        let given = Given::new(batch, &self.options.origin)?;
        for _ in 0..MAX_ROUNDS {
            let version = self.close(&given)?;
            let mut taken = Vec::with_capacity(version.columns.len());
            let mut too_narrow = Vec::new();
            for column in &version.columns {
                let column_taken = self.column(&given, column)?;
                if !column_taken.misfits.is_empty() && column.binding == TypeBinding::Known {
                    too_narrow.push(column.name.clone());
                }
                taken.push(column_taken);
            }
            if too_narrow.is_empty() || !self.widen(&given, &too_narrow) {
                return self.deliver(&given, &version, taken);
            }
        }
        Err(Error::new(
            ErrorKind::Internal,
            "the columns of a batch did not settle",
        ))
    }

    /// What is known of the page; `hash` stands for its content. What follows is another page's.
    pub(crate) fn summary(&mut self, hash: String) -> PageSummary {
        let rows = std::mem::take(&mut self.rows);
        self.first += rows;
        let mut observed = std::mem::take(&mut self.observed);
        observed.rows = rows;
        let is_full = self.schema.current().columns.len() >= MAX_COLUMNS;
        let warning = Warning {
            code: "too_many_columns".to_owned(),
            stream: None,
            message: format!("fields beyond the first {MAX_COLUMNS} columns were dropped"),
        };
        PageSummary {
            rows,
            rows_found: true,
            hash,
            captured: vec![None; self.options.captures.len()],
            observed,
            fields_dropped: std::mem::take(&mut self.fields_dropped),
            warnings: is_full.then_some(warning).into_iter().collect(),
            ..PageSummary::default()
        }
    }

    /// Gives open columns the types of the file's, and columns to fields that none names.
    fn close(&self, given: &Given) -> Result<Arc<SchemaVersion>> {
        let version = self.schema.evolve(|current| {
            let mut columns = current.columns.clone();
            for column in &mut columns {
                let is_unclosed = column.binding == TypeBinding::Open && column.trace.is_empty();
                if is_unclosed && let Some(field) = given.field(&column.source) {
                    column.column_type = field.column_type.clone();
                    column.binding = TypeBinding::Known;
                }
            }
            for field in &given.fields {
                if batch::is_open(current)
                    && let Some(column) = awaiting(&mut columns, field, &given.fields)
                {
                    column.source = top_level(&field.name);
                    continue;
                }
                if batch::is_open(current)
                    && columns.len() < MAX_COLUMNS
                    && !columns
                        .iter()
                        .any(|column| begins_with(column, &field.name))
                {
                    columns.push(new_column(field, &columns));
                }
            }
            (columns != current.columns).then_some(columns)
        });
        match self.schema.start_over() {
            Some(reason) => Err(error::start_over(&self.options.origin, reason)),
            None => Ok(version),
        }
    }

    /// Widens columns that this batch does not fit; false where none could be.
    fn widen(&self, given: &Given, names: &[String]) -> bool {
        let mut has_widened = false;
        self.schema.evolve_or_start_over(|current| {
            let mut columns = current.columns.clone();
            let mut start_over = None;
            for column in &mut columns {
                let Some(field) = given
                    .field(&column.source)
                    .filter(|_| names.contains(&column.name))
                else {
                    continue;
                };
                let column_type = wider(&column.column_type, &field.column_type);
                if column_type == column.column_type {
                    continue;
                }
                let to = ColumnField {
                    column_type: column_type.clone(),
                    ..column.field()
                };
                has_widened = true;
                if !self.schema.allows(&column.field(), &to) {
                    column.binding = TypeBinding::Pinned;
                    continue;
                }
                if current.version > 0 && !always_follows(&column.column_type, &column_type) {
                    start_over = Some(evolution::cannot_follow(column, &column_type));
                }
                column.column_type = column_type;
            }
            evolution::Change {
                columns: (columns != current.columns).then_some(columns),
                start_over,
            }
        });
        has_widened
    }

    fn column(&self, given: &Given, column: &DecodedColumn) -> Result<Taken> {
        let rows = given.batch.num_rows();
        let path = match &column.source {
            ColumnSource::Template(_) | ColumnSource::Variable(_) => {
                let buffer = ColumnBuffer::new(&column.column_type, column.binding, &column.trace);
                let array = constant_array(&self.options, buffer, &column.name, rows)?;
                return Ok(Taken {
                    array,
                    misfits: Vec::new(),
                });
            }
            ColumnSource::Field(RowPath::Steps(steps)) => names(steps),
            ColumnSource::Field(RowPath::Query(_)) | ColumnSource::Row => None,
        };
        let Some(path) = path else {
            return self.searched(given, column);
        };
        let Some((array, field)) = given.find(&path) else {
            return self.converted(column, rows, |_, _| false);
        };
        if nullable(&field).column_type == nullable(&column.field()).column_type {
            return Ok(Taken {
                array,
                misfits: Vec::new(),
            });
        }
        let schema = arrow_schema(std::slice::from_ref(&field));
        let encoder = Encoder::new(array.as_ref(), schema.field(0))?;
        self.converted(column, rows, |row, text| {
            let is_there = array.is_valid(row);
            if is_there {
                encoder.write(row, text);
            }
            is_there
        })
    }

    /// Values at a path that is more than names: each row is written as JSON, and searched.
    fn searched(&self, given: &Given, column: &DecodedColumn) -> Result<Taken> {
        let Some(path) = path_of(column)? else {
            return self.converted(column, given.batch.num_rows(), |_, _| false);
        };
        let raw = RawRows::of_batch(given.batch.clone());
        self.converted(column, given.batch.num_rows(), |row, text| {
            let json = raw.text(row);
            let found = path.find(json.as_bytes(), self.options.max_depth);
            match found.as_ref().map(|found| found.bytes()) {
                Ok(Some(value)) => {
                    text.push_str(&String::from_utf8_lossy(value));
                    true
                }
                _ => false,
            }
        })
    }

    /// Converts values that `write` gives as JSON, row by row.
    fn converted(
        &self,
        column: &DecodedColumn,
        rows: usize,
        write: impl Fn(usize, &mut String) -> bool,
    ) -> Result<Taken> {
        let mut buffer = ColumnBuffer::new(&column.column_type, column.binding, &column.trace);
        let mut misfits = Vec::new();
        let mut text = String::new();
        for row in 0..rows {
            text.clear();
            if !write(row, &mut text) {
                buffer.push_null();
                continue;
            }
            if take_cell_json(text.as_bytes(), &mut buffer, self.options.max_depth).is_err() {
                buffer.truncate(row);
                buffer.push_null();
                let value = shortened(text.as_bytes(), 100);
                misfits.push((row, not_taken(column, "", &value, &column.column_type)));
            }
        }
        let array = buffer
            .finish()
            .map_err(|cause| error::not_a_batch(&self.options.origin, cause))?;
        Ok(Taken { array, misfits })
    }

    fn deliver(
        &mut self,
        given: &Given,
        version: &SchemaVersion,
        taken: Vec<Taken>,
    ) -> Result<Rows> {
        let rows = given.batch.num_rows();
        let first = self.first + self.rows;
        self.rows += rows as u64;
        self.observe(given, version);
        let mut reasons: Vec<Vec<Reason>> = vec![Vec::new(); rows];
        let mut arrays = Vec::with_capacity(taken.len());
        for column in taken {
            arrays.push(column.array);
            for (row, reason) in column.misfits {
                reasons[row].push(reason);
            }
        }
        let failed = |cause| error::not_a_batch(&self.options.origin, cause);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let mut batch = RecordBatch::try_new_with_options(version.decoded(), arrays, &options)
            .map_err(failed)?;
        let mut raw = given.batch.clone();
        let fits: BooleanArray = reasons
            .iter()
            .map(|reasons| Some(reasons.is_empty()))
            .collect();
        let all = RawRows::of_batch(given.batch.clone());
        let mut invalid = Vec::new();
        let mut numbers = Vec::with_capacity(rows);
        for (row, reasons) in reasons.into_iter().enumerate() {
            let number = first + row as u64;
            if reasons.is_empty() {
                numbers.push(number);
            } else {
                invalid.push(InvalidRow {
                    raw: all.text(row),
                    reasons,
                    number,
                });
            }
        }
        if !invalid.is_empty() {
            batch = filter_record_batch(&batch, &fits).map_err(failed)?;
            raw = filter_record_batch(&raw, &fits).map_err(failed)?;
        }
        Ok(Rows {
            batch,
            schema_version: version.version,
            raw: RawRows::of_batch(raw),
            numbers,
            invalid,
            origin: Arc::clone(&self.options.origin),
        })
    }

    fn observe(&mut self, given: &Given, version: &SchemaVersion) {
        for (field, array) in given.fields.iter().zip(given.batch.columns()) {
            let nulls = array.logical_null_count() as u64;
            let present = array.len() as u64 - nulls;
            if !version
                .columns
                .iter()
                .any(|column| begins_with(column, &field.name))
            {
                self.fields_dropped += present;
            }
            let observed = self.observed.fields.entry(field.name.clone()).or_default();
            observed.present += present;
            observed.nulls += nulls;
            let name = field.column_type.to_string();
            if present > 0
                && let Err(at) = observed.types.binary_search(&name)
            {
                observed.types.insert(at, name);
            }
        }
    }
}

impl Given {
    fn new(batch: &RecordBatch, origin: &str) -> Result<Self> {
        let unsupported = |error: Error| {
            Error::new(ErrorKind::SourceData, error.message())
                .with_context("origin", origin)
                .with_source(error)
        };
        let fields: Vec<_> = columns_of(batch.schema_ref())
            .map_err(unsupported)?
            .iter()
            .map(nullable)
            .collect();
        let arrays = fields
            .iter()
            .zip(batch.columns())
            .map(|(field, array)| normalize(array, &field.column_type).map_err(unsupported))
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(arrow_schema(&fields), arrays, &options)
            .map_err(|cause| error::not_a_batch(origin, cause))?;
        Ok(Self { batch, fields })
    }

    /// The field that a column takes, if its path is one of names.
    fn field(&self, source: &ColumnSource) -> Option<ColumnField> {
        let ColumnSource::Field(RowPath::Steps(steps)) = source else {
            return None;
        };
        self.find(&names(steps)?).map(|(_, field)| field)
    }

    /// The values at a path of names, null where anything on the way is.
    fn find(&self, path: &[&str]) -> Option<(ArrayRef, ColumnField)> {
        // A column's own name may hold dots, which a path takes for steps.
        let dotted = path.join(".");
        let whole = self.fields.iter().position(|field| field.name == dotted);
        if let Some(index) = whole {
            return Some((
                Arc::clone(self.batch.column(index)),
                self.fields[index].clone(),
            ));
        }
        let (first, below) = path.split_first()?;
        let index = self.fields.iter().position(|field| field.name == *first)?;
        let mut field = self.fields[index].clone();
        let mut array = Arc::clone(self.batch.column(index));
        for name in below {
            let ColumnType::Struct(fields) = &field.column_type else {
                return None;
            };
            let index = fields.iter().position(|field| field.name == *name)?;
            let parent = array.as_any().downcast_ref::<StructArray>()?;
            let child = parent.column(index);
            let nulls = NullBuffer::union(parent.nulls(), child.nulls());
            let data = child.to_data().into_builder().nulls(nulls).build().ok()?;
            array = arrow::array::make_array(data);
            field = fields[index].clone();
        }
        Some((array, field))
    }
}

fn begins_with(column: &DecodedColumn, name: &str) -> bool {
    let ColumnSource::Field(RowPath::Steps(steps)) = &column.source else {
        return false;
    };
    matches!(steps.first(), Some(RowPathStep::Name(first)) if first == name)
        || names(steps).is_some_and(|names| names.join(".") == name)
}

/// The column of the contract that a field is meant for, by its name in snake_case, where the file has none of the name itself.
fn awaiting<'a>(
    columns: &'a mut [DecodedColumn],
    field: &ColumnField,
    given: &[ColumnField],
) -> Option<&'a mut DecodedColumn> {
    let name = column_names::snake_case(&field.name);
    let column = columns.iter_mut().find(|column| column.name == name)?;
    let is_unmet = column.binding == TypeBinding::Fixed
        && column.source == top_level(&name)
        && given.iter().all(|field| field.name != name);
    is_unmet.then_some(column)
}

fn top_level(name: &str) -> ColumnSource {
    ColumnSource::Field(RowPath::Steps(vec![RowPathStep::Name(name.to_owned())]))
}

fn new_column(field: &ColumnField, columns: &[DecodedColumn]) -> DecodedColumn {
    let name = column_names::unique(column_names::snake_case(&field.name), |name| {
        columns.iter().any(|column| column.name == name)
    });
    DecodedColumn {
        name,
        source: top_level(&field.name),
        column_type: field.column_type.clone(),
        nullable: true,
        binding: TypeBinding::Known,
        trace: Trace::default(),
    }
}

/// Whether every value of one type has a place in the other, whatever it is.
fn always_follows(from: &ColumnType, to: &ColumnType) -> bool {
    use ColumnType as T;
    match (from, to) {
        (from, to) if from == to => true,
        (T::Integer, T::Decimal { precision, scale }) => {
            i16::from(*precision) - i16::from(*scale) >= 19
        }
        (T::Integer | T::Boolean | T::Date, T::String) | (T::Integer | T::Boolean, T::Json) => true,
        (T::List(from), T::List(to)) => always_follows(&from.column_type, &to.column_type),
        (T::Struct(from), T::Struct(to)) => from.iter().all(|field| {
            to.iter().any(|wider| {
                wider.name == field.name && always_follows(&field.column_type, &wider.column_type)
            })
        }),
        _ => false,
    }
}

//! Columns while their values come in: plain vectors that a row can be taken back from, turned into Arrow arrays without a copy.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    ListArray, StringArray, StructArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Fields};
use arrow::error::ArrowError;
use runner_plan::arrow::arrow_type;
use runner_plan::model::{ColumnField, ColumnType};

use super::convert;
use super::keys::Keys;
use super::number::{Lexeme, MAX_EXACT_INTEGER};
use super::trace::{Kinds, Trace};
use crate::schema::{TypeBinding, nullable};

/// The values of one column, or of a field or item below one.
#[derive(Debug)]
pub(crate) struct ColumnBuffer {
    column_type: ColumnType,
    pub(crate) binding: Binding,
    /// Kinds of the values taken since the buffer was made.
    pub(crate) seen: Kinds,
    pub(crate) values: Values,
    validity: Validity,
    len: usize,
}

/// How a buffer takes values that aren't of its type's own kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// Converts; what can't be converted makes the row invalid.
    Firm,
    /// Converts; what can't be converted asks for a wider type.
    Known,
    /// Asks for a wider type.
    Open,
    /// Has no type yet: only nulls have been seen, or only objects without fields. Anything else asks for one.
    Unclosed,
}

#[derive(Debug)]
pub(crate) enum Values {
    Boolean(Vec<bool>),
    Integer(Vec<i64>),
    Number(Vec<f64>),
    Decimal {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    Text(Texts),
    Json(Texts),
    Uuid(Texts),
    Binary(Texts),
    Date(Vec<i32>),
    Timestamp(Vec<i64>),
    Time(Vec<i64>),
    List {
        offsets: Vec<i32>,
        item: Box<ColumnBuffer>,
    },
    Struct {
        keys: Box<Keys>,
        children: Vec<ColumnBuffer>,
    },
}

/// A value does not fit its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misfit;

/// Texts one after another.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    /// End of each text.
    ends: Vec<i32>,
}

/// Which rows are not null; nothing is kept while all are.
#[derive(Debug, Default)]
struct Validity(Option<Vec<bool>>);

impl ColumnBuffer {
    pub(crate) fn new(column_type: &ColumnType, binding: TypeBinding, trace: &Trace) -> Self {
        let inner = match binding {
            TypeBinding::Fixed | TypeBinding::Pinned => Binding::Firm,
            TypeBinding::Known => Binding::Known,
            TypeBinding::Open => Binding::Open,
        };
        let values = match column_type {
            ColumnType::Boolean => Values::Boolean(Vec::new()),
            ColumnType::Integer => Values::Integer(Vec::new()),
            ColumnType::Number => Values::Number(Vec::new()),
            ColumnType::Decimal { precision, scale } => Values::Decimal {
                values: Vec::new(),
                precision: *precision,
                scale: *scale,
            },
            ColumnType::String => Values::Text(Texts::default()),
            ColumnType::Json => Values::Json(Texts::default()),
            ColumnType::Uuid => Values::Uuid(Texts::default()),
            ColumnType::Binary => Values::Binary(Texts::default()),
            ColumnType::Date => Values::Date(Vec::new()),
            ColumnType::Timestamp => Values::Timestamp(Vec::new()),
            ColumnType::Time => Values::Time(Vec::new()),
            ColumnType::List(item) => {
                let trace = trace.item.as_deref().cloned().unwrap_or_default();
                Values::List {
                    offsets: vec![0],
                    item: Box::new(Self::new(&item.column_type, binding, &trace)),
                }
            }
            ColumnType::Struct(fields) => Values::Struct {
                keys: Box::new(Keys::of_struct(fields, binding)),
                children: fields
                    .iter()
                    .map(|field| {
                        let trace = trace.known_field(&field.name).cloned().unwrap_or_default();
                        Self::new(&field.column_type, binding, &trace)
                    })
                    .collect(),
            },
        };
        let is_unclosed = inner == Binding::Open
            && match column_type {
                ColumnType::String => trace.is_empty(),
                ColumnType::Json => trace.is_of_empty_objects(),
                _ => false,
            };
        Self {
            column_type: column_type.clone(),
            binding: if is_unclosed {
                Binding::Unclosed
            } else {
                inner
            },
            seen: Kinds::NONE,
            values,
            validity: Validity::default(),
            len: 0,
        }
    }

    /// Makes room for the fixed parts of this many values.
    pub(crate) fn reserve(&mut self, rows: usize) {
        match &mut self.values {
            Values::Boolean(values) => values.reserve(rows),
            Values::Integer(values) | Values::Timestamp(values) | Values::Time(values) => {
                values.reserve(rows);
            }
            Values::Number(values) => values.reserve(rows),
            Values::Decimal { values, .. } => values.reserve(rows),
            Values::Text(texts)
            | Values::Json(texts)
            | Values::Uuid(texts)
            | Values::Binary(texts) => texts.ends.reserve(rows),
            Values::Date(values) => values.reserve(rows),
            Values::List { offsets, .. } => offsets.reserve(rows),
            Values::Struct { children, .. } => {
                for child in children {
                    child.reserve(rows);
                }
            }
        }
    }

    /// An empty buffer of the same column that takes only what converts.
    pub(crate) fn firm(&self) -> Self {
        Self::new(&self.column_type, TypeBinding::Fixed, &Trace::default())
    }

    pub(crate) fn column_type(&self) -> &ColumnType {
        &self.column_type
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Counts the value that was just pushed to [`ColumnBuffer::values`].
    #[inline]
    pub(crate) fn pushed(&mut self) {
        self.len += 1;
        self.validity.push_valid();
    }

    pub(crate) fn push_null(&mut self) {
        match &mut self.values {
            Values::Boolean(values) => values.push(false),
            Values::Integer(values) | Values::Timestamp(values) | Values::Time(values) => {
                values.push(0);
            }
            Values::Number(values) => values.push(0.0),
            Values::Decimal { values, .. } => values.push(0),
            Values::Text(texts)
            | Values::Json(texts)
            | Values::Uuid(texts)
            | Values::Binary(texts) => texts.push(b""),
            Values::Date(values) => values.push(0),
            Values::List { offsets, item } => offsets.push(offset(item.len())),
            Values::Struct { children, .. } => {
                for child in children {
                    child.push_null();
                }
            }
        }
        self.validity.push_null(self.len);
        self.len += 1;
    }

    /// Takes back everything from this row on.
    pub(crate) fn truncate(&mut self, len: usize) {
        // A list's items and a struct's fields may be ahead of it when a row failed within.
        match &mut self.values {
            Values::Boolean(values) => values.truncate(len),
            Values::Integer(values) | Values::Timestamp(values) | Values::Time(values) => {
                values.truncate(len);
            }
            Values::Number(values) => values.truncate(len),
            Values::Decimal { values, .. } => values.truncate(len),
            Values::Text(texts)
            | Values::Json(texts)
            | Values::Uuid(texts)
            | Values::Binary(texts) => texts.truncate(len),
            Values::Date(values) => values.truncate(len),
            Values::List { offsets, item } => {
                offsets.truncate(len + 1);
                let end = offsets.last().copied().unwrap_or(0);
                item.truncate(usize::try_from(end).unwrap_or(0));
            }
            Values::Struct { children, .. } => {
                for child in children {
                    child.truncate(len);
                }
            }
        }
        self.validity.truncate(len);
        self.len = self.len.min(len);
    }

    /// What the values taken since the buffer was made add to the column's trace.
    pub(crate) fn trace(&self) -> Trace {
        let mut trace = Trace::of(self.seen);
        match &self.values {
            Values::List { item, .. } if self.seen.has(Kinds::LIST) => {
                trace.item = Some(Box::new(item.trace()));
            }
            Values::Struct { keys, children } if self.seen.has(Kinds::OBJECT) => {
                for (name, child) in keys.names_of_columns().zip(children) {
                    let child = child.trace();
                    if !child.is_empty() {
                        trace.fields.push((name.to_owned(), child));
                    }
                }
            }
            _ => {}
        }
        trace
    }

    /// Takes an integer that is a double exactly, if the column is one of integers.
    #[inline]
    pub(crate) fn push_short_integer(&mut self, value: i64) -> bool {
        let Values::Integer(values) = &mut self.values else {
            return false;
        };
        values.push(value);
        self.seen.insert(Kinds::NUMBER);
        self.pushed();
        true
    }

    /// Takes a number as JSON writes it.
    #[inline]
    pub(crate) fn push_number(&mut self, number: &Lexeme<'_>) -> Result<(), Misfit> {
        let converts = matches!(self.binding, Binding::Firm | Binding::Known);
        match &mut self.values {
            Values::Integer(values) => {
                let value = match number.integer() {
                    Some(value) => value,
                    None if converts => {
                        self.seen.insert(Kinds::IRREGULAR);
                        number.integral().ok_or(Misfit)?
                    }
                    None => return Err(Misfit),
                };
                self.seen.insert(Kinds::NUMBER);
                if value.unsigned_abs() > MAX_EXACT_INTEGER {
                    self.seen.insert(Kinds::BIG);
                }
                values.push(value);
            }
            Values::Number(values) => {
                values.push(take_double(number, self.binding, &mut self.seen)?);
            }
            Values::Text(texts) | Values::Json(texts) if self.binding != Binding::Unclosed => {
                self.seen.insert(Kinds::NUMBER);
                texts.push(number.text);
            }

            Values::Decimal {
                values,
                precision,
                scale,
            } if converts || number.is_integer() => {
                let value = convert::decimal_of(number, *precision, *scale).ok_or(Misfit)?;
                self.seen.insert(number.kinds());
                values.push(value);
            }
            Values::Timestamp(values) if converts => {
                values.push(super::time::epoch(number).ok_or(Misfit)?);
                self.seen.insert(Kinds::IRREGULAR);
            }
            Values::Date(values) if converts => {
                values.push(convert::date_of_epoch(number).ok_or(Misfit)?);
                self.seen.insert(Kinds::IRREGULAR);
            }
            Values::Boolean(values) if converts => {
                values.push(match number.integral() {
                    Some(0) => false,
                    Some(1) => true,
                    _ => return Err(Misfit),
                });
                self.seen.insert(Kinds::IRREGULAR);
            }
            _ => return Err(Misfit),
        }
        self.pushed();
        Ok(())
    }

    pub(crate) fn push_boolean(&mut self, value: bool) -> Result<(), Misfit> {
        let text: &[u8] = if value { b"true" } else { b"false" };
        match &mut self.values {
            Values::Boolean(values) => values.push(value),
            Values::Text(texts) | Values::Json(texts) if self.binding != Binding::Unclosed => {
                texts.push(text);
            }
            _ => return Err(Misfit),
        }
        self.seen.insert(Kinds::BOOLEAN);
        self.pushed();
        Ok(())
    }

    /// Takes a text by converting it to the column's type. Lists and structs are no scalars: they take none.
    #[inline]
    pub(crate) fn convert_text(&mut self, text: &[u8]) -> Result<(), Misfit> {
        match &mut self.values {
            Values::Text(texts) => texts.push(text),
            Values::Integer(values) => values.push(convert::integer(text).ok_or(Misfit)?),
            Values::Number(values) => values.push(convert::double(text).ok_or(Misfit)?),
            Values::Boolean(values) => values.push(convert::boolean(text).ok_or(Misfit)?),
            Values::Decimal {
                values,
                precision,
                scale,
            } => values.push(convert::decimal(text, *precision, *scale).ok_or(Misfit)?),
            Values::Date(values) => values.push(convert::date(text).ok_or(Misfit)?),
            Values::Timestamp(values) => values.push(convert::timestamp(text).ok_or(Misfit)?),
            Values::Time(values) => values.push(convert::time_of_day(text).ok_or(Misfit)?),
            Values::Uuid(texts) => texts.push(convert::uuid(text).ok_or(Misfit)?.as_bytes()),
            Values::Binary(texts) => texts.push(&convert::binary(text).ok_or(Misfit)?),
            Values::Json(_) | Values::List { .. } | Values::Struct { .. } => return Err(Misfit),
        }
        self.seen.insert(Kinds::IRREGULAR);
        self.pushed();
        Ok(())
    }

    /// The array of the values so far. Every field in it may be null.
    pub(crate) fn finish(self) -> Result<ArrayRef, ArrowError> {
        let nulls = self.validity.finish();
        Ok(match self.values {
            Values::Boolean(values) => {
                Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls))
            }
            Values::Integer(values) => Arc::new(Int64Array::new(values.into(), nulls)),
            Values::Number(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            Values::Decimal {
                values,
                precision,
                scale,
            } => Arc::new(
                Decimal128Array::new(values.into(), nulls)
                    .with_precision_and_scale(precision, scale)?,
            ),
            Values::Text(texts) | Values::Json(texts) | Values::Uuid(texts) => {
                let (offsets, bytes) = texts.finish();
                Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
            }
            Values::Binary(texts) => {
                let (offsets, bytes) = texts.finish();
                Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
            }
            Values::Date(values) => Arc::new(Date32Array::new(values.into(), nulls)),
            Values::Timestamp(values) => {
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone("UTC"))
            }
            Values::Time(values) => Arc::new(Time64MicrosecondArray::new(values.into(), nulls)),
            Values::List { offsets, item } => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let DataType::List(field) = decoded_type(&self.column_type) else {
                    return Err(mismatch(&self.column_type));
                };
                Arc::new(ListArray::try_new(field, offsets, item.finish()?, nulls)?)
            }
            Values::Struct { children, .. } => {
                let DataType::Struct(fields) = decoded_type(&self.column_type) else {
                    return Err(mismatch(&self.column_type));
                };
                struct_array(fields, children, nulls, self.len)?
            }
        })
    }
}

fn take_double(number: &Lexeme<'_>, binding: Binding, seen: &mut Kinds) -> Result<f64, Misfit> {
    if binding == Binding::Firm {
        return number.exact_double().ok_or(Misfit);
    }
    if number.is_integer() {
        let value = number.integer().ok_or(Misfit)?;
        if value.unsigned_abs() > MAX_EXACT_INTEGER {
            return Err(Misfit);
        }
        seen.insert(Kinds::NUMBER);
    } else {
        seen.insert(Kinds::NUMBER.with(Kinds::FRACTION));
        // Asked only until the first that isn't, since it may take formatting the double.
        if !seen.has(Kinds::IRREGULAR) && !number.is_shortest() {
            seen.insert(Kinds::IRREGULAR);
        }
    }
    number.double().ok_or(Misfit)
}

fn struct_array(
    fields: Fields,
    children: Vec<ColumnBuffer>,
    nulls: Option<NullBuffer>,
    len: usize,
) -> Result<ArrayRef, ArrowError> {
    let arrays = children
        .into_iter()
        .map(ColumnBuffer::finish)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(StructArray::try_new_with_length(
        fields, arrays, nulls, len,
    )?))
}

/// The Arrow type of decoded values: nulls are allowed at every depth.
pub(crate) fn decoded_type(column_type: &ColumnType) -> DataType {
    arrow_type(
        &nullable(&ColumnField {
            name: String::new(),
            column_type: column_type.clone(),
            nullable: true,
        })
        .column_type,
    )
}

fn mismatch(column_type: &ColumnType) -> ArrowError {
    ArrowError::SchemaError(format!("`{column_type}` is not the type of its values"))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a batch's texts and items are bounded far below 2^31 by `DecodeOptions::batch_bytes` and `max_document_bytes`, which `PageDecoder::new` checks"
)]
#[inline]
fn offset(len: usize) -> i32 {
    len as i32
}

impl Texts {
    #[inline]
    pub(crate) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(offset(self.bytes.len()));
    }

    /// Lets `write` append a text; nothing is appended where it fails.
    pub(crate) fn push_with<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        self.ends.push(offset(self.bytes.len()));
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        let end = self.ends.last().copied().unwrap_or(0);
        self.bytes.truncate(usize::try_from(end).unwrap_or(0));
    }

    fn finish(self) -> (OffsetBuffer<i32>, Buffer) {
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0);
        offsets.extend_from_slice(&self.ends);
        (
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Buffer::from_vec(self.bytes),
        )
    }
}

impl Validity {
    #[inline]
    fn push_valid(&mut self) {
        if let Some(valid) = &mut self.0 {
            valid.push(true);
        }
    }

    fn push_null(&mut self, len: usize) {
        self.0.get_or_insert_with(|| vec![true; len]).push(false);
    }

    fn truncate(&mut self, len: usize) {
        if let Some(valid) = &mut self.0 {
            valid.truncate(len);
        }
    }

    fn finish(self) -> Option<NullBuffer> {
        let valid = self.0?;
        valid
            .contains(&false)
            .then(|| NullBuffer::from(BooleanBuffer::from(valid)))
    }
}

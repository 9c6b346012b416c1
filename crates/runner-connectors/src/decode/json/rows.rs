//! Rows of JSON into columns.

use runner_core::checkpoint::Observed;
use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::{ColumnSource, ColumnType, RowPath, RowPathStep};

use super::cursor::{Cursor, Stop};
use super::paths::{self, Path};
use super::value::{self, Counting};
use crate::decode::batch::{self, RowReader};
use crate::decode::column::{ColumnBuffer, Values};
use crate::decode::evolution::Sighting;
use crate::decode::keys::{Keys, TypeSet, Unknown};
use crate::decode::text::shortened;
use crate::decode::trace::{Kinds, MAX_STRUCT_FIELDS, Trace};
use crate::rows::{INVALID_TEXT, RawForm, Reason, TYPE_CHANGED};
use crate::schema::{DecodedColumn, SchemaVersion, TypeBinding};

/// Takes rows that are JSON texts.
#[derive(Debug)]
pub(crate) struct JsonRows {
    keys: Keys,
    /// Columns whose values have to be looked for, row by row.
    searched: Vec<(usize, Path)>,
    /// Fields that no column names become columns.
    is_open: bool,
    max_depth: usize,
}

impl JsonRows {
    pub(crate) fn new(max_depth: usize) -> Self {
        Self {
            keys: Keys::default(),
            searched: Vec::new(),
            is_open: false,
            max_depth,
        }
    }

    fn take_searched(&self, row: &[u8], columns: &mut [ColumnBuffer]) -> Result<(), Stop> {
        for (column, path) in &self.searched {
            let found = path.find(row, self.max_depth)?;
            if let Some(bytes) = found.bytes() {
                value::take_cell_json(bytes, &mut columns[*column], self.max_depth)?;
            }
        }
        Ok(())
    }
}

impl RowReader for JsonRows {
    fn bind(&mut self, version: &SchemaVersion) -> Result<()> {
        self.is_open = batch::is_open(version);
        self.keys = Keys::new(if self.is_open {
            Unknown::Ask
        } else {
            Unknown::Drop
        });
        self.searched.clear();
        for (index, column) in version.columns.iter().enumerate() {
            match path_of(column)? {
                Some(Path::Steps(steps)) => match names(&steps) {
                    Some(names) => self.keys.route(&names, index),
                    None => {
                        if let Some(RowPathStep::Name(name)) = steps.first() {
                            self.keys.keep(name);
                        }
                        self.searched.push((index, Path::Steps(steps)));
                    }
                },
                Some(path) => self.searched.push((index, path)),
                None => {}
            }
        }
        Ok(())
    }

    #[inline]
    fn take(
        &mut self,
        bytes: &[u8],
        at: usize,
        columns: &mut [ColumnBuffer],
        len: usize,
    ) -> Result<usize, Stop> {
        let mut cursor = Cursor::new(bytes, at, self.max_depth);
        if cursor.peek()? == b'{' {
            value::take_fields(&mut cursor, &mut self.keys, columns, len, 0)?;
        } else {
            cursor.skip()?;
            // What is no object has no fields: only a column of whole rows can take it.
            if !self
                .searched
                .iter()
                .any(|(_, path)| matches!(path, Path::Row))
            {
                return Err(Stop::Misfit);
            }
        }
        if !self.searched.is_empty() {
            self.take_searched(&bytes[at..cursor.at], columns)?;
        }
        Ok(cursor.at)
    }

    fn sight(&mut self, row: &[u8], version: &SchemaVersion, sighting: &mut Sighting) {
        let mut bytes = row.to_vec();
        bytes.push(b' ');
        // A row that isn't JSON is invalid, whatever it holds.
        let _ = sight(&bytes, version, self.max_depth, sighting);
    }

    fn explain(&mut self, row: &[u8], version: &SchemaVersion) -> Vec<Reason> {
        let mut bytes = row.to_vec();
        bytes.push(b' ');
        explain(&bytes, version, self.max_depth)
    }

    fn observe(&mut self, row: &[u8], columns: &mut [ColumnBuffer]) {
        let mut cursor = Cursor::new(row, 0, self.max_depth);
        // A malformed row is counted as far as it goes.
        let _ = value::observe(&mut cursor, &mut self.keys, columns, Counting::Add);
    }

    fn unobserve(&mut self, bytes: &[u8], at: usize, columns: &mut [ColumnBuffer]) {
        let mut cursor = Cursor::new(bytes, at, self.max_depth);
        // It stops where taking the row did.
        let _ = value::observe(&mut cursor, &mut self.keys, columns, Counting::TakeBack);
    }

    fn forget_observed(&mut self, columns: &mut [ColumnBuffer]) {
        self.keys.reset(columns);
    }

    fn take_observed(&mut self, columns: &mut [ColumnBuffer], observed: &mut Observed) -> u64 {
        let dropped = self.keys.observe("", columns, observed);
        self.keys.reset(columns);
        dropped
    }

    fn form(&self) -> RawForm {
        RawForm::Json
    }
}

/// How a column's values are found in a row; none for those that no row fills.
pub(crate) fn path_of(column: &DecodedColumn) -> Result<Option<Path>> {
    match &column.source {
        ColumnSource::Field(path) => Path::new(path).map(Some).map_err(|cause| {
            Error::new(
                ErrorKind::Spec,
                format!("column `{}` has a JSONPath that can't be read", column.name),
            )
            .with_source(cause)
        }),
        ColumnSource::Row => Ok(Some(Path::Row)),
        ColumnSource::Template(_) | ColumnSource::Variable(_) => Ok(None),
    }
}

/// The path's names, if it has nothing else.
pub(crate) fn names(steps: &[RowPathStep]) -> Option<Vec<&str>> {
    steps
        .iter()
        .map(|step| match step {
            RowPathStep::Name(name) => Some(name.as_str()),
            RowPathStep::Index(_) | RowPathStep::Each => None,
        })
        .collect::<Option<Vec<_>>>()
        .filter(|names| !names.is_empty())
}

fn sight(
    row: &[u8],
    version: &SchemaVersion,
    max_depth: usize,
    sighting: &mut Sighting,
) -> Result<(), Stop> {
    whole_row(row, max_depth)?;
    for column in &version.columns {
        if matches!(column.binding, TypeBinding::Fixed | TypeBinding::Pinned) {
            continue;
        }
        let Ok(Some(path)) = path_of(column) else {
            continue;
        };
        if let Some(value) = path.find(row, max_depth)?.bytes() {
            sighting.column(&column.name, &trace_of(value, max_depth)?);
        }
    }
    if !batch::is_open(version) {
        return Ok(());
    }
    if Cursor::new(row, 0, max_depth).peek()? != b'{' {
        sighting.field(ColumnSource::Row, &trace_of(row, max_depth)?);
        return Ok(());
    }
    for field in paths::fields(row, max_depth)? {
        let Ok(name) = String::from_utf8(field.name) else {
            continue;
        };
        let begins = |column: &DecodedColumn| {
            matches!(&column.source, ColumnSource::Field(RowPath::Steps(steps))
                if steps.first() == Some(&RowPathStep::Name(name.clone())))
        };
        if version.columns.iter().any(begins) {
            sighting.named.insert(name);
            continue;
        }
        if field.seen == TypeSet::NULL {
            continue;
        }
        let trace = trace_of(&row[field.value], max_depth)?;
        let source = ColumnSource::Field(RowPath::Steps(vec![RowPathStep::Name(name)]));
        sighting.field(source, &trace);
    }
    Ok(())
}

/// What a value holds, at every depth.
pub(crate) fn trace_of(value: &[u8], max_depth: usize) -> Result<Trace, Stop> {
    // A value cut out of a row has nothing behind it that ends a number.
    let mut marked = Vec::new();
    let value = match value.last() {
        Some(last) if last.is_ascii_digit() => {
            marked.extend_from_slice(value);
            marked.push(b' ');
            &marked
        }
        _ => value,
    };
    let mut cursor = Cursor::new(value, 0, max_depth);
    let kinds = match cursor.peek()? {
        b'"' => Kinds::TEXT,
        b't' | b'f' => Kinds::BOOLEAN,
        b'n' => Kinds::NONE,
        b'[' => {
            let mut trace = Trace::of(Kinds::LIST);
            for item in paths::items(value, max_depth)? {
                let item = trace_of(&value[item], max_depth)?;
                trace.item.get_or_insert_default().join(&item);
            }
            return Ok(trace);
        }
        b'{' => {
            let mut trace = Trace::of(Kinds::OBJECT);
            for field in paths::fields(value, max_depth)? {
                if field.seen == TypeSet::NULL {
                    continue;
                }
                let below = trace_of(&value[field.value], max_depth)?;
                // One more than a struct may have tells that it is none; the rest of a map's keys is not kept.
                if trace.fields.len() <= MAX_STRUCT_FIELDS {
                    trace
                        .field(&String::from_utf8_lossy(&field.name))
                        .join(&below);
                }
            }
            return Ok(trace);
        }
        _ => match cursor.number() {
            Ok(number) => number.kinds(),
            Err(Stop::Misfit) => Kinds::NONE,
            Err(stop) => return Err(stop),
        },
    };
    Ok(Trace::of(kinds))
}

fn explain(row: &[u8], version: &SchemaVersion, max_depth: usize) -> Vec<Reason> {
    if std::str::from_utf8(row).is_err() {
        return vec![reason(
            INVALID_TEXT,
            None,
            "the row is not UTF-8".to_owned(),
        )];
    }
    let is_object = match whole_row(row, max_depth) {
        Ok(first) => first == b'{',
        Err(stop) => {
            let what = match stop {
                Stop::Syntax { what, .. } => what,
                Stop::Incomplete | Stop::Misfit => "the row ends within a value",
            };
            return vec![reason(
                "malformed",
                None,
                format!("the row is not JSON: {what}"),
            )];
        }
    };
    let mut reasons = repeated_keys(row, max_depth);
    if !reasons.is_empty() {
        return reasons;
    }
    for column in &version.columns {
        let Ok(Some(path)) = path_of(column) else {
            continue;
        };
        let found = path.find(row, max_depth);
        let Ok(Some(value)) = found.as_ref().map(paths::Found::bytes) else {
            continue;
        };
        if let Some((place, value, wanted)) = misfit(value, column, max_depth) {
            reasons.push(not_taken(column, &place, &value, &wanted));
        }
    }
    if reasons.is_empty() && !is_object {
        let message = format!(
            "`{}` is no object, and no column takes whole rows",
            shortened(row.trim_ascii(), 100)
        );
        reasons.push(reason("not_convertible", None, message));
    }
    if reasons.is_empty() {
        reasons.push(reason(
            "not_convertible",
            None,
            "the row does not fit its columns".to_owned(),
        ));
    }
    reasons
}

/// The row's first byte, if the row is one value.
fn whole_row(row: &[u8], max_depth: usize) -> Result<u8, Stop> {
    let mut cursor = Cursor::new(row, 0, max_depth);
    let first = cursor.peek()?;
    if first == b'{' {
        paths::fields(row, max_depth)?;
    }
    cursor.skip()?;
    match cursor.peek() {
        Err(Stop::Incomplete) => Ok(first),
        _ => Err(cursor.syntax("something follows the value")),
    }
}

/// Where below a column a value does not fit, the value, and the type that was wanted.
fn misfit(
    value: &[u8],
    column: &DecodedColumn,
    max_depth: usize,
) -> Option<(String, String, ColumnType)> {
    let mut buffer = ColumnBuffer::new(&column.column_type, column.binding, &column.trace);
    if value::take_cell_json(value, &mut buffer, max_depth).is_ok() {
        return None;
    }
    Some(deepest(value, &buffer.firm(), String::new(), max_depth))
}

/// Follows a value that does not fit down to the piece of it that does not.
fn deepest(
    value: &[u8],
    buffer: &ColumnBuffer,
    place: String,
    max_depth: usize,
) -> (String, String, ColumnType) {
    let fits = |value: &[u8], buffer: &ColumnBuffer| {
        value::take_cell_json(value, &mut buffer.firm(), max_depth).is_ok()
    };
    match &buffer.values {
        Values::List { item, .. } => {
            for (index, range) in paths::items(value, max_depth)
                .unwrap_or_default()
                .into_iter()
                .enumerate()
            {
                if !fits(&value[range.clone()], item) {
                    return deepest(&value[range], item, format!("{place}[{index}]"), max_depth);
                }
            }
        }
        Values::Struct { keys, children } => {
            let fields = paths::fields(value, max_depth).unwrap_or_default();
            for (name, child) in keys.names_of_columns().zip(children) {
                for field in fields.iter().filter(|field| field.name == name.as_bytes()) {
                    let below = &value[field.value.clone()];
                    if !fits(below, child) {
                        return deepest(below, child, format!("{place}.{name}"), max_depth);
                    }
                }
            }
        }
        _ => {}
    }
    (place, shortened(value, 100), buffer.column_type().clone())
}

/// The reason why a value is not in its column.
pub(crate) fn not_taken(
    column: &DecodedColumn,
    place: &str,
    value: &str,
    wanted: &ColumnType,
) -> Reason {
    let code = match column.binding {
        TypeBinding::Fixed => "not_convertible",
        TypeBinding::Pinned | TypeBinding::Known | TypeBinding::Open => TYPE_CHANGED,
    };
    let name = format!("{}{place}", column.name);
    let message = format!("`{value}` can't be converted to {wanted} without loss");
    reason(code, Some(name), message)
}

pub(crate) fn reason(code: &str, column: Option<String>, message: String) -> Reason {
    Reason {
        code: code.to_owned(),
        column,
        message,
    }
}

fn repeated_keys(row: &[u8], max_depth: usize) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for field in paths::fields(row, max_depth).unwrap_or_default() {
        let name = String::from_utf8_lossy(&field.name).into_owned();
        if !seen.insert(field.name) {
            let message = format!(
                "the key `{}` is there twice, and which one counts is nowhere said",
                shortened(name.as_bytes(), 100)
            );
            reasons.push(reason("duplicate_key", Some(name), message));
        }
    }
    reasons
}

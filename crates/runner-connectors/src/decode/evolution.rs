//! How a stream's columns follow what its rows turn out to hold.

use std::collections::BTreeSet;

use runner_plan::model::{ColumnField, ColumnSource, ColumnType, RowPath, RowPathStep};

use super::names;
use super::trace::{Kinds, Trace, wider};
use crate::schema::{DecodedColumn, SchemaVersion, StreamSchema, TypeBinding};

/// A stream with more columns than this has values for keys: fields beyond it are dropped, and counted.
pub(crate) const MAX_COLUMNS: usize = 2000;

/// What a batch holds, as far as it may change the columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sighting {
    /// By column name.
    pub(crate) columns: Vec<(String, Trace)>,
    /// Fields (or whole rows) that no column names, by where they are.
    pub(crate) fields: Vec<(ColumnSource, Trace)>,
    /// Fields that columns are named after, as they came: no other field takes their place.
    pub(crate) named: BTreeSet<String>,
}

impl Sighting {
    pub(crate) fn column(&mut self, name: &str, trace: &Trace) {
        if trace.is_empty() {
            return;
        }
        match self.columns.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.join(trace),
            None => self.columns.push((name.to_owned(), trace.clone())),
        }
    }

    pub(crate) fn field(&mut self, source: ColumnSource, trace: &Trace) {
        if trace.is_empty() {
            return;
        }
        match self.fields.iter_mut().find(|(known, _)| *known == source) {
            Some((_, known)) => known.join(trace),
            None => self.fields.push((source, trace.clone())),
        }
    }
}

/// What [`change`] makes of a schema.
pub(crate) struct Change {
    /// Absent where nothing changes.
    pub(crate) columns: Option<Vec<DecodedColumn>>,
    /// Rows that were delivered can't follow: why.
    pub(crate) start_over: Option<String>,
}

/// The columns after what was sighted; `delivered` is what is known of the values that were delivered with the columns as they are.
pub(crate) fn change(
    schema: &StreamSchema,
    current: &SchemaVersion,
    delivered: &[(String, Trace)],
    sighting: &Sighting,
) -> Change {
    let mut columns = current.columns.clone();
    let mut start_over = None;
    for (name, seen) in &sighting.columns {
        let Some(column) = columns.iter_mut().find(|column| column.name == *name) else {
            continue;
        };
        let delivered = delivered.iter().find(|(known, _)| known == name);
        let reason = widen(schema, column, delivered.map(|(_, trace)| trace), seen);
        start_over = start_over.or(reason);
    }
    for (source, seen) in &sighting.fields {
        // Another chain may have made it a column since.
        let known = columns.iter().position(|column| column.source == *source);
        if let Some(index) = known {
            let column = &mut columns[index];
            let delivered = delivered.iter().find(|(known, _)| *known == column.name);
            let reason = widen(schema, column, delivered.map(|(_, trace)| trace), seen);
            start_over = start_over.or(reason);
        } else if let Some(column) = awaiting(&mut columns, source, sighting) {
            column.source = source.clone();
        } else if columns.len() < MAX_COLUMNS {
            add(&mut columns, source, seen);
        }
    }
    Change {
        columns: (columns != current.columns).then_some(columns),
        start_over,
    }
}

/// The column of the contract that a field is meant for, by its name in snake_case, where none of the name itself came.
fn awaiting<'a>(
    columns: &'a mut [DecodedColumn],
    source: &ColumnSource,
    sighting: &Sighting,
) -> Option<&'a mut DecodedColumn> {
    let name = names::snake_case(top_level(source)?);
    let column = columns.iter_mut().find(|column| column.name == name)?;
    let is_unmet = column.binding == TypeBinding::Fixed
        && top_level(&column.source) == Some(name.as_str())
        && !sighting.named.contains(&name);
    is_unmet.then_some(column)
}

/// The field that a source is, where it is one of the row itself.
fn top_level(source: &ColumnSource) -> Option<&str> {
    match source {
        ColumnSource::Field(RowPath::Steps(steps)) => match steps.as_slice() {
            [RowPathStep::Name(name)] => Some(name),
            _ => None,
        },
        _ => None,
    }
}

fn add(columns: &mut Vec<DecodedColumn>, source: &ColumnSource, seen: &Trace) {
    let name = match (source, top_level(source)) {
        (_, Some(name)) => names::snake_case(name),
        (ColumnSource::Field(_), None) => "field".to_owned(),
        _ => "value".to_owned(),
    };
    let name = names::unique(name, |name| {
        columns.iter().any(|column| column.name == name)
    });
    columns.push(DecodedColumn {
        name,
        source: source.clone(),
        column_type: seen.column_type(),
        nullable: true,
        binding: TypeBinding::Open,
        trace: seen.clone(),
    });
}

/// Widens a column to what was seen, and says why rows that were delivered can't follow, if they can't.
fn widen(
    schema: &StreamSchema,
    column: &mut DecodedColumn,
    delivered: Option<&Trace>,
    seen: &Trace,
) -> Option<String> {
    if matches!(column.binding, TypeBinding::Fixed | TypeBinding::Pinned)
        || column.trace.covers(seen)
    {
        return None;
    }
    let mut trace = column.trace.clone();
    trace.join(seen);
    let column_type = needed(column, &trace);
    if column_type != column.column_type {
        let from = column.field();
        let to = ColumnField {
            column_type: column_type.clone(),
            ..from.clone()
        };
        // A column that nothing has been seen of has no type yet that a target could hold on to.
        let is_closed = column.binding == TypeBinding::Known || !column.trace.is_empty();
        if is_closed && !schema.allows(&from, &to) {
            column.binding = TypeBinding::Pinned;
            return None;
        }
    }
    let can_follow =
        delivered.is_none_or(|delivered| delivered.can_become(&column.column_type, &column_type));
    let reason = (!can_follow).then(|| cannot_follow(column, &column_type));
    column.column_type = column_type;
    column.trace = trace;
    reason
}

/// Why a stream starts over.
pub(crate) fn cannot_follow(column: &DecodedColumn, needed: &ColumnType) -> String {
    format!(
        "column `{}` was read as {} before rows came that need {needed}, and what was read can't be written that way exactly",
        column.name, column.column_type
    )
}

fn needed(column: &DecodedColumn, trace: &Trace) -> ColumnType {
    match column.binding {
        TypeBinding::Open => trace.column_type(),
        // Values that were converted leave no kind of their own.
        _ if !trace.has_values() => column.column_type.clone(),
        _ if column.column_type == ColumnType::Number && trace.kinds.has(Kinds::BIG) => {
            ColumnType::String
        }
        _ => wider(&column.column_type, &trace.column_type()),
    }
}

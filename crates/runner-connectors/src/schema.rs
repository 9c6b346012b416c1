//! The columns of a stream while it is read, shared by everything that reads it.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use runner_core::checkpoint::SchemaRecord;
pub use runner_plan::arrow::{LOGICAL_TYPE, arrow_schema, arrow_type};
use runner_plan::model::{Column, ColumnField, ColumnSource, ColumnType, Columns, TypeOrigin};

pub use crate::decode::Trace;
use crate::decode::evolution::{self, Change, Sighting};

/// One column that a decoder fills.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodedColumn {
    pub name: String,
    pub source: ColumnSource,
    pub column_type: ColumnType,
    pub nullable: bool,
    pub binding: TypeBinding,
    /// What this run has seen of its values.
    pub trace: Trace,
}

/// How firmly a column holds its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeBinding {
    /// The contract or the document fixes it: a value is converted where nothing is lost, else its row is invalid (`not_convertible`).
    Fixed,
    /// The target could not follow a widening: as `Fixed`, but the reason is `type_changed`.
    Pinned,
    /// From an earlier run or a probe: a value is converted where nothing is lost, else the column is widened.
    Known,
    /// From what this run has seen: a value of another kind widens it.
    Open,
}

/// The columns at one version. Versions only grow, and each is wider than the one before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchemaVersion {
    pub version: u32,
    pub columns: Vec<DecodedColumn>,
    /// Fields that no column names become columns when they are first seen.
    pub is_open: bool,
}

/// Says whether every target of the stream can take a column of the second type where it has the first.
pub type WideningGuard = Arc<dyn Fn(&ColumnField, &ColumnField) -> bool + Send + Sync>;

/// A stream's columns, shared by its chains: what one widens, all the others see at their next batch.
#[derive(Clone)]
pub struct StreamSchema {
    state: Arc<Mutex<State>>,
    guard: Option<WideningGuard>,
}

struct State {
    /// Never empty; every version since this process began, so that batches and parts of earlier ones can be widened.
    versions: Vec<Arc<SchemaVersion>>,
    /// What is known of the values that were delivered, by column.
    delivered: Vec<(String, Trace)>,
    start_over: Option<String>,
}

impl State {
    fn current(&self) -> Arc<SchemaVersion> {
        self.versions.last().map(Arc::clone).unwrap_or_default()
    }

    fn replace(&mut self, columns: Option<Vec<DecodedColumn>>) -> Arc<SchemaVersion> {
        let current = self.current();
        let Some(columns) = columns else {
            return current;
        };
        let next = Arc::new(SchemaVersion {
            version: current.version + 1,
            columns,
            is_open: current.is_open,
        });
        self.versions.push(Arc::clone(&next));
        next
    }
}

impl std::fmt::Debug for StreamSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamSchema")
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}

impl StreamSchema {
    /// Rows of what the columns have a trace of count as delivered: they were, where the columns are those of a resumed job.
    pub fn new(initial: SchemaVersion) -> Self {
        let delivered = initial
            .columns
            .iter()
            .map(|column| (column.name.clone(), column.trace.clone()))
            .collect();
        Self {
            state: Arc::new(Mutex::new(State {
                versions: vec![Arc::new(initial)],
                delivered,
                start_over: None,
            })),
            guard: None,
        }
    }

    /// Asks before a column is widened; a column that can't be is pinned to its type.
    #[must_use]
    pub fn with_guard(mut self, guard: WideningGuard) -> Self {
        self.guard = Some(guard);
        self
    }

    pub fn current(&self) -> Arc<SchemaVersion> {
        self.state().current()
    }

    /// The columns of an earlier version, if this process has seen it.
    pub fn version(&self, version: u32) -> Option<Arc<SchemaVersion>> {
        let state = self.state();
        state
            .versions
            .iter()
            .rev()
            .find(|known| known.version == version)
            .map(Arc::clone)
    }

    /// Set once rows were delivered whose columns can't follow a widening (a `2.0` stored as a double, and now the column is
    /// text): decoders fail from then on. Everything read of the stream has to be forgotten and read again,
    /// with a schema made of [`StreamSchema::current`], which is wide enough. The text says why, for people.
    pub fn start_over(&self) -> Option<String> {
        self.state().start_over.clone()
    }

    /// Replaces the columns by what `change` makes of them, if it makes anything, and returns the version that stands then.
    pub fn evolve(
        &self,
        change: impl FnOnce(&SchemaVersion) -> Option<Vec<DecodedColumn>>,
    ) -> Arc<SchemaVersion> {
        let mut state = self.state();
        let columns = change(&state.current());
        state.replace(columns)
    }

    pub(crate) fn evolve_or_start_over(
        &self,
        change: impl FnOnce(&SchemaVersion) -> Change,
    ) -> Arc<SchemaVersion> {
        let mut state = self.state();
        let change = change(&state.current());
        if state.start_over.is_none() {
            state.start_over = change.start_over;
        }
        state.replace(change.columns)
    }

    /// Makes the columns as wide as what was sighted needs.
    pub(crate) fn absorb(&self, sighting: &Sighting) -> Arc<SchemaVersion> {
        self.absorb_into(&mut self.state(), sighting)
    }

    /// As [`StreamSchema::absorb`], for rows that are delivered unless columns turn out to take other values than in `version`.
    pub(crate) fn deliver(
        &self,
        sighting: &Sighting,
        version: &SchemaVersion,
    ) -> Arc<SchemaVersion> {
        let mut state = self.state();
        let next = self.absorb_into(&mut state, sighting);
        if next.decodes_like(version) {
            for (name, trace) in &sighting.columns {
                match state.delivered.iter_mut().find(|(known, _)| known == name) {
                    Some((_, known)) => known.join(trace),
                    None => state.delivered.push((name.clone(), trace.clone())),
                }
            }
        }
        next
    }

    fn absorb_into(&self, state: &mut State, sighting: &Sighting) -> Arc<SchemaVersion> {
        let change = evolution::change(self, &state.current(), &state.delivered, sighting);
        if state.start_over.is_none() {
            state.start_over = change.start_over;
        }
        state.replace(change.columns)
    }

    /// Whether the targets can take a column of the second type where they have the first.
    pub(crate) fn allows(&self, from: &ColumnField, to: &ColumnField) -> bool {
        self.guard.as_ref().is_none_or(|guard| guard(from, to))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic elsewhere can't leave the state half written: a version is pushed whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SchemaVersion {
    /// The columns that the plan knows, as far as a barrier of this job has already taken them.
    pub fn of_plan(columns: &Columns, stored: Option<&SchemaRecord>) -> Self {
        let planned = columns.known.iter().map(DecodedColumn::of_plan);
        let Some(record) = stored else {
            return Self {
                version: 0,
                columns: planned.collect(),
                is_open: columns.pass_through,
            };
        };
        let mut resumed: Vec<DecodedColumn> = planned
            .map(|column| match record.index_of(&column.name) {
                Some(index) => {
                    let column = column.resumed(record, index);
                    if columns.pass_through {
                        column.read_from(record, index)
                    } else {
                        column
                    }
                }
                None => column,
            })
            .collect();
        for (index, field) in record.columns.iter().enumerate() {
            if resumed.iter().any(|column| column.name == field.name) {
                continue;
            }
            let Some(source) = record.sources.get(index) else {
                continue;
            };
            let found = DecodedColumn {
                name: field.name.clone(),
                source: source.clone(),
                column_type: field.column_type.clone(),
                nullable: field.nullable,
                binding: TypeBinding::Open,
                trace: Trace::default(),
            };
            resumed.push(found.resumed(record, index));
        }
        Self {
            version: record.version,
            columns: resumed,
            is_open: columns.pass_through,
        }
    }

    pub fn fields(&self) -> Vec<ColumnField> {
        self.columns.iter().map(DecodedColumn::field).collect()
    }

    /// What a barrier stores, and what [`SchemaVersion::of_plan`] takes up again.
    pub fn record(&self) -> SchemaRecord {
        SchemaRecord {
            version: self.version,
            columns: self.fields(),
            sources: self
                .columns
                .iter()
                .map(|column| column.source.clone())
                .collect(),
            traces: self
                .columns
                .iter()
                .map(|column| serde_json::to_value(&column.trace).unwrap_or_default())
                .collect(),
        }
    }

    /// Whether the two have the same columns: batches of one are batches of the other.
    pub fn has_same_columns(&self, other: &Self) -> bool {
        self.columns.len() == other.columns.len()
            && self.columns.iter().zip(&other.columns).all(|(own, other)| {
                own.column_type == other.column_type
                    && own.name == other.name
                    && own.nullable == other.nullable
            })
    }

    /// Whether the columns of the two take the same values.
    pub(crate) fn decodes_like(&self, other: &Self) -> bool {
        self.has_same_columns(other)
            && self.columns.iter().zip(&other.columns).all(|(own, other)| {
                own.binding == other.binding
                    && own.source == other.source
                    && (own.binding != TypeBinding::Open
                        || own.trace.is_as_closed_as(&other.trace, &own.column_type))
            })
    }

    pub fn arrow(&self) -> SchemaRef {
        arrow_schema(&self.fields())
    }

    /// The columns of decoded batches: every one may hold nulls, at every depth. Whether one may is a check, and the check's rows
    /// have to be held by something.
    pub fn decoded_fields(&self) -> Vec<ColumnField> {
        self.columns
            .iter()
            .map(|column| nullable(&column.field()))
            .collect()
    }

    /// The schema of decoded batches, see [`SchemaVersion::decoded_fields`].
    pub fn decoded(&self) -> SchemaRef {
        arrow_schema(&self.decoded_fields())
    }
}

impl DecodedColumn {
    /// A column of the plan before its first row. An open one is `string` until a value is seen.
    pub fn of_plan(column: &Column) -> Self {
        let binding = match column.origin {
            TypeOrigin::Contract | TypeOrigin::Document => TypeBinding::Fixed,
            TypeOrigin::Stored | TypeOrigin::Sample => TypeBinding::Known,
            TypeOrigin::Open => TypeBinding::Open,
        };
        Self {
            name: column.name.clone(),
            source: column.source.clone(),
            column_type: column.column_type.clone().unwrap_or(ColumnType::String),
            nullable: column.nullable,
            binding: if column.column_type.is_some() {
                binding
            } else {
                TypeBinding::Open
            },
            trace: Trace::default(),
        }
    }

    pub fn field(&self) -> ColumnField {
        ColumnField {
            name: self.name.clone(),
            column_type: self.column_type.clone(),
            nullable: self.nullable,
        }
    }

    /// The field that the column was read from before: names in snake_case don't tell, and those that fell together least of all.
    fn read_from(mut self, record: &SchemaRecord, index: usize) -> Self {
        if let (ColumnSource::Field(_), Some(source @ ColumnSource::Field(_))) =
            (&self.source, record.sources.get(index))
        {
            self.source = source.clone();
        }
        self
    }

    fn resumed(mut self, record: &SchemaRecord, index: usize) -> Self {
        if let Some(field) = record.columns.get(index) {
            self.column_type = field.column_type.clone();
        }
        // A trace that can't be read is one of a later version: the type alone still decodes.
        self.trace = record
            .traces
            .get(index)
            .and_then(|trace| serde_json::from_value(trace.clone()).ok())
            .unwrap_or_default();
        self
    }
}

/// The field with nulls allowed in it and in everything below it.
pub(crate) fn nullable(field: &ColumnField) -> ColumnField {
    ColumnField {
        name: field.name.clone(),
        column_type: match &field.column_type {
            ColumnType::List(item) => ColumnType::List(Box::new(nullable(item))),
            ColumnType::Struct(fields) => ColumnType::Struct(fields.iter().map(nullable).collect()),
            other => other.clone(),
        },
        nullable: true,
    }
}

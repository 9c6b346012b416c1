//! Records of CSV into columns.

use std::sync::Arc;

use runner_core::Result;
use runner_core::checkpoint::{Observed, ObservedField};
use runner_plan::model::{ColumnSource, RowPath, RowPathStep};

use super::CsvForm;
use super::cells;
use super::record::FieldFault;
use crate::decode::batch::{self, RowReader};
use crate::decode::column::{ColumnBuffer, Misfit};
use crate::decode::evolution::Sighting;
use crate::decode::json::{Path, Stop, names, not_taken, path_of, reason, take_cell_json};
use crate::decode::text::shortened;
use crate::decode::trace::{Kinds, Trace};
use crate::rows::{INVALID_TEXT, RawForm, Reason};
use crate::schema::{DecodedColumn, SchemaVersion};

/// Takes rows that are records.
#[derive(Debug)]
pub(crate) struct CsvRows {
    form: Arc<CsvForm>,
    /// By field.
    targets: Vec<Target>,
    /// Columns whose values have to be looked for in the row as JSON.
    searched: Vec<(usize, Path)>,
    seen: Vec<Counts>,
    max_depth: usize,
}

#[derive(Debug)]
enum Target {
    Column(usize),
    Several(Vec<usize>),
    /// Asks for a column, unless it is null.
    Ask,
    Drop,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    present: u64,
    nulls: u64,
}

impl CsvRows {
    pub(crate) fn new(form: CsvForm, max_depth: usize) -> Self {
        Self {
            form: Arc::new(form),
            targets: Vec::new(),
            searched: Vec::new(),
            seen: Vec::new(),
            max_depth,
        }
    }

    pub(crate) fn form(&self) -> &CsvForm {
        &self.form
    }

    /// The header is known: columns find their fields by it.
    pub(crate) fn name(
        &mut self,
        fields: impl Iterator<Item = String>,
        version: &SchemaVersion,
    ) -> Result<()> {
        Arc::make_mut(&mut self.form).name(fields);
        self.bind(version)
    }

    #[inline]
    fn take_field(
        &mut self,
        index: usize,
        text: &[u8],
        behind: &[u8],
        is_quoted: bool,
        columns: &mut [ColumnBuffer],
    ) -> Result<(), Misfit> {
        let is_null = self.form.is_null(text, is_quoted);
        let counts = &mut self.seen[index];
        if is_null {
            counts.nulls += 1;
        } else {
            counts.present += 1;
        }
        match &self.targets[index] {
            Target::Column(column) => {
                let column = &mut columns[*column];
                if is_null {
                    column.push_null();
                } else {
                    cells::take(text, behind, column, self.max_depth)?;
                }
            }
            Target::Several(wanted) => {
                for column in wanted {
                    let column = &mut columns[*column];
                    if is_null {
                        column.push_null();
                    } else {
                        cells::take(text, behind, column, self.max_depth)?;
                    }
                }
            }
            Target::Ask if !is_null => return Err(Misfit),
            Target::Ask | Target::Drop => {}
        }
        Ok(())
    }

    fn take_searched(&self, row: &[u8], columns: &mut [ColumnBuffer]) -> Result<(), Stop> {
        let json = self.form.json(row);
        for (column, path) in &self.searched {
            if let Some(value) = path.find(json.as_bytes(), self.max_depth)?.bytes() {
                take_cell_json(value, &mut columns[*column], self.max_depth)?;
            }
        }
        Ok(())
    }

    /// The field that a column takes, if it takes one.
    fn field_of(&self, column: &DecodedColumn) -> Option<usize> {
        let ColumnSource::Field(RowPath::Steps(steps)) = &column.source else {
            return None;
        };
        // A header may hold dots, which a path takes for steps.
        let name = names(steps)?.join(".");
        self.form.names.iter().position(|field| *field == name)
    }
}

impl RowReader for CsvRows {
    fn bind(&mut self, version: &SchemaVersion) -> Result<()> {
        let unknown = batch::is_open(version);
        self.targets = self
            .form
            .names
            .iter()
            .map(|_| if unknown { Target::Ask } else { Target::Drop })
            .collect();
        self.seen.resize(self.form.names.len(), Counts::default());
        self.searched.clear();
        for (index, column) in version.columns.iter().enumerate() {
            if let Some(field) = self.field_of(column) {
                self.targets[field] =
                    match std::mem::replace(&mut self.targets[field], Target::Drop) {
                        Target::Column(other) => Target::Several(vec![other, index]),
                        Target::Several(mut columns) => {
                            columns.push(index);
                            Target::Several(columns)
                        }
                        Target::Ask | Target::Drop => Target::Column(index),
                    };
                continue;
            }
            match path_of(column)? {
                // A field that the file doesn't have is null.
                Some(Path::Steps(steps)) if names(&steps).is_some() => {}
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
        _len: usize,
    ) -> Result<usize, Stop> {
        let dialect = self.form.dialect;
        let count = self.targets.len();
        let mut start = at;
        let mut index = 0;
        let end = loop {
            let field = match dialect.field(bytes, start) {
                Ok(field) => field,
                Err(FieldFault::Incomplete) => return Err(Stop::Incomplete),
                Err(FieldFault::AfterQuote) => return Err(Stop::Misfit),
            };
            if index == count {
                return Err(Stop::Misfit);
            }
            if field.has_escapes {
                let mut text = dialect.text(bytes, &field);
                let length = text.len();
                text.push(b'\n');
                self.take_field(index, &text[..length], &text, true, columns)?;
            } else {
                let text = &bytes[field.text.clone()];
                let behind = &bytes[field.text.start..];
                self.take_field(index, text, behind, field.is_quoted, columns)?;
            }
            index += 1;
            if bytes[field.end] != dialect.delimiter {
                break field.end;
            }
            start = field.end + 1;
        };
        if index != count {
            return Err(Stop::Misfit);
        }
        if !self.searched.is_empty() {
            self.take_searched(&bytes[at..end], columns)?;
        }
        Ok(end)
    }

    fn sight(&mut self, row: &[u8], version: &SchemaVersion, sighting: &mut Sighting) {
        let fields = self.form.dialect.fields(row);
        if fields.len() != self.targets.len() {
            return;
        }
        for (name, target) in self.form.names.iter().zip(&self.targets) {
            if !matches!(target, Target::Ask | Target::Drop) {
                sighting.named.insert(name.clone());
            }
        }
        for (index, (text, is_quoted)) in fields.iter().enumerate() {
            if self.form.is_null(text, *is_quoted) {
                continue;
            }
            let trace = Trace::of(cells::kinds_of(text));
            match &self.targets[index] {
                Target::Column(column) => sighting.column(&version.columns[*column].name, &trace),
                Target::Several(columns) => {
                    for column in columns {
                        sighting.column(&version.columns[*column].name, &trace);
                    }
                }
                Target::Ask => {
                    let name = RowPathStep::Name(self.form.names[index].clone());
                    sighting.field(ColumnSource::Field(RowPath::Steps(vec![name])), &trace);
                }
                Target::Drop => {}
            }
        }
    }

    fn explain(&mut self, row: &[u8], version: &SchemaVersion) -> Vec<Reason> {
        if std::str::from_utf8(row).is_err() {
            return vec![reason(
                INVALID_TEXT,
                None,
                "the row is not UTF-8".to_owned(),
            )];
        }
        let fields = self.form.dialect.fields(row);
        if fields.len() != self.targets.len() {
            let plural = if fields.len() == 1 { "" } else { "s" };
            let message = format!(
                "the row has {} field{plural} instead of {}",
                fields.len(),
                self.targets.len()
            );
            return vec![reason("malformed", None, message)];
        }
        let mut reasons = Vec::new();
        for column in &version.columns {
            let Some((text, is_quoted)) = self.field_of(column).and_then(|index| fields.get(index))
            else {
                continue;
            };
            if self.form.is_null(text, *is_quoted) {
                continue;
            }
            let mut buffer = ColumnBuffer::new(&column.column_type, column.binding, &column.trace);
            let mut behind = text.clone();
            behind.push(b'\n');
            if cells::take(text, &behind, &mut buffer, self.max_depth).is_err() {
                reasons.push(not_taken(
                    column,
                    "",
                    &shortened(text, 100),
                    &column.column_type,
                ));
            }
        }
        if reasons.is_empty() {
            let message = "something stands between a closing quote and the delimiter".to_owned();
            reasons.push(reason("malformed", None, message));
        }
        reasons
    }

    fn observe(&mut self, row: &[u8], _columns: &mut [ColumnBuffer]) {
        for (index, (text, is_quoted)) in self.form.dialect.fields(row).iter().enumerate() {
            let is_null = self.form.is_null(text, *is_quoted);
            if let Some(counts) = self.seen.get_mut(index) {
                if is_null {
                    counts.nulls += 1;
                } else {
                    counts.present += 1;
                }
            }
        }
    }

    fn unobserve(&mut self, bytes: &[u8], at: usize, _columns: &mut [ColumnBuffer]) {
        let dialect = self.form.dialect;
        let mut start = at;
        for counts in &mut self.seen {
            let Ok(field) = dialect.field(bytes, start) else {
                return;
            };
            let text = &bytes[field.text.clone()];
            if self.form.is_null(text, field.is_quoted) {
                counts.nulls = counts.nulls.saturating_sub(1);
            } else {
                counts.present = counts.present.saturating_sub(1);
            }
            if bytes[field.end] != dialect.delimiter {
                return;
            }
            start = field.end + 1;
        }
    }

    fn forget_observed(&mut self, _columns: &mut [ColumnBuffer]) {
        self.seen.fill(Counts::default());
    }

    fn take_observed(&mut self, columns: &mut [ColumnBuffer], observed: &mut Observed) -> u64 {
        let mut dropped = 0;
        for (index, counts) in self.seen.iter_mut().enumerate() {
            let counts = std::mem::take(counts);
            if counts.present + counts.nulls == 0 {
                continue;
            }
            let kinds = match &self.targets[index] {
                Target::Column(column) => columns[*column].seen,
                Target::Several(_) | Target::Ask => Kinds::TEXT,
                Target::Drop => {
                    dropped += counts.present;
                    Kinds::TEXT
                }
            };
            let field = observed
                .fields
                .entry(self.form.names[index].clone())
                .or_default();
            field.present += counts.present;
            field.nulls += counts.nulls;
            if counts.present > 0 {
                add_types(field, kinds);
            }
        }
        dropped
    }

    fn form(&self) -> RawForm {
        RawForm::Csv(Arc::clone(&self.form))
    }
}

/// What texts are, as far as a column without a fixed type has told it.
fn add_types(field: &mut ObservedField, kinds: Kinds) {
    let name = if kinds.has(Kinds::TEXT) || kinds.has(Kinds::DATE) || kinds.has(Kinds::TIMESTAMP) {
        "string"
    } else if kinds.has(Kinds::FRACTION) {
        "number"
    } else if kinds.has(Kinds::NUMBER) {
        "integer"
    } else if kinds.has(Kinds::BOOLEAN) {
        "boolean"
    } else {
        "string"
    };
    if let Err(at) = field
        .types
        .binary_search_by(|known| known.as_str().cmp(name))
    {
        field.types.insert(at, name.to_owned());
    }
}

//! Field mapping: which field of a row becomes which column.

use std::collections::BTreeSet;

use runner_spec::model::{Contract, Endpoint};
use runner_spec::{Code, FieldPath};

use super::findings::Findings;
use super::row_paths::{parse_field_path, path_text};
use crate::model::{RowPath, RowPathStep};
use crate::names::snake_case;
use crate::template::Template;

/// The mapping of one endpoint, the right way round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapping {
    pub(crate) entries: Vec<MappingEntry>,
    /// No mapping was given.
    pub(crate) is_pass_through: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct MappingEntry {
    pub(crate) column: String,
    /// The field as the document writes it.
    pub(crate) field: String,
    pub(crate) source: EntrySource,
    pub(crate) path: FieldPath,
}

#[derive(Clone, Debug)]
pub(crate) enum EntrySource {
    Field(RowPath),
    Template(Template),
}

impl Mapping {
    pub(crate) fn new(
        endpoint: &Endpoint,
        path: &FieldPath,
        contract: Option<&Contract>,
        fields_seen: Option<&BTreeSet<String>>,
        findings: &mut Findings,
    ) -> Self {
        if endpoint.field_mapping.is_empty() {
            return Self {
                entries: Vec::new(),
                is_pass_through: true,
            };
        }
        let path = path.key("field_mapping");
        let seen = fields_seen.filter(|seen| !seen.is_empty());
        let is_reversed = match seen.and_then(|seen| is_reversed_by_rows(endpoint, seen)) {
            Some(true) => {
                findings.hint(
                    Code::ReversedMapping,
                    &path,
                    "the rows have the fields on the right: the mapping is read as `column: field`"
                        .to_owned(),
                );
                true
            }
            Some(false) => false,
            None => runner_spec::is_reversed(
                &endpoint.field_mapping,
                contract,
                &endpoint.validation_rules,
            ),
        };
        let entries = endpoint
            .field_mapping
            .iter()
            .map(|(key, value)| entry(key, value, is_reversed, &path))
            .collect();
        Self {
            entries,
            is_pass_through: false,
        }
    }

    /// The column that a name stands for: the column itself, or the field that is mapped to it.
    pub(crate) fn resolve(&self, name: &str) -> Option<&str> {
        let by_column = self.entries.iter().find(|entry| entry.column == name);
        let found = by_column.or_else(|| self.entries.iter().find(|entry| entry.is_from(name)));
        found.map(|entry| entry.column.as_str())
    }

    /// Like [`Mapping::resolve`]; where all fields pass, any name is a column.
    pub(crate) fn column_of(&self, name: &str) -> Option<String> {
        if !self.is_pass_through {
            return self.resolve(name).map(str::to_owned);
        }
        let top = match parse_field_path(name) {
            Some(RowPath::Steps(steps)) => match steps.as_slice() {
                [RowPathStep::Name(field)] => snake_case(field),
                _ => name.to_owned(),
            },
            _ => name.to_owned(),
        };
        Some(top)
    }
}

impl MappingEntry {
    fn is_from(&self, name: &str) -> bool {
        let EntrySource::Field(path) = &self.source else {
            return false;
        };
        self.field == name
            || path_text(path) == name
            || parse_field_path(name).as_ref() == Some(path)
    }
}

fn entry(key: &str, value: &str, is_reversed: bool, path: &FieldPath) -> MappingEntry {
    let path = path.key(key);
    let value_template = Template::new(value);
    if !value_template.is_constant() {
        return MappingEntry {
            column: key.to_owned(),
            field: key.to_owned(),
            source: EntrySource::Template(value_template),
            path,
        };
    }
    let (field, column) = if is_reversed {
        (value, key)
    } else {
        (key, value)
    };
    let source = parse_field_path(field)
        .unwrap_or_else(|| RowPath::Steps(vec![RowPathStep::Name(field.to_owned())]));
    MappingEntry {
        column: column.to_owned(),
        field: field.to_owned(),
        source: EntrySource::Field(source),
        path,
    }
}

/// Whether the keys never occur in the rows that were seen while the values do; nothing where neither occurs.
fn is_reversed_by_rows(endpoint: &Endpoint, seen: &BTreeSet<String>) -> Option<bool> {
    let occurs = |name: &str| seen.contains(name) || seen.contains(field_root(name));
    let keys = pairs(endpoint).filter(|(key, _)| occurs(key)).count();
    let values = pairs(endpoint).filter(|(_, value)| occurs(value)).count();
    (keys > 0 || values > 0).then_some(keys == 0)
}

/// Entries whose sides differ.
fn pairs(endpoint: &Endpoint) -> impl Iterator<Item = (&str, &str)> {
    endpoint
        .field_mapping
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .filter(|(key, value)| key != value && Template::new(*value).is_constant())
}

/// The key of the row that a path begins with.
fn field_root(name: &str) -> &str {
    let name = name.strip_prefix("$.").unwrap_or(name);
    name.split(['.', '[']).next().unwrap_or(name)
}

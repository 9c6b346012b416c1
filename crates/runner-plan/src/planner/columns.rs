//! The columns of a stream: their order, where their values come from, their types and who fixed them.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use runner_spec::model::{Contract, Masking};
use runner_spec::{Code, FieldPath};

use super::bindings::Binding;
use super::drafts::{Draft, UsePlace};
use super::findings::{Findings, at, did_you_mean, list};
use super::mapping::EntrySource;
use super::types;
use crate::model::{
    Column, ColumnSource, ColumnType, Columns, MaskedColumn, RowPath, RowPathStep, TypeOrigin,
    VariableSource,
};
use crate::names::snake_case;
use crate::template::Template;
use crate::windows::CursorKind;

/// Names of a stream's columns with their sources, before types are known: what routing decides by.
pub(crate) fn sources(
    draft: &Draft<'_>,
    binding: &Binding,
    contract: Option<&Contract>,
) -> IndexMap<String, (ColumnSource, FieldPath)> {
    let mut columns = IndexMap::new();
    let mapped = |name: &String| {
        draft
            .mapping
            .entries
            .iter()
            .any(|entry| entry.column == *name)
    };
    let properties = contract
        .into_iter()
        .flat_map(|contract| contract.properties.keys());
    // What a row was asked for stands before what it says.
    for name in properties.filter(|name| !mapped(name) && binding.fills_column(name)) {
        let path = at::provider()
            .key("schema_contract")
            .key("properties")
            .key(name);
        columns.insert(name.clone(), (ColumnSource::Variable(name.clone()), path));
    }
    for entry in &draft.mapping.entries {
        let source = match &entry.source {
            EntrySource::Field(path) => ColumnSource::Field(path.clone()),
            EntrySource::Template(template) => column_source(template, binding),
        };
        columns.insert(entry.column.clone(), (source, entry.path.clone()));
    }
    columns
}

/// `{{ ticker }}` alone is the variable itself.
fn column_source(template: &Template, binding: &Binding) -> ColumnSource {
    let inner = template
        .as_str()
        .trim()
        .strip_prefix("{{")
        .and_then(|rest| rest.strip_suffix("}}"))
        .map(str::trim);
    match inner {
        Some(name) if binding.fills_column(name) => ColumnSource::Variable(name.to_owned()),
        _ => ColumnSource::Template(template.clone()),
    }
}

/// What the columns of one stream are made from.
pub(crate) struct ColumnInputs<'a> {
    pub(crate) draft: &'a Draft<'a>,
    pub(crate) binding: &'a Binding,
    /// Present where the stream's rows go to the declared table as they are.
    pub(crate) contract: Option<&'a Contract>,
    /// For the names of bound variables that become columns.
    pub(crate) any_contract: Option<&'a Contract>,
}

pub(crate) fn build(inputs: &ColumnInputs<'_>, findings: &mut Findings) -> Columns {
    let draft = inputs.draft;
    let mut named = sources(draft, inputs.binding, inputs.any_contract);
    if draft.mapping.is_pass_through {
        pass_through(inputs, &mut named);
        names_that_fell_together(draft, findings);
    }
    let cursor = cursor_column(draft);
    let mut known: Vec<Column> = named
        .into_iter()
        .map(|(name, (source, path))| {
            let (column_type, nullable, origin) = typed(inputs, &name, cursor.as_ref(), findings);
            Column {
                name,
                source,
                column_type,
                nullable,
                origin,
                path: path.to_string(),
            }
        })
        .collect();
    if let Some(contract) = inputs.contract {
        agrees(inputs, contract, &known, findings);
    }
    secrets_stay_out(draft, inputs.binding, findings);
    for column in &mut known {
        if is_key(draft, &column.name) {
            column.nullable = false;
        }
    }
    Columns {
        known,
        pass_through: draft.mapping.is_pass_through,
    }
}

/// All fields pass: the contract's and the stored ones are known by name already.
fn pass_through(
    inputs: &ColumnInputs<'_>,
    named: &mut IndexMap<String, (ColumnSource, FieldPath)>,
) {
    let field = |name: &str| {
        let read_from = inputs
            .draft
            .stored_fields
            .and_then(|fields| fields.get(name));
        let field = read_from.map_or(name, String::as_str);
        ColumnSource::Field(RowPath::Steps(vec![RowPathStep::Name(field.to_owned())]))
    };
    let properties = at::provider().key("schema_contract").key("properties");
    let contract = inputs
        .contract
        .into_iter()
        .flat_map(|contract| contract.properties.keys())
        .map(|name| (name, properties.key(name)));
    let stored = inputs
        .draft
        .stored
        .iter()
        .map(|column| (&column.name, inputs.draft.path.clone()));
    for (name, path) in contract.chain(stored) {
        named
            .entry(name.clone())
            .or_insert_with(|| (field(name), path));
    }
}

/// Fields whose names are one in snake_case have columns that numbers tell apart.
fn names_that_fell_together(draft: &Draft<'_>, findings: &mut Findings) {
    let mut by_name: BTreeMap<String, Vec<(&str, &str)>> = BTreeMap::new();
    for (column, field) in draft.stored_fields.into_iter().flatten() {
        let same = by_name.entry(snake_case(field)).or_default();
        same.push((column, field));
    }
    for (name, same) in by_name.iter().filter(|(_, same)| same.len() > 1) {
        let columns: Vec<&str> = same.iter().map(|(column, _)| *column).collect();
        let fields: Vec<&str> = same.iter().map(|(_, field)| *field).collect();
        findings.warning(
            Code::DuplicateTarget,
            &draft.path,
            format!(
                "the fields {} of `{}` are all `{name}` in snake_case: their columns are {}",
                list(&fields),
                draft.name(),
                list(&columns)
            ),
            "give each a name of its own in `field_mapping`",
        );
    }
}

/// The cursor column, with the type that `incremental.initial` shows where it is a full point in time.
fn cursor_column(draft: &Draft<'_>) -> Option<(String, Option<ColumnType>)> {
    let incremental = draft.endpoint.incremental.as_ref()?;
    let column = draft.mapping.column_of(&incremental.cursor_field)?;
    let shown = incremental.initial.as_deref().map(CursorKind::guess);
    let column_type = (shown == Some(CursorKind::Timestamp)).then_some(ColumnType::Timestamp);
    Some((column, column_type))
}

fn typed(
    inputs: &ColumnInputs<'_>,
    name: &str,
    cursor: Option<&(String, Option<ColumnType>)>,
    findings: &mut Findings,
) -> (Option<ColumnType>, bool, TypeOrigin) {
    let stored = inputs
        .draft
        .stored
        .iter()
        .find(|column| column.name == name);
    let property = inputs
        .contract
        .and_then(|contract| Some((contract, contract.properties.get(name)?)));
    if let Some((contract, property)) = property
        && let Some(column_type) = types::property_type(property)
    {
        if let Some(stored) = stored
            && !types::widens(&stored.column_type, &column_type)
        {
            findings.warning(
                Code::StoredSchemaConflict,
                &at::provider().key("schema_contract").key("properties").key(name),
                format!("the contract makes `{name}` a column of type {column_type}, and earlier runs stored it as {}", stored.column_type),
                "load into a new table, or write the stored type into the contract",
            );
        }
        let nullable = types::is_nullable(contract, name, property);
        return (Some(column_type), nullable, TypeOrigin::Contract);
    }
    let nullable =
        property.is_none_or(|(contract, property)| types::is_nullable(contract, name, property));
    if let Some(stored) = stored {
        return (
            Some(stored.column_type.clone()),
            nullable,
            inputs.draft.stored_origin,
        );
    }
    if let Some((column, Some(column_type))) = cursor
        && column == name
    {
        return (Some(column_type.clone()), nullable, TypeOrigin::Document);
    }
    (None, nullable, TypeOrigin::Open)
}

/// Whether the contract and the mapping can both hold.
fn agrees(
    inputs: &ColumnInputs<'_>,
    contract: &Contract,
    known: &[Column],
    findings: &mut Findings,
) {
    if inputs.draft.mapping.is_pass_through {
        if !contract.additional_properties {
            let path = at::provider()
                .key("schema_contract")
                .key("additionalProperties");
            findings.warning(
                Code::ContractKeyword,
                &path,
                format!("all fields of `{}` pass, and those that the contract doesn't name are loaded with them", inputs.draft.name()),
                "write a `field_mapping` of the fields that are wanted",
            );
        }
        return;
    }
    let has = |name: &str| known.iter().any(|column| column.name == name);
    let missing: Vec<&String> = contract.required.iter().filter(|name| !has(name)).collect();
    let mapping = inputs.draft.path.key("field_mapping");
    let columns: Vec<&str> = known.iter().map(|column| column.name.as_str()).collect();
    for name in missing {
        findings.error(
            Code::ContractConflict,
            &mapping,
            format!(
                "the contract requires `{name}`, and the mapping of `{}` yields no such column",
                inputs.draft.name()
            ),
            did_you_mean(
                name,
                columns.iter().copied(),
                format!("map a field to `{name}`, or take it out of `schema_contract.required`"),
            ),
        );
    }
    if contract.additional_properties {
        return;
    }
    for column in known {
        if !contract.properties.contains_key(&column.name) {
            findings.error(
                Code::ContractConflict,
                &mapping,
                format!(
                    "the contract allows no further properties, and the mapping yields `{}`",
                    column.name
                ),
                did_you_mean(
                    &column.name,
                    contract.properties.keys().map(String::as_str),
                    "take it out of the mapping, or add it to the contract",
                ),
            );
        }
    }
}

/// No column may have a secret for its value.
fn secrets_stay_out(draft: &Draft<'_>, binding: &Binding, findings: &mut Findings) {
    for used in draft
        .uses
        .iter()
        .filter(|used| used.place == UsePlace::Column)
    {
        let name = &used.variable.name;
        let is_secret = binding
            .variables
            .iter()
            .any(|variable| variable.name == *name && variable.source == VariableSource::Secret);
        if is_secret {
            findings.error(
                Code::SecretColumn,
                &used.path,
                format!("`{name}` is a secret, and this mapping would load its value"),
                "map something else, or take the entry out",
            );
        }
    }
}

fn is_key(draft: &Draft<'_>, column: &str) -> bool {
    draft
        .endpoint
        .load
        .primary_key
        .iter()
        .any(|key| draft.mapping.column_of(key).as_deref() == Some(column))
}

/// Key columns by the names that they have in the rows; a key that names none is reported.
pub(crate) fn key_columns(
    keys: &[String],
    draft: &Draft<'_>,
    columns: &Columns,
    path: &FieldPath,
    findings: &mut Findings,
) -> Vec<String> {
    let mut resolved = Vec::new();
    for key in keys {
        if columns.known.iter().any(|column| column.name == *key) {
            resolved.push(key.clone());
        } else if let Some(column) = draft.mapping.column_of(key) {
            resolved.push(column);
        } else {
            let known: Vec<&str> = columns
                .known
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            findings.error(
                Code::PrimaryKeyMissing,
                path,
                format!(
                    "the primary key names `{key}`, which is no column of `{}`",
                    draft.name()
                ),
                did_you_mean(
                    key,
                    known.iter().copied(),
                    format!("its columns are {}", list(&known)),
                ),
            );
        }
    }
    resolved
}

/// Masks by column, with what they contradict.
pub(crate) fn masking(
    draft: &Draft<'_>,
    columns: &Columns,
    contract: Option<&Contract>,
    findings: &mut Findings,
) -> Vec<MaskedColumn> {
    let mut masked = Vec::new();
    for (field, masking) in &draft.endpoint.masking {
        let path = draft.path.key("masking").key(field);
        let Some(column) = draft.mapping.column_of(field) else {
            let known: Vec<&str> = columns
                .known
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            findings.error(
                Code::FieldNotFound,
                &path,
                format!(
                    "`{field}` is no column of `{}`, so that there is nothing to mask",
                    draft.name()
                ),
                did_you_mean(
                    field,
                    known.iter().copied(),
                    format!("its columns are {}", list(&known)),
                ),
            );
            continue;
        };
        conflict(&column, *masking, columns, contract, &path, findings);
        masked.push(MaskedColumn {
            column,
            masking: *masking,
        });
    }
    masked
}

fn conflict(
    column: &str,
    masking: Masking,
    columns: &Columns,
    contract: Option<&Contract>,
    path: &FieldPath,
    findings: &mut Findings,
) {
    let required =
        contract.is_some_and(|contract| contract.required.iter().any(|name| name == column));
    if masking == Masking::Drop {
        if required {
            findings.error(
                Code::MaskingConflict,
                path,
                format!("`{column}` is dropped, and the contract requires it"),
                "write `hash` or `redact`, or take the column out of `schema_contract.required`",
            );
        }
        return;
    }
    let known = columns.known.iter().find(|known| known.name == column);
    let fixed = known
        .filter(|known| known.origin == TypeOrigin::Contract)
        .and_then(|known| known.column_type.as_ref());
    if let Some(column_type) = fixed
        && *column_type != ColumnType::String
    {
        findings.error(
            Code::MaskingConflict,
            path,
            format!("a masked value is a text, and the contract makes `{column}` a column of type {column_type}"),
            "write `type: string` into the contract, or `drop` the column",
        );
    }
}

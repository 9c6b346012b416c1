//! Ids of fields: those that a table has, and those that files get for columns which it hasn't yet.

use std::collections::BTreeMap;

use iceberg::spec::{NestedField, Schema, Type};
use runner_plan::model::{ColumnField, ColumnType};

/// Ids of fields by path (`a`, `a.b`, `list.element`); dots within names are escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct FieldIds(BTreeMap<String, i32>);

/// Where in a schema a field stands.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct FieldPath<'a> {
    parent: Option<&'a FieldPath<'a>>,
    name: &'a str,
}

impl<'a> FieldPath<'a> {
    pub(in super::super) fn root(name: &'a str) -> Self {
        Self { parent: None, name }
    }

    pub(in super::super) fn child(&'a self, name: &'a str) -> Self {
        Self {
            parent: Some(self),
            name,
        }
    }

    pub(super) fn is_top(&self) -> bool {
        self.parent.is_none()
    }

    pub(super) fn name(&self) -> &'a str {
        self.name
    }

    pub(super) fn key(&self) -> String {
        let name = self.name.replace('\\', "\\\\").replace('.', "\\.");
        match self.parent {
            Some(parent) => format!("{}.{name}", parent.key()),
            None => name,
        }
    }
}

impl FieldIds {
    /// The ids that a table's schema has.
    pub(in super::super) fn of(schema: &Schema) -> Self {
        let mut ids = Self::default();
        for field in schema.as_struct().fields() {
            ids.collect(FieldPath::root(&field.name), field);
        }
        ids
    }

    fn collect(&mut self, path: FieldPath<'_>, field: &NestedField) {
        self.0.insert(path.key(), field.id);
        match field.field_type.as_ref() {
            Type::Struct(fields) => {
                for child in fields.fields() {
                    self.collect(path.child(&child.name), child);
                }
            }
            Type::List(list) => self.collect(path.child(ELEMENT), &list.element_field),
            Type::Primitive(_) | Type::Map(_) => {}
        }
    }

    pub(in super::super) fn get(&self, path: &FieldPath<'_>) -> Option<i32> {
        self.0.get(&path.key()).copied()
    }

    /// Id of a top-level column.
    pub(in super::super) fn column(&self, name: &str) -> Option<i32> {
        self.get(&FieldPath::root(name))
    }

    pub(in super::super) fn highest(&self) -> i32 {
        self.0.values().copied().max().unwrap_or(0)
    }

    /// Gives ids to the fields that have none: a level first, then what is below it, as catalogs do for a new table, so that
    /// the ids in files written before a table exists are mostly those that it gets.
    pub(in super::super) fn assign(&mut self, columns: &[ColumnField], last: &mut i32) {
        self.assign_level(None, columns, last);
    }

    fn assign_level(
        &mut self,
        parent: Option<&FieldPath<'_>>,
        fields: &[ColumnField],
        last: &mut i32,
    ) {
        for field in fields {
            self.assign_one(&join(parent, &field.name), last);
        }
        for field in fields {
            let path = join(parent, &field.name);
            self.assign_below(&path, &field.column_type, last);
        }
    }

    fn assign_below(&mut self, path: &FieldPath<'_>, column_type: &ColumnType, last: &mut i32) {
        match column_type {
            ColumnType::Struct(fields) => self.assign_level(Some(path), fields, last),
            ColumnType::List(item) => {
                let element = path.child(ELEMENT);
                self.assign_one(&element, last);
                self.assign_below(&element, &item.column_type, last);
            }
            _ => {}
        }
    }

    fn assign_one(&mut self, path: &FieldPath<'_>, last: &mut i32) {
        self.0.entry(path.key()).or_insert_with(|| {
            *last += 1;
            *last
        });
    }

    /// Takes over ids for paths that have none, as long as the id is free.
    pub(in super::super) fn adopt(&mut self, other: &Self) {
        for (path, id) in &other.0 {
            if !self.0.contains_key(path) && !self.0.values().any(|known| known == id) {
                self.0.insert(path.clone(), *id);
            }
        }
    }

    pub(super) fn forget_up_to(&mut self, last: i32) {
        self.0.retain(|_, id| *id > last);
    }

    fn forget_above(&mut self, last: i32) {
        self.0.retain(|_, id| *id <= last);
    }
}

/// Name of the items of a list.
pub(super) const ELEMENT: &str = "element";

pub(super) fn join<'a>(parent: Option<&'a FieldPath<'a>>, name: &'a str) -> FieldPath<'a> {
    match parent {
        Some(parent) => parent.child(name),
        None => FieldPath::root(name),
    }
}

/// The columns whose files stand for the table's first schema: those with ids up to `last`, so that a catalog which numbers
/// a new table's columns itself gives them the ids that the files have.
pub(in super::super) fn columns_up_to(
    columns: &[ColumnField],
    ids: &FieldIds,
    last: i32,
) -> Vec<ColumnField> {
    let mut known = ids.clone();
    known.forget_above(last);
    let mut kept = keep_known(None, columns, &known);
    kept.sort_by_key(|column| known.column(&column.name));
    kept
}

fn keep_known(
    parent: Option<&FieldPath<'_>>,
    columns: &[ColumnField],
    known: &FieldIds,
) -> Vec<ColumnField> {
    columns
        .iter()
        .filter_map(|column| {
            let path = join(parent, &column.name);
            let _id = known.get(&path)?;
            Some(ColumnField {
                column_type: keep_known_type(&path, &column.column_type, known),
                ..column.clone()
            })
        })
        .collect()
}

fn keep_known_type(path: &FieldPath<'_>, column_type: &ColumnType, known: &FieldIds) -> ColumnType {
    match column_type {
        ColumnType::Struct(fields) => ColumnType::Struct(keep_known(Some(path), fields, known)),
        ColumnType::List(item) => {
            let element = path.child(ELEMENT);
            ColumnType::List(Box::new(ColumnField {
                column_type: keep_known_type(&element, &item.column_type, known),
                ..ColumnField::clone(item)
            }))
        }
        other => other.clone(),
    }
}

//! Columns of a load as an Iceberg schema: types, field ids, and what of a table's schema may change for a load.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use iceberg::spec::{
    ListType, NestedField, NestedFieldRef, PrimitiveType, Schema, StructType, Type,
};
use runner_plan::model::{ColumnField, ColumnType};
use serde::{Deserialize, Serialize};

use super::error::{IcebergError, Result};

/// Largest precision of a decimal.
const MAX_PRECISION: u32 = 38;

/// Ids of fields by path (`a`, `a.b`, `list.element`); dots within names are escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct FieldIds(BTreeMap<String, i32>);

/// Where in a schema a field stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldPath<'a> {
    parent: Option<&'a FieldPath<'a>>,
    name: &'a str,
}

impl<'a> FieldPath<'a> {
    pub(super) fn root(name: &'a str) -> Self {
        Self { parent: None, name }
    }

    pub(super) fn child(&'a self, name: &'a str) -> Self {
        Self {
            parent: Some(self),
            name,
        }
    }

    fn key(&self) -> String {
        let name = self.name.replace('\\', "\\\\").replace('.', "\\.");
        match self.parent {
            Some(parent) => format!("{}.{name}", parent.key()),
            None => name,
        }
    }
}

impl FieldIds {
    /// The ids that a table's schema has.
    pub(super) fn of(schema: &Schema) -> Self {
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

    pub(super) fn get(&self, path: &FieldPath<'_>) -> Option<i32> {
        self.0.get(&path.key()).copied()
    }

    /// Id of a top-level column.
    pub(super) fn column(&self, name: &str) -> Option<i32> {
        self.get(&FieldPath::root(name))
    }

    pub(super) fn highest(&self) -> i32 {
        self.0.values().copied().max().unwrap_or(0)
    }

    /// Gives ids to the fields that have none: a level first, then what is below it, as catalogs do for a new table, so that
    /// the ids in files written before a table exists are mostly those that it gets.
    pub(super) fn assign(&mut self, columns: &[ColumnField], last: &mut i32) {
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
    pub(super) fn adopt(&mut self, other: &Self) {
        for (path, id) in &other.0 {
            if !self.0.contains_key(path) && !self.0.values().any(|known| known == id) {
                self.0.insert(path.clone(), *id);
            }
        }
    }

    fn forget_above(&mut self, last: i32) {
        self.0.retain(|_, id| *id <= last);
    }
}

/// Name of the items of a list.
pub(super) const ELEMENT: &str = "element";

fn join<'a>(parent: Option<&'a FieldPath<'a>>, name: &'a str) -> FieldPath<'a> {
    match parent {
        Some(parent) => parent.child(name),
        None => FieldPath::root(name),
    }
}

/// The schema of a new table, or of a file, with these columns.
pub(super) fn new_schema(columns: &[ColumnField], ids: &FieldIds) -> Result<Schema> {
    let fields = new_fields(None, columns, ids)?;
    Schema::builder()
        .with_fields(fields)
        .build()
        .map_err(IcebergError::metadata("make a schema of the columns"))
}

fn new_fields(
    parent: Option<&FieldPath<'_>>,
    columns: &[ColumnField],
    ids: &FieldIds,
) -> Result<Vec<NestedFieldRef>> {
    columns
        .iter()
        .map(|column| new_field(join(parent, &column.name), column, ids).map(Arc::new))
        .collect()
}

fn new_field(path: FieldPath<'_>, column: &ColumnField, ids: &FieldIds) -> Result<NestedField> {
    let id = id_of(&path, ids)?;
    let field_type = new_type(&path, &column.column_type, ids)?;
    Ok(NestedField::new(
        id,
        path.name,
        field_type,
        !column.nullable,
    ))
}

fn new_type(path: &FieldPath<'_>, column_type: &ColumnType, ids: &FieldIds) -> Result<Type> {
    Ok(match column_type {
        ColumnType::List(item) => {
            let element = path.child(ELEMENT);
            let item_type = new_type(&element, &item.column_type, ids)?;
            Type::List(ListType::new(Arc::new(NestedField::list_element(
                id_of(&element, ids)?,
                item_type,
                !item.nullable,
            ))))
        }
        ColumnType::Struct(fields) if fields.is_empty() => {
            return Err(IcebergError::conflict(
                format!("column `{}` is an object without fields", path.key()),
                "give the column a type in the contract, or leave it out of the mapping",
            ));
        }
        ColumnType::Struct(fields) => {
            Type::Struct(StructType::new(new_fields(Some(path), fields, ids)?))
        }
        primitive => Type::Primitive(new_primitive(path, primitive)?),
    })
}

fn new_primitive(path: &FieldPath<'_>, column_type: &ColumnType) -> Result<PrimitiveType> {
    Ok(match column_type {
        ColumnType::Boolean => PrimitiveType::Boolean,
        ColumnType::Integer => PrimitiveType::Long,
        ColumnType::Number => PrimitiveType::Double,
        ColumnType::Decimal { precision, scale } => {
            let precision = u32::from(*precision);
            match u32::try_from(*scale) {
                Ok(scale) if precision <= MAX_PRECISION => {
                    PrimitiveType::Decimal { precision, scale }
                }
                _ => {
                    return Err(IcebergError::conflict(
                        format!(
                            "column `{}` is a {column_type}, which Iceberg hasn't",
                            path.key()
                        ),
                        "a decimal has at most 38 digits, and none before the units is left out",
                    ));
                }
            }
        }
        ColumnType::Uuid => PrimitiveType::Uuid,
        ColumnType::Date => PrimitiveType::Date,
        ColumnType::Timestamp => PrimitiveType::Timestamptz,
        ColumnType::Time => PrimitiveType::Time,
        ColumnType::Binary => PrimitiveType::Binary,
        ColumnType::String | ColumnType::Json | ColumnType::List(_) | ColumnType::Struct(_) => {
            PrimitiveType::String
        }
    })
}

fn id_of(path: &FieldPath<'_>, ids: &FieldIds) -> Result<i32> {
    ids.get(path)
        .ok_or_else(|| IcebergError::Broken(format!("the field `{}` has no id", path.key())))
}

/// Columns of a table, in the words of the plan. Types that the plan has no word for are text or JSON there, and a load that
/// names such a column is refused.
pub(super) fn columns_of(schema: &Schema) -> Vec<ColumnField> {
    schema
        .as_struct()
        .fields()
        .iter()
        .map(|field| column_of(field, &field.name))
        .collect()
}

fn column_of(field: &NestedField, name: &str) -> ColumnField {
    let column_type = match field.field_type.as_ref() {
        Type::Primitive(primitive) => column_type_of(primitive),
        Type::Struct(fields) => ColumnType::Struct(
            fields
                .fields()
                .iter()
                .map(|child| column_of(child, &child.name))
                .collect(),
        ),
        Type::List(list) => ColumnType::List(Box::new(column_of(&list.element_field, "item"))),
        Type::Map(_) => ColumnType::Json,
    };
    ColumnField {
        name: name.to_owned(),
        column_type,
        nullable: !field.required,
    }
}

fn column_type_of(primitive: &PrimitiveType) -> ColumnType {
    match primitive {
        PrimitiveType::Boolean => ColumnType::Boolean,
        PrimitiveType::Int | PrimitiveType::Long => ColumnType::Integer,
        PrimitiveType::Float | PrimitiveType::Double => ColumnType::Number,
        PrimitiveType::Decimal { precision, scale } => ColumnType::Decimal {
            precision: u8::try_from(*precision).unwrap_or(u8::MAX),
            scale: i8::try_from(*scale).unwrap_or(i8::MAX),
        },
        PrimitiveType::Date => ColumnType::Date,
        PrimitiveType::Time => ColumnType::Time,
        PrimitiveType::Timestamp
        | PrimitiveType::Timestamptz
        | PrimitiveType::TimestampNs
        | PrimitiveType::TimestamptzNs => ColumnType::Timestamp,
        PrimitiveType::String => ColumnType::String,
        PrimitiveType::Uuid => ColumnType::Uuid,
        PrimitiveType::Fixed(_) | PrimitiveType::Binary => ColumnType::Binary,
    }
}

/// How a table's schema has to change for a load.
pub(super) struct Evolution<'a> {
    pub table: &'a str,
    pub schema: &'a Schema,
    pub last_column_id: i32,
    /// Ids that files of the load have for columns the table hasn't.
    pub preferred: &'a FieldIds,
    /// Whether the load has nulls in a top-level column.
    pub has_nulls: &'a dyn Fn(&str) -> bool,
}

impl Evolution<'_> {
    /// The schema that takes these columns, or none where the table's own does.
    pub(super) fn for_columns(&self, columns: &[ColumnField]) -> Result<Option<Schema>> {
        let mut ids = FieldIds::of(self.schema);
        let mut preferred = self.preferred.clone();
        // An id that the table has given away since is another column's.
        preferred.0.retain(|_, id| *id > self.last_column_id);
        ids.adopt(&preferred);
        let mut last = self.last_column_id.max(ids.highest());
        ids.assign(columns, &mut last);
        let current = self.schema.as_struct();
        let fields = self.level(None, current, columns, &ids)?;
        if fields == current.fields() {
            return Ok(None);
        }
        Schema::builder()
            .with_schema_id(self.schema.schema_id() + 1)
            .with_identifier_field_ids(self.schema.identifier_field_ids())
            .with_fields(fields)
            .build()
            .map(Some)
            .map_err(IcebergError::metadata(format!(
                "change the schema of `{}`",
                self.table
            )))
    }

    fn level(
        &self,
        parent: Option<&FieldPath<'_>>,
        current: &StructType,
        columns: &[ColumnField],
        ids: &FieldIds,
    ) -> Result<Vec<NestedFieldRef>> {
        let mut fields = Vec::with_capacity(current.fields().len());
        for field in current.fields() {
            let column = columns.iter().find(|column| column.name == field.name);
            let path = join(parent, &field.name);
            fields.push(Arc::new(self.field(path, field, column, ids)?));
        }
        for column in columns {
            if current
                .fields()
                .iter()
                .any(|field| field.name == column.name)
            {
                continue;
            }
            // A column that rows before it lack can't be required.
            let mut field = new_field(join(parent, &column.name), column, ids)?;
            field.required = false;
            fields.push(Arc::new(field));
        }
        Ok(fields)
    }

    fn field(
        &self,
        path: FieldPath<'_>,
        field: &NestedField,
        column: Option<&ColumnField>,
        ids: &FieldIds,
    ) -> Result<NestedField> {
        let mut changed = field.clone();
        // At the top the files' own counts decide, below it the type.
        let gets_nulls = if path.parent.is_none() {
            (self.has_nulls)(&field.name)
        } else {
            column.is_none_or(|column| column.nullable)
        };
        changed.required = field.required && !gets_nulls;
        if let Some(column) = column {
            *changed.field_type =
                self.widened(&path, &field.field_type, &column.column_type, ids)?;
        }
        Ok(changed)
    }

    fn widened(
        &self,
        path: &FieldPath<'_>,
        current: &Type,
        wanted: &ColumnType,
        ids: &FieldIds,
    ) -> Result<Type> {
        match (current, wanted) {
            (Type::Struct(fields), ColumnType::Struct(columns)) => Ok(Type::Struct(
                StructType::new(self.level(Some(path), fields, columns, ids)?),
            )),
            (Type::List(list), ColumnType::List(item)) => {
                let element = path.child(ELEMENT);
                let mut field = NestedField::clone(&list.element_field);
                field.required = field.required && !item.nullable;
                *field.field_type =
                    self.widened(&element, &field.field_type, &item.column_type, ids)?;
                Ok(Type::List(ListType::new(Arc::new(field))))
            }
            (Type::Primitive(primitive), wanted) => widened_primitive(primitive, wanted)
                .map(Type::Primitive)
                .ok_or_else(|| self.mismatch(path, current, wanted)),
            (Type::Struct(_) | Type::List(_) | Type::Map(_), wanted) => {
                Err(self.mismatch(path, current, wanted))
            }
        }
    }

    fn mismatch(&self, path: &FieldPath<'_>, current: &Type, wanted: &ColumnType) -> IcebergError {
        IcebergError::conflict(
            format!(
                "column `{}` of the table `{}` is {}, which can't take values of type {wanted}",
                path.key(),
                self.table,
                type_text(current),
            ),
            "map the column to another name, give it the table's type in the contract, or change the table",
        )
    }
}

/// The type that holds what is there and what is wanted, if Iceberg can change the one into the other.
fn widened_primitive(current: &PrimitiveType, wanted: &ColumnType) -> Option<PrimitiveType> {
    use PrimitiveType as Have;
    Some(match (current, wanted) {
        (Have::Int | Have::Long, ColumnType::Integer) => Have::Long,
        (Have::Float | Have::Double, ColumnType::Number) => Have::Double,
        (
            Have::Decimal {
                precision: have,
                scale: have_scale,
            },
            ColumnType::Decimal { precision, scale },
        ) if u32::try_from(*scale) == Ok(*have_scale) => Have::Decimal {
            precision: (*have).max(u32::from(*precision)),
            scale: *have_scale,
        },
        // UUIDs and JSON are text before they are anything else.
        (Have::String, ColumnType::String | ColumnType::Json | ColumnType::Uuid)
        | (Have::Boolean, ColumnType::Boolean)
        | (Have::Date, ColumnType::Date)
        | (Have::Time, ColumnType::Time)
        | (Have::Timestamp | Have::Timestamptz, ColumnType::Timestamp)
        | (Have::Uuid, ColumnType::Uuid)
        | (Have::Binary, ColumnType::Binary) => current.clone(),
        _ => return None,
    })
}

/// A type in full, as people write it.
pub(super) fn type_text(field_type: &Type) -> String {
    match field_type {
        Type::Primitive(PrimitiveType::Decimal { precision, scale }) => {
            format!("decimal({precision},{scale})")
        }
        Type::Primitive(primitive) => primitive.to_string(),
        Type::List(list) => format!("list<{}>", type_text(&list.element_field.field_type)),
        Type::Map(map) => format!(
            "map<{}, {}>",
            type_text(&map.key_field.field_type),
            type_text(&map.value_field.field_type)
        ),
        Type::Struct(fields) => {
            let mut text = "struct<".to_owned();
            for (index, field) in fields.fields().iter().enumerate() {
                let separator = if index == 0 { "" } else { ", " };
                // Writing to a string cannot fail.
                let _ = write!(
                    text,
                    "{separator}{}: {}",
                    field.name,
                    type_text(&field.field_type)
                );
            }
            text + ">"
        }
    }
}

/// The schema of a file with these columns, which are all in `table`; struct fields that the columns lack are left out.
pub(super) fn file_schema(table: &Schema, columns: &[ColumnField]) -> Result<Schema> {
    Schema::builder()
        .with_fields(project(table.as_struct(), columns))
        .build()
        .map_err(IcebergError::metadata("make the schema of a data file"))
}

/// In the order of the columns.
fn project(fields: &StructType, columns: &[ColumnField]) -> Vec<NestedFieldRef> {
    columns
        .iter()
        .filter_map(|column| {
            let field = fields
                .fields()
                .iter()
                .find(|field| field.name == column.name)?;
            let mut projected = NestedField::clone(field);
            *projected.field_type = project_type(&field.field_type, &column.column_type);
            // A file may hold nulls until the commit has settled whether the table may.
            projected.required = !column.nullable;
            Some(Arc::new(projected))
        })
        .collect()
}

fn project_type(field_type: &Type, column_type: &ColumnType) -> Type {
    match (field_type, column_type) {
        (Type::Struct(fields), ColumnType::Struct(columns)) => {
            Type::Struct(StructType::new(project(fields, columns)))
        }
        (Type::List(list), ColumnType::List(item)) => {
            let mut element = NestedField::clone(&list.element_field);
            *element.field_type = project_type(&element.field_type, &item.column_type);
            element.required = !item.nullable;
            Type::List(ListType::new(Arc::new(element)))
        }
        (field_type, _) => field_type.clone(),
    }
}

/// Whether readers of the table read a file with this schema as it was meant: the same ids, and types that the table's own
/// are wider than.
pub(super) fn is_readable_as(file: &StructType, table: &StructType) -> bool {
    file.fields().iter().all(|field| {
        table
            .fields()
            .iter()
            .find(|known| known.name == field.name)
            .is_some_and(|known| {
                known.id == field.id && is_type_readable_as(&field.field_type, &known.field_type)
            })
    })
}

fn is_type_readable_as(file: &Type, table: &Type) -> bool {
    use PrimitiveType::{Decimal, Double, Float, Int, Long};
    match (file, table) {
        (Type::Struct(file), Type::Struct(table)) => is_readable_as(file, table),
        (Type::List(file), Type::List(table)) => {
            file.element_field.id == table.element_field.id
                && is_type_readable_as(
                    &file.element_field.field_type,
                    &table.element_field.field_type,
                )
        }
        (Type::Primitive(Int), Type::Primitive(Long))
        | (Type::Primitive(Float), Type::Primitive(Double)) => true,
        (
            Type::Primitive(Decimal { precision, scale }),
            Type::Primitive(Decimal {
                precision: table_precision,
                scale: table_scale,
            }),
        ) => scale == table_scale && precision <= table_precision,
        (file, table) => file == table,
    }
}

/// The columns whose files stand for the table's first schema: those with ids up to `last`, so that a catalog which numbers
/// a new table's columns itself gives them the ids that the files have.
pub(super) fn columns_up_to(
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

#[cfg(test)]
mod tests;

//! Columns of a load as an Iceberg schema, and columns of a schema in the words of the plan.

mod evolution;
mod ids;

use std::fmt::Write as _;
use std::sync::Arc;

use iceberg::spec::{
    ListType, NestedField, NestedFieldRef, PrimitiveType, Schema, StructType, Type,
};
use runner_plan::model::{ColumnField, ColumnType};

use super::error::{IcebergError, Result};
use ids::{ELEMENT, FieldPath, join};

pub(super) use evolution::Evolution;
pub(super) use ids::{FieldIds, columns_up_to};

/// Largest precision of a decimal.
const MAX_PRECISION: u32 = 38;

/// Note at a text column that holds JSON: Iceberg has no type for it.
const JSON_NOTE: &str = "JSON";

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
    let field = NestedField::new(id, path.name(), field_type, !column.nullable);
    Ok(match column.column_type {
        ColumnType::Json => field.with_doc(JSON_NOTE),
        _ => field,
    })
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
        Type::Primitive(PrimitiveType::String) if field.doc.as_deref() == Some(JSON_NOTE) => {
            ColumnType::Json
        }
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

#[cfg(test)]
mod tests;

//! What of a table's schema may change for a load: new columns, wider types, required columns that get nulls.

use std::sync::Arc;

use iceberg::spec::{
    ListType, NestedField, NestedFieldRef, PrimitiveType, Schema, StructType, Type,
};
use runner_plan::model::{ColumnField, ColumnType};

use super::super::error::{IcebergError, Result};
use super::ids::{ELEMENT, FieldIds, FieldPath, join};
use super::{new_field, type_text};

/// How a table's schema has to change for a load.
pub(in super::super) struct Evolution<'a> {
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
    pub(in super::super) fn for_columns(&self, columns: &[ColumnField]) -> Result<Option<Schema>> {
        let mut ids = FieldIds::of(self.schema);
        let mut preferred = self.preferred.clone();
        // An id that the table has given away since is another column's.
        preferred.forget_up_to(self.last_column_id);
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
        let gets_nulls = if path.is_top() {
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

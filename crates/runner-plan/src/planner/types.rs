//! The contract's properties as types of columns.

use runner_spec::model::{Contract, Property, PropertyType};
use serde_json::Value;

use crate::model::{ColumnField, ColumnType};

/// The type of a property; absent where the contract leaves it open.
pub(crate) fn property_type(property: &Property) -> Option<ColumnType> {
    let Some(kind) = property.kind else {
        return type_of_values(property);
    };
    Some(match kind {
        PropertyType::String => ColumnType::String,
        PropertyType::Integer => ColumnType::Integer,
        PropertyType::Number => ColumnType::Number,
        PropertyType::Boolean => ColumnType::Boolean,
        PropertyType::Date => ColumnType::Date,
        PropertyType::DateTime => ColumnType::Timestamp,
        PropertyType::Time => ColumnType::Time,
        PropertyType::Uuid => ColumnType::Uuid,
        PropertyType::Array => list_type(property.items.as_deref()),
        PropertyType::Object => struct_type(property),
    })
}

/// A property without a type, but with all its values.
fn type_of_values(property: &Property) -> Option<ColumnType> {
    let constraints = &property.constraints;
    let values: Vec<&Value> = constraints
        .enumeration
        .iter()
        .flatten()
        .chain(&constraints.constant)
        .filter(|value| !value.is_null())
        .collect();
    let all = |is: fn(&Value) -> bool| !values.is_empty() && values.iter().all(|value| is(value));
    if all(Value::is_string) {
        Some(ColumnType::String)
    } else if all(Value::is_i64) {
        Some(ColumnType::Integer)
    } else if all(Value::is_number) {
        Some(ColumnType::Number)
    } else if all(Value::is_boolean) {
        Some(ColumnType::Boolean)
    } else {
        None
    }
}

fn list_type(items: Option<&Property>) -> ColumnType {
    let item = items.and_then(|items| Some((property_type(items)?, items.nullable)));
    match item {
        Some((column_type, nullable)) => ColumnType::List(Box::new(ColumnField {
            name: "item".to_owned(),
            column_type,
            nullable,
        })),
        // Items of any type have no type of their own.
        None => ColumnType::Json,
    }
}

fn struct_type(property: &Property) -> ColumnType {
    let fields: Option<Vec<ColumnField>> = property
        .properties
        .iter()
        .map(|(name, field)| {
            Some(ColumnField {
                name: name.clone(),
                column_type: property_type(field)?,
                nullable: field.nullable || !property.required.contains(name),
            })
        })
        .collect();
    match fields {
        Some(fields) if !fields.is_empty() => ColumnType::Struct(fields),
        _ => ColumnType::Json,
    }
}

/// Whether a null is a value of this property.
pub(crate) fn is_nullable(contract: &Contract, name: &str, property: &Property) -> bool {
    property.nullable || !contract.required.iter().any(|required| required == name)
}

/// The contract as the columns of a table that nobody has loaded yet.
pub(crate) fn contract_fields(contract: &Contract) -> Vec<ColumnField> {
    contract
        .properties
        .iter()
        .filter_map(|(name, property)| {
            Some(ColumnField {
                name: name.clone(),
                column_type: property_type(property)?,
                nullable: is_nullable(contract, name, property),
            })
        })
        .collect()
}

/// Whether every value of the narrower type is a value of the wider one, as a run may widen it.
pub(crate) fn widens(from: &ColumnType, to: &ColumnType) -> bool {
    use ColumnType as T;
    match (from, to) {
        _ if from == to => true,
        (T::Integer, T::Number | T::Decimal { .. }) | (T::Date, T::Timestamp) | (_, T::Json) => {
            true
        }
        (from, T::String) => !matches!(from, T::List(_) | T::Struct(_) | T::Binary),
        (
            T::Decimal { precision, scale },
            T::Decimal {
                precision: wider,
                scale: finer,
            },
        ) => wider >= precision && finer >= scale,
        (T::List(from), T::List(to)) => widens(&from.column_type, &to.column_type),
        (T::Struct(from), T::Struct(to)) => from.iter().all(|field| {
            to.iter().any(|wider| {
                wider.name == field.name && widens(&field.column_type, &wider.column_type)
            })
        }),
        _ => false,
    }
}

//! The columns that a query yields: their names, and their types as the contract wants them.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Field};
use datafusion_common::{Column, Result};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use runner_plan::arrow::{LOGICAL_TYPE, arrow_type};
use runner_plan::model::{ColumnField, ColumnType};
use runner_spec::{Code, nearest};

use super::types::{self, Kind};
use super::typing::Typing;

/// The plan with its columns brought to the types of columns, and these columns; a type that nobody knows yet is absent.
pub(crate) fn columns(
    plan: LogicalPlan,
    contract: &[ColumnField],
    typing: &mut Typing,
) -> Result<(LogicalPlan, Vec<(ColumnField, bool)>)> {
    let mut names = BTreeSet::new();
    for field in plan.schema().fields() {
        if !names.insert(field.name().clone()) {
            typing.refuse_at(
                field.name(),
                Code::SqlDuplicateColumn,
                &[],
                format!(
                    "the query yields two columns of the name `{}`",
                    field.name()
                ),
                "name them apart with `AS`",
            );
            return Ok((plan, Vec::new()));
        }
    }
    missing(contract, &names, typing);
    let mut expressions = Vec::new();
    let mut columns = Vec::new();
    for (relation, field) in plan.schema().iter() {
        let wanted = contract.iter().find(|column| column.name == *field.name());
        let value = Expr::Column(Column::new(relation.cloned(), field.name()));
        let own = field.data_type();
        let target = target(field, wanted, typing);
        let is_known = target.is_some();
        let column_type = target.unwrap_or(ColumnType::String);
        let data_type = arrow_type(&column_type);
        let value = if is_known && *own != data_type {
            if Kind::of(own) == Kind::of(&data_type) && Kind::of(own) != Kind::Decimal {
                datafusion_expr::cast(value, data_type)
            } else {
                typing.implicit(value, own, &data_type)
            }
        } else {
            value
        };
        expressions.push(value.alias(field.name()));
        let column = ColumnField {
            name: field.name().clone(),
            column_type,
            nullable: field.is_nullable() && wanted.is_none_or(|wanted| wanted.nullable),
        };
        columns.push((column, is_known));
    }
    let plan = LogicalPlanBuilder::from(plan)
        .project(expressions)?
        .build()?;
    Ok((plan, columns))
}

/// Columns that the contract requires and the query doesn't yield.
fn missing(contract: &[ColumnField], names: &BTreeSet<String>, typing: &mut Typing) {
    for column in contract.iter().filter(|column| !column.nullable) {
        if names.contains(&column.name) {
            continue;
        }
        let help = match nearest(&column.name, names.iter().map(String::as_str)) {
            Some(near) => format!("name it with `AS`: did you mean `{near}`?"),
            None => "yield it, or take it out of `schema_contract.required`".to_owned(),
        };
        typing.refuse(
            Code::SqlResult,
            &[],
            format!(
                "the contract requires `{}`, and the query yields no such column",
                column.name
            ),
            help,
        );
    }
}

/// The type of a column: the contract's where the values fit into it, else its own.
fn target(field: &Field, wanted: Option<&ColumnField>, typing: &mut Typing) -> Option<ColumnType> {
    let own = logical_type(field);
    let Some(wanted) = wanted else {
        if own.is_none() && Kind::of(field.data_type()) != Kind::Open {
            typing.refuse_at(
                field.name(),
                Code::SqlResult,
                &[],
                format!(
                    "no column holds the values of `{}`, which are of type {}",
                    field.name(),
                    types::name(field.data_type())
                ),
                "cast it, or leave it out",
            );
        }
        return own;
    };
    let own = own?;
    if own == wanted.column_type || fits(&own, &wanted.column_type) {
        return Some(wanted.column_type.clone());
    }
    typing.refuse_at(
        field.name(),
        Code::SqlResult,
        &[],
        format!(
            "the contract makes `{}` a column of type {}, and the query yields {own}",
            field.name(),
            wanted.column_type
        ),
        "write the cast that is meant, as in `CAST(total AS DOUBLE) AS total`",
    );
    Some(own)
}

/// Whether values of a type become the contract's without a cast being written.
fn fits(own: &ColumnType, wanted: &ColumnType) -> bool {
    use ColumnType as T;
    matches!(
        (own, wanted),
        (T::Integer | T::Decimal { .. }, T::Number)
            | (T::Integer, T::Decimal { .. })
            | (T::Date, T::Timestamp)
            | (
                T::Integer | T::Boolean | T::Date | T::Uuid | T::Json,
                T::String
            )
            | (T::String, T::Uuid | T::Json)
    )
}

/// The column type of a field: what its metadata says, where Arrow's type says less.
fn logical_type(field: &Field) -> Option<ColumnType> {
    match field.metadata().get(LOGICAL_TYPE).map(String::as_str) {
        Some("uuid") => return Some(ColumnType::Uuid),
        Some("json") => return Some(ColumnType::Json),
        _ => {}
    }
    let nested = |field: &Field| {
        Some(ColumnField {
            name: field.name().clone(),
            column_type: logical_type(field)?,
            nullable: field.is_nullable(),
        })
    };
    match field.data_type() {
        DataType::List(item) => Some(ColumnType::List(Box::new(nested(item)?))),
        DataType::Struct(fields) => Some(ColumnType::Struct(
            fields
                .iter()
                .map(|field| nested(field))
                .collect::<Option<_>>()?,
        )),
        other => types::column_type_of(other),
    }
}

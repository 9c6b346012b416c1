//! Which rows a replace takes away.

use runner_core::{Error, ErrorKind, LoadContext, Result};
use runner_plan::model::{ColumnType, PartitionTransform};

use super::convert::find;
use super::names::{TableName, literal, quote};
use super::statements::Statements;
use super::types::sql_type;

/// The statement that deletes what a replace replaces.
pub(super) fn delete(statements: &Statements<'_>) -> Result<String> {
    let condition = condition(statements)?;
    Ok(format!(
        "DELETE FROM {} AS target{}",
        statements.target.sql(),
        condition
            .map(|condition| format!(" WHERE {condition}"))
            .unwrap_or_default()
    ))
}

/// Refuses scopes that can't be told in SQL, before anything is committed.
pub(super) fn check(target: &TableName, load: &LoadContext) -> Result<()> {
    for name in &load.plan.replace_scope {
        scope_value(load, name, "target.").map_err(|error| error.with_context("table", target))?;
    }
    Ok(())
}

fn condition(statements: &Statements<'_>) -> Result<Option<String>> {
    let load = statements.load;
    if load.plan.replace_scope.is_empty() {
        return Ok(None);
    }
    if !load.replace_bounds.is_empty() {
        let windows = load
            .replace_bounds
            .iter()
            .map(|(name, from, to)| {
                let (column, column_type) = scope_column(load, name)?;
                let value = format!("target.{}", quote(&column));
                let bound = |text: &str| format!("{}::{}", literal(text), sql_type(&column_type));
                Ok(format!(
                    "{value} >= {} AND {value} < {}",
                    bound(from),
                    bound(to)
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        return Ok(Some(windows.join(" AND ")));
    }
    if statements.staged.is_empty() {
        return Ok(Some("false".to_owned()));
    }
    let mut values = Vec::new();
    let mut pairs = Vec::new();
    for (index, name) in load.plan.replace_scope.iter().enumerate() {
        let given = scope_value(load, name, "")?;
        let stored = scope_value(load, name, "target.")?;
        values.push(format!("{given} AS value_{index}"));
        pairs.push(format!("{stored} IS NOT DISTINCT FROM scope.value_{index}"));
    }
    Ok(Some(format!(
        "EXISTS (SELECT 1 FROM (SELECT DISTINCT {} FROM ({}) AS staged) AS scope WHERE {})",
        values.join(", "),
        statements.all_rows(false)?,
        pairs.join(" AND ")
    )))
}

/// The column that a name of the scope means.
fn scope_column(load: &LoadContext, name: &str) -> Result<(String, ColumnType)> {
    let column = load
        .plan
        .partitions
        .iter()
        .find(|partition| partition.name == name || partition.column == name)
        .map_or(name, |partition| partition.column.as_str());
    find(&load.columns, column)
        .map(|found| (found.name.clone(), found.column_type.clone()))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Spec,
                format!("`replace_scope` names `{name}`, which is no column of the table"),
            )
        })
}

/// The partition's value of a row.
fn scope_value(load: &LoadContext, name: &str, qualifier: &str) -> Result<String> {
    let (column, column_type) = scope_column(load, name)?;
    let value = format!("{qualifier}{}", quote(&column));
    let transform = load
        .plan
        .partitions
        .iter()
        .find(|partition| partition.name == name || partition.column == name)
        .map_or(PartitionTransform::Identity, |partition| {
            partition.transform
        });
    let unit = match transform {
        PartitionTransform::Identity => return Ok(value),
        PartitionTransform::Year => "year",
        PartitionTransform::Month => "month",
        PartitionTransform::Day => "day",
        PartitionTransform::Hour => "hour",
        PartitionTransform::Bucket(_) | PartitionTransform::Truncate(_) => {
            return Err(Error::new(
                ErrorKind::Spec,
                format!("`replace_scope` names `{name}`, whose partitions PostgreSQL doesn't know"),
            )
            .with_help("name a column, or a year, month, day or hour of one"));
        }
    };
    Ok(match column_type {
        ColumnType::Timestamp => format!("date_trunc('{unit}', {value}, 'UTC')"),
        _ => format!("date_trunc('{unit}', {value}::timestamp)"),
    })
}

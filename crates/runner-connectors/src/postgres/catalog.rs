//! What the server knows of a table: columns, keys, constraints, privileges.

use runner_core::{Error, ErrorKind, Result, Retry};
use runner_plan::model::{ColumnField, ColumnType};
use sqlx::{PgConnection, Row as _};

use super::error::failed;
use super::names::TableName;
use super::types::StoredType;

/// An existing table.
#[derive(Clone, Debug)]
pub(super) struct StoredTable {
    pub columns: Vec<StoredColumn>,
    pub unique: Vec<UniqueIndex>,
    pub checks: Vec<CheckConstraint>,
    /// Declared partitions make it one of several tables, which system columns don't cross.
    pub is_partitioned: bool,
}

#[derive(Clone, Debug)]
pub(super) struct StoredColumn {
    pub name: String,
    pub stored: StoredType,
    pub not_null: bool,
    /// Has a default, an identity or a generation expression.
    pub has_default: bool,
    /// Computed by the server: nothing can be written to it.
    pub is_generated: bool,
}

/// A unique index over plain columns of all rows.
#[derive(Clone, Debug)]
pub(super) struct UniqueIndex {
    pub name: String,
    pub columns: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct CheckConstraint {
    pub name: String,
    /// SQL over the table's bare column names.
    pub expression: String,
}

const COLUMNS: &str = "
    SELECT a.attname, coalesce(e.typname, t.typname)::text AS type_name, a.atttypmod,
           t.typelem <> 0 AND t.typlen = -1 AND t.typcategory = 'A' AS is_array,
           format_type(a.atttypid, a.atttypmod) AS shown, a.attnotnull,
           a.atthasdef OR a.attidentity <> '' AS has_default, a.attgenerated <> '' AS is_generated
    FROM pg_attribute a
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
    WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum";

const UNIQUE: &str = "
    SELECT c.relname::text AS name,
           (SELECT array_agg(a.attname::text ORDER BY k.ordinality)
            FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, ordinality)
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
            WHERE k.ordinality <= i.indnkeyatts) AS columns
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL";

const CHECKS: &str = "
    SELECT conname::text AS name, pg_get_expr(conbin, conrelid) AS expression
    FROM pg_constraint WHERE conrelid = $1::oid AND contype = 'c' AND convalidated";

/// The table; none where there is none.
pub(super) async fn read(
    connection: &mut PgConnection,
    name: &TableName,
) -> Result<Option<StoredTable>> {
    let reading = || format!("read the columns of `{name}`");
    let found = sqlx::query(
        "SELECT c.oid::int8 AS oid, c.relkind::text AS kind FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2",
    )
    .bind(&name.schema)
    .bind(&name.table)
    .fetch_optional(&mut *connection)
    .await
    .map_err(|error| failed(reading(), error))?;
    let Some(found) = found else {
        return Ok(None);
    };
    let oid: i64 = get(&found, "oid")?;
    let kind: String = get(&found, "kind")?;
    if kind != "r" && kind != "p" {
        return Err(Error::new(
            ErrorKind::Sink,
            format!("`{name}` is no table, so rows can't be loaded into it"),
        )
        .with_retry(Retry::Never)
        .with_help("name a table, or remove the view of that name"));
    }
    let columns = rows_of(connection, COLUMNS, oid)
        .await
        .map_err(|error| failed(reading(), error))?
        .iter()
        .map(column)
        .collect::<Result<_>>()?;
    let unique = rows_of(connection, UNIQUE, oid)
        .await
        .map_err(|error| failed(reading(), error))?
        .iter()
        .map(|row| {
            Ok(UniqueIndex {
                name: get(row, "name")?,
                columns: get(row, "columns")?,
            })
        })
        .collect::<Result<_>>()?;
    let checks = rows_of(connection, CHECKS, oid)
        .await
        .map_err(|error| failed(reading(), error))?
        .iter()
        .map(|row| {
            Ok(CheckConstraint {
                name: get(row, "name")?,
                expression: get(row, "expression")?,
            })
        })
        .collect::<Result<_>>()?;
    Ok(Some(StoredTable {
        columns,
        unique,
        checks,
        is_partitioned: kind == "p",
    }))
}

async fn rows_of(
    connection: &mut PgConnection,
    sql: &str,
    oid: i64,
) -> sqlx::Result<Vec<sqlx::postgres::PgRow>> {
    sqlx::query(sql).bind(oid).fetch_all(connection).await
}

/// Privileges that are missing, by name.
pub(super) async fn missing_privileges(
    connection: &mut PgConnection,
    name: &TableName,
    needed: &[&str],
) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for privilege in needed {
        let granted: bool = sqlx::query_scalar("SELECT has_table_privilege($1, $2)")
            .bind(name.sql())
            .bind(*privilege)
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| failed(format!("look up the privileges on `{name}`"), error))?;
        if !granted {
            missing.push((*privilege).to_owned());
        }
    }
    Ok(missing)
}

/// Whether a schema is there.
pub(super) async fn has_schema(connection: &mut PgConnection, schema: &str) -> Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)")
        .bind(schema)
        .fetch_one(connection)
        .await
        .map_err(|error| failed(format!("look up the schema `{schema}`"), error))
}

impl StoredTable {
    pub(super) fn column(&self, name: &str) -> Option<&StoredColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The table's columns as the plan has them. Types of which nothing is known count as text.
    pub(super) fn fields(&self) -> Vec<ColumnField> {
        self.columns
            .iter()
            .filter(|column| !column.is_generated)
            .map(|column| ColumnField {
                name: column.name.clone(),
                column_type: column.stored.column_type().unwrap_or(ColumnType::String),
                nullable: !column.not_null,
            })
            .collect()
    }

    /// Whether a unique index is over exactly these columns.
    pub(super) fn is_unique(&self, key: &[String]) -> bool {
        self.unique.iter().any(|index| is_over(&index.columns, key))
    }
}

/// Whether an index is over exactly these columns, in any order.
pub(super) fn is_over(columns: &[String], key: &[String]) -> bool {
    columns.len() == key.len() && key.iter().all(|name| columns.contains(name))
}

fn column(row: &sqlx::postgres::PgRow) -> Result<StoredColumn> {
    Ok(StoredColumn {
        name: get(row, "attname")?,
        stored: StoredType {
            name: get(row, "type_name")?,
            modifier: get(row, "atttypmod")?,
            is_array: get(row, "is_array")?,
            shown: get(row, "shown")?,
        },
        not_null: get(row, "attnotnull")?,
        has_default: get(row, "has_default")?,
        is_generated: get(row, "is_generated")?,
    })
}

fn get<'row, T>(row: &'row sqlx::postgres::PgRow, column: &str) -> Result<T>
where
    T: sqlx::Decode<'row, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(column).map_err(|error| {
        Error::new(
            ErrorKind::Internal,
            format!("the catalog's column `{column}` is not what was expected"),
        )
        .with_source(error)
    })
}

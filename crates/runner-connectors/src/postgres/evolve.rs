//! Makes the table what a load needs: there, with its columns, wide enough. Everything in one transaction.

use std::iter;
use std::time::Duration;

use runner_core::{Error, ErrorKind, LoadContext, Result, Retry};
use runner_plan::model::{ColumnField, ColumnType};
use runner_spec::model::WriteMode;
use sqlx::{Connection as _, PgConnection};
use xxhash_rust::xxh3::xxh3_64;

use super::catalog::{self, StoredColumn, StoredTable};
use super::connect;
use super::convert::{Conversion, conversion};
use super::error::failed;
use super::names::{LOADS_TABLE, TableName, check, quote};
use super::types::sql_type;
use crate::table::widen;

/// Whole numbers up to 2^53 are doubles without loss.
const EXACT_INTEGERS: i64 = 1 << 53;

/// The table of the marks.
pub(super) fn loads_table(table: &TableName) -> TableName {
    TableName::new(&table.schema, LOADS_TABLE)
}

/// Makes the schema where it is missing, and keeps others from making things in it until the transaction ends: the server's
/// own `IF NOT EXISTS` fails where two do so at once.
pub(super) async fn make_schema(connection: &mut PgConnection, schema: &str) -> Result<()> {
    let making = |error| failed(format!("make the schema `{schema}`"), error);
    let key = xxh3_64(format!("ingestion-runner {schema}").as_bytes()).cast_signed();
    connect::execute(connection, &format!("SELECT pg_advisory_xact_lock({key})"))
        .await
        .map_err(making)?;
    if catalog::has_schema(connection, schema).await? {
        return Ok(());
    }
    connect::execute(connection, &format!("CREATE SCHEMA {}", quote(schema)))
        .await
        .map_err(making)?;
    Ok(())
}

/// Creates or changes the table, and returns it as it is then.
pub(super) async fn evolve(
    connection: &mut PgConnection,
    name: &TableName,
    load: &LoadContext,
    lock_timeout: Duration,
) -> Result<StoredTable> {
    for column in &load.columns {
        check(&column.name, "column")?;
    }
    check(&name.table, "table")?;
    let preparing = |error| failed(format!("prepare the table `{name}`"), error);
    let mut transaction = connection.begin().await.map_err(preparing)?;
    connect::limit_waiting(&mut transaction, lock_timeout)
        .await
        .map_err(preparing)?;
    change(&mut transaction, name, load).await?;
    transaction.commit().await.map_err(preparing)?;
    catalog::read(connection, name).await?.ok_or_else(|| {
        Error::new(
            ErrorKind::Sink,
            format!("the table `{name}` was dropped while it was prepared"),
        )
    })
}

async fn change(connection: &mut PgConnection, name: &TableName, load: &LoadContext) -> Result<()> {
    make_schema(connection, &name.schema).await?;
    let marks = format!(
        "CREATE TABLE IF NOT EXISTS {} (tenant text, feed text, load text, seq bigint, load_id text, \
         rows bigint, bytes bigint, rows_skipped bigint, rows_replaced bigint, committed_at timestamptz, \
         PRIMARY KEY (tenant, feed, load))",
        loads_table(name).sql()
    );
    execute(connection, name, &marks).await?;
    let statements = match catalog::read(connection, name).await? {
        None => creation(name, load),
        Some(stored) => alteration(connection, name, load, &stored).await?,
    };
    for statement in statements {
        execute(connection, name, &statement).await?;
    }
    Ok(())
}

/// Columns stay nullable, but for a merge's key: a later load may lack them.
fn creation(name: &TableName, load: &LoadContext) -> Vec<String> {
    let definitions: Vec<String> = load.columns.iter().map(definition).collect();
    let table = format!("CREATE TABLE {} ({})", name.sql(), definitions.join(", "));
    iter::once(table).chain(key(name, load)).collect()
}

/// Makes the key of a table without rows; none where the load doesn't have its columns, since nothing was read.
fn key(name: &TableName, load: &LoadContext) -> Option<String> {
    let plan = &load.plan;
    let has = |key: &String| load.columns.iter().any(|column| column.name == *key);
    if plan.primary_key.is_empty() || !plan.primary_key.iter().all(has) {
        return None;
    }
    let columns: Vec<String> = plan.primary_key.iter().map(|name| quote(name)).collect();
    let (table, columns) = (name.sql(), columns.join(", "));
    Some(match plan.write_mode {
        WriteMode::Merge => format!("ALTER TABLE {table} ADD PRIMARY KEY ({columns})"),
        WriteMode::Append | WriteMode::Replace => {
            format!("CREATE UNIQUE INDEX ON {table} ({columns})")
        }
    })
}

/// A table whose first loads were empty gets its key with the columns of it.
async fn late_key(
    connection: &mut PgConnection,
    name: &TableName,
    load: &LoadContext,
    stored: &StoredTable,
) -> Result<Option<String>> {
    let is_new = |key: &String| stored.column(key).is_none();
    let (true, Some(statement)) = (load.plan.primary_key.iter().any(is_new), key(name, load))
    else {
        return Ok(None);
    };
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {})", name.sql());
    let has_rows: bool = sqlx::query_scalar(&sql)
        .fetch_one(connection)
        .await
        .map_err(|error| failed(format!("look whether `{name}` has rows"), error))?;
    Ok((!has_rows).then_some(statement))
}

fn definition(column: &ColumnField) -> String {
    format!("{} {}", quote(&column.name), sql_type(&column.column_type))
}

async fn alteration(
    connection: &mut PgConnection,
    name: &TableName,
    load: &LoadContext,
    stored: &StoredTable,
) -> Result<Vec<String>> {
    let mut statements = Vec::new();
    for column in &load.columns {
        let Some(existing) = stored.column(&column.name) else {
            statements.push(format!(
                "ALTER TABLE {} ADD COLUMN {}",
                name.sql(),
                definition(column)
            ));
            continue;
        };
        if existing.is_generated {
            return Err(Error::new(
                ErrorKind::Sink,
                format!(
                    "column `{}` of `{name}` is computed by the server",
                    column.name
                ),
            )
            .with_retry(Retry::Never)
            .with_help("map the field to another name"));
        }
        match conversion(&column.column_type, &existing.stored) {
            Conversion::Safe(_) | Conversion::Checked(_) => {}
            Conversion::Alter => {
                check_exact(connection, name, column, existing).await?;
                statements.push(widening(name, column));
            }
            Conversion::Conflict => return Err(conflict(name, column, existing)),
        }
    }
    statements.extend(late_key(connection, name, load, stored).await?);
    Ok(statements)
}

fn widening(name: &TableName, column: &ColumnField) -> String {
    let (quoted, wider) = (quote(&column.name), sql_type(&column.column_type));
    format!(
        "ALTER TABLE {} ALTER COLUMN {quoted} TYPE {wider} USING {quoted}::{wider}",
        name.sql()
    )
}

/// Stored integers become doubles only where none of them loses a digit.
async fn check_exact(
    connection: &mut PgConnection,
    name: &TableName,
    column: &ColumnField,
    existing: &StoredColumn,
) -> Result<()> {
    if column.column_type != ColumnType::Number {
        return Ok(());
    }
    let quoted = quote(&column.name);
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM {} WHERE {quoted} NOT BETWEEN -{EXACT_INTEGERS} AND {EXACT_INTEGERS})",
        name.sql()
    );
    let is_lossy: bool = sqlx::query_scalar(&sql)
        .fetch_one(connection)
        .await
        .map_err(|error| {
            failed(
                format!("look through column `{}` of `{name}`", column.name),
                error,
            )
        })?;
    if is_lossy {
        return Err(conflict(name, column, existing)
            .with_context("reason", "stored values are no doubles without loss"));
    }
    Ok(())
}

fn conflict(name: &TableName, column: &ColumnField, existing: &StoredColumn) -> Error {
    let help = match existing.stored.column_type() {
        Some(stored) if widen::is_wider(&column.column_type, &stored) => {
            format!("give the column the type {stored} in the contract")
        }
        _ => {
            "load into another table, change the table's column, or change the contract".to_owned()
        }
    };
    let stored = existing.stored.column_type().map_or_else(
        || existing.stored.shown.clone(),
        |stored| format!("{} ({stored})", existing.stored.shown),
    );
    Error::new(
        ErrorKind::Sink,
        format!(
            "column `{}` of `{name}` has the type {stored}, and the rows have {}",
            column.name, column.column_type
        ),
    )
    .with_retry(Retry::Never)
    .with_help(help)
}

async fn execute(connection: &mut PgConnection, name: &TableName, sql: &str) -> Result<()> {
    connect::execute(connection, sql)
        .await
        .map_err(|error| failed(format!("prepare the table `{name}`"), error))?;
    Ok(())
}

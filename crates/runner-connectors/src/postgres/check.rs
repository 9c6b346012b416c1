//! Looks through the staged rows for what would make their commit fail: missing rows, nulls, values and keys that don't fit.

use runner_core::{Error, ErrorKind, LoadContext, Result, Retry};
use runner_spec::model::WriteMode;
use sqlx::{PgConnection, Row as _};

use super::catalog::{StoredTable, is_over};
use super::convert::{Cast, Conversion, conversion};
use super::error::failed;
use super::names::{TableName, quote};
use super::staging::{Staged, leave_out_unrecorded, within};
use super::statements::Statements;
use super::types::sql_type;

/// Everything that is checked.
pub(super) async fn check(
    connection: &mut PgConnection,
    statements: &Statements<'_>,
) -> Result<()> {
    // A load without rows knows no columns either, and lacks none.
    if statements.staged.is_empty() {
        return Ok(());
    }
    columns_are_filled(statements)?;
    for staged in statements.staged {
        rows_are_good(connection, statements, staged).await?;
    }
    unique_indexes(connection, statements).await?;
    check_constraints(connection, statements).await
}

/// Columns that must have a value, and that no row of this load has.
fn columns_are_filled(statements: &Statements<'_>) -> Result<()> {
    let given = |name: &str| {
        statements
            .load
            .columns
            .iter()
            .any(|column| column.name == name)
    };
    let lacking = statements.stored.columns.iter().find(|column| {
        column.not_null && !column.has_default && !column.is_generated && !given(&column.name)
    });
    match lacking {
        None => Ok(()),
        Some(column) => Err(lasting(
            statements.target,
            format!(
                "column `{}` needs a value and has no default, and the rows have no such column",
                column.name
            ),
            "map a field to it, or give the column a default",
        )),
    }
}

/// One condition that no row may fulfil.
struct Flaw {
    condition: String,
    message: String,
    help: &'static str,
}

async fn rows_are_good(
    connection: &mut PgConnection,
    statements: &Statements<'_>,
    staged: &Staged,
) -> Result<()> {
    let flaws = flaws(statements, staged)?;
    let looking = || format!("look through the staged rows of `{}`", statements.target);
    let mut counted = count(connection, staged, &flaws).await;
    // Rows that were written and never recorded are rare: asking for them in the same look costs less than deleting none.
    if !counted.as_ref().is_ok_and(|counts| counts.unrecorded == 0) {
        leave_out_unrecorded(connection, staged).await?;
        counted = count(connection, staged, &flaws).await;
    }
    let counts = match counted {
        Ok(counts) => counts,
        Err(error) if flaws.is_empty() => return Err(failed(looking(), error)),
        Err(_) => {
            // A value that can't even be tried: find out which column it is of.
            for flaw in &flaws {
                let tried = count(connection, staged, std::slice::from_ref(flaw)).await;
                if let Err(error) = tried {
                    return Err(lasting(statements.target, flaw.message.clone(), flaw.help)
                        .with_source(error));
                }
            }
            return Err(Error::new(
                ErrorKind::Sink,
                format!("failed to {}", looking()),
            ));
        }
    };
    if counts.recorded != staged.rows {
        return Err(missing_rows(staged, counts.recorded));
    }
    for (flaw, rows) in flaws.iter().zip(counts.flawed) {
        if rows > 0 {
            let message = format!("{} ({rows} rows)", flaw.message);
            return Err(lasting(statements.target, message, flaw.help));
        }
    }
    Ok(())
}

/// Rows of a staging table.
struct Counts {
    recorded: u64,
    unrecorded: u64,
    /// Of each flaw.
    flawed: Vec<u64>,
}

/// Counts all of it in one look.
async fn count(
    connection: &mut PgConnection,
    staged: &Staged,
    flaws: &[Flaw],
) -> sqlx::Result<Counts> {
    let mut counts = vec![
        "count(*)".to_owned(),
        format!("count(*) FILTER (WHERE NOT {})", within(&staged.numbers)),
    ];
    counts.extend(
        flaws
            .iter()
            .map(|flaw| format!("count(*) FILTER (WHERE {})", flaw.condition)),
    );
    let sql = format!("SELECT {} FROM {}", counts.join(", "), staged.table.sql());
    let row = sqlx::query(&sql).fetch_one(connection).await?;
    let rows = |index: usize| -> sqlx::Result<u64> {
        let count: i64 = row.try_get(index)?;
        Ok(u64::try_from(count).unwrap_or(0))
    };
    let unrecorded = rows(1)?;
    Ok(Counts {
        recorded: rows(0)? - unrecorded,
        unrecorded,
        flawed: (0..flaws.len())
            .map(|index| rows(index + 2))
            .collect::<sqlx::Result<_>>()?,
    })
}

/// The staging table doesn't hold what was sealed.
pub(super) fn missing_rows(staged: &Staged, found: u64) -> Error {
    Error::new(
        ErrorKind::Sink,
        format!(
            "the staging table `{}` holds {found} rows instead of {}",
            staged.table, staged.rows
        ),
    )
    .with_retry(Retry::Never)
    .with_help("abandon the job and run the feed again: rows that were sealed are lost")
}

fn flaws(statements: &Statements<'_>, staged: &Staged) -> Result<Vec<Flaw>> {
    let load = statements.load;
    let mut flaws = Vec::new();
    for column in &load.columns {
        let Some(stored) = statements.stored.column(&column.name) else {
            continue;
        };
        let own = statements.own_value(staged, column)?;
        let is_key = load.plan.write_mode == WriteMode::Merge
            && load.plan.primary_key.contains(&column.name);
        if is_key || stored.not_null {
            let (message, help) = if is_key {
                (
                    format!("a row has no value in `{}` of its primary key", column.name),
                    "rows without a key belong in the quarantine; make the key's columns required",
                )
            } else {
                (
                    format!(
                        "a row has no value in `{}`, which must not be null",
                        column.name
                    ),
                    "make the column required in the contract, or let the table's column be null",
                )
            };
            flaws.push(Flaw {
                condition: format!("{own} IS NULL"),
                message,
                help,
            });
        }
        if let Conversion::Checked(cast) = conversion(&column.column_type, &stored.stored) {
            let back = Cast::To(sql_type(&column.column_type)).apply(&cast.apply(&own));
            flaws.push(Flaw {
                condition: format!("{back} IS DISTINCT FROM {own}"),
                message: format!(
                    "a value of column `{}` ({}) doesn't fit the type {}",
                    column.name, column.column_type, stored.stored.shown
                ),
                help: "change the table's column to a wider type",
            });
        }
    }
    Ok(flaws)
}

/// Unique indexes other than the key's own: rows that break one would make the commit fail.
async fn unique_indexes(connection: &mut PgConnection, statements: &Statements<'_>) -> Result<()> {
    let load = statements.load;
    let given = |name: &String| load.columns.iter().any(|column| column.name == *name);
    for index in &statements.stored.unique {
        if is_over(&index.columns, &load.plan.primary_key) || !index.columns.iter().all(given) {
            continue;
        }
        let columns: Vec<String> = index.columns.iter().map(|name| quote(name)).collect();
        let list = columns.join(", ");
        let present: Vec<String> = columns
            .iter()
            .map(|column| format!("{column} IS NOT NULL"))
            .collect();
        let rows = if load.plan.primary_key.is_empty() {
            statements.all_rows(false)?
        } else {
            statements.winners()?
        };
        let within = format!(
            "SELECT EXISTS (SELECT 1 FROM ({rows}) AS staged WHERE {} GROUP BY {list} HAVING count(*) > 1)",
            present.join(" AND ")
        );
        let mut queries = vec![within];
        if load.plan.write_mode != WriteMode::Replace {
            queries.push(against_table(statements, &rows, &columns));
        }
        for query in queries {
            let is_broken: bool = sqlx::query_scalar(&query)
                .fetch_one(&mut *connection)
                .await
                .map_err(|error| {
                    failed(format!("check the unique index `{}`", index.name), error)
                })?;
            if is_broken {
                let message = format!(
                    "rows break the unique index `{}` over {}",
                    index.name,
                    index.columns.join(", ")
                );
                let help =
                    "declare these columns as `primary_key`, so that rows are told apart by them";
                return Err(lasting(statements.target, message, help));
            }
        }
    }
    Ok(())
}

/// Whether a staged row meets another key's row in the table.
fn against_table(statements: &Statements<'_>, rows: &str, columns: &[String]) -> String {
    let pairs = |columns: &[String]| -> Vec<String> {
        columns
            .iter()
            .map(|column| format!("staged.{column} = target.{column}"))
            .collect()
    };
    let key: Vec<String> = statements
        .load
        .plan
        .primary_key
        .iter()
        .map(|name| quote(name))
        .collect();
    let is_other = if key.is_empty() {
        String::new()
    } else {
        format!(" AND NOT ({})", pairs(&key).join(" AND "))
    };
    format!(
        "SELECT EXISTS (SELECT 1 FROM ({rows}) AS staged JOIN {} AS target ON {}{is_other})",
        statements.target.sql(),
        pairs(columns).join(" AND ")
    )
}

async fn check_constraints(
    connection: &mut PgConnection,
    statements: &Statements<'_>,
) -> Result<()> {
    let StoredTable {
        checks, columns, ..
    } = statements.stored;
    if checks.is_empty() {
        return Ok(());
    }
    let given = |name: &str| {
        statements
            .load
            .columns
            .iter()
            .any(|column| column.name == name)
    };
    // Constraints name the table's columns bare; those that the load lacks count as null, which breaks none.
    let selected: Vec<String> = std::iter::once("staged.*".to_owned())
        .chain(
            columns
                .iter()
                .filter(|column| !given(&column.name))
                .map(|column| format!("NULL::{} AS {}", column.stored.shown, quote(&column.name))),
        )
        .collect();
    let selected = selected.join(", ");
    let rows = statements.all_rows(false)?;
    for constraint in checks {
        let query = format!(
            "SELECT count(*) FROM (SELECT {selected} FROM ({rows}) AS staged) AS staged WHERE NOT ({})",
            constraint.expression
        );
        let broken: i64 = sqlx::query_scalar(&query)
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| {
                failed(format!("check the constraint `{}`", constraint.name), error)
            })?;
        if broken > 0 {
            let message = format!("{broken} rows break the constraint `{}`", constraint.name);
            let help = "put the rule into `validation_rules` or the contract, so that such rows go to the quarantine";
            return Err(lasting(statements.target, message, help));
        }
    }
    Ok(())
}

/// The privileges that a load needs.
pub(super) fn needed_privileges(load: &LoadContext) -> &'static [&'static str] {
    match load.plan.write_mode {
        WriteMode::Append => &["SELECT", "INSERT"],
        WriteMode::Replace => &["SELECT", "INSERT", "DELETE"],
        WriteMode::Merge => &["SELECT", "INSERT", "UPDATE", "DELETE"],
    }
}

pub(super) fn lasting(table: &TableName, message: String, help: &'static str) -> Error {
    Error::new(ErrorKind::Sink, message)
        .with_retry(Retry::Never)
        .with_context("table", table)
        .with_help(help)
}

//! One transaction: the mark's row is locked first, the rows go in, the mark moves.

use runner_core::{Error, ErrorKind, Fence, LoadContext, Part, Result, Seq, Written, fault};
use runner_spec::model::WriteMode;
use sqlx::{Connection as _, PgConnection, PgTransaction, Row as _};

use super::catalog::{self, StoredTable};
use super::check::missing_rows;
use super::connect;
use super::error::{failed, is_outcome_unknown};
use super::evolve::loads_table;
use super::names::TableName;
use super::scope;
use super::staging::{Staged, drop_all, tables_of};
use super::statements::Statements;
use super::target::PostgresTarget;

/// The mark's row is locked while a load is committed: a process that hangs meanwhile must not hold up the one that takes over.
const IDLE_LIMIT: &str = "SET LOCAL idle_in_transaction_session_timeout = '30s'";

/// What a load did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    rows: u64,
    skipped: u64,
    replaced: u64,
}

/// The last load, as the mark's row has it.
struct Last {
    seq: Seq,
    load_id: String,
    counts: Counts,
    bytes: u64,
}

pub(super) async fn commit(
    target: &PostgresTarget,
    fence: &Fence,
    load: &LoadContext,
    parts: &[Part],
) -> Result<Written> {
    let staged = tables_of(parts)?;
    let bytes = parts.iter().map(|part| part.bytes).sum();
    let mut connection = target.acquire().await?;
    let outcome = transact(&mut connection, target, fence, load, &staged, bytes).await;
    let (last, already_done) = match outcome {
        Ok(outcome) => outcome,
        Err(Failure::Known(error)) => return Err(error),
        // The connection was lost on the way: only the mark knows what became of it.
        Err(Failure::Unknown(error)) => {
            drop(connection);
            connection = target.acquire().await?;
            match read_mark(&mut connection, target.table(), load, "").await? {
                Some(last) if last.load_id == load.id.to_string() => (last, false),
                _ => return Err(error),
            }
        }
    };
    let tables: Vec<TableName> = staged.into_iter().map(|staged| staged.table).collect();
    if let Err(error) = drop_all(&mut connection, &tables).await {
        // They are swept later; the load stands.
        tracing::warn!(load = %load.id, %error, "failed to drop the staging tables of a load");
    }
    Ok(Written {
        rows: last.counts.rows,
        bytes: last.bytes,
        rows_skipped: last.counts.skipped,
        rows_replaced: last.counts.replaced,
        location: target.location(),
        already_done,
    })
}

enum Failure {
    Known(Error),
    Unknown(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Known(error)
    }
}

async fn transact(
    connection: &mut PgConnection,
    target: &PostgresTarget,
    fence: &Fence,
    load: &LoadContext,
    staged: &[Staged],
    bytes: u64,
) -> Result<(Last, bool), Failure> {
    let table = target.table();
    let committing = || format!("commit a load of `{table}`");
    let mut transaction = connection
        .begin()
        .await
        .map_err(|error| failed(committing(), error))?;
    connect::limit_waiting(&mut transaction, target.lock_timeout())
        .await
        .map_err(|error| failed(committing(), error))?;
    sqlx::query(IDLE_LIMIT)
        .execute(&mut *transaction)
        .await
        .map_err(|error| failed(committing(), error))?;
    if let Some(last) = lock_mark(&mut transaction, table, load).await? {
        if last.load_id == load.id.to_string() {
            return Ok((last, true));
        }
        if last.seq >= fence.seq {
            return Err(conflict(table, load, &last).into());
        }
    }
    let stored = catalog::read(&mut transaction, table)
        .await?
        .ok_or_else(|| {
            Error::new(ErrorKind::Sink, format!("the table `{table}` is gone"))
                .with_help("prepare the load again: `jobs retry`")
        })?;
    let statements = Statements {
        target: table,
        load,
        stored: &stored,
        staged,
    };
    let counts = write(&mut transaction, &statements, &stored).await?;
    let last = Last {
        seq: load.seq,
        load_id: load.id.to_string(),
        counts,
        bytes,
    };
    move_mark(&mut transaction, table, load, &last).await?;
    fault::commit_point(&load.id.load, "during");
    transaction.commit().await.map_err(|error| {
        let is_unknown = is_outcome_unknown(&error);
        let error = failed(committing(), error);
        if is_unknown {
            Failure::Unknown(error)
        } else {
            Failure::Known(error)
        }
    })?;
    Ok((last, false))
}

async fn write(
    transaction: &mut PgTransaction<'_>,
    statements: &Statements<'_>,
    stored: &StoredTable,
) -> Result<Counts> {
    let plan = &statements.load.plan;
    match plan.write_mode {
        WriteMode::Replace => {
            let deleted = execute(transaction, statements, &scope::delete(statements)?).await?;
            let mut counts = insert_all(transaction, statements).await?;
            counts.replaced = deleted;
            Ok(counts)
        }
        WriteMode::Append if plan.primary_key.is_empty() => {
            insert_all(transaction, statements).await
        }
        WriteMode::Append | WriteMode::Merge => {
            let replaces = plan.write_mode == WriteMode::Merge && !statements.load.insert_only;
            if statements.staged.is_empty() {
                Ok(Counts::default())
            } else if stored.is_unique(&plan.primary_key) && !stored.is_partitioned {
                upsert(transaction, statements, replaces).await
            } else {
                upsert_in_steps(transaction, statements, replaces).await
            }
        }
    }
}

/// Adds every row; all of them have to arrive.
async fn insert_all(
    transaction: &mut PgTransaction<'_>,
    statements: &Statements<'_>,
) -> Result<Counts> {
    if statements.staged.is_empty() {
        return Ok(Counts::default());
    }
    if !statements.load.plan.primary_key.is_empty() {
        let rows = execute(transaction, statements, &statements.insert_winners()?).await?;
        return Ok(Counts {
            rows,
            ..Counts::default()
        });
    }
    let mut counts = Counts::default();
    for staged in statements.staged {
        let rows = execute(transaction, statements, &statements.insert(staged)?).await?;
        if rows != staged.rows {
            return Err(missing_rows(staged, rows));
        }
        counts.rows += rows;
    }
    Ok(counts)
}

async fn upsert(
    transaction: &mut PgTransaction<'_>,
    statements: &Statements<'_>,
    replaces: bool,
) -> Result<Counts> {
    let sql = statements.upsert(replaces)?;
    let row = sqlx::query(&sql)
        .fetch_one(&mut **transaction)
        .await
        .map_err(|error| writing(statements, error))?;
    let count = |column: &str| -> Result<u64> {
        let count: i64 = row
            .try_get(column)
            .map_err(|error| writing(statements, error))?;
        Ok(u64::try_from(count).unwrap_or(0))
    };
    let (given, written, added) = (count("given")?, count("written")?, count("added")?);
    Ok(Counts {
        rows: written,
        skipped: given - written,
        replaced: written - added,
    })
}

async fn upsert_in_steps(
    transaction: &mut PgTransaction<'_>,
    statements: &Statements<'_>,
    replaces: bool,
) -> Result<Counts> {
    let upsert = statements.upsert_steps(replaces)?;
    execute(transaction, statements, &upsert.lock).await?;
    execute(transaction, statements, &upsert.collect).await?;
    let given: i64 = sqlx::query_scalar(&upsert.count)
        .fetch_one(&mut **transaction)
        .await
        .map_err(|error| writing(statements, error))?;
    let deleted = match &upsert.delete {
        Some(delete) => execute(transaction, statements, delete).await?,
        None => 0,
    };
    let rows = execute(transaction, statements, &upsert.insert).await?;
    Ok(Counts {
        rows,
        skipped: u64::try_from(given).unwrap_or(0).saturating_sub(rows),
        replaced: deleted,
    })
}

async fn execute(
    transaction: &mut PgTransaction<'_>,
    statements: &Statements<'_>,
    sql: &str,
) -> Result<u64> {
    connect::execute(transaction, sql)
        .await
        .map_err(|error| writing(statements, error))
}

fn writing(statements: &Statements<'_>, error: sqlx::Error) -> Error {
    failed(format!("write a load into `{}`", statements.target), error)
}

/// Locks the mark's row, which is made where there is none; `None` where nothing was loaded yet.
async fn lock_mark(
    transaction: &mut PgTransaction<'_>,
    table: &TableName,
    load: &LoadContext,
) -> Result<Option<Last>> {
    let sql = format!(
        "INSERT INTO {} (tenant, feed, load) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        loads_table(table).sql()
    );
    sqlx::query(&sql)
        .bind(load.feed.tenant.as_str())
        .bind(&load.feed.name)
        .bind(&load.id.load)
        .execute(&mut **transaction)
        .await
        .map_err(|error| failed(format!("lock the mark of `{table}`"), error))?;
    read_mark(transaction, table, load, " FOR UPDATE").await
}

async fn read_mark(
    connection: &mut PgConnection,
    table: &TableName,
    load: &LoadContext,
    lock: &str,
) -> Result<Option<Last>> {
    let reading = || format!("read the mark of `{table}`");
    let sql = format!(
        "SELECT seq, load_id, rows, bytes, rows_skipped, rows_replaced FROM {} \
         WHERE tenant = $1 AND feed = $2 AND load = $3 AND load_id IS NOT NULL{lock}",
        loads_table(table).sql()
    );
    let row = sqlx::query(&sql)
        .bind(load.feed.tenant.as_str())
        .bind(&load.feed.name)
        .bind(&load.id.load)
        .fetch_optional(connection)
        .await
        .map_err(|error| failed(reading(), error))?;
    let Some(row) = row else {
        return Ok(None);
    };
    let number = |column: &str| -> Result<u64> {
        let value: Option<i64> = row
            .try_get(column)
            .map_err(|error| failed(reading(), error))?;
        Ok(u64::try_from(value.unwrap_or(0)).unwrap_or(0))
    };
    Ok(Some(Last {
        seq: Seq(number("seq")?),
        load_id: row
            .try_get("load_id")
            .map_err(|error| failed(reading(), error))?,
        counts: Counts {
            rows: number("rows")?,
            skipped: number("rows_skipped")?,
            replaced: number("rows_replaced")?,
        },
        bytes: number("bytes")?,
    }))
}

async fn move_mark(
    transaction: &mut PgTransaction<'_>,
    table: &TableName,
    load: &LoadContext,
    last: &Last,
) -> Result<()> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let sql = format!(
        "UPDATE {} SET seq = $4, load_id = $5, rows = $6, bytes = $7, rows_skipped = $8, \
         rows_replaced = $9, committed_at = now() WHERE tenant = $1 AND feed = $2 AND load = $3",
        loads_table(table).sql()
    );
    sqlx::query(&sql)
        .bind(load.feed.tenant.as_str())
        .bind(&load.feed.name)
        .bind(&load.id.load)
        .bind(number(last.seq.0))
        .bind(&last.load_id)
        .bind(number(last.counts.rows))
        .bind(number(last.bytes))
        .bind(number(last.counts.skipped))
        .bind(number(last.counts.replaced))
        .execute(&mut **transaction)
        .await
        .map_err(|error| failed(format!("move the mark of `{table}`"), error))?;
    Ok(())
}

fn conflict(table: &TableName, load: &LoadContext, last: &Last) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "`{table}` already holds a later load than number {}: number {}",
            load.seq.0, last.seq.0
        ),
    )
    .with_context("load", &load.id)
    .with_context("later", &last.load_id)
    .with_help("run the feed again: a load is never put below a later one")
}

//! Sealed values of parents: a list of any length, written and read in pages.

use runner_core::{Error, ErrorKind, Result};
use sqlx::{Row as _, SqliteConnection};

use super::rows;
use crate::error::During as _;

/// Values that one call returns at most.
const PAGE: u32 = 100_000;

/// Appends values that the list doesn't have, in their order.
pub(super) async fn seal(
    connection: &mut SqliteConnection,
    key: i64,
    stream: &str,
    field: &str,
    values: &[String],
    complete: bool,
) -> Result<()> {
    let was_complete = is_complete(connection, key, stream, field).await?;
    let added = append(connection, key, stream, field, values).await?;
    if was_complete && added > 0 {
        return Err(Error::new(
            ErrorKind::Internal,
            format!("values of `{stream}.{field}` came after their list was complete"),
        ));
    }
    sqlx::query(
        "INSERT INTO value_lists (job_key, stream, field, is_complete) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (job_key, stream, field) DO UPDATE SET is_complete = MAX(is_complete, excluded.is_complete)",
    )
    .bind(key)
    .bind(stream)
    .bind(field)
    .bind(complete)
    .execute(connection)
    .await
    .during("note a list of values")
    .map(drop)
}

pub(super) async fn page(
    connection: &mut SqliteConnection,
    key: i64,
    stream: &str,
    field: &str,
    from: u64,
    limit: u32,
) -> Result<(Vec<String>, bool)> {
    let complete = is_complete(connection, key, stream, field).await?;
    let values: Vec<String> = sqlx::query_scalar(
        "SELECT parent_value FROM parent_values WHERE job_key = ?1 AND stream = ?2 AND field = ?3 AND place >= ?4 \
         ORDER BY place LIMIT ?5",
    )
    .bind(key)
    .bind(stream)
    .bind(field)
    .bind(rows::signed(from))
    .bind(i64::from(limit.min(PAGE)))
    .fetch_all(connection)
    .await
    .during("read values of a parent")?;
    Ok((values, complete))
}

async fn is_complete(
    connection: &mut SqliteConnection,
    key: i64,
    stream: &str,
    field: &str,
) -> Result<bool> {
    let row = sqlx::query(
        "SELECT is_complete FROM value_lists WHERE job_key = ?1 AND stream = ?2 AND field = ?3",
    )
    .bind(key)
    .bind(stream)
    .bind(field)
    .fetch_optional(connection)
    .await
    .during("read a list of values")?;
    Ok(row.is_some_and(|row| row.get("is_complete")))
}

async fn append(
    connection: &mut SqliteConnection,
    key: i64,
    stream: &str,
    field: &str,
    values: &[String],
) -> Result<u64> {
    if values.is_empty() {
        return Ok(0);
    }
    let next: i64 = sqlx::query_scalar(
        "SELECT COALESCE(MAX(place) + 1, 0) FROM parent_values WHERE job_key = ?1 AND stream = ?2 AND field = ?3",
    )
    .bind(key)
    .bind(stream)
    .bind(field)
    .fetch_one(&mut *connection)
    .await
    .during("count values of a parent")?;
    let added = sqlx::query(
        "INSERT INTO parent_values (job_key, stream, field, place, parent_value) \
         SELECT ?1, ?2, ?3, ?4 + ROW_NUMBER() OVER (ORDER BY MIN(j.key)) - 1, j.value FROM json_each(?5) AS j \
         WHERE NOT EXISTS (SELECT 1 FROM parent_values AS p WHERE p.job_key = ?1 AND p.stream = ?2 AND p.field = ?3 \
         AND p.parent_value = j.value) GROUP BY j.value",
    )
    .bind(key)
    .bind(stream)
    .bind(field)
    .bind(next)
    .bind(rows::to_json("values", &values)?)
    .execute(connection)
    .await
    .during("store values of a parent")?;
    Ok(added.rows_affected())
}

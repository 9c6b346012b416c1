//! Staging tables: one per writer, and the parts in them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runner_core::{Error, ErrorKind, FeedId, Part, Result, Segment, Segments};
use runner_plan::model::{ColumnField, LoadPlan};
use runner_spec::model::WriteMode;
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, PgConnection, PgPool, Row as _};

use super::connect::{execute, limit_waiting};
use super::error::failed;
use super::evolve::make_schema;
use super::names::{
    CHAIN_COLUMN, PART_COLUMN, ROW_COLUMN, TableName, check, literal, quote, staging_prefix,
};
use super::types::sql_type;

/// How long dropping a table waits for whoever uses it.
const DROP_LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// What a part records beside its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PartDetails {
    pub schema: String,
    pub table: String,
    /// Numbers of its segments (`_uis_part`), as inclusive ranges; in the order of the segments.
    pub numbers: Vec<(i32, i32)>,
    /// Columns of the staging table, without the tags.
    pub columns: Vec<ColumnField>,
}

impl PartDetails {
    pub(super) fn of(part: &Part) -> Result<Self> {
        Self::deserialize(&part.details).map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                format!("part `{}` lacks what PostgreSQL needs", part.name),
            )
            .with_source(error)
        })
    }

    pub(super) fn to_json(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self).map_err(|error| {
            Error::new(ErrorKind::Internal, "failed to encode a part").with_source(error)
        })
    }

    pub(super) fn staging(&self) -> TableName {
        TableName::new(&self.schema, &self.table)
    }

    /// The numbers one by one, each with its segment.
    pub(super) fn numbered<'a>(
        &'a self,
        segments: &'a Segments,
    ) -> impl Iterator<Item = (i32, Segment)> {
        self.numbers
            .iter()
            .flat_map(|(low, high)| *low..=*high)
            .zip(segments)
    }
}

/// Parts of a load that stand in one staging table.
#[derive(Clone, Debug)]
pub(super) struct Staged {
    pub table: TableName,
    pub columns: Vec<ColumnField>,
    /// Numbers whose rows are loaded, as sorted inclusive ranges that don't touch.
    pub numbers: Vec<(i32, i32)>,
    pub rows: u64,
}

/// The staging tables of some parts, in the order of the parts.
pub(super) fn tables_of(parts: &[Part]) -> Result<Vec<Staged>> {
    let mut tables: Vec<Staged> = Vec::new();
    for part in parts {
        let details = PartDetails::of(part)?;
        let name = details.staging();
        let found = tables.iter().position(|staged| staged.table == name);
        let index = found.unwrap_or_else(|| {
            tables.push(Staged {
                table: name,
                columns: details.columns,
                numbers: Vec::new(),
                rows: 0,
            });
            tables.len() - 1
        });
        tables[index].numbers.extend(details.numbers);
        tables[index].rows += part.rows;
    }
    for staged in &mut tables {
        staged.numbers = joined(std::mem::take(&mut staged.numbers));
    }
    Ok(tables)
}

fn joined(mut ranges: Vec<(i32, i32)>) -> Vec<(i32, i32)> {
    ranges.sort_unstable();
    let mut joined: Vec<(i32, i32)> = Vec::new();
    for (low, high) in ranges {
        match joined.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => joined.push((low, high)),
        }
    }
    joined
}

/// Whether rows are ranked by key, and so carry their chain and their place.
pub(super) fn is_ranked(plan: &LoadPlan) -> bool {
    plan.write_mode == WriteMode::Merge || !plan.primary_key.is_empty()
}

/// Who made a staging table; kept as its comment, for whoever sweeps.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    feed: String,
    load: String,
    created_at: DateTime<Utc>,
}

/// Makes a staging table with these columns.
pub(super) async fn create(
    pool: &PgPool,
    name: &TableName,
    columns: &[ColumnField],
    ranked: bool,
    feed: &FeedId,
    load: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let mut definitions = vec![format!("{} integer NOT NULL", quote(PART_COLUMN))];
    if ranked {
        definitions.push(format!("{} bigint NOT NULL", quote(CHAIN_COLUMN)));
        definitions.push(format!("{} bigint NOT NULL", quote(ROW_COLUMN)));
    }
    for column in columns {
        check(&column.name, "column")?;
        definitions.push(format!(
            "{} {}",
            quote(&column.name),
            sql_type(&column.column_type)
        ));
    }
    let owner = Owner {
        feed: feed.to_string(),
        load: load.to_owned(),
        created_at: now,
    };
    let owner = serde_json::to_string(&owner).map_err(|error| {
        Error::new(ErrorKind::Internal, "failed to describe a staging table").with_source(error)
    })?;
    // Rows are only ever added, in large pieces, and the table is dropped soon: vacuuming it is work for nothing.
    let sql = format!(
        "CREATE TABLE {table} ({definitions}) WITH (autovacuum_enabled = false); \
         COMMENT ON TABLE {table} IS {owner}",
        table = name.sql(),
        definitions = definitions.join(", "),
        owner = literal(&owner),
    );
    let creating = |error| failed(format!("create the staging table `{name}`"), error);
    let mut transaction = pool.begin().await.map_err(creating)?;
    make_schema(&mut transaction, &name.schema).await?;
    execute(&mut transaction, &sql).await.map_err(creating)?;
    transaction.commit().await.map_err(creating)
}

/// Drops staging tables that are there. One that a hung writer still copies to is an error soon: it can be dropped later.
pub(super) async fn drop_all(connection: &mut PgConnection, tables: &[TableName]) -> Result<()> {
    for table in tables {
        let dropping = || format!("drop the staging table `{table}`");
        let mut transaction = connection
            .begin()
            .await
            .map_err(|error| failed(dropping(), error))?;
        limit_waiting(&mut transaction, DROP_LOCK_TIMEOUT)
            .await
            .map_err(|error| failed(dropping(), error))?;
        let sql = format!("DROP TABLE IF EXISTS {}", table.sql());
        execute(&mut transaction, &sql)
            .await
            .map_err(|error| failed(dropping(), error))?;
        transaction
            .commit()
            .await
            .map_err(|error| failed(dropping(), error))?;
    }
    Ok(())
}

/// Whether a table is there.
pub(super) async fn exists(connection: &mut PgConnection, table: &TableName) -> Result<bool> {
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(table.sql())
        .fetch_one(connection)
        .await
        .map_err(|error| failed(format!("look up the staging table `{table}`"), error))
}

/// Deletes rows that were written but never recorded.
pub(super) async fn leave_out_unrecorded(
    connection: &mut PgConnection,
    staged: &Staged,
) -> Result<()> {
    let sql = format!(
        "DELETE FROM {} WHERE NOT {}",
        staged.table.sql(),
        within(&staged.numbers)
    );
    execute(connection, &sql)
        .await
        .map_err(|error| failed(leaving_out(staged), error))?;
    Ok(())
}

pub(super) fn leaving_out(staged: &Staged) -> String {
    format!("leave rows out of the staging table `{}`", staged.table)
}

/// Deletes the rows of these numbers; drops the table where nothing else is in it, which is the usual case and costs no deletion.
pub(super) async fn discard(
    connection: &mut PgConnection,
    table: &TableName,
    numbers: &[(i32, i32)],
) -> Result<()> {
    if !exists(connection, table).await? {
        return Ok(());
    }
    let holds_others: bool = sqlx::query_scalar(&format!(
        "SELECT EXISTS (SELECT 1 FROM {} WHERE NOT {})",
        table.sql(),
        within(numbers)
    ))
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| failed(discarding(table), error))?;
    if holds_others {
        let sql = format!("DELETE FROM {} WHERE {}", table.sql(), within(numbers));
        execute(connection, &sql)
            .await
            .map_err(|error| failed(discarding(table), error))?;
        return Ok(());
    }
    drop_all(connection, std::slice::from_ref(table)).await
}

fn discarding(table: &TableName) -> String {
    format!("discard rows of the staging table `{table}`")
}

/// A condition on the part number; false without ranges.
pub(super) fn within(numbers: &[(i32, i32)]) -> String {
    if numbers.is_empty() {
        return "false".to_owned();
    }
    let column = quote(PART_COLUMN);
    let (single, ranges): (Vec<_>, Vec<_>) = numbers.iter().partition(|(low, high)| low == high);
    let mut conditions: Vec<String> = ranges
        .iter()
        .map(|(low, high)| format!("{column} BETWEEN {low} AND {high}"))
        .collect();
    if !single.is_empty() {
        // The server looks these up in a hash table.
        let list: Vec<String> = single.iter().map(|(low, _)| low.to_string()).collect();
        conditions.push(format!("{column} = ANY ('{{{}}}')", list.join(",")));
    }
    format!("({})", conditions.join(" OR "))
}

/// A feed's staging tables for one table, with when each was made.
pub(super) async fn of_feed(
    pool: &PgPool,
    schema: &str,
    feed: &FeedId,
    load: &str,
) -> Result<Vec<(TableName, Option<DateTime<Utc>>)>> {
    let rows = sqlx::query(
        "SELECT c.relname::text AS name, obj_description(c.oid, 'pg_class') AS owner
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relkind = 'r' AND starts_with(c.relname::text, $2) ORDER BY 1",
    )
    .bind(schema)
    .bind(staging_prefix(feed, load))
    .fetch_all(pool)
    .await
    .map_err(|error| failed(format!("list the staging tables in `{schema}`"), error))?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            let name: String = row.try_get("name").ok()?;
            let owner: Option<String> = row.try_get("owner").ok()?;
            let created = owner
                .and_then(|owner| serde_json::from_str::<Owner>(&owner).ok())
                .map(|owner| owner.created_at);
            Some((TableName::new(schema, &name), created))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is stored of a part by now: every later version has to read it.
    #[test]
    fn details_that_were_stored_are_read_whole() {
        let stored = serde_json::json!({
            "schema": "public",
            "table": "_uis_stage_0011",
            "numbers": [[0, 3], [5, 5]],
            "columns": [
                { "name": "id", "column_type": "integer", "nullable": false },
                { "name": "tags", "column_type": { "list": { "name": "item", "column_type": "string", "nullable": true } }, "nullable": true },
            ],
        });
        let details: PartDetails = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(details.to_json().unwrap(), stored);
    }

    #[test]
    fn ranges_that_touch_are_one() {
        assert_eq!(
            joined(vec![(5, 6), (1, 2), (3, 3), (8, 9)]),
            [(1, 3), (5, 6), (8, 9)]
        );
    }

    #[test]
    fn conditions_name_exactly_the_numbers() {
        assert_eq!(within(&[]), "false");
        assert_eq!(
            within(&[(1, 3), (5, 5), (7, 7)]),
            "(\"_uis_part\" BETWEEN 1 AND 3 OR \"_uis_part\" = ANY ('{5,7}'))"
        );
    }
}

//! The statements that move rows from staging tables into the table.

use runner_core::commit::{LOAD_ID_COLUMN, SEQ_COLUMN};
use runner_core::{Error, ErrorKind, LoadContext, Result};
use runner_plan::model::{ColumnField, ColumnType};

use super::catalog::StoredTable;
use super::convert::{Conversion, conversion, find, widened};
use super::names::{CHAIN_COLUMN, PART_COLUMN, ROW_COLUMN, TableName, literal, quote};
use super::staging::Staged;
use crate::table::conform::seq;

/// What all statements of a load are made of.
#[derive(Debug)]
pub(super) struct Statements<'a> {
    pub target: &'a TableName,
    pub load: &'a LoadContext,
    pub stored: &'a StoredTable,
    pub staged: &'a [Staged],
}

impl Statements<'_> {
    /// `"a", "b"`: the columns that are filled.
    pub(super) fn column_list(&self) -> String {
        let names: Vec<String> = self
            .load
            .columns
            .iter()
            .map(|column| quote(&column.name))
            .collect();
        names.join(", ")
    }

    /// Rows of one staging table, in the types of the table.
    pub(super) fn select(&self, staged: &Staged, with_rank: bool) -> Result<String> {
        let mut expressions = self
            .load
            .columns
            .iter()
            .map(|column| {
                let value = self.value(staged, column)?;
                Ok(format!("{value} AS {}", quote(&column.name)))
            })
            .collect::<Result<Vec<_>>>()?;
        if with_rank {
            expressions.extend([quote(CHAIN_COLUMN), quote(ROW_COLUMN)]);
        }
        Ok(format!(
            "SELECT {} FROM {}",
            expressions.join(", "),
            staged.table.sql()
        ))
    }

    /// Rows of all staging tables.
    pub(super) fn all_rows(&self, with_rank: bool) -> Result<String> {
        let selects = self
            .staged
            .iter()
            .map(|staged| self.select(staged, with_rank))
            .collect::<Result<Vec<_>>>()?;
        Ok(selects.join(" UNION ALL "))
    }

    /// A column's value in the type that the load has for it, before it is made to fit the table.
    pub(super) fn own_value(&self, staged: &Staged, column: &ColumnField) -> Result<String> {
        if let Some(given) = find(&staged.columns, &column.name) {
            return Ok(widened(
                &quote(&column.name),
                &given.column_type,
                &column.column_type,
            ));
        }
        match column.name.as_str() {
            LOAD_ID_COLUMN => Ok(format!("{}::text", literal(&self.load.id.to_string()))),
            SEQ_COLUMN => Ok(format!("{}::bigint", seq(self.load)?)),
            _ => Ok(format!(
                "NULL::{}",
                super::types::sql_type(&column.column_type)
            )),
        }
    }

    fn value(&self, staged: &Staged, column: &ColumnField) -> Result<String> {
        let own = self.own_value(staged, column)?;
        let Some(stored) = self.stored.column(&column.name) else {
            return Err(self.changed(&column.name));
        };
        match conversion(&column.column_type, &stored.stored) {
            Conversion::Safe(cast) | Conversion::Checked(cast) => Ok(cast.apply(&own)),
            Conversion::Alter | Conversion::Conflict => Err(self.changed(&column.name)),
        }
    }

    fn changed(&self, column: &str) -> Error {
        Error::new(
            ErrorKind::Sink,
            format!(
                "column `{column}` of `{}` was changed after the load was prepared",
                self.target
            ),
        )
        .with_help("undo the change, then `jobs retry`")
    }

    /// Adds the rows of one staging table.
    pub(super) fn insert(&self, staged: &Staged) -> Result<String> {
        Ok(format!(
            "INSERT INTO {} ({}) {}",
            self.target.sql(),
            self.column_list(),
            self.select(staged, false)?
        ))
    }

    /// One row a key: the greatest by (cursor, number of the run, chain, order of arrival). Rows without a key stay, each by itself.
    pub(super) fn winners(&self) -> Result<String> {
        let key = self.key();
        let rows = self.all_rows(true)?;
        let mut order = key.clone();
        if let Some(cursor) = &self.load.plan.cursor_field {
            order.push(format!("{} DESC NULLS LAST", self.comparable("", cursor)));
        }
        if self.load.is_replay && find(&self.load.columns, SEQ_COLUMN).is_some() {
            order.push(format!("{} DESC", quote(SEQ_COLUMN)));
        }
        order.extend([
            format!("{} DESC", quote(CHAIN_COLUMN)),
            format!("{} DESC", quote(ROW_COLUMN)),
        ]);
        let present: Vec<String> = key
            .iter()
            .map(|column| format!("{column} IS NOT NULL"))
            .collect();
        let columns = self.column_list();
        Ok(format!(
            "WITH staged AS ({rows}) \
             (SELECT DISTINCT ON ({key}) {columns} FROM staged WHERE {present} ORDER BY {order}) \
             UNION ALL SELECT {columns} FROM staged WHERE NOT ({present})",
            key = key.join(", "),
            present = present.join(" AND "),
            order = order.join(", "),
        ))
    }

    /// Puts one row a key into a table whose key is unique. Gives the rows that were to be put, that were put, and that are new.
    pub(super) fn upsert(&self, replaces: bool) -> Result<String> {
        let key = self.key().join(", ");
        let columns = self.column_list();
        let action = if replaces {
            let assignments: Vec<String> = self
                .load
                .columns
                .iter()
                .filter(|column| !self.load.plan.primary_key.contains(&column.name))
                .map(|column| {
                    let name = quote(&column.name);
                    format!("{name} = EXCLUDED.{name}")
                })
                .collect();
            format!(
                "DO UPDATE SET {} WHERE {}",
                assignments.join(", "),
                self.is_newer("EXCLUDED", "target")
            )
        } else {
            "DO NOTHING".to_owned()
        };
        Ok(format!(
            "WITH winners AS MATERIALIZED ({winners}), \
             put AS (INSERT INTO {target} AS target ({columns}) SELECT {columns} FROM winners \
             ON CONFLICT ({key}) {action} RETURNING (xmax = 0) AS is_new) \
             SELECT (SELECT count(*) FROM winners) AS given, count(*) AS written, \
             count(*) FILTER (WHERE is_new) AS added FROM put",
            winners = self.winners()?,
            target = self.target.sql(),
        ))
    }

    /// The same for a table without a unique index, in steps; the table is locked against other writers meanwhile.
    pub(super) fn upsert_steps(&self, replaces: bool) -> Result<UpsertSteps> {
        let same = |left: &str, right: &str| {
            let pairs: Vec<String> = self
                .key()
                .iter()
                .map(|column| format!("{left}.{column} = {right}.{column}"))
                .collect();
            pairs.join(" AND ")
        };
        let target = self.target.sql();
        let columns = self.column_list();
        let is_same = same("target", "winners");
        let delete = replaces.then(|| {
            format!(
                "DELETE FROM {target} AS target USING pg_temp._uis_winners AS winners \
                 WHERE {is_same} AND {}",
                self.is_newer("winners", "target")
            )
        });
        Ok(UpsertSteps {
            lock: format!("LOCK TABLE {target} IN SHARE ROW EXCLUSIVE MODE"),
            collect: format!(
                "CREATE TEMPORARY TABLE _uis_winners ON COMMIT DROP AS {}",
                self.winners()?
            ),
            count: "SELECT count(*) FROM pg_temp._uis_winners".to_owned(),
            delete,
            insert: format!(
                "INSERT INTO {target} ({columns}) SELECT {columns} FROM pg_temp._uis_winners AS winners \
                 WHERE NOT EXISTS (SELECT 1 FROM {target} AS target WHERE {is_same})"
            ),
        })
    }

    /// One row a key into a table that was emptied before.
    pub(super) fn insert_winners(&self) -> Result<String> {
        Ok(format!(
            "INSERT INTO {} ({columns}) SELECT {columns} FROM ({}) AS winners",
            self.target.sql(),
            self.winners()?,
            columns = self.column_list(),
        ))
    }

    fn key(&self) -> Vec<String> {
        self.load
            .plan
            .primary_key
            .iter()
            .map(|name| quote(name))
            .collect()
    }

    /// Whether the one row wins over the other: by cursor where there is one, then by the load's number.
    fn is_newer(&self, new: &str, old: &str) -> String {
        let seq = quote(SEQ_COLUMN);
        let by_seq = if self.stored.column(SEQ_COLUMN).is_some() {
            format!("coalesce({old}.{seq}, -1) <= {new}.{seq}")
        } else {
            "true".to_owned()
        };
        let Some(cursor) = &self.load.plan.cursor_field else {
            return by_seq;
        };
        let (new_cursor, old_cursor) = (
            self.comparable(&format!("{new}."), cursor),
            self.comparable(&format!("{old}."), cursor),
        );
        format!(
            "CASE WHEN {new_cursor} IS NOT DISTINCT FROM {old_cursor} THEN {by_seq} \
             ELSE {old_cursor} IS NULL OR coalesce({new_cursor} > {old_cursor}, false) END"
        )
    }

    /// Texts compare by their bytes, whatever the database's collation.
    fn comparable(&self, qualifier: &str, column: &str) -> String {
        let value = format!("{qualifier}{}", quote(column));
        let is_text = find(&self.load.columns, column)
            .is_some_and(|column| column.column_type == ColumnType::String);
        if is_text {
            format!("{value} COLLATE \"C\"")
        } else {
            value
        }
    }
}

/// An upsert without a unique index.
#[derive(Debug)]
pub(super) struct UpsertSteps {
    pub lock: String,
    pub collect: String,
    pub count: String,
    pub delete: Option<String>,
    pub insert: String,
}

/// Deletes rows of a staging table by number.
pub(super) fn delete_numbers(table: &TableName, numbers: &[i32]) -> String {
    let list: Vec<String> = numbers.iter().map(i32::to_string).collect();
    format!(
        "DELETE FROM {} WHERE {} = ANY ('{{{}}}')",
        table.sql(),
        quote(PART_COLUMN),
        list.join(",")
    )
}

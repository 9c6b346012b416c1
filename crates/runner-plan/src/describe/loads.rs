//! Loads: where rows go, how they are written, and what readers see meanwhile.

use runner_spec::model::WriteMode;

use super::page::Page;
use crate::model::{AddedColumn, Catalog, Delivery, Input, LoadPlan, Plan, Target};
use crate::planner::{kind_name, partition_text};

pub(super) fn describe(plan: &Plan, page: &mut Page) {
    for load in &plan.loads {
        page.heading(&format!("Table {} of sink {}", load.table, load.sink_name));
        let inputs: Vec<&str> = load.inputs.iter().map(Input::name).collect();
        let role = if load.is_declared {
            "the declared table"
        } else {
            "a table of its own"
        };
        page.field("From", &format!("{} ({role})", inputs.join(", ")));
        page.field("Place", &place(load));
        if let Some(redirection) = &load.redirection {
            let kind = kind_name(load.declared_kind);
            let connection = &redirection.connection;
            let instead = if connection == kind {
                kind.to_owned()
            } else {
                format!("{kind} `{connection}`")
            };
            page.field("Instead of", &format!("{instead}: {}", redirection.reason));
        }
        page.field("Write", &write_mode(load));
        page.field("Commit", commit(load.delivery));
        if !load.partitions.is_empty() {
            let partitions: Vec<String> = load.partitions.iter().map(partition_text).collect();
            page.field("Partitions", &partitions.join(", "));
        }
        let added = added(load);
        if !added.is_empty() {
            page.table("Added", added);
        }
    }
}

fn place(load: &LoadPlan) -> String {
    match &load.target {
        Target::Parquet {
            location,
            compression,
            ..
        } => format!("Parquet files in {location} ({compression})"),
        Target::Iceberg {
            catalog,
            namespace,
            table,
            format_version,
            ..
        } => {
            let name = format!("{}.{table}", namespace.join("."));
            let catalog = match catalog {
                Catalog::Sqlite {
                    file,
                    name,
                    warehouse,
                } => {
                    format!("catalog `{name}` in {file}, warehouse {warehouse}")
                }
                Catalog::Rest { uri, warehouse, .. } => match warehouse {
                    Some(warehouse) => format!("catalog {uri}, warehouse {warehouse}"),
                    None => format!("catalog {uri}"),
                },
            };
            format!("Iceberg table {name} (format {format_version}), {catalog}")
        }
        Target::Postgres {
            url: Some(url),
            schema,
            table,
            ..
        } => format!("PostgreSQL table {schema}.{table} at the address {url}"),
        Target::Postgres {
            host,
            port,
            database,
            user,
            schema,
            table,
            ssl_mode,
            ..
        } => {
            format!(
                "PostgreSQL table {schema}.{table} of {database} at {host}:{port}, as {user} (TLS: {ssl_mode})"
            )
        }
    }
}

fn write_mode(load: &LoadPlan) -> String {
    let key = load.primary_key.join(", ");
    match load.write_mode {
        WriteMode::Append if key.is_empty() => "append".to_owned(),
        WriteMode::Append => format!("append; keys that are there are skipped ({key})"),
        WriteMode::Merge => match &load.cursor_field {
            Some(cursor) => format!("merge by {key}; of several rows the greatest `{cursor}` wins"),
            None => format!("merge by {key}; of several rows the last wins"),
        },
        WriteMode::Replace => {
            let what = if load.replace_scope.is_empty() {
                "replace the table".to_owned()
            } else {
                format!(
                    "replace the partitions of {} that the window covers",
                    load.replace_scope.join(", ")
                )
            };
            if load.allow_empty {
                format!("{what}, by nothing if there are no rows")
            } else {
                what
            }
        }
    }
}

fn commit(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Atomic => {
            "atomic: readers see all of a load or none of it; a repeat loads nothing twice"
        }
        Delivery::Idempotent => {
            "idempotent: readers can see part of a load; a repeat loads nothing twice"
        }
    }
}

fn added(load: &LoadPlan) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = load
        .added
        .iter()
        .map(|added| match added {
            AddedColumn::RunDate { name } => {
                vec![name.clone(), "the date of the run's start".to_owned()]
            }
            AddedColumn::RunTime { name } => vec![name.clone(), "the run's start".to_owned()],
            AddedColumn::Part {
                name,
                of: Some(column),
                part,
            } => {
                vec![
                    name.clone(),
                    format!("the {} of `{column}`", format!("{part:?}").to_lowercase()),
                ]
            }
            AddedColumn::Part {
                name,
                of: None,
                part,
            } => vec![
                name.clone(),
                format!(
                    "the {} of the first date-time column, else of the run's start",
                    format!("{part:?}").to_lowercase()
                ),
            ],
        })
        .collect();
    if load.load_columns {
        rows.push(vec![
            "_uis_load_id".to_owned(),
            "the load that brought the row".to_owned(),
        ]);
    }
    if load.write_mode == WriteMode::Merge {
        rows.push(vec![
            "_uis_seq".to_owned(),
            "the run that last wrote the row".to_owned(),
        ]);
    }
    rows
}

//! Before anything becomes visible: the table as the load needs it, and staged rows that are sure to go in.

use runner_core::{LoadContext, Part, Result, Segments};
use sqlx::PgConnection;

use super::catalog::missing_privileges;
use super::check::{check, lasting, missing_rows, needed_privileges};
use super::connect::execute;
use super::error::failed;
use super::evolve::evolve;
use super::scope;
use super::staging::{PartDetails, Staged, exists, leaving_out, tables_of};
use super::statements::{Statements, delete_numbers};
use super::target::PostgresTarget;
use crate::keys::KeySpec;
use crate::table::segments::Generations;

pub(super) async fn prepare(
    target: &PostgresTarget,
    load: &LoadContext,
    parts: Vec<Part>,
) -> Result<Vec<Part>> {
    let name = target.table();
    scope::check(name, load)?;
    // Rows without a column of the key are refused here as they are by every sink.
    KeySpec::of(load, parts.iter().map(|part| part.rows).sum())?;
    let mut connection = target.acquire().await?;
    let stored = evolve(&mut connection, name, load, target.lock_timeout()).await?;
    let missing = missing_privileges(&mut connection, name, needed_privileges(load)).await?;
    if !missing.is_empty() {
        let message = format!("the user lacks {} on the table", missing.join(", "));
        return Err(lasting(
            name,
            message,
            "grant it to the user of the connection",
        ));
    }
    let remaining = remaining(load, &parts)?;
    for (staged, superseded) in &remaining.tables {
        reduce(&mut connection, staged, superseded).await?;
    }
    let tables: Vec<Staged> = remaining
        .tables
        .into_iter()
        .map(|(staged, _)| staged)
        .collect();
    let statements = Statements {
        target: name,
        load,
        stored: &stored,
        staged: &tables,
    };
    check(&mut connection, &statements).await?;
    Ok(remaining.parts)
}

/// Parts without the rows that were superseded.
struct Remaining {
    parts: Vec<Part>,
    /// Staging tables, each with the numbers of its superseded segments.
    tables: Vec<(Staged, Vec<i32>)>,
}

fn remaining(load: &LoadContext, parts: &[Part]) -> Result<Remaining> {
    let generations = Generations::of(load);
    let mut kept = Vec::with_capacity(parts.len());
    let mut superseded: Vec<(super::names::TableName, i32)> = Vec::new();
    for part in parts {
        if !generations.touches(part) {
            kept.push(part.clone());
            continue;
        }
        let mut details = PartDetails::of(part)?;
        let mut numbers = Vec::new();
        let mut segments = Segments::default();
        for (number, segment) in details.numbered(&part.segments) {
            if generations.is_superseded(&part.input, &segment) {
                superseded.push((details.staging(), number));
            } else {
                numbers.push((number, number));
                segments.push(segment);
            }
        }
        details.numbers = numbers;
        kept.push(Part {
            rows: segments.iter().map(|segment| segment.rows).sum(),
            segments,
            details: details.to_json()?,
            ..part.clone()
        });
    }
    let tables = tables_of(&kept)?
        .into_iter()
        .map(|staged| {
            let gone = superseded
                .iter()
                .filter(|(table, _)| *table == staged.table)
                .map(|(_, number)| *number)
                .collect();
            (staged, gone)
        })
        .collect();
    Ok(Remaining {
        parts: kept,
        tables,
    })
}

/// Deletes the segments that were superseded.
async fn reduce(connection: &mut PgConnection, staged: &Staged, superseded: &[i32]) -> Result<()> {
    if !exists(connection, &staged.table).await? {
        return Err(missing_rows(staged, 0));
    }
    if superseded.is_empty() {
        return Ok(());
    }
    execute(connection, &delete_numbers(&staged.table, superseded))
        .await
        .map_err(|error| failed(leaving_out(staged), error))?;
    Ok(())
}

//! The schema that a stream starts with: what the plan knows, then what earlier attempts and runs found.

use runner_connectors::schema::{DecodedColumn, SchemaVersion, StreamSchema};
use runner_core::checkpoint::SchemaRecord;
use runner_plan::StreamPlan;
use runner_plan::model::{Column, ColumnField, ColumnSource, TypeOrigin};

/// An attempt goes on with the columns that an earlier one sealed (`resumed`); a run starts with the plan's, whose open columns take
/// the types of the feed's last run (`stored`). Columns that only a record knows are fields that passed through.
pub(crate) fn initial_schema(
    plan: &StreamPlan,
    resumed: Option<&SchemaRecord>,
    stored: Option<&SchemaRecord>,
) -> StreamSchema {
    let record = resumed.or(stored);
    let mut columns: Vec<DecodedColumn> = plan
        .columns
        .known
        .iter()
        .map(|column| planned(column, record))
        .collect();
    if plan.columns.pass_through
        && let Some(record) = record
    {
        let found = record.columns.iter().zip(&record.sources);
        for (column, source) in found {
            if columns.iter().all(|known| known.name != column.name) {
                columns.push(passed_through(column, source));
            }
        }
    }
    let version = resumed.map_or(0, |record| record.version);
    StreamSchema::new(SchemaVersion {
        version,
        columns,
        is_open: plan.columns.pass_through,
    })
}

fn planned(column: &Column, record: Option<&SchemaRecord>) -> DecodedColumn {
    let is_fixed = matches!(column.origin, TypeOrigin::Contract | TypeOrigin::Document);
    let recorded = record
        .and_then(|record| {
            record
                .columns
                .iter()
                .find(|known| known.name == column.name)
        })
        .filter(|_| !is_fixed)
        .map(|known| known.column_type.clone());
    DecodedColumn {
        name: column.name.clone(),
        source: column.source.clone(),
        column_type: recorded.or_else(|| column.column_type.clone()),
        nullable: column.nullable,
        is_fixed,
    }
}

fn passed_through(column: &ColumnField, source: &ColumnSource) -> DecodedColumn {
    DecodedColumn {
        name: column.name.clone(),
        source: source.clone(),
        column_type: Some(column.column_type.clone()),
        nullable: true,
        is_fixed: false,
    }
}

//! The schema that a stream starts with: what the plan knows, then what earlier attempts and runs found.

use runner_connectors::schema::{
    DecodedColumn, SchemaVersion, StreamSchema, TypeBinding, WideningGuard,
};
use runner_core::checkpoint::SchemaRecord;
use runner_plan::StreamPlan;
use runner_plan::model::{ColumnType, Replay};
use runner_spec::model::Masking;

/// An attempt goes on with the columns that an earlier one sealed (`resumed`); a run starts with the plan's, whose open columns take
/// the types of the feed's last run (`stored`).
pub(crate) fn initial_schema(
    plan: &StreamPlan,
    resumed: Option<&SchemaRecord>,
    stored: Option<&SchemaRecord>,
    guard: WideningGuard,
) -> StreamSchema {
    let schema = match (resumed, stored) {
        (Some(_), _) | (None, None) => SchemaVersion::of_plan(&plan.columns, resumed),
        (None, Some(stored)) => of_last_run(plan, stored),
    };
    StreamSchema::new(schema).with_guard(guard)
}

/// The columns of the feed's last run as the quarantine has their values: masked ones are texts, or gone.
pub(crate) fn as_masked(mut stored: SchemaRecord, replay: &Replay, stream: &str) -> SchemaRecord {
    for masked in replay.masked.get(stream).into_iter().flatten() {
        let Some(index) = stored.index_of(&masked.column) else {
            continue;
        };
        match masked.masking {
            Masking::Drop => {
                stored.columns.remove(index);
                if index < stored.sources.len() {
                    stored.sources.remove(index);
                }
            }
            Masking::Hash | Masking::Redact | Masking::Partial => {
                stored.columns[index].column_type = ColumnType::String;
            }
        }
        // They are a run's own, and go by the same index.
        stored.traces.clear();
    }
    stored
}

/// Versions and traces are a run's own: of the last one only the columns stay.
fn of_last_run(plan: &StreamPlan, stored: &SchemaRecord) -> SchemaVersion {
    let planned = SchemaVersion::of_plan(&plan.columns, None);
    let record = SchemaRecord {
        traces: Vec::new(),
        ..stored.clone()
    };
    let mut schema = SchemaVersion::of_plan(&plan.columns, Some(&record));
    schema.version = 0;
    if !plan.columns.pass_through {
        schema.columns.truncate(planned.columns.len());
    }
    for (index, column) in schema.columns.iter_mut().enumerate() {
        match planned.columns.get(index) {
            // The contract's word stands, whatever the last run saw.
            Some(known) if known.binding == TypeBinding::Fixed => {
                *column = DecodedColumn {
                    source: column.source.clone(),
                    ..known.clone()
                };
            }
            _ if record.index_of(&column.name).is_some() => column.binding = TypeBinding::Known,
            _ => {}
        }
    }
    schema
}

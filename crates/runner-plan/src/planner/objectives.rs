//! Objectives of the service: taken over as they stand, once the column that they name is known to be one.

use runner_spec::{Code, nearest};

use super::findings::{Findings, at, list};
use super::loads::LoadInputs;
use crate::model::{AddedColumn, Input, LoadPlan, Objectives};

/// Nothing where the document states none.
pub(crate) fn build(
    inputs: &LoadInputs<'_>,
    loads: &[LoadPlan],
    findings: &mut Findings,
) -> Option<Objectives> {
    let slos = inputs.context.spec().provider.slos.as_ref()?;
    let objectives = Objectives {
        freshness_target_minutes: slos.freshness_target_minutes,
        freshness_field: slos.freshness_field.clone(),
        availability_target: slos.availability_target,
    };
    if objectives == Objectives::default() {
        return None;
    }
    if let Some(field) = &objectives.freshness_field {
        check_field(field, inputs, loads, findings);
    }
    Some(objectives)
}

/// A warning: rows load all the same, and only nobody would learn that they are late.
fn check_field(field: &str, inputs: &LoadInputs<'_>, loads: &[LoadPlan], findings: &mut Findings) {
    let (columns, is_open) = loaded_columns(inputs, loads);
    if loads.is_empty() || columns.contains(&field) {
        return;
    }
    let help = match nearest(field, columns.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        // The rows may have it.
        None if is_open => return,
        None => format!("the columns are {}", list(&columns)),
    };
    findings.warning(
        Code::FieldNotFound,
        &at::provider().key("slos").key("freshness_field"),
        format!(
            "`{field}` is no column of the loaded rows, so that none of them says how new it is"
        ),
        help,
    );
}

/// Every column that is known to be loaded, each once, and whether rows may have more.
fn loaded_columns<'a>(inputs: &'a LoadInputs<'_>, loads: &'a [LoadPlan]) -> (Vec<&'a str>, bool) {
    let contract = inputs.context.spec().provider.schema_contract.as_ref();
    let mut columns: Vec<&str> = contract
        .iter()
        .flat_map(|contract| contract.properties.keys().map(String::as_str))
        .collect();
    let mut is_open = false;
    for load in loads {
        for input in &load.inputs {
            let stream = match input {
                // What a query yields is known when it has been analysed.
                Input::Transform(_) => None,
                Input::Stream(name) => inputs.streams.iter().find(|stream| stream.name == *name),
            };
            is_open |= stream.is_none_or(|stream| stream.columns.pass_through);
            let known = stream.into_iter().flat_map(|stream| &stream.columns.known);
            columns.extend(known.map(|column| column.name.as_str()));
        }
        columns.extend(load.added.iter().map(|added| match added {
            AddedColumn::RunDate { name }
            | AddedColumn::RunTime { name }
            | AddedColumn::Part { name, .. } => name.as_str(),
        }));
    }
    let mut seen = std::collections::HashSet::new();
    columns.retain(|column| seen.insert(*column));
    (columns, is_open)
}

//! What the fields of a run's rows say of the document: masks and mappings that name none of them, and names that fall together.
//!
//! Pure. A document that names a field which isn't there is no error until all rows were seen, and then only where something would
//! be loaded in clear; all else is a warning of the report.

use std::collections::{BTreeMap, BTreeSet};

use runner_core::checkpoint::{Observed, StreamSummary, Warning};
use runner_core::{Error, ErrorKind, ResumeState};
use runner_plan::model::{
    CheckKind, CheckOrigin, ColumnSource, RowPath, RowPathStep, SourcePlan, VariableSource,
};
use runner_plan::names::snake_case;
use runner_plan::{Plan, StreamPlan};
use runner_spec::nearest;

/// Beyond so many fields of one object not all are observed, so that none is known to be missing.
const MOST_FIELDS: usize = 4096;

/// Refuses a mask of a field that neither this run nor an earlier one has seen: what it was to hide would be loaded as it is.
pub(crate) fn refuse_idle_masks(
    plan: &Plan,
    found: &BTreeMap<String, ResumeState>,
) -> Result<(), Error> {
    for stream in &plan.streams {
        let Some(state) = found.get(&stream.name) else {
            continue;
        };
        // Where nothing was read, nothing is loaded; and the rows of a quarantine were masked when they came.
        if state.observed.rows == 0 || !stream.columns.pass_through {
            continue;
        }
        let schema = state.schema.iter().flat_map(|schema| &schema.columns);
        let columns: Vec<&str> = schema.map(|column| column.name.as_str()).collect();
        for mask in &stream.masking {
            refuse_idle_mask(&mask.column, stream, &columns, &state.observed)?;
        }
    }
    Ok(())
}

fn refuse_idle_mask(
    column: &str,
    stream: &StreamPlan,
    columns: &[&str],
    observed: &Observed,
) -> Result<(), Error> {
    let name = &stream.name;
    if !columns.contains(&column) {
        let help = nearest(column, columns.iter().copied()).map_or_else(
            || format!("its columns are {}", columns.join(", ")),
            |meant| format!("did you mean `{meant}`?"),
        );
        let message = format!(
            "`{column}` is masked, and no row of `{name}` has such a field: what the mask was to hide would be loaded as it is; nothing was committed"
        );
        return Err(Error::new(ErrorKind::Spec, message).with_help(help));
    }
    match named_alike(observed, column).as_slice() {
        [first, second, ..] => Err(Error::new(
            ErrorKind::Spec,
            format!("the mask of `{column}` can mean `{first}` or `{second}` of `{name}`, whose names are one in snake_case; nothing was committed"),
        )
        .with_help("give both a name of their own in `field_mapping`, and mask those")),
        _ => Ok(()),
    }
}

/// What the report tells of fields that were looked for and not found, and of those whose names fell together. `accepted` are the
/// fields of earlier runs: what they had is missed by the drift, not misspelt.
pub(crate) fn warnings(
    plan: &Plan,
    summaries: &[StreamSummary],
    accepted: &BTreeMap<String, Observed>,
    has_read_all: bool,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for summary in summaries {
        let Some(stream) = plan.stream(&summary.stream) else {
            continue;
        };
        let observed = &summary.observed;
        if observed.rows == 0 {
            continue;
        }
        let warning = |code: &str, message| Warning {
            code: code.to_owned(),
            stream: Some(stream.name.clone()),
            message,
        };
        if stream.columns.pass_through {
            let collisions = collisions(stream, observed).into_iter();
            warnings.extend(collisions.map(|message| warning("fields_collide", message)));
        }
        let is_proof = has_read_all || observed.rows >= u64::from(stream.sample_size);
        if is_proof && observed.fields.len() < MOST_FIELDS {
            let missing = missing(stream, observed, accepted.get(&stream.name)).into_iter();
            warnings.extend(missing.map(|message| warning("field_not_found", message)));
        }
    }
    warnings
}

/// Fields that the document names and no row has, each once.
fn missing(stream: &StreamPlan, observed: &Observed, accepted: Option<&Observed>) -> Vec<String> {
    let mut messages = Vec::new();
    let is_known = |field: &str| {
        has_field(observed, field) || accepted.is_some_and(|accepted| has_field(accepted, field))
    };
    let rows = observed.rows;
    let name = &stream.name;
    if stream.columns.pass_through {
        for check in &stream.checks {
            let is_rule = check.origin == CheckOrigin::Rule && check.kind != CheckKind::Required;
            let is_made = stream.columns.known.iter().any(|column| {
                column.name == check.column && !matches!(column.source, ColumnSource::Field(_))
            });
            let alike = |observed: &Observed| !named_alike(observed, &check.column).is_empty();
            if !is_rule
                || is_made
                || is_known(&check.column)
                || alike(observed)
                || accepted.is_some_and(alike)
            {
                continue;
            }
            let message = format!(
                "`{}` of `validation_rules` is in none of the {rows} rows of `{name}`, so that it checks nothing",
                check.column
            );
            messages.push(with_meant(message, &check.column, observed, stream));
        }
        return messages;
    }
    let mut told = BTreeSet::new();
    for column in &stream.columns.known {
        let Some(field) = dotted(&column.source).filter(|field| !is_known(field)) else {
            continue;
        };
        if !told.insert(field.clone()) {
            continue;
        }
        let message = format!(
            "`{field}` is in none of the {rows} rows of `{name}`, so that `{}` is empty",
            column.name
        );
        let message = if is_variable(stream, &field) {
            format!(
                "{message}; write `{}: \"{{{{ {field} }}}}\"` for the value that the rows were asked for",
                column.name
            )
        } else {
            with_meant(message, &field, observed, stream)
        };
        messages.push(message);
    }
    messages
}

fn with_meant(message: String, field: &str, observed: &Observed, stream: &StreamPlan) -> String {
    let taken: Vec<String> = stream
        .columns
        .known
        .iter()
        .filter_map(|column| dotted(&column.source))
        .collect();
    let free = observed
        .fields
        .keys()
        .filter(|known| stream.columns.pass_through || !taken.contains(known));
    let same_letters = observed
        .fields
        .keys()
        .find(|known| known.to_lowercase() == field.to_lowercase());
    match same_letters
        .map(String::as_str)
        .or_else(|| nearest(field, free.map(String::as_str)))
    {
        Some(meant) => format!("{message}; did you mean `{meant}`?"),
        None => message,
    }
}

/// Fields of one name in snake_case: their columns are told apart by numbers.
fn collisions(stream: &StreamPlan, observed: &Observed) -> Vec<String> {
    let mut by_name: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for field in observed.fields.keys() {
        if !is_nested(observed, field) {
            by_name.entry(snake_case(field)).or_default().push(field);
        }
    }
    let several = by_name.into_iter().filter(|(_, fields)| fields.len() > 1);
    several
        .map(|(column, fields)| {
            let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
            format!(
                "the fields {} of `{}` are all `{column}` in snake_case, so that numbers tell their columns apart; give each a name of its own in `field_mapping`",
                fields.join(", "),
                stream.name
            )
        })
        .collect()
}

/// Fields of the rows themselves whose name in snake_case is this one.
fn named_alike<'a>(observed: &'a Observed, column: &str) -> Vec<&'a str> {
    let fields = observed.fields.keys().map(String::as_str);
    fields
        .filter(|field| snake_case(field) == column && !is_nested(observed, field))
        .collect()
}

/// `a.b` is below `a` where rows have an `a`.
fn is_nested(observed: &Observed, field: &str) -> bool {
    field
        .match_indices('.')
        .any(|(place, _)| observed.fields.contains_key(&field[..place]))
}

/// Whether rows have the field, or may have it: what lies below a field is not observed everywhere.
fn has_field(observed: &Observed, field: &str) -> bool {
    if observed.fields.contains_key(field) {
        return true;
    }
    let below = |outer: &str| {
        let prefix = format!("{outer}.");
        let next = observed.fields.range(prefix.clone()..).next();
        next.is_some_and(|(name, _)| name.starts_with(&prefix))
    };
    let Some((outer, _)) = field.rsplit_once('.') else {
        // A header may have dots in its names.
        return below(field);
    };
    has_field(observed, outer) && !below(outer)
}

/// The field that a source begins at, as far as names lead.
fn dotted(source: &ColumnSource) -> Option<String> {
    let ColumnSource::Field(RowPath::Steps(steps)) = source else {
        return None;
    };
    let names: Vec<&str> = steps
        .iter()
        .map_while(|step| match step {
            RowPathStep::Name(name) => Some(name.as_str()),
            RowPathStep::Index(_) | RowPathStep::Each => None,
        })
        .collect();
    (!names.is_empty()).then(|| names.join("."))
}

/// Whether the requests of the stream have a value of this name.
fn is_variable(stream: &StreamPlan, name: &str) -> bool {
    let variables = match &stream.source {
        SourcePlan::Http(http) => &http.variables,
        SourcePlan::Files(files) => &files.variables,
    };
    variables.iter().any(|variable| {
        variable.name == name
            && matches!(
                variable.source,
                VariableSource::Parameter | VariableSource::Parent | VariableSource::ForEach
            )
    })
}

#[cfg(test)]
mod tests {
    use runner_core::checkpoint::Totals;
    use runner_core::checkpoint::{ObservedField, SchemaRecord};
    use runner_plan::model::{ColumnField, ColumnType};
    use runner_testkit::plans::{column, plan_json, plan_of};
    use serde_json::{Value, json};

    use super::*;

    fn observed(fields: &[&str]) -> Observed {
        let fields = fields
            .iter()
            .map(|field| ((*field).to_owned(), ObservedField::default()));
        Observed {
            fields: fields.collect(),
            rows: 19,
        }
    }

    fn plan(change: impl FnOnce(&mut Value)) -> Plan {
        let mut plan = plan_json(&["people"]);
        change(&mut plan["streams"][0]);
        plan_of(&plan)
    }

    /// A column that is mapped from a field.
    fn mapped(name: &str, field: &[&str]) -> Value {
        let mut column = column(name, "string", true);
        let steps: Vec<Value> = field.iter().map(|name| json!({"name": name})).collect();
        column["source"] = json!({"field": {"steps": steps}});
        column
    }

    fn said(plan: &Plan, rows: &[&str], earlier: &[&str], has_read_all: bool) -> Vec<String> {
        let summary = StreamSummary {
            stream: "people".to_owned(),
            totals: Totals::default(),
            observed: observed(rows),
            warnings: Vec::new(),
        };
        let accepted = BTreeMap::from([("people".to_owned(), observed(earlier))]);
        let warnings = warnings(plan, &[summary], &accepted, has_read_all);
        warnings
            .into_iter()
            .map(|warning| warning.message)
            .collect()
    }

    #[test]
    fn a_mapped_field_that_no_row_has_is_told_once() {
        let plan = plan(|stream| {
            stream["columns"] = json!({"pass_through": false, "known": [
                mapped("email", &["Emial"]),
                mapped("again", &["Emial"]),
                mapped("city", &["address", "city"]),
                mapped("street", &["address", "stret"]),
                mapped("zip", &["place", "zip"]),
                mapped("id", &["id"]),
            ]});
            stream["sample_size"] = json!(100);
        });
        let rows = [
            "Email",
            "id",
            "address",
            "address.city",
            "address.street",
            "place",
        ];
        assert_eq!(
            said(&plan, &rows, &[], true),
            [
                "`Emial` is in none of the 19 rows of `people`, so that `email` is empty; did you mean `Email`?",
                "`address.stret` is in none of the 19 rows of `people`, so that `street` is empty; did you mean `address.street`?",
            ]
        );
        assert!(said(&plan, &rows, &["Emial", "address", "address.stret"], true).is_empty());
        assert!(
            said(&plan, &rows, &[], false).is_empty(),
            "19 rows of more prove nothing"
        );
    }

    #[test]
    fn names_that_fall_together_are_told() {
        let plan = plan(|stream| {
            stream["columns"] = json!({"pass_through": true, "known": []});
        });
        assert_eq!(
            said(&plan, &["Total", "total", "a", "a.Total", "id"], &[], false),
            [
                "the fields `Total`, `total` of `people` are all `total` in snake_case, so that numbers tell their columns apart; \
              give each a name of its own in `field_mapping`"
            ]
        );
    }

    fn refused(mask: &str, columns: &[&str], fields: &[&str]) -> Option<String> {
        let plan = plan(|stream| {
            stream["columns"] = json!({"pass_through": true, "known": []});
            stream["masking"] = json!([{"column": mask, "masking": "redact"}]);
        });
        let columns = columns.iter().map(|name| ColumnField {
            name: (*name).to_owned(),
            column_type: ColumnType::String,
            nullable: true,
        });
        let state = ResumeState {
            schema: Some(SchemaRecord {
                columns: columns.collect(),
                ..SchemaRecord::default()
            }),
            observed: observed(fields),
            ..ResumeState::default()
        };
        let found = BTreeMap::from([("people".to_owned(), state)]);
        let refused = refuse_idle_masks(&plan, &found).err()?;
        Some(format!(
            "{refused} ({})",
            refused.help().unwrap_or_default()
        ))
    }

    #[test]
    fn a_mask_needs_one_field() {
        assert_eq!(refused("email", &["id", "email"], &["id", "Email"]), None);
        // An earlier run had it.
        assert_eq!(refused("email", &["id", "email"], &["id"]), None);
        assert_eq!(refused("a_b", &["a_b", "a"], &["a", "a.b", "a_b"]), None);
        let misspelt = refused("emial", &["id", "email"], &["id", "email"]);
        assert!(misspelt.is_some_and(|text| text.ends_with("(did you mean `email`?)")));
        let unclear = refused("email", &["email", "email_2"], &["Email", "email"]);
        assert!(unclear.is_some_and(|text| text.contains("`Email` or `email`")));
    }
}

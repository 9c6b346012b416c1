//! The transforms of a plan: what each one's query means, given the columns of what it reads.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use runner_plan::describe::Cast;
use runner_plan::model::{CheckKind, ColumnField, ColumnType, Input, StreamPlan};
use runner_plan::{Plan, TransformPlan};
use runner_spec::model::Masking;
use runner_spec::{Code, Diagnostic, FieldPath, nearest};

use crate::portable::query::Query;
use crate::portable::{Analysis, View, ViewColumn, analyse};

/// What the queries of a plan come to, before a run.
#[derive(Clone, Debug, Default)]
pub struct PlanAnalysis {
    pub diagnostics: Vec<Diagnostic>,
    pub casts: Vec<Cast>,
}

/// Analyses every transform, in their order, and writes what each yields into the plan, where its types are known.
pub fn analyse_plan(plan: &mut Plan) -> PlanAnalysis {
    let mut found = PlanAnalysis::default();
    let mut known: BTreeMap<Input, View> = plan
        .streams
        .iter()
        .map(|stream| (Input::Stream(stream.name.clone()), of_stream(stream)))
        .collect();
    for index in 0..plan.transforms.len() {
        let Some(transform) = plan.transforms.get(index) else {
            break;
        };
        let candidates = view_names(plan);
        // No value of the query is looked at, so that any time will do.
        let analysis = analyse_transform(transform, &known, &candidates, DateTime::UNIX_EPOCH);
        let name = transform.name.clone();
        let has_failed = analysis.diagnostics.iter().any(Diagnostic::is_error);
        let view = View {
            name: name.clone(),
            is_open: analysis.columns.is_empty(),
            key: analysis.key.clone(),
            columns: analysis.columns,
        };
        if !has_failed && !view.is_open {
            keys(plan, &name, &view, &mut found.diagnostics);
        }
        known.insert(Input::Transform(name.clone()), view);
        found.diagnostics.extend(analysis.diagnostics);
        found
            .casts
            .extend(analysis.casts.into_iter().map(|cast| Cast {
                transform: name.clone(),
                expression: cast.expression,
                from: cast.from,
                to: cast.to,
            }));
        if let Some(relation) = analysis.relation
            && let Some(transform) = plan.transforms.get_mut(index)
        {
            transform.output = relation.columns;
        }
    }
    found
}

/// Analyses one transform over inputs whose columns are known.
pub fn analyse_transform(
    transform: &TransformPlan,
    known: &BTreeMap<Input, View>,
    candidates: &[String],
    now: DateTime<Utc>,
) -> Analysis {
    let views: Vec<View> = transform
        .views
        .iter()
        .filter_map(|(name, input)| {
            let view = known.get(input)?.clone();
            Some(View {
                name: name.clone(),
                ..view
            })
        })
        .collect();
    let mut analysis = analyse(Query {
        sql: &transform.sql,
        path: &transform.path,
        views: &views,
        candidates,
        contract: &transform.columns,
        now,
    });
    // Rows with a null there go to the quarantine.
    let is_required = |name: &str| {
        transform
            .checks
            .iter()
            .any(|check| check.kind == CheckKind::Required && check.column == name)
    };
    for column in &mut analysis.columns {
        column.nullable &= !is_required(&column.name);
    }
    for column in analysis
        .relation
        .iter_mut()
        .flat_map(|relation| &mut relation.columns)
    {
        column.nullable &= !is_required(&column.name);
    }
    analysis
}

/// Names by which a query could read something of the plan.
pub fn view_names(plan: &Plan) -> Vec<String> {
    let streams = plan.streams.iter().map(|stream| stream.name.clone());
    let transforms = plan
        .transforms
        .iter()
        .map(|transform| transform.name.clone());
    streams.chain(transforms).collect()
}

/// A stream's columns as a transform gets them: masked columns are texts, dropped ones are gone.
fn of_stream(stream: &StreamPlan) -> View {
    let masking = |name: &str| {
        let rule = stream.masking.iter().find(|masked| masked.column == name);
        rule.map(|masked| masked.masking)
    };
    View {
        name: stream.name.clone(),
        columns: stream
            .columns
            .known
            .iter()
            .filter(|column| masking(&column.name) != Some(Masking::Drop))
            .map(|column| ViewColumn {
                name: column.name.clone(),
                column_type: match masking(&column.name) {
                    Some(_) => Some(ColumnType::String),
                    None => column.column_type.clone(),
                },
                nullable: column.nullable,
            })
            .collect(),
        is_open: stream.columns.pass_through,
        key: stream.primary_key.clone(),
    }
}

/// Columns of a stream or transform whose rows have been written, as a view.
pub fn closed_view(name: &str, columns: &[ColumnField], key: &[String]) -> View {
    View {
        name: name.to_owned(),
        columns: columns
            .iter()
            .map(|column| ViewColumn {
                name: column.name.clone(),
                column_type: Some(column.column_type.clone()),
                nullable: column.nullable,
            })
            .collect(),
        is_open: false,
        key: key.to_vec(),
    }
}

/// Keys of the tables that a transform's output goes to are columns of it.
fn keys(plan: &Plan, transform: &str, view: &View, diagnostics: &mut Vec<Diagnostic>) {
    let input = Input::Transform(transform.to_owned());
    for load in plan
        .loads
        .iter()
        .filter(|load| load.inputs.contains(&input))
    {
        for key in &load.primary_key {
            let columns = || view.columns.iter().map(|column| column.name.as_str());
            if columns().any(|column| column == key) {
                continue;
            }
            let path: FieldPath = load.path.parse().unwrap_or_default();
            let help = match nearest(key, columns()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it yields {}", columns().collect::<Vec<_>>().join(", ")),
            };
            diagnostics.push(
                Diagnostic::error(
                    Code::PrimaryKeyMissing,
                    path.key("primary_key"),
                    format!("the primary key names `{key}`, which `{transform}` doesn't yield"),
                )
                .help(help),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use runner_plan::model::{Check, CheckOrigin};

    use super::*;

    #[test]
    fn a_key_holds_no_nulls() {
        let field = |name: &str| ColumnField {
            name: name.to_owned(),
            column_type: ColumnType::Integer,
            nullable: true,
        };
        let input = Input::Stream("sales".to_owned());
        let transform = TransformPlan {
            name: "t".to_owned(),
            path: "provider.transforms[0]".to_owned(),
            sql: "SELECT shop, n FROM sales".to_owned(),
            views: BTreeMap::from([("sales".to_owned(), input.clone())]),
            checks: vec![Check {
                column: "shop".to_owned(),
                kind: CheckKind::Required,
                origin: CheckOrigin::PrimaryKey,
                path: String::new(),
            }],
            columns: Vec::new(),
            output: Vec::new(),
            primary_key: vec!["shop".to_owned()],
        };
        let view = closed_view("sales", &[field("shop"), field("n")], &[]);
        let known = BTreeMap::from([(input, view)]);
        let analysis = analyse_transform(&transform, &known, &[], DateTime::UNIX_EPOCH);
        let columns = analysis.relation.unwrap().columns;
        let nullable: Vec<bool> = columns.iter().map(|column| column.nullable).collect();
        assert_eq!(nullable, [false, true]);
    }
}

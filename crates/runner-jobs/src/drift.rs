//! Drift: what a run observed of its source's schema against what was accepted before.
//!
//! Pure. Types are names as the decoder reports them (`boolean`, `integer`, `number`, `string`, `array`, `object`, …). The accepted
//! schema is the union of what was accepted; the first good run sets it, and so does a document for the fields that it changed.

use std::collections::{BTreeMap, BTreeSet};

use runner_core::checkpoint::{Observed, ObservedField};
use runner_core::feed::{DriftChange, DriftDecision, DriftKind};
use runner_plan::StreamPlan;
use runner_plan::model::{CheckKind, Column, ColumnSource, RowPath, RowPathStep, TypeOrigin};
use runner_spec::model::Compatibility;

/// What a run's schema means under a compatibility mode.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    pub changes: Vec<DriftChange>,
    pub decision: DriftDecision,
    /// Changes that the mode does not accept.
    pub refused: Vec<DriftChange>,
}

/// What the document needs of the source's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Fields that a column is mapped from.
    pub mapped: BTreeSet<String>,
    /// Those that no row may lack.
    pub required: BTreeSet<String>,
    /// A run with fewer rows proves no absence.
    pub sample_size: u64,
    /// Fields of which the document says something else now: they are set anew.
    pub redefined: BTreeSet<String>,
}

impl Needs {
    /// `defined` is what the document said when the accepted schema was set ([`definitions`]).
    pub fn of(stream: &StreamPlan, defined: Option<&BTreeMap<String, String>>) -> Self {
        let mut needs = Self {
            sample_size: u64::from(stream.sample_size),
            ..Self::default()
        };
        for column in &stream.columns.known {
            let Some(field) = source_field(column) else {
                continue;
            };
            // Where all fields pass, a column is there since a row had it, and none has to.
            if !stream.columns.pass_through {
                needs.mapped.insert(field.to_owned());
            }
            let is_checked = stream
                .checks
                .iter()
                .any(|check| check.kind == CheckKind::Required && check.column == column.name);
            if !column.nullable || is_checked {
                needs.required.insert(field.to_owned());
            }
        }
        if let Some(defined) = defined {
            let now = definitions(stream);
            needs.redefined = now
                .iter()
                .filter(|&(field, definition)| defined.get(field) != Some(definition))
                .chain(
                    defined
                        .iter()
                        .filter(|(field, _)| !now.contains_key(*field)),
                )
                .map(|(field, _)| field.clone())
                .collect();
        }
        needs
    }

    fn is_redefined(&self, field: &str) -> bool {
        let top = field.split('.').next().unwrap_or(field);
        self.redefined.contains(field) || self.redefined.contains(top)
    }
}

/// What the document says of each source field: the columns that it becomes, and their types where the document fixes them.
pub fn definitions(stream: &StreamPlan) -> BTreeMap<String, String> {
    let mut definitions: BTreeMap<String, String> = BTreeMap::new();
    for column in &stream.columns.known {
        let Some(field) = source_field(column) else {
            continue;
        };
        let fixed = match column.origin {
            TypeOrigin::Contract | TypeOrigin::Document => column.column_type.as_ref(),
            // Where all fields pass, the column itself is there since a run has seen it: the next run would take it for a new word of
            // the document, and its change for one that the document made.
            TypeOrigin::Stored | TypeOrigin::Sample | TypeOrigin::Open
                if stream.columns.pass_through =>
            {
                continue;
            }
            // What was seen or stored is not the document's word.
            TypeOrigin::Stored | TypeOrigin::Sample | TypeOrigin::Open => None,
        };
        let definition = match fixed {
            Some(fixed) => format!("{} {fixed}", column.name),
            None => column.name.clone(),
        };
        let known = definitions.entry(field.to_owned()).or_default();
        if !known.is_empty() {
            known.push_str(", ");
        }
        known.push_str(&definition);
    }
    definitions
}

/// Judges a run. `accepted` is none before the first good run, which sets it.
pub fn judge(
    observed: &Observed,
    accepted: Option<&Observed>,
    mode: Compatibility,
    blocks: bool,
    needs: &Needs,
) -> Judgement {
    let Some(accepted) = accepted else {
        return Judgement {
            changes: Vec::new(),
            decision: DriftDecision::FirstRun,
            refused: Vec::new(),
        };
    };
    let changes = changes(observed, accepted, needs);
    let refused: Vec<_> = changes
        .iter()
        .filter(|change| !accepts(mode, change, needs))
        .cloned()
        .collect();
    let decision = match (mode, refused.is_empty(), blocks) {
        (Compatibility::None, _, _) | (_, false, false) => DriftDecision::Recorded,
        (_, true, _) => DriftDecision::Accepted,
        (_, false, true) => DriftDecision::Blocked,
    };
    Judgement {
        changes,
        decision,
        refused,
    }
}

/// What is accepted after a run that the gates let pass.
pub fn accepted_after(accepted: Option<&Observed>, observed: &Observed, needs: &Needs) -> Observed {
    let mut after = accepted.cloned().unwrap_or_default();
    after.fields.retain(|field, _| !needs.is_redefined(field));
    after.merge(observed);
    after
}

/// What is accepted once an operator accepted a run's drift: what was there before, and what the run brought; fields that it lacked
/// are no longer expected.
pub fn accepted_by_operator(
    accepted: Option<&Observed>,
    observed: &Observed,
    changes: &[DriftChange],
) -> Observed {
    let mut after = accepted.cloned().unwrap_or_default();
    after.merge(observed);
    for change in changes
        .iter()
        .filter(|change| change.kind == DriftKind::Missing)
    {
        after.fields.remove(&change.field);
    }
    after
}

/// A change in words, behind the field's name.
pub fn describe(change: &DriftChange) -> String {
    let before = change.before.as_deref().unwrap_or("nothing");
    let after = change.after.as_deref().unwrap_or("nothing");
    match change.kind {
        DriftKind::Added => format!("is new ({after})"),
        DriftKind::Widened => format!("was widened from {before} to {after}"),
        DriftKind::Changed => format!("changed from {before} to {after}"),
        DriftKind::Outgrown => {
            format!(
                "needs a wider type ({after}) than its tables can take, which have it as {before}"
            )
        }
        DriftKind::Missing => format!("is missing from every row (was {before})"),
    }
}

fn changes(observed: &Observed, accepted: &Observed, needs: &Needs) -> Vec<DriftChange> {
    let mut changes = Vec::new();
    for (name, field) in &observed.fields {
        // All null, or said anew by the document: no drift.
        if field.types.is_empty() || needs.is_redefined(name) {
            continue;
        }
        let known = accepted
            .fields
            .get(name)
            .filter(|known| !known.types.is_empty());
        match known {
            None => changes.push(change(name, DriftKind::Added, None, Some(field))),
            Some(known) => changes.extend(
                retyped(known, field).map(|kind| change(name, kind, Some(known), Some(field))),
            ),
        }
    }
    if observed.rows >= needs.sample_size.max(1) {
        for name in needs.mapped.union(&needs.required) {
            let is_there = observed
                .fields
                .get(name)
                .is_some_and(|field| !field.types.is_empty());
            let known = accepted
                .fields
                .get(name)
                .filter(|known| !known.types.is_empty() && !needs.is_redefined(name));
            if let (false, Some(known)) = (is_there, known) {
                changes.push(change(name, DriftKind::Missing, Some(known), None));
            }
        }
    }
    changes
}

/// How the types of a field changed; none where every type seen was accepted, or is a case of one that was.
fn retyped(known: &ObservedField, seen: &ObservedField) -> Option<DriftKind> {
    if seen.outgrown > 0 && known.outgrown == 0 {
        return Some(DriftKind::Outgrown);
    }
    let is_case = |new: &String| {
        known
            .types
            .iter()
            .any(|known| known == new || is_wider(new, known))
    };
    let new: Vec<_> = seen.types.iter().filter(|new| !is_case(new)).collect();
    if new.is_empty() {
        return None;
    }
    let widens = new
        .iter()
        .all(|new| known.types.iter().all(|known| is_wider(known, new)));
    Some(if widens {
        DriftKind::Widened
    } else {
        DriftKind::Changed
    })
}

fn change(
    field: &str,
    kind: DriftKind,
    before: Option<&ObservedField>,
    after: Option<&ObservedField>,
) -> DriftChange {
    let types = |field: &ObservedField| field.types.join(" or ");
    DriftChange {
        field: field.to_owned(),
        kind,
        before: before.map(types),
        after: after.map(types),
    }
}

/// Whether every value of the first type is one of the second, nothing lost.
fn is_wider(from: &str, to: &str) -> bool {
    match from {
        "integer" => matches!(to, "number" | "decimal" | "string"),
        "date" => matches!(to, "date-time" | "timestamp" | "string"),
        "number" | "decimal" | "boolean" | "date-time" | "timestamp" | "time" | "uuid" => {
            to == "string"
        }
        _ => false,
    }
}

fn accepts(mode: Compatibility, change: &DriftChange, needs: &Needs) -> bool {
    // New fields are nullable: earlier rows don't have them.
    let backward = matches!(change.kind, DriftKind::Added | DriftKind::Widened);
    let forward = change.kind == DriftKind::Missing && !needs.required.contains(&change.field);
    match mode {
        Compatibility::None => true,
        Compatibility::Backward => backward,
        Compatibility::Forward => forward,
        Compatibility::Full => backward && forward,
    }
}

/// The top-level field that a column is read from.
fn source_field(column: &Column) -> Option<&str> {
    match &column.source {
        ColumnSource::Field(RowPath::Steps(steps)) => match steps.first() {
            Some(RowPathStep::Name(name)) => Some(name),
            _ => None,
        },
        ColumnSource::Field(RowPath::Query(_))
        | ColumnSource::Template(_)
        | ColumnSource::Variable(_)
        | ColumnSource::Row => None,
    }
}

#[cfg(test)]
mod tests {
    use runner_testkit::plans::{column, plan_json, plan_of};
    use serde_json::json;

    use super::*;

    type Fields<'a> = &'a [(&'a str, &'a [&'a str])];

    fn observed(fields: Fields<'_>) -> Observed {
        let fields = fields
            .iter()
            .map(|(name, types)| {
                let field = ObservedField {
                    types: types.iter().map(|&kind| kind.to_owned()).collect(),
                    present: 1,
                    nulls: 0,
                    outgrown: 0,
                };
                ((*name).to_owned(), field)
            })
            .collect();
        Observed { fields, rows: 100 }
    }

    fn needs() -> Needs {
        Needs {
            mapped: ["id".to_owned(), "name".to_owned()].into(),
            required: ["id".to_owned()].into(),
            sample_size: 10,
            redefined: BTreeSet::new(),
        }
    }

    /// A widening that loses nothing is accepted, and yet it is drift where the tables can't follow: once.
    #[test]
    fn what_the_tables_cannot_follow_is_told_once() {
        let accepted = observed(&[("id", &["integer"])]);
        let mut seen = observed(&[("id", &["integer", "string"])]);
        let kinds = |seen: &Observed, accepted: &Observed| {
            let needs = Needs::default();
            let judged = judge(seen, Some(accepted), Compatibility::Backward, true, &needs);
            let kinds: Vec<_> = judged.changes.iter().map(|change| change.kind).collect();
            (kinds, judged.decision)
        };
        let widened = (vec![DriftKind::Widened], DriftDecision::Accepted);
        assert_eq!(kinds(&seen, &accepted), widened);
        if let Some(field) = seen.fields.get_mut("id") {
            field.outgrown = 1;
        }
        let outgrown = (vec![DriftKind::Outgrown], DriftDecision::Blocked);
        assert_eq!(kinds(&seen, &accepted), outgrown);
        let after = accepted_by_operator(Some(&accepted), &seen, &[]);
        assert_eq!(kinds(&seen, &after), (Vec::new(), DriftDecision::Accepted));
    }

    const BEFORE: Fields<'_> = &[
        ("id", &["integer"]),
        ("name", &["string"]),
        ("note", &["string"]),
        ("price", &["number"]),
    ];

    /// The last run, with one field otherwise; none takes it away.
    fn with(field: &str, types: Option<&[&str]>) -> Observed {
        let mut run = observed(BEFORE);
        match types {
            None => {
                run.fields.remove(field);
            }
            Some(types) => {
                let fields: Fields<'_> = &[(field, types)];
                run.fields.extend(observed(fields).fields);
            }
        }
        run
    }

    fn second(mode: Compatibility, run: &Observed, needs: &Needs) -> Judgement {
        judge(run, Some(&observed(BEFORE)), mode, true, needs)
    }

    #[test]
    fn the_first_run_sets_what_is_accepted() {
        let run = observed(BEFORE);
        let judgement = judge(&run, None, Compatibility::Full, true, &needs());
        assert_eq!(judgement.decision, DriftDecision::FirstRun);
        assert_eq!(accepted_after(None, &run, &needs()), run);
    }

    #[test]
    fn modes_accept_what_they_say() {
        use Compatibility::{Backward, Forward, Full};
        let added = with("new", Some(&["string"]));
        let widened = with("id", Some(&["number"]));
        let mixed = with("id", Some(&["integer", "string"]));
        let changed = with("id", Some(&["object"]));
        let narrowed = with("price", Some(&["integer"]));
        let optional_lost = with("name", None);
        let required_lost = with("id", None);
        let unmapped_lost = with("note", None);
        // What the gate says in BACKWARD, FORWARD and FULL.
        for (run, changes, decisions) in [
            (&observed(BEFORE), 0, [true, true, true]),
            (&added, 1, [true, false, false]),
            (&widened, 1, [true, false, false]),
            (&mixed, 1, [true, false, false]),
            (&changed, 1, [false, false, false]),
            (&narrowed, 0, [true, true, true]),
            (&optional_lost, 1, [false, true, false]),
            (&required_lost, 1, [false, false, false]),
            (&unmapped_lost, 0, [true, true, true]),
        ] {
            for (mode, passes) in [Backward, Forward, Full].into_iter().zip(decisions) {
                let judgement = second(mode, run, &needs());
                let expected = if passes {
                    DriftDecision::Accepted
                } else {
                    DriftDecision::Blocked
                };
                assert_eq!(judgement.decision, expected, "{mode:?} {run:?}");
                assert_eq!(judgement.changes.len(), changes, "{run:?}");
            }
            let recorded = second(Compatibility::None, run, &needs());
            assert_eq!(recorded.decision, DriftDecision::Recorded);
        }
    }

    #[test]
    fn without_slos_drift_is_recorded_only() {
        let run = with("id", Some(&["object"]));
        let judgement = judge(
            &run,
            Some(&observed(BEFORE)),
            Compatibility::Full,
            false,
            &needs(),
        );
        assert_eq!(judgement.decision, DriftDecision::Recorded);
        assert_eq!(judgement.refused.len(), 1);
    }

    #[test]
    fn nulls_and_few_rows_prove_no_absence() {
        let all_null = with("name", Some(&[]));
        assert_eq!(
            second(Compatibility::Backward, &all_null, &needs())
                .changes
                .len(),
            1
        );
        let mut few = with("name", None);
        few.rows = 9;
        assert!(
            second(Compatibility::Backward, &few, &needs())
                .changes
                .is_empty()
        );
        let unmapped_null = with("note", Some(&[]));
        assert!(
            second(Compatibility::Backward, &unmapped_null, &needs())
                .changes
                .is_empty()
        );
    }

    #[test]
    fn what_the_document_changed_is_set_anew() {
        let needs = Needs {
            redefined: ["id".to_owned()].into(),
            ..needs()
        };
        for run in [with("id", Some(&["object"])), with("id", None)] {
            let judgement = second(Compatibility::Full, &run, &needs);
            assert_eq!(judgement.decision, DriftDecision::Accepted, "{run:?}");
            assert!(judgement.changes.is_empty());
        }
        let after = accepted_after(
            Some(&observed(BEFORE)),
            &with("id", Some(&["object"])),
            &needs,
        );
        assert_eq!(after.fields["id"].types, ["object"]);
        // Other fields keep what was accepted of them.
        let other = accepted_after(Some(&observed(BEFORE)), &with("note", None), &needs);
        assert_eq!(other.fields["note"].types, ["string"]);
    }

    #[test]
    fn an_operator_accepts_what_was_observed() {
        let run = with("name", None);
        let judgement = second(Compatibility::Full, &run, &needs());
        let after = accepted_by_operator(Some(&observed(BEFORE)), &run, &judgement.changes);
        assert!(
            judge(&run, Some(&after), Compatibility::Full, true, &needs())
                .changes
                .is_empty()
        );
        let retyped = with("id", Some(&["object"]));
        let judgement = second(Compatibility::Full, &retyped, &needs());
        let after = accepted_by_operator(Some(&observed(BEFORE)), &retyped, &judgement.changes);
        // Both are fine from now on.
        for run in [&retyped, &observed(BEFORE)] {
            assert!(
                judge(run, Some(&after), Compatibility::Full, true, &needs())
                    .changes
                    .is_empty()
            );
        }
    }

    #[test]
    fn redefined_fields_are_told_from_the_document() {
        let plan = plan_of(&plan_json(&["orders"]));
        let defined = definitions(&plan.streams[0]);
        assert_eq!(defined["id"], "id integer");
        assert!(
            Needs::of(&plan.streams[0], Some(&defined))
                .redefined
                .is_empty()
        );
        assert!(Needs::of(&plan.streams[0], None).redefined.is_empty());

        let mut other = plan_json(&["orders"]);
        other["streams"][0]["columns"]["known"] = json!([
            column("id", "string", false),
            column("price", "number", true)
        ]);
        let other = plan_of(&other);
        let needs = Needs::of(&other.streams[0], Some(&defined));
        let fields: Vec<_> = needs.redefined.iter().map(String::as_str).collect();
        assert_eq!(fields, ["at", "id", "price"]);
        assert_eq!(needs.required, ["id".to_owned()].into());
        assert!(needs.mapped.contains("price"));
        let mut open = plan_json(&["orders"]);
        open["streams"][0]["columns"]["pass_through"] = json!(true);
        let needs = Needs::of(&plan_of(&open).streams[0], None);
        assert!(needs.mapped.is_empty() && needs.required.contains("id"));
        // A column that passed through an earlier run is none that the document names.
        let definitions_of = |name: &str, origin: &str| {
            let mut passed = open.clone();
            passed["streams"][0]["columns"]["known"][0]["name"] = json!(name);
            passed["streams"][0]["columns"]["known"][0]["origin"] = json!(origin);
            definitions(&plan_of(&passed).streams[0])
        };
        for origin in ["stored", "sample", "open"] {
            assert_eq!(definitions_of("id", origin).get("id"), None, "{origin}");
        }
        assert_eq!(definitions_of("id", "contract")["id"], "id integer");
        // A type that a sample gave is not the document's.
        let mut sampled = plan_json(&["orders"]);
        sampled["streams"][0]["columns"]["known"][0]["origin"] = json!("sample");
        let sampled = plan_of(&sampled);
        assert_eq!(definitions(&sampled.streams[0])["id"], "id");
    }
}

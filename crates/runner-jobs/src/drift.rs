//! Drift: what a run observed of its source's schema against what was accepted before.
//!
//! Pure. Types are names as the decoder reports them (`boolean`, `integer`, `number`, `string`, `array`, `object`, …).

use runner_core::checkpoint::{Observed, ObservedField};
use runner_core::feed::{DriftChange, DriftDecision, DriftKind};
use runner_spec::model::Compatibility;

/// What a run's schema means under a compatibility mode.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    pub changes: Vec<DriftChange>,
    pub decision: DriftDecision,
    /// Changes that the mode does not accept.
    pub refused: Vec<DriftChange>,
    /// The union of what is accepted now.
    pub accepted: Observed,
}

/// What the plan needs of the source's fields.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    /// Source fields that are required or mapped: their absence counts.
    pub fields: &'a [String],
    /// A run with fewer rows proves no absence.
    pub sample_size: u64,
}

/// Judges a run. `accepted` is none before the first good run, which sets it.
pub fn judge(
    observed: &Observed,
    accepted: Option<&Observed>,
    mode: Compatibility,
    blocks: bool,
    needs: Needs<'_>,
) -> Judgement {
    let Some(accepted) = accepted else {
        return Judgement {
            changes: Vec::new(),
            decision: DriftDecision::FirstRun,
            refused: Vec::new(),
            accepted: observed.clone(),
        };
    };
    let changes = changes(observed, accepted, needs);
    let refused: Vec<_> = changes
        .iter()
        .filter(|change| !accepts(mode, change))
        .cloned()
        .collect();
    let decision = match (refused.is_empty(), blocks, mode) {
        (_, _, Compatibility::None) | (false, false, _) => DriftDecision::Recorded,
        (true, _, _) => DriftDecision::Accepted,
        (false, true, _) => DriftDecision::Blocked,
    };
    Judgement {
        changes,
        decision,
        refused,
        accepted: union(accepted, observed),
    }
}

/// Fields of both, with every type that either has seen.
pub fn union(left: &Observed, right: &Observed) -> Observed {
    let mut union = left.clone();
    union.rows += right.rows;
    for (name, field) in &right.fields {
        let known = union.fields.entry(name.clone()).or_default();
        known.present += field.present;
        known.nulls += field.nulls;
        for kind in &field.types {
            if let Err(index) = known.types.binary_search(kind) {
                known.types.insert(index, kind.clone());
            }
        }
    }
    union
}

fn changes(observed: &Observed, accepted: &Observed, needs: Needs<'_>) -> Vec<DriftChange> {
    let mut changes = Vec::new();
    for (name, field) in observed
        .fields
        .iter()
        .filter(|(_, field)| !field.types.is_empty())
    {
        let known = accepted
            .fields
            .get(name)
            .filter(|known| !known.types.is_empty());
        let Some(known) = known else {
            changes.push(change(name, DriftKind::Added, None, Some(field)));
            continue;
        };
        let new: Vec<_> = field
            .types
            .iter()
            .filter(|kind| !known.types.contains(kind))
            .collect();
        if new.is_empty() {
            continue;
        }
        let kind = if new
            .iter()
            .all(|kind| known.types.iter().all(|known| is_wider(known, kind)))
        {
            DriftKind::Widened
        } else {
            DriftKind::Changed
        };
        changes.push(change(name, kind, Some(known), Some(field)));
    }
    if observed.rows >= needs.sample_size.max(1) {
        for name in needs.fields {
            let is_there = observed
                .fields
                .get(name)
                .is_some_and(|field| !field.types.is_empty());
            if let (false, Some(known)) = (is_there, accepted.fields.get(name)) {
                changes.push(change(name, DriftKind::Missing, Some(known), None));
            }
        }
    }
    changes
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
    matches!(
        (from, to),
        ("integer", "number" | "decimal" | "string")
            | ("number" | "decimal" | "boolean", "string")
            | ("date", "date-time" | "string")
            | ("date-time", "string")
    )
}

fn accepts(mode: Compatibility, change: &DriftChange) -> bool {
    let backward = matches!(change.kind, DriftKind::Added | DriftKind::Widened);
    // A field that is needed and gone is optional for no reader of the new schema.
    let forward = false;
    match mode {
        Compatibility::None => true,
        Compatibility::Backward => backward,
        Compatibility::Forward => forward,
        Compatibility::Full => backward && forward,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(fields: &[(&str, &[&str])]) -> Observed {
        let fields = fields
            .iter()
            .map(|(name, types)| {
                let types = types.iter().map(|&kind| kind.to_owned()).collect();
                (
                    (*name).to_owned(),
                    ObservedField {
                        types,
                        present: 1,
                        nulls: 0,
                    },
                )
            })
            .collect();
        Observed { fields, rows: 100 }
    }

    /// Decision and changed fields of a second run.
    fn second(mode: Compatibility, after: &[(&str, &[&str])]) -> (DriftDecision, Vec<String>) {
        let before = observed(&[("id", &["integer"]), ("name", &["string"])]);
        let needed = ["id".to_owned(), "name".to_owned()];
        let needs = Needs {
            fields: &needed,
            sample_size: 10,
        };
        let judgement = judge(&observed(after), Some(&before), mode, true, needs);
        (
            judgement.decision,
            judgement
                .changes
                .into_iter()
                .map(|change| change.field)
                .collect(),
        )
    }

    #[test]
    fn the_first_run_sets_what_is_accepted() {
        let run = observed(&[("id", &["integer"])]);
        let judgement = judge(
            &run,
            None,
            Compatibility::Full,
            true,
            Needs {
                fields: &[],
                sample_size: 1,
            },
        );
        assert_eq!(
            (judgement.decision, judgement.accepted),
            (DriftDecision::FirstRun, run)
        );
    }

    #[test]
    fn modes_accept_what_they_say() {
        use Compatibility::{Backward, Forward, Full, None};
        let added: &[(&str, &[&str])] = &[
            ("id", &["integer"]),
            ("name", &["string"]),
            ("note", &["string"]),
        ];
        let widened: &[(&str, &[&str])] = &[("id", &["number"]), ("name", &["string"])];
        let changed: &[(&str, &[&str])] = &[("id", &["object"]), ("name", &["string"])];
        let missing: &[(&str, &[&str])] = &[("id", &["integer"])];
        for (mode, run, decision) in [
            (Backward, added, DriftDecision::Accepted),
            (Backward, widened, DriftDecision::Accepted),
            (Backward, changed, DriftDecision::Blocked),
            (Backward, missing, DriftDecision::Blocked),
            (Forward, added, DriftDecision::Blocked),
            (Full, added, DriftDecision::Blocked),
            (None, changed, DriftDecision::Recorded),
        ] {
            assert_eq!(second(mode, run).0, decision, "{mode:?} {run:?}");
        }
        assert_eq!(second(Backward, missing).1, ["name"]);
    }
}

//! What a replace may take away. Pure.
//!
//! A replace that read less than everything would take away what it didn't read, so a run that was cut off, lost a chain or read no
//! row is refused. A windowed replace takes away what its windows cover.

use std::collections::BTreeMap;

use runner_core::checkpoint::{ChainOutcome, ResumeState};
use runner_core::{Error, ErrorKind, Result};
use runner_plan::Plan;
use runner_plan::model::{Input, LoadPlan};
use runner_spec::model::WriteMode;

/// Why the run may not replace what its plan wants replaced; none if it may.
pub fn refused(plan: &Plan, found: &BTreeMap<String, ResumeState>) -> Option<String> {
    plan.loads
        .iter()
        .filter(|load| load.write_mode == WriteMode::Replace && !load.allow_empty)
        .find_map(|load| refused_load(plan, load, found))
}

fn refused_load(
    plan: &Plan,
    load: &LoadPlan,
    found: &BTreeMap<String, ResumeState>,
) -> Option<String> {
    let nothing = ResumeState::default();
    let state = |name: &str| found.get(name).unwrap_or(&nothing);
    for name in sources(plan, &load.inputs) {
        let read = state(&name);
        let cut_off = read
            .totals
            .chains_ended
            .iter()
            .find(|(end, count)| is_cut_off(end) && **count > 0);
        if let Some((end, count)) = cut_off {
            return Some(format!(
                "`{}` can't be replaced: {count} request chains of `{name}` were cut off ({end})",
                load.table
            ));
        }
        if !read.positions.is_empty() {
            return Some(format!(
                "`{}` can't be replaced: {} request chains of `{name}` were not read to their end",
                load.table,
                read.positions.len()
            ));
        }
    }
    let rows: u64 = load
        .inputs
        .iter()
        .map(|input| state(input.name()).totals.rows_passed)
        .sum();
    (rows == 0).then(|| {
        format!(
            "`{}` can't be replaced: the run has no row for it",
            load.table
        )
    })
}

/// Where rows of a load come from in the end: a transform's inputs count as its own.
fn sources(plan: &Plan, inputs: &[Input]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut open: Vec<&Input> = inputs.iter().collect();
    while let Some(input) = open.pop() {
        let name = input.name();
        if names.iter().any(|known| known == name) {
            continue;
        }
        names.push(name.to_owned());
        if let Input::Transform(name) = input {
            let transform = plan.transform(name);
            open.extend(
                transform
                    .iter()
                    .flat_map(|transform| transform.views.values()),
            );
        }
    }
    names
}

/// The names by which [`ChainEnd`](runner_core::ChainEnd) is counted.
fn is_cut_off(end: &str) -> bool {
    matches!(end, "max_pages" | "row_limit" | "skipped")
}

/// What the windows of a stream cover, built up chain by chain.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    /// Of the values that are done: every one must have the same.
    whole: Option<(String, String)>,
    /// Of the value whose chains are coming.
    current: Option<(String, Option<(String, String)>)>,
    is_unbounded: bool,
}

impl Coverage {
    /// Chains come in the order of (value, window).
    pub(crate) fn add(&mut self, outcome: &ChainOutcome, load: &LoadPlan) -> Result<()> {
        let value = &outcome.chain.value;
        if self
            .current
            .as_ref()
            .is_none_or(|(known, _)| known != value)
        {
            self.end_value(load)?;
            self.current = Some((value.clone(), None));
        }
        let bounds = outcome
            .cursor
            .as_ref()
            .map(|cursor| cursor.from.clone().zip(cursor.complete_to.clone()));
        let (Some((_, covered)), Some(bounds)) = (&mut self.current, bounds) else {
            return Ok(());
        };
        let Some((from, to)) = bounds else {
            self.is_unbounded = true;
            return Ok(());
        };
        *covered = match covered.take() {
            // Windows of one value follow each other.
            Some((first, last)) if last == from => Some((first, to)),
            Some(_) => return Err(differs(load)),
            None => Some((from, to)),
        };
        Ok(())
    }

    /// The bounds that hold for every value; none where a window has no bound, so that the rows themselves say what is replaced.
    pub(crate) fn bounds(mut self, load: &LoadPlan) -> Result<Option<(String, String)>> {
        self.end_value(load)?;
        Ok(self.whole.filter(|_| !self.is_unbounded))
    }

    /// The chains of the next input are of other values.
    pub(crate) fn end_input(&mut self, load: &LoadPlan) -> Result<()> {
        self.end_value(load)
    }

    fn end_value(&mut self, load: &LoadPlan) -> Result<()> {
        let Some((_, Some(covered))) = self.current.take() else {
            return Ok(());
        };
        match &self.whole {
            Some(whole) if *whole != covered => Err(differs(load)),
            _ => {
                self.whole = Some(covered);
                Ok(())
            }
        }
    }
}

fn differs(load: &LoadPlan) -> Error {
    Error::new(
        ErrorKind::Spec,
        format!(
            "`{}` can't be replaced by windows: they differ from one value of the parent to the next",
            load.table
        ),
    )
    .with_help("use `write_mode: merge`, or let every chain read the same window")
}

#[cfg(test)]
mod tests {
    use runner_core::checkpoint::{ChainCursor, Totals};
    use runner_core::{ChainEnd, ChainKey, Position};
    use runner_testkit::plans::{plan_json, plan_of};
    use runner_testkit::store_contract::position;
    use serde_json::json;

    use super::*;

    fn plan(mode: &str, allow_empty: bool) -> Plan {
        let mut plan = plan_json(&["orders"]);
        plan["loads"][0]["write_mode"] = json!(mode);
        plan["loads"][0]["allow_empty"] = json!(allow_empty);
        plan_of(&plan)
    }

    fn read(rows: u64, ends: &[(&str, u64)], open: Vec<Position>) -> ResumeState {
        ResumeState {
            positions: open,
            totals: Totals {
                rows_passed: rows,
                chains_ended: ends
                    .iter()
                    .map(|&(end, count)| (end.to_owned(), count))
                    .collect(),
                ..Totals::default()
            },
            ..ResumeState::default()
        }
    }

    #[test]
    fn resume_with_replace() {
        let whole = read(9, &[("natural", 3)], Vec::new());
        let cases = [
            (whole.clone(), None),
            (read(9, &[("full_page", 1)], Vec::new()), None),
            (read(0, &[("natural", 3)], Vec::new()), Some("no row")),
            (
                read(9, &[("natural", 2), ("max_pages", 1)], Vec::new()),
                Some("cut off (max_pages)"),
            ),
            (
                read(9, &[("row_limit", 1)], Vec::new()),
                Some("cut off (row_limit)"),
            ),
            (
                read(9, &[("skipped", 1)], Vec::new()),
                Some("cut off (skipped)"),
            ),
            (
                read(9, &[("natural", 2)], vec![position(2, 0, 1)]),
                Some("not read to their end"),
            ),
        ];
        for (state, reason) in cases {
            let found: BTreeMap<_, _> = [("orders".to_owned(), state)].into();
            let said = refused(&plan("replace", false), &found);
            match reason {
                None => assert_eq!(said, None),
                Some(reason) => assert!(
                    said.as_deref().is_some_and(|said| said.contains(reason)),
                    "{said:?}"
                ),
            }
            assert_eq!(refused(&plan("replace", true), &found), None);
            assert_eq!(refused(&plan("append", false), &found), None);
        }
    }

    #[test]
    fn a_transform_of_a_stream_that_was_cut_off_replaces_nothing() {
        let mut plan = plan_json(&["orders"]);
        plan["loads"][0]["write_mode"] = json!("replace");
        plan["loads"][0]["inputs"] = json!([{ "transform": "daily" }]);
        plan["transforms"] = json!([{
            "name": "daily", "path": "provider.transforms[0]", "sql": "SELECT 1", "views": { "orders": { "stream": "orders" } },
            "checks": [], "columns": [], "primary_key": [],
        }]);
        let plan = plan_of(&plan);
        let mut found: BTreeMap<_, _> = [
            ("orders".to_owned(), read(9, &[("natural", 1)], Vec::new())),
            ("daily".to_owned(), read(4, &[], Vec::new())),
        ]
        .into();
        assert_eq!(refused(&plan, &found), None);
        found.insert(
            "orders".to_owned(),
            read(9, &[("max_pages", 1)], Vec::new()),
        );
        assert!(refused(&plan, &found).is_some());
    }

    fn window(value: &str, number: u32, from: Option<&str>, to: Option<&str>) -> ChainOutcome {
        let chain = ChainKey {
            value: value.to_owned(),
            window: number,
            ..ChainKey::default()
        };
        ChainOutcome {
            chain: chain.clone(),
            end: Some(ChainEnd::Natural),
            cursor: Some(ChainCursor {
                chain,
                from: from.map(str::to_owned),
                complete_to: to.map(str::to_owned),
                ..ChainCursor::default()
            }),
        }
    }

    fn bounds(outcomes: &[ChainOutcome]) -> Result<Option<(String, String)>> {
        let plan = plan("replace", false);
        let mut coverage = Coverage::default();
        for outcome in outcomes {
            coverage.add(outcome, &plan.loads[0])?;
        }
        coverage.bounds(&plan.loads[0])
    }

    #[test]
    fn windows_join_and_must_be_the_same_for_every_value() {
        let all = |from: &str, to: &str| Some((from.to_owned(), to.to_owned()));
        let steps = [
            window("", 0, Some("a"), Some("b")),
            window("", 1, Some("b"), Some("c")),
        ];
        assert_eq!(bounds(&steps).unwrap(), all("a", "c"));
        let parents = [
            window("x", 0, Some("a"), Some("b")),
            window("x", 1, Some("b"), Some("c")),
            window("y", 0, Some("a"), Some("c")),
        ];
        assert_eq!(bounds(&parents).unwrap(), all("a", "c"));
        // Rows of `y` before `b` were not read: they would be gone.
        let differing = [
            window("x", 0, Some("a"), Some("c")),
            window("y", 0, Some("b"), Some("c")),
        ];
        assert!(bounds(&differing).is_err());
        let gap = [
            window("", 0, Some("a"), Some("b")),
            window("", 2, Some("c"), Some("d")),
        ];
        assert!(bounds(&gap).is_err());
        assert_eq!(bounds(&[window("", 0, None, Some("c"))]).unwrap(), None);
        assert_eq!(bounds(&[]).unwrap(), None);
    }
}

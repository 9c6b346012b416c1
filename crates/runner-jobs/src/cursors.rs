//! Where cursors move when a run commits: only over what was read to its natural end, and only forward. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use runner_core::checkpoint::ChainOutcome;
use runner_core::feed::CursorState;
use runner_core::{ChainEnd, JobId};
use runner_plan::windows::{CursorKind, CursorValue};

/// Later values load and are warned of, but don't move the cursor: a clock that is wrong would hide every row until then.
const FUTURE_TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// The cursor of one value after its chains (one a window, in their order); none where it stays.
pub fn moved(stream: &str, job: &JobId, outcomes: &[ChainOutcome]) -> Option<CursorState> {
    let mut moved = None;
    for (number, outcome) in (0_u32..).zip(outcomes) {
        // A window behind one that was not read whole, or not at all, would leave a gap.
        let follows = outcome.chain.window == number;
        if !follows || !outcome.end.is_some_and(ChainEnd::is_natural) {
            break;
        }
        let Some(cursor) = &outcome.cursor else {
            continue;
        };
        let (position, boundary) = match (&cursor.complete_to, &cursor.behind) {
            // Half-open windows meet without overlap: there is nothing to tell apart at their edge.
            (Some(to), _) => (Some(to.clone()), BTreeMap::new()),
            (None, Some(behind)) => (Some(behind.clone()), cursor.below_boundary.clone()),
            (None, None) => (cursor.maximum.clone(), cursor.boundary.clone()),
        };
        // An empty position never overwrites a stored one.
        if position.is_some() {
            moved = Some(CursorState {
                stream: stream.to_owned(),
                value: outcome.chain.value.clone(),
                cursor: position,
                boundary,
                updated_by: Some(job.clone()),
            });
        }
    }
    moved
}

/// The new cursor, unless it is behind the stored one or beyond the run's own time.
pub fn forward(
    kind: CursorKind,
    nominal_time: DateTime<Utc>,
    stored: Option<&CursorState>,
    new: CursorState,
) -> Option<CursorState> {
    // Texts that say a time or a number compare as such, as they did when they were read.
    let kind = match (kind, &new.cursor) {
        (CursorKind::Text, Some(text)) => CursorKind::of_text(text),
        _ => kind,
    };
    let parse = |state: &CursorState| kind.parse(state.cursor.as_deref()?).ok();
    let Some(value) = parse(&new) else {
        // What is no value of its type can't be compared with anything.
        return Some(new);
    };
    if is_future(&value, nominal_time) {
        return None;
    }
    let is_behind = stored.and_then(parse).is_some_and(|stored| value < stored);
    (!is_behind).then_some(new)
}

fn is_future(value: &CursorValue, nominal_time: DateTime<Utc>) -> bool {
    let limit = nominal_time + FUTURE_TOLERANCE;
    match value {
        CursorValue::Timestamp(time) => *time > limit,
        CursorValue::Date(date) => *date > limit.date_naive(),
        CursorValue::Integer(_) | CursorValue::Number(_) | CursorValue::Text(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use runner_core::ChainKey;
    use runner_core::checkpoint::ChainCursor;

    use super::*;

    fn outcome(window: u32, end: Option<ChainEnd>, cursor: ChainCursor) -> ChainOutcome {
        ChainOutcome {
            chain: ChainKey {
                window,
                ..ChainKey::default()
            },
            end,
            cursor: Some(cursor),
        }
    }

    fn maximum(text: &str) -> ChainCursor {
        ChainCursor {
            maximum: Some(text.to_owned()),
            ..ChainCursor::default()
        }
    }

    fn window(to: &str) -> ChainCursor {
        ChainCursor {
            complete_to: Some(to.to_owned()),
            ..maximum("x")
        }
    }

    fn position(outcomes: &[ChainOutcome]) -> Option<String> {
        moved("s", &JobId::new("job-1"), outcomes).and_then(|state| state.cursor)
    }

    #[test]
    fn a_chain_that_was_cut_off_keeps_its_cursor() {
        for end in [
            None,
            Some(ChainEnd::MaxPages),
            Some(ChainEnd::RowLimit),
            Some(ChainEnd::Skipped),
        ] {
            assert_eq!(position(&[outcome(0, end, maximum("9"))]), None, "{end:?}");
        }
        assert_eq!(
            position(&[outcome(0, Some(ChainEnd::Natural), maximum("9"))]),
            Some("9".to_owned())
        );
    }

    #[test]
    fn empty_position() {
        assert_eq!(
            position(&[outcome(0, Some(ChainEnd::Natural), ChainCursor::default())]),
            None
        );
    }

    #[test]
    fn windows_move_it_up_to_the_first_gap() {
        let read = Some(ChainEnd::Natural);
        let outcomes = [
            outcome(0, read, window("b")),
            outcome(1, None, window("c")),
            outcome(2, read, window("d")),
        ];
        assert_eq!(position(&outcomes), Some("b".to_owned()));
        assert_eq!(position(&outcomes[1..]), None);
        // A window that nobody began is a gap as well.
        let lost = [outcomes[0].clone(), outcomes[2].clone()];
        assert_eq!(position(&lost), Some("b".to_owned()));
        let whole = [outcomes[0].clone(), outcome(1, read, window("c"))];
        assert_eq!(position(&whole), Some("c".to_owned()));
    }

    #[test]
    fn a_boundary_that_grew_too_large_keeps_the_cursor_one_value_behind() {
        let boundary = BTreeMap::from([("a row with 8".to_owned(), 1)]);
        let cursor = ChainCursor {
            behind: Some("8".to_owned()),
            below_boundary: boundary.clone(),
            ..maximum("9")
        };
        let outcome = outcome(0, Some(ChainEnd::Natural), cursor);
        let moved = moved("s", &JobId::new("job-1"), &[outcome]).unwrap();
        assert_eq!(moved.cursor.as_deref(), Some("8"));
        // The rows that were there are known when they come again.
        assert_eq!(moved.boundary, boundary);
    }

    #[test]
    fn cursors_compare_as_their_type_and_only_move_forward() {
        use CursorKind::{Date, Integer, Text, Timestamp};
        let state = |text: &str| CursorState {
            cursor: Some(text.to_owned()),
            ..CursorState::default()
        };
        let nominal: DateTime<Utc> = "2026-01-10T00:00:00Z".parse().unwrap();
        for (kind, stored, new, moves) in [
            (Integer, Some("9"), "10", true),
            (Integer, Some("10"), "9", false),
            (Integer, Some("10"), "10", true),
            (Integer, None, "-1", true),
            (Text, Some("b9"), "b10", false),
            (Text, Some("b10"), "b9", true),
            // A text that is a number or an instant is one.
            (Text, Some("9"), "10", true),
            (
                Text,
                Some("2026-01-02T01:00:00Z"),
                "2026-01-01T23:30:00-05:00",
                true,
            ),
            (Text, None, "2026-01-10T00:05:01Z", false),
            // One instant, written differently.
            (
                Timestamp,
                Some("2026-01-01T10:00:00Z"),
                "2026-01-01T11:30:00+02:00",
                false,
            ),
            (
                Timestamp,
                Some("2026-01-01T10:00:00Z"),
                "2026-01-01T10:00:00.5Z",
                true,
            ),
            (Timestamp, None, "2026-01-10T00:05:00Z", true),
            (Timestamp, None, "2026-01-10T00:05:01Z", false),
            (Date, None, "2026-01-10", true),
            (Date, None, "2026-01-11", false),
            // An id may be as large as it likes.
            (Integer, None, "99999999999999", true),
        ] {
            let stored = stored.map(state);
            let moved = forward(kind, nominal, stored.as_ref(), state(new));
            assert_eq!(moved.is_some(), moves, "{kind:?}: {stored:?} to {new}");
        }
    }
}

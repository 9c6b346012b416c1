//! Where cursors move when a run commits: only over what was read to its natural end.

use runner_core::checkpoint::ChainOutcome;
use runner_core::feed::CursorState;
use runner_core::{ChainEnd, JobId};

/// The cursor of one value after its chains (one a window, in their order); none where it stays.
pub fn moved(stream: &str, job: &JobId, outcomes: &[ChainOutcome]) -> Option<CursorState> {
    let mut moved = None;
    for outcome in outcomes {
        // A window behind one that was not read whole would leave a gap.
        if !outcome.end.is_some_and(ChainEnd::is_natural) {
            break;
        }
        let Some(cursor) = &outcome.cursor else {
            continue;
        };
        let (position, boundary) = match (&cursor.complete_to, &cursor.behind) {
            (Some(to), _) => (Some(to.clone()), Default::default()),
            (None, Some(behind)) => (Some(behind.clone()), Default::default()),
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
    }
}

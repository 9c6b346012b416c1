//! The loop guard's memory: which cursors a chain has seen, in bounded space.
//!
//! It keeps the latest cursors, which finds a short loop at once, and one landmark that is set anew whenever the number of pages has
//! doubled (Brent's method), which finds a loop of any length before it has gone round three times.

use std::collections::VecDeque;

use runner_core::PageCursor;
use xxhash_rust::xxh3::xxh3_64;

/// Latest cursors kept; a position stores them.
const KEPT: usize = 64;

/// Hashes of cursors.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    landmark: Option<u64>,
    latest: VecDeque<u64>,
    /// Cursors since the landmark was set, and how many make it move.
    steps: u64,
    span: u64,
}

impl Seen {
    /// Notes a cursor; false where it was seen before.
    pub(super) fn note(&mut self, cursor: &PageCursor) -> bool {
        let hash = hash(cursor);
        if self.landmark == Some(hash) || self.latest.contains(&hash) {
            return false;
        }
        if self.latest.len() == KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(hash);
        self.steps += 1;
        if self.steps >= self.span {
            self.landmark = Some(hash);
            self.steps = 0;
            self.span = (self.span * 2).max(1);
        }
        true
    }

    /// For a position: the landmark with its span first, then the latest.
    pub(super) fn stored(&self) -> Vec<String> {
        let landmark = self
            .landmark
            .map(|hash| format!("{hash:016x}/{}/{}", self.steps, self.span));
        landmark
            .into_iter()
            .chain(self.latest.iter().map(|hash| format!("{hash:016x}")))
            .collect()
    }

    /// What another version stored and this one can't read is forgotten: the guard then needs a round more.
    pub(super) fn restored(stored: &[String]) -> Self {
        let mut seen = Self::default();
        for text in stored {
            let mut fields = text.split('/');
            let hash = fields
                .next()
                .and_then(|hash| u64::from_str_radix(hash, 16).ok());
            let numbers: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
            match (hash, numbers.as_slice()) {
                (Some(hash), [steps, span]) => {
                    seen.landmark = Some(hash);
                    seen.steps = *steps;
                    seen.span = *span;
                }
                (Some(hash), _) if seen.latest.len() < KEPT => seen.latest.push_back(hash),
                _ => {}
            }
        }
        seen
    }
}

fn hash(cursor: &PageCursor) -> u64 {
    let text = match cursor {
        PageCursor::First => String::new(),
        PageCursor::Offset(offset) => format!("offset {offset}"),
        PageCursor::Page(page) => format!("page {page}"),
        PageCursor::Token(token) => format!("token {token}"),
        PageCursor::Url(url) => format!("url {url}"),
        PageCursor::Byte(byte) => format!("byte {byte}"),
    };
    xxh3_64(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(number: u64) -> PageCursor {
        PageCursor::Token(number.to_string())
    }

    proptest! {
        #[test]
        fn every_loop_is_found_within_three_rounds_and_nothing_else_is(
            before in 0_u64..300,
            length in 1_u64..400,
            interrupted_at in 0_u64..500,
        ) {
            let mut seen = Seen::default();
            let bound = 3 * (before + length) + 2;
            let mut found_at = None;
            for step in 0..bound {
                if step == interrupted_at {
                    seen = Seen::restored(&seen.stored());
                }
                let number = if step < before { step } else { before + (step - before) % length };
                if !seen.note(&token(number)) {
                    found_at = Some(step);
                    break;
                }
            }
            let found_at = found_at.expect("a loop is found");
            prop_assert!(found_at >= before + length, "cursor {found_at} had not been seen");
            if length <= 64 {
                prop_assert_eq!(found_at, before + length, "a short loop is found at once");
            }
        }
    }

    #[test]
    fn what_is_stored_is_bounded() {
        let mut seen = Seen::default();
        for number in 0..10_000 {
            assert!(seen.note(&token(number)));
        }
        assert!(seen.stored().len() <= KEPT + 1);
        assert_eq!(Seen::restored(&seen.stored()), seen);
    }
}

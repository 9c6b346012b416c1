//! Lines of files before the places where reading them begins anew: a part that other parts stand before, the page that a killed run goes
//! on with. They are counted when an error or a bad row wants to say its line, by reading the file up to there once more.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::chain::StreamState;
use super::content::check_unchanged;
use super::piece::{Part, Piece};
use crate::lines::{LineOrigin, line_ends};

/// Reading more than this takes longer than a line is worth.
const MOST_BYTES: u64 = 4 << 30;
/// The same for the lines of bad rows, of which there may be some in every part, where bytes come over a network.
const MOST_REMOTE_BYTES: u64 = 64 << 20;

/// Line ends that have been counted, by file and by the place that they lie before.
#[derive(Debug, Default)]
pub(super) struct CountedLines(Mutex<HashMap<String, BTreeMap<u64, u64>>>);

/// The lines before this offset of a piece's file, which counts bytes without compression.
pub(super) fn before(stream: &Arc<StreamState>, piece: &Piece, offset: u64) -> LineOrigin {
    if offset == 0 {
        return LineOrigin::first();
    }
    if offset > MOST_BYTES {
        return LineOrigin::counted(|| None);
    }
    let is_far = piece.key.is_some() && offset > MOST_REMOTE_BYTES;
    let (stream, piece) = (Arc::clone(stream), piece.clone());
    let origin = LineOrigin::counted(move || stream.counted_lines.before(&stream, &piece, offset));
    if is_far { origin.for_errors() } else { origin }
}

impl CountedLines {
    /// None where they can't be counted: that is no error of its own. Pieces of one file wait for each other, and go on from what one of
    /// them has counted, so that all of them together read it once.
    fn before(&self, stream: &StreamState, piece: &Piece, offset: u64) -> Option<u64> {
        // Entries are inserted whole.
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = files.entry(piece.path.clone()).or_default();
        let (from, counted) = known
            .range(..=offset)
            .next_back()
            .map_or((0, 0), |(from, counted)| (*from, *counted));
        let ends = counted
            + count(
                stream,
                piece,
                Part {
                    start: from,
                    end: offset,
                },
            )?;
        known.insert(offset, ends);
        Some(ends)
    }
}

/// Line ends between two places of a file.
fn count(stream: &StreamState, piece: &Piece, within: Part) -> Option<u64> {
    if within.start == within.end {
        return Some(0);
    }
    let stretch = Piece {
        part: Some(within),
        ..piece.clone()
    };
    let mut content = stream.access.content(&stretch, within.start).ok()?;
    let mut left = within.end - within.start;
    let mut ends = 0;
    while left > 0 {
        if stream.cancel.is_cancelled() {
            return None;
        }
        let bytes = content.next().ok()??;
        // A compressed file has no parts: it is read on past the stretch.
        let wanted = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        ends += line_ends(&bytes[..wanted]);
        left -= wanted as u64;
    }
    check_unchanged(piece).ok()?;
    Some(ends)
}

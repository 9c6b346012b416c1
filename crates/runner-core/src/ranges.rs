//! Sets of row numbers as half-open ranges.

/// What of `wanted` is in none of `taken`, in order; neither needs to be sorted.
pub fn subtract(wanted: &[(u64, u64)], taken: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut taken = taken.to_vec();
    taken.sort_unstable();
    let mut left = Vec::new();
    for (start, end) in union(wanted) {
        let mut from = start;
        for &(taken_from, taken_to) in &taken {
            if taken_to <= from {
                continue;
            }
            if taken_from >= end {
                break;
            }
            if taken_from > from {
                left.push((from, taken_from));
            }
            from = from.max(taken_to);
        }
        if from < end {
            left.push((from, end));
        }
    }
    left
}

/// The same rows as ranges that are sorted and don't touch.
pub fn union(ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut sorted: Vec<_> = ranges
        .iter()
        .copied()
        .filter(|(from, to)| from < to)
        .collect();
    sorted.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, to) in sorted {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_left_out() {
        for (wanted, taken, left) in [
            (vec![(0, 10)], vec![], vec![(0, 10)]),
            (vec![(0, 10)], vec![(0, 10)], vec![]),
            (
                vec![(0, 10)],
                vec![(2, 4), (6, 8)],
                vec![(0, 2), (4, 6), (8, 10)],
            ),
            (vec![(0, 10)], vec![(6, 8), (2, 7)], vec![(0, 2), (8, 10)]),
            (vec![(5, 6), (0, 2)], vec![(1, 5)], vec![(0, 1), (5, 6)]),
            (vec![(0, 5), (3, 8), (4, 4)], vec![], vec![(0, 8)]),
        ] {
            assert_eq!(subtract(&wanted, &taken), left, "{wanted:?} - {taken:?}");
        }
    }
}

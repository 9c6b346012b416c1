//! Durations as people read them.

use std::fmt::Write as _;

const UNITS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

/// The shortest text that [`runner_spec::parse_duration`] reads back: `1h30m`.
pub fn format_duration(milliseconds: u64) -> String {
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    let mut rest = milliseconds;
    let mut text = String::new();
    // Weeks read worse than days.
    for (name, factor) in UNITS.iter().rev().skip(1) {
        let count = rest / factor;
        if count > 0 {
            // Writing to a string can't fail.
            let _ = write!(text, "{count}{name}");
            rest %= factor;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_read_back_as_written(milliseconds in 0u64..10_000_000_000_000) {
            let text = format_duration(milliseconds);
            prop_assert_eq!(runner_spec::parse_duration(&text).map(|read| read.as_millis()), Ok(u128::from(milliseconds)));
        }
    }
}

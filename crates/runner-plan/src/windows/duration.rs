//! Durations as documents write them: `90s`, `15m`, `1h`, `7d`, also joined (`1h30m`).

use std::fmt::Write as _;

const UNITS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

/// Milliseconds, or nothing where the text is no duration. A number alone has no unit and is none.
pub fn parse_duration(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?.trim_start();
        let letters = rest
            .find(|character: char| !character.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit = rest.get(..letters)?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(*factor)?)?;
        rest = rest.get(letters..)?.trim_start();
    }
    Some(total)
}

/// The shortest text that [`parse_duration`] reads back: `1h30m`.
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

    #[test]
    fn reads_what_documents_write() {
        for (text, milliseconds) in [
            ("90s", Some(90_000)),
            ("15m", Some(900_000)),
            ("1h", Some(3_600_000)),
            ("7d", Some(604_800_000)),
            ("2w", Some(1_209_600_000)),
            ("250ms", Some(250)),
            ("1h30m", Some(5_400_000)),
            (" 1h 30m ", Some(5_400_000)),
            ("0s", Some(0)),
            ("", None),
            ("7", None),
            ("d", None),
            ("7 days", None),
            ("-1h", None),
            ("1.5h", None),
            ("99999999999999999999d", None),
            ("9999999999999999d", None),
        ] {
            assert_eq!(parse_duration(text), milliseconds, "{text}");
        }
    }

    proptest! {
        #[test]
        fn is_read_back_as_written(milliseconds in 0u64..10_000_000_000_000) {
            prop_assert_eq!(parse_duration(&format_duration(milliseconds)), Some(milliseconds));
        }
    }
}

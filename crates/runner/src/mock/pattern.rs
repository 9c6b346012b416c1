//! Texts that a regular expression matches.

use rand::Rng;
use rand::rngs::StdRng;
use regex_syntax::hir::{Class, Hir, HirKind};

/// More repetitions than the least are written where there is no most.
const MOST_EXTRA: u32 = 4;

/// A text that matches. One that is no regular expression matches nothing; what `validate` says about it is not repeated here.
pub(super) fn text(pattern: &str, random: &mut StdRng) -> String {
    let mut text = String::new();
    if let Ok(parsed) = regex_syntax::parse(pattern) {
        write(&parsed, random, &mut text);
    }
    text
}

fn write(pattern: &Hir, random: &mut StdRng, text: &mut String) {
    match pattern.kind() {
        // A look-around has no text of its own; anchors at both ends are what contracts use.
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(class) => text.extend(character(class, random)),
        HirKind::Repetition(repetition) => {
            let most = repetition
                .max
                .unwrap_or_else(|| repetition.min.saturating_add(MOST_EXTRA));
            for _ in 0..random.random_range(repetition.min..=most.max(repetition.min)) {
                write(&repetition.sub, random, text);
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, random, text),
        HirKind::Concat(parts) => {
            for part in parts {
                write(part, random, text);
            }
        }
        HirKind::Alternation(choices) => {
            write(
                &choices[random.random_range(0..choices.len())],
                random,
                text,
            );
        }
    }
}

/// A character of the class that people can read, if it has one.
fn character(class: &Class, random: &mut StdRng) -> Option<char> {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(class) => class
            .ranges()
            .iter()
            .map(|range| (range.start(), range.end()))
            .collect(),
        Class::Bytes(class) => class
            .ranges()
            .iter()
            .map(|range| (char::from(range.start()), char::from(range.end())))
            .collect(),
    };
    let readable: Vec<(char, char)> = ranges
        .iter()
        .filter(|(first, last)| *first <= '~' && *last >= ' ')
        .map(|(first, last)| ((*first).max(' '), (*last).min('~')))
        .collect();
    let ranges = if readable.is_empty() {
        ranges
    } else {
        readable
    };
    if ranges.is_empty() {
        return None;
    }
    let (first, last) = ranges[random.random_range(0..ranges.len())];
    char::from_u32(random.random_range(u32::from(first)..=u32::from(last))).or(Some(first))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use regex::Regex;

    use super::*;

    #[test]
    fn every_text_matches_its_pattern() {
        for pattern in [
            "^[0-9A-Z]{2}$",
            "^[A-Z]{3}-\\d{4,6}$",
            "^(buy|sell)_[^x]+$",
            "^a?b*c+$",
            "^\\w+@\\w+\\.(com|org)$",
            "^.{1,8}$",
            "^\\p{Greek}+$",
        ] {
            let compiled = Regex::new(pattern).unwrap();
            for seed in 0..50 {
                let text = text(pattern, &mut StdRng::seed_from_u64(seed));
                assert!(
                    compiled.is_match(&text),
                    "`{pattern}` doesn't match `{text}`"
                );
            }
        }
    }
}

//! Pieces of values in messages, and the encoding of what comes in.

/// The beginning of a text for a message, on one line.
pub(crate) fn shortened(text: &[u8], characters: usize) -> String {
    let text = String::from_utf8_lossy(text);
    let mut short: String = text
        .chars()
        .take(characters)
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    if text.chars().nth(characters).is_some() {
        short.push('…');
    }
    short
}

/// What the first bytes of a text say of its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// And how many bytes its mark takes.
    Utf8(usize),
    Other(&'static str),
}

/// Looks at the first bytes of a text; four of them decide, if there are that many.
pub(crate) fn encoding(first: &[u8]) -> Encoding {
    match first {
        [0xEF, 0xBB, 0xBF, ..] => Encoding::Utf8(3),
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Encoding::Other("UTF-32"),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Encoding::Other("UTF-16"),
        // Without a mark: no text in UTF-8 has zeros.
        [0, 0, 0, _, ..] | [_, 0, 0, 0, ..] => Encoding::Other("UTF-32"),
        [0, _, 0, _, ..] | [_, 0, _, 0, ..] => Encoding::Other("UTF-16"),
        _ => Encoding::Utf8(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_told_apart() {
        let wide: Vec<u8> = "[1]".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(encoding(b"\xEF\xBB\xBF[1]"), Encoding::Utf8(3));
        assert_eq!(encoding(b"[1]"), Encoding::Utf8(0));
        assert_eq!(encoding(b""), Encoding::Utf8(0));
        assert_eq!(encoding(&wide), Encoding::Other("UTF-16"));
        assert_eq!(encoding(b"\xFF\xFE["), Encoding::Other("UTF-16"));
        assert_eq!(encoding(b"\xFF\xFE\0\0"), Encoding::Other("UTF-32"));
    }

    #[test]
    fn pieces_of_values_stay_short_and_on_one_line() {
        assert_eq!(shortened("a\nbäc".as_bytes(), 4), "a bä…");
        assert_eq!(shortened(b"\xFFab", 10), "\u{FFFD}ab");
    }
}

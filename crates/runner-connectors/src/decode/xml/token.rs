//! Tags, texts and the rest of XML in bytes that may end in the middle of one.

use std::ops::Range;

/// A piece of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Open(Range<usize>),
    Empty(Range<usize>),
    Close(Range<usize>),
    /// Text as it is written, entities and all.
    Text(Range<usize>),
    /// Text without markup.
    CData(Range<usize>),
    Declaration(Range<usize>),
    /// A comment, an instruction, a document type.
    Other,
}

/// What is wrong, for a message.
pub(super) type Fault = &'static str;

/// The token that begins at `at`, and where it ends; none where its end is not here yet.
/// `searched` bytes of it are known not to hold its end.
pub(super) fn token(
    bytes: &[u8],
    at: usize,
    searched: &mut usize,
) -> Result<Option<(Token, usize)>, Fault> {
    let rest = &bytes[at..];
    if rest.first() != Some(&b'<') {
        // What is there of a text can be taken at once.
        let length = memchr::memchr(b'<', rest).unwrap_or(rest.len());
        return Ok((length > 0).then(|| (Token::Text(at..at + length), at + length)));
    }
    for (begin, end) in [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")] {
        let (begin, end) = (begin.as_bytes(), end.as_bytes());
        if rest.len() < begin.len() && begin.starts_with(rest) {
            return Ok(None);
        }
        if !rest.starts_with(begin) {
            continue;
        }
        let from = begin.len().max(searched.saturating_sub(end.len()));
        let found = rest
            .get(from..)
            .and_then(|rest| memchr::memmem::find(rest, end));
        let Some(found) = found else {
            *searched = rest.len();
            return Ok(None);
        };
        let inner = at + begin.len()..at + from + found;
        let token = match begin {
            b"<![CDATA[" => Token::CData(inner),
            b"<?" if bytes[inner.clone()].starts_with(b"xml ") => Token::Declaration(inner),
            _ => Token::Other,
        };
        return Ok(Some((token, at + from + found + end.len())));
    }
    let Some(end) = tag_end(rest) else {
        return Ok(None);
    };
    let inner = at + 1..at + end;
    let token = match rest[1] {
        b'!' => Token::Other,
        b'/' => Token::Close(inner.start + 1..inner.end),
        b'>' => return Err("a tag without a name"),
        _ if rest[end - 1] == b'/' => Token::Empty(inner.start..inner.end - 1),
        _ => Token::Open(inner),
    };
    Ok(Some((token, at + end + 1)))
}

/// The `>` that ends a tag: not one in quotes, nor in the brackets of a document type.
fn tag_end(tag: &[u8]) -> Option<usize> {
    let mut quote = None;
    let mut brackets = 0_u32;
    for (index, byte) in tag.iter().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if *byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(*byte),
            (None, b'[') => brackets += 1,
            (None, b']') => brackets = brackets.saturating_sub(1),
            (None, b'>') if brackets == 0 => return Some(index),
            (None, _) => {}
        }
    }
    None
}

/// The name at the beginning of a tag.
pub(super) fn name(tag: &[u8]) -> &[u8] {
    let end = tag
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(tag.len());
    &tag[..end]
}

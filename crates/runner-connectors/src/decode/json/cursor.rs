//! Tokens of JSON in a slice of bytes, which may end in the middle of one.
//!
//! Nothing is copied and nothing is validated twice: the rows' bytes are checked for UTF-8 as they come in, and escapes are
//! looked at where a text is wanted.

use crate::decode::keys::TypeSet;
use crate::decode::number::{self, Lexeme, NumberFault};

/// Why a value could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The bytes end within it.
    Incomplete,
    /// It is not JSON.
    Syntax { at: usize, what: &'static str },
    /// It is JSON, but a value does not fit its column; the row has to be looked at singly.
    Misfit,
}

/// A string as it stands between its quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) has_escapes: bool,
}

/// An escape that stands for no character: half of a surrogate pair, or nothing JSON knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadEscape;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
    pub(crate) max_depth: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize, max_depth: usize) -> Self {
        Self {
            bytes,
            at,
            max_depth,
        }
    }

    /// The first byte of the next token.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<u8, Stop> {
        loop {
            match self.bytes.get(self.at) {
                Some(byte) if *byte > b' ' => return Ok(*byte),
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(_) => return Err(self.syntax("a control character")),
                None => return Err(Stop::Incomplete),
            }
        }
    }

    #[inline]
    pub(crate) fn expect(&mut self, wanted: u8, what: &'static str) -> Result<(), Stop> {
        if self.peek()? == wanted {
            self.at += 1;
            return Ok(());
        }
        Err(self.syntax(what))
    }

    pub(crate) fn syntax(&self, what: &'static str) -> Stop {
        Stop::Syntax { at: self.at, what }
    }

    /// The string that begins here.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Text<'a>, Stop> {
        let start = self.at + 1;
        let mut at = start;
        let mut has_escapes = false;
        loop {
            at = plain_end(self.bytes, at);
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Text {
                        raw: &self.bytes[start..at],
                        has_escapes,
                    });
                }
                Some(b'\\') => {
                    has_escapes = true;
                    at += 2;
                }
                Some(_) => {
                    return Err(Stop::Syntax {
                        at,
                        what: "a control character in a string",
                    });
                }
                None => return Err(Stop::Incomplete),
            }
        }
    }

    #[inline]
    pub(crate) fn number(&mut self) -> Result<Lexeme<'a>, Stop> {
        match number::scan(self.bytes, self.at) {
            Ok(number) => {
                self.at += number.text.len();
                Ok(number)
            }
            Err(NumberFault::Incomplete) => Err(Stop::Incomplete),
            Err(NumberFault::Invalid) if self.is_not_finite() => self.not_finite(),
            Err(NumberFault::Invalid) => Err(self.syntax("a malformed number")),
        }
    }

    #[inline]
    pub(crate) fn literal(&mut self, text: &'static [u8]) -> Result<(), Stop> {
        let rest = &self.bytes[self.at..];
        if rest.starts_with(text) {
            self.at += text.len();
            return Ok(());
        }
        if text.starts_with(rest) {
            return Err(Stop::Incomplete);
        }
        Err(self.syntax("a word that is neither `true`, `false` nor `null`"))
    }

    /// Passes over a value, whatever it is.
    pub(crate) fn skip(&mut self) -> Result<TypeSet, Stop> {
        match self.peek()? {
            b'"' => self.string().map(|_| TypeSet::STRING),
            b'{' => self.skip_nested().map(|()| TypeSet::OBJECT),
            b'[' => self.skip_nested().map(|()| TypeSet::ARRAY),
            b't' => self.literal(b"true").map(|()| TypeSet::BOOLEAN),
            b'f' => self.literal(b"false").map(|()| TypeSet::BOOLEAN),
            b'n' => self.literal(b"null").map(|()| TypeSet::NULL),
            _ => self.skip_number(),
        }
    }

    /// A word such as `NaN` is a number to those who write it; no column takes it.
    fn skip_number(&mut self) -> Result<TypeSet, Stop> {
        match self.number() {
            Ok(number) if number.is_integer() => Ok(TypeSet::INTEGER),
            Ok(_) | Err(Stop::Misfit) => Ok(TypeSet::NUMBER),
            Err(stop) => Err(stop),
        }
    }

    fn is_not_finite(&self) -> bool {
        let rest = &self.bytes[self.at..];
        let rest = rest.strip_prefix(b"-").unwrap_or(rest);
        matches!(rest.first(), Some(b'N' | b'I'))
    }

    fn not_finite<T>(&mut self) -> Result<T, Stop> {
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        let word: &'static [u8] = match self.bytes.get(self.at) {
            Some(b'N') => b"NaN",
            _ => b"Infinity",
        };
        self.literal(word)?;
        Err(Stop::Misfit)
    }

    /// Passes over an object or list.
    fn skip_nested(&mut self) -> Result<(), Stop> {
        // Whether each level is an object.
        let mut objects = Vec::with_capacity(16);
        loop {
            // A value begins here.
            match self.peek()? {
                byte @ (b'{' | b'[') => {
                    if objects.len() >= self.max_depth {
                        return Err(self.syntax("too many levels of nesting"));
                    }
                    self.at += 1;
                    let is_object = byte == b'{';
                    objects.push(is_object);
                    let next = self.peek()?;
                    if next != closing(is_object) {
                        if is_object {
                            self.skip_key()?;
                        }
                        continue;
                    }
                }
                _ => {
                    self.skip()?;
                }
            }
            // It has ended, or was the end of an empty one.
            loop {
                let Some(is_object) = objects.last().copied() else {
                    return Ok(());
                };
                let next = self.peek()?;
                self.at += 1;
                if next == closing(is_object) {
                    objects.pop();
                } else if next == b',' {
                    if is_object {
                        self.skip_key()?;
                    }
                    break;
                } else {
                    self.at -= 1;
                    return Err(self.syntax(if is_object {
                        "`,` or `}` was expected"
                    } else {
                        "`,` or `]` was expected"
                    }));
                }
            }
        }
    }

    fn skip_key(&mut self) -> Result<(), Stop> {
        if self.peek()? != b'"' {
            return Err(self.syntax("a key was expected"));
        }
        self.string()?;
        self.expect(b':', "`:` was expected after a key")
    }
}

fn closing(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}

/// The first byte from `at` on that ends or escapes a string, or is not allowed in one.
#[inline]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const QUOTES: u64 = ONES * b'"' as u64;
    const ESCAPES: u64 = ONES * b'\\' as u64;
    const CONTROLS: u64 = ONES * 0x20;
    // Eight bytes at once: a byte's high bit is set where the byte is one that is looked for. Borrows reach only bytes after a hit.
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let quotes = (word ^ QUOTES).wrapping_sub(ONES) & !(word ^ QUOTES);
        let escapes = (word ^ ESCAPES).wrapping_sub(ONES) & !(word ^ ESCAPES);
        let controls = word.wrapping_sub(CONTROLS) & !word;
        let hits = (quotes | escapes | controls) & HIGH;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\') || *byte < b' ' {
            return at;
        }
        at += 1;
    }
    at
}

impl Text<'_> {
    /// Appends the text without its escapes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<(), BadEscape> {
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            out.extend_from_slice(&rest[..at]);
            rest = unescape(&rest[at + 1..], out)?;
        }
        out.extend_from_slice(rest);
        Ok(())
    }
}

/// Takes the escape after a backslash, and returns what follows it.
fn unescape<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], BadEscape> {
    let (first, rest) = rest.split_first().ok_or(BadEscape)?;
    let plain = match first {
        b'"' | b'\\' | b'/' => *first,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => {
            let (unit, mut rest) = code_unit(rest)?;
            let character = match char::from_u32(unit) {
                Some(character) => character,
                None if unit < 0xDC00 => {
                    let low = rest.strip_prefix(b"\\u").ok_or(BadEscape)?;
                    let (low, after) = code_unit(low)?;
                    rest = after;
                    let low = low.checked_sub(0xDC00).filter(|low| *low < 0x400);
                    let code = 0x10000 + ((unit - 0xD800) << 10) + low.ok_or(BadEscape)?;
                    char::from_u32(code).ok_or(BadEscape)?
                }
                None => return Err(BadEscape),
            };
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(rest);
        }
        _ => return Err(BadEscape),
    };
    out.push(plain);
    Ok(rest)
}

fn code_unit(text: &[u8]) -> Result<(u32, &[u8]), BadEscape> {
    let (digits, rest) = text.split_at_checked(4).ok_or(BadEscape)?;
    let mut unit = 0;
    for digit in digits {
        unit = unit * 16 + char::from(*digit).to_digit(16).ok_or(BadEscape)?;
    }
    Ok((unit, rest))
}

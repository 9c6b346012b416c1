//! Finds where a JSON value ends while its bytes come in, each of them looked at once.
//!
//! It knows strings and brackets, and nothing else of JSON: what it passes over is read by others, or not wanted.

use super::cursor::Stop;

/// A value being passed over.
#[derive(Debug)]
pub(crate) struct Scanner {
    /// The next byte to look at.
    pub(crate) at: usize,
    depth: usize,
    max_depth: usize,
    within: Within,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// Before its first byte.
    Nothing,
    /// A number, `true`, `false` or `null`.
    Word,
    String,
    Brackets,
}

impl Scanner {
    pub(crate) fn new(at: usize, max_depth: usize) -> Self {
        Self {
            at,
            depth: 0,
            max_depth,
            within: Within::Nothing,
        }
    }

    /// Where the value ends, if these bytes have its end. They begin with those of the last call.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, Stop> {
        while let Some(byte) = bytes.get(self.at) {
            match self.within {
                Within::Nothing => {
                    self.within = match byte {
                        b' ' | b'\n' | b'\r' | b'\t' => Within::Nothing,
                        b'"' => Within::String,
                        b'{' | b'[' => {
                            self.depth = 1;
                            Within::Brackets
                        }
                        _ => Within::Word,
                    };
                    self.at += 1;
                }
                Within::Word => {
                    if matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t') {
                        return Ok(Some(self.at));
                    }
                    self.at += 1;
                }
                Within::String => {
                    if !self.pass_string(bytes) {
                        return Ok(None);
                    }
                    if self.depth == 0 {
                        return Ok(Some(self.at));
                    }
                    self.within = Within::Brackets;
                }
                Within::Brackets => {
                    self.at += 1;
                    match byte {
                        b'"' => self.within = Within::String,
                        b'{' | b'[' => self.depth += 1,
                        b'}' | b']' => self.depth -= 1,
                        _ => {}
                    }
                    if self.depth == 0 {
                        return Ok(Some(self.at));
                    }
                    if self.depth > self.max_depth {
                        return Err(Stop::Syntax {
                            at: self.at - 1,
                            what: "too many levels of nesting",
                        });
                    }
                }
            }
        }
        Ok(None)
    }

    /// Moves behind the string's closing quote, if it is there.
    fn pass_string(&mut self, bytes: &[u8]) -> bool {
        while let Some(found) = bytes
            .get(self.at..)
            .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
        {
            let at = self.at + found;
            if bytes[at] == b'"' {
                self.at = at + 1;
                return true;
            }
            // What a backslash escapes may not be here yet.
            if at + 1 >= bytes.len() {
                self.at = at;
                return false;
            }
            self.at = at + 2;
        }
        self.at = self.at.max(bytes.len());
        false
    }
}

/// Whether this is the beginning of a word or a number, and nothing follows it.
pub(crate) fn is_begun(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii_end();
    let words: [&[u8]; 3] = [b"true", b"false", b"null"];
    !rest.is_empty()
        && (words.iter().any(|word| word.starts_with(rest))
            || rest
                .iter()
                .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)))
}

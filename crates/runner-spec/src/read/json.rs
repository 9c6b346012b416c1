//! Reads JSON to the letter (RFC 8259), with positions, and says what people from other formats usually get wrong.

use super::Reading;
use super::build::{Builder, Stop};
use super::explain;
use super::scalar::resolve_json_number;
use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::path::FieldPath;
use crate::tree::{Node, Style, Text, Value};

pub(super) fn read(text: &str, index: usize) -> Reading {
    let mut reader = Reader {
        text,
        at: 0,
        builder: Builder::new(index),
    };
    let complete = reader.document().is_ok();
    let (root, findings) = reader.builder.finish();
    Reading {
        root: root.filter(|_| complete),
        findings,
    }
}

struct Reader<'text> {
    text: &'text str,
    at: usize,
    builder: Builder,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<(), Stop> {
        self.value()?;
        self.skip_whitespace();
        if self.at < self.text.len() {
            return Err(self.fail(
                "something follows the end of the document",
                "a file holds one JSON value; check the brackets before this place",
            ));
        }
        Ok(())
    }

    fn value(&mut self) -> Result<(), Stop> {
        self.skip_whitespace();
        let start = self.at;
        let value = match self.peek() {
            Some('{') => return self.object(),
            Some('[') => return self.list(),
            Some('"') => Value::Text(Text {
                value: self.string()?,
                style: Style::Double,
            }),
            Some('-' | '0'..='9') => self.number()?,
            Some(character) if character.is_alphabetic() => self.word()?,
            Some('\'') => {
                return Err(self.fail(
                    "a string is in single quotes",
                    "JSON knows double quotes only",
                ));
            }
            Some('+' | '.') => {
                return Err(self.fail(
                    "a number begins with a digit or a `-`",
                    "write `0.5` and `1`, not `.5` and `+1`",
                ));
            }
            Some('/' | '#') => {
                return Err(self.fail(
                    "JSON has no comments",
                    "remove it, or write the document as YAML",
                ));
            }
            Some('}' | ']' | ',' | ':') => {
                return Err(self.fail(
                    "a value is missing here",
                    "write it, or remove the comma before this place",
                ));
            }
            Some(_) => {
                return Err(self.fail("this is no JSON value", "put a text into double quotes"));
            }
            None => return Err(self.end_of_text()),
        };
        let span = self.builder.span(start..self.at);
        self.builder.value(Node { span, value });
        Ok(())
    }

    fn object(&mut self) -> Result<(), Stop> {
        let span = self.builder.span(self.at..self.at + 1);
        self.builder.open_object(span, 0)?;
        self.at += 1;
        self.skip_whitespace();
        if self.peek() != Some('}') {
            loop {
                self.member()?;
                self.skip_whitespace();
                match self.peek() {
                    Some(',') => self.at += 1,
                    Some('}') => break,
                    Some(_) => {
                        return Err(self.fail(
                            "a `,` or `}` is missing before this place",
                            "members of an object are separated by commas",
                        ));
                    }
                    None => return Err(self.end_of_text()),
                }
                self.skip_whitespace();
                if self.peek() == Some('}') {
                    return Err(self.fail(
                        "a comma stands before the closing `}`",
                        "remove the comma: JSON doesn't allow it there",
                    ));
                }
            }
        }
        self.close();
        Ok(())
    }

    fn member(&mut self) -> Result<(), Stop> {
        self.skip_whitespace();
        let start = self.at;
        match self.peek() {
            Some('"') => {}
            None => return Err(self.end_of_text()),
            Some(_) => {
                return Err(self.fail(
                    "a key is missing its double quotes",
                    "write `\"key\": value`",
                ));
            }
        }
        let key = self.string()?;
        let span = self.builder.span(start..self.at);
        self.builder.key(key, span, false);
        self.skip_whitespace();
        match self.peek() {
            Some(':') => self.at += 1,
            Some(_) => {
                return Err(self.fail("a `:` is missing behind a key", "write `\"key\": value`"));
            }
            None => return Err(self.end_of_text()),
        }
        self.value()
    }

    fn list(&mut self) -> Result<(), Stop> {
        let span = self.builder.span(self.at..self.at + 1);
        self.builder.open_list(span, 0)?;
        self.at += 1;
        self.skip_whitespace();
        if self.peek() != Some(']') {
            loop {
                self.value()?;
                self.skip_whitespace();
                match self.peek() {
                    Some(',') => self.at += 1,
                    Some(']') => break,
                    Some(_) => {
                        return Err(self.fail(
                            "a `,` or `]` is missing before this place",
                            "elements of a list are separated by commas",
                        ));
                    }
                    None => return Err(self.end_of_text()),
                }
                self.skip_whitespace();
                if self.peek() == Some(']') {
                    return Err(self.fail(
                        "a comma stands before the closing `]`",
                        "remove the comma: JSON doesn't allow it there",
                    ));
                }
            }
        }
        self.close();
        Ok(())
    }

    fn close(&mut self) {
        self.at += 1;
        if let Some((node, _)) = self.builder.close(self.at) {
            self.builder.value(node);
        }
    }

    fn string(&mut self) -> Result<String, Stop> {
        let open = self.at;
        self.at += 1;
        let mut value = String::new();
        loop {
            let Some(character) = self.peek() else {
                return Err(self.unclosed(open));
            };
            match character {
                '"' => {
                    self.at += 1;
                    return Ok(value);
                }
                '\\' => value.push(self.escape()?),
                '\n' | '\r' => return Err(self.unclosed(open)),
                character if character < ' ' => {
                    return Err(self.fail(
                        "a string contains a control character",
                        "write it as an escape: a tab is `\\t`",
                    ));
                }
                character => {
                    value.push(character);
                    self.at += character.len_utf8();
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Stop> {
        let escaped = match self.text[self.at + 1..].chars().next() {
            Some('"') => '"',
            Some('\\') => '\\',
            Some('/') => '/',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => return self.unicode_escape(),
            _ => {
                return Err(self.fail(
                    "a backslash escapes nothing",
                    "write two backslashes for one",
                ));
            }
        };
        self.at += 2;
        Ok(escaped)
    }

    /// `\uXXXX`, or two of them for a character beyond the basic plane.
    fn unicode_escape(&mut self) -> Result<char, Stop> {
        let Some(first) = self.hex(self.at) else {
            return Err(self.fail(
                "an escape `\\u` needs four hexadecimal digits",
                "write `\\u00e9`, or the character itself",
            ));
        };
        if let Some(character) = char::from_u32(first) {
            self.at += 6;
            return Ok(character);
        }
        let second = self
            .hex(self.at + 6)
            .filter(|second| (0xDC00..0xE000).contains(second) && first < 0xDC00);
        let character = second.and_then(|second| {
            char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
        });
        let Some(character) = character else {
            return Err(self.fail(
                "an escape is half of a surrogate pair",
                "write both halves, or the character itself",
            ));
        };
        self.at += 12;
        Ok(character)
    }

    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..at + 6)?.strip_prefix("\\u")?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        u32::from_str_radix(digits, 16).ok()
    }

    fn number(&mut self) -> Result<Value, Stop> {
        let start = self.at;
        let rest = &self.text[start..];
        let length = rest
            .find(|character: char| !matches!(character, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'))
            .unwrap_or(rest.len());
        let written = &rest[..length];
        if !is_json_number(written) {
            return Err(self.fail("this is no JSON number", "no leading zeros, and a digit on either side of the point; put a text into double quotes"));
        }
        self.at += length;
        let Ok(value) = resolve_json_number(written) else {
            let span = self.builder.span(start..self.at);
            self.builder
                .report(explain::unrepresentable(written, self.builder.path()), span);
            return Ok(Value::Null);
        };
        Ok(value)
    }

    fn word(&mut self) -> Result<Value, Stop> {
        let rest = &self.text[self.at..];
        let length = rest
            .find(|character: char| !(character.is_alphanumeric() || character == '_'))
            .unwrap_or(rest.len());
        let value = match &rest[..length] {
            "true" => Value::Boolean(true),
            "false" => Value::Boolean(false),
            "null" => Value::Null,
            "True" | "TRUE" | "False" | "FALSE" | "None" | "Null" | "NULL" | "nil"
            | "undefined" => {
                return Err(self.fail("this is no JSON value", "write `true`, `false` or `null`"));
            }
            _ => return Err(self.fail("a text is missing its double quotes", "write `\"text\"`")),
        };
        self.at += length;
        Ok(value)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip_whitespace(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn fail(&mut self, message: &str, help: &str) -> Stop {
        let length = self
            .peek()
            .filter(|character| *character != '\n')
            .map_or(0, char::len_utf8);
        let span = self.builder.span(self.at..self.at + length);
        self.builder.stop(
            Diagnostic::error(Code::JsonSyntax, self.builder.path(), message).help(help),
            span,
        )
    }

    fn unclosed(&mut self, open: usize) -> Stop {
        let diagnostic = Diagnostic::error(
            Code::UnclosedQuote,
            self.builder.path(),
            "the quote that opens here is never closed",
        )
        .help("close it on the same line; a line break in a string is written `\\n`");
        let span = self.builder.span(open..open + 1);
        self.builder.stop(diagnostic, span)
    }

    fn end_of_text(&mut self) -> Stop {
        if self.text.trim().is_empty() {
            let diagnostic = Diagnostic::error(
                Code::EmptyDocument,
                FieldPath::root(),
                "the document is empty",
            );
            let span = self.builder.span(0..0);
            return self.builder.stop(diagnostic, span);
        }
        let last = self.text.trim_end().len();
        let diagnostic = Diagnostic::error(
            Code::UnclosedQuote,
            self.builder.path(),
            "the document ends before every `{` and `[` is closed",
        )
        .help("was it cut off? close what is open");
        let start = crate::source::floor_boundary(self.text, last.saturating_sub(1));
        let span = self.builder.span(start..last);
        self.builder.stop(diagnostic, span)
    }
}

/// `-? (0 | [1-9][0-9]*) (\. [0-9]+)? ([eE] [-+]? [0-9]+)?`
fn is_json_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)),
        ),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}

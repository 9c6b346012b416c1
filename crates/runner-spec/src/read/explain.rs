//! Says in plain words why a text could not be read, and what to do about it.

use std::ops::Range;

use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::path::FieldPath;
use crate::source::line_start;

/// What a parser's message means: code, message, help.
struct Explanation {
    code: Code,
    message: &'static str,
    help: &'static str,
}

const fn explanation(code: Code, message: &'static str, help: &'static str) -> Explanation {
    Explanation {
        code,
        message,
        help,
    }
}

/// Explains an error of the YAML parser at a byte of the text.
pub(super) fn yaml_error(
    text: &str,
    info: &str,
    at: usize,
    path: FieldPath,
) -> (Diagnostic, Range<usize>) {
    let at = crate::source::floor_boundary(text, at);
    let start = line_start(text, at);
    let line = text[start..].lines().next().unwrap_or_default();
    let indentation = line.len() - line.trim_start().len();
    if line[..indentation].contains('\t') && at <= start + indentation + 1 {
        let tab = start + line[..indentation].find('\t').unwrap_or_default();
        return (diagnostic(&TAB, info, path), tab..tab + 1);
    }
    if info == MAPPING_VALUES {
        if let Some(above) = line_without_colon(text, start) {
            return (diagnostic(&NO_COLON, info, path), above);
        }
        if line[..at - start].contains(": ") {
            return (diagnostic(&SECOND_COLON, info, path), visible(text, at));
        }
    }
    let found = explain(info, &text[at..]);
    if found.code == Code::TabIndentation
        && let Some(tab) = tab_indentation(text, start)
    {
        return (diagnostic(&TAB, info, path), tab..tab + 1);
    }
    (diagnostic(found, info, path), visible(text, at))
}

fn diagnostic(found: &Explanation, info: &str, path: FieldPath) -> Diagnostic {
    let diagnostic = Diagnostic::error(found.code, path, found.message).help(found.help);
    if found.code == Code::YamlSyntax {
        diagnostic.note(format!("the parser says: {info}"))
    } else {
        diagnostic
    }
}

const MAPPING_VALUES: &str = "mapping values are not allowed in this context";

const NO_COLON: Explanation = explanation(
    Code::YamlSyntax,
    "this line has no `:`, and is neither a key nor part of the value above",
    "write `key: value`, with a space behind the colon",
);

const SECOND_COLON: Explanation = explanation(
    Code::YamlSyntax,
    "a second `:` stands on this line",
    "put a text that contains `: ` into quotes, and give every key a line of its own",
);

/// Messages of the parser, and what they mean to somebody who writes a document.
const EXPLANATIONS: &[(&[&str], Explanation)] = &[
    (
        &[MAPPING_VALUES],
        explanation(
            Code::BadIndentation,
            "a `:` stands where no value can begin",
            "indent the key like its siblings, put a space behind the `:` of the line above, or quote a text that contains `: `",
        ),
    ),
    (
        &[
            "while parsing a block mapping, did not find expected key",
            "while parsing a block collection, did not find expected '-' indicator",
        ],
        explanation(
            Code::BadIndentation,
            "this line fits no level of indentation above it",
            "indent it exactly like the keys or list elements that it belongs to",
        ),
    ),
    (
        &[
            "wrongly indented line in block scalar",
            "invalid indentation",
            "invalid indentation in flow construct",
            "invalid indentation for anchor",
        ],
        explanation(
            Code::BadIndentation,
            "this line is indented less than the value that it belongs to",
            "indent it further than the key of the value",
        ),
    ),
    (&["simple key expect ':'", "simple key expected"], NO_COLON),
    (
        &["block sequence entries are not allowed in this context"],
        explanation(
            Code::YamlSyntax,
            "a list element can't begin on the line of its key",
            "start the list on the next line, or write `[a, b]`",
        ),
    ),
    (
        &[
            "invalid indentation in quoted scalar",
            "while scanning a quoted scalar, found unexpected end of stream",
            "while scanning a quoted scalar, found unexpected document indicator",
        ],
        explanation(
            Code::UnclosedQuote,
            "the quote that opens here is never closed",
            "close it on the same line; in single quotes an apostrophe is written twice",
        ),
    ),
    (
        &["invalid trailing content after double-quoted scalar"],
        explanation(
            Code::YamlSyntax,
            "something follows the closing quote",
            "put the quotes around the whole value; in double quotes a quote is written `\\\"`",
        ),
    ),
    (
        &["while parsing a quoted scalar, found unknown escape character"],
        explanation(
            Code::YamlSyntax,
            "a string in double quotes has a backslash that escapes nothing",
            "write two backslashes, or use single quotes, in which a backslash is a character like any other",
        ),
    ),
    (
        &["while parsing node, found unknown anchor"],
        explanation(
            Code::UnknownAlias,
            "this alias names no anchor before it",
            "write `&name` before the value that `*name` repeats; quote a text that begins with `*`",
        ),
    ),
    (
        &["recursion limit exceeded"],
        explanation(
            Code::TooDeep,
            "values are nested too deeply",
            "no setting needs such depth; check the brackets",
        ),
    ),
    (
        &["illegal placement of ':' indicator"],
        explanation(
            Code::UnclosedQuote,
            "a `:` stands inside a list in brackets",
            "close the bracket before this place, or quote a text that contains a colon",
        ),
    ),
    (
        &[
            "while scanning an anchor or alias, did not find expected alphabetic or numeric character",
        ],
        explanation(
            Code::YamlSyntax,
            "a value begins with `*` or `&`, which name an anchor",
            "put the value into quotes",
        ),
    ),
];

const TAB: Explanation = explanation(
    Code::TabIndentation,
    "a tab is used as indentation",
    "indent with spaces: YAML doesn't allow tabs there",
);

const BRACKET: Explanation = explanation(
    Code::UnclosedQuote,
    "a `[` or `{` before this place is not closed, or a comma is missing",
    "close it, or put a comma between the values; quote a text that begins with a bracket, such as a template",
);

const RESERVED: Explanation = explanation(
    Code::YamlSyntax,
    "a value begins with a character that YAML reserves",
    "put the value into quotes",
);

const OTHER: Explanation = explanation(
    Code::YamlSyntax,
    "this is not valid YAML",
    "check quotes, colons and indentation of this line and the one above",
);

fn explain(info: &str, rest: &str) -> &'static Explanation {
    if let Some((_, found)) = EXPLANATIONS
        .iter()
        .find(|(messages, _)| messages.contains(&info))
    {
        found
    } else if info.starts_with("while parsing a flow")
        || info.contains("flow mapping")
        || info == "misplaced bracket"
        || rest.trim().is_empty()
    {
        &BRACKET
    } else if info.contains("tab") {
        &TAB
    } else if rest.starts_with(['@', '`', '%']) {
        &RESERVED
    } else {
        &OTHER
    }
}

/// The first tab from a line on that stands before the content of a line.
fn tab_indentation(text: &str, start: usize) -> Option<usize> {
    let mut at = start;
    for line in text[start..].split_inclusive('\n') {
        let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line[..indentation].find('\t') {
            return Some(at + tab);
        }
        at += line.len();
    }
    None
}

/// The line before another, where it is as deep as that one and has no colon.
fn line_without_colon(text: &str, start: usize) -> Option<Range<usize>> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let above = line_start(text, start.checked_sub(1)?);
    let line = text[above..start].trim_end();
    let next = text[start..].lines().next().unwrap_or_default();
    let words = line.trim_start();
    let is_key = words.is_empty() || words.contains(':') || words.starts_with(['#', '-', '|', '>']);
    (!is_key && depth(line) == depth(next)).then(|| above + depth(line)..above + line.len())
}

/// The word at a place, so that there is something to underline.
fn visible(text: &str, at: usize) -> Range<usize> {
    let rest = &text[at..];
    let length = rest
        .find(|character: char| character.is_whitespace())
        .unwrap_or(rest.len());
    let length = if length == 0 {
        rest.chars()
            .next()
            .filter(|character| *character != '\n')
            .map_or(0, char::len_utf8)
    } else {
        length
    };
    at..at + length
}

/// A number that is infinite, not a number, or longer than 64 bits.
pub(super) fn unrepresentable(written: &str, path: FieldPath) -> Diagnostic {
    let shown: String = written.chars().take(40).collect();
    Diagnostic::error(
        Code::NumberOutOfRange,
        path,
        format!("`{shown}` can't be represented: numbers are 64-bit integers or finite doubles"),
    )
    .help("put it into quotes if it is meant as a text")
}

//! From a text to the one query of a transform.

use runner_spec::Code;
use sqlparser::ast::{Spanned, Statement};
use sqlparser::dialect::Dialect;
use sqlparser::parser::{Parser, ParserError};

use super::findings::Findings;

/// Nesting that the parser takes.
const MAX_DEPTH: usize = 50;

/// Standard SQL, without the liberties that single engines take.
#[derive(Debug)]
struct PortableDialect;

impl Dialect for PortableDialect {
    fn is_identifier_start(&self, character: char) -> bool {
        character.is_alphabetic() || character == '_'
    }

    fn is_identifier_part(&self, character: char) -> bool {
        character.is_alphanumeric() || character == '_'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }
}

/// The query of a transform, or nothing where it has no one query.
pub(crate) fn parse(sql: &str, findings: &mut Findings<'_>) -> Option<Statement> {
    let parsed = Parser::new(&PortableDialect)
        .with_recursion_limit(MAX_DEPTH)
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_statements());
    let statements = match parsed {
        Ok(statements) => statements,
        Err(error) => {
            unreadable(&error, findings);
            return None;
        }
    };
    let mut statements = statements.into_iter();
    let (first, second) = (statements.next(), statements.next());
    match (first, second) {
        (Some(statement @ Statement::Query(_)), None) => Some(statement),
        (Some(Statement::Query(_)), Some(other)) | (Some(other), _) => {
            let place = findings.place(other.span());
            findings.error(
                Code::SqlNotAQuery,
                place,
                "a transform is one query, and this is another statement",
                "write one `SELECT`, with `WITH` for its steps, or one transform a query",
            );
            None
        }
        (None, _) => {
            findings.error(
                Code::SqlSyntax,
                None,
                "there is no query",
                "write a query such as `SELECT id, price FROM trades`",
            );
            None
        }
    }
}

fn unreadable(error: &ParserError, findings: &mut Findings<'_>) {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => "it is nested too deeply",
    };
    // The parser says where it stopped at the end of its message.
    let (message, line, column) = match text.rsplit_once(" at Line: ") {
        Some((message, place)) => {
            let mut numbers = place.split(", Column: ");
            let mut number = || numbers.next()?.trim().parse::<u64>().ok();
            (message, number(), number())
        }
        None => (text, None, None),
    };
    let place = line
        .zip(column)
        .and_then(|(line, column)| findings.place_of_word(line, column));
    findings.error(
        Code::SqlSyntax,
        place,
        format!(
            "the query can't be parsed: {}",
            message.trim_start_matches("sql parser error: ")
        ),
        "the mistake is here or right before",
    );
}

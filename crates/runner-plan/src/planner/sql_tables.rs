//! Which tables a query reads, as far as routing has to know before the query is analysed: the names behind FROM and JOIN.

/// Names of tables in the order in which they stand, without those that the query defines itself (WITH).
pub(crate) fn tables(sql: &str) -> Vec<String> {
    let tokens = tokens(sql);
    let mut found: Vec<String> = Vec::new();
    let mut own: Vec<String> = Vec::new();
    // Per parenthesis: whether a comma leads to a further table.
    let mut in_from = vec![false];
    let mut expects_table = false;
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Open => {
                in_from.push(expects_table);
                // `FROM (a JOIN b)` names tables, `FROM (SELECT …)` starts anew.
            }
            Token::Close => {
                in_from.pop();
                if in_from.is_empty() {
                    in_from.push(false);
                }
                expects_table = false;
            }
            Token::Comma => expects_table = in_from.last() == Some(&true),
            Token::Word(word) if is_keyword(word, &["from", "join"]) => {
                expects_table = true;
                if let Some(last) = in_from.last_mut() {
                    *last = true;
                }
            }
            Token::Word(word) if is_keyword(word, &["lateral", "only"]) => {}
            Token::Word(word) if is_keyword(word, ENDS_FROM) => {
                expects_table = false;
                if let Some(last) = in_from.last_mut() {
                    *last = false;
                }
            }
            Token::Word(name) | Token::Quoted(name) => {
                let follows = |offset: usize| tokens.get(index + offset);
                let defines = matches!(follows(1), Some(Token::Word(word)) if is_keyword(word, &["as"]))
                    && matches!(follows(2), Some(Token::Open))
                    && matches!(
                        index.checked_sub(1).and_then(|index| tokens.get(index)),
                        Some(Token::Comma | Token::Word(_))
                    );
                if expects_table {
                    // The last part of a dotted name is the table.
                    let is_qualifier = matches!(follows(1), Some(Token::Dot));
                    if !is_qualifier {
                        found.push(name.clone());
                        expects_table = false;
                    }
                } else if defines {
                    own.push(name.clone());
                }
            }
            Token::Dot | Token::Other => {}
        }
    }
    let mut names = Vec::new();
    for name in found {
        let is_own = own.iter().any(|own| own.eq_ignore_ascii_case(&name));
        if !is_own && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Words behind which no further table of the FROM clause stands.
const ENDS_FROM: &[&str] = &[
    "where",
    "group",
    "order",
    "having",
    "limit",
    "union",
    "except",
    "intersect",
    "window",
    "select",
    "on",
    "using",
    "with",
    "qualify",
];

#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Open,
    Close,
    Comma,
    Dot,
    Other,
}

fn is_keyword(word: &str, keywords: &[&str]) -> bool {
    keywords
        .iter()
        .any(|keyword| word.eq_ignore_ascii_case(keyword))
}

fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.find('\n').map_or("", |end| &comment[end..]);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.find("*/").map_or("", |end| &comment[end + 2..]);
        } else if matches!(first, '\'' | '"' | '`') {
            let (text, after) = quoted(&rest[1..], first);
            tokens.push(if first == '\'' {
                Token::Other
            } else {
                Token::Quoted(text)
            });
            rest = after;
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest
                .find(|character: char| {
                    !(character.is_alphanumeric() || matches!(character, '_' | '$'))
                })
                .unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            match first {
                '(' => tokens.push(Token::Open),
                ')' => tokens.push(Token::Close),
                ',' => tokens.push(Token::Comma),
                '.' => tokens.push(Token::Dot),
                character if character.is_whitespace() => {}
                _ => tokens.push(Token::Other),
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    tokens
}

/// The text up to the closing quote, which is doubled where it stands for itself, and what follows.
fn quoted(text: &str, quote: char) -> (String, &str) {
    let mut inner = String::new();
    let mut rest = text;
    loop {
        let Some(end) = rest.find(quote) else {
            inner.push_str(rest);
            return (inner, "");
        };
        inner.push_str(&rest[..end]);
        rest = &rest[end + quote.len_utf8()..];
        match rest.strip_prefix(quote) {
            Some(after) => {
                inner.push(quote);
                rest = after;
            }
            None => return (inner, rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tables_stand_behind_from_and_join() {
        for (sql, expected) in [
            ("SELECT * FROM trades", vec!["trades"]),
            (
                "select a from trades t join quotes q on t.id = q.id left join x using (id) where a in (1, 2)",
                vec!["trades", "quotes", "x"],
            ),
            (
                "SELECT a FROM a, b AS c, \"D d\" WHERE x = 1, y",
                vec!["a", "b", "D d"],
            ),
            (
                "SELECT * FROM (SELECT * FROM inner_one) s, other",
                vec!["inner_one", "other"],
            ),
            (
                "WITH w AS (SELECT * FROM base), v AS (SELECT 1 FROM w) SELECT * FROM w JOIN v ON true",
                vec!["base"],
            ),
            (
                "SELECT 'FROM nowhere', extract(year FROM ts) FROM trades -- FROM comment\n",
                vec!["ts", "trades"],
            ),
            ("SELECT * /* FROM hidden */ FROM raw.trades", vec!["trades"]),
            (
                "SELECT * FROM a WHERE x IN (SELECT y FROM b) UNION ALL SELECT * FROM c",
                vec!["a", "b", "c"],
            ),
            (
                "SELECT trades FROM quotes ORDER BY a, trades",
                vec!["quotes"],
            ),
            ("SELECT 1", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(tables(sql), expected, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_tables_or_none(sql in "[a-z '\"`(),.*/-]{0,60}|.{0,30}") {
            let _ = tables(&sql);
        }
    }
}

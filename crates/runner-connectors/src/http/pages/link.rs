//! The `Link` header of RFC 8288.

use http::HeaderMap;
use http::header::LINK;

/// The target of the first link whose relation is `next`.
pub(super) fn next_link(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find_map(next_of_field)
}

fn next_of_field(field: &str) -> Option<String> {
    let mut rest = field;
    while let Some(start) = rest.find('<') {
        let after = &rest[start + 1..];
        let end = after.find('>')?;
        let target = after[..end].trim();
        let (parameters, following) = split_outside_quotes(&after[end + 1..], ',');
        if has_relation_next(parameters) && !target.is_empty() {
            return Some(target.to_owned());
        }
        rest = following;
    }
    None
}

/// What stands before the first separator outside quoted texts, and what follows it.
fn split_outside_quotes(text: &str, separator: char) -> (&str, &str) {
    let mut is_quoted = false;
    let mut is_escaped = false;
    for (index, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if character == separator && !is_quoted => {
                return (&text[..index], &text[index + character.len_utf8()..]);
            }
            _ => {}
        }
    }
    (text, "")
}

/// Whether the first `rel` parameter names `next`, alone or among several; names and relations ignore case.
fn has_relation_next(parameters: &str) -> bool {
    let mut rest = parameters;
    while !rest.is_empty() {
        let (parameter, following) = split_outside_quotes(rest, ';');
        rest = following;
        let Some((name, value)) = parameter.split_once('=') else {
            continue;
        };
        if name.trim().eq_ignore_ascii_case("rel") {
            return value
                .trim()
                .trim_matches('"')
                .split_ascii_whitespace()
                .any(|relation| relation.eq_ignore_ascii_case("next"));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn next(fields: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(LINK, HeaderValue::from_str(field).unwrap());
        }
        next_link(&headers)
    }

    #[test]
    fn the_next_link_is_found_in_every_way_of_writing_it() {
        let cases: [(&[&str], Option<&str>); 13] = [
            (
                &[r#"<https://a.example/?page=2>; rel="next""#],
                Some("https://a.example/?page=2"),
            ),
            (
                &[
                    r#"<https://a.example/?page=9>; rel="last", <https://a.example/?page=2>; rel="next""#,
                ],
                Some("https://a.example/?page=2"),
            ),
            (
                &[
                    r#"</items?page=9>; rel="last""#,
                    "</items?page=2>; rel=next",
                ],
                Some("/items?page=2"),
            ),
            (&["<?page=2>;REL=NEXT"], Some("?page=2")),
            (
                &[r#"<?page=2>; title="a, b; rel=\"prev\""; rel="next""#],
                Some("?page=2"),
            ),
            (&[r#"<?page=2>; title="a, b"; rel="next""#], Some("?page=2")),
            (&[r#"<?a=1,2;3>; rel="next""#], Some("?a=1,2;3")),
            (&[r#"<?page=2>; rel="prefetch next""#], Some("?page=2")),
            (&[r#"<?page=2>; rel="prev"; rel="next""#], None),
            (&[r#"<?page=2>; rel="nextish""#], None),
            (&["<?page=2"], None),
            (&["nonsense"], None),
            (&[], None),
        ];
        for (fields, expected) in cases {
            assert_eq!(next(fields).as_deref(), expected, "{fields:?}");
        }
    }
}

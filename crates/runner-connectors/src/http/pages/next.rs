//! Where a response says its next page is.

use std::collections::BTreeMap;

use http::HeaderMap;
use runner_plan::model::{PageKind, PagePlan, RowPath};
use serde_json::Value;

use super::link::next_link;

/// A next page as the response states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StatedNext {
    /// Sent back in the cursor's parameter.
    Token(String),
    /// Absolute, or relative to the page's own URL.
    Url(String),
}

/// What a response says beside its rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseFacts<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// Values at [`Captures::paths`].
    pub(crate) captured: &'a [Option<Value>],
    /// Scalars around the rows, by dotted path.
    pub(crate) envelope: &'a BTreeMap<String, Value>,
}

/// Values that the page plan wants of each response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captures {
    pub(crate) paths: Vec<RowPath>,
    next_url: Option<usize>,
    cursor: Option<usize>,
    total: Option<usize>,
}

/// Links, in the order in which they are looked for. A value is followed as a URL whatever it looks like where its name says that it
/// is one.
const URL_NAMES: [(&str, bool); 7] = [
    ("next_url", true),
    ("next", false),
    ("links.next", false),
    ("links.next.href", true),
    ("_links.next.href", true),
    ("next.href", true),
    ("@odata.nextLink", true),
];
const TOKEN_NAMES: [&str; 5] = [
    "next",
    "next_cursor",
    "cursor",
    "meta.next_cursor",
    "pagination.next",
];
/// Names of a next page that are null where there is none.
const NEXT_NAMES: [&str; 9] = [
    "next",
    "next_url",
    "next_page",
    "next_cursor",
    "links.next",
    "meta.next",
    "meta.next_cursor",
    "pagination.next",
    "@odata.nextLink",
];
/// Flags that say that there is more without saying where.
const MORE_NAMES: [&str; 6] = [
    "has_more",
    "hasMore",
    "more",
    "has_next",
    "meta.has_more",
    "pagination.has_more",
];

impl Captures {
    pub(crate) fn new(pages: &PagePlan) -> Self {
        let mut captures = Self::default();
        let mut add = |path: Option<&RowPath>| {
            path.map(|path| {
                captures.paths.push(path.clone());
                captures.paths.len() - 1
            })
        };
        let (next_url, cursor) = match &pages.kind {
            PageKind::Cursor {
                cursor_path,
                next_url_path,
                ..
            } => (add(next_url_path.as_ref()), add(cursor_path.as_ref())),
            PageKind::NextUrl { path, .. } => (add(path.as_ref()), None),
            PageKind::None
            | PageKind::Offset { .. }
            | PageKind::Page { .. }
            | PageKind::LinkHeader { .. } => (None, None),
        };
        let total = add(pages.total.as_ref());
        captures.next_url = next_url;
        captures.cursor = cursor;
        captures.total = total;
        captures
    }

    /// The next page, by the rules of the pagination kind; offsets and page numbers are counted and not stated.
    pub(crate) fn next(&self, kind: &PageKind, facts: &ResponseFacts<'_>) -> Option<StatedNext> {
        let at = |index: Option<usize>| {
            index
                .and_then(|index| facts.captured.get(index)?.as_ref())
                .and_then(text)
        };
        match kind {
            PageKind::None | PageKind::Offset { .. } | PageKind::Page { .. } => None,
            PageKind::LinkHeader { .. } => next_link(facts.headers).map(StatedNext::Url),
            PageKind::NextUrl { path: None, .. } => stated_url(facts)
                .or_else(|| next_link(facts.headers).map(StatedNext::Url))
                .or_else(|| named_url(facts)),
            PageKind::Cursor {
                cursor_path: None,
                next_url_path: None,
                ..
            } => discover(facts),
            PageKind::NextUrl { .. } | PageKind::Cursor { .. } => at(self.next_url)
                .map(StatedNext::Url)
                .or_else(|| at(self.cursor).map(StatedNext::Token)),
        }
    }

    /// Rows in all, as the API states it: where the document says, else in a header.
    pub(crate) fn total(&self, facts: &ResponseFacts<'_>) -> Option<u64> {
        match self.total {
            Some(index) => facts.captured.get(index)?.as_ref().and_then(count),
            None => total_header(facts.headers),
        }
    }
}

/// Whether a response says that there is more than this page, or that there isn't, in any of the ways that are known.
pub(super) fn says_there_is_more(facts: &ResponseFacts<'_>) -> Option<bool> {
    let flags = || {
        MORE_NAMES
            .iter()
            .filter_map(|name| facts.envelope.get(*name))
    };
    if discover(facts).is_some() || flags().any(|flag| *flag == Value::Bool(true)) {
        return Some(true);
    }
    let names_no_next = NEXT_NAMES
        .iter()
        .any(|name| facts.envelope.get(*name) == Some(&Value::Null));
    (names_no_next || flags().any(|flag| *flag == Value::Bool(false))).then_some(false)
}

fn discover(facts: &ResponseFacts<'_>) -> Option<StatedNext> {
    stated_url(facts)
        .or_else(|| {
            TOKEN_NAMES
                .iter()
                .find_map(|name| text(facts.envelope.get(*name)?))
                .map(StatedNext::Token)
        })
        .or_else(|| next_link(facts.headers).map(StatedNext::Url))
}

fn stated_url(facts: &ResponseFacts<'_>) -> Option<StatedNext> {
    URL_NAMES.iter().find_map(|(name, is_url)| {
        let text = text(facts.envelope.get(*name)?)?;
        (*is_url || looks_like_url(&text)).then_some(StatedNext::Url(text))
    })
}

/// Where the document says that the next page is a URL, it may be as short as `2.json`.
fn named_url(facts: &ResponseFacts<'_>) -> Option<StatedNext> {
    URL_NAMES
        .iter()
        .find_map(|(name, _)| match facts.envelope.get(*name)? {
            Value::String(text) if !text.trim().is_empty() => Some(StatedNext::Url(text.clone())),
            _ => None,
        })
}

fn looks_like_url(text: &str) -> bool {
    ["http://", "https://", "/", "?", "./", "../"]
        .iter()
        .any(|start| text.starts_with(start))
        || (text.contains('?') && text.contains('='))
}

/// A cursor's text; null, empty and `false` mean that there is none.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn total_header(headers: &HeaderMap) -> Option<u64> {
    let value = |name: &str| headers.get(name)?.to_str().ok();
    ["x-total-count", "x-total", "total-count", "x-wp-total"]
        .iter()
        .find_map(|name| value(name)?.trim().parse().ok())
        // `items 0-99/1234`: of rows, where the unit isn't bytes.
        .or_else(|| {
            let range = value("content-range")?.trim();
            let (_, total) = range.rsplit_once('/')?;
            if range.starts_with("bytes") {
                return None;
            }
            total.trim().parse().ok()
        })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use runner_plan::model::{PagePlacement, RowPathStep};
    use serde_json::json;

    use super::*;

    fn envelope(values: &Value) -> BTreeMap<String, Value> {
        let object = values.as_object().unwrap();
        object
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    fn headers(values: &[(&str, &str)]) -> HeaderMap {
        values
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    fn discovered(values: &Value, link: Option<&str>) -> Option<StatedNext> {
        let headers = headers(
            &link
                .map(|link| ("link", link))
                .into_iter()
                .collect::<Vec<_>>(),
        );
        let kind = PageKind::Cursor {
            cursor_param: None,
            size_param: None,
            cursor_path: None,
            next_url_path: None,
        };
        let pages = PagePlan {
            kind: kind.clone(),
            page_size: None,
            max_pages: None,
            total: None,
            placement: PagePlacement::Query,
        };
        Captures::new(&pages).next(
            &kind,
            &ResponseFacts {
                headers: &headers,
                captured: &[],
                envelope: &envelope(values),
            },
        )
    }

    #[test]
    fn a_next_page_is_discovered_in_the_documented_order() {
        let url = |text: &str| Some(StatedNext::Url(text.to_owned()));
        let token = |text: &str| Some(StatedNext::Token(text.to_owned()));
        let link = Some("<?page=7>; rel=next");
        let cases = [
            (
                json!({"next_url": "/v1/a?c=2", "next": "t"}),
                None,
                url("/v1/a?c=2"),
            ),
            (json!({"next_url": "items"}), None, url("items")),
            (
                json!({"next": "https://a.example/2", "next_cursor": "t"}),
                None,
                url("https://a.example/2"),
            ),
            (json!({"next": "?c=2"}), None, url("?c=2")),
            (json!({"links.next": "/a?page=2"}), None, url("/a?page=2")),
            (
                json!({"links.next.href": "/a?page=2"}),
                None,
                url("/a?page=2"),
            ),
            (
                json!({"@odata.nextLink": "https://a.example/x"}),
                None,
                url("https://a.example/x"),
            ),
            (json!({"next": "abc", "cursor": "d"}), None, token("abc")),
            (json!({"next": 17}), None, token("17")),
            (
                json!({"next_cursor": "abc", "cursor": "d"}),
                link,
                token("abc"),
            ),
            (json!({"cursor": "d"}), None, token("d")),
            (json!({"meta.next_cursor": "m"}), None, token("m")),
            (json!({"pagination.next": "p"}), None, token("p")),
            (
                json!({"next": null, "next_cursor": "", "cursor": false}),
                None,
                None,
            ),
            (json!({"next": null}), link, url("?page=7")),
            (json!({}), link, url("?page=7")),
            (json!({"has_more": true}), None, None),
        ];
        for (values, link, expected) in cases {
            assert_eq!(discovered(&values, link), expected, "{values} {link:?}");
        }
    }

    #[test]
    fn a_url_that_the_document_announces_may_look_like_a_token() {
        let kind = PageKind::NextUrl {
            path: None,
            size_param: None,
        };
        let no_headers = HeaderMap::new();
        for (values, expected) in [
            (json!({"next": "2.json"}), Some("2.json")),
            (
                json!({"next": "abc", "links.next": "/page/2"}),
                Some("/page/2"),
            ),
            (json!({"next": 2}), None),
            (json!({"next": "  "}), None),
            (json!({"next": null, "next_url": "b"}), Some("b")),
        ] {
            let facts = ResponseFacts {
                headers: &no_headers,
                captured: &[],
                envelope: &envelope(&values),
            };
            assert_eq!(
                Captures::default().next(&kind, &facts),
                expected.map(|url| StatedNext::Url(url.to_owned())),
                "{values}"
            );
        }
    }

    #[test]
    fn a_response_says_that_there_is_more_that_there_is_not_or_nothing() {
        let no_headers = HeaderMap::new();
        for (values, expected) in [
            (
                json!({"next": "/items?page=2", "has_more": false}),
                Some(true),
            ),
            (json!({"has_more": true, "next": null}), Some(true)),
            (json!({"next": null, "previous": "/items"}), Some(false)),
            (json!({"meta.next": null}), Some(false)),
            (json!({"has_next": false}), Some(false)),
            (json!({"cursor": null, "previous": null}), None),
            (json!({"count": 20}), None),
        ] {
            let facts = ResponseFacts {
                headers: &no_headers,
                captured: &[],
                envelope: &envelope(&values),
            };
            assert_eq!(says_there_is_more(&facts), expected, "{values}");
        }
    }

    #[test]
    fn explicit_paths_are_the_only_ones_looked_at() {
        let path = |name: &str| RowPath::Steps(vec![RowPathStep::Name(name.to_owned())]);
        let kind = PageKind::Cursor {
            cursor_param: Some("c".to_owned()),
            size_param: None,
            cursor_path: Some(path("token")),
            next_url_path: Some(path("more_at")),
        };
        let pages = PagePlan {
            kind: kind.clone(),
            page_size: None,
            max_pages: None,
            total: Some(path("count")),
            placement: PagePlacement::Query,
        };
        let captures = Captures::new(&pages);
        assert_eq!(
            captures.paths,
            [path("more_at"), path("token"), path("count")]
        );
        let no_headers = HeaderMap::new();
        let other = envelope(&json!({"next_url": "/elsewhere"}));
        let facts = |captured| ResponseFacts {
            headers: &no_headers,
            captured,
            envelope: &other,
        };
        let both = [Some(json!("/a")), Some(json!("t")), Some(json!("12"))];
        assert_eq!(
            captures.next(&kind, &facts(&both)),
            Some(StatedNext::Url("/a".to_owned()))
        );
        assert_eq!(captures.total(&facts(&both)), Some(12));
        let token = [None, Some(json!("/looks/like/a/path")), None];
        assert_eq!(
            captures.next(&kind, &facts(&token)),
            Some(StatedNext::Token("/looks/like/a/path".to_owned()))
        );
        assert_eq!(
            captures.next(&kind, &facts(&[None, Some(Value::Null), None])),
            None
        );
    }

    #[test]
    fn totals_are_read_from_headers() {
        for (name, value, expected) in [
            ("X-Total-Count", "120", Some(120)),
            ("X-WP-Total", "7", Some(7)),
            ("Content-Range", "items 0-99/1234", Some(1234)),
            ("Content-Range", "items 0-99/*", None),
            ("Content-Range", "bytes 0-99/1234", None),
            ("X-Total-Count", "many", None),
        ] {
            assert_eq!(
                total_header(&headers(&[(name, value)])),
                expected,
                "{name}: {value}"
            );
        }
    }
}

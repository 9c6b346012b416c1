//! Every pagination kind against an API that behaves.

use std::time::Duration;

use runner_core::{ChainEnd, ErrorKind, PageCursor};
use runner_plan::model::{Body, PageKind, PagePlacement};
use runner_spec::model::ProviderType;
use serde_json::{Value, json};

use super::fixture::{Fixture, chain, path, read};
use super::server::{Answer, Asked, Server, UnderWay, rows};

fn offset() -> PageKind {
    PageKind::Offset {
        offset_param: "offset".to_owned(),
        limit_param: Some("limit".to_owned()),
    }
}

fn numbered() -> PageKind {
    PageKind::Page {
        page_param: "page".to_owned(),
        size_param: Some("size".to_owned()),
        start_page: 1,
    }
}

fn cursor() -> PageKind {
    PageKind::Cursor {
        cursor_param: Some("cursor".to_owned()),
        size_param: Some("size".to_owned()),
        cursor_path: None,
        next_url_path: None,
    }
}

/// A page of a table by any of the ways in which a page can be asked for, with every way of stating the next one.
fn page(asked: &Asked, all: u64, default_size: u64) -> (Vec<Value>, Option<u64>) {
    let size = asked
        .number("limit")
        .or(asked.number("size"))
        .unwrap_or(default_size);
    let start = match (
        asked.number("offset"),
        asked.number("page"),
        asked.query.get("cursor"),
    ) {
        (Some(offset), _, _) => offset,
        (_, Some(page), _) => (page - 1) * size,
        (_, _, Some(cursor)) => cursor.trim_start_matches("c-").parse().unwrap(),
        _ => 0,
    };
    let found = rows(all, start, size);
    let next = start + found.len() as u64;
    (found, (next < all).then_some(next))
}

#[tokio::test]
async fn offsets_and_page_numbers_are_counted_up() {
    for (kind, size, all, pages) in [
        (offset(), Some(10), 35, 4),
        (offset(), Some(10), 30, 4),
        (offset(), None, 25, 2),
        (numbered(), Some(10), 35, 4),
        (numbered(), Some(7), 0, 1),
    ] {
        let server = Server::start(move |asked| {
            let (found, _) = page(asked, all, 25);
            Answer::json(&json!({ "data": found }))
        })
        .await;
        let fixture = Fixture::new(&format!("{}/items", server.url)).pages(kind.clone(), size);
        let taken = fixture.read().await.unwrap();
        assert_eq!(taken.ids, (0..all).collect::<Vec<_>>(), "{kind:?}");
        assert_eq!(taken.pages.len(), pages, "{kind:?} {all}");
        assert_eq!(taken.end(), Some(ChainEnd::Natural));
        assert_eq!(taken.warnings(), [""; 0]);
    }
}

/// Django REST framework answers with 404 behind its last page, others with their last page again.
#[tokio::test]
async fn a_refused_page_behind_a_stated_end_is_the_end_and_otherwise_an_error() {
    for (states_next, all, parallelism, is_end) in [
        (true, 30, 1, true),
        (true, 30, 4, true),
        (false, 30, 1, false),
    ] {
        let server = Server::start(move |asked| {
            let (found, next) = page(asked, all, 10);
            if found.is_empty() {
                return Answer::new(404, "application/json", r#"{"detail": "Invalid page."}"#);
            }
            let mut answer = json!({ "data": found });
            if states_next {
                answer["next"] = json!(next.map(|next| format!("/items?page={}", next / 10 + 1)));
            }
            Answer::json(&answer)
        })
        .await;
        let mut fixture =
            Fixture::new(&format!("{}/items", server.url)).pages(numbered(), Some(10));
        fixture.stream.parallelism = parallelism;
        match fixture.read().await {
            Ok(taken) => {
                assert!(is_end);
                assert_eq!(taken.ids, (0..all).collect::<Vec<_>>());
                assert_eq!(taken.end(), Some(ChainEnd::Natural));
                assert_eq!(taken.warnings(), [""; 0]);
            }
            Err(error) => {
                assert!(!is_end);
                assert!(error.message().contains("404"), "{error}");
            }
        }
    }
}

/// json-server gives its last page for any number behind it, full or not.
#[tokio::test]
async fn a_last_page_that_comes_again_is_taken_once() {
    for (all, size, cap) in [(30, 10, 10), (35, 50, 10), (30, 50, 10)] {
        let server = Server::start(move |asked| {
            let last = (all - 1) / cap + 1;
            let number = asked.number("page").unwrap_or(1).min(last);
            let found = rows(all, (number - 1) * cap, cap);
            Answer::json(&json!({"data": found, "items": all}))
        })
        .await;
        let mut fixture =
            Fixture::new(&format!("{}/items", server.url)).pages(numbered(), Some(size));
        fixture.http.pages.total = Some(path(&["items"]));
        let taken = fixture.read().await.unwrap();
        assert_eq!(taken.ids, (0..all).collect::<Vec<_>>(), "{all} {size}");
        assert_eq!(taken.end(), Some(ChainEnd::Natural));
        assert_eq!(taken.pages.iter().map(|page| page.rows).sum::<u64>(), all);
    }
}

type State = fn(Vec<Value>, Option<u64>, &Asked) -> Answer;

/// Ways in which APIs state the next page, by what the test calls them.
#[expect(clippy::too_many_lines, reason = "a list")]
fn ways() -> [(&'static str, PageKind, State); 9] {
    [
        ("next_url", cursor(), |found, next, asked| {
            let url = next.map(|next| format!("{}?cursor=c-{next}&size=10", asked.path));
            Answer::json(&json!({"data": found, "next_url": url}))
        }),
        ("next as an absolute URL", cursor(), |found, next, asked| {
            let url = next.map(|next| {
                format!(
                    "http://{}{}?cursor={next}&size=10",
                    asked.header("host").unwrap(),
                    asked.path
                )
            });
            Answer::json(&json!({"next": url, "data": found}))
        }),
        ("links.next", cursor(), |found, next, _| {
            let url = next.map(|next| format!("?cursor={next}&size=10"));
            Answer::json(&json!({"data": found, "links": {"next": url}}))
        }),
        ("@odata.nextLink", cursor(), |found, next, asked| {
            let url = next.map(|next| format!("{}?cursor={next}&size=10", asked.path));
            Answer::json(&json!({"data": found, "@odata.nextLink": url}))
        }),
        ("next_cursor", cursor(), |found, next, _| {
            Answer::json(
                &json!({"data": found, "next_cursor": next.map(|next| format!("c-{next}"))}),
            )
        }),
        (
            "meta.next_cursor as a number",
            cursor(),
            |found, next, _| Answer::json(&json!({"meta": {"next_cursor": next}, "data": found})),
        ),
        ("Link", cursor(), |found, next, asked| {
            let answer = Answer::json(&json!({ "data": found }));
            match next {
                Some(next) => answer.header(
                    "link",
                    format!("<{}?cursor={next}&size=10>; rel=\"next\"", asked.path),
                ),
                None => answer,
            }
        }),
        (
            "link_header",
            PageKind::LinkHeader {
                size_param: Some("size".to_owned()),
            },
            |found, next, asked| {
                let answer =
                    Answer::json(&json!({ "data": found, "next_cursor": "not looked at" }));
                match next {
                    Some(next) => answer.header(
                        "link",
                        format!("<{}?cursor={next}&size=10>; rel=next", asked.path),
                    ),
                    None => answer,
                }
            },
        ),
        (
            "explicit path",
            PageKind::Cursor {
                cursor_param: Some("cursor".to_owned()),
                size_param: Some("size".to_owned()),
                cursor_path: Some(path(&["paging", "after"])),
                next_url_path: None,
            },
            |found, next, _| {
                Answer::json(
                    &json!({"data": found, "paging": {"after": next}, "next_url": "/elsewhere"}),
                )
            },
        ),
    ]
}

#[tokio::test]
async fn a_next_page_is_found_wherever_the_api_states_it() {
    for (name, kind, state) in ways() {
        let server = Server::start(move |asked| {
            let (found, next) = page(asked, 34, 10);
            state(found, next, asked)
        })
        .await;
        let fixture = Fixture::new(&format!("{}/items", server.url)).pages(kind, Some(10));
        let taken = fixture.read().await.unwrap();
        assert_eq!(taken.ids, (0..34).collect::<Vec<_>>(), "{name}");
        assert_eq!(taken.pages.len(), 4, "{name}");
        assert_eq!(taken.end(), Some(ChainEnd::Natural), "{name}");
        assert_eq!(server.count(), 4, "{name}: nothing is asked for twice");
        assert_eq!(taken.requests(), 4, "{name}");
    }
}

#[tokio::test]
async fn next_url_with_a_path_of_its_own() {
    let server = Server::start(|asked| {
        let (found, next) = page(asked, 25, 10);
        let url = next.map(|next| format!("/items?cursor={next}"));
        Answer::json(&json!({"data": found, "more": {"at": url}}))
    })
    .await;
    let kind = PageKind::NextUrl {
        path: Some(path(&["more", "at"])),
        size_param: None,
    };
    let taken = Fixture::new(&format!("{}/items", server.url))
        .pages(kind, None)
        .read()
        .await
        .unwrap();
    assert_eq!(taken.ids, (0..25).collect::<Vec<_>>());
    assert!(
        matches!(&taken.pages[1].position.last_page, PageCursor::Url(url) if url.ends_with("/items?cursor=10"))
    );
}

#[tokio::test]
async fn the_parameters_of_a_page_go_into_a_body_where_the_plan_says_so() {
    let server = Server::start(|asked| {
        let body = asked.json();
        let start = body["paging"]["after"]
            .as_str()
            .map_or(0, |text| text.parse().unwrap());
        assert_eq!(body["paging"]["first"], json!(10));
        assert_eq!(body["filter"], json!("open"));
        assert_eq!(asked.header("content-type"), Some("application/json"));
        assert_eq!(asked.raw_query, "");
        let found = rows(25, start, 10);
        let next = start + 10;
        Answer::json(&json!({"data": found, "next_cursor": (next < 25).then(|| next.to_string())}))
    })
    .await;
    let mut fixture = Fixture::new(&server.url).pages(
        PageKind::Cursor {
            cursor_param: Some("after".to_owned()),
            size_param: Some("first".to_owned()),
            cursor_path: None,
            next_url_path: None,
        },
        Some(10),
    );
    fixture.http.method = "POST".to_owned();
    fixture.http.body = Some(Body::Json(json!({"filter": "{{ state }}"})));
    fixture.http.pages.placement = PagePlacement::Body(vec!["paging".to_owned()]);
    fixture.plan.parameters = [("state".to_owned(), "open".to_owned())].into();
    assert_eq!(
        fixture.read().await.unwrap().ids,
        (0..25).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_graphql_query_pages_by_its_variables() {
    let server = Server::start(|asked| {
        let body = asked.json();
        assert!(body["query"].as_str().unwrap().contains("items(first:"));
        let variables = &body["variables"];
        assert_eq!(variables["first"], json!(10));
        let start = match &variables["after"] {
            Value::Null => 0,
            Value::String(text) => text.parse().unwrap(),
            other => panic!("{other} is no cursor"),
        };
        let next = start + 10;
        Answer::json(&json!({"data": {"items": {
            "nodes": rows(25, start, 10),
            "pageInfo": {"endCursor": (next < 25).then(|| next.to_string())},
        }}}))
    })
    .await;
    let mut fixture = Fixture::new(&format!("{}/graphql", server.url)).pages(
        PageKind::Cursor {
            cursor_param: None,
            size_param: None,
            cursor_path: Some(path(&["data", "items", "pageInfo", "endCursor"])),
            next_url_path: None,
        },
        Some(10),
    );
    fixture.plan.provider_type = ProviderType::Graphql;
    fixture.http.method = "POST".to_owned();
    fixture.http.rows = path(&["data", "items", "nodes"]);
    fixture.http.body = Some(Body::Json(json!({
        "query": "query($first: Int, $after: String) { items(first: $first, after: $after) { id } }",
        "variables": {"first": "{{ page_size }}", "after": "{{ cursor }}"},
    })));
    assert_eq!(
        fixture.read().await.unwrap().ids,
        (0..25).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn pages_ahead_are_delivered_in_order_and_bounded_by_parallelism() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let under_way = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (counter, peak) = (Arc::clone(&under_way), Arc::clone(&most));
    let server = Server::start(move |asked| {
        let (under_way, now) = UnderWay::begin(&counter);
        peak.fetch_max(now, Ordering::SeqCst);
        let (found, _) = page(asked, 200, 10);
        // Later pages answer sooner.
        let delay = Duration::from_millis((40 - asked.number("offset").unwrap() / 6).min(30));
        Answer::json(&json!({ "data": found }))
            .after(delay)
            .ending(under_way)
    })
    .await;
    let mut fixture = Fixture::new(&server.url).pages(offset(), Some(10));
    fixture.stream.parallelism = 4;
    let taken = fixture.read().await.unwrap();
    assert_eq!(taken.ids, (0..200).collect::<Vec<_>>());
    let most = most.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "{most} requests at once");
    assert!(server.count() <= 21 + 3, "{} requests", server.count());
    let positions: Vec<_> = taken
        .pages
        .iter()
        .map(|page| page.position.last_page.clone())
        .collect();
    let expected: Vec<_> = (0..21).map(|page| PageCursor::Offset(page * 10)).collect();
    assert_eq!(positions, expected);
}

#[tokio::test]
async fn what_is_asked_for_ahead_and_lies_behind_the_end_is_never_an_error() {
    let server = Server::start(|asked| {
        if asked.number("page").unwrap() > 5 {
            return Answer::new(404, "text/plain", "no such page");
        }
        let (found, _) = page(asked, 45, 10);
        Answer::json(&json!({ "data": found }))
    })
    .await;
    let mut fixture = Fixture::new(&server.url).pages(numbered(), Some(10));
    fixture.stream.parallelism = 8;
    let taken = fixture.read().await.unwrap();
    assert_eq!(taken.ids, (0..45).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_chain_of_one_page_costs_one_request() {
    let server = Server::start(|asked| {
        let (found, _) = page(asked, 4, 10);
        Answer::json(&json!({ "data": found }))
    })
    .await;
    let mut fixture = Fixture::new(&server.url).pages(offset(), Some(10));
    fixture.stream.parallelism = 8;
    fixture.read().await.unwrap();
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_size_that_the_request_itself_names_ends_a_stream_too() {
    let server = Server::start(|asked| {
        let (found, _) = page(asked, 14, 10);
        Answer::json(&json!({ "data": found }))
    })
    .await;
    let mut fixture = Fixture::new(&server.url).pages(offset(), None);
    fixture.http.query = vec![("limit".to_owned(), "5".into())];
    let taken = fixture.read().await.unwrap();
    assert_eq!(taken.ids.len(), 14);
    assert_eq!(server.count(), 3, "the third page is short");
}

#[tokio::test]
async fn looping_next() {
    for (name, answer) in [
        (
            "the same cursor",
            json!({"data": [{"id": 1}], "next_cursor": "a"}),
        ),
        ("the same rows", json!({"data": [{"id": 1}]})),
    ] {
        let kind = if answer.get("next_cursor").is_some() {
            cursor()
        } else {
            offset()
        };
        let server = Server::start(move |_| Answer::json(&answer)).await;
        let fixture = Fixture::new(&server.url).pages(kind, Some(1));
        let error = fixture.fails().await;
        assert_eq!(error.kind(), ErrorKind::SourceData, "{name}");
        assert!(error.message().contains("loops"), "{name}: {error}");
        assert!(server.count() <= 3, "{name}");
    }
}

#[tokio::test]
async fn max_pages_and_row_limits_cut_a_chain_off() {
    let server = Server::start(|asked| {
        let (found, next) = page(asked, 100, 10);
        Answer::json(&json!({"data": found, "next_cursor": next}))
    })
    .await;
    let mut limited = Fixture::new(&server.url).pages(cursor(), Some(10));
    limited.http.pages.max_pages = Some(3);
    let taken = limited.read().await.unwrap();
    assert_eq!(
        (taken.ids.len(), taken.end()),
        (30, Some(ChainEnd::MaxPages))
    );
    assert_eq!(taken.warnings(), ["max_pages"]);

    let before = server.count();
    let mut sampled = Fixture::new(&server.url).pages(cursor(), Some(10));
    sampled.plan.row_limit = Some(15);
    let taken = sampled.read().await.unwrap();
    assert_eq!(
        (taken.ids.len(), taken.end()),
        (20, Some(ChainEnd::RowLimit))
    );
    assert_eq!(
        server.count() - before,
        2,
        "a sample asks for no page it doesn't need"
    );
}

#[tokio::test]
async fn paginator_per_parent() {
    let server = Server::start(|asked| {
        let parent: u64 = asked.path.rsplit('/').nth(1).unwrap().parse().unwrap();
        let (found, next) = page(asked, parent * 7, 5);
        let found: Vec<_> = found
            .into_iter()
            .map(|mut row| {
                row["id"] = json!(parent * 1000 + row["id"].as_u64().unwrap());
                row
            })
            .collect();
        Answer::json(&json!({"data": found, "next_cursor": next}))
            .after(Duration::from_millis(parent % 3))
    })
    .await;
    let mut fixture = Fixture::new(&format!("{}/parents/{{{{ parent }}}}/items", server.url))
        .pages(cursor(), None);
    fixture.stream.parallelism = 4;
    let source = std::sync::Arc::new(fixture.source());
    let mut tasks = Vec::new();
    for parent in 0..12_u64 {
        let source = std::sync::Arc::clone(&source);
        tasks.push(tokio::spawn(async move {
            let taken = read(&source, chain(&[("parent", &parent.to_string())]), None)
                .await
                .unwrap();
            (parent, taken.ids)
        }));
    }
    for task in tasks {
        let (parent, ids) = task.await.unwrap();
        let expected: Vec<_> = (0..parent * 7).map(|id| parent * 1000 + id).collect();
        assert_eq!(ids, expected, "rows of parent {parent}");
    }
}

#[tokio::test]
async fn one_page_only() {
    let server = Server::start(|asked| {
        let (found, next) = page(asked, 300, 100);
        Answer::json(&json!({"data": found, "has_more": next.is_some()}))
    })
    .await;
    let taken = Fixture::new(&server.url).read().await.unwrap();
    assert_eq!(taken.end(), Some(ChainEnd::FullPage));
    assert_eq!(taken.warnings(), ["one_page_only"]);
}

#[tokio::test]
async fn totals_are_told_and_compared() {
    let server = Server::start(|asked| {
        let (found, next) = page(asked, 30, 10);
        Answer::json(&json!({"data": found, "next_cursor": next})).header("x-total-count", "31")
    })
    .await;
    let taken = Fixture::new(&server.url)
        .pages(cursor(), Some(10))
        .read()
        .await
        .unwrap();
    assert_eq!(taken.pages[0].total, Some(31));
    assert_eq!(taken.warnings(), ["count_off"]);
}

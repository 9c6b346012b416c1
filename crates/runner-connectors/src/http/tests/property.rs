//! Any page size, any pagination kind, any parents, any faults, any place to resume from: the rows are those that the API has, each
//! once and in order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use runner_core::Position;
use runner_plan::model::PageKind;
use serde_json::json;

use super::fixture::{Fixture, Taken, chain};
use super::server::{Answer, Asked, Server, rows};
use crate::source::Source as _;

/// What the API does with the tries of a page before it answers well.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Unavailable,
    TooMany,
    Cut(u8),
    Truncated,
}

#[derive(Clone, Debug)]
struct Case {
    kind: usize,
    rows: Vec<u64>,
    size: u64,
    is_size_told: bool,
    parallelism: u32,
    faults: Vec<Option<Fault>>,
    stop_after: Option<usize>,
}

fn cases() -> impl Strategy<Value = Case> {
    let fault = prop_oneof![
        5 => Just(None),
        1 => Just(Some(Fault::Unavailable)),
        1 => Just(Some(Fault::TooMany)),
        1 => (0_u8..100).prop_map(|share| Some(Fault::Cut(share))),
        1 => Just(Some(Fault::Truncated)),
    ];
    (
        0_usize..6,
        proptest::collection::vec(0_u64..60, 1..4),
        1_u64..25,
        any::<bool>(),
        1_u32..5,
        proptest::collection::vec(fault, 1..12),
        proptest::option::of(0_usize..5),
    )
        .prop_map(
            |(kind, rows, size, is_size_told, parallelism, faults, stop_after)| Case {
                kind,
                rows,
                size,
                is_size_told,
                parallelism,
                faults,
                stop_after,
            },
        )
}

fn kind(number: usize) -> PageKind {
    let size_param = Some("limit".to_owned());
    match number {
        0 => PageKind::Offset {
            offset_param: "offset".to_owned(),
            limit_param: size_param,
        },
        1 => PageKind::Page {
            page_param: "page".to_owned(),
            size_param,
            start_page: 1,
        },
        2 => PageKind::LinkHeader { size_param },
        3 => PageKind::NextUrl {
            path: None,
            size_param,
        },
        _ => PageKind::Cursor {
            cursor_param: Some("cursor".to_owned()),
            size_param,
            cursor_path: None,
            next_url_path: None,
        },
    }
}

fn well(asked: &Asked, case: &Case, parent: usize) -> Answer {
    let all = case.rows[parent];
    let size = asked.number("limit").unwrap_or(case.size);
    let start = asked
        .number("offset")
        .or_else(|| asked.number("page").map(|page| (page - 1) * size))
        .or_else(|| asked.number("cursor"))
        .unwrap_or(0);
    let found = rows(all, start, size);
    let next = start + found.len() as u64;
    let has_next = next < all;
    let url = format!("{}?cursor={next}&limit={size}", asked.path);
    let mut body = json!({ "data": found });
    match case.kind {
        3 if has_next => body["next_url"] = json!(url),
        4 if has_next => body["next_cursor"] = json!(next.to_string()),
        5 if has_next => body["next"] = json!(url),
        _ => {}
    }
    let answer = Answer::json(&body);
    if case.kind == 2 && has_next {
        return answer.header("link", format!("<{url}>; rel=next"));
    }
    answer
}

async fn serve(case: Case) -> Server {
    let tries: Mutex<HashMap<String, usize>> = Mutex::default();
    Server::start(move |asked| {
        let parent: usize = asked.path.trim_start_matches('/').parse().unwrap();
        let key = format!("{}?{}", asked.path, asked.raw_query);
        let mut tries = tries.lock().unwrap();
        let pages = tries.len();
        let turn = tries.entry(key).or_insert(0);
        *turn += 1;
        let answer = well(asked, &case, parent);
        // Each page fails at most once before it is given.
        match case.faults[pages % case.faults.len()] {
            Some(fault) if *turn == 1 => match fault {
                Fault::Unavailable => Answer::status(503),
                Fault::TooMany => Answer::status(429).header("retry-after", "0"),
                Fault::Cut(share) => answer.cut_after(f64::from(share) / 100.0),
                Fault::Truncated => {
                    Answer::new(200, "application/json", "{\"data\": [{\"id\": 0}, {\"i")
                }
            },
            _ => answer,
        }
    })
    .await
}

/// Reads a chain, gives it up after some pages, and goes on from the last position.
async fn read_with_a_stop(fixture: &Fixture, parent: usize, stop_after: Option<usize>) -> Vec<u64> {
    let name = parent.to_string();
    let variables = [("parent", name.as_str())];
    let source = fixture.source();
    let mut ids = Vec::new();
    let mut from: Option<Position> = None;
    let mut stop_after = stop_after;
    loop {
        let mut chain = source.open(chain(&variables), from.clone()).await.unwrap();
        let mut taken = Taken::default();
        let mut is_stopped = false;
        while taken.take(chain.as_mut()).await.unwrap() {
            if stop_after.is_some_and(|pages| taken.pages.len() > pages) {
                is_stopped = true;
                break;
            }
        }
        assert_eq!(taken.restart, None);
        let sealed = taken.ids_at_page.last().copied().unwrap_or(0);
        ids.extend_from_slice(&taken.ids[..sealed]);
        from = taken
            .pages
            .last()
            .map(|page| page.position.clone())
            .or(from);
        if !is_stopped {
            return ids;
        }
        stop_after = None;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn rows_delivered_are_the_rows_that_the_api_has(case in cases()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let server = serve(case.clone()).await;
            let mut fixture = Fixture::new(&format!("{}/{{{{ parent }}}}", server.url))
                .pages(kind(case.kind), case.is_size_told.then_some(case.size))
                // A page that is refused halves the rate, and a case may refuse many: the waits are real ones, in fast seconds.
                .faster(1_000);
            fixture.stream.parallelism = case.parallelism;
            let fixture = Arc::new(fixture);
            let mut tasks = Vec::new();
            for parent in 0..case.rows.len() {
                let (fixture, stop_after) = (Arc::clone(&fixture), case.stop_after);
                tasks.push(tokio::spawn(async move { read_with_a_stop(&fixture, parent, stop_after).await }));
            }
            for (parent, task) in tasks.into_iter().enumerate() {
                let ids = task.await.unwrap();
                assert_eq!(ids, (0..case.rows[parent]).collect::<Vec<_>>(), "{case:?} parent {parent}");
            }
        });
    }
}

//! Going on after a sealed position.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use runner_core::{ChainEnd, ErrorKind, PageCursor, Position};
use runner_plan::model::PageKind;
use serde_json::json;

use super::fixture::{Fixture, Taken, chain, read};
use super::server::{Answer, Asked, Server, rows};

fn cursor() -> PageKind {
    PageKind::Cursor {
        cursor_param: Some("cursor".to_owned()),
        size_param: None,
        cursor_path: None,
        next_url_path: None,
    }
}

fn offset() -> PageKind {
    PageKind::Offset {
        offset_param: "offset".to_owned(),
        limit_param: None,
    }
}

fn table(asked: &Asked, all: u64) -> Answer {
    let start = asked
        .number("cursor")
        .or(asked.number("offset"))
        .unwrap_or(0);
    let next = (start + 10 < all).then_some(start + 10);
    Answer::json(&json!({"data": rows(all, start, 10), "next_cursor": next}))
}

async fn position_after(fixture: &Fixture, page: usize) -> Position {
    fixture.read().await.unwrap().pages[page].position.clone()
}

async fn resumed(fixture: &Fixture, position: &Position) -> Taken {
    read(&fixture.source(), chain(&[]), Some(position.clone()))
        .await
        .unwrap()
}

#[tokio::test]
async fn resume_mid_extraction() {
    let server = Server::start(|asked| table(asked, 45)).await;
    for kind in [cursor(), offset()] {
        let mut fixture = Fixture::new(&server.url).pages(kind.clone(), Some(10));
        fixture.stream.parallelism = 3;
        let position = position_after(&fixture, 2).await;
        let before = server.count();
        let taken = resumed(&fixture, &position).await;
        assert_eq!(taken.ids, (30..45).collect::<Vec<_>>(), "{kind:?}");
        assert_eq!(
            server.count() - before,
            3,
            "{kind:?}: only the last sealed page is asked for again"
        );
        let last = taken.pages.last().unwrap();
        assert_eq!((last.position.pages, last.position.rows), (5, 45));
        assert_eq!(last.position.end, Some(ChainEnd::Natural));
    }
}

#[tokio::test]
async fn an_ended_chain_asks_for_nothing() {
    let server = Server::start(|asked| table(asked, 5)).await;
    let fixture = Fixture::new(&server.url).pages(cursor(), None);
    let position = position_after(&fixture, 0).await;
    let taken = resumed(&fixture, &position).await;
    assert!(taken.pages.is_empty() && taken.restart.is_none());
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_changed_page_a_refused_cursor_and_an_old_position_start_the_chain_over() {
    let is_changed = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_changed);
    let server = Server::start(move |asked| {
        let mut answer = table(asked, 45);
        if flag.load(Ordering::SeqCst) {
            answer = Answer::json(&json!({"data": [{"id": 999}], "next_cursor": null}));
        }
        answer
    })
    .await;
    let fixture = Fixture::new(&server.url).pages(cursor(), None);
    let position = position_after(&fixture, 2).await;
    is_changed.store(true, Ordering::SeqCst);
    let taken = resumed(&fixture, &position).await;
    assert!(taken.restart.unwrap().contains("changed"));
    assert!(taken.ids.is_empty());

    for answer in [
        || Answer::status(400),
        || Answer::status(404),
        || Answer::status(410),
        || Answer::json(&json!({"error": "cursor expired"})),
    ] {
        let refusing = Server::start(move |_| answer()).await;
        let fixture = Fixture::new(&refusing.url).pages(cursor(), None);
        let taken = resumed(&fixture, &position).await;
        assert!(
            taken
                .restart
                .is_some_and(|reason| reason.contains("asked for again"))
        );
        assert_eq!(refusing.count(), 1);
    }

    let before = server.count();
    for (position, limit) in [
        (position.clone(), 86_400_000),
        (
            Position {
                last_page: PageCursor::Offset(20),
                ..position.clone()
            },
            3_600_000,
        ),
    ] {
        let old = Position {
            sealed_at_ms: position.sealed_at_ms - limit - 1_000,
            ..position
        };
        let taken = resumed(&fixture, &old).await;
        assert!(taken.restart.unwrap().contains("resume_max_age"));
    }
    assert_eq!(
        server.count(),
        before,
        "an old position isn't even asked for"
    );
}

#[tokio::test]
async fn what_is_wrong_beyond_the_cursor_stays_an_error() {
    let server = Server::start(|asked| table(asked, 45)).await;
    let position = position_after(&Fixture::new(&server.url).pages(cursor(), None), 1).await;
    let refusing = Server::start(|_| Answer::status(401)).await;
    let fixture = Fixture::new(&refusing.url).pages(cursor(), None);
    let error = read(&fixture.source(), chain(&[]), Some(position))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
}

#[tokio::test]
async fn a_chain_that_became_shorter_ends_where_it_was_sealed() {
    let all = Arc::new(AtomicU64::new(45));
    let size = Arc::clone(&all);
    let server = Server::start(move |asked| table(asked, size.load(Ordering::SeqCst))).await;
    let fixture = Fixture::new(&server.url).pages(cursor(), None);
    let position = position_after(&fixture, 1).await;
    all.store(20, Ordering::SeqCst);
    let taken = resumed(&fixture, &position).await;
    assert!(taken.ids.is_empty());
    let end = &taken.pages[0];
    assert_eq!(end.rows, 0);
    assert_eq!((end.position.pages, end.position.rows), (2, 20));
    assert_eq!(end.position.end, Some(ChainEnd::Natural));
}

#[tokio::test]
async fn empty_position() {
    // An empty page behind a full one moves the position on, and never back to a beginning.
    let server = Server::start(|asked| table(asked, 20)).await;
    let fixture = Fixture::new(&server.url).pages(offset(), Some(10));
    let taken = fixture.read().await.unwrap();
    let positions: Vec<_> = taken
        .pages
        .iter()
        .map(|page| (&page.position.last_page, page.position.rows))
        .collect();
    assert_eq!(
        positions,
        [
            (&PageCursor::Offset(0), 10),
            (&PageCursor::Offset(10), 20),
            (&PageCursor::Offset(20), 20)
        ]
    );
}

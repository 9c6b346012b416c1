//! APIs that misbehave: each gives one clear error, or is got over without a row lost or doubled.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use runner_core::{ChainEnd, ErrorKind, Retry};
use runner_plan::model::{DataFormat, PageKind, RowPath};
use runner_spec::model::StatusMeaning;
use serde_json::json;

use super::fixture::{Fixture, Taken, chain};
use super::server::{Answer, Asked, Piece, Server, rows};
use crate::source::Source as _;

/// Answers with these, in order, and with the last one for ever.
async fn sequence(answers: Vec<Fault>) -> Server {
    let next = AtomicUsize::new(0);
    Server::start(move |_: &Asked| {
        let index = next.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        answers[index]()
    })
    .await
}

type Fault = fn() -> Answer;

fn good() -> Answer {
    Answer::json(&json!({"data": rows(5, 0, 5)}))
}

fn ids(taken: &Taken) -> Vec<u64> {
    taken.ids.clone()
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let cases: Vec<(&str, Fault)> = vec![
        ("503", || Answer::status(503)),
        ("500", || {
            Answer::new(500, "application/json", r#"{"message": "oops"}"#)
        }),
        ("429 for no time", || {
            Answer::status(429).header("retry-after", "0")
        }),
        ("a cut body", || good().cut_after(0.5)),
        ("a body cut at its last byte", || good().cut_after(0.99)),
        ("a truncated body", || {
            Answer::new(200, "application/json", r#"{"data": [{"id": 0}, {"id": 1"#)
        }),
        ("a truncated compressed body", || {
            Answer::new(
                200,
                "application/json",
                Bytes::from_static(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab]),
            )
            .header("content-encoding", "gzip")
        }),
    ];
    for (name, fault) in cases {
        let server = sequence(vec![fault, fault, good]).await;
        let taken = Fixture::new(&server.url)
            .read()
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(ids(&taken), [0, 1, 2, 3, 4], "{name}");
        assert_eq!(taken.requests(), 3, "{name}");
    }
}

#[tokio::test]
async fn what_stays_is_one_error_with_its_place_and_the_number_of_tries() {
    let server = Server::start(|_| {
        Answer::new(
            503,
            "text/html",
            "<html><title>Down for maintenance</title></html>",
        )
    })
    .await;
    let error = Fixture::new(&format!("{}/items", server.url)).fails().await;
    assert_eq!(error.kind(), ErrorKind::SourceUnavailable);
    assert_eq!(server.count(), 4);
    let text = error.to_string();
    for part in [
        "status 503",
        "Down for maintenance",
        "stream: items",
        "/items",
        "page: 1",
        "tries: 4",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[tokio::test]
async fn error_names_the_place() {
    let server = Server::start(|asked| match asked.number("page") {
        Some(2) => Answer::new(
            400,
            "application/json",
            r#"{"error": {"message": "page must be odd"}}"#,
        ),
        _ => Answer::json(&json!({"data": rows(100, 0, 10)})),
    })
    .await;
    let kind = PageKind::Page {
        page_param: "page".to_owned(),
        size_param: None,
        start_page: 1,
    };
    let error = Fixture::new(&format!("{}/v1/items", server.url))
        .pages(kind, Some(10))
        .fails()
        .await;
    assert_eq!(error.kind(), ErrorKind::SourceData);
    let text = error.to_string();
    for part in [
        "status 400",
        "page must be odd",
        "stream: items",
        "GET http://127.0.0.1",
        "/v1/items?page=2",
        "page: 2",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(error.help().is_some());
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test]
async fn responses_that_are_no_data_are_told_apart() {
    let cases: Vec<(&str, Fault, ErrorKind, &str)> = vec![
        (
            "html",
            || Answer::new(200, "text/html", "<!doctype html><title>Sign in</title>"),
            ErrorKind::SourceData,
            "`Sign in`",
        ),
        (
            "empty",
            || Answer::new(200, "application/json", ""),
            ErrorKind::SourceData,
            "empty",
        ),
        (
            "an error inside",
            || Answer::json(&json!({"status": "ERROR", "error": "Unknown API Key"})),
            ErrorKind::SourceData,
            "Unknown API Key",
        ),
        (
            "a missing path",
            || Answer::json(&json!({"items": [], "page": 1})),
            ErrorKind::SourceData,
            "nothing at `$.data`",
        ),
        (
            "not json",
            || Answer::new(200, "application/json", "{\"data\": [tru]}"),
            ErrorKind::SourceData,
            "",
        ),
        (
            "an unknown encoding",
            || good().header("content-encoding", "compress"),
            ErrorKind::SourceData,
            "`compress`",
        ),
        ("401", || Answer::status(401), ErrorKind::Auth, "401"),
        ("403", || Answer::status(403), ErrorKind::Auth, "403"),
        ("404", || Answer::status(404), ErrorKind::SourceData, "404"),
    ];
    for (name, answer, kind, text) in cases {
        let server = sequence(vec![answer]).await;
        let error = Fixture::new(&server.url).fails().await;
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains(text), "{name}: {error}");
        assert_eq!(server.count(), 1, "{name} is not tried again");
    }
}

#[tokio::test]
async fn a_bomb_is_an_error() {
    let server = Server::start(|_| {
        let blanks = [b"{\"data\": [".to_vec(), vec![b' '; 40 << 20]].concat();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &blanks).unwrap();
        Answer::new(200, "application/json", encoder.finish().unwrap())
            .header("content-encoding", "gzip")
    })
    .await;
    let error = Fixture::new(&server.url).fails().await;
    assert!(error.message().contains("more than 100 times"), "{error}");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn statuses_mean_what_the_document_says() {
    for (meaning, end, warnings) in [
        (
            StatusMeaning::Skip,
            ChainEnd::Skipped,
            vec!["skipped_status"],
        ),
        (StatusMeaning::Empty, ChainEnd::Natural, vec![]),
    ] {
        let server = Server::start(|_| Answer::status(404)).await;
        let mut fixture = Fixture::new(&server.url);
        fixture.http.on_status = vec![("404".to_owned(), meaning)];
        let taken = fixture.read().await.unwrap();
        assert_eq!(taken.end(), Some(end));
        assert_eq!(taken.warnings(), warnings);
        assert_eq!(taken.pages.len(), 1);
    }
    let server = sequence(vec![|| Answer::status(404), good]).await;
    let mut fixture = Fixture::new(&server.url);
    fixture.http.on_status = vec![("4xx".to_owned(), StatusMeaning::Retry)];
    assert_eq!(fixture.read().await.unwrap().ids.len(), 5);
    let server = Server::start(|_| Answer::status(204)).await;
    assert_eq!(
        Fixture::new(&server.url).read().await.unwrap().end(),
        Some(ChainEnd::Natural)
    );
}

#[tokio::test]
async fn slow_answers_end_at_their_limits() {
    let stalled = || {
        let mut answer = good();
        let Piece::Bytes(whole) = answer.body.remove(0) else {
            unreachable!()
        };
        answer.body = vec![
            Piece::Bytes(whole.slice(..10)),
            Piece::Pause(Duration::from_secs(30)),
            Piece::Bytes(whole.slice(10..)),
        ];
        answer
    };
    let trickling = || {
        let mut answer = good();
        answer.body = (0..200)
            .flat_map(|_| {
                [
                    Piece::Bytes(Bytes::from_static(b" ")),
                    Piece::Pause(Duration::from_millis(50)),
                ]
            })
            .collect();
        answer
    };
    let cases: Vec<(&str, Fault, &str)> = vec![
        (
            "no first byte",
            || good().after(Duration::from_secs(30)),
            "first byte",
        ),
        ("a stalled body", stalled, "pause in the response"),
        ("a trickling body", trickling, "the response took longer"),
    ];
    for (name, answer, text) in cases {
        let server = sequence(vec![answer]).await;
        let mut fixture = Fixture::new(&server.url);
        fixture.http.retry.max_retries = 1;
        fixture.plan.limits.request_timeout_ms = 400;
        fixture.plan.limits.idle_timeout_ms = 200;
        let error = fixture.fails().await;
        assert_eq!(error.kind(), ErrorKind::Timeout, "{name}: {error}");
        assert!(error.message().contains(text), "{name}: {error}");
        assert_eq!(server.count(), 2, "{name}");
    }
}

#[tokio::test]
async fn nobody_there_is_an_error_that_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/items", listener.local_addr().unwrap());
    drop(listener);
    let error = Fixture::new(&url).fails().await;
    assert_eq!(error.kind(), ErrorKind::SourceUnavailable);
    assert!(error.message().contains("no connection"), "{error}");
    assert!(error.chain().contains("refused"), "{}", error.chain());
    assert!(error.help().is_some_and(|help| help.contains("base_url")));
}

#[tokio::test]
async fn rate_limit_is_a_state() {
    let server = sequence(vec![
        || Answer::status(429).header("retry-after", "1"),
        || Answer::status(503).header("retry-after", "0"),
        || {
            Answer::status(403)
                .header("x-ratelimit-remaining", "0")
                .header("x-ratelimit-reset", "0")
        },
        good,
    ])
    .await;
    let mut fixture = Fixture::new(&server.url);
    fixture.http.retry.max_retries = 0;
    let context = fixture.context();
    let meter = context.meter.clone();
    let source = fixture.source_in(context);
    let reading =
        tokio::spawn(async move { super::fixture::read(&source, chain(&[]), None).await });
    let mut has_shown = false;
    while !reading.is_finished() {
        has_shown |= matches!(
            meter.progress().waiting,
            Some(runner_core::progress::Waiting::RateLimit { .. })
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let taken = reading.await.unwrap().unwrap();
    assert_eq!(taken.ids.len(), 5, "waiting costs no retry");
    assert!(has_shown, "the wait could be seen");
    assert_eq!(meter.rate_limit_hits(), 3);
    assert_eq!(meter.progress().requests, 4);
}

#[tokio::test]
async fn a_rate_limit_beyond_the_jobs_deadline_is_an_error_at_once() {
    let server = sequence(vec![|| Answer::status(429).header("retry-after", "3600")]).await;
    let mut fixture = Fixture::new(&server.url);
    fixture.deadline = Some(Duration::from_mins(1));
    let error = fixture.fails().await;
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(matches!(error.retry(), Retry::After(_)));
}

#[tokio::test]
async fn a_cancel_and_a_deadline_end_whatever_waits() {
    let server = Server::start(|_| good().after(Duration::from_secs(30))).await;
    let fixture = Fixture::new(&server.url);
    let cancel = fixture.cancel.clone();
    let reading = tokio::spawn(async move { fixture.read().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    cancel.cancel();
    assert_eq!(
        reading.await.unwrap().unwrap_err().kind(),
        ErrorKind::Cancelled
    );

    let mut late = Fixture::new(&server.url);
    late.deadline = Some(Duration::from_millis(100));
    assert_eq!(late.fails().await.kind(), ErrorKind::Timeout);
}

/// One page that is larger than what may be held back.
fn large(rows: u64) -> String {
    let mut body = String::from("{\"data\": [");
    for id in 0..rows {
        if id > 0 {
            body.push(',');
        }
        // Writing to a string cannot fail.
        let _ = write!(body, "{{\"id\":{id},\"text\":\"{id:0>1000}\"}}");
    }
    body.push_str("]}");
    body
}

#[tokio::test]
async fn a_page_too_large_to_hold_goes_on_after_a_lost_connection() {
    const ROWS: u64 = 20_000;
    let whole = Bytes::from(large(ROWS));
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let answer = Answer::new(200, "application/json", whole.clone());
        match tries.fetch_add(1, Ordering::SeqCst) {
            0 => answer.cut_after(0.9),
            1 => answer.cut_after(0.3),
            _ => answer,
        }
    })
    .await;
    let mut fixture = Fixture::new(&server.url);
    fixture.stream.parallelism = 60;
    let taken = fixture.read().await.unwrap();
    assert_eq!(taken.ids, (0..ROWS).collect::<Vec<_>>());
    assert_eq!(server.count(), 3);
    assert_eq!(taken.pages.len(), 1);
    assert!(taken.ids_at_page[0] > 0);
}

#[tokio::test]
async fn a_large_page_that_changed_meanwhile_starts_the_chain_over() {
    let whole = Bytes::from(large(20_000));
    let other = Bytes::from(large(20_000).replacen("\"id\":3,", "\"id\":4,", 1));
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |_| match tries.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::new(200, "application/json", whole.clone()).cut_after(0.9),
        _ => Answer::new(200, "application/json", other.clone()),
    })
    .await;
    let mut fixture = Fixture::new(&server.url);
    fixture.stream.parallelism = 60;
    let taken = fixture.read().await.unwrap();
    assert!(
        taken
            .restart
            .is_some_and(|reason| reason.contains("other rows"))
    );
    assert!(taken.pages.is_empty());
}

#[tokio::test]
async fn rows_come_before_a_large_body_is_whole() {
    let whole = Bytes::from(large(20_000));
    let server = Server::start(move |_| {
        let mut answer = Answer::new(200, "application/json", "");
        let half = whole.len() / 2;
        answer.body = vec![
            Piece::Bytes(whole.slice(..half)),
            Piece::Pause(Duration::from_hours(1)),
            Piece::Bytes(whole.slice(half..)),
        ];
        answer
    })
    .await;
    let mut fixture = Fixture::new(&server.url);
    fixture.stream.parallelism = 60;
    let mut chain = fixture.source().open(chain(&[]), None).await.unwrap();
    let mut taken = Taken::default();
    assert!(taken.take(chain.as_mut()).await.unwrap());
    assert_eq!(taken.ids[0], 0);
}

#[tokio::test]
async fn every_format_and_encoding_is_read_by_what_the_response_says() {
    let gzip = |data: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, data).unwrap();
        encoder.finish().unwrap()
    };
    let json = json!({"data": rows(3, 0, 3)}).to_string();
    let lines = "{\"id\":0}\n{\"id\":1}\n{\"id\":2}\n";
    let cases: Vec<(Answer, RowPath, Option<DataFormat>)> = vec![
        (
            Answer::new(200, "application/x-ndjson", lines),
            RowPath::Steps(vec![]),
            None,
        ),
        (
            Answer::new(200, "text/plain", lines),
            RowPath::Steps(vec![]),
            None,
        ),
        (
            Answer::new(200, "application/octet-stream", gzip(lines.as_bytes())),
            RowPath::Steps(vec![]),
            None,
        ),
        (
            Answer::new(200, "text/csv", "id,name\n0,a\n1,b\n2,c\n"),
            RowPath::Steps(vec![]),
            None,
        ),
        (
            Answer::new(200, "application/json", gzip(json.as_bytes()))
                .header("content-encoding", "gzip"),
            super::fixture::path(&["data"]),
            None,
        ),
        (
            Answer::new(
                200,
                "application/json",
                zstd::encode_all(json.as_bytes(), 1).unwrap(),
            )
            .header("content-encoding", "zstd"),
            super::fixture::path(&["data"]),
            None,
        ),
        (
            Answer::new(200, "text/plain", json.clone()),
            super::fixture::path(&["data"]),
            Some(DataFormat::Json),
        ),
    ];
    for (index, (answer, path, format)) in cases.into_iter().enumerate() {
        let answer = Arc::new(answer);
        let server = Server::start(move |_| Answer {
            status: answer.status,
            headers: answer.headers.clone(),
            body: answer.body.clone(),
            delay: answer.delay,
            under_way: None,
        })
        .await;
        let mut fixture = Fixture::new(&server.url);
        fixture.http.rows = path;
        fixture.http.format = format;
        let taken = super::fixture::read_counts(&fixture).await;
        assert_eq!(taken, 3, "case {index}");
        assert_eq!(
            server.asked()[0].header("accept-encoding"),
            Some("gzip, br, zstd, deflate")
        );
    }
}

//! What bad answers get: one clear error of the right kind, or a row in the quarantine; each failure under its own name.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use runner_core::{ChainEnd, Error, ErrorKind, Retry};
use runner_plan::model::{PageKind, RowPath};
use serde_json::json;

use super::fixture::{Fixture, Taken};
use super::proxy::{Proxy, Way};
use super::server::{Answer, Server, rows};
use crate::rows::InvalidRow;

const JSON: &str = "application/json";

/// The one error of a stream whose API always answers this; it is asked `requests` times.
async fn refused(answer: impl Fn() -> Answer + Send + Sync + 'static, requests: usize) -> Error {
    let server = Server::start(move |_| answer()).await;
    let error = Fixture::new(&format!("{}/v1/items", server.url))
        .fails()
        .await;
    let text = error.to_string();
    for place in ["stream: items", "/v1/items", "page: 1"] {
        assert!(text.contains(place), "{place} is not in {text}");
    }
    assert!(error.help().is_some_and(|help| !help.is_empty()), "{text}");
    assert_eq!(server.count(), requests, "{text}");
    error
}

/// What a stream gives whose API answers this.
async fn taken(body: &'static str) -> Taken {
    let server = Server::start(move |_| Answer::new(200, JSON, body)).await;
    let taken = Fixture::new(&server.url).read().await.unwrap();
    assert_eq!(taken.end(), Some(ChainEnd::Natural));
    taken
}

fn invalid(taken: &Taken) -> Vec<&InvalidRow> {
    let batches = taken.batches.iter();
    batches.flat_map(|rows| &rows.invalid).collect()
}

fn cells(batch: &RecordBatch, column: &str) -> Vec<String> {
    let array = batch.column_by_name(column).unwrap();
    (0..batch.num_rows())
        .map(|row| array_value_to_string(array, row).unwrap())
        .collect()
}

#[tokio::test]
async fn an_html_page_is_no_data() {
    let page = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>…</body></html>";
    // Whatever the server calls it.
    for content_type in ["text/html", JSON] {
        let error = refused(move || Answer::new(200, content_type, page), 1).await;
        assert_eq!(error.kind(), ErrorKind::SourceData);
        assert!(error.message().contains("`Sign in`"), "{error}");
        assert!(error.help().unwrap().contains("login page"), "{error:?}");
    }
}

#[tokio::test]
async fn an_empty_response_is_no_page() {
    for body in ["", " \n ", "\u{feff}"] {
        let error = refused(move || Answer::new(200, JSON, body), 1).await;
        assert_eq!(error.kind(), ErrorKind::SourceData);
        assert!(error.message().contains("empty"), "{error}");
    }
}

/// It is asked for again, since connections are cut; what is always truncated is said to be so, and no row of it stays.
#[tokio::test]
async fn a_truncated_response_is_no_end_of_the_rows() {
    for body in [
        "{\"data\": [{\"id\": 0}, {\"id\": 1}",
        "{\"data\": [{\"id\": 0}, {\"id\": ",
        "{\"data\": [{\"id\": 0}, {\"id\": 1}], \"next\": nu",
        "{\"data\": [{\"id\": 0}, {\"id\": 1}]",
    ] {
        let error = refused(move || Answer::new(200, JSON, body), 4).await;
        assert_eq!(error.kind(), ErrorKind::SourceData, "{body}");
        assert!(
            error.message().contains("ends within a value"),
            "{body}: {error}"
        );
        assert!(error.to_string().contains("tries: 4"), "{body}: {error}");
    }
}

#[tokio::test]
async fn text_of_another_encoding_is_read_by_what_its_content_type_says() {
    let body = b"id,name\n0,Z\xfcrich\n";
    let server =
        Server::start(|_| Answer::new(200, "text/csv; charset=ISO-8859-1", body.to_vec())).await;
    let mut fixture = Fixture::new(&server.url);
    fixture.http.rows = RowPath::Steps(vec![]);
    let taken = fixture.read().await.unwrap();
    assert_eq!(taken.ids, [0]);
    assert!(invalid(&taken).is_empty());
}

#[tokio::test]
async fn a_row_that_is_not_utf_8_is_quarantined_and_the_others_are_read() {
    let body = b"{\"data\": [{\"id\": 0, \"name\": \"a\"}, {\"id\": 1, \"name\": \"\xff\xfe\"}, {\"id\": 2, \"name\": \"c\"}]}";
    let server = Server::start(|_| Answer::new(200, JSON, body.to_vec())).await;
    let taken = Fixture::new(&server.url).read().await.unwrap();
    assert_eq!(taken.ids, [0, 2]);
    let [row] = invalid(&taken)[..] else {
        panic!("{:?}", invalid(&taken))
    };
    assert!(row.reasons[0].message.contains("UTF-8"), "{row:?}");
    assert_eq!(row.number, 1);
}

/// Where the whole document is the row, or an empty list stands beside the error.
#[tokio::test]
async fn an_error_is_no_row() {
    for (steps, body, said) in [
        (
            vec![],
            r#"{"error": {"message": "nope", "code": 7}}"#,
            "`error.message`",
        ),
        (
            vec![],
            r#"{"errors": ["nope"], "status": 500, "data": null}"#,
            "`errors`",
        ),
        (
            vec![],
            r#"{"timestamp": "2026-01-01", "status": 500, "error": "nope", "path": "/x"}"#,
            "`error`",
        ),
        (
            vec!["data"],
            r#"{"data": [], "errors": [{"message": "nope"}]}"#,
            "nope",
        ),
    ] {
        let server = Server::start(move |_| Answer::new(200, JSON, body)).await;
        let mut fixture = Fixture::new(&server.url);
        fixture.http.rows = super::fixture::path(&steps);
        let error = fixture.fails().await;
        assert_eq!(error.kind(), ErrorKind::SourceData, "{body}");
        assert!(error.message().contains(said), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_row_may_speak_of_errors() {
    for (steps, body, warnings) in [
        // A job that went well, one that failed, and a list of failures.
        (vec![], r#"{"id": 1, "error": null}"#, vec![]),
        (vec![], r#"{"id": 1, "error": "nope"}"#, vec![]),
        (vec![], r#"[{"error": "nope", "code": 7}]"#, vec![]),
        (
            vec!["data"],
            r#"{"data": [{"id": 1}], "errors": []}"#,
            vec![],
        ),
        (
            vec!["data"],
            r#"{"data": [{"id": 1}], "errors": [{"message": "nope"}]}"#,
            vec!["errors_beside_rows"],
        ),
    ] {
        let server = Server::start(move |_| Answer::new(200, JSON, body)).await;
        let mut fixture = Fixture::new(&server.url);
        fixture.http.rows = super::fixture::path(&steps);
        let taken = fixture.read().await.unwrap();
        assert_eq!(taken.warnings(), warnings, "{body}");
    }
}

#[tokio::test]
async fn an_error_in_a_successful_response_is_one() {
    for body in [
        r#"{"status": "ERROR", "error": "Unknown API Key"}"#,
        r#"{"error": {"code": 7, "message": "Unknown API Key"}}"#,
        r#"{"errors": [{"message": "Unknown API Key"}], "data": null, "items": []}"#,
        r#"{"success": false, "message": "Unknown API Key"}"#,
    ] {
        let server = Server::start(move |_| Answer::new(200, JSON, body)).await;
        let mut fixture = Fixture::new(&server.url);
        fixture.http.rows = super::fixture::path(&["result", "rows"]);
        let error = fixture.fails().await;
        assert_eq!(error.kind(), ErrorKind::SourceData, "{body}");
        assert!(
            error.message().contains("Unknown API Key"),
            "{body}: {error}"
        );
        assert_eq!(error.retry(), Retry::Never, "{body}");
    }
}

#[tokio::test]
async fn a_list_where_an_object_was_leads_nowhere() {
    let answer = || Answer::json(&json!([{"id": 0}, {"id": 1}]));
    let error = refused(answer, 1).await;
    assert_eq!(error.kind(), ErrorKind::SourceData);
    assert!(error.message().contains("nothing at `$.data`"), "{error}");
    assert!(
        error.to_string().contains("$ is a list of 2 items"),
        "{error}"
    );
    assert!(error.help().unwrap().contains("response_path"), "{error:?}");
}

#[tokio::test]
async fn an_object_where_a_list_was_is_one_row() {
    let one = taken(r#"{"data": {"id": 7, "name": "x"}}"#).await;
    assert_eq!(one.ids, [7]);
    assert_eq!(one.pages[0].rows, 1);
}

#[tokio::test]
async fn a_row_with_duplicate_keys_is_quarantined() {
    let taken = taken(r#"{"data": [{"id": 0}, {"id": 1, "v": 1, "v": 2}, {"id": 2}]}"#).await;
    assert_eq!(taken.ids, [0, 2]);
    let [row] = invalid(&taken)[..] else {
        panic!("{:?}", invalid(&taken))
    };
    assert!(row.reasons[0].message.contains("`v`"), "{row:?}");
}

#[tokio::test]
async fn numbers_beyond_64_bits_stay_what_they_are() {
    let taken = taken(
        r#"{"data": [{"id": 0, "n": 1}, {"id": 1, "n": 123456789012345678901234567890}, {"id": 2, "n": -9223372036854775809}]}"#,
    )
    .await;
    assert_eq!(taken.ids, [0, 1, 2]);
    let numbers: Vec<String> = taken
        .batches
        .iter()
        .flat_map(|rows| cells(&rows.batch, "n"))
        .collect();
    assert_eq!(
        numbers,
        [
            "1",
            "123456789012345678901234567890",
            "-9223372036854775809"
        ]
    );
}

#[tokio::test]
async fn a_missing_response_path_names_what_is_there() {
    let error = refused(|| Answer::json(&json!({"items": [], "page": 1})), 1).await;
    let text = error.to_string();
    for part in ["nothing at `$.data`", "items", "page"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[tokio::test]
async fn a_next_page_that_repeats_is_an_error() {
    // Two pages that state each other, for ever.
    let server = Server::start(|asked| {
        let page = asked.number("page").unwrap_or(0);
        Answer::json(
            &json!({"data": rows(100, page, 1), "next_url": format!("/?page={}", 1 - page)}),
        )
    })
    .await;
    let kind = PageKind::NextUrl {
        path: None,
        size_param: None,
    };
    let error = Fixture::new(&format!("{}/?page=0", server.url))
        .pages(kind, None)
        .fails()
        .await;
    assert_eq!(error.kind(), ErrorKind::SourceData);
    assert!(error.message().contains("the API loops"), "{error}");
    assert!(server.count() <= 3, "{} requests", server.count());
}

#[tokio::test]
async fn a_connection_reset_mid_page_costs_no_row() {
    let server = Server::start(|asked| {
        let start = asked.number("offset").unwrap_or(0);
        Answer::json(&json!({"data": rows(250, start, 100)}))
    })
    .await;
    // In the head, at its end, in a row, and just before the last byte of the last page.
    for after in [3, 60, 120, 900, 3_400, 2_100] {
        let proxy = Proxy::start(&server.url, move |connection| match connection {
            0 | 1 => Way::ResetsAfter(after),
            _ => Way::Clear,
        })
        .await;
        let kind = PageKind::Offset {
            offset_param: "offset".to_owned(),
            limit_param: None,
        };
        let taken = Fixture::new(&proxy.url)
            .pages(kind, Some(100))
            .read()
            .await
            .unwrap_or_else(|error| panic!("after {after} bytes: {error}"));
        assert_eq!(taken.ids, (0..250).collect::<Vec<_>>(), "after {after}");
        assert!(proxy.connections() >= 3, "after {after}");
    }
}

#[tokio::test]
async fn a_connection_that_is_always_reset_is_one_error() {
    let server = Server::start(|_| Answer::json(&json!({"data": rows(100, 0, 100)}))).await;
    let proxy = Proxy::start(&server.url, |_| Way::ResetsAfter(500)).await;
    let error = Fixture::new(&proxy.url).fails().await;
    assert_eq!(error.kind(), ErrorKind::SourceUnavailable, "{error:?}");
    assert!(error.message().contains("connection was lost"), "{error}");
    assert!(error.to_string().contains("tries: 4"), "{error}");
    assert_eq!(proxy.connections(), 4);
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up_and_asked_for_again() {
    let server = Server::start(|_| Answer::json(&json!({"data": rows(100, 0, 100)}))).await;
    for after in [20, 300] {
        let proxy = Proxy::start(&server.url, move |connection| match connection {
            0 => Way::StallsAfter(after),
            _ => Way::Clear,
        })
        .await;
        let mut fixture = Fixture::new(&proxy.url);
        fixture.plan.limits.request_timeout_ms = 600;
        fixture.plan.limits.idle_timeout_ms = 300;
        let taken = fixture.read().await.unwrap();
        assert_eq!(taken.ids, (0..100).collect::<Vec<_>>(), "after {after}");
        assert_eq!(taken.requests(), 2, "after {after}");
    }
    let proxy = Proxy::start(&server.url, |_| Way::StallsAfter(300)).await;
    let mut fixture = Fixture::new(&proxy.url);
    fixture.http.retry.max_retries = 1;
    fixture.plan.limits.idle_timeout_ms = 300;
    let error = fixture.fails().await;
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.message().contains("pause in the response"), "{error}");
}

#[tokio::test]
async fn a_slow_body_that_flows_is_read() {
    let server = Server::start(|_| Answer::json(&json!({"data": rows(3, 0, 3)}))).await;
    let proxy = Proxy::start(&server.url, |_| Way::Trickles(Duration::from_millis(2))).await;
    let mut fixture = Fixture::new(&proxy.url);
    // Longer than any pause, shorter than the whole.
    fixture.plan.limits.idle_timeout_ms = 500;
    let taken = fixture.read().await.unwrap();
    assert_eq!(taken.ids, [0, 1, 2]);
    assert_eq!(taken.requests(), 1);
}

//! Where credentials go, and where secrets don't.

use std::sync::{Arc, Mutex};

use runner_core::{ErrorKind, Position};
use runner_plan::model::{Body, PageKind};
use runner_spec::model::{AuthKind, KeyLocation};
use serde_json::json;

use super::fixture::{Fixture, Vault, chain, read};
use super::server::{Answer, Server, rows};
use crate::http::{Egress, HttpRegistry, Network};

const CANARY: &str = "c4nary-key/ü+1";

fn next_url() -> PageKind {
    PageKind::NextUrl {
        path: None,
        size_param: None,
    }
}

/// A stream that shows its key in a header and in a parameter of the query.
fn keyed(url: &str) -> Fixture {
    let mut fixture = Fixture::new(url)
        .auth(AuthKind::ApiKey {
            name: "X-Api-Key".to_owned(),
            location: KeyLocation::Header,
            value: "{{ secrets.api_key }}".to_owned(),
        })
        .secrets(&["secrets.api_key", "api_key"]);
    fixture.http.query = vec![("apiKey".to_owned(), "{{ api_key }}".into())];
    fixture.http.headers = vec![
        ("Cookie".to_owned(), "session={{ api_key }}".into()),
        ("X-Plain".to_owned(), "plain".into()),
    ];
    fixture
}

fn ascii_vault() -> Arc<Vault> {
    Arc::new(Vault::with(&[(
        "vault://feeds/api#api_key",
        "c4nary-key/+1",
    )]))
}

fn has_credentials(asked: &super::server::Asked) -> [bool; 3] {
    [
        asked.header("x-api-key").is_some(),
        asked.query.contains_key("apiKey"),
        asked.header("cookie").is_some(),
    ]
}

#[tokio::test]
async fn a_redirect_keeps_credentials_on_its_own_origin_only() {
    let other = Server::start(|_| Answer::json(&json!({"data": rows(3, 0, 3)}))).await;
    let target = format!("{}/elsewhere", other.url);
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/items" => Answer::status(302).header("location", "/moved?apiKey=again"),
        "/moved" => Answer::status(307).header("location", target.clone()),
        _ => Answer::status(404),
    })
    .await;
    let mut fixture = keyed(&format!("{}/items", server.url));
    fixture.store = ascii_vault();
    let taken = fixture.read().await.unwrap();
    assert_eq!(taken.ids, [0, 1, 2]);
    assert_eq!(taken.requests(), 3);
    let own = server.asked();
    assert_eq!(has_credentials(&own[0]), [true, true, true]);
    assert_eq!(has_credentials(&own[1]), [true, true, true]);
    let foreign = &other.asked()[0];
    assert_eq!(has_credentials(foreign), [false, false, false]);
    assert_eq!(foreign.header("x-plain"), Some("plain"));
}

#[tokio::test]
async fn redirects_are_bounded_and_change_methods_as_the_standard_says() {
    let circle = Server::start(|_| Answer::status(302).header("location", "/again")).await;
    let error = Fixture::new(&circle.url).fails().await;
    assert_eq!(error.kind(), ErrorKind::SourceData);
    assert_eq!(circle.count(), 11);

    for (status, method, has_body) in [
        (303, "GET", false),
        (302, "GET", false),
        (307, "POST", true),
        (308, "POST", true),
    ] {
        let server = Server::start(move |asked| match asked.path.as_str() {
            "/" => Answer::status(status).header("location", "/there"),
            _ => Answer::json(&json!({"data": rows(1, 0, 1)})),
        })
        .await;
        let mut fixture = Fixture::new(&server.url);
        fixture.http.method = "POST".to_owned();
        fixture.http.body = Some(Body::Text("{\"a\": 1}".into()));
        fixture.read().await.unwrap();
        let second = &server.asked()[1];
        assert_eq!(second.method, method, "{status}");
        assert_eq!(!second.body.is_empty(), has_body, "{status}");
        assert_eq!(
            second.header("content-type").is_some(),
            has_body,
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_body_with_a_secret_does_not_leave_its_origin() {
    let other = Server::start(|_| Answer::json(&json!({"data": []}))).await;
    let target = other.url.clone();
    let server =
        Server::start(move |_| Answer::status(307).header("location", target.clone())).await;
    let mut fixture = Fixture::new(&server.url).secrets(&["api_key"]);
    fixture.http.method = "POST".to_owned();
    fixture.http.body = Some(Body::Json(json!({"key": "{{ api_key }}"})));
    let error = fixture.fails().await;
    assert!(error.message().contains("another origin"), "{error}");
    assert_eq!(other.count(), 0);
}

#[tokio::test]
async fn a_next_url_on_another_origin_is_refused_unless_allowed_and_gets_no_credentials() {
    let other = Server::start(|_| Answer::json(&json!({"data": rows(2, 1, 1)}))).await;
    let elsewhere = format!("{}/page2", other.url);
    let server = Server::start(move |_| {
        Answer::json(&json!({"data": rows(1, 0, 1), "next_url": elsewhere}))
    })
    .await;
    let mut fixture = keyed(&server.url).pages(next_url(), None);
    fixture.store = ascii_vault();
    let error = fixture.fails().await;
    assert_eq!(error.kind(), ErrorKind::SourceData);
    assert!(error.message().contains("another origin"), "{error}");
    assert!(error.help().unwrap().contains("allowed_hosts"));
    assert_eq!(other.count(), 0);

    fixture.http.allowed_origins.hosts = vec!["127.0.0.1".to_owned()];
    assert_eq!(fixture.read().await.unwrap().ids, [0, 1]);
    assert_eq!(has_credentials(&other.asked()[0]), [false, false, false]);
}

#[tokio::test]
async fn a_next_url_without_the_key_gets_it_on_its_own_origin() {
    let server = Server::start(|asked| match asked.query.get("c") {
        None => Answer::json(&json!({"data": rows(1, 0, 1), "next_url": "?c=2"})),
        Some(_) => Answer::json(&json!({"data": rows(2, 1, 1)})),
    })
    .await;
    let mut fixture = keyed(&server.url).pages(next_url(), None);
    fixture.store = ascii_vault();
    assert_eq!(fixture.read().await.unwrap().ids, [0, 1]);
    assert_eq!(has_credentials(&server.asked()[1]), [true, true, true]);
}

/// Everything that leaves a source, as one text.
fn everything(parts: &[&dyn std::fmt::Debug]) -> String {
    format!("{parts:?}\n")
}

fn assert_clean(text: &str) {
    for form in [
        CANARY.to_owned(),
        "c4nary".to_owned(),
        "c4nary-key%2F%C3%BC%2B1".to_owned(),
        "YzRuYXJ5".to_owned(),
    ] {
        assert!(!text.contains(&form), "`{form}` is in {text}");
    }
}

#[tokio::test]
async fn no_secret_anywhere() {
    let logs = Arc::new(Mutex::new(Vec::<u8>::new()));
    let sink = Arc::clone(&logs);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || Log(Arc::clone(&sink)))
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    // An API that echoes what it is shown: in rows, next URLs, errors, redirects.
    let server = Server::start(|asked| {
        let key = asked.query["key"].clone();
        let encoded: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
        match asked.path.as_str() {
            "/echo" if asked.query.contains_key("page2") => Answer::new(
                400,
                "application/json",
                json!({"message": format!("key {key} may not read {}", asked.raw_query)}).to_string(),
            ),
            "/echo" => Answer::json(&json!({
                "data": [{"id": 1, "echo": key, "url": format!("https://x/?key={encoded}"), "nested": {"auth": asked.header("authorization")}}],
                "next_url": format!("/echo?page2=1&key={encoded}"),
            })),
            "/html" => Answer::new(200, "text/html", format!("<html><title>bad key {key}</title></html>")),
            "/loop" => Answer::status(302).header("location", format!("/loop?key={encoded}")),
            "/scheme" => Answer::status(302).header("location", format!("ftp://x/?key={encoded}")),
            _ => Answer::new(500, "text/plain", format!("failed for {key} ({encoded})")),
        }
    })
    .await;
    for (index, path) in ["echo", "html", "loop", "scheme", "other"]
        .into_iter()
        .enumerate()
    {
        let mut fixture = Fixture::new(&format!("{}/{path}", server.url))
            .auth(AuthKind::Basic {
                username: "user".to_owned(),
                password: "{{ api_key }}".to_owned(),
            })
            .secrets(&["api_key"])
            .pages(next_url(), None);
        fixture.http.query = vec![("key".to_owned(), "{{ api_key }}".into())];
        let context = fixture.context();
        let schema = context.schema.clone();
        let source = fixture.source_in(context);
        let mut chain = crate::source::Source::open(&source, chain(&[]), None)
            .await
            .unwrap();
        let mut seen = String::new();
        let error = loop {
            match chain.next().await {
                Ok(Some(step)) => seen.push_str(&everything(&[&step])),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let error = error.unwrap_or_else(|| panic!("/{path} fails in the end"));
        seen.push_str(&everything(&[&error, &source, &schema.current()]));
        seen.push_str(&error.chain());
        assert_clean(&seen);
        if index == 0 {
            assert!(
                seen.contains("{{secret:vault://feeds/api#api_key"),
                "{seen}"
            );
        }
    }
    let logs = String::from_utf8(logs.lock().unwrap().clone()).unwrap();
    assert_clean(&logs);
}

struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_position_with_a_secret_is_stored_without_it_and_used_with_it() {
    let server = Server::start(|asked| {
        assert_eq!(asked.query["key"], CANARY);
        let encoded: String = url::form_urlencoded::byte_serialize(CANARY.as_bytes()).collect();
        let page = asked.number("page").unwrap_or(0);
        let next = (page < 3).then(|| format!("/?key={encoded}&page={}", page + 1));
        Answer::json(&json!({"data": rows(100, page, 1), "next_url": next}))
    })
    .await;
    let mut fixture = Fixture::new(&server.url)
        .secrets(&["api_key"])
        .pages(next_url(), None);
    fixture.http.query = vec![("key".to_owned(), "{{ api_key }}".into())];
    let taken = fixture.read().await.unwrap();
    let stored = serde_json::to_string(&taken.pages[1].position).unwrap();
    assert_clean(&stored);
    let position: Position = serde_json::from_str(&stored).unwrap();
    let resumed = read(&fixture.source(), chain(&[]), Some(position))
        .await
        .unwrap();
    assert_eq!(resumed.ids, [2, 3]);
    assert_eq!(resumed.restart, None);
}

#[tokio::test]
async fn addresses_of_the_inside_are_refused_where_the_settings_say_so() {
    let server = Server::start(|_| Answer::json(&json!({"data": rows(1, 0, 1)}))).await;
    let port = server.url.rsplit(':').next().unwrap().to_owned();
    let guarded = |allowed: &[&str]| {
        HttpRegistry::new(Network {
            egress: Egress::PublicOnly {
                allowed: allowed.iter().map(ToString::to_string).collect(),
            },
            ..Network::default()
        })
    };
    for url in [server.url.clone(), format!("http://localhost:{port}")] {
        let mut fixture = Fixture::new(&url);
        fixture.registry = guarded(&[]);
        let error = fixture.fails().await;
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{url}: {error:?}");
        assert!(error.message().contains("not public"), "{error}");
        assert_eq!(server.count(), 0);
    }
    let mut allowed = Fixture::new(&format!("http://localhost:{port}"));
    allowed.registry = guarded(&["localhost"]);
    assert_eq!(allowed.read().await.unwrap().ids, [0]);
}

#[tokio::test]
async fn a_redirect_to_the_inside_is_refused_too() {
    let inside = Server::start(|_| Answer::json(&json!({"data": []}))).await;
    let target = inside.url.clone();
    let server =
        Server::start(move |_| Answer::status(302).header("location", target.clone())).await;
    let port = server.url.rsplit(':').next().unwrap();
    let mut fixture = Fixture::new(&format!("http://localhost:{port}"));
    fixture.registry = HttpRegistry::new(Network {
        egress: Egress::PublicOnly {
            allowed: vec!["localhost".to_owned()],
        },
        ..Network::default()
    });
    assert_eq!(fixture.fails().await.kind(), ErrorKind::Forbidden);
    assert_eq!(inside.count(), 0);
}

use std::collections::BTreeMap;

use runner_plan::model::PageKind;
use runner_spec::model::Settings;
use serde_json::json;

use super::super::tests::fixture::{Fixture, chain};
use super::*;
use crate::source::ChainRequest;

fn rendered(fixture: &Fixture, chain: &ChainRequest, cursor: &PageCursor) -> Result<PageRequest> {
    let template = RequestTemplate::compile(&fixture.stream, &fixture.http)?;
    let scope = ChainScope::of_stream(&fixture.context(), crate::secrets::SecretScope::default())
        .of_chain(chain, fixture.stream.incremental.as_ref());
    template.render(&scope, chain.window.as_ref(), cursor)
}

fn url(fixture: &Fixture, variables: &[(&str, &str)]) -> String {
    rendered(fixture, &chain(variables), &PageCursor::First)
        .unwrap()
        .url
        .to_string()
}

#[test]
fn names_are_looked_up_in_the_documented_order() {
    let mut fixture = Fixture::new("https://a.example/{{ name }}");
    fixture.plan.config = json!({"name": "config"}).as_object().unwrap().clone();
    assert!(rendered(&fixture, &chain(&[]), &PageCursor::First).is_err());
    fixture.http.url = "https://a.example/{{ config.name }}/{{ run.id }}/{{ tenant_id }}".into();
    assert_eq!(url(&fixture, &[]), "https://a.example/config/job-1/acme");
    fixture.http.url = "https://a.example/{{ name }}".into();
    assert_eq!(
        url(&fixture, &[("name", "parent")]),
        "https://a.example/parent"
    );
    fixture.plan.parameters = [("name".to_owned(), "parameter".to_owned())].into();
    assert_eq!(
        url(&fixture, &[("name", "parent")]),
        "https://a.example/parameter"
    );
}

#[test]
fn a_name_that_is_nowhere_is_an_error_that_says_where_it_was_looked_for() {
    let fixture = Fixture::new("https://a.example/{{ nothing }}");
    let error = rendered(&fixture, &chain(&[]), &PageCursor::First).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Spec);
    for place in ["`nothing`", "parameters", "parent", "secrets", "config"] {
        assert!(error.message().contains(place), "{place}: {error}");
    }
}

#[test]
fn values_are_encoded_where_they_stand() {
    let mut fixture = Fixture::new("https://a.example/x/{{ name }}/y");
    fixture.http.query = vec![("q".to_owned(), "{{ name }}".into())];
    assert_eq!(
        url(&fixture, &[("name", "a/b ?&ü")]),
        "https://a.example/x/a%2Fb%20%3F%26%C3%BC/y?q=a%2Fb+%3F%26%C3%BC"
    );
}

#[test]
fn a_page_parameter_replaces_one_of_its_name() {
    let mut fixture = Fixture::new("https://a.example/?offset=7&x=1").pages(
        PageKind::Offset {
            offset_param: "offset".to_owned(),
            limit_param: Some("limit".to_owned()),
        },
        Some(50),
    );
    fixture.http.query = vec![("limit".to_owned(), "9".into())];
    let request = rendered(&fixture, &chain(&[]), &PageCursor::Offset(100)).unwrap();
    assert_eq!(request.url.query(), Some("x=1&limit=50&offset=100"));
}

#[test]
fn a_window_goes_into_parameters_and_variables() {
    use crate::source::WindowBounds;
    use runner_plan::model::{IncrementalPlan, TimeFormat, Window};
    let mut fixture = Fixture::new("https://a.example/{{ from_date }}");
    fixture.stream.incremental = Some(IncrementalPlan {
        cursor_field: Some("at".to_owned()),
        initial: None,
        lookback_ms: 0,
        settle_ms: 0,
        from_param: Some("since".to_owned()),
        to_param: Some("until".to_owned()),
        window: Window::Whole,
        format: TimeFormat::Natural,
    });
    let mut request = chain(&[]);
    request.window = Some(WindowBounds {
        from: Some("2024-03-01T12:00:00Z".to_owned()),
        to: Some("2024-03-02T00:00:00Z".to_owned()),
        last_cursor: None,
    });
    assert_eq!(
        rendered(&fixture, &request, &PageCursor::First)
            .unwrap()
            .url
            .as_str(),
        "https://a.example/2024-03-01?since=2024-03-01T12%3A00%3A00Z&until=2024-03-02T00%3A00%3A00Z"
    );
    // A first run has no lower bound: parameters that need it are left out, a path that needs it is an error.
    request.window = Some(WindowBounds {
        to: Some("2024-03-02T00:00:00Z".to_owned()),
        ..WindowBounds::default()
    });
    assert!(rendered(&fixture, &request, &PageCursor::First).is_err());
    fixture.http.url = "https://a.example/".into();
    fixture.http.query = vec![("after".to_owned(), "{{ since }}".into())];
    assert_eq!(
        rendered(&fixture, &request, &PageCursor::First)
            .unwrap()
            .url
            .as_str(),
        "https://a.example/?until=2024-03-02T00%3A00%3A00Z"
    );
}

#[test]
fn a_cursor_that_nothing_sends_back_is_an_error() {
    let fixture = Fixture::new("https://a.example/").pages(
        PageKind::Cursor {
            cursor_param: None,
            size_param: None,
            cursor_path: None,
            next_url_path: None,
        },
        None,
    );
    let token = PageCursor::Token("t".to_owned());
    let error = rendered(&fixture, &chain(&[]), &token).unwrap_err();
    assert!(error.help().unwrap().contains("cursor_param"), "{error:?}");
}

#[test]
fn what_cannot_be_a_request_is_refused_when_it_is_built_or_rendered() {
    type Change = fn(&mut Fixture);
    let cases: [(Change, &str); 6] = [
        (
            |fixture| fixture.http.url = "a.example/x".into(),
            "is not a URL",
        ),
        (
            |fixture| fixture.http.url = "ftp://a.example/x".into(),
            "scheme `ftp`",
        ),
        (
            |fixture| fixture.http.method = "GE T".to_owned(),
            "is not an HTTP method",
        ),
        (
            |fixture| fixture.http.headers = vec![("a b".to_owned(), "x".into())],
            "is not the name of a header",
        ),
        (
            |fixture| fixture.http.headers = vec![("a".to_owned(), "x\ny".into())],
            "no header may have",
        ),
        (
            |fixture| fixture.http.url = "https://a.example/{{ x".into(),
            "not well formed",
        ),
    ];
    for (change, expected) in cases {
        let mut fixture = Fixture::new("https://a.example/");
        change(&mut fixture);
        let error = rendered(&fixture, &chain(&[]), &PageCursor::First).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Spec, "{error}");
        assert!(error.message().contains(expected), "{error}");
    }
}

#[test]
fn bodies_are_sent_as_what_they_are() {
    for (body, content_type) in [
        ("{\"a\": 1}", "application/json"),
        ("a=1&b=2", "application/x-www-form-urlencoded"),
        ("<a/>", "application/xml"),
        ("some text", "text/plain; charset=utf-8"),
    ] {
        let mut fixture = Fixture::new("https://a.example/");
        fixture.http.body = Some(Body::Text(body.into()));
        let request = rendered(&fixture, &chain(&[]), &PageCursor::First).unwrap();
        assert_eq!(request.headers[CONTENT_TYPE], content_type, "{body}");
        assert_eq!(request.body.as_deref(), Some(body.as_bytes()));
        fixture.http.headers = vec![("content-type".to_owned(), "application/graphql".into())];
        let request = rendered(&fixture, &chain(&[]), &PageCursor::First).unwrap();
        assert_eq!(request.headers[CONTENT_TYPE], "application/graphql");
    }
}

#[test]
fn a_url_is_shown_without_what_its_names_give_away() {
    let scrubber = Scrubber::new();
    scrubber
        .register("vault://a#b", &runner_core::Secret::new("c4nary value"))
        .unwrap();
    for (text, shown) in [
        (
            "https://u:p@a.example/x?limit=5",
            "https://a.example/x?limit=5",
        ),
        (
            "https://a.example/?apiKey=plain&page_token=t",
            "https://a.example/?apiKey=***&page_token=t",
        ),
        (
            "https://a.example/c4nary%20value?q=c4nary+value",
            "https://a.example/{{secret:vault://a#b|query}}?q={{secret:vault://a#b|form}}",
        ),
    ] {
        let described = parts::describe_url(&Url::parse(text).unwrap(), &scrubber);
        // Several encodings of one value may be the same text: the first that is names it.
        let described = described
            .replace("|percent}}", "|query}}")
            .replace("|percent-lower}}", "|query}}")
            .replace("|form-lower}}", "|form}}");
        assert_eq!(described, shown);
    }
}

#[test]
fn settings_are_values_of_their_own_type_in_a_json_body() {
    let mut fixture = Fixture::new("https://a.example/");
    let mut config = Settings::new();
    config.insert("ids".to_owned(), json!([1, 2]));
    fixture.plan.config = config;
    fixture.plan.parameters = BTreeMap::from([("state".to_owned(), "open".to_owned())]);
    fixture.http.body = Some(Body::Json(
        json!({"ids": "{{ config.ids }}", "state": "{{ state }}", "n": 5}),
    ));
    let request = rendered(&fixture, &chain(&[]), &PageCursor::First).unwrap();
    let body: Value = serde_json::from_slice(request.body.as_deref().unwrap()).unwrap();
    assert_eq!(body, json!({"ids": [1, 2], "state": "open", "n": 5}));
}

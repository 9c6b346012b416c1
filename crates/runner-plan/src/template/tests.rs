use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A scope as a run has it.
struct Fixture {
    parameters: BTreeMap<String, String>,
    row: BTreeMap<String, String>,
    config: runner_spec::model::Settings,
}

struct Vault;

impl Scope for Vault {
    fn lookup(&self, name: &str) -> Option<ScopeValue> {
        let name = name
            .strip_prefix("secrets.")
            .or_else(|| name.strip_prefix("secret."))
            .unwrap_or(name);
        let value = match name {
            "api_key" => "k3y/+",
            "api-key" => "dashed",
            _ => return None,
        };
        Some(ScopeValue::Secret(value.to_owned()))
    }

    fn places(&self) -> Vec<String> {
        vec!["the secrets".to_owned()]
    }
}

impl Fixture {
    fn new() -> Self {
        let texts = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let config = json!({
            "api": {"version": "v2", "hosts": ["a", "b"]}, "page_size": 50, "ratio": 0.5, "empty": null,
            "ids": [1, 2], "fast": true, "big": u64::MAX
        });
        Self {
            parameters: texts(&[
                ("day", "2024-03-10T23:30:00-05:00"),
                ("n", "7"),
                ("ticker", "PARAM"),
            ]),
            row: texts(&[
                ("ticker", "ROW"),
                ("repo", "a b/ü"),
                ("up", ".."),
                ("unix", "1710000000"),
            ]),
            config: config.as_object().cloned().unwrap_or_default(),
        }
    }

    fn check<T>(&self, with: impl FnOnce(&dyn Scope) -> T) -> T {
        let parameters = NamedTexts {
            place: "the run's parameters",
            values: &self.parameters,
        };
        let row = NamedTexts {
            place: "the parent's row",
            values: &self.row,
        };
        let config = ConfigScope(&self.config);
        let run = RunScope {
            job_id: "job-1".to_owned(),
            started_at: "2024-05-01T00:00:00Z".to_owned(),
            tenant_id: "acme".to_owned(),
        };
        with(&Layers(vec![&parameters, &row, &Vault, &config, &run]))
    }

    fn text(&self, template: &str) -> Result<String, String> {
        let compiled = Template::new(template)
            .compile()
            .map_err(|error| error.to_string())?;
        self.check(|scope| compiled.render(scope))
            .map(|rendered| rendered.text)
            .map_err(|error| error.to_string())
    }

    fn url(&self, template: &str) -> Result<String, String> {
        let compiled = Template::new(template)
            .compile()
            .map_err(|error| error.to_string())?;
        self.check(|scope| compiled.render_url(scope))
            .map(|rendered| rendered.text)
            .map_err(|error| error.to_string())
    }

    fn json(&self, template: &serde_json::Value) -> Result<serde_json::Value, String> {
        let compiled = JsonTemplate::compile(template).map_err(|error| error.to_string())?;
        self.check(|scope| compiled.render(scope))
            .map(|rendered| rendered.value)
            .map_err(|error| error.to_string())
    }
}

#[test]
fn texts_render_as_in_jinja() {
    let fixture = Fixture::new();
    for (template, expected) in [
        ("plain { text } }}", "plain { text } }}"),
        ("no {# comment #}{{ n }}", "no 7"),
        ("{{ ticker }}", "PARAM"),
        ("{{ config.api.version }}/{{config.page_size}}", "v2/50"),
        (
            "{{ config.api.hosts[1] }} {{ config.api['version'] }}",
            "b v2",
        ),
        (
            "{{ config.empty }}|{{ config.ids }}|{{ config.fast }}|{{ config.big }}",
            "|[1,2]|true|18446744073709551615",
        ),
        ("{{ config.ids | join(',') }}", "1,2"),
        (
            "{{ config.api | tojson }}",
            r#"{"hosts":["a","b"],"version":"v2"}"#,
        ),
        (
            "{{ secrets.api_key }} {{ secret.api_key }} {{ api_key }} {{ secrets['api-key'] }}",
            "k3y/+ k3y/+ k3y/+ dashed",
        ),
        (
            "{{ run.id }} {{ run.started_at }} {{ tenant_id }}",
            "job-1 2024-05-01T00:00:00Z acme",
        ),
    ] {
        assert_eq!(
            fixture.text(template).as_deref(),
            Ok(expected),
            "{template}"
        );
    }
}

#[test]
fn filters_work_as_in_jinja() {
    let fixture = Fixture::new();
    for (template, expected) in [
        (
            "{{ ticker | lower }} {{ repo | upper }} {{ repo | urlencode }}",
            "param A B/Ü a%20b/%C3%BC",
        ),
        (
            "{{ nowhere | default('x') }}{% if nowhere is defined %}{{ nowhere }}{% endif %}",
            "x",
        ),
        (
            "{{ n | int + 1 }} {{ 2.6 | round }} {{ 'a-b' | replace('-', '_') }}",
            "8 3.0 a_b",
        ),
        (
            "{{ day | date }} {{ day | date_format('%d.%m.%Y %H:%M') }}",
            "2024-03-11 11.03.2024 04:30",
        ),
        (
            "{{ day | date_format('%d.%m.%Y %H:%M', tz='America/New_York') }}",
            "11.03.2024 00:30",
        ),
        (
            "{{ unix | iso }} {{ day | epoch }} {{ day | epoch_ms }}",
            "2024-03-09T16:00:00Z 1710131400 1710131400000",
        ),
        (
            "{{ '2024-02-28' | add_days(2) }} {{ unix | add_days(-1) }}",
            "2024-03-01 2024-03-08T16:00:00Z",
        ),
        (
            "{{ (n ~ ':' ~ n) | b64encode }} {{ 'Nzo3' | b64decode }}",
            "Nzo3 7:7",
        ),
        (
            "{{ 'abc' | sha256 }}",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            "{% for id in config.ids %}{{ id }};{% endfor %}\n",
            "1;2;\n",
        ),
    ] {
        assert_eq!(
            fixture.text(template).as_deref(),
            Ok(expected),
            "{template}"
        );
    }
}

#[test]
fn errors_say_what_and_where_and_no_value() {
    let fixture = Fixture::new();
    let messages: Vec<String> = [
        "{{ tickr }}",
        "{{ config.api.vresion }}",
        "{{ secrets }}",
        "{{ ticker",
        "{{ ticker | lowr }}",
        "{{ ticker | int }}",
        "{{ api_key | int }}",
        "{{ ticker | date }}",
        "{{ day | date_format('%Q') }}",
        "{{ day | date_format('%Y', tz='Mars/Base') }}",
        "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}",
    ]
    .into_iter()
    .map(|template| fixture.text(template).expect_err(template))
    .collect();
    insta::assert_snapshot!(messages.join("\n"), @r"
    nothing is known under the name `tickr`; looked in the run's parameters, the parent's row, the secrets, `config`, `run`
    nothing is known under the name `config.api.vresion`; looked in the run's parameters, the parent's row, the secrets, `config`, `run`
    `secrets` is used as a whole; name one of its entries, as in `secrets.NAME`
    the template is not well formed: unexpected end of input, expected end of variable block
    failed to render `{{ ticker | lowr }}`: unknown filter: filter lowr is unknown
    failed to render `{{ ticker | int }}`: invalid operation: invalid float literal
    failed to render `{{ api_key | int }}`: invalid operation
    failed to render `{{ ticker | date }}`: invalid operation: the value is not a date or a time
    failed to render `{{ day | date_format('%Q') }}`: invalid operation: `%Q` is not a date format
    failed to render `{{ day | date_format('%Y', tz='Mars/Base') }}`: invalid operation: `Mars/Base` is not a time zone
    failed to render `{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}`: engine ran out of fuel
    ");
}

#[test]
fn values_in_urls_are_encoded_and_the_template_is_not() {
    let fixture = Fixture::new();
    for (template, expected) in [
        (
            "https://h/{{ repo }}/x y?q={{ repo }}&k={{ api_key }}",
            "https://h/a%20b%2F%C3%BC/x y?q=a%20b%2F%C3%BC&k=k3y%2F%2B",
        ),
        (
            "https://{{ config.api.version }}.h:{{ n }}/{{ n }}",
            "https://v2.h:7/7",
        ),
        (
            "{{ 'https://h/api' }}/{{ repo }}",
            "https://h/api/a%20b%2F%C3%BC",
        ),
        ("https://h/{{ repo | safe }}", "https://h/a b/ü"),
        (
            "https://h/{% if n %}{{ repo }}{% endif %}",
            "https://h/a%20b%2F%C3%BC",
        ),
        ("https://h/v{{ up }}", "https://h/v.."),
    ] {
        assert_eq!(fixture.url(template).as_deref(), Ok(expected), "{template}");
    }
    for template in [
        "https://h/{{ up }}/x",
        "https://h/{{ up }}",
        "https://h/{{ up }}?x",
    ] {
        assert!(
            fixture
                .url(template)
                .is_err_and(|error| error.contains("`..`")),
            "{template}"
        );
    }
}

#[test]
fn an_expression_alone_keeps_its_type_in_json() {
    let body = json!({
        "size": "{{ config.page_size }}", "text": "{{ n }}", "number": "{{ n | int }}", "mixed": "n={{ n }}",
        "ids": "{{ config.ids }}", "flag": "{{ config.fast }}", "none": "{{ config.empty }}", "constant": 5,
        "big": "{{ config.big }}", "ratio": "{{- config.ratio -}}",
        "list": ["{{ ticker }}", {"deep": "{{ config.api }}"}], "left": "{{ nowhere | default('d') }}"
    });
    let expected = json!({
        "size": 50, "text": "7", "number": 7, "mixed": "n=7", "ids": [1, 2], "flag": true, "none": null, "constant": 5,
        "big": u64::MAX, "ratio": 0.5,
        "list": ["PARAM", {"deep": {"version": "v2", "hosts": ["a", "b"]}}], "left": "d"
    });
    assert_eq!(Fixture::new().json(&body), Ok(expected));
}

#[test]
fn what_a_secret_went_into_is_known_and_not_printed() {
    let rendered = Fixture::new()
        .check(|scope| {
            Template::new("Bearer {{ secrets.api_key }}")
                .compile()
                .map(|template| template.render(scope))
        })
        .expect("compiles")
        .expect("renders");
    assert_eq!(rendered.secrets, ["secrets.api_key"]);
    assert!(!format!("{rendered:?}").contains("k3y"));
    let json = Fixture::new()
        .check(|scope| {
            JsonTemplate::compile(&json!(["{{ api_key }}"])).map(|template| template.render(scope))
        })
        .expect("compiles")
        .expect("renders");
    assert_eq!(json.secrets, ["api_key"]);
    assert!(!format!("{json:?}").contains("k3y"));
}

#[test]
fn variables_are_listed_with_what_is_optional() {
    let names = |template: &str| -> Vec<String> {
        let variables = Template::new(template).variables().expect(template);
        variables
            .into_iter()
            .map(|variable| variable.name + if variable.is_optional { "?" } else { "" })
            .collect()
    };
    assert_eq!(
        names(
            "{{ b }}{{ a | upper }}{{ c | default(1) }}{% if d is not defined %}{% endif %}{{ config.x.y }}{{ range(3) }}"
        ),
        ["a", "b", "c?", "config.x.y", "d?"]
    );
    assert_eq!(
        names("{% for i in ids %}{{ i }}{{ secrets['a-b'] }}{% endfor %}"),
        ["ids", "secrets.a-b"]
    );
    assert!(names("constant").is_empty());
}

#[test]
fn every_filter_that_is_named_exists_and_none_is_forgotten() {
    assert!(FILTERS.is_sorted());
    for filter in FILTERS {
        let error = Fixture::new()
            .text(&format!("{{{{ 'x' | {filter} }}}}"))
            .err()
            .unwrap_or_default();
        assert!(!error.contains("unknown filter"), "{filter}: {error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in ".{0,40}", braces in "[{}%# a-z.|'\"\\[\\]()]{0,40}") {
        for template in [text.as_str(), braces.as_str()] {
            let _ = Fixture::new().text(template);
            let _ = Fixture::new().url(template);
            let _ = Fixture::new().json(&json!(template));
        }
    }

    #[test]
    fn a_literal_renders_to_itself(text in "[{}%# a-z\"\\\\\n']{0,30}") {
        prop_assert_eq!(Fixture::new().text(&Template::literal(&text).0), Ok(text));
    }

    #[test]
    fn an_encoded_value_decodes_to_itself(value in "\\PC{1,20}") {
        prop_assume!(value != "." && value != "..");
        let row = BTreeMap::from([("x".to_owned(), value.clone())]);
        let compiled = Template::new("https://h/{{ x }}").compile().expect("compiles");
        let url = compiled.render_url(&NamedTexts { place: "", values: &row }).expect("renders").text;
        let parsed = url::Url::parse(&url).expect("is a URL");
        let segment = parsed.path_segments().and_then(|mut segments| segments.next()).expect("has a segment").to_owned();
        prop_assert_eq!(percent_decoded(&segment), value);
    }
}

fn percent_decoded(text: &str) -> String {
    let pairs = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pairs.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

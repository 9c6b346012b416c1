//! The JSON Schema is one, accepts what the reader accepts, and refuses what it refuses.

use runner_spec::{Options, Source, json_schema, load, read_value};

fn as_json(text: &str) -> serde_json::Value {
    read_value(&Source::new("document", text)).expect("a document that can be read")
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&json_schema()).expect("a schema")
}

const GOOD: [(&str, &str); 6] = [
    ("base.yaml", include_str!("documents/base.yaml")),
    ("small.yaml", include_str!("documents/small.yaml")),
    ("everything.yaml", include_str!("documents/everything.yaml")),
    ("camel-case.yaml", include_str!("documents/camel-case.yaml")),
    ("feed.json", include_str!("documents/feed.json")),
    (
        "unquoted-version.yaml",
        include_str!("documents/unquoted-version.yaml"),
    ),
];

#[test]
fn it_is_a_schema() {
    let schema = json_schema();
    assert!(jsonschema::meta::is_valid(&schema));
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
}

#[test]
fn it_accepts_every_good_document() {
    let validator = validator();
    for (name, text) in GOOD {
        let loaded = load(&Source::new(name, text), &[], &Options { strict: true });
        assert_eq!(loaded.diagnostics, [], "{name}");
        let document = as_json(text);
        let errors: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}

/// Each change is refused by both, or accepted by both.
#[test]
fn it_agrees_with_the_reader() {
    let validator = validator();
    let changes: [(&str, serde_json::Value, bool); 44] = [
        ("/name", serde_json::json!("Prices"), false),
        ("/name", serde_json::Value::Null, false),
        ("/version", serde_json::json!(1.1), true),
        ("/version", serde_json::json!("2.0"), false),
        ("/version", serde_json::json!("1.7"), true),
        ("/created_at", serde_json::Value::Null, true),
        ("/runtime", serde_json::json!("embedded"), true),
        ("/runtime", serde_json::json!("duckdb"), false),
        ("/compat_mode", serde_json::json!("backward"), true),
        ("/compatMode", serde_json::json!("FULL"), true),
        ("/nmae", serde_json::json!("x"), false),
        ("/x-anchors", serde_json::json!({"a": 1}), true),
        (
            "/global_config/timeout_seconds",
            serde_json::json!(0),
            false,
        ),
        (
            "/global_config/timeout_seconds",
            serde_json::json!("30"),
            true,
        ),
        (
            "/global_config/timeout_seconds",
            serde_json::json!("half"),
            false,
        ),
        (
            "/global_config/secrets/market_key",
            serde_json::json!("vault://market/api"),
            false,
        ),
        ("/provider/parallelism", serde_json::json!(0), false),
        (
            "/provider/parallelism",
            serde_json::json!("{{ config.workers }}"),
            true,
        ),
        ("/provider/parallelism", serde_json::json!(2.0), true),
        ("/provider/parallelism", serde_json::json!(2.5), false),
        (
            "/provider/config/workers",
            serde_json::json!({"any": "thing"}),
            true,
        ),
        (
            "/provider/config/load_columns",
            serde_json::json!("yes"),
            false,
        ),
        (
            "/provider/slos",
            serde_json::json!({"accuracy_threshold": 99}),
            false,
        ),
        (
            "/provider/slos",
            serde_json::json!({"accuracy_threshold": "0.9"}),
            true,
        ),
        (
            "/provider/slos",
            serde_json::json!({"block_on_quality_drop": "no"}),
            false,
        ),
        ("/provider/sinks", serde_json::json!([]), false),
        ("/provider/sinks/0/type", serde_json::json!("oracle"), false),
        (
            "/provider/sinks/0/config",
            serde_json::json!({"compression": "ZSTD"}),
            true,
        ),
        (
            "/provider/sinks/0/config",
            serde_json::json!({"compression": "rar"}),
            false,
        ),
        (
            "/provider/sinks/0/primary_key",
            serde_json::json!("id"),
            true,
        ),
        (
            "/provider/sinks/0/primary_key",
            serde_json::json!(["id", 5]),
            false,
        ),
        (
            "/provider/sinks/0/partition_by",
            serde_json::json!({"day": "x"}),
            false,
        ),
        (
            "/provider/endpoints/0/auth_config",
            serde_json::json!({"client_certificate": {"certificate": "c.pem"}}),
            false,
        ),
        (
            "/provider/endpoints/0/query_params",
            serde_json::json!({"limit": 5, "active": true}),
            true,
        ),
        (
            "/provider/endpoints/0/query_params",
            serde_json::json!({"limit": [5]}),
            false,
        ),
        (
            "/provider/endpoints/0/for_each",
            serde_json::json!({"t": [1, "b"]}),
            true,
        ),
        (
            "/provider/endpoints/0/for_each",
            serde_json::json!({"t": {"from": 1, "to": 3}}),
            true,
        ),
        (
            "/provider/endpoints/0/for_each",
            serde_json::json!("AAPL"),
            false,
        ),
        (
            "/provider/endpoints/0/for_each",
            serde_json::json!({"endpoint": "rows"}),
            false,
        ),
        (
            "/provider/endpoints/0/body_template",
            serde_json::json!(5),
            false,
        ),
        (
            "/provider/endpoints/0/incremental",
            serde_json::json!({"cursor_field": "u", "settle": "5 minutes"}),
            false,
        ),
        (
            "/provider/endpoints/0/incremental",
            serde_json::json!({"cursor_field": "u", "settle": 0}),
            true,
        ),
        (
            "/provider/endpoints/0/validation_rules",
            serde_json::json!({"numeric_ranges": {"p": [0, null]}}),
            true,
        ),
        (
            "/provider/endpoints/0/validation_rules",
            serde_json::json!({"numeric_ranges": {"p": [0]}}),
            false,
        ),
    ];
    for (pointer, value, is_good) in changes {
        let mut document = as_json(include_str!("documents/small.yaml"));
        document["provider"]["config"]["workers"] = serde_json::json!(4);
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        document.pointer_mut(parent).expect("a parent")[key] = value.clone();
        let text = serde_json::to_string_pretty(&document).expect("JSON");
        let loaded = load(
            &Source::new("changed.json", &text),
            &[],
            &Options { strict: true },
        );
        assert_eq!(
            loaded.spec.is_some(),
            is_good,
            "the reader on {pointer} = {value}: {:?}",
            loaded.diagnostics
        );
        assert_eq!(
            validator.is_valid(&document),
            is_good,
            "the schema on {pointer} = {value}"
        );
    }
}

//! The JSON Schema is one, accepts what the reader accepts, and refuses what it refuses.

use runner_spec::{Options, Source, json_schema, load, read_value};

fn as_json(text: &str) -> serde_json::Value {
    read_value(&Source::new("document", text)).unwrap_or_else(|findings| panic!("{findings:?}"))
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&json_schema()).unwrap_or_else(|error| panic!("{error}"))
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
    let changes = include_str!("documents/changes.txt")
        .lines()
        .filter(|line| !line.starts_with('#'));
    for change in changes {
        let mut words = change.split_whitespace();
        let (verdict, pointer) = (words.next(), words.next().expect("a pointer"));
        let (_, value) = change.split_once(pointer).expect("a value");
        let value: serde_json::Value = serde_json::from_str(value).expect(change);
        let is_good = verdict == Some("good");
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

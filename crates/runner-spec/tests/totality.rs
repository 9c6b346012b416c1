//! `load` is total: whatever the bytes, it answers, and what it answers can be drawn and serialised.

use proptest::prelude::*;
use runner_spec::{Options, RenderOptions, Source, has_errors, load, render};

const GOOD: [&str; 4] = [
    include_str!("documents/base.yaml"),
    include_str!("documents/everything.yaml"),
    include_str!("documents/camel-case.yaml"),
    include_str!("documents/feed.json"),
];

/// Loads, draws and serialises; checks what holds of every answer.
fn exercise(name: &str, text: &str, overlays: &[Source]) -> Result<(), TestCaseError> {
    let source = Source::new(name, text);
    let loaded = load(&source, overlays, &Options::default());
    prop_assert_eq!(loaded.spec.is_none(), has_errors(&loaded.diagnostics));
    for diagnostic in &loaded.diagnostics {
        let json = serde_json::to_string(diagnostic)
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        let back: runner_spec::Diagnostic =
            serde_json::from_str(&json).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(back.code, diagnostic.code);
        let Some(location) = &diagnostic.location else {
            return Err(TestCaseError::fail(format!("{diagnostic} has no place")));
        };
        prop_assert!(location.line >= 1 && location.column >= 1);
        prop_assert!(location.bytes.start <= location.bytes.end);
    }
    let drawn = render(
        &loaded.diagnostics,
        &loaded.sources,
        RenderOptions {
            width: 80,
            colour: true,
        },
    );
    prop_assert_eq!(drawn.is_empty(), loaded.diagnostics.is_empty());
    Ok(())
}

/// Text made of what YAML, JSON and documents are made of.
fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        prop::sample::select(vec![
            "a",
            "name",
            "provider",
            "endpoints",
            "sinks",
            ": ",
            ":",
            "- ",
            "\n",
            "\n  ",
            "\n    ",
            "\r\n",
            "\t",
            "{",
            "}",
            "[",
            "]",
            ",",
            "\"",
            "'",
            "|",
            ">",
            "|-\n",
            "&a ",
            "*a",
            "<<",
            "!!str ",
            "!",
            "#",
            "---\n",
            "...\n",
            "%YAML 1.2\n",
            "? ",
            "{{ x }}",
            "{{",
            "}}",
            "{% if %}",
            "\\u",
            "\\ud83d",
            "\\",
            "ü",
            "😀",
            "\u{feff}",
            "\u{85}",
            "\u{2028}",
            "null",
            "true",
            "1.5",
            "1e999",
            "vault://a#b",
            "$.a[*]",
            "x-a",
        ])
        .prop_map(str::to_owned),
        ".{0,3}",
    ];
    prop::collection::vec(fragment, 0..60).prop_map(|fragments| fragments.concat())
}

/// A value as YAML in the flow style, of any type and not too deep.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        ".{0,12}".prop_map(serde_json::Value::from),
        prop::sample::select(vec![
            "{{ config.a }}",
            "{{ x",
            "vault://a#b",
            "http://u:p@h/",
            "* * * * *",
            "$.a",
            "2024-01-01",
            "5m",
            "sql",
            "parquet",
            "none",
            "cursor",
        ])
        .prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Every place of a value, as JSON pointers.
fn pointers(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        serde_json::Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| pointers(item, &format!("{at}/{index}"), found));
        }
        serde_json::Value::Object(entries) => entries.iter().for_each(|(key, item)| {
            pointers(
                item,
                &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")),
                found,
            );
        }),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), json in any::<bool>()) {
        let name = if json { "a.json" } else { "a.yaml" };
        if let Ok(source) = Source::from_bytes(name, &bytes) {
            exercise(&source.name, &source.text, &[])?;
        }
    }

    #[test]
    fn any_text(text in ".{0,200}", json in any::<bool>()) {
        exercise(if json { "a.json" } else { "a.yaml" }, &text, &[])?;
    }

    #[test]
    fn any_fragments(text in fragments(), json in any::<bool>()) {
        exercise(if json { "a.json" } else { "a.yaml" }, &text, &[])?;
    }

    #[test]
    fn any_cut_and_insertion(document in 0..4usize, at in any::<prop::sample::Index>(), length in 0..40usize, text in fragments()) {
        let good = GOOD[document];
        let boundary = |offset: usize| (0..=offset.min(good.len())).rev().find(|offset| good.is_char_boundary(*offset)).unwrap_or(0);
        let start = boundary(at.index(good.len()));
        let end = boundary(start + length).max(start);
        let changed = [&good[..start], &text, &good[end..]].concat();
        exercise("a.yaml", &changed, &[])?;
    }

    #[test]
    fn any_value_anywhere(document in 0..4usize, place in any::<prop::sample::Index>(), value in value(), overlay in value()) {
        let source = Source::new("good", GOOD[document]);
        let mut json = runner_spec::read_value(&source).map_err(|found| TestCaseError::fail(format!("{found:?}")))?;
        let mut found = Vec::new();
        pointers(&json, "", &mut found);
        if let Some(target) = json.pointer_mut(&found[place.index(found.len())]) {
            *target = value;
        }
        let overlay = Source::new("overlay.json", &overlay.to_string());
        exercise("a.json", &json.to_string(), &[])?;
        exercise("a.json", &json.to_string(), &[overlay])?;
    }
}

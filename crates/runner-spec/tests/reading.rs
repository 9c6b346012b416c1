//! Texts that can't be read, or not as they stand: what is said, and where.

use runner_spec::{Code, Options, Source, load, read_value};

/// The findings of reading alone, as `CODE line:column`.
fn findings(name: &str, text: &str) -> Vec<String> {
    let loaded = load(&Source::new(name, text), &[], &Options::default());
    let reading = loaded
        .diagnostics
        .iter()
        .filter(|found| found.code.phase() == "reading");
    reading
        .map(|found| {
            let (line, column) = found
                .location
                .as_ref()
                .map_or((0, 0), |location| (location.line, location.column));
            format!("{:?} {line}:{column}", found.code)
        })
        .collect()
}

#[test]
fn yaml_that_is_wrong_says_where_and_why() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        ("", "EmptyDocument 1:1"),
        ("# only a comment\n", "EmptyDocument 1:1"),
        ("---\n...\n", ""),
        ("a:\n\tb: 1\n", "TabIndentation 2:1"),
        ("a:\n  b: 1\n\tc: 2\n", "TabIndentation 3:1"),
        ("a: \"open\nb: 1\n", "UnclosedQuote 1:4"),
        ("a: 'it's'\n", "YamlSyntax 1:8"),
        ("a: [1, 2\nb: 1\n", "UnclosedQuote 2:2"),
        ("a: {b: 1\n", "UnclosedQuote 2:1"),
        ("a:\n  b: 1\n c: 2\n", "BadIndentation 3:2"),
        ("a: 1\n  b: 2\n", "BadIndentation 2:4"),
        ("a: b: c\n", "YamlSyntax 1:5"),
        ("a 1\nb: 2\n", "YamlSyntax 1:1"),
        ("a: 1\nb\n", "YamlSyntax 3:1"),
        ("a: @home\n", "YamlSyntax 1:4"),
        ("a: `b`\n", "YamlSyntax 1:4"),
        ("a: \"\\d\"\n", "YamlSyntax 1:4"),
        ("a: *nothing\n", "UnknownAlias 1:4"),
        ("a: &a [*a]\n", "AliasLoop 1:8"),
        ("a: 1\na: 2\n", "DuplicateKey 2:1"),
        ("a: {b: 1, c: 2, b: 3}\n", "DuplicateKey 1:17"),
        ("a: 1\n---\nb: 2\n", "SeveralDocuments 2:1"),
        ("a: !!str 5\n", "TagRefused 1:4"),
        ("a: !custom {b: 1}\n", "TagRefused 1:4"),
        ("? [a]\n: 1\n", "KeyNotScalar 1:3"),
        ("a: {{ b }}\n", "KeyNotScalar 1:5"),
        ("a: .inf\n", "NumberOutOfRange 1:4"),
        ("a: 99999999999999999999\n", "NumberOutOfRange 1:4"),
        ("a: &a text\nb:\n  <<: *a\n", "MergeKey 1:7"),
        ("a: \u{7}\n", "BinaryDocument 1:4"),
        ("ä: ö\nü: \"\n", "UnclosedQuote 2:4"),
        ("a:\r\n  b: \"x\r\n", "UnclosedQuote 2:6"),
    ] {
        let found = findings("feed.yaml", text).join(" ");
        if found != expected {
            wrong.push(format!("{text:?}: {found}, and not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn json_that_is_wrong_says_where_and_why() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        ("", "EmptyDocument 1:1"),
        ("{", "UnclosedQuote 1:1"),
        ("{\"a\": [1, 2}", "JsonSyntax 1:12"),
        ("{\"a\": 1,}", "JsonSyntax 1:9"),
        ("[1,]", "JsonSyntax 1:4"),
        ("{\"a\": 1 \"b\": 2}", "JsonSyntax 1:9"),
        ("{a: 1}", "JsonSyntax 1:2"),
        ("{'a': 1}", "JsonSyntax 1:2"),
        ("{\"a\": 'x'}", "JsonSyntax 1:7"),
        ("{\"a\": 01}", "JsonSyntax 1:7"),
        ("{\"a\": +1}", "JsonSyntax 1:7"),
        ("{\"a\": .5}", "JsonSyntax 1:7"),
        ("{\"a\": 1.}", "JsonSyntax 1:7"),
        ("{\"a\": True}", "JsonSyntax 1:7"),
        ("{\"a\": NaN}", "JsonSyntax 1:7"),
        ("{\"a\": yes}", "JsonSyntax 1:7"),
        ("{\"a\" 1}", "JsonSyntax 1:6"),
        ("{\"a\": }", "JsonSyntax 1:7"),
        ("{\"a\": 1} x", "JsonSyntax 1:10"),
        ("{\"a\": 1} {}", "JsonSyntax 1:10"),
        ("// comment\n{}", "JsonSyntax 1:1"),
        ("{\"a\": \"x\ny\"}", "UnclosedQuote 1:7"),
        ("{\"a\": \"x", "UnclosedQuote 1:7"),
        ("{\"a\": \"\t\"}", "JsonSyntax 1:8"),
        ("{\"a\": \"\\x\"}", "JsonSyntax 1:8"),
        ("{\"a\": \"\\ud800\"}", "JsonSyntax 1:8"),
        ("{\"a\": \"\\udc00\\ud800\"}", "JsonSyntax 1:8"),
        ("{\"a\": \"\\u12g4\"}", "JsonSyntax 1:8"),
        ("{\"a\": 1, \"a\": 2}", "DuplicateKey 1:10"),
        ("{\"a\": 1e999}", "NumberOutOfRange 1:7"),
        ("{\"a\": 99999999999999999999}", "NumberOutOfRange 1:7"),
        ("null", ""),
    ] {
        let found = findings("feed.json", text).join(" ");
        if found != expected {
            wrong.push(format!("{text:?}: {found}, and not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn braces_are_json_or_a_flow_mapping() {
    assert_eq!(
        findings("feed.yaml", "{name: a, created_by: b}"),
        Vec::<String>::new()
    );
    assert_eq!(
        findings("feed.yaml", "{\"name\": \"\\ud83d\\ude00\"}"),
        Vec::<String>::new()
    );
    assert_eq!(
        findings("feed", "{\"name\": \"a\" \"b\": 1}"),
        ["JsonSyntax 1:14"]
    );
    assert_eq!(
        findings("feed.yaml", "{name: a, b: [1}"),
        ["UnclosedQuote 1:16"]
    );
}

#[test]
fn json_is_read_to_the_letter() {
    let text = "{\"t\":\t\"\\ud83d\\ude00\\u00e9\\/\\b\\f\\n\\r\\t\\\"\\\\\",\r\n\"n\": [0, -0, 1.5e-3, 1E2, 18446744073709551615, -9223372036854775808], \"<<\": 1, \"y\": \"yes\", \"\": null}";
    let expected: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let found = read_value(&Source::new("a.json", text)).expect("a value");
    assert_eq!(found["t"], expected["t"]);
    assert_eq!(found["y"], expected["y"]);
    assert_eq!(found["<<"], expected["<<"]);
    assert_eq!(found[""], expected[""]);
    assert_eq!(found["n"][4], expected["n"][4]);
    assert_eq!(found["n"][2].as_f64(), expected["n"][2].as_f64());
}

#[test]
fn aliases_and_merge_keys_repeat_values() {
    let text = "base: &base {a: 1, b: 2}\nmore: &more {b: 3, c: 4}\none: {<<: *base, b: 5}\ntwo: {<<: [*base, *more]}\nthree: *base\nfour: {\"<<\": 1}\n";
    let found = read_value(&Source::new("a.yaml", text)).expect("a value");
    assert_eq!(found["one"], serde_json::json!({"a": 1, "b": 5}));
    assert_eq!(found["two"], serde_json::json!({"a": 1, "b": 2, "c": 4}));
    assert_eq!(found["three"], found["base"]);
    assert_eq!(found["four"], serde_json::json!({"<<": 1}));
}

#[test]
fn an_alias_bomb_is_refused_before_it_grows() {
    let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..12 {
        let previous = level - 1;
        let aliases = vec![format!("*a{previous}"); 9].join(", ");
        text.push_str(
            &[
                "a",
                &level.to_string(),
                ": &a",
                &level.to_string(),
                " [",
                &aliases,
                "]\n",
            ]
            .concat(),
        );
    }
    assert!(findings("bomb.yaml", &text)[0].starts_with("AliasExpansion"));
    // Deep instead of wide.
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..80 {
        let previous = level - 1;
        text.push_str(
            &[
                "a",
                &level.to_string(),
                ": &a",
                &level.to_string(),
                " [*a",
                &previous.to_string(),
                "]\n",
            ]
            .concat(),
        );
    }
    assert!(findings("deep.yaml", &text)[0].starts_with("TooDeep"));
}

#[test]
fn depth_is_bounded_in_both_formats() {
    for (name, text) in [
        ("a.json", "[".repeat(100_000)),
        ("a.json", "{\"a\":".repeat(100_000)),
        ("a.yaml", "- ".repeat(100_000)),
        ("a.yaml", "? ".repeat(10_000)),
        ("a.yaml", format!("a: {}", "[".repeat(100_000))),
        (
            "a.yaml",
            (0..200).map(|depth| " ".repeat(depth) + "a:\n").collect(),
        ),
    ] {
        let found = findings(name, &text);
        assert!(
            found.len() == 1
                && (found[0].starts_with("TooDeep") || found[0].starts_with("KeyNotScalar")),
            "{:?}: {found:?}",
            &text[..10]
        );
    }
    // The deepest that is allowed.
    let text = format!("{{\"a\": {}1{}}}", "[".repeat(63), "]".repeat(63));
    assert_eq!(findings("a.json", &text), Vec::<String>::new());
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let code = |bytes: &[u8]| Source::from_bytes("feed.yaml", bytes).map_err(|found| found.code);
    assert_eq!(code(b"name: \xff"), Err(Code::NotUtf8));
    assert_eq!(code(b"\xff\xfen\0a\0"), Err(Code::NotUtf8));
    assert_eq!(code(b"\x7fELF\0\0"), Err(Code::BinaryDocument));
    assert_eq!(
        code(&vec![b'a'; (1 << 20) + 1]),
        Err(Code::DocumentTooLarge)
    );
    assert!(code(&vec![b'a'; 1 << 20]).is_ok());
    let source = Source::from_bytes("feed.yaml", b"\xef\xbb\xbfname: a").expect("a text");
    assert_eq!(source.text, "name: a");
    let refused = Source::from_bytes("feed.yaml", b"a: 1\nb: \xc3(").expect_err("not UTF-8");
    assert!(refused.message.contains("line 2"), "{}", refused.message);
}

#[test]
fn what_is_read_beside_documents_repeats_no_values() {
    let text =
        "market/api:\n  key: hunter2-hunter2\n  key: hunter2\n  other: 99999999999999999999\n";
    let found = read_value(&Source::new("secrets.yaml", text)).expect_err("a duplicate key");
    assert_eq!(
        found.iter().map(|found| found.code).collect::<Vec<_>>(),
        [Code::DuplicateKey, Code::NumberOutOfRange]
    );
    let all = serde_json::to_string(&found).expect("JSON");
    assert!(!all.contains("hunter") && !all.contains("9999"), "{all}");
}

#[test]
fn key_that_is_there_twice_is_told_once() {
    let text = include_str!("documents/base.yaml").replacen("name:", "name: first\nname:", 1);
    let loaded = load(&Source::new("spec.yaml", &text), &[], &Options::default());
    assert_eq!(
        loaded
            .diagnostics
            .iter()
            .map(|found| found.code)
            .collect::<Vec<_>>(),
        [Code::DuplicateKey]
    );
}

#[test]
fn what_is_no_object_is_said_to_be_no_document_and_nothing_more() {
    for (text, said) in [
        ("[]\n", "the document takes an object, and this is a list"),
        (
            "some words\n",
            "the document takes an object, and this is the text `some words`",
        ),
        (
            "42\n",
            "the document takes an object, and this is the number `42`",
        ),
    ] {
        let loaded = load(&Source::new("feed.yaml", text), &[], &Options::default());
        let found: Vec<(Code, &str)> = loaded
            .diagnostics
            .iter()
            .map(|found| (found.code, found.message.as_str()))
            .collect();
        assert_eq!(found, [(Code::WrongType, said)], "{text}");
        assert!(loaded.spec.is_none() && loaded.draft.is_none());
    }
}

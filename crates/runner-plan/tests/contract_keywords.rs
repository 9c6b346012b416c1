//! Every keyword of JSON Schema does something at every depth of the contract, or is said to do nothing: nobody may rely on a check
//! that isn't there.

#![expect(
    clippy::unwrap_used,
    reason = "what a test can't read is a broken test"
)]

use std::collections::{BTreeMap, BTreeSet};

use runner_plan::{Environment, FeedSchemas, PlanInputs, PlanOptions, Planned, plan};
use runner_spec::{Options, Source};
use serde_json::{Value, json};

/// A contract with the schema for one property of its rows.
fn at_the_top(schema: &Value) -> Value {
    json!({"type": "object", "properties": {"a": schema}})
}

fn in_an_object(schema: &Value) -> Value {
    let object = json!({"type": "object", "properties": {"a": schema}});
    at_the_top(&object)
}

fn in_items(schema: &Value) -> Value {
    at_the_top(&json!({"type": "array", "items": schema}))
}

fn in_items_of_objects(schema: &Value) -> Value {
    in_items(&json!({"type": "object", "properties": {"a": schema}}))
}

/// What the document leads to, as text, and the field paths of what was said of it.
fn planned(contract: &Value) -> (String, BTreeSet<String>) {
    let document = json!({
        "version": "1.2",
        "name": "shop",
        "created_by": "shop",
        "provider": {
            "name": "shop",
            "display_name": "Shop",
            "description": "Orders of a shop",
            "owner": "shop",
            "provider_type": "rest_api",
            "base_url": "https://shop.example",
            "tenant_id": "acme",
            "schema_contract": contract,
            "endpoints": [{"name": "orders", "path": "/orders"}],
            "sinks": [{"type": "parquet", "table_name": "orders"}],
        },
    });
    let source = Source::from_bytes("shop.json".to_owned(), document.to_string().as_bytes());
    let loaded = runner_spec::load(&source.unwrap(), &[], &Options::default());
    let mut said: BTreeSet<String> = loaded
        .diagnostics
        .iter()
        .map(|found| found.path.to_string())
        .collect();
    let Some(spec) = loaded.spec else {
        return (String::new(), said);
    };
    let Planned {
        plan, diagnostics, ..
    } = plan(&PlanInputs {
        spec: &spec,
        document_hash: "hash",
        environment: &Environment::local(".ingestion-runner"),
        state: &FeedSchemas::default(),
        parameters: &BTreeMap::new(),
        options: &PlanOptions::default(),
    });
    said.extend(diagnostics.iter().map(|found| found.path.to_string()));
    let meaning = plan.map(|plan| {
        let stream = plan.stream("orders").unwrap();
        format!("{:?} {:?}", stream.checks, stream.columns)
    });
    (meaning.unwrap_or_default(), said)
}

fn of_single_values() -> Vec<(&'static str, Value, Value)> {
    let typed = |kind: &str| json!({"type": kind});
    let open = || json!({});
    vec![
        ("type", open(), json!("integer")),
        ("format", typed("string"), json!("email")),
        ("format", typed("string"), json!("date")),
        ("format", typed("string"), json!("iri")),
        ("format", typed("integer"), json!("email")),
        ("format", open(), json!("date")),
        ("format", open(), json!("email")),
        ("enum", typed("string"), json!(["x"])),
        ("enum", typed("array"), json!([["x"]])),
        ("enum", typed("object"), json!([{"x": 1}])),
        ("const", typed("integer"), json!(1)),
        ("const", typed("array"), json!([1])),
        ("minimum", typed("integer"), json!(1)),
        ("minimum", typed("string"), json!(1)),
        ("maximum", typed("number"), json!(1)),
        ("exclusiveMinimum", typed("number"), json!(1)),
        ("exclusiveMaximum", typed("number"), json!(1)),
        ("multipleOf", typed("number"), json!(1)),
        ("multipleOf", typed("number"), json!(0)),
        ("minLength", typed("string"), json!(1)),
        ("maxLength", typed("string"), json!(1)),
        ("pattern", typed("string"), json!("^x$")),
        (
            "pattern",
            json!({"type": "string", "format": "date"}),
            json!("^2"),
        ),
    ]
}

fn of_lists_and_objects() -> Vec<(&'static str, Value, Value)> {
    let typed = |kind: &str| json!({"type": kind});
    vec![
        ("minItems", typed("array"), json!(1)),
        ("maxItems", typed("array"), json!(1)),
        ("uniqueItems", typed("array"), json!(true)),
        ("uniqueItems", typed("array"), json!("yes")),
        ("maxItems", typed("object"), json!(1)),
        ("items", typed("array"), json!({"type": "integer"})),
        ("prefixItems", typed("array"), json!([{"type": "integer"}])),
        ("additionalItems", typed("array"), json!(false)),
        ("unevaluatedItems", typed("array"), json!(false)),
        ("contains", typed("array"), json!({"const": 1})),
        ("minContains", typed("array"), json!(1)),
        ("maxContains", typed("array"), json!(1)),
        (
            "properties",
            typed("object"),
            json!({"b": {"type": "integer"}}),
        ),
        (
            "required",
            json!({"type": "object", "properties": {"b": {"type": "integer"}}}),
            json!(["b"]),
        ),
        (
            "required",
            json!({"type": "object", "properties": {"b": {}}}),
            json!(["b"]),
        ),
        ("additionalProperties", typed("object"), json!(false)),
        (
            "additionalProperties",
            typed("object"),
            json!({"type": "integer"}),
        ),
        (
            "patternProperties",
            typed("object"),
            json!({"^x": {"type": "integer"}}),
        ),
        ("propertyNames", typed("object"), json!({"pattern": "^x"})),
        ("minProperties", typed("object"), json!(1)),
        ("maxProperties", typed("object"), json!(1)),
        ("dependentRequired", typed("object"), json!({"x": ["y"]})),
        (
            "dependentSchemas",
            typed("object"),
            json!({"x": {"required": ["y"]}}),
        ),
        ("dependencies", typed("object"), json!({"x": ["y"]})),
        ("unevaluatedProperties", typed("object"), json!(false)),
    ]
}

fn of_any_value() -> Vec<(&'static str, Value, Value)> {
    let typed = |kind: &str| json!({"type": kind});
    let open = || json!({});
    let some = || json!({"type": "string"});
    vec![
        ("allOf", open(), json!([some()])),
        ("anyOf", open(), json!([some(), {"type": "integer"}])),
        ("oneOf", open(), json!([some(), {"type": "integer"}])),
        ("not", open(), some()),
        ("if", open(), some()),
        ("then", open(), some()),
        ("else", open(), some()),
        ("contentEncoding", typed("string"), json!("base64")),
        ("contentMediaType", typed("string"), json!("text/html")),
        ("$dynamicRef", open(), json!("#x")),
        ("nullable", typed("string"), json!("yes")),
    ]
}

#[test]
fn no_keyword_is_ignored_in_silence() {
    type Depth = fn(&Value) -> Value;
    let depths: [(&str, Depth); 4] = [
        ("a property", at_the_top),
        ("a nested property", in_an_object),
        ("items", in_items),
        ("a property of items", in_items_of_objects),
    ];
    let mut ignored = Vec::new();
    for (depth, place) in depths {
        let keywords = [of_single_values(), of_lists_and_objects(), of_any_value()];
        for (keyword, without, value) in keywords.concat() {
            let mut with = without.clone();
            with[keyword] = value.clone();
            let (before, _) = planned(&place(&without));
            let (after, said) = planned(&place(&with));
            let is_said = said
                .iter()
                .any(|path| path.contains(&format!(".{keyword}")));
            if before == after && !is_said {
                ignored.push(format!("{keyword}: {value} beside {without} of {depth}"));
            }
        }
    }
    assert!(ignored.is_empty(), "{}", ignored.join("\n"));
}

#[test]
fn no_keyword_of_the_rows_is_ignored_in_silence() {
    let contract = at_the_top(&json!({"type": "string"}));
    let cases = [
        ("required", json!(["a"])),
        ("additionalProperties", json!(false)),
        ("additionalProperties", json!({"type": "string"})),
        ("minProperties", json!(2)),
        ("enum", json!([{"a": "x"}])),
        ("allOf", json!([{"required": ["a"]}])),
        ("not", json!({"required": ["a"]})),
        ("$ref", json!("#/$defs/row")),
    ];
    for (keyword, value) in cases {
        let mut with = contract.clone();
        with[keyword] = value.clone();
        let (after, said) = planned(&with);
        let is_said = said.iter().any(|path| path.contains(keyword));
        assert!(
            is_said || after != planned(&contract).0,
            "{keyword}: {value}"
        );
    }
}

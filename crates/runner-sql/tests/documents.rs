//! Mistakes in the queries of whole documents, with and without other mistakes in them.

#![expect(
    clippy::unwrap_used,
    reason = "code of tests: a panic is how it says that something is wrong"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use runner_plan::{Environment, FeedSchemas, PlanInputs, PlanOptions};
use runner_spec::{Options, Source, load};
use runner_sql::analyse_draft;

/// `line:column code`, one a line, of what is said of a document as a whole.
fn said(text: &str) -> String {
    let mut loaded = load(&Source::new("spec.yaml", text), &[], &Options::default());
    let spec = loaded.spec.clone().or(loaded.draft.as_deref().cloned());
    let inputs = PlanInputs {
        spec: &spec.unwrap(),
        document_hash: "",
        environment: &Environment::default(),
        state: &FeedSchemas::default(),
        parameters: &BTreeMap::new(),
        options: &PlanOptions::default(),
    };
    let found = analyse_draft(&inputs, &loaded.diagnostics);
    loaded.extend(found);
    assert_eq!(
        loaded.spec.is_none(),
        loaded
            .diagnostics
            .iter()
            .any(runner_spec::Diagnostic::is_error)
    );
    let mut said = String::new();
    for found in &loaded.diagnostics {
        let place = found.location.as_ref().unwrap();
        writeln!(
            said,
            "{}:{} {} {}",
            place.line, place.column, found.code, found.message
        )
        .unwrap();
    }
    said
}

/// Two streams, the second without a contract's types, and what the transforms and the rest of the document say.
fn document(shops: &str, transforms: &str, rest: &str) -> String {
    format!(
        r#"version: "1.1"
name: sales
created_by: data@example.com
provider:
  name: api
  display_name: API
  owner: data
  provider_type: rest_api
  base_url: https://api.example.com
  tenant_id: acme
  endpoints:
    - {{ name: shops, path: /shops, {shops} }}
    - {{ name: sales, path: /sales, field_mapping: {{ s: shop_id, a: amount }} }}
  transforms:
{transforms}
  sinks:
    - {{ type: parquet, table_name: raw.totals, config: {{ path: /tmp/lake }} }}
{rest}"#
    )
}

const MAPPED: &str = "field_mapping: { id: shop_id, name: name }";

#[test]
fn a_document_whose_queries_are_right_has_nothing_wrong() {
    let query = "    - { name: totals, type: sql, sql_query: \"SELECT name, sum(amount) AS total FROM sales JOIN shops USING (shop_id) GROUP BY name\" }";
    assert_eq!(said(&document(MAPPED, query, "")), "");
}

#[test]
fn mistakes_of_queries_stand_among_the_others_in_the_order_of_the_text() {
    let transforms = r#"    - name: totals
      type: sql
      sql_query: |
        SELECT name, sum(amout) AS total, nvl(name, '') AS n
        FROM sales JOIN shop USING (shop_id) GROUP BY name
    - { name: named, type: sql, sql_query: "SELECT nam FROM shops" }
    - { name: parsed, type: sql, sql_query: "SELECT FROM FROM shops" }
    - { name: empty, type: sql, sql_query: "SELECT 1 AS x" }"#;
    let text = document(
        MAPPED,
        transforms,
        "  parallelism: 0\n  scheduel_cron: \"* * * * *\"\n",
    );
    insta::assert_snapshot!(said(&text), @r"
    18:43 UIS0704 portable SQL has no function `nvl`
    19:25 UIS0702 there is no table `shop`
    20:52 UIS0703 there is no column `nam`
    21:58 UIS0701 the query can't be parsed: Expected an expression, found: FROM
    22:44 UIS0403 the query of `empty` reads no view of this document
    25:16 UIS0312 `parallelism` is 0, and must be at least 1
    26:3 UIS0203 `scheduel_cron` is not known in a provider, and has no effect
    ");
}

/// What a mistake leaves unknown is not held against a query that rests on it.
#[test]
fn a_mistake_elsewhere_makes_no_mistakes_in_queries() {
    let query = "    - { name: totals, type: sql, sql_query: \"SELECT region FROM shops\" }";
    for (shops, expected) in [
        // A column more, that isn't there.
        (MAPPED, vec!["UIS0703"]),
        // The column may be the one that can't be read.
        ("field_mapping: { id: shop_id, r: 5 }", vec!["UIS0201"]),
        // Any column may come from rows that no mapping names.
        ("sample_size: 5", vec![]),
        // A variable that a parameter may bind is a column of the contract.
        (
            "field_mapping: { id: shop_id }, query_params: { r: \"{{ region }}\" }",
            vec![],
        ),
    ] {
        let said = said(&document(shops, query, ""));
        let codes: Vec<&str> = said
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .collect();
        assert_eq!(codes, expected, "{shops}: {said}");
    }
    // A table whose name can't be read.
    let text = document(MAPPED, query, "").replace("name: shops,", "name: [shops],");
    assert!(!said(&text).contains("UIS0702"), "{}", said(&text));
}

#[test]
fn the_dialects_of_engines_are_not_held_to_the_portable_lists() {
    for (kind, is_checked) in [("sql", true), ("spark", false), ("flink", false)] {
        let query = format!(
            "    - {{ name: totals, type: {kind}, sql_query: \"SELECT nvl(name, '') AS n FROM shops\" }}"
        );
        let said = said(&document(MAPPED, &query, ""));
        assert_eq!(said.contains("UIS0704"), is_checked, "{kind}: {said}");
    }
}

#[test]
fn columns_that_only_a_run_decides_are_no_mistake() {
    let query = "    - { name: totals, type: sql, sql_query: \"SELECT amount * 2 AS twice FROM sales WHERE other > 1\" }";
    let text =
        document(MAPPED, query, "").replace(", field_mapping: { s: shop_id, a: amount }", "");
    assert_eq!(said(&text), "");
}

#[test]
fn types_that_the_document_fixes_are_checked() {
    let query = r#"    - { name: totals, type: sql, sql_query: "SELECT count(*) AS label, 'x' || 5 AS u FROM sales" }"#;
    for (properties, is_right) in [
        ("label: { type: integer }", true),
        ("label: { type: boolean }", false),
        // A type that can't be read is none to hold a query against.
        ("label: { type: bool }", true),
    ] {
        let contract = format!(
            "  schema_contract: {{ type: object, properties: {{ {properties} }}, required: [label] }}\n"
        );
        let said = said(&document(MAPPED, query, &contract));
        assert_eq!(!said.contains("UIS0713"), is_right, "{said}");
        assert!(said.contains("UIS0705"), "{said}");
    }
}

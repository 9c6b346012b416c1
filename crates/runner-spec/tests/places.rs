//! Where fields are, as later phases ask for them: by path, and by bytes of a text.

use runner_spec::{Code, Diagnostic, FieldPath, Options, RenderOptions, Source, load, render};

const DOCUMENT: &str = "\
version: \"1.2\"
name: prices
createdBy: me
provider:
  name: market
  owner: me
  providerType: rest_api
  baseUrl: https://api.example.com
  tenantId: acme
  endpoints:
    - name: rows
      path: /rows
    -
      path: /more
      name: more
  transforms:
    - type: sql
      sql_query: |
        SELECT id,
               prise
        FROM rows
  sinks:
    - {type: parquet, table_name: rows}
";

fn path(text: &str) -> FieldPath {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn place(text: &str) -> String {
    let loaded = load(
        &Source::new("feed.yaml", DOCUMENT),
        &[],
        &Options::default(),
    );
    assert!(loaded.spec.is_some(), "{:#?}", loaded.diagnostics);
    let location = loaded
        .sources
        .locate(&path(text))
        .unwrap_or_else(|| panic!("{text} has no place"));
    format!(
        "{}:{}-{}:{}",
        location.line, location.column, location.end_line, location.end_column
    )
}

#[test]
fn a_path_leads_to_its_value_its_key_or_its_nearest_parent() {
    for (text, expected) in [
        ("name", "2:7-2:13"),
        ("created_by", "3:12-3:14"),
        ("createdBy", "3:12-3:14"),
        ("provider.base_url", "8:12-8:35"),
        ("provider", "4:1-4:9"),
        ("provider.endpoints", "10:3-10:12"),
        ("provider.endpoints[0]", "11:7-11:17"),
        ("provider.endpoints[1]", "14:7-14:18"),
        ("provider.endpoints[1].name", "15:13-15:17"),
        ("provider.endpoints[1].headers", "14:7-14:18"),
        ("provider.endpoints[7].headers", "10:3-10:12"),
        ("provider.slos.accuracy_threshold", "4:1-4:9"),
        ("provider.sinks[0]", "23:8-23:21"),
        ("", "1:1-1:15"),
    ] {
        assert_eq!(place(text), expected, "{text}");
    }
}

#[test]
fn bytes_of_a_query_are_found_in_its_block() {
    let loaded = load(
        &Source::new("feed.yaml", DOCUMENT),
        &[],
        &Options::default(),
    );
    let spec = loaded.spec.as_ref().expect("a document");
    let query = spec.provider.transforms[0]
        .sql_query
        .clone()
        .expect("a query");
    let start = query.find("prise").expect("the column");
    let field = path("provider.transforms[0].sql_query");
    let location = loaded
        .sources
        .locate_within(&field, start..start + 5)
        .expect("a place");
    assert_eq!(
        (location.line, location.column, location.end_column),
        (20, 16, 21)
    );

    let diagnostic = Diagnostic::error(
        Code::SqlUnknownColumn,
        field,
        "`rows` has no column `prise`",
    )
    .help("did you mean `price`?")
    .note("columns have the names that `field_mapping` gives them")
    .within(start..start + 5);
    let mut diagnostics = vec![diagnostic];
    loaded.sources.place(&mut diagnostics);
    insta::assert_snapshot!(render(
        &diagnostics,
        &loaded.sources,
        RenderOptions::default()
    ));
    insta::assert_json_snapshot!(diagnostics);
}

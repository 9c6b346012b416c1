//! Rows within documents, and what surrounds them.

use runner_plan::model::{ColumnType as T, DataFormat, RowPath};
use serde_json::json;

use super::{Case, steps};

fn rows(path: &[&str], page: &str) -> Vec<String> {
    let whole = Case::new(DataFormat::Json).at(path);
    let decoded = whole
        .decode(page.as_bytes())
        .unwrap_or_else(|error| panic!("{page}: {error:?}"));
    // However the bytes come, the rows are the same.
    for push in [1, 2, 7] {
        let pieces = whole
            .clone()
            .pushes(push)
            .batches(2)
            .decode(page.as_bytes())
            .expect("the same bytes");
        assert_eq!(pieces.rows, decoded.rows, "{page}");
        assert_eq!(pieces.summary().hash, decoded.summary().hash, "{page}");
        assert_eq!(
            pieces.summary().envelope,
            decoded.summary().envelope,
            "{page}"
        );
        assert_eq!(
            pieces.summary().observed,
            decoded.summary().observed,
            "{page}"
        );
    }
    assert_eq!(decoded.invalid, [], "{page}");
    decoded.rows
}

#[test]
fn rows_are_found_at_their_path() {
    let cases: &[(&[&str], &str, &[&str])] = &[
        (&[], r#"[{"a": 1}, {"a": 2}]"#, &["{a: 1}", "{a: 2}"]),
        (&[], r#"{"a": 1}"#, &["{a: 1}"]),
        (&[], "[]", &[]),
        (&[], " \n[ ] ", &[]),
        (
            &["data"],
            r#"{"x": {"data": [{"a": 9}]}, "data": [{"a": 1}], "y": [1, [2]]}"#,
            &["{a: 1}"],
        ),
        (&["data"], r#"{"data": null}"#, &[]),
        (&["data"], r#"{"data": {"a": 1}}"#, &["{a: 1}"]),
        (
            &["data", "*"],
            r#"{"data": {"k1": {"a": 1}, "k2": {"a": 2}}}"#,
            &["{a: 1}", "{a: 2}"],
        ),
        (
            &["data", "*", "items"],
            r#"{"data": [{"items": [{"a": 1}, {"a": 2}]}, {"items": []}, {"z": 0}, {"items": [{"a": 3}]}]}"#,
            &["{a: 1}", "{a: 2}", "{a: 3}"],
        ),
        (&["data", "*", "items"], r#"{"data": []}"#, &[]),
        (
            &["1", "r"],
            r#"[{"r": [{"a": 9}]}, {"r": [{"a": 1}]}, {"r": [{"a": 8}]}]"#,
            &["{a: 1}"],
        ),
        (&["values"], r#"{"values": [1, 2.5, "x", null]}"#, &[]),
        (&["v"], r#"{"v": [1, 20]}"#, &["{value: 1}", "{value: 20}"]),
        (
            &["v", "*"],
            r#"{"v": [[1, 2], [3]]}"#,
            &["{value: [1,2]}", "{value: [3]}"],
        ),
        (
            &["a b"],
            "\u{feff}{\"a b\": [{\"x\": {\"y\": [true, null]}}]}",
            &["{x: {\"y\":[true,null]}}"],
        ),
        (
            &["q\"uote"],
            r#"{"q\"uote": [{"k\u00e9y": "v"}]}"#,
            &["{kéy: \"v\"}"],
        ),
    ];
    for (path, page, wanted) in cases {
        if path == &["values"] {
            continue;
        }
        assert_eq!(rows(path, page), *wanted, "{page}");
    }
}

#[test]
fn plain_values_are_rows_of_one_column() {
    assert_eq!(
        rows(&["values"], r#"{"values": [1, 2.5, "x", [1]]}"#),
        [
            r"{value: 1}",
            r"{value: 2.5}",
            r#"{value: "x"}"#,
            r"{value: [1]}"
        ]
    );
}

#[test]
fn the_envelope_says_where_the_next_page_is() {
    let page = r#"{"count": 12345678901234567890, "next": "abc\/d", "links": {"next": null, "self": {"deep": {"er": 1}}},
        "results": [{"next": "no"}], "meta": {"next_cursor": 1.10, "pages": [1, 2]}, "@odata.nextLink": "https://x/y", "done": false}"#;
    let mut case = Case::new(DataFormat::Json).at(&["results"]);
    case.options.captures = vec![
        steps(&["meta", "next_cursor"]),
        steps(&["nothing"]),
        steps(&["meta", "pages", "1"]),
        steps(&["meta", "pages"]),
    ];
    for push in [0, 1, 5] {
        let decoded = case
            .clone()
            .pushes(push)
            .decode(page.as_bytes())
            .expect("valid");
        let summary = decoded.summary();
        assert_eq!(
            summary.captured,
            [Some(json!("1.10")), None, None, Some(json!([1, 2]))]
        );
        assert_eq!(summary.envelope["count"], json!("12345678901234567890"));
        assert_eq!(summary.envelope["next"], json!("abc/d"));
        assert_eq!(summary.envelope["links.next"], json!(null));
        assert_eq!(summary.envelope["meta.next_cursor"], json!("1.10"));
        assert_eq!(summary.envelope["@odata.nextLink"], json!("https://x/y"));
        assert_eq!(summary.envelope["links.self.deep.er"], json!(1));
        assert_eq!(summary.envelope["done"], json!(false));
        assert_eq!(summary.envelope.len(), 7);
    }
}

#[test]
fn a_document_that_is_a_row_is_an_envelope_too() {
    let mut case = Case::new(DataFormat::Json);
    case.options.captures = vec![steps(&["errors"]), steps(&["meta", "next"])];
    for push in [0, 1] {
        let decoded = case
            .clone()
            .pushes(push)
            .decode(br#"{"id": 1, "meta": {"next": "n"}}"#)
            .expect("valid");
        assert_eq!(decoded.rows, [r#"{id: 1, meta: {"next":"n"}}"#]);
        assert_eq!(decoded.summary().captured, [None, Some(json!("n"))]);
        assert_eq!(decoded.summary().envelope["meta.next"], json!("n"));
        let decoded = case
            .clone()
            .pushes(push)
            .decode(br#"[{"id": 1, "errors": 5}]"#)
            .expect("valid");
        assert_eq!(decoded.summary().captured, [None, None]);
    }
}

#[test]
fn a_value_within_the_rows_can_be_captured_from_the_whole_document() {
    let mut case = Case::new(DataFormat::Json).at(&["rows"]);
    case.options.captures = vec![
        RowPath::Query("$.rows[-1].id".to_owned()),
        steps(&["rows", "0", "id"]),
    ];
    let decoded = case
        .decode(br#"{"rows": [{"id": 1}, {"id": 7}], "next": "n"}"#)
        .expect("valid");
    assert_eq!(decoded.rows, ["{id: 1}", "{id: 7}"]);
    assert_eq!(decoded.summary().captured, [Some(json!(7)), Some(json!(1))]);
    assert_eq!(decoded.summary().envelope["next"], json!("n"));
}

#[test]
fn queries_find_rows_and_lose_nothing_of_them() {
    let page = br#"{"a": {"items": [{"price": 1.10, "big": 123456789012345678901234567890}, {"price": 20}]}, "b": {"items": [{"price": 3.5}]}}"#;
    for (query, wanted) in [
        (
            "$..items[?@.price < 10]",
            vec![
                "{price: 1.1, big: 123456789012345678901234567890}",
                "{price: 3.5}",
            ],
        ),
        (
            "$..items",
            vec![
                "{price: 1.1, big: 123456789012345678901234567890}",
                "{price: 20}",
                "{price: 3.5}",
            ],
        ),
        ("$.a.items[1:]", vec!["{price: 20}"]),
        ("$.a.items[?@.price > 100]", vec![]),
    ] {
        let mut case = Case::new(DataFormat::Json);
        case.path = RowPath::Query(query.to_owned());
        let decoded = case.decode(page).expect("valid");
        assert_eq!(decoded.rows, wanted, "{query}");
    }
}

#[test]
fn fields_go_where_the_mapping_says() {
    let mut case = Case::new(DataFormat::Json)
        .fixed("x", T::Integer)
        .fixed("y", T::String)
        .fixed("ids", T::List(Box::new(super::field("item", T::Integer))))
        .fixed("first", T::String)
        .fixed("x_text", T::String)
        .fixed("whole", T::Json)
        .fixed("symbol", T::String);
    for (index, path) in [
        (0, steps(&["a", "b"])),
        (1, steps(&["a", "c", "d"])),
        (2, steps(&["items", "*", "id"])),
        (3, RowPath::Query("$.items[?@.id == 2].name".to_owned())),
        (4, steps(&["a", "b"])),
    ] {
        case.schema.columns[index].source = runner_plan::model::ColumnSource::Field(path);
    }
    case.schema.columns[5].source = runner_plan::model::ColumnSource::Row;
    case.schema.columns[6].source = runner_plan::model::ColumnSource::Variable("ticker".to_owned());
    case.options
        .constants
        .insert("symbol".to_owned(), "AAPL".to_owned());
    let row = r#"{"a": {"b": 1, "c": {"d": "e", "z": 1}}, "items": [{"id": 1}, {"id": 2, "name": "two"}], "extra": 0}"#;
    let decoded = case
        .decode(format!("[{row}, {{\"a\": 5}}]").as_bytes())
        .expect("valid");
    assert_eq!(
        decoded.rows,
        [
            r#"{x: 1, y: "e", ids: [1,2], first: "two", x_text: "1", symbol: "AAPL"}"#.to_owned(),
            r#"{ids: [], symbol: "AAPL"}"#.to_owned(),
        ]
    );
    let summary = decoded.summary();
    assert_eq!(summary.fields_dropped, 2);
    let observed = &summary.observed.fields;
    assert_eq!(observed["a"].types, ["integer", "object"]);
    assert_eq!(observed["a.c.d"].types, ["string"]);
    assert_eq!((observed["extra"].present, observed["extra"].nulls), (1, 0));
}

#[test]
fn the_observed_schema_is_the_union_over_all_rows() {
    let decoded = Case::new(DataFormat::Json)
        .decode(br#"[{"userId": 1, "user_id": "a", "n": null}, {"n": 2.5, "o": {"p": 1}}, {"n": 3, "o": {"p": null, "q": []}}]"#)
        .expect("valid");
    assert_eq!(
        decoded.types(),
        "user_id: integer, user_id_2: string, n: number, o: struct<p: integer, q: list<string>>"
    );
    let observed = &decoded.summary().observed;
    let fields: Vec<String> = observed
        .fields
        .iter()
        .map(|(name, field)| {
            format!(
                "{name} {} {} {}",
                field.types.join("|"),
                field.present,
                field.nulls
            )
        })
        .collect();
    assert_eq!(
        fields,
        [
            "n integer|number 2 1",
            "o object 2 0",
            "o.p integer 1 1",
            "o.q array 1 0",
            "userId integer 1 0",
            "user_id string 1 0"
        ]
    );
    assert_eq!(observed.rows, 3);
    assert_eq!(decoded.summary().rows, 3);
}

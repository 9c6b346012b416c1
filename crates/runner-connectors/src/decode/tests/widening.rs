//! Open columns: their types follow from the set of their values, whatever the order and however the rows are cut.

use proptest::prelude::*;
use runner_plan::model::{ColumnType as T, DataFormat};

use super::{Case, column};
use crate::schema::TypeBinding;

fn pages<'a>(rows: &'a [&'a str], size: usize) -> Vec<String> {
    rows.chunks(size)
        .map(|rows| format!("[{}]", rows.join(",")))
        .collect()
}

/// Decodes the values in pages of every size, which has to give the same, and says what it gave.
fn open(values: &[&str]) -> (String, Vec<String>) {
    let rows: Vec<String> = values
        .iter()
        .map(|value| format!("{{\"v\": {value}}}"))
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let mut outcomes = Vec::new();
    for size in 1..=rows.len() {
        let pages = pages(&rows, size);
        let pages: Vec<&[u8]> = pages.iter().map(|page| page.as_bytes()).collect();
        let decoded = Case::new(DataFormat::Json)
            .decode_pages(&pages)
            .expect("valid");
        assert_eq!(decoded.invalid, [], "{values:?}");
        outcomes.push((decoded.types(), decoded.rows));
    }
    outcomes.dedup();
    assert_eq!(outcomes.len(), 1, "{values:?}: {outcomes:#?}");
    let (types, rows) = outcomes.remove(0);
    let values = rows
        .iter()
        .map(|row| {
            row.trim_start_matches("{v: ")
                .trim_end_matches('}')
                .to_owned()
        })
        .collect();
    (types.replacen("v: ", "", 1), values)
}

#[test]
fn a_later_value_widens_the_column_as_if_it_had_come_first() {
    for (values, wanted_type, wanted) in [
        (&["1", "2"][..], "integer", &["1", "2"][..]),
        (&["1", "2.5"], "number", &["1", "2.5"]),
        (
            &["1", "2.0", "\"x\""],
            "string",
            &["\"1\"", "\"2.0\"", "\"x\""],
        ),
        (
            &["1.10", "2.5", "\"x\""],
            "string",
            &["\"1.10\"", "\"2.5\"", "\"x\""],
        ),
        (&["1.5", "\"1.10\""], "string", &["\"1.5\"", "\"1.10\""]),
        (&["1e3", "true"], "string", &["\"1e3\"", "\"true\""]),
        (
            &["9007199254740993", "0.5"],
            "string",
            &["\"9007199254740993\"", "\"0.5\""],
        ),
        (
            &["1", "9007199254740993"],
            "integer",
            &["1", "9007199254740993"],
        ),
        (
            &["1", "9223372036854775808"],
            "decimal(38,0)",
            &["1", "9223372036854775808"],
        ),
        (
            &["1", "123456789012345678901234567890123456789"],
            "string",
            &["\"1\"", "\"123456789012345678901234567890123456789\""],
        ),
        (
            &["9223372036854775808", "\"x\""],
            "string",
            &["\"9223372036854775808\"", "\"x\""],
        ),
        (
            &["0.1", "9223372036854775808"],
            "string",
            &["\"0.1\"", "\"9223372036854775808\""],
        ),
        (&["-0", "1"], "number", &["-0", "1"]),
        (&["1.5", "1e400"], "string", &["\"1.5\"", "\"1e400\""]),
        (&["true", "false"], "boolean", &["true", "false"]),
        (
            &["\"2024-01-01\"", "\"x\""],
            "string",
            &["\"2024-01-01\"", "\"x\""],
        ),
        (&["[1]", "[2.5]"], "list<number>", &["[1]", "[2.5]"]),
        (&["[]", "[1]"], "list<integer>", &["[]", "[1]"]),
        (
            &["[]", "[\"x\"]", "[null]"],
            "list<string>",
            &["[]", "[\"x\"]", "[null]"],
        ),
        (
            &["{}", "{\"a\": {}}", "{\"a\": 1}"],
            "struct<a: json>",
            &["{\"a\":null}", "{\"a\":{}}", "{\"a\":1}"],
        ),
        (&["{}", "0"], "json", &["{", "0"]),
        (
            &["[1]", "[\"a\"]", "[2.0]"],
            "list<string>",
            &["[\"1\"]", "[\"a\"]", "[\"2.0\"]"],
        ),
        (
            &["{\"a\": 1}", "{\"b\": true}"],
            "struct<a: integer, b: boolean>",
            &["{\"a\":1,\"b\":null}", "{\"a\":null,\"b\":true"],
        ),
        (
            &["{\"a\": 1}", "{\"a\": [1]}"],
            "struct<a: json>",
            &["{\"a\":1", "{\"a\":[1]"],
        ),
        (&["1", "[1, 2.0]"], "json", &["1", "[1, 2.0]"]),
        (
            &["\"x\\u0041\"", "{\"a\": 1.10}"],
            "json",
            &["\"xA\"", "{\"a\": 1.10"],
        ),
        (
            &["{\"b\": 1, \"a\": 2.0}", "\"x\""],
            "json",
            &["{\"b\": 1, \"a\": 2.0", "\"x\""],
        ),
        (&["{}", "{}"], "json", &["{", "{"]),
        (&["1", "\"x\"", "[]"], "json", &["1", "\"x\"", "[]"]),
    ] {
        let (found_type, found) = open(values);
        assert_eq!(found_type, wanted_type, "{values:?}");
        let found: Vec<String> = found
            .iter()
            .map(|value| value.trim_end_matches('}').to_owned())
            .collect();
        let wanted: Vec<String> = wanted
            .iter()
            .map(|value| value.trim_end_matches('}').to_owned())
            .collect();
        assert_eq!(found, wanted, "{values:?}");
    }
}

#[test]
fn cells_of_csv_are_what_they_look_like() {
    for (cells, wanted_type, wanted) in [
        (&["1", "2"][..], "integer", &["1", "2"][..]),
        (&["007", "1"], "string", &["\"007\"", "\"1\""]),
        (&["1.10", "2"], "number", &["1.1", "2"]),
        (&["1.10", "n/a"], "string", &["\"1.10\"", "\"n/a\""]),
        (&["True", "FALSE"], "boolean", &["true", "false"]),
        (&["TRUE", "maybe"], "string", &["\"TRUE\"", "\"maybe\""]),
        (
            &["2024-01-31", "2024-02-01"],
            "date",
            &["\"2024-01-31\"", "\"2024-02-01\""],
        ),
        (&["2024-01-31", "1"], "string", &["\"2024-01-31\"", "\"1\""]),
        (
            &["2024-01-31T10:00:00+02:00", "2024-01-31 10:00:00Z"],
            "timestamp",
            &["\"2024-01-31T08:00:00Z\"", "\"2024-01-31T10:00:00Z\""],
        ),
        (
            &["2024-01-31T10:00:00+02:00", "x"],
            "string",
            &["\"2024-01-31T10:00:00+02:00\"", "\"x\""],
        ),
        (
            &["2024-01-31 10:00:00"],
            "string",
            &["\"2024-01-31 10:00:00\""],
        ),
        (&[" 1"], "string", &["\" 1\""]),
    ] {
        for size in 1..=cells.len() {
            let pages: Vec<String> = cells
                .chunks(size)
                .map(|cells| format!("v\n{}\n", cells.join("\n")))
                .collect();
            let pages: Vec<&[u8]> = pages.iter().map(|page| page.as_bytes()).collect();
            let decoded = Case::new(DataFormat::Csv)
                .decode_pages(&pages)
                .expect("valid");
            assert_eq!(decoded.types(), format!("v: {wanted_type}"), "{cells:?}");
            let wanted: Vec<String> = wanted
                .iter()
                .map(|value| format!("{{v: {value}}}"))
                .collect();
            assert_eq!(decoded.rows, wanted, "{cells:?}");
        }
    }
}

#[test]
fn a_stream_starts_over_only_where_what_was_delivered_cannot_follow() {
    let decode = |values: &[&str]| {
        let pages: Vec<String> = values
            .iter()
            .map(|value| format!("[{{\"v\": {value}}}]"))
            .collect();
        let pages: Vec<&[u8]> = pages.iter().map(|page| page.as_bytes()).collect();
        Case::new(DataFormat::Json)
            .decode_pages(&pages)
            .expect("valid")
            .starts
    };
    assert_eq!(decode(&["1", "2.5", "\"x\""]), 1);
    assert_eq!(decode(&["{\"a\": 1}", "{\"a\": \"x\", \"b\": 1}"]), 1);
    assert_eq!(decode(&["2.0", "\"x\""]), 2);
    assert_eq!(decode(&["\"x\"", "2.0"]), 1);
}

#[test]
fn known_types_take_what_converts_and_widen_for_the_rest() {
    let mut case = Case::new(DataFormat::Json);
    case.schema.columns = vec![
        column("a", T::Integer, TypeBinding::Known),
        column("b", T::Timestamp, TypeBinding::Known),
        column("c", T::Number, TypeBinding::Known),
    ];
    case.schema.is_open = false;
    let decoded = case.decode(br#"[{"a": "12", "b": "2024-01-01T00:00:00Z", "c": 1}, {"a": 5, "b": 1700000000, "c": "2.50"}]"#).expect("valid");
    assert_eq!(decoded.types(), "a: integer, b: timestamp, c: number");
    assert_eq!(
        decoded.rows,
        [
            r#"{a: 12, b: "2024-01-01T00:00:00Z", c: 1}"#,
            r#"{a: 5, b: "2023-11-14T22:13:20Z", c: 2.5}"#
        ]
    );
    let decoded = case
        .decode(br#"[{"a": 1.5, "b": "soon", "c": 9007199254740993}]"#)
        .expect("valid");
    assert_eq!(decoded.types(), "a: number, b: string, c: string");
    assert_eq!(
        decoded.rows,
        [r#"{a: 1.5, b: "soon", c: "9007199254740993"}"#]
    );
}

#[test]
fn a_target_that_cannot_follow_keeps_its_type() {
    use std::sync::Arc;

    use bytes::Bytes;

    use crate::decode::PageDecoder;
    use crate::schema::StreamSchema;

    let mut case = Case::new(DataFormat::Json);
    case.schema.columns = vec![column("a", T::Integer, TypeBinding::Known)];
    case.schema.is_open = false;
    let schema = StreamSchema::new(case.schema.clone())
        .with_guard(Arc::new(|_, to| to.column_type != T::String));
    let mut decoder = PageDecoder::new(
        case.format,
        &case.path,
        schema.clone(),
        case.options.clone(),
    )
    .expect("options");
    decoder
        .push(Bytes::from_static(
            br#"[{"a": 1}, {"a": "x"}, {"a": "2"}, {"a": 2.5}]"#,
        ))
        .expect("room");
    decoder.end().expect("the end");
    let rows = decoder.next_rows().expect("valid").expect("rows");
    assert_eq!(rows.numbers, [0, 2]);
    let reasons: Vec<_> = rows
        .invalid
        .iter()
        .flat_map(|row| &row.reasons)
        .map(|reason| (reason.code.as_str(), reason.column.as_deref()))
        .collect();
    assert_eq!(
        reasons,
        [("type_changed", Some("a")), ("type_changed", Some("a"))]
    );
    assert_eq!(schema.current().columns[0].binding, TypeBinding::Pinned);
}

fn value(depth: u32) -> BoxedStrategy<String> {
    let scalar = prop_oneof![
        3 => (-1000_i64..1000).prop_map(|value| value.to_string()),
        2 => prop::sample::select(vec!["2.0", "1.10", "0.5", "1e3", "-0", "1.25", "9007199254740993", "9223372036854775808", "1e400", "0.30000000000000004"]).prop_map(str::to_owned),
        2 => prop::sample::select(vec!["\"\"", "\"x\"", "\"12\"", "\"1.10\"", "\"2024-01-01\"", "\"\\u00e9\\n\"", "\"true\""]).prop_map(str::to_owned),
        1 => any::<bool>().prop_map(|value| value.to_string()),
        2 => Just("null".to_owned()),
    ];
    if depth == 0 {
        return scalar.boxed();
    }
    prop_oneof![
        6 => scalar,
        1 => prop::collection::vec(value(depth - 1), 0..3).prop_map(|items| format!("[{}]", items.join(", "))),
        1 => prop::collection::btree_map("[ab]", value(depth - 1), 0..3).prop_map(|fields| {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            format!("{{{}}}", fields.join(", "))
        }),
    ]
    .boxed()
}

fn rows() -> impl Strategy<Value = Vec<String>> {
    // Few kinds in most columns, so that narrow types are met as well as wide ones.
    let narrow = |values: &'static [&'static str]| {
        prop::sample::select(values).prop_map(str::to_owned).boxed()
    };
    let column = prop_oneof![
        Just(value(2)),
        Just(narrow(&["1", "2", "null", "3.5", "2.0"])),
        Just(narrow(&["1", "null", "\"x\"", "1.5"])),
        Just(narrow(&[
            "{\"a\": 1}",
            "{\"a\": 2.0, \"b\": []}",
            "{\"b\": [1]}",
            "null",
            "{\"a\": \"x\"}"
        ])),
    ];
    (column.clone(), column).prop_flat_map(|(first, second)| {
        let row = (first, prop::option::of(second)).prop_map(|(first, second)| match second {
            Some(second) => format!("{{\"p\": {first}, \"q\": {second}}}"),
            None => format!("{{\"p\": {first}}}"),
        });
        prop::collection::vec(row, 1..25)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The types, the rows and what is invalid are the same however rows are cut into pages, batches and pushes.
    #[test]
    fn widening_gives_the_same_rows_for_any_batch_size(rows in rows(), page in 1_usize..25, batch in 1_usize..9, push in 0_usize..40) {
        let texts: Vec<&str> = rows.iter().map(String::as_str).collect();
        let at_once = pages(&texts, texts.len());
        let at_once = Case::new(DataFormat::Json).decode(at_once[0].as_bytes()).expect("valid");
        let cut = pages(&texts, page);
        let cut: Vec<&[u8]> = cut.iter().map(|page| page.as_bytes()).collect();
        let mut case = Case::new(DataFormat::Json).batches(batch).pushes(push);
        case.options.sample_size = batch;
        let cut = case.decode_pages(&cut).expect("valid");
        let sorted = |types: String| {
            let mut types: Vec<String> = types.split(", ").map(str::to_owned).collect();
            types.sort();
            types
        };
        prop_assert_eq!(sorted(cut.types()), sorted(at_once.types()));
        prop_assert_eq!(&cut.raw, &at_once.raw);
        prop_assert_eq!(cut.invalid.len(), at_once.invalid.len());
        let fields = |row: &String| {
            let mut fields: Vec<String> = row.trim_start_matches('{').trim_end_matches('}').split(", ").map(str::to_owned).collect();
            fields.sort();
            fields
        };
        prop_assert_eq!(cut.rows.iter().map(fields).collect::<Vec<_>>(), at_once.rows.iter().map(fields).collect::<Vec<_>>());
    }

    /// Lines of JSON, and a document of the same rows, give the same.
    #[test]
    fn lines_and_documents_give_the_same(rows in rows(), push in 0_usize..40) {
        let document = format!("{{\"data\": [{}]}}", rows.join(" ,\n"));
        let document = Case::new(DataFormat::Json).at(&["data"]).pushes(push).decode(document.as_bytes()).expect("valid");
        let lines = Case::new(DataFormat::JsonLines).pushes(push).batches(3).decode(rows.join("\n").as_bytes()).expect("valid");
        prop_assert_eq!(document.types(), lines.types());
        prop_assert_eq!(document.rows, lines.rows);
        prop_assert_eq!(&document.summaries[0].hash, &lines.summaries[0].hash);
        prop_assert_eq!(&document.summaries[0].observed, &lines.summaries[0].observed);
    }
}

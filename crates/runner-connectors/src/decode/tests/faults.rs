//! Pages and rows that are wrong: a clear error or an invalid row, never a panic and never a silent null.

use bytes::Bytes;
use proptest::prelude::*;
use runner_core::ErrorKind;
use runner_plan::model::{ColumnType as T, DataFormat, RowPath};

use super::{Case, Decoded};
use crate::decode::{DecodeOptions, PageDecoder};
use crate::lines::LineOrigin;
use crate::schema::{SchemaVersion, StreamSchema};

fn error(format: DataFormat, path: &[&str], page: &[u8]) -> String {
    let case = Case::new(format).at(path);
    let error = case.decode(page).expect_err("a page that can't be read");
    assert_eq!(error.kind(), ErrorKind::SourceData);
    for push in [1, 3] {
        let pieces = case
            .clone()
            .pushes(push)
            .decode(page)
            .expect_err("the same page");
        // Fewer bytes are there to be shown.
        let before_near = |message: &str| {
            message
                .split(", near")
                .next()
                .map(|message| message.split("begins").next().map(str::to_owned))
        };
        assert_eq!(before_near(pieces.message()), before_near(error.message()));
    }
    error.to_string()
}

#[test]
fn documents_that_cannot_be_read_say_where_and_why() {
    let from = "(origin: GET https://example.test/rows)";
    for (path, page, wanted) in [
        (&[][..], "", "the response is empty where JSON was expected"),
        (&[], "  \n", "the response is empty where JSON was expected"),
        (
            &[],
            "<!DOCTYPE html><html>",
            "the response is HTML or XML where JSON was expected: it begins with `<!DOCTYPE html><html>`",
        ),
        (
            &[],
            "[{\"a\": 1}, {\"a\"",
            "the JSON ends within a value, after 15 bytes",
        ),
        (
            &[],
            "[{\"a\": 1}",
            "the JSON ends within a value, after 9 bytes",
        ),
        (
            &[],
            "[{\"a\": 1},",
            "the JSON ends within a value, after 10 bytes",
        ),
        (
            &[],
            "[{\"a\": \"x",
            "the JSON ends within a value, after 9 bytes",
        ),
        (
            &[],
            "[{\"a\": 1}] x",
            "failed to read JSON at byte 11: something follows the end of the document, near `x`",
        ),
        (
            &[],
            "{\"a\": 1}\n{\"a\": 2}",
            "failed to read JSON at byte 9: something follows the end of the document, near `{\"a\": 2}`",
        ),
        (
            &[],
            "[{\"a\": 01}]",
            "failed to read JSON at byte 7: a malformed number, near `01}]`",
        ),
        (
            &[],
            "[{\"a\": tru}]",
            "failed to read JSON at byte 7: a word that is neither `true`, `false` nor `null`, near `tru}]`",
        ),
        (
            &[],
            "[{\"a\" 1}]",
            "failed to read JSON at byte 6: `:` was expected after a key, near `1}]`",
        ),
        (
            &[],
            "[{\"a\": 1 \"b\": 2}]",
            "failed to read JSON at byte 9: `,` or `}` was expected, near `\"b\": 2}]`",
        ),
        (
            &[],
            "[{\"a\": 1}}",
            "failed to read JSON at byte 9: `,` or the end of the list or object was expected, near `}`",
        ),
        (
            &[],
            "[{\"a\": \"tab\there\"}]",
            "failed to read JSON at byte 11: a control character in a string, near `here\"}]`",
        ),
    ] {
        assert_eq!(
            error(DataFormat::Json, path, page.as_bytes()),
            format!("{wanted} {from}"),
            "{page}"
        );
    }
    let wide: Vec<u8> = "[1]".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(
        error(DataFormat::Json, &[], &wide),
        format!("the text is encoded in UTF-16, and only UTF-8 can be read {from}")
    );
    assert_eq!(
        error(DataFormat::Csv, &[], b"a,b\n\"never closed, 1\n2\n"),
        format!("the CSV ends within a value, after 4 bytes {from}")
    );
}

#[test]
fn the_line_of_an_error_is_told_where_those_of_rows_are_not() {
    let middle = LineOrigin::counted(|| Some(3));
    for (origin, tells_rows) in [(middle.clone(), true), (middle.for_errors(), false)] {
        let options = DecodeOptions {
            lines: Some(origin),
            batch_rows: 2,
            ..DecodeOptions::default()
        };
        let schema = StreamSchema::new(SchemaVersion {
            is_open: true,
            ..SchemaVersion::default()
        });
        let nowhere = RowPath::Steps(Vec::new());
        let mut decoder = PageDecoder::new(DataFormat::Csv, &nowhere, schema, options).unwrap();
        decoder.push(Bytes::from_static(b"a\n1\n2\n\"\n")).unwrap();
        decoder.end().unwrap();
        let rows = decoder.next_rows().unwrap().unwrap();
        assert_eq!(rows.count(), 2);
        assert_eq!(rows.raw.lines().is_some(), tells_rows);
        let error = decoder.next_rows().unwrap_err();
        assert!(error.to_string().ends_with(", line: 7)"), "{error}");
    }
}

#[test]
fn a_path_that_leads_nowhere_is_told_with_what_is_there() {
    for (path, page, wanted) in [
        (
            &["data"][..],
            "{\"error\": \"no key\", \"status\": 1}",
            "$ has the keys `error`, `status`",
        ),
        (
            &["data", "items"],
            "{\"data\": {\"rows\": []}}",
            "$.data has the keys `rows`",
        ),
        (
            &["data", "items"],
            "{\"data\": null, \"errors\": []}",
            "$.data is null",
        ),
        (
            &["data", "items"],
            "{\"data\": [1]}",
            "$.data is a list of 1 items",
        ),
        (&["data"], "[{\"a\": 1}]", "$ is a list of 1 items"),
        (
            &["data", "*", "x"],
            "{\"data\": [{\"y\": 1}]}",
            "$.data[*] has the keys `y`",
        ),
    ] {
        for push in [0, 1] {
            let decoded = Case::new(DataFormat::Json)
                .at(path)
                .pushes(push)
                .decode(page.as_bytes())
                .expect("JSON");
            assert!(!decoded.summary().rows_found);
            assert_eq!(decoded.summary().instead.as_deref(), Some(wanted), "{page}");
        }
    }
    let mut case = Case::new(DataFormat::Json);
    case.path = RowPath::Query("$..nothing".to_owned());
    let decoded = case.decode(b"{\"a\": 1}").expect("JSON");
    assert_eq!(
        decoded.summary().instead.as_deref(),
        Some("$ has the keys `a`")
    );
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    assert!(error(DataFormat::Json, &[], deep.as_bytes()).contains("too many levels of nesting"));
    let deep = format!(
        "{{\"skipped\": {}1{}, \"data\": []}}",
        "{\"a\":".repeat(400),
        "}".repeat(400)
    );
    assert!(
        error(DataFormat::Json, &["data"], deep.as_bytes()).contains("too many levels of nesting")
    );
    let lines = Case::new(DataFormat::JsonLines).decode(
        format!(
            "{{\"a\": 1}}\n{{\"a\": {}{}}}\n",
            "[".repeat(500),
            "]".repeat(500)
        )
        .as_bytes(),
    );
    assert!(lines.expect("a bad row").reasons()[0].contains("too many levels of nesting"));
}

#[test]
fn a_row_is_bounded() {
    let mut case = Case::new(DataFormat::Json).pushes(1000);
    case.options.max_document_bytes = 10_000;
    let page = format!("[{{\"a\": \"{}\"}}]", "x".repeat(600_000));
    let error = case.decode(page.as_bytes()).expect_err("a row of 600 kB");
    assert_eq!(error.message(), "a row is larger than 10000 bytes");
    case.path = RowPath::Query("$[?@.a]".to_owned());
    let error = case
        .decode(page.as_bytes())
        .expect_err("a document of 600 kB");
    assert_eq!(
        error.message(),
        "a document that `$[?@.a]` needs whole is larger than 10000 bytes"
    );
}

fn decode(format: DataFormat, page: &[u8]) -> Decoded {
    Case::new(format)
        .fixed("a", T::Integer)
        .fixed("b", T::String)
        .decode(page)
        .expect("rows that are read")
}

#[test]
fn rows_that_cannot_be_read_are_invalid_and_the_others_are_not() {
    let decoded = decode(
        DataFormat::JsonLines,
        b"{\"a\": 1}\r\n\n{\"a\": 2\n{\"a\": 3, \"a\": 3}\n[4]\n{\"a\": 5, \"b\": \"\xff\"}\nnot json\n{\"a\": 6} {\"a\": 7}\n{\"a\": 8, \"b\": NaN}\n{\"a\": 9}",
    );
    assert_eq!(decoded.rows, ["{a: 1}", "{a: 9}"]);
    assert_eq!(
        decoded.reasons(),
        [
            "malformed -: the row is not JSON: the row ends within a value",
            "duplicate_key a: the key `a` is there twice, and which one counts is nowhere said",
            "not_convertible -: `[4]` is no object, and no column takes whole rows",
            "invalid_text -: the row is not UTF-8",
            "malformed -: the row is not JSON: a word that is neither `true`, `false` nor `null`",
            "malformed -: the row is not JSON: something follows the value",
            "not_convertible b: `NaN` can't be converted to string without loss",
        ]
    );
    let numbers: Vec<_> = decoded.invalid.iter().map(|row| row.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(decoded.summary().rows, 9);
}

#[test]
fn records_with_other_fields_than_the_header_are_invalid() {
    let decoded = decode(
        DataFormat::Csv,
        b"a,b\n1,x\n2\n3,y,z\n4,\"q\"uote\n5,\xff\n6,ok\n",
    );
    assert_eq!(decoded.rows, ["{a: 1, b: \"x\"}", "{a: 6, b: \"ok\"}"]);
    assert_eq!(
        decoded.reasons(),
        [
            "malformed -: the row has 1 field instead of 2",
            "malformed -: the row has 3 fields instead of 2",
            "malformed -: something stands between a closing quote and the delimiter",
            "invalid_text -: the row is not UTF-8",
        ]
    );
}

#[test]
fn a_header_that_another_delimiter_would_part_is_told() {
    for (text, delimiter, told) in [
        (
            &b"id;name\n1;a\n"[..],
            ',',
            Some(
                r#"the header is the one name `id;name`: if `;` parts its names, write `config.csv.delimiter: ";"`"#,
            ),
        ),
        (
            b"id\tname\n1\ta\n",
            ',',
            Some(
                r#"the header is the one name `id name`: if `\t` parts its names, write `config.csv.delimiter: "\t"`"#,
            ),
        ),
        (
            b"id,name\n1,a\n",
            ';',
            Some(
                r#"the header is the one name `id,name`: if `,` parts its names, write `config.csv.delimiter: ","`"#,
            ),
        ),
        (b"id;name\n1;a\n", ';', None),
        (b"name\na\n", ',', None),
        (b"id;name,b\n1,a\n", ',', None),
    ] {
        let mut case = Case::new(DataFormat::Csv);
        case.options.text.delimiter = delimiter;
        let decoded = case.decode(text).expect("valid");
        let warnings = &decoded.summary().warnings;
        let found: Vec<_> = warnings
            .iter()
            .map(|warning| warning.message.as_str())
            .collect();
        assert_eq!(found, Vec::from_iter(told));
    }
}

#[test]
fn csv_without_a_header_is_named_by_position() {
    let mut case = Case::new(DataFormat::Csv);
    case.options.text.has_header = false;
    case.options.text.delimiter = ';';
    case.options.text.nulls = vec!["NULL".to_owned()];
    let decoded = case.decode(b"1;NULL;a\n2;;\"NULL\"\n").expect("valid");
    assert_eq!(
        decoded.rows,
        [
            r#"{column_1: 1, column_3: "a"}"#,
            r#"{column_1: 2, column_3: "NULL", column_2: ""}"#
        ]
    );
}

#[test]
fn empty_files_have_no_rows() {
    for format in [DataFormat::Csv, DataFormat::JsonLines] {
        for page in ["", "\n\n", "\u{feff}"] {
            let decoded = Case::new(format).decode(page.as_bytes()).expect("no rows");
            assert_eq!((decoded.rows.len(), decoded.summary().rows), (0, 0));
        }
    }
    assert_eq!(
        Case::new(DataFormat::Csv)
            .decode(b"a,b\n")
            .expect("a header")
            .rows
            .len(),
        0
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(page in prop::collection::vec(any::<u8>(), 0..200), push in 0_usize..9) {
        for format in [DataFormat::Json, DataFormat::JsonLines, DataFormat::Csv] {
            let _ = Case::new(format).pushes(push).batches(3).decode(&page);
        }
    }

    #[test]
    fn what_looks_like_json_never_panics(page in "[\\[\\]{}\",:0-9a-eEtrufalsn\\\\.\\- \n]{0,80}", push in 0_usize..9) {
        for format in [DataFormat::Json, DataFormat::JsonLines, DataFormat::Csv] {
            let whole = Case::new(format).decode(page.as_bytes());
            let pieces = Case::new(format).pushes(push).batches(1).decode(page.as_bytes());
            prop_assert_eq!(whole.as_ref().map(|decoded| &decoded.rows).ok(), pieces.as_ref().map(|decoded| &decoded.rows).ok());
        }
        let _ = Case::new(DataFormat::Json).at(&["a", "*"]).decode(page.as_bytes());
    }
}

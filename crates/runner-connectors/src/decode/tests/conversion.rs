//! Every conversion, and every refusal of one.

use runner_plan::model::{ColumnType as T, DataFormat};

use super::{Case, field};

fn check(column_type: &T, value: &str, wanted: Option<&str>) {
    let case = Case::new(DataFormat::Json).fixed("v", column_type.clone());
    let page = format!("[{{\"v\": {value}}}]");
    let decoded = case
        .decode(page.as_bytes())
        .unwrap_or_else(|error| panic!("{value}: {error}"));
    match wanted {
        Some("null") => assert_eq!(decoded.rows, ["{}"], "{value} as {column_type}"),
        Some(wanted) => {
            assert_eq!(
                decoded.reasons(),
                Vec::<String>::new(),
                "{value} as {column_type}"
            );
            assert_eq!(
                decoded.rows,
                [format!("{{v: {wanted}}}")],
                "{value} as {column_type}"
            );
        }
        None => {
            assert_eq!(
                decoded.rows,
                Vec::<String>::new(),
                "{value} as {column_type}"
            );
            let reason = &decoded.invalid[0].reasons[0];
            assert_eq!(reason.code, "not_convertible", "{value} as {column_type}");
            assert_eq!(reason.column.as_deref(), Some("v"));
        }
    }
}

fn decimal(precision: u8, scale: i8) -> T {
    T::Decimal { precision, scale }
}

#[test]
fn values_are_converted_where_nothing_is_lost() {
    let cases: &[(T, &[(&str, &str)])] = &[
        (
            T::Boolean,
            &[
                ("true", "true"),
                ("\"true\"", "true"),
                ("\"FALSE\"", "false"),
                ("0", "false"),
                ("1", "true"),
                ("null", "null"),
            ],
        ),
        (
            T::Integer,
            &[
                ("12", "12"),
                ("-0", "0"),
                ("\"12\"", "12"),
                ("\" 12 \"", "12"),
                ("\"+12\"", "12"),
                ("\"007\"", "7"),
                ("2.0", "2"),
                ("1e3", "1000"),
                ("9223372036854775807", "9223372036854775807"),
                ("-9223372036854775808", "-9223372036854775808"),
                ("\"-9223372036854775808\"", "-9223372036854775808"),
                ("12.50e1", "125"),
                ("null", "null"),
            ],
        ),
        (
            T::Number,
            &[
                ("1", "1"),
                ("1.5", "1.5"),
                ("-0.1", "-0.1"),
                ("1e-7", "0.0000001"),
                ("\"1.10\"", "1.1"),
                ("\".5\"", "0.5"),
                ("\"5.\"", "5"),
                ("9007199254740992", "9007199254740992"),
                ("9007199254740994", "9007199254740994"),
                ("0.1000000000000000055511151231257827", "0.1"),
                ("null", "null"),
            ],
        ),
        (
            decimal(10, 2),
            &[
                ("1", "1.00"),
                ("1.1", "1.10"),
                ("1.100", "1.10"),
                ("-12345678.91", "-12345678.91"),
                ("\"0.05\"", "0.05"),
                ("1e2", "100.00"),
                ("5e-2", "0.05"),
            ],
        ),
        (
            decimal(38, 0),
            &[
                (
                    "99999999999999999999999999999999999999",
                    "99999999999999999999999999999999999999",
                ),
                ("-1", "-1"),
            ],
        ),
        (
            T::String,
            &[
                ("\"a\\u00e9\\n\"", "\"aé\\n\""),
                ("12", "\"12\""),
                ("1.10", "\"1.10\""),
                ("1e400", "\"1e400\""),
                ("true", "\"true\""),
                ("\"\"", "\"\""),
                ("\"\\ud83d\\ude00\"", "\"😀\""),
            ],
        ),
        (
            T::Date,
            &[
                ("\"2024-02-29\"", "\"2024-02-29\""),
                ("\"2024-02-29T00:00:00Z\"", "\"2024-02-29\""),
                ("1709164800", "\"2024-02-29\""),
            ],
        ),
        (
            T::Timestamp,
            &[
                ("\"2024-02-29T12:00:00Z\"", "\"2024-02-29T12:00:00Z\""),
                ("\"2024-02-29T12:00:00+05:30\"", "\"2024-02-29T06:30:00Z\""),
                ("\"2024-02-29\"", "\"2024-02-29T00:00:00Z\""),
                ("1700000000", "\"2023-11-14T22:13:20Z\""),
                ("1700000000123", "\"2023-11-14T22:13:20.123Z\""),
                ("1700000000123456", "\"2023-11-14T22:13:20.123456Z\""),
                ("1700000000123456789", "\"2023-11-14T22:13:20.123456Z\""),
                ("\"1700000000\"", "\"2023-11-14T22:13:20Z\""),
            ],
        ),
        (
            T::Time,
            &[
                ("\"23:59:59.5\"", "\"23:59:59.500\""),
                ("\"00:30:00+01:00\"", "\"23:30:00\""),
            ],
        ),
        (
            T::Uuid,
            &[
                (
                    "\"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11\"",
                    "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\"",
                ),
                (
                    "\"{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}\"",
                    "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\"",
                ),
            ],
        ),
        (T::Binary, &[("\"AP8=\"", "\"AP8=\"")]),
        (
            T::Json,
            &[
                ("{\"a\": [1, 2.0]}", "{\"a\": [1, 2.0]}"),
                ("\"x\\u0041\"", "\"xA\""),
                ("1.10", "1.10"),
                ("false", "false"),
            ],
        ),
        (
            T::List(Box::new(field("item", T::Integer))),
            &[
                ("[1, \"2\", null]", "[1,2,null]"),
                ("[]", "[]"),
                ("null", "null"),
            ],
        ),
        (
            T::Struct(vec![
                field("a", T::Integer),
                field("b", T::List(Box::new(field("item", T::Date)))),
            ]),
            &[
                (
                    "{\"a\": \"1\", \"b\": [\"2024-01-01\"], \"c\": 3}",
                    "{\"a\":1,\"b\":[\"2024-01-01\"]}",
                ),
                ("{}", "{\"a\":null,\"b\":null}"),
            ],
        ),
    ];
    for (column_type, values) in cases {
        for (value, wanted) in *values {
            check(column_type, value, Some(wanted));
        }
    }
}

#[test]
fn what_would_be_lost_makes_the_row_invalid() {
    let cases: &[(T, &[&str])] = &[
        (T::Boolean, &["2", "\"yes\"", "\"\"", "[]", "{}", "0.5"]),
        (
            T::Integer,
            &[
                "1.5",
                "9223372036854775808",
                "\"abc\"",
                "\"1,000\"",
                "\"\"",
                "true",
                "[1]",
                "{}",
                "1e30",
                "\"0x10\"",
                "\"1 2\"",
                "\"--1\"",
            ],
        ),
        (
            T::Number,
            &[
                "9007199254740993",
                "1e400",
                "\"NaN\"",
                "\"inf\"",
                "NaN",
                "-Infinity",
                "true",
                "\"1.2.3\"",
                "\"\"",
                "\"e5\"",
            ],
        ),
        (decimal(5, 2), &["1.234", "1000", "\"x\"", "true", "1e-3"]),
        (
            T::String,
            &[
                "{}",
                "[1]",
                "\"\\ud800\"",
                "\"\\ud800\\u0041\"",
                "\"\\x\"",
                "\"\\udc00\"",
            ],
        ),
        (
            T::Date,
            &[
                "\"2024-02-30\"",
                "\"2024-02-29T12:00:00Z\"",
                "20240229",
                "true",
                "\"\"",
                "\"29.02.2024\"",
            ],
        ),
        (
            T::Timestamp,
            &[
                "\"yesterday\"",
                "true",
                "\"2024-13-01T00:00:00Z\"",
                "\"\"",
                "{}",
            ],
        ),
        (T::Time, &["\"25:00\"", "12", "\"noon\""]),
        (T::Uuid, &["\"not-a-uuid\"", "12", "\"\""]),
        (T::Binary, &["\"%%\"", "1"]),
        (
            T::List(Box::new(field("item", T::Integer))),
            &["[\"x\"]", "1", "\"[1]\"", "{}"],
        ),
        (
            T::Struct(vec![field("a", T::Integer)]),
            &["{\"a\": \"x\"}", "[]", "1"],
        ),
    ];
    for (column_type, values) in cases {
        for value in *values {
            let nested =
                matches!(column_type, T::List(_) | T::Struct(_)) && value.contains("\"x\"");
            if nested {
                continue;
            }
            check(column_type, value, None);
        }
    }
}

#[test]
fn error_names_the_place() {
    let order = T::Struct(vec![field(
        "lines",
        T::List(Box::new(field(
            "item",
            T::Struct(vec![field("count", T::Integer)]),
        ))),
    )]);
    let decoded = Case::new(DataFormat::Json)
        .fixed("id", T::Integer)
        .fixed("order", order)
        .fixed("day", T::Date)
        .decode(br#"[{"id": 1}, {"id": "x1", "order": {"lines": [{"count": 1}, {"count": "many"}]}, "day": "never"}]"#)
        .expect("valid JSON");
    assert_eq!(decoded.rows, ["{id: 1}"]);
    assert_eq!(decoded.invalid[0].number, 1);
    assert_eq!(
        decoded.reasons(),
        [
            "not_convertible id: `\"x1\"` can't be converted to integer without loss",
            "not_convertible order.lines[1].count: `\"many\"` can't be converted to integer without loss",
            "not_convertible day: `\"never\"` can't be converted to date without loss",
        ]
    );
    assert!(decoded.invalid[0].raw.starts_with(r#"{"id": "x1""#));
}

#[test]
fn cells_of_csv_are_converted_alike() {
    let page = "a,b,c,d,e,f\n\
        12,1.10,TRUE,2024-02-29T12:00:00+02:00,\"{\"\"x\"\": 1}\",007\n\
        ,,,,,\"\"\n\
        x,0x1,maybe,never,[,z\n";
    let decoded = Case::new(DataFormat::Csv)
        .fixed("a", T::Integer)
        .fixed("b", decimal(10, 2))
        .fixed("c", T::Boolean)
        .fixed("d", T::Timestamp)
        .fixed("e", T::Struct(vec![field("x", T::Integer)]))
        .fixed("f", T::String)
        .decode(page.as_bytes())
        .expect("valid CSV");
    assert_eq!(
        decoded.rows,
        [
            r#"{a: 12, b: 1.10, c: true, d: "2024-02-29T10:00:00Z", e: {"x":1}, f: "007"}"#,
            r#"{f: ""}"#,
        ]
    );
    let columns: Vec<_> = decoded.invalid[0]
        .reasons
        .iter()
        .map(|reason| reason.column.clone().unwrap_or_default())
        .collect();
    assert_eq!(columns, ["a", "b", "c", "d", "e"]);
    assert_eq!(
        decoded.invalid[0].raw,
        r#"{"a":"x","b":"0x1","c":"maybe","d":"never","e":"[","f":"z"}"#
    );
}

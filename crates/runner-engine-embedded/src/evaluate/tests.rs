//! What each check says of which rows.

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use runner_plan::model::{CheckKind, CheckOrigin, ColumnType};

use super::*;

fn batch() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "id",
            Arc::new(Int64Array::from(vec![Some(1), None, Some(-3), Some(4)])),
        ),
        (
            "price",
            Arc::new(Float64Array::from(vec![
                Some(1.5),
                Some(f64::NAN),
                None,
                Some(1e9),
            ])),
        ),
        (
            "name",
            Arc::new(StringArray::from(vec![
                Some("ab"),
                Some("日本語"),
                Some(""),
                None,
            ])),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

fn columns() -> Vec<ColumnField> {
    [
        ("id", ColumnType::Integer),
        ("price", ColumnType::Number),
        ("name", ColumnType::String),
    ]
    .map(|(name, column_type)| ColumnField {
        name: name.to_owned(),
        column_type,
        nullable: true,
    })
    .to_vec()
}

/// Rows that fail the check, with the code of their reason.
fn failing(column: &str, kind: CheckKind) -> Vec<usize> {
    let check = Check {
        column: column.to_owned(),
        kind,
        origin: CheckOrigin::Contract,
        path: String::new(),
    };
    let failures = Checks::compile(&[check], &columns())
        .unwrap()
        .run(&batch())
        .unwrap();
    failures.into_iter().map(|(row, _)| row).collect()
}

#[test]
fn each_kind_fails_the_rows_it_names() {
    assert_eq!(failing("id", CheckKind::Required), [1]);
    assert_eq!(
        failing(
            "id",
            CheckKind::Range {
                minimum: Some(0.0),
                maximum: None
            }
        ),
        [2]
    );
    assert_eq!(
        failing(
            "id",
            CheckKind::ExclusiveRange {
                minimum: Some(1.0),
                maximum: Some(4.0)
            }
        ),
        [0, 2, 3]
    );
    assert_eq!(
        failing(
            "price",
            CheckKind::Range {
                minimum: None,
                maximum: Some(10.0)
            }
        ),
        [1, 3]
    );
    assert_eq!(
        failing(
            "price",
            CheckKind::Range {
                minimum: Some(0.0),
                maximum: None
            }
        ),
        [1]
    );
    assert_eq!(failing("price", CheckKind::MultipleOf(0.5)), [1]);
    assert_eq!(
        failing(
            "name",
            CheckKind::Length {
                minimum: Some(1),
                maximum: Some(3)
            }
        ),
        [2]
    );
    assert_eq!(
        failing("name", CheckKind::Pattern("^[a-z]*$".to_owned())),
        [1]
    );
    assert_eq!(
        failing("name", CheckKind::Enumeration(vec!["ab".into(), "".into()])),
        [1]
    );
    assert_eq!(
        failing(
            "name",
            CheckKind::Range {
                minimum: Some(0.0),
                maximum: None
            }
        ),
        [0, 1, 2]
    );
}

#[test]
fn a_row_has_every_reason() {
    let check = |column: &str, kind| Check {
        column: column.to_owned(),
        kind,
        origin: CheckOrigin::Rule,
        path: String::new(),
    };
    let checks = [
        check(
            "id",
            CheckKind::Range {
                minimum: Some(0.0),
                maximum: None,
            },
        ),
        check("price", CheckKind::Required),
        check(
            "name",
            CheckKind::Length {
                minimum: Some(1),
                maximum: None,
            },
        ),
    ];
    let failures = Checks::compile(&checks, &columns())
        .unwrap()
        .run(&batch())
        .unwrap();
    assert_eq!(failures.len(), 1);
    let messages: Vec<_> = failures[0]
        .1
        .iter()
        .map(|reason| reason.message.as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "`id` must be at least 0, found `-3`",
            "`price` must be present and not null",
            "`name` must have at least 1 characters, found ``"
        ]
    );
}

mod shapes {
    //! Columns that are absent, nested, lists or JSON text.

    use arrow::datatypes::DataType;
    use arrow::json::ReaderBuilder;
    use runner_plan::model::CheckOrigin::{Contract, Rule};

    use super::*;

    const ROWS: &str = r#"
        {"id": 1, "tags": [1, 7], "orders": [{"sku": "a"}, {"sku": "b"}], "address": {"city": "x"}, "open": "[1,1.0]", "free": "{\"city\":\"x\",\"zip\":\"12\"}"}
        {"id": 2, "tags": [7, 3, 2], "orders": [{"sku": "a"}, {}], "address": {}, "open": "[]", "free": "{\"zip\":\"123456\"}"}
        {"id": 3, "tags": [], "orders": [], "address": null, "open": "\"text\"", "free": null}
        {"id": 4, "tags": null, "orders": null, "address": {"city": "z"}, "open": null, "free": "[{\"city\":5}]"}
    "#;

    fn field(name: &str, column_type: ColumnType) -> ColumnField {
        ColumnField {
            name: name.to_owned(),
            column_type,
            nullable: true,
        }
    }

    fn columns() -> Vec<ColumnField> {
        let list = |item| ColumnType::List(Box::new(field("item", item)));
        vec![
            field("id", ColumnType::Integer),
            field("tags", list(ColumnType::Integer)),
            field(
                "orders",
                list(ColumnType::Struct(vec![ColumnField {
                    nullable: false,
                    ..field("sku", ColumnType::String)
                }])),
            ),
            field(
                "address",
                ColumnType::Struct(vec![field("city", ColumnType::String)]),
            ),
            field("open", ColumnType::Json),
            field("free", ColumnType::Json),
        ]
    }

    fn batch() -> RecordBatch {
        // As rows are decoded: what the columns must have, some rows lack.
        let decoded: Vec<_> = columns().iter().map(nullable).collect();
        let schema = arrow_schema(&decoded);
        let mut reader = ReaderBuilder::new(schema)
            .build(std::io::Cursor::new(ROWS))
            .unwrap();
        reader.next().unwrap().unwrap()
    }

    /// Rows (by their ids) that fail.
    fn failing(column: &str, origin: CheckOrigin, kind: CheckKind) -> Vec<usize> {
        let check = Check {
            column: column.to_owned(),
            kind,
            origin,
            path: String::new(),
        };
        let checks = Checks::compile(&[check], &columns()).unwrap();
        let failures = checks.run(&batch()).unwrap();
        failures.into_iter().map(|(row, _)| row + 1).collect()
    }

    fn at_least(minimum: f64) -> CheckKind {
        CheckKind::Range {
            minimum: Some(minimum),
            maximum: None,
        }
    }

    fn items(minimum: Option<u64>, maximum: Option<u64>, unique: bool) -> CheckKind {
        CheckKind::Items {
            minimum,
            maximum,
            unique,
        }
    }

    fn longer_than(minimum: u64) -> CheckKind {
        CheckKind::Length {
            minimum: Some(minimum),
            maximum: None,
        }
    }

    #[test]
    fn a_column_that_no_row_has_holds_no_values() {
        for kind in [at_least(1.0), longer_than(3), items(Some(1), None, true)] {
            assert!(failing("gone", Rule, kind.clone()).is_empty());
            assert!(failing("address.gone", Contract, kind.clone()).is_empty());
            assert!(failing("gone[].sku", Contract, kind).is_empty());
        }
        let cases = [
            ("gone", Rule, vec![1, 2, 3, 4]),
            ("gone", Contract, vec![1, 2, 3, 4]),
            ("address.gone", Contract, vec![1, 2, 4]),
            ("address.gone", Rule, vec![1, 2, 3, 4]),
            ("address.city", Contract, vec![2]),
            ("address.city", Rule, vec![2, 3]),
            ("gone.city", Contract, vec![]),
            ("gone.city", Rule, vec![1, 2, 3, 4]),
            ("orders[].sku", Contract, vec![2]),
            ("orders[].gone", Contract, vec![1, 2]),
            ("id.city", Contract, vec![]),
            ("free.city", Contract, vec![2]),
            ("free.city", Rule, vec![2, 3, 4]),
            ("free[].zip", Contract, vec![4]),
        ];
        for (column, origin, expected) in cases {
            let found = failing(column, origin, CheckKind::Required);
            assert_eq!(found, expected, "{column} by {origin:?}");
        }
    }

    #[test]
    fn items_and_json_are_checked_value_by_value() {
        let one_of = |value: serde_json::Value| CheckKind::Enumeration(vec![value]);
        let cases = [
            ("tags[]", at_least(3.0), vec![1, 2]),
            ("tags", items(Some(1), Some(2), false), vec![2, 3]),
            ("orders[].sku", one_of("a".into()), vec![1]),
            ("open", items(Some(1), None, false), vec![2]),
            ("open", items(None, None, true), vec![1]),
            ("open[]", at_least(2.0), vec![1]),
            ("open", one_of("text".into()), vec![1, 2]),
            ("free.zip", longer_than(3), vec![1]),
            ("free[].city", longer_than(3), vec![]),
            ("free[].city", one_of(5.0.into()), vec![]),
            ("free[].city", at_least(6.0), vec![4]),
        ];
        for (column, kind, expected) in cases {
            assert_eq!(
                failing(column, Contract, kind.clone()),
                expected,
                "{column} {kind:?}"
            );
        }
    }

    #[test]
    fn a_value_of_another_type_is_no_concern_of_the_contract_and_breaks_a_rule() {
        assert!(failing("address", Contract, at_least(0.0)).is_empty());
        assert_eq!(failing("address", Rule, at_least(0.0)), [1, 2, 4]);
        assert!(failing("id", Contract, longer_than(9)).is_empty());
    }

    #[test]
    fn the_reason_shows_the_item() {
        let check = Check {
            column: "tags[]".to_owned(),
            kind: at_least(3.0),
            origin: Contract,
            path: String::new(),
        };
        let batch = batch().slice(1, 2);
        assert!(matches!(batch.column(1).data_type(), DataType::List(_)));
        let checks = Checks::compile(&[check], &columns()).unwrap();
        let failures = checks.run(&batch).unwrap();
        assert_eq!(failures[0].0, 0);
        assert_eq!(
            failures[0].1[0].message,
            "`tags[]` must be at least 3, found `2`"
        );
    }
}

use arrow::array::{BooleanArray, Date32Array, Decimal128Array, Float64Array};
use runner_plan::model::ColumnType as T;
use runner_testkit::sink::values;
use serde_json::{Value, json};

use super::*;

fn column(column_type: T) -> ColumnField {
    ColumnField {
        name: "c".to_owned(),
        column_type,
        nullable: true,
    }
}

fn decimal(precision: u8, scale: i8) -> T {
    T::Decimal { precision, scale }
}

fn list(item: T) -> T {
    T::List(Box::new(column(item)))
}

/// The values in the wider type, as they come back.
fn widened(values: &[Value], from: &T, to: &T) -> Vec<Value> {
    let (from, to) = (column(from.clone()), column(to.clone()));
    let rows: Vec<_> = values
        .iter()
        .map(|value| [("c".to_owned(), value.clone())].into())
        .collect();
    let batch = values::batch(std::slice::from_ref(&from), &rows);
    let wider = widen_batch(&batch, &[from], std::slice::from_ref(&to)).unwrap();
    values::rows(&wider, std::slice::from_ref(&to))
        .into_iter()
        .map(|row| row["c"].clone())
        .collect()
}

#[test]
fn values_are_what_the_wider_type_would_have_held() {
    let both = T::Struct(vec![column(T::Integer)]);
    let wider = T::Struct(vec![column(T::String), {
        let mut other = column(T::Integer);
        other.name = "d".to_owned();
        other
    }]);
    for (from, to, value, expected) in [
        (T::Integer, T::Number, json!(3), json!(3.0)),
        (
            T::Integer,
            T::Number,
            json!(9_007_199_254_740_992_i64),
            json!(9_007_199_254_740_992.0),
        ),
        (T::Integer, decimal(20, 2), json!(-3), json!("-3.00")),
        (T::Integer, T::String, json!(-3), json!("-3")),
        (T::Number, T::String, json!(1.5), json!("1.5")),
        (T::Boolean, T::String, json!(true), json!("true")),
        (decimal(5, 2), T::String, json!("1.10"), json!("1.10")),
        (decimal(5, 2), decimal(10, 3), json!("1.10"), json!("1.100")),
        (
            T::Date,
            T::Timestamp,
            json!("1969-12-31"),
            json!("1969-12-31T00:00:00Z"),
        ),
        (T::Date, T::String, json!("2024-02-29"), json!("2024-02-29")),
        (
            T::Timestamp,
            T::String,
            json!("2024-02-29T10:20:30Z"),
            json!("2024-02-29T10:20:30Z"),
        ),
        (
            T::Time,
            T::String,
            json!("10:20:30.500"),
            json!("10:20:30.500"),
        ),
        (T::Integer, T::Json, json!(3), json!(3)),
        (T::String, T::Json, json!("3"), json!("3")),
        (
            list(T::Integer),
            list(T::String),
            json!([1, null]),
            json!(["1", null]),
        ),
        (
            list(T::Integer),
            T::Json,
            json!([1, null]),
            json!([1, null]),
        ),
        (both, wider, json!({"c": 1}), json!({"c": "1", "d": null})),
    ] {
        assert!(is_wider(&from, &to), "{from} to {to}");
        let found = widened(&[value.clone(), Value::Null], &from, &to);
        assert_eq!(
            found,
            [expected, Value::Null],
            "{value} from {from} to {to}"
        );
        assert_eq!(widened(&[], &from, &to), Vec::<Value>::new());
    }
}

#[test]
fn narrower_types_are_not_wider() {
    for (from, to) in [
        (T::Number, T::Integer),
        (T::String, T::Integer),
        (T::Timestamp, T::Date),
        (T::Binary, T::String),
        (decimal(10, 3), decimal(5, 2)),
        (decimal(10, 2), decimal(10, 3)),
        (list(T::String), list(T::Integer)),
        (T::Struct(vec![column(T::Integer)]), T::Struct(Vec::new())),
        (T::Json, T::String),
    ] {
        assert!(!is_wider(&from, &to), "{from} to {to}");
    }
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let error = widen(&text, &column(T::String), &column(T::Integer)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[test]
fn what_a_wider_type_cant_hold_is_an_error_and_never_a_null() {
    let large: ArrayRef = Arc::new(Int64Array::from(vec![1, (1 << 53) + 1]));
    let error = widen(&large, &column(T::Integer), &column(T::Number)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceData);
    assert!(error.message().contains("9007199254740993"), "{error}");
    let large: ArrayRef = Arc::new(Int64Array::from(vec![123_456]));
    let narrow = column(decimal(5, 2));
    let error = widen(&large, &column(T::Integer), &narrow).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceData);
}

#[test]
fn columns_are_found_by_name_and_absent_ones_are_null() {
    let named = |name: &str, column_type: T| ColumnField {
        name: name.to_owned(),
        ..column(column_type)
    };
    let from = [named("a", T::Integer), named("b", T::Boolean)];
    let to = [
        named("new", T::Date),
        named("b", T::String),
        named("a", T::Number),
    ];
    let batch = RecordBatch::try_new(
        arrow_schema(&from),
        vec![
            Arc::new(Int64Array::from(vec![1, 2])),
            Arc::new(BooleanArray::from(vec![Some(true), None])),
        ],
    )
    .unwrap();
    let wider = widen_batch(&batch, &from, &to).unwrap();
    assert_eq!(wider.schema(), arrow_schema(&to));
    assert_eq!(
        wider.column(0).as_ref(),
        &Date32Array::from(vec![None, None])
    );
    assert_eq!(
        wider.column(1).as_ref(),
        &StringArray::from(vec![Some("true"), None])
    );
    assert_eq!(
        wider.column(2).as_ref(),
        &Float64Array::from(vec![1.0, 2.0])
    );
}

#[test]
fn columns_of_nothing_but_nulls_become_anything() {
    let nulls: ArrayRef = Arc::new(Decimal128Array::from(vec![None, None]));
    let wider = widen(&nulls, &column(decimal(38, 10)), &column(T::Binary)).unwrap();
    assert_eq!(
        (wider.null_count(), wider.data_type()),
        (2, &DataType::Binary)
    );
}

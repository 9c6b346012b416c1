//! Parquet into the columns of a stream: as it is where the types agree, value by value where the contract says otherwise.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, StructArray,
};
use arrow::datatypes::{DataType, Field};
use parquet::arrow::ArrowWriter;
use runner_plan::model::{ColumnType as T, DataFormat};

use crate::decode::harness::{Case, column, steps};
use crate::schema::TypeBinding;

fn file(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).expect("a schema");
    writer.write(&batch).expect("memory");
    writer.close().expect("memory");
    bytes
}

fn array(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}

#[test]
fn columns_are_taken_as_they_are() {
    let id: ArrayRef = array(StringArray::from(vec!["u1", "u2"]));
    let user = StructArray::from(vec![(Arc::new(Field::new("id", DataType::Utf8, true)), id)]);
    let page = file(vec![
        ("id", array(Int32Array::from(vec![1, 2]))),
        ("price", array(Float64Array::from(vec![Some(1.5), None]))),
        ("day", array(Date32Array::from(vec![0, 1]))),
        ("open", array(BooleanArray::from(vec![true, false]))),
        ("user", array(user)),
    ]);
    for push in [0, 7] {
        let decoded = Case::new(DataFormat::Parquet)
            .pushes(push)
            .batches(1)
            .decode(&page)
            .expect("valid");
        assert_eq!(
            decoded.types(),
            "id: integer, price: number, day: date, open: boolean, user: struct<id: string>"
        );
        assert_eq!(
            decoded.rows,
            [
                r#"{id: 1, price: 1.5, day: "1970-01-01", open: true, user: {"id":"u1"}}"#,
                r#"{id: 2, day: "1970-01-02", open: false, user: {"id":"u2"}}"#,
            ]
        );
        assert_eq!(decoded.summary().rows, 2);
        assert_eq!(decoded.summary().observed.fields["price"].nulls, 1);
    }
}

#[test]
fn the_contract_converts_values_and_sets_aside_rows_that_have_none() {
    let id: ArrayRef = array(StringArray::from(vec!["u1", "u2", "u3"]));
    let user = StructArray::from(vec![(Arc::new(Field::new("id", DataType::Utf8, true)), id)]);
    let page = file(vec![
        ("id", array(StringArray::from(vec!["12", "x", "13"]))),
        ("code", array(Int64Array::from(vec![7, 8, 9]))),
        ("user", array(user)),
        (
            "dropped",
            array(Int64Array::from(vec![Some(1), None, Some(3)])),
        ),
    ]);
    let mut case = Case::new(DataFormat::Parquet)
        .fixed("id", T::Integer)
        .fixed("code", T::String);
    let mut user = column("user_id", T::String, TypeBinding::Fixed);
    user.source = runner_plan::model::ColumnSource::Field(steps(&["user", "id"]));
    case.schema.columns.push(user);
    let decoded = case.decode(&page).expect("valid");
    assert_eq!(
        decoded.rows,
        [
            r#"{id: 12, code: "7", user_id: "u1"}"#,
            r#"{id: 13, code: "9", user_id: "u3"}"#
        ]
    );
    assert_eq!(decoded.invalid.len(), 1);
    assert_eq!(decoded.invalid[0].number, 1);
    assert_eq!(
        decoded.invalid[0].raw,
        r#"{"id":"x","code":8,"user":{"id":"u2"},"dropped":null}"#
    );
    assert_eq!(decoded.invalid[0].reasons[0].column.as_deref(), Some("id"));
    assert_eq!(decoded.summary().fields_dropped, 2);
}

#[test]
fn later_files_widen_columns_and_add_some() {
    let narrow = file(vec![("x", array(Int64Array::from(vec![1, 2])))]);
    let wide = file(vec![
        ("x", array(StringArray::from(vec!["a"]))),
        ("y", array(BooleanArray::from(vec![true]))),
    ]);
    let decoded = Case::new(DataFormat::Parquet)
        .decode_pages(&[&narrow, &wide])
        .expect("valid");
    assert_eq!(decoded.types(), "x: string, y: boolean");
    assert_eq!(
        decoded.rows,
        [r#"{x: "1"}"#, r#"{x: "2"}"#, r#"{x: "a", y: true}"#]
    );
}

#[test]
fn a_file_that_is_none_says_so() {
    let whole = file(vec![("x", array(Int64Array::from(vec![1])))]);
    for page in [&b""[..], b"PAR1", &whole[..whole.len() / 2]] {
        let error = Case::new(DataFormat::Parquet)
            .decode(page)
            .expect_err("no file");
        assert_eq!(error.message(), "failed to read a Parquet file");
    }
    let mut case = Case::new(DataFormat::Parquet);
    case.options.max_document_bytes = 10;
    let error = case.decode(&whole).expect_err("too large");
    assert!(
        error
            .message()
            .starts_with("a Parquet file in a response is larger")
    );
}

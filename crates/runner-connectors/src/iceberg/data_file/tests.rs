use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use arrow::datatypes::Int64Type;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use runner_plan::model::{ColumnField, ColumnType as T};

use super::super::arrays::{conform, file_arrow_schema};
use super::super::schema::{FieldIds, new_schema};
use super::*;

fn column(name: &str, column_type: T) -> ColumnField {
    ColumnField {
        name: name.to_owned(),
        column_type,
        nullable: true,
    }
}

/// Metrics of a file with these columns, a row group for each batch.
fn metrics_of(columns: &[ColumnField], batches: &[Vec<ArrayRef>]) -> (Schema, Metrics) {
    let mut ids = FieldIds::default();
    ids.assign(columns, &mut 0);
    let schema = new_schema(columns, &ids).unwrap();
    let arrow_schema = file_arrow_schema(&schema).unwrap();
    let properties = WriterProperties::builder().build();
    let mut writer =
        ArrowWriter::try_new(Vec::new(), Arc::clone(&arrow_schema), Some(properties)).unwrap();
    for arrays in batches {
        let named = columns
            .iter()
            .zip(arrays)
            .map(|(column, array)| (column.name.as_str(), Arc::clone(array), true));
        let batch = RecordBatch::try_from_iter_with_nullable(named).unwrap();
        writer
            .write(&conform(&batch, &arrow_schema).unwrap())
            .unwrap();
        writer.flush().unwrap();
    }
    let metadata = writer.close().unwrap();
    let metrics = metrics(&metadata, &schema);
    (schema, metrics)
}

fn bound(stored: &BTreeMap<i32, String>, schema: &Schema, id: i32) -> Option<String> {
    let bounds = bounds(stored, schema).unwrap();
    bounds.get(&id).map(ToString::to_string)
}

#[test]
fn bounds_cover_every_row_group() {
    let columns = [
        column("n", T::Integer),
        column(
            "price",
            T::Decimal {
                precision: 6,
                scale: 2,
            },
        ),
        column("tags", T::List(Box::new(column("item", T::Integer)))),
    ];
    let group = |numbers: Vec<Option<i64>>, prices: Vec<i128>| -> Vec<ArrayRef> {
        let tags = ListArray::from_iter_primitive::<Int64Type, _, _>(
            numbers.iter().map(|number| Some(vec![*number])),
        );
        vec![
            Arc::new(Int64Array::from(numbers)),
            Arc::new(
                Decimal128Array::from(prices)
                    .with_precision_and_scale(6, 2)
                    .unwrap(),
            ),
            Arc::new(tags),
        ]
    };
    let (schema, metrics) = metrics_of(
        &columns,
        &[
            group(vec![Some(5), None], vec![-100, 7]),
            group(vec![None, None], vec![9, 8]),
            group(vec![Some(-3), Some(4)], vec![250, 1]),
        ],
    );
    assert_eq!(
        bound(&metrics.lower_bounds, &schema, 1).as_deref(),
        Some("-3")
    );
    assert_eq!(
        bound(&metrics.upper_bounds, &schema, 1).as_deref(),
        Some("5")
    );
    assert_eq!(
        bound(&metrics.lower_bounds, &schema, 2).as_deref(),
        Some("-1.00")
    );
    assert_eq!(
        bound(&metrics.upper_bounds, &schema, 2).as_deref(),
        Some("2.50")
    );
    assert_eq!(
        bound(&metrics.lower_bounds, &schema, 4),
        None,
        "items of lists"
    );
    assert_eq!(metrics.value_counts[&1], 6);
    assert_eq!(metrics.null_counts[&1], 3);
    assert_eq!(metrics.split_offsets.len(), 3);
    assert!(metrics.split_offsets.is_sorted());
}

#[test]
fn a_group_of_nothing_but_nan_makes_bounds_unknown() {
    let columns = [column("x", T::Number)];
    let group = |values: Vec<f64>| -> Vec<ArrayRef> { vec![Arc::new(Float64Array::from(values))] };
    let (schema, metrics) = metrics_of(
        &columns,
        &[group(vec![1.0, f64::NAN]), group(vec![f64::NAN])],
    );
    assert_eq!(bound(&metrics.lower_bounds, &schema, 1), None);
    assert_eq!(bound(&metrics.upper_bounds, &schema, 1), None);
}

#[test]
fn what_is_stored_of_a_file_is_read_by_later_versions() {
    let stored = r#"{
        "format": 1,
        "location": "file:///w/ns/t/data/uis-1.parquet",
        "mark": {"key": "uis.load.acme.feed.0:t", "seq": 4, "load_id": "job-1/0:t"},
        "schema": {"type": "struct", "schema-id": 0, "fields": [
            {"id": 1, "name": "id", "required": false, "type": "long"},
            {"id": 2, "name": "day", "required": false, "type": "date"}]},
        "partition": [{"source_id": 2, "transform": "month", "name": "day_month", "value": 3}],
        "metrics": {
            "column_sizes": {"1": 40}, "value_counts": {"1": 2}, "null_counts": {"1": 0},
            "lower_bounds": {"1": "AQAAAAAAAAA="}, "upper_bounds": {"1": "AgAAAAAAAAA="},
            "split_offsets": [4]
        }
    }"#;
    let details: FileDetails = serde_json::from_str(stored).unwrap();
    let spec = iceberg::spec::PartitionSpec::builder(details.schema.clone())
        .with_spec_id(3)
        .add_partition_field("day", "day_month", iceberg::spec::Transform::Month)
        .unwrap()
        .build()
        .unwrap();
    let partition_type = spec.partition_type(&details.schema).unwrap();
    let file = details
        .data_file(2, 400, &details.schema, 3, &partition_type)
        .unwrap();
    assert_eq!(file.partition().fields(), [Some(Literal::int(3))]);
    assert_eq!(file.lower_bounds()[&1], Datum::long(1));
    assert_eq!(file.upper_bounds()[&1], Datum::long(2));
    assert_eq!((file.record_count(), file.file_size_in_bytes()), (2, 400));
    let again: FileDetails = serde_json::from_value(details.to_json().unwrap()).unwrap();
    assert_eq!(again, details);
}

proptest! {
    /// Whatever the texts, and however long: a bound may be cut, and still bounds.
    #[test]
    fn bounds_of_texts_bound_them(texts in proptest::collection::vec(".{0,90}", 1..20)) {
        let columns = [column("text", T::String)];
        let array: ArrayRef = Arc::new(StringArray::from(texts.clone()));
        let (schema, metrics) = metrics_of(&columns, &[vec![array]]);
        let least = texts.iter().min().unwrap();
        let greatest = texts.iter().max().unwrap();
        let text = |stored: &BTreeMap<i32, String>| {
            bounds(stored, &schema).unwrap().get(&1).map(|datum| match datum.literal() {
                iceberg::spec::PrimitiveLiteral::String(text) => text.clone(),
                other => panic!("{other:?} is no text"),
            })
        };
        if let Some(lower) = text(&metrics.lower_bounds) {
            prop_assert!(lower.as_bytes() <= least.as_bytes());
        }
        if let Some(upper) = text(&metrics.upper_bounds) {
            prop_assert!(upper.as_bytes() >= greatest.as_bytes());
        }
    }
}

/// What is stored of a part by now: every later version has to read it.
#[test]
fn details_that_were_stored_are_read_whole() {
    let stored = serde_json::json!({
        "format": 1,
        "location": "s3://bucket/ns/t/data/day=2026-01-02/uis-1-a1-2-00000.parquet",
        "mark": { "key": "uis.load.acme.f.0:ns%2Et", "seq": 7, "load_id": "job-7/0:ns.t" },
        "schema": {
            "type": "struct",
            "schema-id": 0,
            "fields": [
                { "id": 1, "name": "id", "required": true, "type": "long" },
                { "id": 2, "name": "at", "required": false, "type": "timestamptz" },
            ],
        },
        "partition": [
            { "source_id": 2, "transform": "day", "name": "day", "value": "2026-01-02" },
        ],
        "metrics": {
            "column_sizes": { "1": 40, "2": 50 },
            "value_counts": { "1": 3, "2": 3 },
            "null_counts": { "1": 0, "2": 1 },
            "lower_bounds": { "1": "AQAAAAAAAAA=" },
            "upper_bounds": { "1": "AwAAAAAAAAA=" },
            "split_offsets": [4],
        },
    });
    let details: FileDetails = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(details.to_json().unwrap(), stored);
}

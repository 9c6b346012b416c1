//! Types, partitions and schemas: what pyiceberg finds in a table is what was written.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    ListArray, RecordBatch, StringArray, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use runner_core::ErrorKind;
use runner_plan::arrow::arrow_schema;
use runner_plan::model::{ColumnField, ColumnType as T, PartitionTransform as P};
use runner_spec::model::WriteMode;
use serde_json::json;

use crate::harness::{Lake, Load, Rows, column, of_chain};

fn batch(columns: &[ColumnField], arrays: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(arrow_schema(columns), arrays).expect("the arrays fit")
}

fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Int64Array>())
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_read_back() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let person = vec![column("name", T::String), column("id", T::Uuid)];
    let columns = [
        column("n", T::Integer),
        column("x", T::Number),
        column("ok", T::Boolean),
        column(
            "price",
            T::Decimal {
                precision: 10,
                scale: 2,
            },
        ),
        column(
            "big",
            T::Decimal {
                precision: 38,
                scale: 6,
            },
        ),
        column("text", T::String),
        column("day", T::Date),
        column("at", T::Timestamp),
        column("time", T::Time),
        column("id", T::Uuid),
        column("bytes", T::Binary),
        column("doc", T::Json),
        column("tags", T::List(Box::new(column("item", T::String)))),
        column(
            "people",
            T::List(Box::new(column("item", T::Struct(person.clone())))),
        ),
    ];
    let uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";
    let schema = arrow_schema(&columns);
    let DataType::List(tag) = schema.field(12).data_type().clone() else {
        unreachable!("tags are a list")
    };
    let DataType::List(item) = schema.field(13).data_type().clone() else {
        unreachable!("people are a list")
    };
    let DataType::Struct(fields) = item.data_type().clone() else {
        unreachable!("people are structs")
    };
    let people = StructArray::new(
        fields,
        vec![texts(&[Some("Ada"), None]), texts(&[Some(uuid), None])],
        None,
    );
    let rows = batch(
        &columns,
        vec![
            Arc::new(Int64Array::from(vec![Some(i64::MIN), None])),
            Arc::new(Float64Array::from(vec![Some(0.1), None])),
            Arc::new(BooleanArray::from(vec![Some(true), None])),
            Arc::new(
                Decimal128Array::from(vec![Some(-12_345), None]).with_precision_and_scale(10, 2)?,
            ),
            Arc::new(
                Decimal128Array::from(vec![Some(12_345_678_901_234_567_890_123_456_789), None])
                    .with_precision_and_scale(38, 6)?,
            ),
            texts(&[Some("größer"), None]),
            Arc::new(Date32Array::from(vec![Some(-1), None])),
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(1_700_000_000_123_456), None])
                    .with_timezone("UTC"),
            ),
            Arc::new(Time64MicrosecondArray::from(vec![
                Some(3_661_000_001),
                None,
            ])),
            texts(&[Some(uuid), None]),
            Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None])),
            texts(&[Some(r#"{"a":1}"#), None]),
            Arc::new(ListArray::new(
                tag,
                OffsetBuffer::from_lengths([2, 0]),
                texts(&[Some("a"), None]),
                None,
            )),
            Arc::new(ListArray::new(
                item,
                OffsetBuffer::from_lengths([2, 0]),
                Arc::new(people),
                None,
            )),
        ],
    );
    let written = Load::new(&lake, WriteMode::Append, &columns)
        .run(rows)
        .await?;
    assert_eq!((written.rows, written.already_done), (2, false));
    let types =
        lake.python("answer = {f.name: str(f.field_type) for f in table.schema().fields}")?;
    assert_eq!(
        types,
        json!({
            "n": "long", "x": "double", "ok": "boolean", "price": "decimal(10, 2)",
            "big": "decimal(38, 6)", "text": "string", "day": "date", "at": "timestamptz",
            "time": "time", "id": "uuid", "bytes": "binary", "doc": "string", "tags": "list<string>",
            "people": "list<struct<17: name: optional string, 18: id: optional uuid>>",
        })
    );
    let found = lake.rows()?;
    assert_eq!(
        found[0],
        json!({
            "n": i64::MIN, "x": 0.1, "ok": true, "price": "-123.45",
            "big": "12345678901234567890123.456789", "text": "größer", "day": "1969-12-31",
            "at": "2023-11-14 22:13:20.123456+00:00", "time": "01:01:01.000001", "id": uuid,
            "bytes": "b'\\x00\\xff'", "doc": "{\"a\":1}", "tags": ["a", null],
            "people": [{"name": "Ada", "id": uuid}, {"name": null, "id": null}],
        })
    );
    assert_eq!(found[1]["n"], json!(null));
    assert_eq!(found[1]["people"], json!([]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_say_what_is_in_them() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = [
        column("n", T::Integer),
        column(
            "price",
            T::Decimal {
                precision: 12,
                scale: 2,
            },
        ),
        column("text", T::String),
    ];
    let rows = batch(
        &columns,
        vec![
            Arc::new(Int64Array::from(vec![Some(-5), None, Some(7)])),
            Arc::new(Decimal128Array::from(vec![-1, 250, 99]).with_precision_and_scale(12, 2)?),
            texts(&[Some("b"), Some("a"), None]),
        ],
    );
    Load::new(&lake, WriteMode::Append, &columns)
        .run(rows)
        .await?;
    let metrics = lake.python(
        "file = table.inspect.files().to_pylist()[0]
answer = {name: [m['lower_bound'], m['upper_bound'], m['value_count'], m['null_value_count'], m['column_size'] > 0]
          for name, m in file['readable_metrics'].items()}
answer['rows'] = file['record_count']
answer['offsets'] = file['split_offsets']",
    )?;
    assert_eq!(
        metrics,
        json!({
            "n": [-5, 7, 3, 1, true],
            "price": ["-0.01", "2.50", 3, 0, true],
            "text": ["a", "b", 3, 1, true],
            "rows": 3,
            "offsets": [4],
        })
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_found_in_the_partitions_that_readers_look_in() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = [
        column("id", T::Integer),
        column("at", T::Timestamp),
        column("day", T::Date),
        column("name", T::String),
        column("key", T::Uuid),
        column(
            "price",
            T::Decimal {
                precision: 9,
                scale: 2,
            },
        ),
    ];
    let load = Load::new(&lake, WriteMode::Append, &columns)
        .partition("id", P::Bucket(8), "id_bucket")
        .partition("at", P::Day, "at_day")
        .partition("day", P::Month, "day_month")
        .partition("name", P::Truncate(2), "name_trunc")
        .partition("key", P::Bucket(4), "key_bucket")
        .partition("price", P::Truncate(100), "price_trunc")
        .partition("name", P::Identity, "name");
    let uuid = |n: i64| format!("0f8fad5b-d9cb-469f-a165-{n:012}");
    let micros_per_day = 86_400_000_000;
    let keys: Vec<String> = (0..40).map(uuid).collect();
    let names: Vec<Option<String>> = (0..40)
        .map(|n| (n % 10 != 9).then(|| format!("n/{}ä", n % 10)))
        .collect();
    let rows = batch(
        &columns,
        vec![
            ints(0..40),
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(
                    (0..40).map(|n| (n - 20) * micros_per_day / 2),
                )
                .with_timezone("UTC"),
            ),
            Arc::new(Date32Array::from_iter_values((0..40).map(|n| n * 10 - 100))),
            Arc::new(names.into_iter().collect::<StringArray>()),
            Arc::new(StringArray::from(keys)),
            Arc::new(
                Decimal128Array::from_iter_values((0..40).map(|n| n * 77 - 900))
                    .with_precision_and_scale(9, 2)?,
            ),
        ],
    );
    load.run(rows).await?;
    // Each filter is answered from the partitions' values first: a row filed under a wrong one would be missing.
    let found = lake.python(
        "from pyiceberg.expressions import EqualTo, GreaterThanOrEqual, IsNull
def ids(filter):
    return sorted(table.scan(row_filter=filter).to_arrow()['id'].to_pylist())
everything = table.scan().to_arrow().to_pylist()
wrong = []
for row in everything:
    for name in ('id', 'name', 'price', 'day'):
        if row[name] is not None and row['id'] not in ids(EqualTo(name, row[name])):
            wrong.append((row['id'], name))
    if row['id'] not in ids(EqualTo('at', row['at'].isoformat())):
        wrong.append((row['id'], 'at'))
    if row['id'] not in ids(EqualTo('key', str(row['key']))):
        wrong.append((row['id'], 'key'))
answer = {'rows': len(everything), 'wrong': wrong, 'nulls': ids(IsNull('name')),
          'late': ids(GreaterThanOrEqual('at', '1970-01-05T00:00:00+00:00')),
          'spec': str(table.spec()).count('transform') or len(table.spec().fields)}",
    )?;
    assert_eq!(
        found,
        json!({
            "rows": 40, "wrong": [], "nulls": [9, 19, 29, 39], "late": (28..40).collect::<Vec<_>>(), "spec": 7,
        })
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_every_version_of_a_schema_are_one_table() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let first = vec![column("id", T::Integer), column("v", T::Integer)];
    let second = vec![
        column("id", T::Integer),
        column("extra", T::Struct(vec![column("x", T::Integer)])),
        column("v", T::String),
    ];
    let mut load = Load::new(&lake, WriteMode::Append, &second);
    load.plan.load_columns = true;
    load.versions = vec![first.clone(), second.clone()];
    let extra = StructArray::try_from(vec![("x", ints([5]))])?;
    let schema = arrow_schema(&second);
    let DataType::Struct(fields) = schema.field(1).data_type().clone() else {
        unreachable!("extra is a struct")
    };
    let extra = StructArray::new(fields, extra.columns().to_vec(), None);
    let rows = [
        of_chain(0, batch(&first, vec![ints([1, 2]), ints([10, 20])])),
        Rows {
            version: 2,
            ..of_chain(
                0,
                batch(
                    &second,
                    vec![ints([3]), Arc::new(extra), texts(&[Some("x30")])],
                ),
            )
        },
    ];
    let parts = load.write(&rows).await?;
    let prepared = load.prepare(parts.clone()).await?;
    assert_ne!(prepared[0].name, parts[0].name, "the column's type widened");
    assert_eq!(prepared[1], parts[1], "the file has the table's ids");
    load.commit(&prepared).await?;
    assert_eq!(
        lake.tuples(&["id", "v", "extra", "_uis_load_id"])?,
        json!([
            [1, "10", null, "job-1/0:ns.t"],
            [2, "20", null, "job-1/0:ns.t"],
            [3, "x30", {"x": 5}, "job-1/0:ns.t"],
        ])
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_another_writer_gets_columns_and_wider_types() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    lake.python(
        "from pyiceberg.schema import Schema
from pyiceberg.types import *
catalog.create_namespace('ns')
t = catalog.create_table('ns.t', Schema(
    NestedField(1, 'id', IntegerType(), required=True),
    NestedField(2, 'ratio', FloatType()),
    NestedField(3, 'price', DecimalType(8, 2)),
    NestedField(4, 'kept', StringType(), required=True),
    NestedField(5, 'plain', TimestampType()),
))
t.append(batch(t, [{'id': 1, 'ratio': 0.5, 'price': None, 'kept': 'theirs', 'plain': None}]))",
    )?;
    let columns = [
        column("id", T::Integer),
        column("ratio", T::Number),
        column(
            "price",
            T::Decimal {
                precision: 12,
                scale: 2,
            },
        ),
        column("plain", T::Timestamp),
        column("more", T::String),
    ];
    let load = Load::new(&lake, WriteMode::Append, &columns);
    let rows = batch(
        &columns,
        vec![
            ints([1 << 40]),
            Arc::new(Float64Array::from(vec![0.1])),
            Arc::new(Decimal128Array::from(vec![1]).with_precision_and_scale(12, 2)?),
            Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC")),
            texts(&[Some("new")]),
        ],
    );
    load.run(rows).await?;
    let fields = lake.python("answer = [str(f) for f in table.schema().fields]")?;
    assert_eq!(
        fields,
        json!([
            "1: id: required long",
            "2: ratio: optional double",
            "3: price: optional decimal(12, 2)",
            "4: kept: optional string",
            "5: plain: optional timestamp",
            "6: more: optional string",
        ])
    );
    assert_eq!(
        lake.tuples(&["id", "ratio", "price", "kept", "plain", "more"])?,
        json!([
            [1, 0.5, null, "theirs", null, null],
            [1_i64 << 40, 0.1, "0.01", null, "1970-01-01 00:00:00", "new"],
        ])
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_does_not_fit_is_a_conflict_before_anything_is_written() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = [column("id", T::Integer), column("day", T::Date)];
    let rows = || {
        batch(
            &columns,
            vec![ints([1]), Arc::new(Date32Array::from(vec![1])) as ArrayRef],
        )
    };
    let load =
        Load::new(&lake, WriteMode::Append, &columns).partition("day", P::Month, "day_month");
    load.run(rows()).await?;
    let before = lake.files();

    let other = Load::new(&lake, WriteMode::Append, &columns)
        .seq(2)
        .partition("id", P::Bucket(4), "id_bucket");
    let error = other.run(rows()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(
        error.message(),
        "the table `ns.t` is partitioned by `month(day)`, not by `bucket(4, id)`"
    );

    let wider = [column("id", T::String), column("day", T::Date)];
    let other = Load::new(&lake, WriteMode::Append, &wider).seq(2);
    let texts = batch(
        &wider,
        vec![texts(&[Some("x")]), Arc::new(Date32Array::from(vec![1]))],
    );
    let error = other.run(texts).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(
        error.message(),
        "column `id` of the table `ns.t` is long, which can't take values of type string"
    );
    assert_eq!(lake.files(), before);

    // A document that names no partitions takes the table's.
    let plain = Load::new(&lake, WriteMode::Append, &columns).seq(2);
    plain.run(rows()).await?;
    assert_eq!(lake.count()?, json!(2));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_format_version_3_is_refused() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = [column("id", T::Integer)];
    let load = Load::new(&lake, WriteMode::Append, &columns);
    load.run(batch(&columns, vec![ints([1])])).await?;
    lake.python(
        "import json, re
location = table.metadata_location
path = location.removeprefix('file://')
metadata = json.load(open(path))
metadata['format-version'] = 3
metadata['next-row-id'] = 0
json.dump(metadata, open(path, 'w'))",
    )?;
    let error = load.seq(2).target().await.unwrap_err();
    assert!(
        error.message().contains("has format version 3"),
        "{error:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_format_version_1_is_written_as_one() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    lake.python(
        "from pyiceberg.schema import Schema
from pyiceberg.types import *
catalog.create_namespace('ns')
t = catalog.create_table('ns.t', Schema(NestedField(1, 'id', LongType()), NestedField(2, 'v', StringType())),
                         properties={'format-version': '1'})
t.append(batch(t, [{'id': 1, 'v': 'theirs'}, {'id': 2, 'v': 'theirs'}]))",
    )?;
    let columns = [column("id", T::Integer), column("v", T::String)];
    let append = Load::new(&lake, WriteMode::Append, &columns);
    let rows = |id, text| batch(&columns, vec![ints([id]), texts(&[Some(text)])]);
    append.run(rows(3, "ours")).await?;
    let merge = Load::new(&lake, WriteMode::Merge, &columns)
        .seq(2)
        .key(&["id"]);
    merge.run(rows(2, "merged")).await?;
    assert_eq!(
        lake.tuples(&["id", "v"])?,
        json!([[1, "theirs"], [2, "merged"], [3, "ours"]])
    );
    assert_eq!(
        lake.python("answer = table.metadata.format_version")?,
        json!(1)
    );
    Ok(())
}

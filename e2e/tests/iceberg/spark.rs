//! Spark reads what the sink wrote, rewrites it its own way, and the sink goes on from there.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use runner_e2e::provision::SPARK;
use runner_e2e::{readers, require};
use runner_plan::arrow::arrow_schema;
use runner_plan::model::{Catalog, ColumnField, ColumnType as T, PartitionTransform as P};
use runner_spec::model::WriteMode;
use serde_json::{Value, json};

use crate::harness::{Lake, Load, column};

const MICROS_PER_HOUR: i64 = 3_600_000_000;
const ROWS: &str = "SELECT id, v, CAST(price AS STRING) AS price, CAST(at AS STRING) AS at, \
     CAST(day AS STRING) AS day, ok, x FROM local.ns.t ORDER BY id";

fn columns() -> Vec<ColumnField> {
    let price = T::Decimal {
        precision: 12,
        scale: 2,
    };
    vec![
        column("id", T::Integer),
        column("v", T::String),
        column("price", price),
        column("at", T::Timestamp),
        column("day", T::Date),
        column("ok", T::Boolean),
        column("x", T::Number),
    ]
}

/// Rows known from their ids; every seventh has nulls.
fn rows(ids: std::ops::Range<i64>, version: &str) -> RecordBatch {
    let some = |id: &i64| id % 7 != 0;
    let column = |value: fn(i64) -> i64| ids.clone().map(move |id| some(&id).then(|| value(id)));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(ids.clone().collect::<Int64Array>()),
        Arc::new(
            ids.clone()
                .map(|id| some(&id).then(|| format!("{version} ä {id}")))
                .collect::<StringArray>(),
        ),
        Arc::new(
            column(|id| id * 101 - 5_000)
                .map(|cents| cents.map(i128::from))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(12, 2)
                .expect("a precision that fits"),
        ),
        Arc::new(
            column(|id| (id - 50) * MICROS_PER_HOUR + 1)
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        Arc::new(
            ids.clone()
                .map(|id| some(&id).then_some(i32::try_from(id).unwrap_or(0) - 20))
                .collect::<Date32Array>(),
        ),
        Arc::new(
            ids.clone()
                .map(|id| some(&id).then_some(id % 2 == 0))
                .collect::<BooleanArray>(),
        ),
        Arc::new(
            ids.map(|id| some(&id).then_some(f64::from(i32::try_from(id).unwrap_or(0)) / 3.0))
                .collect::<Float64Array>(),
        ),
    ];
    RecordBatch::try_new(arrow_schema(&columns()), arrays).expect("the arrays fit")
}

fn merge(lake: &Lake, seq: u64) -> Load<'_> {
    Load::new(lake, WriteMode::Merge, &columns())
        .seq(seq)
        .key(&["id"])
        .partition("id", P::Bucket(3), "id_bucket")
        .partition("at", P::Day, "at_day")
}

/// What pyiceberg reads, written as Spark writes it.
fn expected(lake: &Lake) -> Result<Value> {
    lake.python(
        "def text(value):
    return None if value is None else str(value)
answer = [{'id': r['id'], 'v': r['v'], 'price': text(r['price']), 'day': text(r['day']), 'ok': r['ok'], 'x': r['x'],
           'at': None if r['at'] is None else text(r['at']).removesuffix('+00:00')}
          for r in sorted(table.scan().to_arrow().to_pylist(), key=lambda r: r['id'])]",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn spark_reads_and_rewrites_a_merged_table() -> Result<()> {
    let (Some(lake), Some(spark)) = (Lake::sqlite()?, require(&SPARK)) else {
        return Ok(());
    };
    let Catalog::Sqlite {
        file, warehouse, ..
    } = &lake.catalog
    else {
        unreachable!("the lake has a SQLite catalog")
    };
    merge(&lake, 1).run(rows(0..100, "first")).await?;
    merge(&lake, 2).run(rows(80..130, "second")).await?;

    let before = expected(&lake)?;
    let answers = readers::spark(
        &spark,
        file,
        warehouse,
        &[
            ROWS,
            // Answered from the partitions' values first.
            "SELECT count(*) AS n FROM local.ns.t WHERE at >= TIMESTAMP '1970-01-02 00:00:00'",
            "SELECT count(*) AS n FROM local.ns.t.snapshots",
            "SELECT sum(record_count) AS n FROM local.ns.t.files",
            "CALL local.system.rewrite_data_files(table => 'ns.t', options => map('rewrite-all', 'true'))",
            "ALTER TABLE local.ns.t SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read', \
             'write.update.mode' = 'merge-on-read')",
            "DELETE FROM local.ns.t WHERE id IN (3, 81)",
            "UPDATE local.ns.t SET id = 1000, v = 'of Spark' WHERE id = 82",
        ],
    )?;
    assert_eq!(answers[0], before);
    let late = before
        .as_array()
        .context("rows")?
        .iter()
        .filter(|row| row["at"].as_str().is_some_and(|at| at >= "1970-01-02"));
    assert_eq!(answers[1], json!([{"n": late.count()}]));
    assert_eq!(answers[2], json!([{"n": 2}]));
    assert_eq!(answers[3], json!([{"n": 130}]));
    let deletes = lake.python("answer = len(table.inspect.delete_files().to_pylist())")?;
    assert_ne!(deletes, json!(0), "Spark wrote position deletes");

    // A key that Spark kept, two that it took away, one that it wrote, and new ones.
    let written = merge(&lake, 3).run(rows(80..83, "third")).await?;
    assert_eq!((written.rows, written.rows_replaced), (3, 1));
    let written = merge(&lake, 4).run(rows(1000..1003, "third")).await?;
    assert_eq!((written.rows, written.rows_replaced), (3, 1));
    let answers = readers::spark(&spark, file, warehouse, &[ROWS])?;
    assert_eq!(answers[0], expected(&lake)?);
    let ids: Vec<_> = answers[0]
        .as_array()
        .context("rows")?
        .iter()
        .filter_map(|row| row["id"].as_i64())
        .collect();
    let wanted: Vec<_> = (0..130).filter(|id| *id != 3).chain(1000..1003).collect();
    assert_eq!(ids, wanted);
    assert_eq!(answers[0][80]["v"], json!("third ä 81"));
    Ok(())
}

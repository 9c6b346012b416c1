//! Queries over staged rows: what each yields, row by row.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use runner_core::Attempt;
use runner_plan::model::ColumnType;

use super::*;

/// Staged rows in a folder of the test's own.
struct Lab {
    folder: tempfile::TempDir,
    views: BTreeMap<Input, StagedView>,
    memory_bytes: usize,
}

#[derive(Debug)]
struct Outcome {
    rows: Vec<String>,
    failed: Vec<String>,
}

fn column(name: &str, column_type: ColumnType) -> ColumnField {
    ColumnField {
        name: name.to_owned(),
        column_type,
        nullable: true,
    }
}

impl Lab {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            views: BTreeMap::new(),
            memory_bytes: 64 * 1024 * 1024,
        }
    }

    /// Adds a stream whose rows lie in one part a batch.
    async fn stage(&mut self, name: &str, columns: &[ColumnField], batches: &[Vec<ArrayRef>]) {
        let versions = BTreeMap::from([(0, columns.to_vec())]);
        let mut parts = Vec::new();
        for arrays in batches {
            let schema = runner_plan::arrow::arrow_schema(columns);
            let batch = RecordBatch::try_new(schema, arrays.clone()).unwrap();
            let folder = PartFolder::new(self.folder.path().join("stage"));
            let output = Output::Stage(name.to_owned());
            let mut writer = folder.writer(output, name, columns, 0, Attempt(1));
            writer.write(&batch, ORIGIN).await.unwrap();
            parts.extend(writer.seal().await.unwrap());
        }
        let staged = parts
            .iter()
            .map(|part| StagedPart::new(part, &versions, &BTreeMap::new()).unwrap())
            .collect();
        let view = StagedView::new(&versions, staged);
        self.views.insert(Input::Stream(name.to_owned()), view);
    }

    /// Analyses and runs a query; rows are sorted, since a query without an order has none.
    async fn run(&self, sql: &str) -> Result<Outcome> {
        let plan = TransformPlan {
            name: "t".to_owned(),
            path: "provider.transforms[0]".to_owned(),
            sql: sql.to_owned(),
            views: self
                .views
                .keys()
                .map(|input| {
                    let (Input::Stream(name) | Input::Transform(name)) = input;
                    (name.clone(), input.clone())
                })
                .collect(),
            checks: Vec::new(),
            columns: Vec::new(),
            output: Vec::new(),
            primary_key: Vec::new(),
        };
        let known = self
            .views
            .iter()
            .map(|(input, staged)| {
                let (Input::Stream(name) | Input::Transform(name)) = input;
                let key = ["id".to_owned()];
                (input.clone(), closed_view(name, staged.columns(), &key))
            })
            .collect();
        let now = "2024-02-03T04:05:06Z".parse().unwrap();
        let analysis = analyse_transform(&plan, &known, &[], now);
        let relation = analysis
            .relation
            .unwrap_or_else(|| panic!("{sql}: {:?}", analysis.diagnostics));
        let spill = self.folder.path().join("spill");
        let session = Session::open(&spill, self.memory_bytes, &self.views)?;
        let steps = RowSteps::compile(&relation.steps, &session)?;
        let views = plan
            .views
            .iter()
            .map(|(view, input)| (view.clone(), self.views[input].clone()))
            .collect();
        let mut batches = session.execute(relation.plan, &views).await?;
        let mut outcome = Outcome {
            rows: Vec::new(),
            failed: Vec::new(),
        };
        while let Some(batch) = batches.next().await {
            let evaluated = steps.run(&batch.map_err(failed)?)?;
            for batch in evaluated.batches {
                let batch = conform(&batch, &relation.columns)?;
                outcome
                    .rows
                    .extend((0..batch.num_rows()).map(|row| shown(&batch, row)));
            }
            let failed = evaluated.failed.into_iter();
            outcome
                .failed
                .extend(failed.map(|row| format!("{} {}", row.reason.code, row.raw)));
        }
        outcome.rows.sort();
        outcome.failed.sort();
        Ok(outcome)
    }

    async fn rows(&self, sql: &str) -> Vec<String> {
        let outcome = self.run(sql).await.unwrap();
        assert_eq!(outcome.failed, Vec::<String>::new(), "{sql}");
        outcome.rows
    }
}

fn shown(batch: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::default().with_null("null");
    let values = batch.columns().iter().map(|array| {
        let formatter = ArrayFormatter::try_new(array.as_ref(), &options).unwrap();
        formatter.value(row).to_string()
    });
    values.collect::<Vec<_>>().join("|")
}

/// One table with a value of each type, and what breaks engines apart: negative zero, NaN, extremes, nulls, odd texts.
async fn values() -> Lab {
    let mut lab = Lab::new();
    let cents = ColumnType::Decimal {
        precision: 10,
        scale: 2,
    };
    let columns = [
        column("id", ColumnType::Integer),
        column("n", ColumnType::Integer),
        column("x", ColumnType::Number),
        column("d", cents),
        column("t", ColumnType::String),
        column("at", ColumnType::Timestamp),
        column("day", ColumnType::Date),
        column("flag", ColumnType::Boolean),
    ];
    let at: i64 = "2024-01-31T23:59:59.123456Z"
        .parse::<chrono::DateTime<chrono::Utc>>()
        .unwrap()
        .timestamp_micros();
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3, 4])),
        Arc::new(Int64Array::from(vec![Some(7), Some(-7), Some(0), None])),
        Arc::new(Float64Array::from(vec![
            Some(0.0),
            Some(-0.0),
            Some(f64::NAN),
            Some(2.5),
        ])),
        Arc::new(
            Decimal128Array::from(vec![Some(100), Some(-250), Some(5), None])
                .with_precision_and_scale(10, 2)
                .unwrap(),
        ),
        Arc::new(StringArray::from(vec![
            Some("12"),
            Some("Zebra"),
            Some("ärger"),
            Some("apple"),
        ])),
        Arc::new(
            TimestampMicrosecondArray::from(vec![Some(at), Some(0), None, Some(-1)])
                .with_timezone("UTC"),
        ),
        Arc::new(Date32Array::from(vec![Some(0), Some(31), None, Some(-1)])),
        Arc::new(BooleanArray::from(vec![
            Some(true),
            Some(false),
            None,
            Some(true),
        ])),
    ];
    lab.stage("v", &columns, &[arrays]).await;
    lab
}

/// Queries over [`values`], with what they yield: the column "here" of the table of known splits between engines.
#[rustfmt::skip]
const MEANINGS: &[(&str, &[&str])] = &[
    // Integer division truncates; so do casts of numbers to integers.
    ("SELECT n / 2 AS a, n % 2 AS b FROM v WHERE id <= 2", &["-3|-1", "3|1"]),
    ("SELECT CAST(x AS BIGINT) AS a, CAST(-x AS BIGINT) AS b FROM v WHERE id = 4", &["2|-2"]),
    // Decimals: half up.
    ("SELECT d / 3 AS a, d * 2 AS b, CAST(d AS DECIMAL(5, 1)) AS c FROM v WHERE id IN (1, 2)", &["-0.833333|-5.00|-2.5", "0.333333|2.00|1.0"]),
    ("SELECT CAST(x AS DECIMAL(5, 0)) AS a, CAST(d AS DECIMAL(5, 1)) AS b FROM v, (SELECT 1 AS one) q WHERE id = 4 OR (id = 3 AND n > 0)", &["3|null"]),
    ("SELECT CAST(d AS DECIMAL(5, 1)) AS a FROM v WHERE id = 3", &["0.1"]),
    // One zero, one NaN, which is last.
    ("SELECT x, count(*) AS c FROM v GROUP BY x", &["0.0|2", "2.5|1", "NaN|1"]),
    ("SELECT count(*) AS c FROM v WHERE x = 0", &["2"]),
    ("SELECT max(x) AS m, min(x) AS l FROM v", &["NaN|0.0"]),
    ("SELECT a.id FROM v a JOIN v b ON a.x = b.x WHERE b.id = 1", &["1", "2"]),
    ("SELECT id, rank() OVER (ORDER BY x) AS r FROM v", &["1|1", "2|1", "3|4", "4|3"]),
    // Texts by their bytes.
    ("SELECT max(t) AS a, min(t) AS b FROM v", &["ärger|12"]),
    ("SELECT id, row_number() OVER (ORDER BY t, id) AS r FROM v", &["1|1", "2|2", "3|4", "4|3"]),
    ("SELECT upper(t) AS u, length(t) AS l FROM v WHERE id = 3", &["ÄRGER|5"]),
    // Nulls are last, whichever way the order goes.
    ("SELECT id, row_number() OVER (ORDER BY n, id) AS u, row_number() OVER (ORDER BY n DESC, id) AS d FROM v", &["1|3|1", "2|1|3", "3|2|2", "4|4|4"]),
    // Timestamps are UTC microseconds, and now() is the run's nominal time.
    ("SELECT date_trunc('month', at) AS m, date_part('second', at) AS s, CAST(at AS DATE) AS d FROM v WHERE id = 1", &["2024-01-01T00:00:00Z|59|2024-01-31"]),
    ("SELECT at + INTERVAL '1' MONTH AS m FROM v WHERE id = 1", &["2024-02-29T23:59:59.123456Z"]),
    ("SELECT now() AS n, current_date AS d FROM v WHERE id = 1", &["2024-02-03T04:05:06Z|2024-02-03"]),
    ("SELECT id FROM v WHERE at >= '1970-01-01' AND day < DATE '1970-01-05'", &["1"]),
    ("SELECT CAST('2024-01-01T01:00:00.123456789+01:00' AS TIMESTAMP) AS t FROM v WHERE id = 1", &["2024-01-01T00:00:00.123456Z"]),
    // Aggregates: exact over integers and decimals, null of nothing.
    ("SELECT sum(n) AS s, avg(n) AS a, count(n) AS c, sum(d) AS e, bool_and(flag) AS f FROM v", &["0|0.0|3|-1.45|false"]),
    ("SELECT sum(n) AS s, avg(n) AS a, count(n) AS c FROM v WHERE id > 9", &["null|null|0"]),
    ("SELECT avg(n) AS a FROM v WHERE id <= 2 OR id = 3", &["0.0"]),
    ("SELECT id, sum(n) OVER (ORDER BY id) AS s, avg(n) OVER (PARTITION BY flag) AS a FROM v", &["1|7|7.0", "2|0|-7.0", "3|0|0.0", "4|0|7.0"]),
    // Set operations, subqueries, cases.
    ("SELECT id FROM v WHERE EXISTS (SELECT 1 FROM v w WHERE w.id = v.id + 1)", &["1", "2", "3"]),
    ("SELECT id FROM v WHERE id IN (SELECT n + 9 FROM v)", &["2"]),
    ("SELECT id FROM v UNION SELECT 1 FROM v EXCEPT SELECT 2 FROM v", &["1", "3", "4"]),
    ("SELECT CASE WHEN n = 0 THEN 0 ELSE 10 / n END AS q FROM v", &["-1", "0", "1", "null"]),
    ("SELECT coalesce(n, 1.5) AS c, nullif(t, '12') AS t FROM v WHERE id IN (1, 4)", &["1.5|apple", "7.0|null"]),
    ("SELECT left(t, 2) || '-' || right(t, 1) AS j, split_part(t, 'p', 3) AS s, strpos(t, 'e') AS p FROM v WHERE id = 4", &["ap-e|le|5"]),
    ("SELECT id FROM v ORDER BY n DESC, id LIMIT 2", &["1", "3"]),
    // The mean of decimals has the digits of a quotient, half up.
    ("SELECT avg(d) AS a, avg(CAST(id AS DECIMAL(5, 0))) AS b, avg(CASE WHEN id < 3 THEN d END) AS c FROM v", &["-0.483333|2.500000|-0.750000"]),
    ("SELECT id, avg(d) OVER (ORDER BY id) AS a FROM v", &["1|1.000000", "2|-0.750000", "3|-0.483333", "4|-0.483333"]),
    ("SELECT avg(d) AS a FROM v WHERE id > 9", &["null"]),
    // The `try_` forms are null where a value can't be computed.
    ("SELECT id, try_divide(10, n) AS a, TRY_CAST(t AS BIGINT) AS b, TRY_CAST(x AS BIGINT) AS c FROM v", &["1|1|12|0", "2|-1|null|0", "3|null|null|null", "4|null|null|2"]),
    ("SELECT try_multiply(n, 4611686018427387904) AS a, try_add(9223372036854775807, n) AS b, try_mod(n, 0) AS c, try_divide(d, n) AS d FROM v WHERE id IN (1, 3)", &["0|9223372036854775807|null|null", "null|null|null|0.142857"]),
    // Queries as values; of no row they are null.
    ("SELECT id, n - (SELECT max(n) FROM v) AS a FROM v WHERE id > (SELECT avg(id) FROM v)", &["3|-7", "4|null"]),
    ("SELECT id, (SELECT count(*) FROM v w WHERE w.n = v.n) AS c, (SELECT max(w.t) FROM v w WHERE w.id = v.id + 1) AS t FROM v", &["1|1|Zebra", "2|1|ärger", "3|1|apple", "4|0|null"]),
    ("SELECT sum(n - (SELECT min(n) FROM v)) AS s, (SELECT t FROM v WHERE n > 99 ORDER BY id LIMIT 1) AS t FROM v", &["21|null"]),
    ("SELECT flag, count(*) AS c FROM v GROUP BY flag HAVING count(*) >= (SELECT max(n) / 4 FROM v)", &["false|1", "null|1", "true|2"]),
    // Rankings.
    ("SELECT id, ntile(3) OVER (ORDER BY id) AS n, percent_rank() OVER (ORDER BY x) AS p, cume_dist() OVER (ORDER BY x) AS c, nth_value(t, 2) OVER (ORDER BY id) AS v FROM v", &["1|1|0.0|0.5|null", "2|1|0.0|0.5|Zebra", "3|2|1.0|1.0|Zebra", "4|3|0.6666666666666666|0.75|Zebra"]),
    ("SELECT reverse(t) AS r, ends_with(t, 'r') AS e FROM v WHERE id = 3", &["regrä|true"]),
];

#[tokio::test]
async fn values_mean_the_same_everywhere() {
    let lab = values().await;
    for &(sql, expected) in MEANINGS {
        assert_eq!(lab.rows(sql).await, expected, "{sql}");
    }
}

/// A row whose value can't be computed is set aside with its reason, and the others go on.
#[tokio::test]
async fn a_row_that_fails_costs_itself_alone() {
    let lab = values().await;
    for (sql, rows, failed) in [
        (
            "SELECT id, 10 / n AS q FROM v",
            vec!["1|1", "2|-1", "4|null"],
            vec![r#"division_by_zero {"id":3,"n":0}"#],
        ),
        (
            "SELECT id, CAST(t AS BIGINT) AS c FROM v",
            vec!["1|12"],
            vec![
                r#"cast_failed {"id":2,"t":"Zebra"}"#,
                r#"cast_failed {"id":3,"t":"ärger"}"#,
                r#"cast_failed {"id":4,"t":"apple"}"#,
            ],
        ),
        (
            "SELECT id, n * 4611686018427387904 AS big FROM v WHERE id <> 4",
            vec!["3|0"],
            vec![r#"overflow {"id":1,"n":7}"#, r#"overflow {"id":2,"n":-7}"#],
        ),
        (
            "SELECT id, CAST(x AS BIGINT) AS c FROM v WHERE id > 2",
            vec!["4|2"],
            vec![r#"cast_failed {"id":3,"x":null}"#],
        ),
        // A condition fails for its row; what another condition has dropped can't fail.
        (
            "SELECT id FROM v WHERE id <> 3 AND 10 / n > 0",
            vec!["1"],
            vec![],
        ),
        (
            "SELECT id FROM v WHERE 10 / n > 0",
            vec!["1"],
            vec![r#"division_by_zero {"id":3,"n":0}"#],
        ),
        // Beside a query as a value too.
        (
            "SELECT id, (SELECT max(id) FROM v) / n AS q FROM v",
            vec!["1|0", "2|0", "4|null"],
            vec![r#"division_by_zero {"id":3,"n":0,"__value_0":4}"#],
        ),
        (
            "SELECT id FROM v WHERE (SELECT max(id) FROM v) / n > -1",
            vec!["1", "2"],
            vec![
                r#"division_by_zero {"id":3,"n":0,"x":null,"d":0.05,"t":"ärger","at":null,"day":null,"flag":null,"__value_0":4}"#,
            ],
        ),
        // After a group too.
        (
            "SELECT flag, 1 / sum(n) AS q FROM v GROUP BY flag",
            vec!["false|0", "true|0"],
            vec![r#"division_by_zero {"flag":null,"sum(v.n)":0}"#],
        ),
    ] {
        let outcome = lab.run(sql).await.unwrap();
        assert_eq!(outcome.rows, rows, "{sql}");
        assert_eq!(outcome.failed, failed, "{sql}");
    }
}

#[tokio::test]
async fn a_failure_inside_an_aggregate_fails_the_run() {
    let lab = values().await;
    for (sql, expected) in [
        ("SELECT sum(10 / n) AS s FROM v", "divided by zero"),
        (
            "SELECT count(*) AS c FROM v GROUP BY CAST(t AS BIGINT)",
            "Zebra",
        ),
        (
            "SELECT sum(n * 1317624576693539401) AS s FROM v WHERE id = 1",
            "",
        ),
        (
            "SELECT sum(9223372036854775807) AS s FROM v",
            "beyond 64 bits",
        ),
    ] {
        let error = lab.run(sql).await.map(|outcome| outcome.rows);
        if expected.is_empty() {
            assert_eq!(error.unwrap().len(), 1, "{sql}");
            continue;
        }
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SourceData, "{sql}");
        assert!(error.to_string().contains(expected), "{sql}: {error}");
    }
}

/// A join of two tables that fit into no memory sorts both sides on disk.
#[tokio::test]
async fn a_join_larger_than_its_memory_spills() {
    let mut lab = Lab::new();
    let columns = [
        column("id", ColumnType::Integer),
        column("text", ColumnType::String),
    ];
    let rows: i64 = 60_000;
    let side = |reversed: bool| -> Vec<ArrayRef> {
        let ids: Vec<i64> = if reversed {
            (0..rows).rev().collect()
        } else {
            (0..rows).collect()
        };
        let texts = ids
            .iter()
            .map(|id| Some(format!("{:0>120}", id * 7919 % rows)));
        vec![
            Arc::new(Int64Array::from(ids.clone())),
            Arc::new(texts.collect::<StringArray>()),
        ]
    };
    lab.stage("l", &columns, &[side(false)]).await;
    lab.stage("r", &columns, &[side(true)]).await;
    let bytes = lab.views.values().map(StagedView::bytes).sum::<u64>();
    // Each side takes 8 MB in memory.
    lab.memory_bytes = 6 * 1024 * 1024;
    assert!(bytes * 32 > lab.memory_bytes as u64, "{bytes}");
    let sql = "SELECT count(*) AS c, sum(l.id) AS s, max(r.text) AS m FROM l JOIN r ON l.id = r.id WHERE l.text = r.text";
    let outcome = lab.run(sql).await.unwrap();
    let expected = format!("{rows}|{}|{:0>120}", rows * (rows - 1) / 2, rows - 1);
    assert_eq!(outcome.rows, [expected]);
}

/// Rows of chains that started over are left out, and older parts have their columns widened.
#[tokio::test]
async fn superseded_rows_and_narrow_columns() {
    let lab = Lab::new();
    let narrow = vec![column("id", ColumnType::Integer)];
    let wide = vec![
        column("id", ColumnType::Number),
        column("note", ColumnType::String),
    ];
    let versions = BTreeMap::from([(0, narrow.clone()), (1, wide.clone())]);
    let folder = PartFolder::new(lab.folder.path().join("stage"));
    let batch = |ids: Vec<i64>| {
        let ids: ArrayRef = Arc::new(Int64Array::from(ids));
        RecordBatch::try_new(runner_plan::arrow::arrow_schema(&narrow), vec![ids]).unwrap()
    };
    let origin = |chain, generation| RowOrigin { chain, generation };
    let output = Output::Stage("s".to_owned());
    let mut writer = folder.writer(output, "s", &narrow, 0, Attempt(1));
    writer
        .write(&batch(vec![1, 2]), origin(0, 0))
        .await
        .unwrap();
    writer.write(&batch(vec![3]), origin(1, 0)).await.unwrap();
    writer
        .write(&batch(vec![4, 5]), origin(0, 1))
        .await
        .unwrap();
    let old = writer.seal().await.unwrap().remove(0);
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from(vec![0.5])),
        Arc::new(StringArray::from(vec!["half"])),
    ];
    let new = RecordBatch::try_new(runner_plan::arrow::arrow_schema(&wide), arrays).unwrap();
    let output = Output::Stage("s".to_owned());
    let mut writer = folder.writer(output, "s", &wide, 1, Attempt(1));
    writer.write(&new, origin(2, 0)).await.unwrap();
    let new = writer.seal().await.unwrap().remove(0);
    let generations = BTreeMap::from([(0, 1)]);
    let staged = [old, new]
        .iter()
        .map(|part| StagedPart::new(part, &versions, &generations).unwrap())
        .collect();
    let mut lab = lab;
    let view = StagedView::new(&versions, staged);
    lab.views.insert(Input::Stream("s".to_owned()), view);
    assert_eq!(
        lab.rows("SELECT id, note FROM s").await,
        ["0.5|half", "3.0|null", "4.0|null", "5.0|null"]
    );
    assert_eq!(lab.rows("SELECT count(*) AS c FROM s").await, ["4"]);
}

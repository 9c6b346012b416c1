//! Loads with a key: which row stays, in the load and against the table, position deletes of other writers included.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use runner_core::ErrorKind;
use runner_plan::arrow::arrow_schema;
use runner_plan::model::{ColumnType as T, PartitionTransform as P};
use runner_spec::model::WriteMode;
use serde_json::json;

use crate::harness::{Lake, Load, column, id_and_value, numbers, of_chain, pairs};

fn merge(lake: &Lake, seq: u64) -> Load<'_> {
    Load::new(lake, WriteMode::Merge, &id_and_value())
        .seq(seq)
        .key(&["id"])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_later_row_of_a_key_stays() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let first = merge(&lake, 1)
        .run_all(&[
            of_chain(0, pairs([(1, "a"), (2, "a"), (1, "b")])),
            of_chain(1, pairs([(2, "c"), (3, "a")])),
        ])
        .await?;
    assert_eq!(
        (first.rows, first.rows_skipped, first.rows_replaced),
        (3, 0, 0)
    );
    let second = merge(&lake, 2).run(pairs([(2, "d"), (4, "a")])).await?;
    assert_eq!((second.rows, second.rows_replaced), (2, 1));
    assert_eq!(
        lake.tuples(&["id", "v", "_uis_seq"])?,
        json!([[1, "b", 1], [2, "d", 2], [3, "a", 1], [4, "a", 2]])
    );
    let deletes = lake.python("answer = len(table.inspect.delete_files().to_pylist())")?;
    assert_eq!(deletes, json!(0), "copy on write");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_cursor_loses_wherever_it_comes_from() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = [
        column("id", T::Integer),
        column("at", T::Integer),
        column("v", T::String),
    ];
    let rows = |rows: &[(i64, Option<i64>, &str)]| {
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| Some(row.2)).collect::<StringArray>()),
        ];
        RecordBatch::try_new(arrow_schema(&columns), arrays).expect("the arrays fit")
    };
    let load = |seq| {
        Load::new(&lake, WriteMode::Merge, &columns)
            .seq(seq)
            .key(&["id"])
            .cursor("at")
    };
    load(1)
        .run(rows(&[
            (1, Some(10), "new"),
            (1, Some(5), "old"),
            (2, Some(10), "kept"),
            (3, None, "null"),
        ]))
        .await?;
    let written = load(2)
        .run(rows(&[
            (1, Some(10), "same"),
            (2, Some(9), "older"),
            (3, Some(0), "some"),
            (4, None, "first"),
        ]))
        .await?;
    assert_eq!(
        (written.rows, written.rows_skipped, written.rows_replaced),
        (3, 1, 2)
    );
    assert_eq!(
        lake.tuples(&["id", "v"])?,
        json!([[1, "same"], [2, "kept"], [3, "some"], [4, "first"]])
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_inserts_missing_keys_only() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    merge(&lake, 1).run(pairs([(1, "a"), (2, "a")])).await?;
    let mut backfill = merge(&lake, 2);
    backfill.insert_only = true;
    let written = backfill.run(pairs([(2, "b"), (3, "b")])).await?;
    assert_eq!(
        (written.rows, written.rows_skipped, written.rows_replaced),
        (1, 1, 0)
    );
    assert_eq!(
        lake.tuples(&["id", "v"])?,
        json!([[1, "a"], [2, "a"], [3, "b"]])
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn append_with_a_key_skips_keys_that_are_there() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let load = |seq| {
        Load::new(&lake, WriteMode::Append, &id_and_value())
            .seq(seq)
            .key(&["id"])
    };
    load(1).run(pairs([(1, "a"), (1, "b"), (2, "a")])).await?;
    let before =
        lake.python("answer = [f['file_path'] for f in table.inspect.files().to_pylist()]")?;
    let written = load(2).run(pairs([(1, "z"), (3, "z")])).await?;
    assert_eq!((written.rows, written.rows_skipped), (1, 1));
    assert_eq!(
        lake.tuples(&["id", "v"])?,
        json!([[1, "b"], [2, "a"], [3, "z"]])
    );
    let after =
        lake.python("answer = [f['file_path'] for f in table.inspect.files().to_pylist()]")?;
    let before = before.as_array().cloned().unwrap_or_default();
    let after = after.as_array().cloned().unwrap_or_default();
    assert!(
        before.iter().all(|file| after.contains(file)),
        "nothing was rewritten"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_several_columns_and_types_is_matched() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = [
        column("key", T::Uuid),
        column("part", T::String),
        column("v", T::Integer),
    ];
    let uuid = |n: usize| format!("0f8fad5b-d9cb-469f-a165-{n:012}");
    let rows = |rows: &[(usize, &str, i64)]| {
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(
                rows.iter()
                    .map(|row| Some(uuid(row.0)))
                    .collect::<StringArray>(),
            ),
            Arc::new(rows.iter().map(|row| Some(row.1)).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
        ];
        RecordBatch::try_new(arrow_schema(&columns), arrays).expect("the arrays fit")
    };
    let load = |seq| {
        Load::new(&lake, WriteMode::Merge, &columns)
            .seq(seq)
            .key(&["part", "key"])
            .partition("key", P::Bucket(3), "key_bucket")
    };
    load(1)
        .run(rows(&[(1, "a", 1), (1, "b", 2), (2, "a", 3), (3, "a", 4)]))
        .await?;
    let written = load(2).run(rows(&[(1, "b", 20), (3, "b", 40)])).await?;
    assert_eq!(written.rows_replaced, 1);
    let found = lake
        .python("answer = sorted([str(r['key'])[-1], r['part'], r['v']] for r in rows(table))")?;
    assert_eq!(
        found,
        json!([
            ["1", "a", 1],
            ["1", "b", 20],
            ["2", "a", 3],
            ["3", "a", 4],
            ["3", "b", 40]
        ])
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_without_a_key_of_the_load_are_neither_read_nor_written() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    for seq in 0..10_u64 {
        let from = i64::try_from(seq)? * 100;
        merge(&lake, seq + 1).run(numbers(from, from + 100)).await?;
    }
    // A file that can't be read any more, in a range that the load has nothing in.
    lake.python(
        "files = sorted(table.inspect.files().to_pylist(), key=lambda f: f['readable_metrics']['id']['lower_bound'])
open(files[3]['file_path'].removeprefix('file://'), 'w').close()",
    )?;
    let written = merge(&lake, 11)
        .run(pairs([(550, "x"), (5000, "x")]))
        .await?;
    assert_eq!((written.rows, written.rows_replaced), (2, 1));
    let files = lake
        .python("answer = sorted(f['record_count'] for f in table.inspect.files().to_pylist())")?;
    assert_eq!(
        files,
        json!([2, 99, 100, 100, 100, 100, 100, 100, 100, 100, 100])
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn position_deletes_of_others_stay_deleted() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    merge(&lake, 1).run(numbers(0, 10)).await?;
    merge(&lake, 2).run(numbers(10, 20)).await?;
    lake.python(
        "files = sorted(table.inspect.files().to_pylist(), key=lambda f: f['readable_metrics']['id']['lower_bound'])
delete_positions(table, [(files[0]['file_path'], 3), (files[0]['file_path'], 7), (files[1]['file_path'], 0)])",
    )?;
    assert_eq!(lake.python("answer = len(rows(table))")?, json!(17));
    // 7 is deleted and comes again, 4 is replaced, 3 stays deleted though its file is rewritten.
    let written = merge(&lake, 3).run(pairs([(7, "x"), (4, "x")])).await?;
    assert_eq!((written.rows, written.rows_replaced), (2, 1));
    let ids = "answer = sorted(r['id'] for r in rows(table))";
    let expected: Vec<i64> = (0..20).filter(|id| ![3, 10].contains(id)).collect();
    assert_eq!(lake.python(ids)?, json!(expected));
    assert_eq!(
        lake.python("answer = sorted(r['id'] for r in rows(table) if r['v'] == 'x')")?,
        json!([4, 7])
    );
    // A replace of the whole table takes the deletes with it.
    Load::new(&lake, WriteMode::Replace, &id_and_value())
        .seq(4)
        .run(numbers(0, 3))
        .await?;
    assert_eq!(lake.python(ids)?, json!([0, 1, 2]));
    assert_eq!(
        lake.python("answer = len(table.inspect.delete_files().to_pylist())")?,
        json!(0)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn equality_deletes_of_others_are_refused_where_they_matter() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    merge(&lake, 1).run(numbers(0, 10)).await?;
    lake.python("delete_equal(table, 'id', 3)")?;
    // Files that the deletes don't apply to, and rows that nothing is compared with, are fine.
    merge(&lake, 2).run(numbers(100, 110)).await?;
    let error = merge(&lake, 3).run(pairs([(4, "x")])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Sink);
    assert_eq!(error.retry(), runner_core::Retry::Never);
    assert!(error.message().contains("equality deletes"), "{error:?}");
    assert!(error.help().is_some_and(|help| help.contains("compact")));
    Load::new(&lake, WriteMode::Append, &id_and_value())
        .seq(4)
        .run(numbers(200, 210))
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_keeps_columns_that_the_load_has_not() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    merge(&lake, 1).run(pairs([(1, "a"), (2, "a")])).await?;
    lake.python(
        "from pyiceberg.types import *
with table.update_schema() as update:
    update.add_column('theirs', MapType(1, StringType(), 2, LongType()))
    update.add_column('nested', StructType(NestedField(1, 'x', LongType()), NestedField(2, 'y', StringType())))
table = load('ns.t')
table.append(batch(table, [{'id': 3, 'v': 'b', 'theirs': [('k', 7)], 'nested': {'x': 1, 'y': 'z'}, '_uis_seq': None}]))",
    )?;
    merge(&lake, 2).run(pairs([(1, "c")])).await?;
    lake.python(
        "table.append(batch(table, [{'id': 4, 'v': 'b', 'theirs': [('k', 8)], 'nested': {'x': 2, 'y': None}, '_uis_seq': None},
                             {'id': 5, 'v': 'b', 'theirs': [], 'nested': None, '_uis_seq': None}]))",
    )?;
    merge(&lake, 3).run(pairs([(5, "c")])).await?;
    assert_eq!(
        lake.tuples(&["id", "v", "theirs", "nested"])?,
        json!([
            [1, "c", null, null],
            [2, "a", null, null],
            [3, "b", [["k", 7]], {"x": 1, "y": "z"}],
            [4, "b", [["k", 8]], {"x": 2, "y": null}],
            [5, "c", null, null],
        ])
    );
    Ok(())
}

//! Other writers between compute and commit: pyiceberg on the same table, and loads of other feeds at the same time.

use anyhow::Result;
use runner_core::ErrorKind;
use runner_spec::model::WriteMode;
use serde_json::json;

use crate::harness::{Interposer, Lake, Load, id_and_value, numbers, pairs};

const APPEND: &str = "table.append(batch(table, [{'id': 1000, 'v': 'theirs'}]))";
/// All rows in one new file, as a compaction does.
const COMPACT: &str = "everything = table.scan().to_arrow()
table.overwrite(everything)";

#[tokio::test(flavor = "multi_thread")]
async fn an_append_is_put_on_top_of_a_foreign_one() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = id_and_value();
    Load::new(&lake, WriteMode::Append, &columns)
        .run(numbers(0, 10))
        .await?;
    let mut load = Load::new(&lake, WriteMode::Append, &columns).seq(2);
    let clock = Interposer::new([lake.python_later(APPEND), lake.python_later(COMPACT)]);
    load.clock = clock.clone();
    let written = load.run(numbers(10, 20)).await?;
    assert_eq!(clock.remaining(), 0);
    assert_eq!(written.rows, 10);
    assert_eq!(lake.count()?, json!(21));
    let history = lake.python(
        "answer = [table.snapshot_by_id(h.snapshot_id).summary.operation.value for h in table.history()]",
    )?;
    assert_eq!(history.as_array().map(Vec::len), Some(5), "{history}");
    assert_eq!(history[4], json!("append"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replace_replaces_what_came_in_between() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = id_and_value();
    Load::new(&lake, WriteMode::Append, &columns)
        .run(numbers(0, 10))
        .await?;
    let mut load = Load::new(&lake, WriteMode::Replace, &columns).seq(2);
    load.clock = Interposer::new([lake.python_later(APPEND)]);
    let written = load.run(numbers(10, 12)).await?;
    assert_eq!(written.rows_replaced, 11);
    assert_eq!(lake.count()?, json!(2));
    Ok(())
}

fn merge(lake: &Lake, seq: u64) -> Load<'_> {
    Load::new(lake, WriteMode::Merge, &id_and_value())
        .seq(seq)
        .key(&["id"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_goes_on_top_of_rows_with_other_keys() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    merge(&lake, 1).run(numbers(0, 10)).await?;
    let mut load = merge(&lake, 2);
    load.clock = Interposer::new([lake.python_later(APPEND)]);
    let written = load.run(pairs([(3, "x"), (30, "x")])).await?;
    assert_eq!((written.rows, written.rows_replaced), (2, 1));
    let found = lake.python(
        "answer = [len(rows(table)), sorted(r['id'] for r in rows(table) if r['v'] in ('x', 'theirs'))]",
    )?;
    assert_eq!(found, json!([12, [3, 30, 1000]]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_is_computed_again_where_its_keys_were_added_or_its_files_rewritten() -> Result<()>
{
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    merge(&lake, 1).run(numbers(0, 10)).await?;
    let mut load = merge(&lake, 2);
    let clock = Interposer::new([
        lake.python_later(
            "table.append(batch(table, [{'id': 30, 'v': 'theirs', '_uis_seq': None}]))",
        ),
        lake.python_later(COMPACT),
        lake.python_later(
            "path = table.inspect.files().to_pylist()[0]['file_path']
ids = pq.read_table(path.removeprefix('file://'))['id'].to_pylist()
delete_positions(table, [(path, ids.index(5))])",
        ),
    ]);
    load.clock = clock.clone();
    let written = load.run(pairs([(3, "x"), (30, "x"), (31, "x")])).await?;
    assert_eq!(clock.remaining(), 0);
    assert_eq!((written.rows, written.rows_replaced), (3, 2));
    let found = lake.python(
        "answer = [len(rows(table)), sorted(r['id'] for r in rows(table) if r['v'] == 'x')]",
    )?;
    // Eleven rows, one deleted by position, two replaced, three loaded.
    assert_eq!(found[1], json!([3, 30, 31]));
    let total = found[0].as_u64();
    assert!(total == Some(11), "{found}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_gives_way_after_five_computations() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    merge(&lake, 1).run(numbers(0, 10)).await?;
    let mut load = merge(&lake, 2);
    let add = "table.append(batch(table, [{'id': 3, 'v': 'theirs', '_uis_seq': None}]))";
    let clock = Interposer::new((0..8).map(|_| lake.python_later(add)));
    load.clock = clock.clone();
    let parts = load
        .prepare(
            load.write(&[crate::harness::of_chain(0, pairs([(3, "x")]))])
                .await?,
        )
        .await?;
    let error = load.commit(&parts).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.retry(), runner_core::Retry::WithBackoff);
    assert_eq!(clock.remaining(), 3);
    // Nothing is lost: the next try finds the table quiet.
    load.clock = Interposer::new([]);
    let written = load.commit(&parts).await?;
    assert_eq!((written.rows, written.rows_replaced), (1, 6));
    assert_eq!(lake.count()?, json!(10));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn feeds_that_load_one_table_at_once_all_get_in() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = id_and_value();
    Load::new(&lake, WriteMode::Append, &columns)
        .run(numbers(0, 1))
        .await?;
    let feeds = (1..=6_i64).map(|feed| {
        let mut load = Load::new(&lake, WriteMode::Append, &columns);
        load.feed = format!("feed-{feed}");
        async move { load.run(numbers(feed * 100, feed * 100 + 10)).await }
    });
    let mut tasks = Vec::new();
    for feed in feeds {
        tasks.push(feed);
    }
    for result in futures_join(tasks).await {
        result?;
    }
    assert_eq!(lake.count()?, json!(61));
    let marks = lake
        .python("answer = sum(1 for name in table.properties if name.startswith('uis.load.'))")?;
    assert_eq!(marks, json!(7));
    Ok(())
}

/// Drives all of them at once on this task.
async fn futures_join<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures
        .into_iter()
        .map(|future| Some(Box::pin(future)))
        .collect();
    let mut done: Vec<Option<T>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (slot, result) in pending.iter_mut().zip(&mut done) {
            if let Some(future) = slot
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *result = Some(value);
                *slot = None;
            }
        }
        if pending.iter().all(Option::is_none) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

//! Append and replace: once, whatever is repeated, and nothing else of the table touched.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch};
use chrono::{DateTime, Utc};
use runner_connectors::sink::{RowOrigin, Target as _};
use runner_core::{Committer as _, ErrorKind};
use runner_plan::arrow::arrow_schema;
use runner_plan::model::{ColumnType as T, PartitionTransform as P};
use runner_spec::model::WriteMode;
use serde_json::json;

use crate::harness::{Lake, Load, Rows, column, id_and_value, numbers, of_chain, pairs};

#[tokio::test(flavor = "multi_thread")]
async fn a_load_is_committed_once_however_often_it_is_tried() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = id_and_value();
    let load = Load::new(&lake, WriteMode::Append, &columns);
    let parts = load
        .prepare(load.write(&[of_chain(0, numbers(0, 10))]).await?)
        .await?;
    let first = load.commit(&parts).await?;
    assert_eq!((first.rows, first.already_done), (10, false));
    let again = load.commit(&parts).await?;
    assert_eq!((again.rows, again.already_done), (10, true));
    // A crash between prepare and commit: another attempt prepares anew.
    let prepared = load.prepare(parts.clone()).await?;
    assert!(load.commit(&prepared).await?.already_done);
    assert_eq!(lake.count()?, json!(10));
    let mark =
        lake.python("answer = json.loads(table.properties['uis.load.acme.feed.0:ns%2Et'])")?;
    assert_eq!(
        (&mark["seq"], &mark["load_id"]),
        (&json!(1), &json!("job-1/0:ns.t"))
    );
    let snapshot = lake.python(
        "s = table.current_snapshot()
answer = [s.summary.operation.value, s.summary['added-records'], s.summary['total-records'], s.summary['uis.load-id']]",
    )?;
    assert_eq!(snapshot, json!(["append", "10", "10", "job-1/0:ns.t"]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_load_is_a_conflict() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = id_and_value();
    let late = Load::new(&lake, WriteMode::Append, &columns).seq(1);
    let late_parts = late.write(&[of_chain(0, numbers(0, 5))]).await?;
    let late_prepared = late.prepare(late_parts.clone()).await?;
    Load::new(&lake, WriteMode::Append, &columns)
        .seq(2)
        .run(numbers(100, 110))
        .await?;
    let error = late.commit(&late_prepared).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("number 2"), "{error:?}");
    assert_eq!(
        late.prepare(late_parts).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    // The same number under another load id: the job store was lost.
    let mut lost = Load::new(&lake, WriteMode::Append, &columns).seq(2);
    lost.job = "job-other".to_owned();
    assert_eq!(
        lost.run(numbers(0, 1)).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    // Another feed counts for itself.
    let mut other = Load::new(&lake, WriteMode::Append, &columns).seq(1);
    other.feed = "other".to_owned();
    other.run(numbers(200, 201)).await?;
    assert_eq!(lake.count()?, json!(11));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_without_rows_leaves_its_mark() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = id_and_value();
    let empty = Load::new(&lake, WriteMode::Append, &columns).seq(7);
    let prepared = empty.prepare(Vec::new()).await?;
    empty.commit(&prepared).await?;
    assert!(empty.commit(&prepared).await?.already_done);
    assert_eq!(lake.count()?, json!(0));
    assert_eq!(
        lake.python("answer = [str(f.field_type) for f in table.schema().fields]")?,
        json!(["long", "string"])
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_chain_that_started_over_are_left_out() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = id_and_value();
    let mut load = Load::new(&lake, WriteMode::Append, &columns);
    let rows = |chain, generation, batch| Rows {
        version: 1,
        origin: RowOrigin { chain, generation },
        batch,
    };
    // One file with rows of two chains, one of them superseded.
    let target = load.target().await?;
    let mut writer = target
        .writer(runner_connectors::sink::WriterContext {
            load: load.context(),
            input: crate::harness::INPUT.to_owned(),
            attempt: runner_core::Attempt(1),
            columns: columns.clone(),
            schema_version: 1,
            memory_bytes: 1 << 20,
        })
        .await?;
    for item in [
        rows(0, 0, numbers(0, 10)),
        rows(1, 0, numbers(10, 20)),
        rows(0, 0, numbers(20, 30)),
        rows(1, 1, numbers(40, 45)),
    ] {
        writer.write(&item.batch, item.origin).await?;
    }
    let mut parts = writer.seal().await?;
    assert_eq!(parts.len(), 1);
    parts.extend(load.write(&[rows(0, 1, numbers(50, 60))]).await?);
    load.generations = [(("stream".to_owned(), 0), 1), (("stream".to_owned(), 1), 1)].into();
    let prepared = load.prepare(parts).await?;
    assert_eq!(prepared.iter().map(|part| part.rows).sum::<u64>(), 15);
    load.commit(&prepared).await?;
    let ids = lake.python("answer = sorted(r['id'] for r in rows(table))")?;
    assert_eq!(ids, json!((40..45).chain(50..60).collect::<Vec<_>>()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn replace_leaves_what_was_loaded_and_nothing_else() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = id_and_value();
    Load::new(&lake, WriteMode::Append, &columns)
        .seq(1)
        .run(numbers(0, 100))
        .await?;
    lake.python("table.append(batch(table, [{'id': 1000, 'v': 'theirs'}]))")?;
    let written = Load::new(&lake, WriteMode::Replace, &columns)
        .seq(2)
        .run(pairs([(1, "new"), (2, "new")]))
        .await?;
    assert_eq!((written.rows, written.rows_replaced), (2, 101));
    assert_eq!(lake.tuples(&["id", "v"])?, json!([[1, "new"], [2, "new"]]));
    let summary = lake.python(
        "s = table.current_snapshot().summary
answer = [s.operation.value, s['deleted-records'], s['total-records'], s['total-data-files']]",
    )?;
    assert_eq!(summary, json!(["overwrite", "101", "2", "1"]));
    // Readers of the snapshot before still have its rows.
    assert_eq!(
        lake.python(
            "answer = table.scan(snapshot_id=table.current_snapshot().parent_snapshot_id).count()"
        )?,
        json!(101)
    );
    Ok(())
}

fn days(rows: &[(i64, i32)]) -> RecordBatch {
    let columns = [column("id", T::Integer), column("day", T::Date)];
    let (ids, days): (Vec<i64>, Vec<i32>) = rows.iter().copied().unzip();
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids)),
        Arc::new(Date32Array::from(days)),
    ];
    RecordBatch::try_new(arrow_schema(&columns), arrays).expect("the arrays fit")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_windowed_replace_touches_only_its_partitions() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = [column("id", T::Integer), column("day", T::Date)];
    let load = |seq| {
        let mut load = Load::new(&lake, WriteMode::Replace, &columns)
            .seq(seq)
            .partition("day", P::Identity, "day");
        load.plan.replace_scope = vec!["day".to_owned()];
        load
    };
    let all: Vec<(i64, i32)> = (0..10).map(|n| (i64::from(n), n)).collect();
    load(1).run(days(&all)).await?;
    let mut window = load(2);
    let bounds = |from: &str, to: &str| vec![("day".to_owned(), from.to_owned(), to.to_owned())];
    window.replace_bounds = bounds("1970-01-03", "1970-01-06T00:00:00Z");
    let written = window.run(days(&[(100, 3)])).await?;
    assert_eq!(written.rows_replaced, 3);
    let ids = "answer = sorted(r['id'] for r in rows(table))";
    assert_eq!(lake.python(ids)?, json!([0, 1, 5, 6, 7, 8, 9, 100]));

    let mut cut = load(3);
    cut.replace_bounds = bounds("1970-01-07", "1970-01-08T12:00:00Z");
    let error = cut.run(days(&[(200, 6)])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(
        error.message().contains("only a part of a partition"),
        "{error:?}"
    );

    // Without windows the partitions that the load has rows in are replaced.
    load(4).run(days(&[(300, 0), (301, 8)])).await?;
    assert_eq!(lake.python(ids)?, json!([1, 5, 6, 7, 9, 100, 300, 301]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn discard_takes_what_the_table_does_not_name() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = id_and_value();
    let load = Load::new(&lake, WriteMode::Append, &columns);
    let blocked = load.write(&[of_chain(0, numbers(0, 5))]).await?;
    assert_eq!(lake.files().len(), 1, "a part, and no table yet");
    load.target().await?.discard(&blocked).await?;
    assert!(lake.files().is_empty());

    let committed = load
        .prepare(load.write(&[of_chain(0, numbers(0, 5))]).await?)
        .await?;
    load.commit(&committed).await?;
    let given_up = Load::new(&lake, WriteMode::Append, &columns).seq(2);
    let parts = given_up.write(&[of_chain(0, numbers(5, 9))]).await?;
    let target = given_up.target().await?;
    for _ in 0..2 {
        target.discard(&committed).await?;
        target.discard(&parts).await?;
    }
    assert!(!lake.files().contains(&parts[0].name));
    // Loads after it don't make the table forget what it refers to.
    Load::new(&lake, WriteMode::Append, &columns)
        .seq(3)
        .run(numbers(20, 22))
        .await?;
    target.discard(&committed).await?;
    assert_eq!(lake.count()?, json!(7));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeping_spares_what_anybody_needs() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = id_and_value();
    let load = Load::new(&lake, WriteMode::Append, &columns);
    load.run(numbers(0, 5)).await?;
    let leftover = load.write(&[of_chain(0, numbers(0, 5))]).await?;
    let recorded = load.write(&[of_chain(0, numbers(0, 5))]).await?;
    let mut other = Load::new(&lake, WriteMode::Append, &columns);
    other.feed = "other".to_owned();
    let foreign = other.write(&[of_chain(0, numbers(0, 5))]).await?;
    let target = load.target().await?;
    let names = [recorded[0].name.clone()].into();
    let long_ago = DateTime::UNIX_EPOCH;
    let later: DateTime<Utc> = "2100-01-01T00:00:00Z".parse()?;
    assert!(target.sweep(&names, long_ago, false).await?.is_empty());
    let shown = target.sweep(&names, later, true).await?;
    assert_eq!(shown.len(), 1);
    assert!(shown[0].ends_with(&leftover[0].name), "{shown:?}");
    assert!(
        lake.files().contains(&leftover[0].name),
        "nothing was taken away"
    );
    target.sweep(&names, later, false).await?;
    let files = lake.files();
    assert!(!files.contains(&leftover[0].name));
    assert!(files.contains(&recorded[0].name) && files.contains(&foreign[0].name));
    assert_eq!(lake.count()?, json!(5));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn probing_writes_nothing() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let load = Load::new(&lake, WriteMode::Append, &id_and_value());
    let target = load.target().await?;
    target.probe().await?;
    assert_eq!(target.columns().await?, None);
    assert!(lake.files().is_empty());
    load.run(numbers(0, 1)).await?;
    target.probe().await?;
    assert_eq!(target.columns().await?, Some(id_and_value()));
    assert!(!target.can_widen(&column("id", T::Integer), &column("id", T::String)));
    assert!(target.can_widen(&column("new", T::Integer), &column("new", T::String)));
    Ok(())
}

//! Tables with a long history: metadata doesn't grow without end.

use anyhow::Result;
use runner_core::{Clock as _, SystemClock};
use runner_spec::model::WriteMode;
use serde_json::json;

use crate::harness::{Lake, Load, id_and_value, numbers};

#[tokio::test(flavor = "multi_thread")]
async fn old_snapshots_and_their_files_go() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let load = |seq: u64| Load::new(&lake, WriteMode::Replace, &id_and_value()).seq(seq);
    load(1).run(numbers(0, 3)).await?;
    lake.python(
        "with table.transaction() as t:
    t.set_properties({'uis.history.max-snapshots': '5', 'write.metadata.previous-versions-max': '10'})",
    )?;
    let mut before = 0;
    // Twenty expire at once, so what is there swings with that period.
    for seq in 2..=70 {
        load(seq).run(numbers(0, 3)).await?;
        if seq == 50 {
            before = lake.files().len();
        }
    }
    let snapshots = lake.python("answer = len(table.snapshots())")?;
    assert!(
        snapshots.as_u64().is_some_and(|count| count <= 25),
        "{snapshots}"
    );
    let after = lake.files().len();
    assert!(after <= before, "{before} files became {after}");
    // Every snapshot that is left can still be read.
    let counts = lake.python(
        "answer = sorted({table.scan(snapshot_id=s.snapshot_id).count() for s in table.snapshots()})",
    )?;
    assert_eq!(counts, json!([3]));
    let log = lake.python("answer = len(table.metadata.metadata_log)")?;
    assert!(log.as_u64().is_some_and(|count| count <= 10), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_younger_than_an_unfinished_load_stay() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let began = SystemClock::new().now();
    for seq in 1..=40 {
        let mut load = Load::new(&lake, WriteMode::Append, &id_and_value()).seq(seq);
        load.oldest_unfinished = Some(began);
        load.run(numbers(0, 1)).await?;
        if seq == 1 {
            lake.python(
                "with table.transaction() as t:
    t.set_properties({'uis.history.max-snapshots': '5'})",
            )?;
        }
    }
    assert_eq!(lake.python("answer = len(table.snapshots())")?, json!(40));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_and_tags_keep_the_history() -> Result<()> {
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    for seq in 1..=30 {
        let load = Load::new(&lake, WriteMode::Append, &id_and_value()).seq(seq);
        load.run(numbers(0, 1)).await?;
        if seq == 1 {
            lake.python(
                "with table.transaction() as t:
    t.set_properties({'uis.history.max-snapshots': '2'})
table = load('ns.t')
table.manage_snapshots().create_tag(table.current_snapshot().snapshot_id, 'first').commit()",
            )?;
        }
    }
    assert_eq!(lake.python("answer = len(table.snapshots())")?, json!(30));
    Ok(())
}

/// What such an append costs is counted where the connectors are tested (`append_is_constant`).
#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_many_loads_is_whole_and_has_few_manifests() -> Result<()> {
    const LOADS: u64 = 700;
    let Some(lake) = Lake::sqlite()? else {
        return Ok(());
    };
    let columns = id_and_value();
    for seq in 1..=LOADS {
        let load = Load::new(&lake, WriteMode::Append, &columns).seq(seq);
        let parts = load
            .prepare(
                load.write(&[crate::harness::of_chain(0, numbers(0, 1))])
                    .await?,
            )
            .await?;
        load.commit(&parts).await?;
        if seq == 1 {
            lake.python(
                "with table.transaction() as t:
    t.set_properties({'uis.history.max-snapshots': '50'})",
            )?;
        }
    }
    let state = lake.python(
        "answer = [table.scan().count(), len(table.inspect.files()), len(table.current_snapshot().manifests(table.io))]",
    )?;
    assert_eq!((&state[0], &state[1]), (&json!(LOADS), &json!(LOADS)));
    assert!(
        state[2].as_u64().is_some_and(|manifests| manifests <= 100),
        "{state}"
    );
    Ok(())
}

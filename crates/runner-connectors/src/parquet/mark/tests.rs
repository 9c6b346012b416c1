use std::collections::BTreeMap;

use chrono::DateTime;
use object_store::memory::InMemory;
use object_store::path::Path;
use runner_core::{Attempt, JobId, LoadId};
use runner_plan::model::ColumnType;
use runner_testkit::sink::{TableSpec, feed, plan};
use std::sync::Arc;

use super::*;

/// A mark of format 1 with everything in it, as it stands in folders by now: every later version has to read it.
const STORED: &str = r#"{
  "format": 1,
  "committed": {
    "seq": 7,
    "load": "job-7/sink/t",
    "counts": { "rows": 5, "bytes": 900, "rows_skipped": 1, "rows_replaced": 2 },
    "remove": ["part-000003-0011223344556677-00000.parquet"]
  },
  "pending": {
    "seq": 8,
    "load": "job-8/sink/t",
    "moves": [{ "from": "_uis_staging/acme/feed/job-8/a.parquet", "to": "day=1/part-000008-0011223344556677-00000.parquet" }],
    "remove": [],
    "counts": { "rows": 1, "bytes": 2, "rows_skipped": 3, "rows_replaced": 4 }
  },
  "recent": ["job-6/sink/t", "job-7/sink/t"],
  "columns": [
    { "name": "id", "column_type": "integer", "nullable": false },
    { "name": "price", "column_type": { "decimal": { "precision": 20, "scale": 2 } }, "nullable": true }
  ]
}"#;

fn load(seq: u64) -> LoadContext {
    let spec = TableSpec {
        name: "t".to_owned(),
        ..TableSpec::default()
    };
    let plan = plan(&spec);
    LoadContext {
        id: LoadId {
            job: JobId::new(format!("job-{seq}")),
            load: plan.id.clone(),
        },
        feed: feed(),
        seq: Seq(seq),
        plan,
        columns: Vec::new(),
        versions: BTreeMap::new(),
        generations: BTreeMap::new(),
        nominal_time: DateTime::default(),
        oldest_unfinished: None,
        replace_bounds: Vec::new(),
        insert_only: false,
        is_replay: false,
    }
}

fn fence(seq: u64) -> Fence {
    Fence {
        seq: Seq(seq),
        attempt: Attempt(1),
    }
}

fn pending(seq: u64) -> Pending {
    Pending {
        seq: Seq(seq),
        load: load(seq).id.to_string(),
        moves: Vec::new(),
        remove: vec!["old".to_owned()],
        counts: Counts::default(),
    }
}

fn storage() -> Storage {
    let store = Arc::new(InMemory::new());
    Storage::with_store(store, Path::from("t"), "memory://t".to_owned(), false)
}

#[test]
fn a_mark_that_was_stored_is_read_whole() {
    let mark: Mark = serde_json::from_str(STORED).unwrap();
    let stored: serde_json::Value = serde_json::from_str(STORED).unwrap();
    assert_eq!(serde_json::to_value(&mark).unwrap(), stored);
    assert_eq!(
        mark.columns[1].column_type,
        ColumnType::Decimal {
            precision: 20,
            scale: 2
        }
    );
}

#[test]
fn loads_stand_where_the_mark_says() {
    let none = Mark::default();
    let begun = none.begun(pending(5));
    let done = begun.finished(&pending(5), &[]);
    let committed = done.committed.clone().unwrap();
    for (mark, seq, expected) in [
        (&none, 5, Ok(Standing::Free(None))),
        (&begun, 5, Ok(Standing::Begun(pending(5)))),
        (&begun, 6, Ok(Standing::Free(Some(pending(5))))),
        (&begun, 4, Err(ErrorKind::Conflict)),
        (&done, 5, Ok(Standing::Done(committed))),
        (&done, 6, Ok(Standing::Free(None))),
        (&done, 4, Err(ErrorKind::Conflict)),
    ] {
        let found = mark.standing(&fence(seq), &load(seq));
        let found = found.map_err(|error| error.kind());
        assert_eq!(found, expected, "{seq} on {mark:?}");
    }
}

#[test]
fn a_load_of_another_job_with_the_same_number_is_a_conflict() {
    let done = Mark::default().finished(&pending(5), &[]);
    let mut other = load(5);
    other.id.job = JobId::new("another");
    let error = done.standing(&fence(5), &other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[test]
fn some_loads_are_remembered_and_the_oldest_forgotten() {
    let mut mark = Mark::default();
    for seq in 1..=40 {
        mark = mark.begun(pending(seq)).finished(&pending(seq), &[]);
    }
    assert_eq!(mark.recent.len(), RECENT);
    assert!(mark.knows(&pending(40).load) && mark.knows(&pending(25).load));
    assert!(!mark.knows(&pending(24).load));
    assert_eq!(
        mark.tidied().committed.unwrap().remove,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn of_two_writers_one_is_told_to_read_again() {
    let storage = storage();
    let read = || MarkFile::read(&storage, "mark.json");
    let (one, other) = (read().await.unwrap(), read().await.unwrap());
    let begun = one.mark.begun(pending(1));
    let one = one.replace(&storage, begun.clone()).await.unwrap().unwrap();
    assert!(other.replace(&storage, begun).await.unwrap().is_none());
    let stale = read().await.unwrap();
    let done = one.mark.finished(&pending(1), &[]);
    let one = one.replace(&storage, done).await.unwrap().unwrap();
    let late = stale.mark.begun(pending(2));
    assert!(stale.replace(&storage, late).await.unwrap().is_none());
    assert_eq!(read().await.unwrap().mark, one.mark);
}

#[tokio::test]
async fn what_is_no_mark_is_never_taken_for_an_empty_one() {
    for (content, said) in [
        ("", "is no mark of a load"),
        ("{\"format\": 1, \"comm", "is no mark of a load"),
        (
            "{\"format\": 2, \"committed\": null, \"pending\": null}",
            "written by a newer version",
        ),
    ] {
        let storage = storage();
        let bytes = Bytes::copy_from_slice(content.as_bytes());
        storage.write("mark.json", bytes).await.unwrap();
        let error = MarkFile::read(&storage, "mark.json").await.unwrap_err();
        assert_eq!(error.retry(), Retry::Never);
        assert!(error.message().contains(said), "{error}");
    }
}

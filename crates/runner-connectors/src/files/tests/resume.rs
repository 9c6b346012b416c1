//! A killed run goes on behind the last sealed page, of the files that it listed.

use std::fmt::Write as _;

use runner_core::{ErrorKind, Position};

use super::fixture::{Fixture, gzip, parquet, read};
use crate::source::Source as _;

/// Reads the file again from each of its pages' ends, and expects the rest.
async fn goes_on_behind_every_page(fixture: &Fixture) {
    let source = fixture.source();
    let listed = source.list().await.unwrap();
    let keys = source.take_up(&listed).await.unwrap();
    let whole = read(&source, keys[0].clone(), None).await.unwrap();
    assert!(whole.pages.len() > 2, "{} pages", whole.pages.len());
    for page in &whole.pages {
        if page.position.end.is_some() {
            continue;
        }
        // As the store keeps it, in a process that has just started.
        let stored = serde_json::to_string(&page.position).unwrap();
        let position: Position = serde_json::from_str(&stored).unwrap();
        let again = fixture.source();
        let keys = again.take_up(&listed).await.unwrap();
        let done = usize::try_from(position.rows).unwrap();
        let rest = read(&again, keys[0].clone(), Some(position)).await.unwrap();
        assert_eq!(rest.rows, whole.rows[done..]);
        let last = rest.pages.last().unwrap();
        assert_eq!(last.position.rows, whole.rows.len() as u64);
        assert_eq!(last.position.pages, whole.pages.len() as u64);
    }
}

#[tokio::test]
async fn resume_mid_file() {
    let mut csv = String::from("\u{FEFF}id,name\r\n");
    let mut lines = String::new();
    for id in 0..100 {
        writeln!(csv, "{id},\"a\r\nb{id}\"\r").unwrap();
        writeln!(lines, "{{\"id\": {id}}}").unwrap();
    }
    for (name, content) in [
        ("a.csv", csv.clone().into_bytes()),
        ("a.csv.gz", gzip(csv.as_bytes())),
        ("a.jsonl", lines.clone().into_bytes()),
        ("a.jsonl.gz", gzip(lines.as_bytes())),
    ] {
        let mut fixture = Fixture::new(name).with(name, content);
        fixture.sizes.batch_rows = Some(7);
        fixture.sizes.page_bytes = Some(200);
        goes_on_behind_every_page(&fixture).await;
        fixture.files.text.has_header = false;
        goes_on_behind_every_page(&fixture).await;
    }
    let fixture = Fixture::new("a.parquet");
    parquet(&fixture.path("a.parquet"), 0..40, 10);
    goes_on_behind_every_page(&fixture).await;
}

#[tokio::test]
async fn files_that_are_not_those_of_the_list_are_a_conflict() {
    let fixture = Fixture::new("*.csv")
        .with("a.csv", "id\n1\n")
        .with("b.csv", "id\n2\n");
    let listed = fixture.source().list().await.unwrap();

    // A file that came later belongs to the next run.
    fixture.write("c.csv", "id\n3\n");
    let source = fixture.source();
    let keys = source.take_up(&listed).await.unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(
        read(&source, keys[1].clone(), None)
            .await
            .unwrap()
            .rows
            .len(),
        1
    );

    fixture.write("a.csv", "id\n1\n2\n");
    let error = read(&source, keys[0].clone(), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(
        fixture.shown(&error),
        "the file `FOLDER/a.csv` has changed since the run first looked at it (stream: rows)"
    );
    std::fs::remove_file(fixture.path("b.csv")).unwrap();
    let error = read(&source, keys[1].clone(), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

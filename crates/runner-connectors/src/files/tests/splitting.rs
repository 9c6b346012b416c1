//! However a file is cut into parts, pages and batches, its rows are the same.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::fixture::{Fixture, gzip, parquet};
use crate::source::Source as _;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

fn whole_and_cut(
    name: &str,
    text: &[u8],
    part: u64,
    page: u64,
    batch: usize,
) -> (Vec<String>, Vec<String>, usize) {
    runtime().block_on(async {
        let mut fixture = Fixture::new(name).with(name, text);
        let whole = fixture.read().await.unwrap();
        fixture.parallelism = 4;
        fixture.sizes.part_bytes = Some(part);
        fixture.sizes.page_bytes = Some(page);
        fixture.sizes.batch_rows = Some(batch);
        let cut = fixture.read().await.unwrap();
        assert_eq!(whole.invalid.len(), cut.invalid.len());
        (whole.rows, cut.rows, cut.pages.len())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn csv_in_parts_of_any_size_has_the_same_rows(
        rows in prop::collection::vec(prop::collection::vec("[ab,\"\r\n é]{0,8}", 3), 1..30),
        part in 4_u64..200, page in 1_u64..100, batch in 1_usize..6,
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["x", "y", "z"]).unwrap();
        for row in &rows {
            writer.write_record(row).unwrap();
        }
        let text = writer.into_inner().unwrap();
        let (whole, cut, _) = whole_and_cut("a.csv", &text, part, page, batch);
        prop_assert_eq!(cut, whole);
    }

    #[test]
    fn json_lines_in_parts_of_any_size_have_the_same_rows(
        rows in prop::collection::vec("[ab\\\\\"\n é]{0,20}", 0..30),
        part in 4_u64..200, page in 1_u64..100, batch in 1_usize..6,
    ) {
        let mut text = String::new();
        for row in &rows {
            writeln!(text, "{}", serde_json::json!({"text": row})).unwrap();
        }
        let (whole, cut, _) = whole_and_cut("a.jsonl", text.as_bytes(), part, page, batch);
        prop_assert_eq!(whole.len(), rows.len());
        prop_assert_eq!(cut, whole);
    }
}

#[tokio::test]
async fn parts_are_chains_of_their_own() {
    let mut text = String::from("id,note\n");
    for id in 0..1_000 {
        writeln!(text, "{id},\"line\nbreak\"").unwrap();
    }
    let mut fixture = Fixture::new("a.csv").with("a.csv", &text);
    fixture.parallelism = 2;
    fixture.sizes.part_bytes = Some(2_000);
    let source = fixture.source();
    let keys = source.take_up(&source.list().await.unwrap()).await.unwrap();
    assert!(keys.len() > 5, "{}", keys.len());
    let values: std::collections::BTreeSet<_> = keys.iter().map(|key| &key.value).collect();
    assert_eq!(values.len(), 1, "all are of one file");
    assert_eq!(fixture.rows().await.len(), 1_000);

    // What can't be cut isn't.
    let mut packed = Fixture::new("a.csv").with("a.csv", gzip(text.as_bytes()));
    packed.parallelism = 2;
    packed.sizes.part_bytes = Some(100);
    let source = packed.source();
    assert_eq!(source.list().await.unwrap().len(), 1);
    assert_eq!(packed.rows().await.len(), 1_000);
}

#[tokio::test]
async fn parquet_is_cut_before_row_groups() {
    let mut fixture = Fixture::new("a.parquet");
    parquet(&fixture.path("a.parquet"), 0..100, 10);
    let whole = fixture.rows().await;
    fixture.parallelism = 2;
    fixture.sizes.part_bytes = Some(400);
    let source = fixture.source();
    let keys = source.take_up(&source.list().await.unwrap()).await.unwrap();
    assert!(keys.len() > 1, "{}", keys.len());
    assert_eq!(fixture.rows().await, whole);
}

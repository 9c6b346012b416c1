use std::collections::BTreeMap;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use futures::StreamExt as _;
use proptest::prelude::*;
use runner_core::{Segment, Segments};
use runner_plan::model::ColumnType;
use std::sync::Arc;

use super::*;

/// A row: key, cursor, number of the load that brought it.
type Stored = (Option<i64>, Option<i64>, Option<i64>);

/// Cursor, chain, file, row.
type Rank = (Option<i64>, u64, usize, usize);

/// Files in memory; a read gives batches of three rows, so that files have several.
struct Files(Vec<Vec<Stored>>);

#[async_trait]
impl KeyedFiles for Files {
    fn rows(&self) -> Vec<u64> {
        self.0.iter().map(|rows| rows.len() as u64).collect()
    }

    async fn read(
        &self,
        file: usize,
        columns: &[ColumnField],
        ranges: Option<&KeyRanges>,
    ) -> Result<FileRowsStream<'_>> {
        let rows = &self.0[file];
        if let Some(ranges) = ranges
            && !may_hold(rows, ranges)
        {
            return Ok(futures::stream::empty().boxed());
        }
        let batches: Vec<Result<FileRows>> = rows
            .chunks(3)
            .enumerate()
            .map(|(index, rows)| {
                let arrays: Vec<(String, ArrayRef)> = columns
                    .iter()
                    .map(|column| (column.name.clone(), array(&column.name, rows)))
                    .collect();
                Ok(FileRows {
                    first_row: index as u64 * 3,
                    batch: RecordBatch::try_from_iter_with_nullable(
                        arrays.into_iter().map(|(name, array)| (name, array, true)),
                    )
                    .unwrap(),
                })
            })
            .collect();
        Ok(futures::stream::iter(batches).boxed())
    }
}

/// The key has two columns: the number, and a long text made of it that differs at its end only.
fn array(name: &str, rows: &[Stored]) -> ArrayRef {
    let integers = |value: fn(&Stored) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<Int64Array>())
    };
    match name {
        "id" => integers(|row| row.0),
        "cursor" => integers(|row| row.1),
        "name" => Arc::new(
            rows.iter()
                .map(|row| row.0.map(|id| format!("a name longer than a prefix {id}")))
                .collect::<StringArray>(),
        ),
        _ => integers(|row| row.2),
    }
}

/// By the least and the greatest number of a file, as statistics have them.
fn may_hold(rows: &[Stored], ranges: &KeyRanges) -> bool {
    let ids = || rows.iter().filter_map(|row| row.0);
    let (Some(least), Some(greatest)) = (ids().min(), ids().max()) else {
        return false;
    };
    let bound = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
    ranges.may_hold(0, &bound(least), &bound(greatest)).unwrap()[0]
}

fn spec(has_cursor: bool) -> KeySpec {
    let column = |name: &str, column_type| ColumnField {
        name: name.to_owned(),
        column_type,
        nullable: true,
    };
    KeySpec {
        table: "t".to_owned(),
        key: vec![
            column("id", ColumnType::Integer),
            column("name", ColumnType::String),
        ],
        cursor: has_cursor.then(|| column("cursor", ColumnType::Integer)),
        has_seq: true,
        rows_have_seq: false,
    }
}

fn origin(chain: u64, rows: usize) -> LoadFile {
    LoadFile {
        segments: Segments::from_iter([Segment {
            chain,
            generation: 0,
            rows: rows as u64,
        }]),
        superseded: vec![false],
    }
}

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn marked(marks: &Marks, files: &Files) -> Vec<(usize, u64)> {
    let rows = files.rows().into_iter().enumerate();
    rows.flat_map(|(file, rows)| (0..rows).map(move |row| (file, row)))
        .filter(|(file, row)| marks.is_marked(*file, *row))
        .collect()
}

fn files(keys: std::ops::Range<i64>) -> impl Strategy<Value = Vec<Vec<Stored>>> {
    let row = (
        prop::option::weighted(0.9, keys),
        prop::option::of(0_i64..3),
        prop::option::of(0_i64..9),
    );
    prop::collection::vec(prop::collection::vec(row, 0..9), 0..5)
}

proptest! {
    /// The greatest of (cursor, chain, order of arrival) wins, whatever fits into memory.
    #[test]
    fn one_row_a_key_wins(rows in files(0..6), keys in 1_usize..8, has_cursor: bool) {
        let files = Files(rows);
        // Later files are of earlier chains.
        let chain = |file: usize| 9 - file as u64;
        let origins: Vec<LoadFile> =
            files.0.iter().enumerate().map(|(file, rows)| origin(chain(file), rows.len())).collect();
        let losers = block(winners(&spec(has_cursor), &files, &origins, true, Budget { keys })).unwrap();
        let mut best: BTreeMap<i64, (Rank, (usize, u64))> = BTreeMap::new();
        let mut expected = Vec::new();
        for (file, rows) in files.0.iter().enumerate() {
            for (row, (id, cursor, _)) in rows.iter().enumerate() {
                let Some(id) = id else { continue };
                let rank = (cursor.filter(|_| has_cursor), chain(file), file, row);
                let place = (file, row as u64);
                match best.get_mut(id) {
                    None => { best.insert(*id, (rank, place)); }
                    Some(best) if best.0 < rank => {
                        expected.push(best.1);
                        *best = (rank, place);
                    }
                    Some(_) => expected.push(place),
                }
            }
        }
        expected.sort_unstable();
        prop_assert_eq!(marked(&losers, &files), expected);
    }

    /// Of a load with one row a key, what the table has is found, whatever fits into memory and is pruned.
    #[test]
    fn stored_rows_and_rows_of_the_load_meet(
        stored in files(0..12),
        load in prop::collection::btree_map(0_i64..12, prop::option::of(0_i64..3), 0..9),
        keys in 1_usize..8,
        seq in 0_i64..9,
        replaces: bool,
    ) {
        let table = Files(stored);
        let rows: Vec<Stored> = load.into_iter().map(|(id, cursor)| (Some(id), cursor, None)).collect();
        let files = Files(rows.chunks(4).map(<[Stored]>::to_vec).collect());
        let existing = if replaces { Existing::Replaced { seq } } else { Existing::Stays };
        let none = Marks::new(files.0.len());
        let probed =
            block(probe(&spec(true), &table, &files, &none, existing, Budget { keys })).unwrap();
        let mut replaced = Vec::new();
        let mut left_out = std::collections::BTreeSet::new();
        for (file, stored) in table.0.iter().enumerate() {
            for (row, (id, cursor, stored_seq)) in stored.iter().enumerate() {
                let Some(index) = rows.iter().position(|new| new.0 == *id && id.is_some()) else {
                    continue;
                };
                if replaces && (rows[index].1, Some(seq)) >= (*cursor, *stored_seq) {
                    replaced.push((file, row as u64));
                } else {
                    left_out.insert((index / 4, index as u64 % 4));
                }
            }
        }
        prop_assert_eq!(marked(&probed.table, &table), replaced);
        let left_out: Vec<_> = left_out.into_iter().collect();
        prop_assert_eq!(marked(&probed.load, &files), left_out);
    }
}

#[test]
fn superseded_rows_neither_win_nor_need_a_key() {
    let files = Files(vec![vec![
        (None, None, None),
        (Some(1), Some(9), None),
        (Some(1), Some(1), None),
    ]]);
    let origins = [LoadFile {
        segments: [2, 1]
            .map(|rows| Segment {
                chain: 0,
                generation: 0,
                rows,
            })
            .into_iter()
            .collect(),
        superseded: vec![true, false],
    }];
    let losers = block(winners(
        &spec(true),
        &files,
        &origins,
        false,
        Budget::default(),
    ));
    assert_eq!(marked(&losers.unwrap(), &files), [(0, 0), (0, 1)]);
}

#[test]
fn a_row_without_a_key_is_an_error_where_rows_are_merged() {
    let files = Files(vec![vec![(Some(1), None, None), (None, None, None)]]);
    let origins = [origin(0, 2)];
    let merged = block(winners(
        &spec(false),
        &files,
        &origins,
        false,
        Budget::default(),
    ));
    let error = merged.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceData);
    assert!(error.message().contains("(id, name)"), "{error}");
}

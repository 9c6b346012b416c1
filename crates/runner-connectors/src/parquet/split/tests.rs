use arrow::array::{ArrayRef, Int64Array};
use object_store::memory::InMemory;
use object_store::path::Path;
use runner_plan::model::PartitionTransform;

use super::*;

const FIRST: RowOrigin = RowOrigin {
    chain: 0,
    generation: 0,
};
const SECOND: RowOrigin = RowOrigin {
    chain: 1,
    generation: 2,
};

fn storage() -> Storage {
    let store = Arc::new(InMemory::new());
    Storage::with_store(store, Path::from("t"), "memory://t".to_owned(), false)
}

/// Ids that compress to nothing, in one of some partitions.
fn batch(ids: std::ops::Range<i64>, partitions: i64) -> RecordBatch {
    let column = |value: &dyn Fn(i64) -> i64| -> ArrayRef {
        Arc::new(
            ids.clone()
                .map(|id| Some(value(id)))
                .collect::<Int64Array>(),
        )
    };
    RecordBatch::try_from_iter([
        (
            "id",
            column(&|id| id.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed())),
        ),
        ("p", column(&|id| id % partitions)),
    ])
    .unwrap()
}

fn writer(storage: &Storage, is_partitioned: bool, file_bytes: u64, memory: usize) -> SplitWriter {
    let partition = Partition {
        column: "p".to_owned(),
        transform: PartitionTransform::Identity,
        name: "p".to_owned(),
    };
    SplitWriter::new(SplitWriterOptions {
        storage: storage.clone(),
        schema: batch(0..0, 1).schema(),
        partitions: is_partitioned.then_some(partition).into_iter().collect(),
        drop_identity_columns: true,
        format: FileFormat::new("none").unwrap().within(memory),
        target_file_bytes: file_bytes,
        memory_bytes: memory,
        path: Box::new(|key, number| format!("{}/{number}.parquet", key.folder())),
    })
    .unwrap()
}

async fn files(storage: &Storage) -> usize {
    storage.list("").await.unwrap().len()
}

#[tokio::test]
async fn files_end_at_the_size_that_was_asked_for() {
    let storage = storage();
    let mut writer = writer(&storage, false, 300_000, 64 << 20);
    for start in (0..200_000).step_by(8192) {
        writer
            .write(&batch(start..start + 8192, 1), FIRST)
            .await
            .unwrap();
    }
    let unsealed = writer.unsealed();
    let sealed = writer.seal().await.unwrap();
    let rows: u64 = sealed.iter().map(|sealed| sealed.file.rows).sum();
    assert_eq!((rows, unsealed.rows), (204_800, 204_800));
    assert_eq!(writer.unsealed(), Unsealed::default());
    let (last, full) = sealed.split_last().unwrap();
    for sealed in full {
        let bytes = sealed.file.bytes;
        assert!((200_000..600_000).contains(&bytes), "{bytes}");
    }
    assert!(last.file.bytes < 600_000);
    assert!(writer.seal().await.unwrap().is_empty());
}

#[tokio::test]
async fn slices_of_a_large_batch_are_as_large_as_they_are() {
    let storage = storage();
    let mut writer = writer(&storage, false, 1_000_000, 64 << 20);
    let large = batch(0..50_000, 1);
    for start in (0..50_000).step_by(100) {
        writer.write(&large.slice(start, 100), FIRST).await.unwrap();
    }
    assert_eq!(writer.seal().await.unwrap().len(), 1);
}

#[tokio::test]
async fn segments_tell_whose_rows_stand_where() {
    let storage = storage();
    let mut writer = writer(&storage, true, 1 << 30, 64 << 20);
    for (ids, origin) in [
        (0..10, FIRST),
        (10..20, FIRST),
        (20..30, SECOND),
        (30..40, FIRST),
    ] {
        writer.write(&batch(ids, 2), origin).await.unwrap();
    }
    let sealed = writer.seal().await.unwrap();
    let folders: Vec<&str> = sealed.iter().map(|sealed| sealed.key.folder()).collect();
    assert_eq!(folders, ["p=0", "p=1"]);
    for sealed in &sealed {
        let segments: Vec<(u64, u32, u64)> = sealed
            .segments
            .iter()
            .map(|segment| (segment.chain, segment.generation, segment.rows))
            .collect();
        assert_eq!(segments, [(0, 0, 10), (1, 2, 5), (0, 0, 5)]);
        let columns = sealed
            .file
            .metadata
            .file_metadata()
            .schema_descr()
            .num_columns();
        assert_eq!(columns, 1, "the folder's name has the other");
    }
}

#[tokio::test]
async fn few_files_are_open_and_no_row_is_lost() {
    let storage = storage();
    let mut writer = writer(&storage, true, 1 << 30, 64 << 20);
    for start in (0..40_000).step_by(1000) {
        writer
            .write(&batch(start..start + 1000, 200), FIRST)
            .await
            .unwrap();
        assert!(writer.open.len() <= OPEN_FILES);
    }
    let sealed = writer.seal().await.unwrap();
    let rows: u64 = sealed.iter().map(|sealed| sealed.file.rows).sum();
    assert_eq!(rows, 40_000);
    assert_eq!(files(&storage).await, sealed.len());
}

#[tokio::test]
async fn open_files_stay_within_their_memory() {
    const MEMORY: usize = 1 << 20;
    let storage = storage();
    let mut writer = writer(&storage, true, 1 << 30, MEMORY);
    for start in (0..400_000).step_by(8192) {
        writer
            .write(&batch(start..start + 8192, 20), FIRST)
            .await
            .unwrap();
        let held: usize = writer.open.values().map(|open| open.file.memory()).sum();
        assert!(held <= MEMORY || writer.open.len() == 1, "{held}");
    }
    let sealed = writer.seal().await.unwrap();
    assert!(sealed.len() > 20, "nothing had to end early");
}

#[tokio::test]
async fn an_abort_takes_away_what_ended_since_the_last_seal() {
    let storage = storage();
    let mut writer = writer(&storage, false, 100_000, 64 << 20);
    writer.write(&batch(0..50_000, 1), FIRST).await.unwrap();
    let kept = writer.seal().await.unwrap().len();
    for start in (0..80_000).step_by(8192) {
        writer
            .write(&batch(start..start + 8192, 1), FIRST)
            .await
            .unwrap();
    }
    assert!(files(&storage).await > kept);
    writer.abort().await.unwrap();
    assert_eq!(files(&storage).await, kept);
    assert_eq!(writer.unsealed(), Unsealed::default());
    writer.write(&batch(0..10, 1), SECOND).await.unwrap();
    assert_eq!(writer.seal().await.unwrap()[0].file.rows, 10);
}

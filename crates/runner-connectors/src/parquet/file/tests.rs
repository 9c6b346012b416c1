use arrow::array::{Int64Array, StringArray};
use object_store::memory::InMemory;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Encoding;

use super::*;

fn storage() -> Storage {
    let store = Arc::new(InMemory::new());
    Storage::with_store(store, Path::from("t"), "memory://t".to_owned(), false)
}

/// Ids, and one of five words.
fn batch(ids: std::ops::Range<i64>) -> RecordBatch {
    let words: StringArray = ids
        .clone()
        .map(|id| Some(format!("word {}", id % 5)))
        .collect();
    let ids: Int64Array = ids.map(Some).collect();
    RecordBatch::try_from_iter([
        ("id", Arc::new(ids) as arrow::array::ArrayRef),
        ("word", Arc::new(words)),
    ])
    .unwrap()
}

fn file(storage: &Storage, format: FileFormat) -> ParquetFile {
    ParquetFile::create(storage, "x.parquet", batch(0..0).schema(), Arc::new(format)).unwrap()
}

async fn read_back(storage: &Storage) -> (Bytes, Vec<RecordBatch>) {
    let (content, _) = storage.read("x.parquet").await.unwrap().unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(content.clone())
        .unwrap()
        .with_batch_size(1 << 20)
        .build()
        .unwrap();
    (content, reader.map(|batch| batch.unwrap()).collect())
}

#[tokio::test]
async fn rows_come_back_however_they_were_batched() {
    for size in [1, 7, 5000, 20_000] {
        let storage = storage();
        let mut file = file(&storage, FileFormat::new("zstd").unwrap());
        for start in (0..20_000).step_by(size) {
            let end = (start + size).min(20_000);
            let range = i64::try_from(start).unwrap()..i64::try_from(end).unwrap();
            file.write(&batch(range)).await.unwrap();
        }
        assert_eq!(file.rows(), 20_000);
        assert_eq!(storage.size("x.parquet").await.unwrap(), None);
        let written = file.finish().await.unwrap();
        let (content, batches) = read_back(&storage).await;
        let schema = batch(0..0).schema();
        assert_eq!(
            concat_batches(&schema, &batches).unwrap(),
            batch(0..20_000),
            "{size}"
        );
        assert_eq!(
            (written.rows, written.bytes),
            (20_000, content.len() as u64)
        );
        let checksum = xxhash_rust::xxh3::xxh3_128(&content);
        assert_eq!(written.checksum, format!("{checksum:032x}"));
    }
}

#[tokio::test]
async fn a_file_without_rows_is_one() {
    let storage = storage();
    let empty = file(&storage, FileFormat::new("none").unwrap());
    let written = empty.finish().await.unwrap();
    assert_eq!(written.rows, 0);
    assert_eq!(read_back(&storage).await.1, []);
}

#[tokio::test]
async fn an_aborted_file_never_exists() {
    let storage = storage();
    let mut file = file(&storage, FileFormat::new("snappy").unwrap());
    file.write(&batch(0..30_000)).await.unwrap();
    file.abort().await;
    assert_eq!(storage.list("").await.unwrap(), []);
}

#[tokio::test]
async fn dictionaries_are_for_columns_that_repeat_themselves() {
    let storage = storage();
    let mut file = file(&storage, FileFormat::new("zstd(3)").unwrap());
    file.write(&batch(0..20_000)).await.unwrap();
    let written = file.finish().await.unwrap();
    let columns = written.metadata.row_group(0).columns();
    let has_dictionary = |column: usize| {
        let mut encodings = columns[column].encodings();
        encodings.any(|encoding| encoding == Encoding::RLE_DICTIONARY)
    };
    assert_eq!((has_dictionary(0), has_dictionary(1)), (false, true));
    let created_by = written.metadata.file_metadata().created_by();
    assert_eq!(created_by, Some(CREATED_BY));
}

#[tokio::test]
async fn row_groups_end_at_their_size_and_bound_the_memory() {
    let storage = storage();
    let mut format = FileFormat::new("none").unwrap();
    format.row_group_bytes = 100_000;
    let mut file = file(&storage, format);
    let mut largest = 0;
    for start in (0..200_000).step_by(8192) {
        file.write(&batch(start..start + 8192)).await.unwrap();
        largest = largest.max(file.memory());
    }
    let written = file.finish().await.unwrap();
    let groups = written.metadata.num_row_groups();
    assert!((10..=40).contains(&groups), "{groups} row groups");
    assert!(largest < 1_000_000, "{largest} bytes were held");
}

#[test]
fn compressions_are_known_by_their_names() {
    for (text, expected) in [
        ("", Compression::ZSTD(ZstdLevel::default())),
        (
            "ZSTD (3)",
            Compression::ZSTD(ZstdLevel::try_new(3).unwrap()),
        ),
        ("snappy", Compression::SNAPPY),
        ("gzip(9)", Compression::GZIP(GzipLevel::try_new(9).unwrap())),
        ("lz4", Compression::LZ4_RAW),
        ("brotli", Compression::BROTLI(BrotliLevel::default())),
        ("uncompressed", Compression::UNCOMPRESSED),
    ] {
        assert_eq!(parse_compression(text).unwrap(), expected, "{text}");
    }
    for text in [
        "zip",
        "zstd(99)",
        "zstd(x)",
        "snappy(1)",
        "gzip(4294967296)",
    ] {
        let error = parse_compression(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{text}");
    }
}

/// `many_parents`: pages of one row each leave few batches waiting.
#[tokio::test]
async fn rows_that_come_singly_wait_together() {
    let storage = storage();
    let mut file = file(&storage, FileFormat::new("zstd").unwrap());
    for id in 0..5_000 {
        file.write(&batch(id..id + 1)).await.unwrap();
        let most = 5_000 / TINY_BATCHES + TINY_BATCHES;
        assert!(file.pending.len() <= most, "{}", file.pending.len());
    }
    let held: usize = file
        .pending
        .iter()
        .map(RecordBatch::get_array_memory_size)
        .sum();
    assert_eq!(file.memory(), held);
    assert_eq!(file.finish().await.unwrap().rows, 5_000);
    let (_, batches) = read_back(&storage).await;
    let schema = batch(0..0).schema();
    assert_eq!(concat_batches(&schema, &batches).unwrap(), batch(0..5_000));
}

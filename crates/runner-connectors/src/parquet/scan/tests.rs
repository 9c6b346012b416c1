use arrow::array::{AsArray as _, Int64Array};
use arrow::datatypes::Int64Type;
use object_store::memory::InMemory;
use object_store::path::Path;
use parquet::arrow::ArrowWriter;
use runner_plan::model::ColumnType;

use super::*;

fn column(name: &str) -> ColumnField {
    ColumnField {
        name: name.to_owned(),
        column_type: ColumnType::Integer,
        nullable: true,
    }
}

/// Files of a hundred rows each, in a folder each: `day=3/x.parquet` has the ids from 300 on.
async fn table(files: i64) -> Storage {
    let store = Arc::new(InMemory::new());
    let storage = Storage::with_store(store, Path::from("t"), "memory://t".to_owned(), false);
    for day in 0..files {
        let ids: Int64Array = (day * 100..day * 100 + 100).map(Some).collect();
        let batch = RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef)]).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let content = writer.into_inner().unwrap().into();
        let path = format!("day={day}/x.parquet");
        storage.write(&path, content).await.unwrap();
    }
    storage
}

#[tokio::test]
async fn files_are_read_whether_their_footers_fit_into_memory_or_not() {
    let storage = table(9).await;
    let files = data_files(&storage).await.unwrap();
    let columns = [column("id"), column("day")];
    for (memory, kept) in [(usize::MAX, 9), (0, 0)] {
        let table = TableFiles::within(memory, &storage, files.clone(), &columns);
        let table = table.await.unwrap();
        let in_memory = table.files.iter().filter(|file| file.opened.is_some());
        assert_eq!(in_memory.count(), kept);
        assert_eq!((table.row_count(), table.rows()), (900, vec![100; 9]));
        for number in 0..9 {
            let rows: Vec<FileRows> = table
                .read(number, &columns, None)
                .await
                .unwrap()
                .try_collect()
                .await
                .unwrap();
            let ids = rows[0].batch.column(0).as_primitive::<Int64Type>();
            let days = rows[0].batch.column(1).as_primitive::<Int64Type>();
            let day = i64::try_from(number).unwrap();
            assert_eq!((ids.value(7), days.value(7)), (day * 100 + 7, day));
        }
        assert!(table.opened(9).await.is_err());
    }
}

//! What can be wrong with files: each says so by name, and costs no other file its rows.

use runner_core::{ChainEnd, ErrorKind};
use runner_plan::model::{ColumnType, DataFormat};

use super::fixture::{Fixture, gzip};
use crate::decode::harness::column;
use crate::schema::TypeBinding;

#[tokio::test]
async fn places_without_files_say_what_to_check() {
    let fixture = Fixture::new("in/a.csv");
    let error = fixture.fails().await;
    assert_eq!(error.kind(), ErrorKind::SourceUnavailable);
    assert_eq!(
        fixture.shown(&error),
        "there is no file or folder `FOLDER/in/a.csv` (stream: rows)"
    );
    let fixture = Fixture::new("in/*.csv")
        .with("in/a.json", "{}")
        .with("in/sub/b.csv", "id\n");
    let error = fixture.fails().await;
    assert_eq!(
        fixture.shown(&error),
        "no file matches `FOLDER/in/*.csv`: none of the 2 files below it is meant by it (stream: rows)"
    );
    assert!(error.help().unwrap().contains("`**` does"));
    let fixture = Fixture::new("in").with("in/.hidden", "");
    let error = fixture.fails().await;
    assert!(
        fixture
            .shown(&error)
            .contains("the one file below it is not meant"),
        "{error}"
    );
    let fixture = Fixture::new("a.dat").with("a.dat", "id\n1\n");
    let error = fixture.fails().await;
    assert!(
        error.message().ends_with("does not say what format it has"),
        "{error}"
    );
}

#[tokio::test]
async fn a_bad_file_alone_fails_with_its_name_and_place() {
    let packed = gzip("id,name\n1,a\n".repeat(1000).as_bytes());
    let cases: [(&str, Vec<u8>, &str); 7] = [
        (
            "a.csv.gz",
            packed[..packed.len() / 2].to_vec(),
            "the compressed file is truncated (file: FOLDER/a.csv.gz, stream: rows)",
        ),
        (
            "a.csv.gz",
            b"id,name\n1,a\n2,b\n".to_vec(),
            "the compressed file is damaged (file: FOLDER/a.csv.gz, stream: rows)",
        ),
        (
            "a.csv",
            b"id,name\n1,\"a\n".to_vec(),
            "the CSV ends within a value, after 8 bytes (origin: FOLDER/a.csv, line: 2, stream: rows)",
        ),
        (
            "a.csv",
            "id,name\n1,a\n"
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect(),
            "the text is encoded in UTF-16, and only UTF-8 can be read (origin: FOLDER/a.csv, stream: rows)",
        ),
        (
            "a.json",
            b"[{\"id\": 1}, {".to_vec(),
            "the JSON ends within a value, after 13 bytes (origin: FOLDER/a.json, line: 1, column: 14, stream: rows)",
        ),
        (
            "a.json",
            Vec::new(),
            "the file is empty where JSON was expected (file: FOLDER/a.json, stream: rows)",
        ),
        (
            "a.parquet",
            b"PAR1 and no more".to_vec(),
            "failed to read the Parquet file `FOLDER/a.parquet` (stream: rows)",
        ),
    ];
    for (name, content, message) in cases {
        let fixture = Fixture::new(name).with(name, content);
        let error = fixture.fails().await;
        assert_eq!(fixture.shown(&error), message);
        assert_eq!(error.kind(), ErrorKind::SourceData);
    }
}

#[tokio::test]
async fn a_bomb_is_stopped() {
    let mut fixture = Fixture::new("a.csv").with("a.csv", gzip(&vec![b'\n'; 64 << 20]));
    fixture.max_ratio = 50;
    let error = fixture.fails().await;
    assert!(
        error.message().contains("more than 50 times its size"),
        "{error}"
    );
    assert!(error.help().unwrap().contains("max_decompression_ratio"));
}

#[tokio::test]
async fn bad_rows_go_to_the_quarantine_with_their_numbers() {
    let fixture = Fixture::new("a.csv").with("a.csv", b"id,name\n1,a\n2\n3,c,d\n4,\xff\n5,e\n");
    let taken = fixture.read().await.unwrap();
    assert_eq!(taken.rows.len(), 2);
    assert_eq!(
        taken.invalid,
        [
            "1 malformed: the row has 1 field instead of 2",
            "2 malformed: the row has 3 fields instead of 2",
            "3 invalid_text: the row is not UTF-8",
        ]
    );
}

#[tokio::test]
async fn one_bad_file() {
    let good = "id,name\n1,a\n2,b\n";
    let packed = gzip("id,name\n7,x\n".repeat(60_000).as_bytes());
    let mut fixture = Fixture::new("*")
        .with("a.csv", good)
        .with("b.csv.gz", &packed[..packed.len() - 10])
        .with("c.csv", good)
        .with("d.csv.gz", "this is no gzip at all");
    fixture.sizes.batch_rows = Some(100);
    let taken = fixture.read().await.unwrap();
    assert_eq!(taken.rows.len(), 4, "no row of a bad file is loaded");
    assert_eq!(taken.restarts.len(), 1, "only one had given rows");
    assert_eq!(taken.warnings(), ["unreadable_file", "unreadable_file"]);
    assert!(taken.invalid[0].starts_with("0 unreadable_file: the compressed file is truncated"));
    assert!(taken.invalid[1].contains("the compressed file is damaged"));
    let skipped = taken
        .pages
        .iter()
        .filter(|page| page.position.end == Some(ChainEnd::Skipped));
    assert_eq!(skipped.count(), 2);
    assert_eq!(taken.end(), Some(ChainEnd::Skipped));

    // Where no file is left, the run fails.
    let fixture = Fixture::new("*.json")
        .with("a.json", "{")
        .with("b.json", "[");
    assert_eq!(fixture.fails().await.kind(), ErrorKind::SourceData);
}

#[tokio::test]
async fn a_first_line_that_names_no_field_is_no_header() {
    let mut fixture = Fixture::new("a.csv").with("a.csv", "1,a\n2,b\n");
    fixture.schema.is_open = false;
    for name in ["id", "name"] {
        let wanted = column(name, ColumnType::String, TypeBinding::Fixed);
        fixture.schema.columns.push(wanted);
    }
    let error = fixture.fails().await;
    assert_eq!(
        fixture.shown(&error),
        "the file's header is missing: its first line (`1`, `a`) names none of the fields that are read (`id`, `name`) \
         (file: FOLDER/a.csv, stream: rows)"
    );
    assert!(error.help().unwrap().contains("has_header: false"));
    fixture.write("a.csv", "id,other\n1,a\n");
    assert_eq!(fixture.rows().await.len(), 1);
}

#[tokio::test]
async fn empty_files_have_no_rows() {
    let fixture = Fixture::new("*")
        .with("a.csv", "")
        .with("b.jsonl", "")
        .with("c.csv", "id\n");
    let taken = fixture.read().await.unwrap();
    assert!(taken.rows.is_empty());
    assert_eq!(taken.warnings(), ["empty_file", "empty_file"]);
    let fixture = Fixture::new("a").with("a", "").format(DataFormat::Json);
    assert_eq!(fixture.fails().await.kind(), ErrorKind::SourceData);
}

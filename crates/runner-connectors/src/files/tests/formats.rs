//! Every format, every compression, one file, a folder or a glob.

use runner_plan::model::DataFormat;

use super::fixture::{Fixture, brotli, deflate, gzip, parquet, zstd};
use crate::decode::harness::steps;

type Pack = fn(&[u8]) -> Vec<u8>;

const TEXTS: [(&str, &str); 4] = [
    ("csv", "id,name\n1,a\n2,\"b\nc\"\n"),
    ("tsv", "id\tname\n1\ta\n2\t\"b\nc\"\n"),
    (
        "json",
        r#"{"rows": [{"id":"1","name":"a"}, {"id":"2","name":"b\nc"}]}"#,
    ),
    (
        "jsonl",
        "{\"id\":\"1\",\"name\":\"a\"}\n{\"id\":\"2\",\"name\":\"b\\nc\"}",
    ),
];

const ROWS: [&str; 2] = [r#"{"id":"1","name":"a"}"#, r#"{"id":"2","name":"b\nc"}"#];

#[tokio::test]
async fn texts_are_read_in_every_compression() {
    let packs: [(&str, Pack); 8] = [
        ("", <[u8]>::to_vec),
        (".gz", gzip),
        (".zst", zstd),
        (".br", brotli),
        (".deflate", deflate),
        // By their first bytes, without an ending that says so.
        ("", gzip),
        ("", zstd),
        // Members one behind the other are one text.
        (".gz", |bytes| {
            [gzip(&bytes[..3]), gzip(&bytes[3..])].concat()
        }),
    ];
    for (ending, text) in TEXTS {
        for (index, (packed, pack)) in packs.iter().enumerate() {
            let name = format!("in/a.{ending}{packed}");
            for location in [name.as_str(), "in", "in/*", "i?/a.*"] {
                let mut fixture = Fixture::new(location).with(&name, pack(text.as_bytes()));
                if ending == "json" {
                    fixture.files.rows = steps(&["rows"]);
                }
                assert_eq!(fixture.rows().await, ROWS, "{location} {name} {index}");
            }
        }
    }
}

#[tokio::test]
async fn xml_and_parquet_are_read() {
    let mut fixture = Fixture::new("a.xml").with(
        "a.xml",
        "<feed><row><id>1</id></row><row><id>2</id></row></feed>",
    );
    fixture.files.rows = steps(&["feed", "row"]);
    assert_eq!(fixture.rows().await, [r#"{"id":"1"}"#, r#"{"id":"2"}"#]);

    let fixture = Fixture::new("*.parquet");
    parquet(&fixture.path("a.parquet"), 0..3, 2);
    parquet(&fixture.path("b.parquet"), 3..4, 2);
    assert_eq!(
        fixture.rows().await,
        [
            r#"{"id":0,"name":"n0"}"#,
            r#"{"id":1,"name":"n1"}"#,
            r#"{"id":2,"name":"n2"}"#,
            r#"{"id":3,"name":"n3"}"#,
        ]
    );
    let taken = fixture.read().await.unwrap();
    assert_eq!(taken.pages.len(), 3, "a page is a row group");
}

#[tokio::test]
async fn files_come_in_the_order_of_their_names_without_hidden_ones() {
    let fixture = Fixture::new("in")
        .with("in/b.csv", "id\n2\n")
        .with("in/a.csv", "id\n1\n")
        .with("in/sub/c.csv", "id\n3\n")
        .with("in/_SUCCESS", "")
        .with("in/.a.csv.crc", "x")
        .with("in/_temporary/d.csv", "id\n4\n");
    assert_eq!(
        fixture.rows().await,
        [r#"{"id":"1"}"#, r#"{"id":"2"}"#, r#"{"id":"3"}"#]
    );
    for (pattern, rows) in [("in/*.csv", 2), ("in/**/*.csv", 3), ("in/{a,x}.csv", 1)] {
        let mut other = Fixture::new(pattern);
        other.files.location = fixture.path(pattern).to_str().unwrap().into();
        assert_eq!(other.rows().await.len(), rows, "{pattern}");
    }
}

#[tokio::test]
async fn fields_differ_from_file_to_file() {
    let fixture = Fixture::new("*.csv")
        .with("a.csv", "id,name\n1,a\n")
        .with("b.csv", "name,id\nb,2\n")
        .with("c.csv", "id,more\n3,c\n");
    let taken = fixture.read().await.unwrap();
    assert_eq!(
        taken.rows,
        [
            r#"{"id":"1","name":"a"}"#,
            r#"{"id":"2","name":"b"}"#,
            r#"{"id":"3","more":"c"}"#
        ]
    );
}

#[tokio::test]
async fn a_declared_format_goes_before_the_name() {
    let fixture = Fixture::new("data.txt")
        .with("data.txt", "{\"id\":1}\n")
        .format(DataFormat::JsonLines);
    assert_eq!(fixture.rows().await, [r#"{"id":1}"#]);
}

//! Files beside what programs of others say of them: DuckDB on the same bytes, and SeaweedFS as the object store.

use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use runner_core::ErrorKind;
use runner_e2e::provision::{READERS, SEAWEEDFS};
use runner_e2e::readers::Readers;
use runner_e2e::require;
use runner_e2e::servers::{ACCESS_KEY, BUCKET, SECRET_KEY, SeaweedFs};
use runner_spec::model::Settings;
use serde_json::{Value, json};

use super::fixture::{Fixture, gzip, parquet, read};
use crate::source::Source as _;

const FIELDS: [&str; 8] = [
    "a",
    "b c",
    "1.10",
    "x,y",
    "line\nbreak",
    "\"quoted\"",
    "é\r\n\"\"",
    "-0",
];
const DUCKDB: &str = "import duckdb, json, sys
path = sys.argv[1]
rows = duckdb.sql(f\"\"\"SELECT * FROM read_csv('{path}', all_varchar=true, header=true, delim=',', quote='\"', escape='\"',
    auto_detect=false, columns={{'x': 'VARCHAR', 'y': 'VARCHAR', 'z': 'VARCHAR'}}, parallel=false)\"\"\")
print(json.dumps([dict(zip(rows.columns, row)) for row in rows.fetchall()]))
";

#[tokio::test]
async fn parts_of_every_size_have_the_rows_that_duckdb_reads() {
    let Some(readers) = require(&READERS) else {
        return;
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["x", "y", "z"]).unwrap();
    for row in 0..200 {
        let field = |column: usize| FIELDS[(row * 7 + column * 3 + row / 5) % FIELDS.len()];
        writer
            .write_record([field(0), field(1), &row.to_string()])
            .unwrap();
    }
    let text = writer.into_inner().unwrap();
    let mut fixture = Fixture::new("a.csv").with("a.csv", &text);
    let answer = Readers::new(&readers)
        .python()
        .args(["-c", DUCKDB])
        .arg(fixture.path("a.csv"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    let expected: Vec<Value> = serde_json::from_slice(&answer.stdout).expect(&said);
    assert_eq!(expected.len(), 200);
    fixture.parallelism = 3;
    for part in (5..400).step_by(13).chain([1_000, 5_000]) {
        fixture.sizes.part_bytes = Some(part);
        let rows = fixture.rows().await;
        let rows: Vec<Value> = rows
            .iter()
            .map(|row| serde_json::from_str(row).unwrap())
            .collect();
        assert_eq!(rows, expected, "parts of {part} bytes");
    }
}

/// A stream over a bucket of a server that holds these objects.
async fn in_bucket(server: &SeaweedFs, location: &str, objects: &[(&str, Vec<u8>)]) -> Fixture {
    let store = client(server);
    for (key, content) in objects {
        let content = content.clone().into();
        store.put(&Path::from(*key), content).await.unwrap();
    }
    let mut fixture = Fixture::new("unused");
    fixture.files.location = format!("s3://{BUCKET}/{location}").as_str().into();
    fixture.files.storage = Settings::from_iter([
        ("endpoint".to_owned(), json!(server.s3_url())),
        ("region".to_owned(), json!("us-east-1")),
        ("access_key_id".to_owned(), json!(ACCESS_KEY)),
        ("secret_access_key".to_owned(), json!(SECRET_KEY)),
    ]);
    fixture
}

fn client(server: &SeaweedFs) -> impl ObjectStore {
    AmazonS3Builder::new()
        .with_endpoint(server.s3_url())
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name(BUCKET)
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(SECRET_KEY)
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_an_object_store_are_read_in_parts_and_resumed() {
    let Some(component) = require(&SEAWEEDFS) else {
        return;
    };
    let server = SeaweedFs::start(&component).unwrap();
    let lines: String = (0..60_000)
        .map(|id| json!({"id": id}).to_string() + "\n")
        .collect();
    let local = Fixture::new("unused");
    parquet(&local.path("p"), 0..100, 10);
    let objects = [
        ("in/a.csv", b"id,name\n1,a\n2,b\n".to_vec()),
        ("in/sub/b.csv.gz", gzip(b"id,name\n3,c\n")),
        ("in/_SUCCESS", Vec::new()),
        ("lines/big.jsonl", lines.clone().into_bytes()),
        ("columns/p.parquet", std::fs::read(local.path("p")).unwrap()),
    ];
    for (location, rows) in [
        ("in", 3),
        ("in/", 3),
        ("in/*.csv", 2),
        ("in/**/*.csv*", 3),
        ("in/a.csv", 2),
        ("lines/*", 60_000),
        ("columns/p.parquet", 100),
    ] {
        let fixture = in_bucket(&server, location, &objects).await;
        assert_eq!(fixture.rows().await.len(), rows, "{location}");
    }

    let mut fixture = in_bucket(&server, "lines/big.jsonl", &[]).await;
    let whole = fixture.rows().await;
    fixture.parallelism = 2;
    fixture.sizes.part_bytes = Some(100_000);
    fixture.sizes.page_bytes = Some(50_000);
    fixture.sizes.batch_rows = Some(1_000);
    assert_eq!(fixture.rows().await, whole);

    let source = fixture.source();
    let listed = source.list().await.unwrap();
    let keys = source.take_up(&listed).await.unwrap();
    assert!(keys.len() > 3);
    let first = read(&source, keys[1].clone(), None).await.unwrap();
    let position = first.pages[0].position.clone();
    let done = usize::try_from(position.rows).unwrap();
    let rest = read(&source, keys[1].clone(), Some(position))
        .await
        .unwrap();
    assert_eq!(rest.rows, first.rows[done..]);
    // A part's lines are counted from the file's beginning, and rows hold their line's number.
    let placed = rest.lines().await;
    assert_eq!(placed.len(), rest.rows.len());
    for (row, line) in placed {
        let id = serde_json::from_str::<Value>(&row).unwrap()["id"].as_u64();
        assert_eq!(line, id.map(|id| id + 1), "{row}");
    }

    // The object is another by the time that it is read.
    let changed = ("lines/big.jsonl", b"{}\n".to_vec());
    drop(in_bucket(&server, "lines/big.jsonl", &[changed]).await);
    let error = read(&source, keys[2].clone(), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");

    for (location, message) in [
        ("in/none.csv", "there is no file or folder `s3://"),
        ("in/*.json", "no file matches `s3://"),
    ] {
        let error = in_bucket(&server, location, &[]).await.fails().await;
        assert!(error.message().starts_with(message), "{error}");
    }
}

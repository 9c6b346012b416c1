//! The same loads on a REST catalog with signed requests and an S3 warehouse: SeaweedFS.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use runner_core::{Committer as _, ErrorKind};
use runner_e2e::provision::{READERS, SEAWEEDFS};
use runner_e2e::require;
use runner_e2e::servers::{ACCESS_KEY, SECRET_KEY, SeaweedFs, TABLE_BUCKET};
use runner_plan::Template;
use runner_plan::model::{Catalog, ColumnType as T, PartitionTransform as P};
use runner_spec::model::WriteMode;
use serde_json::json;

use crate::harness::{Interposer, Lake, Load, column, id_and_value, numbers, pairs};

fn lake(server: &SeaweedFs, uri: &str, readers: PathBuf) -> Result<Lake> {
    let warehouse = format!("s3://{TABLE_BUCKET}/");
    let python = json!({
        "name": "rest",
        "type": "rest",
        "uri": server.catalog_url(),
        "warehouse": warehouse,
        "s3.endpoint": server.s3_url(),
        "s3.access-key-id": ACCESS_KEY,
        "s3.secret-access-key": SECRET_KEY,
        "s3.region": "us-east-1",
        "rest.sigv4-enabled": "true",
        "rest.signing-region": "us-east-1",
        "rest.signing-name": "s3tables",
        "client.access-key-id": ACCESS_KEY,
        "client.secret-access-key": SECRET_KEY,
        "client.region": "us-east-1",
    });
    let storage = json!({
        "endpoint": server.s3_url(),
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
        "region": "us-east-1",
        "path_style": true,
    });
    let catalog = Catalog::Rest {
        uri: uri.to_owned(),
        warehouse: Some(warehouse),
        token: None,
        credential: None,
        signing: Some(("us-east-1".to_owned(), "s3tables".to_owned())),
        headers: vec![("x-test".to_owned(), Template::new("yes"))],
    };
    Lake::rest(catalog, &storage, python, readers)
}

fn start() -> Result<Option<(SeaweedFs, PathBuf)>> {
    let (Some(component), Some(readers)) = (require(&SEAWEEDFS), require(&READERS)) else {
        return Ok(None);
    };
    let server = SeaweedFs::start(&component)?;
    // The bucket of the tables comes a moment after the server that asks for it.
    let lake = lake(&server, &server.catalog_url(), readers.clone())?;
    for attempt in 1.. {
        match lake.python("answer = catalog.list_namespaces()") {
            Ok(_) => break,
            Err(error) if attempt == 20 => return Err(error),
            Err(_) => {}
        }
    }
    Ok(Some((server, readers)))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_mode_works_on_a_rest_catalog() -> Result<()> {
    let Some((server, readers)) = start()? else {
        return Ok(());
    };
    let lake = lake(&server, &server.catalog_url(), readers)?;
    let columns = id_and_value();
    let append = |seq| Load::new(&lake, WriteMode::Append, &columns).seq(seq);
    let first = append(1).partition("v", P::Identity, "v");
    let letters = pairs((0..20).map(|id| (id, if id % 2 == 0 { "even" } else { "odd" })));
    let sealed = first.write(&[crate::harness::of_chain(0, letters)]).await?;
    let parts = first.prepare(sealed.clone()).await?;
    let staged = lake.files();
    assert_eq!(staged.len(), 2, "one file a partition, {staged:?}");
    let written = first.commit(&parts).await?;
    assert_eq!(written.rows, 20);
    assert!(first.commit(&parts).await?.already_done);
    first.target().await?.discard(&sealed).await?;
    first.target().await?.discard(&parts).await?;
    assert!(lake.files().is_empty(), "nothing waits any more");
    assert!(
        written.location.starts_with("s3://wh1/"),
        "{}",
        written.location
    );

    let mut foreign = append(2);
    foreign.clock = Interposer::new([
        lake.python_later("table.append(batch(table, [{'id': 1000, 'v': 'theirs'}]))")
    ]);
    foreign.run(numbers(20, 30)).await?;
    assert_eq!(lake.count()?, json!(31));

    let merge = Load::new(&lake, WriteMode::Merge, &columns)
        .seq(3)
        .key(&["id"]);
    let merged = merge
        .run(pairs([(5, "x"), (1000, "x"), (2000, "x")]))
        .await?;
    assert_eq!((merged.rows, merged.rows_replaced), (3, 2));
    assert_eq!(
        lake.python("answer = sorted(r['id'] for r in rows(table) if r['v'] == 'x')")?,
        json!([5, 1000, 2000])
    );

    let wider = [
        column("id", T::Integer),
        column("v", T::String),
        column("more", T::Timestamp),
    ];
    let evolved = Load::new(&lake, WriteMode::Append, &wider).seq(4);
    evolved.run(numbers(40, 41)).await.unwrap_err();
    evolved.prepare(Vec::new()).await?;
    assert_eq!(
        lake.python("answer = [f.name for f in table.schema().fields]")?,
        json!(["id", "v", "_uis_seq", "more"])
    );

    let replace = Load::new(&lake, WriteMode::Replace, &columns).seq(5);
    let replaced = replace.run(numbers(0, 3)).await?;
    assert_eq!((replaced.rows, replaced.rows_replaced), (3, 32));
    assert_eq!(lake.count()?, json!(3));

    let late = append(4).run(numbers(0, 1)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Conflict);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_found_in_the_table() -> Result<()> {
    let Some((server, readers)) = start()? else {
        return Ok(());
    };
    let proxy = LosingProxy::start(server.catalog_port())?;
    let lake = lake(&server, &proxy.url(), readers)?;
    let columns = id_and_value();
    let load = |seq| Load::new(&lake, WriteMode::Append, &columns).seq(seq);
    load(1).run(numbers(0, 10)).await?;
    let second = load(2);
    let parts = second
        .prepare(
            second
                .write(&[crate::harness::of_chain(0, numbers(10, 20))])
                .await?,
        )
        .await?;
    proxy.lose_commits(1);
    let written = second.commit(&parts).await?;
    assert_eq!(proxy.lost(), 1);
    assert_eq!((written.rows, written.already_done), (10, true));
    assert_eq!(lake.count()?, json!(20));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_are_an_error_that_says_so() -> Result<()> {
    let Some((server, readers)) = start()? else {
        return Ok(());
    };
    let mut lake = lake(&server, &server.catalog_url(), readers)?;
    lake.storage
        .insert("secret_access_key".to_owned(), json!("wrong"));
    let load = Load::new(&lake, WriteMode::Append, &id_and_value());
    let error = load.target().await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Forbidden | ErrorKind::Auth),
        "{error:?}"
    );
    assert!(!error.chain().contains("wrong"), "{}", error.chain());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_is_not_there_is_named() -> Result<()> {
    let Some((server, readers)) = start()? else {
        return Ok(());
    };
    let port = runner_e2e::free_port()?;
    let lake = lake(&server, &format!("http://127.0.0.1:{port}"), readers)?;
    let error = Load::new(&lake, WriteMode::Append, &id_and_value())
        .target()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Sink);
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    Ok(())
}

/// Passes requests on, and, when told to, closes the connection in place of the answer to a commit.
struct LosingProxy {
    port: u16,
    to_lose: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
}

impl LosingProxy {
    fn start(server: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let proxy = Self {
            port: listener.local_addr()?.port(),
            to_lose: Arc::default(),
            lost: Arc::default(),
        };
        let (to_lose, lost) = (Arc::clone(&proxy.to_lose), Arc::clone(&proxy.lost));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (to_lose, lost) = (Arc::clone(&to_lose), Arc::clone(&lost));
                std::thread::spawn(move || {
                    // A connection that breaks is what this is for.
                    let _ = pass(client, server, &to_lose, &lost);
                });
            }
        });
        Ok(proxy)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn lose_commits(&self, count: usize) {
        self.to_lose.store(count, Ordering::SeqCst);
    }

    fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

/// One request a connection: the server is asked to close it.
fn pass(
    mut client: TcpStream,
    server: u16,
    to_lose: &AtomicUsize,
    lost: &AtomicUsize,
) -> Result<()> {
    let request = read_request(&mut client)?;
    let head = String::from_utf8_lossy(&request).into_owned();
    let is_commit = head.starts_with("POST ") && head.contains("/tables/t HTTP");
    let mut upstream = TcpStream::connect(("127.0.0.1", server))?;
    let end = head.find("\r\n").unwrap_or(0) + 2;
    upstream.write_all(&request[..end])?;
    upstream.write_all(b"Connection: close\r\n")?;
    upstream.write_all(&request[end..])?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    if is_commit
        && to_lose
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok()
    {
        lost.fetch_add(1, Ordering::SeqCst);
        return Ok(client.shutdown(Shutdown::Both)?);
    }
    client.write_all(&answer)?;
    Ok(client.shutdown(Shutdown::Both)?)
}

fn read_request(client: &mut TcpStream) -> Result<Vec<u8>> {
    let mut request = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let read = client.read(&mut buffer)?;
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        if let Some(end) = text.find("\r\n\r\n") {
            let length = text
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length:")
                        .map(|value| value.trim().to_owned())
                })
                .and_then(|value| value.parse::<usize>().ok())
                .unwrap_or(0);
            if request.len() >= end + 4 + length || read == 0 {
                return Ok(request);
            }
        } else if read == 0 {
            return Ok(request);
        }
    }
}

//! Every server starts, answers one request of the kind that tests need from it, and stops.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;
use runner_e2e::{
    Flights,
    provision::{DATASETTE, NGINX, NODE_SERVERS, POSTGRES, READERS, REST_FRAMEWORKS, SEAWEEDFS},
    readers::{self, Question, Readers},
    request, require,
    servers::{
        CLIENT_ID, CLIENT_SECRET, Datasette, GraphqlServer, JsonServer, Nginx, OauthServer,
        Postgres, RestApi, SeaweedFs,
    },
};
use serde_json::json;

fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn datasette_serves_pages_of_the_flights_with_a_next_url() -> Result<()> {
    let (Some(component), Some(flights)) = (require(&DATASETTE), Flights::require()) else {
        return Ok(());
    };
    let server = Datasette::start(&component, &[&flights.database()], 1000)?;
    let target = "/flights/flights.json?_shape=objects&_size=max&_nocount=1&_nosuggest=1";
    let page = request("GET", server.port(), target, &[], b"")?.json()?;
    assert_eq!(page["rows"].as_array().map(Vec::len), Some(1000));
    assert_eq!(page["next"], json!("1000"));
    assert!(
        page["next_url"]
            .as_str()
            .is_some_and(|url| url.contains("_next=1000")),
        "{}",
        page["next_url"]
    );
    assert_eq!(server.requests("/flights/flights.json"), 1);
    let pid = server.process().pid();
    drop(server);
    assert!(is_gone(pid));
    Ok(())
}

#[test]
fn postgres_answers_psql() -> Result<()> {
    let Some(component) = require(&POSTGRES) else {
        return Ok(());
    };
    let server = Postgres::start(&component, &["wal_level=logical"])?;
    server.psql(
        "CREATE TABLE numbers AS SELECT n, n * 2 AS twice FROM generate_series(1, 10) AS n",
    )?;
    let question = Question {
        sums: &["n", "twice"],
        distinct: Some("n"),
        ..Question::default()
    };
    let tally = readers::postgres(&server, "numbers", &question)?;
    assert_eq!((tally.rows, tally.distinct), (10, Some(10)));
    assert_eq!(
        (&tally.sums["n"], &tally.sums["twice"]),
        (&json!(55), &json!(110))
    );
    assert!(server.psql("SELECT nonsense").is_err());
    let pid = server.process().pid();
    drop(server);
    assert!(is_gone(pid));
    Ok(())
}

#[test]
fn seaweedfs_serves_objects_and_an_iceberg_catalog() -> Result<()> {
    let (Some(component), Some(python)) = (require(&SEAWEEDFS), require(&READERS)) else {
        return Ok(());
    };
    let server = SeaweedFs::start(&component)?;
    let configuration = request(
        "GET",
        server.catalog_port(),
        "/v1/config?warehouse=s3://wh1",
        &[],
        b"",
    )?;
    assert_eq!(configuration.status, 200, "{}", configuration.head);
    // A table written by pyiceberg itself: what the reader then counts was there.
    let write = "import os, sys, time, pyarrow\n\
        from pyiceberg.catalog.rest import RestCatalog\n\
        uri, endpoint, key, secret = sys.argv[1:]\n\
        os.environ['AWS_ACCESS_KEY_ID'], os.environ['AWS_SECRET_ACCESS_KEY'] = key, secret\n\
        catalog = RestCatalog('rest', **{'uri': uri, 'warehouse': 's3://wh1/', 's3.endpoint': endpoint,\n\
            's3.access-key-id': key, 's3.secret-access-key': secret, 's3.region': 'us-east-1',\n\
            'rest.sigv4-enabled': 'true', 'rest.signing-region': 'us-east-1', 'rest.signing-name': 's3tables'})\n\
        # The catalog answers before its bucket is there.\n\
        for _ in range(120):\n\
        \x20   try:\n\
        \x20       catalog.create_namespace('smoke')\n\
        \x20       break\n\
        \x20   except Exception as error:\n\
        \x20       last = error\n\
        \x20       time.sleep(1)\n\
        else:\n\
        \x20   raise last\n\
        rows = pyarrow.table({'n': [1, 2, 3]})\n\
        catalog.create_table('smoke.numbers', rows.schema).append(rows)\n";
    let readers = Readers::new(&python);
    let keys = [
        runner_e2e::servers::ACCESS_KEY,
        runner_e2e::servers::SECRET_KEY,
    ];
    let written = readers
        .python()
        .args(["-c", write, &server.catalog_url(), &server.s3_url()])
        .args(keys)
        .output()?;
    assert!(
        written.status.success(),
        "{}",
        String::from_utf8_lossy(&written.stderr)
    );
    let tally = readers.iceberg_rest(
        &server,
        "smoke.numbers",
        &Question {
            sums: &["n"],
            ..Question::default()
        },
    )?;
    assert_eq!(
        (tally.rows, &tally.sums["n"], tally.snapshots),
        (3, &json!(6), 1)
    );
    let pid = server.process().pid();
    drop(server);
    assert!(is_gone(pid));
    Ok(())
}

#[test]
fn the_oauth2_server_issues_rotates_and_checks_tokens() -> Result<()> {
    let Some(component) = require(&NODE_SERVERS) else {
        return Ok(());
    };
    let server = OauthServer::start(&component, Duration::from_mins(1), Duration::ZERO)?;
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let token = |grant: &str| {
        let body = format!("{grant}&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}");
        request("POST", server.port(), "/token", &form, body.as_bytes())
    };
    let issued = token("grant_type=client_credentials&scope=items:read")?.json()?;
    let bearer = format!(
        "Bearer {}",
        issued["access_token"].as_str().unwrap_or_default()
    );
    let page = request(
        "GET",
        server.port(),
        "/api/items?page=1",
        &[("Authorization", &bearer)],
        b"",
    )?
    .json()?;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        request("GET", server.port(), "/api/items?page=1", &[], b"")?.status,
        401
    );

    let refresh = format!(
        "grant_type=refresh_token&refresh_token={}",
        server.refresh_token()
    );
    let rotated = token(&refresh)?.json()?;
    assert!(
        rotated["refresh_token"]
            .as_str()
            .is_some_and(|token| token != server.refresh_token()),
        "{rotated}"
    );
    assert_eq!(
        token(&refresh)?.status,
        400,
        "a rotated refresh token is good for one use"
    );
    assert_eq!(
        server.counters()?,
        json!({"issued": 2, "refused": 1, "served": 1})
    );
    Ok(())
}

#[test]
fn the_graphql_server_pages_through_variables() -> Result<()> {
    let Some(component) = require(&NODE_SERVERS) else {
        return Ok(());
    };
    let server = GraphqlServer::start(&component, 25)?;
    let query = json!({
        "query": "query($page: Int, $size: Int) { allReadings(page: $page, perPage: $size, sortField: \"id\") { id value } }",
        "variables": {"page": 2, "size": 10},
    });
    let headers = [("Content-Type", "application/json")];
    let answer = request(
        "POST",
        server.port(),
        "/graphql",
        &headers,
        query.to_string().as_bytes(),
    )?
    .json()?;
    assert_eq!(
        answer["data"]["allReadings"].as_array().map(Vec::len),
        Some(5),
        "{answer}"
    );
    Ok(())
}

#[test]
fn the_rest_frameworks_page_and_know_their_user() -> Result<()> {
    let Some(component) = require(&REST_FRAMEWORKS) else {
        return Ok(());
    };
    let server = RestApi::start(&component, 25, "token-of-the-user")?;
    let get = |target: &str, headers: &[(&str, &str)]| {
        request("GET", server.port(), target, headers, b"")
    };
    let page = get("/page/25?page=3", &[])?.json()?;
    assert_eq!(page["results"].as_array().map(Vec::len), Some(5), "{page}");
    assert_eq!(get("/page/20?page=3", &[])?.status, 404);
    assert_eq!(get("/token/25", &[])?.status, 401);
    let bearer = [("Authorization", "Bearer token-of-the-user")];
    assert_eq!(get("/token/25", &bearer)?.status, 200);
    let statuses: Vec<u16> = server
        .answered()
        .into_iter()
        .filter(|request| request.target != "/")
        .map(|request| request.status)
        .collect();
    assert_eq!(statuses, [200, 404, 401, 200]);
    let pid = server.process().pid();
    drop(server);
    assert!(is_gone(pid));
    Ok(())
}

#[test]
fn json_server_repeats_its_last_page() -> Result<()> {
    let Some(component) = require(&NODE_SERVERS) else {
        return Ok(());
    };
    let server = JsonServer::start(&component, &json!({"items": [{"id": "1"}, {"id": "2"}]}))?;
    let page = |number: u64| {
        let target = format!("/items?_page={number}&_per_page=1");
        request("GET", server.port(), &target, &[], b"")?.json()
    };
    assert_eq!(page(1)?["next"], 2);
    assert_eq!(page(2)?, page(3)?);
    let pid = server.process().pid();
    drop(server);
    assert!(is_gone(pid));
    Ok(())
}

#[test]
fn nginx_serves_static_files() -> Result<()> {
    let Some(component) = require(&NGINX) else {
        return Ok(());
    };
    let root = tempfile::tempdir()?;
    fs::write(root.path().join("page.json"), "{\"rows\": []}")?;
    let server = Nginx::start(&component, root.path())?;
    assert_eq!(
        request("GET", server.port(), "/page.json", &[], b"")?.json()?,
        json!({"rows": []})
    );
    Ok(())
}

#[test]
fn duckdb_counts_parquet_files_of_nested_folders() -> Result<()> {
    let Some(python) = require(&READERS) else {
        return Ok(());
    };
    let readers = Readers::new(&python);
    let folder = tempfile::tempdir()?;
    let write = "import os, sys, duckdb\n\
        for part in range(3):\n\
        \x20   os.makedirs(f'{sys.argv[1]}/part={part}')\n\
        \x20   duckdb.sql(f\"COPY (SELECT range AS n FROM range(10)) TO '{sys.argv[1]}/part={part}/x.parquet'\")\n";
    let written = readers
        .python()
        .args(["-c", write])
        .arg(folder.path())
        .output()?;
    assert!(
        written.status.success(),
        "{}",
        String::from_utf8_lossy(&written.stderr)
    );
    let question = Question {
        sums: &["n"],
        distinct: Some("n"),
        first_rows: 2,
    };
    let tally = readers.parquet(
        &format!("{}/**/*.parquet", folder.path().display()),
        &question,
    )?;
    assert_eq!((tally.rows, tally.distinct, tally.files), (30, Some(10), 3));
    assert_eq!((&tally.sums["n"], tally.first_rows.len()), (&json!(135), 2));
    Ok(())
}

//! Every kind of pagination, on a number of rows that pages divide, one that they don't, and none.

use std::{collections::BTreeMap, path::Path, process::Command};

use anyhow::{Result, ensure};
use runner_e2e::{
    provision::{DATASETTE, NGINX, NODE_SERVERS, READERS, REST_FRAMEWORKS},
    require,
    servers::{Answered, Datasette, JsonServer, Nginx, RestApi},
};
use serde_json::{Value, json};

use crate::feed::{Feed, check_asked_once, endpoint, stream, with};

/// Ten a page: pages end in the middle of one, at the end of one, and before the first.
const ROWS: [u64; 3] = [25, 20, 0];

/// How a server pages, and what the document says of it.
struct Kind {
    name: &'static str,
    /// `{rows}` stands for the number of rows that it has to give, `{stream}` for the stream's name.
    path: String,
    /// The field with the number of the reading.
    id: &'static str,
    query: &'static [(&'static str, &'static str)],
    response_path: &'static str,
    pagination: &'static str,
    settings: Value,
    /// For each of [`ROWS`].
    requests: [usize; 3],
}

/// Only a page shorter than asked for ends these: a full last page takes one request more.
const COUNTED: [usize; 3] = [3, 3, 1];
/// These say themselves which page is the last.
const STATED: [usize; 3] = [3, 2, 1];

/// What Django REST framework and Tastypie have.
fn of_frameworks() -> Vec<Kind> {
    let numbered = json!({"page_param": "page", "limit_param": "page_size", "page_size": 10});
    let numbered_with_total = json!({"page_size": 10, "start_page": 1, "total_path": "$.count"});
    let offset = json!({"offset_param": "offset", "limit_param": "limit", "page_size": 10});
    let offset_with_total = json!({"page_size": 10, "total_path": "$.meta.total_count"});
    let next = json!({"next_url_path": "$.next"});
    let meta_next = json!({"next_url_path": "$.meta.next"});
    // Behind the last of its numbered pages the framework answers with 404.
    [
        ("none", "/none", "none", json!({}), [1, 1, 1]),
        ("page", "/page", "page", numbered, COUNTED),
        (
            "page_with_total",
            "/page",
            "page",
            numbered_with_total,
            COUNTED,
        ),
        ("offset", "/offset", "offset", offset, COUNTED),
        (
            "offset_with_total",
            "/tastypie",
            "offset",
            offset_with_total,
            COUNTED,
        ),
        ("cursor_by_itself", "/cursor", "cursor", json!({}), STATED),
        ("next_url_absolute", "/cursor", "next_url", next, STATED),
        (
            "next_url_relative",
            "/tastypie",
            "next_url",
            meta_next,
            STATED,
        ),
        ("link_header", "/link", "link_header", json!({}), STATED),
    ]
    .into_iter()
    .map(|(name, path, pagination, settings, requests)| Kind {
        name,
        path: match path {
            "/tastypie" => format!("{path}/{{rows}}/"),
            _ => format!("{path}/{{rows}}"),
        },
        id: "id",
        query: &[],
        response_path: match path {
            "/none" | "/link" => "$",
            "/tastypie" => "$.objects",
            _ => "$.results",
        },
        pagination,
        settings,
        requests,
    })
    .collect()
}

/// What datasette has.
fn of_datasette() -> Vec<Kind> {
    let kind = |name, shape, response_path, pagination, settings| Kind {
        name,
        path: "/readings/readings_{rows}.json".to_owned(),
        id: "id",
        query: match shape {
            "array" => &[("_size", "10"), ("_shape", "array")],
            _ => &[("_size", "10"), ("_shape", "objects")],
        },
        response_path,
        pagination,
        settings,
        requests: STATED,
    };
    vec![
        kind(
            "cursor",
            "objects",
            "$.rows",
            "cursor",
            json!({"cursor_param": "_next", "cursor_path": "$.next"}),
        ),
        kind("cursor_by_itself", "objects", "$.rows", "cursor", json!({})),
        kind("cursor_in_link", "array", "$", "cursor", json!({})),
        kind("next_url", "objects", "$.rows", "next_url", json!({})),
        kind("link_header", "array", "$", "link_header", json!({})),
    ]
}

/// What json-server has, behind a proxy that takes the stream's name off the path.
fn of_json_server() -> Vec<Kind> {
    let size = json!({"limit_param": "_per_page", "page_size": 10});
    let numbered = with(size.clone(), &json!({"page_param": "_page"}));
    let total = json!({"total_path": "$.items"});
    let token = with(size, &json!({"cursor_param": "_page"}));
    [
        // Behind its last page the server gives that page again.
        ("page", "page", numbered.clone(), COUNTED),
        ("page_with_total", "page", with(numbered, &total), COUNTED),
        // The next page's number is a token like any other.
        ("token_by_itself", "cursor", token, STATED),
    ]
    .into_iter()
    .map(|(name, pagination, settings, requests)| Kind {
        name,
        path: "/{stream}/readings_{rows}".to_owned(),
        id: "number",
        query: &[("_page", "1")],
        response_path: "$.data",
        pagination,
        settings,
        requests,
    })
    .collect()
}

fn endpoints(kinds: &[Kind]) -> Vec<Value> {
    let of_kind = |kind: &Kind, rows: u64| {
        let name = format!("{}_{rows}", kind.name);
        let path = kind
            .path
            .replace("{rows}", &rows.to_string())
            .replace("{stream}", &name);
        // By its name the requests of a stream are found in the server's log, for next URLs keep it.
        let marker = (!kind.path.contains("{stream}")).then_some(("_stream", name.as_str()));
        let query: BTreeMap<&str, &str> = kind.query.iter().copied().chain(marker).collect();
        with(
            endpoint(&name, &path, kind.response_path),
            &json!({
                "pagination": kind.pagination,
                "pagination_config": kind.settings,
                "query_params": query,
                "field_mapping": {kind.id: "id"},
            }),
        )
    };
    kinds
        .iter()
        .flat_map(|kind| ROWS.map(|rows| of_kind(kind, rows)))
        .collect()
}

fn of_stream<'a>(answered: &'a [Answered], name: &str) -> Vec<&'a Answered> {
    let (pair, folder) = (format!("_stream={name}"), format!("/{name}/"));
    answered
        .iter()
        .filter(|request| {
            request.target.starts_with(&folder)
                || request.target.split(['?', '&']).any(|part| part == pair)
        })
        .collect()
}

/// Runs a feed of all these kinds and looks at the rows, the server's log and the report.
fn check(
    kinds: &[Kind],
    url: &str,
    python: &Path,
    answered: impl Fn() -> Result<Vec<Answered>>,
) -> Result<()> {
    let feed = Feed::new(url, &endpoints(kinds))?;
    let report = feed.report()?;
    let tables = feed.tables(python)?;
    let answered = answered()?;
    check_asked_once(&answered)?;
    for kind in kinds {
        for (rows, requests) in ROWS.into_iter().zip(kind.requests) {
            let name = format!("{}_{rows}", kind.name);
            Feed::check_rows(&tables, &name, 1, rows)?;
            let found = of_stream(&answered, &name);
            ensure!(
                found.len() == requests,
                "`{name}` should take {requests} requests: {found:?}"
            );
            let stream = stream(&report, &name)?;
            ensure!(
                (&stream["requests"], &stream["rows_read"]) == (&json!(requests), &json!(rows)),
                "{stream}"
            );
        }
    }
    // A list of 20 or 25 may be the first page of a longer one, where nothing says how long it is.
    let warned: Vec<&str> = report["warnings"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|warning| warning["stream"].as_str())
        .collect();
    let expected: &[&str] = if kinds.iter().any(|kind| kind.name == "none") {
        &["none_25", "none_20"]
    } else {
        &[]
    };
    ensure!(warned == expected, "{}", report["warnings"]);
    Ok(())
}

#[test]
fn every_kind_of_the_rest_frameworks_is_read_to_its_end() -> Result<()> {
    let (Some(component), Some(python)) = (require(&REST_FRAMEWORKS), require(&READERS)) else {
        return Ok(());
    };
    let server = RestApi::start(&component, 25, "unused")?;
    check(&of_frameworks(), &server.url(), &python, || {
        Ok(server.answered())
    })
}

#[test]
fn every_kind_of_datasette_is_read_to_its_end() -> Result<()> {
    let (Some(component), Some(python)) = (require(&DATASETTE), require(&READERS)) else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("readings.db");
    let write = "import sqlite3, sys\n\
        database = sqlite3.connect(sys.argv[1])\n\
        for rows in map(int, sys.argv[2:]):\n\
        \x20   database.execute(f'CREATE TABLE readings_{rows} (id INTEGER PRIMARY KEY, note TEXT)')\n\
        \x20   database.executemany(f'INSERT INTO readings_{rows} VALUES (?, ?)', [(n, f'reading {n}') for n in range(1, rows + 1)])\n\
        database.commit()\n";
    let written = Command::new(component.join("bin/python"))
        .args(["-c", write])
        .arg(&database)
        .args(ROWS.map(|rows| rows.to_string()))
        .status()?;
    ensure!(written.success(), "{written}");
    let server = Datasette::start(&component, &[&database], 1000)?;
    check(&of_datasette(), &server.url(), &python, || {
        Ok(server.answered())
    })
}

#[test]
fn every_kind_of_json_server_is_read_to_its_end() -> Result<()> {
    let (Some(component), Some(nginx), Some(python)) =
        (require(&NODE_SERVERS), require(&NGINX), require(&READERS))
    else {
        return Ok(());
    };
    let readings = |rows: u64| -> Vec<Value> {
        (1..=rows)
            .map(|number| json!({"id": format!("reading {number}"), "number": number}))
            .collect()
    };
    let lists: BTreeMap<String, Vec<Value>> = ROWS
        .into_iter()
        .map(|rows| (format!("readings_{rows}"), readings(rows)))
        .collect();
    let server = JsonServer::start(&component, &json!(lists))?;
    // It doesn't say what it was asked for: the proxy does.
    let proxy = Nginx::configured(&nginx, |port| {
        format!(
            "  server {{\n    listen 127.0.0.1:{port};\n    location / {{ rewrite ^/[^/]+/(.+)$ /$1 break; proxy_pass {}; }}\n  }}\n",
            server.url()
        )
    })?;
    check(&of_json_server(), &proxy.url(), &python, || {
        proxy.answered()
    })
}

#[test]
fn numbered_pages_begin_where_told_and_are_asked_for_ahead_once() -> Result<()> {
    let (Some(component), Some(python)) = (require(&REST_FRAMEWORKS), require(&READERS)) else {
        return Ok(());
    };
    let server = RestApi::start(&component, 100, "unused")?;
    let numbered = |name: &str, settings: Value| {
        with(
            endpoint(name, "/page/100", "$.results"),
            &json!({"pagination": "page", "pagination_config": settings, "query_params": {"_stream": name}}),
        )
    };
    let endpoints = [
        numbered("from_4", json!({"page_size": 10, "start_page": 4})),
        numbered("untold", json!({"page_size": 10})),
        numbered("told", json!({"page_size": 10, "total_path": "$.count"})),
    ];
    let feed = Feed::new(&server.url(), &endpoints)?.set("parallelism", json!(4));
    feed.report()?;
    let tables = feed.tables(&python)?;
    Feed::check_rows(&tables, "from_4", 31, 100)?;
    Feed::check_rows(&tables, "untold", 1, 100)?;
    Feed::check_rows(&tables, "told", 1, 100)?;
    let answered = server.answered();
    check_asked_once(&answered)?;
    // The total bounds what is asked for ahead: one page behind the last one, since that one is full.
    let told = of_stream(&answered, "told").len();
    ensure!(told == 11, "{told} requests");
    let untold = of_stream(&answered, "untold").len();
    ensure!((11..=10 + 4).contains(&untold), "{untold} requests");
    Ok(())
}

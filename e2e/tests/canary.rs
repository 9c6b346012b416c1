//! A secret appears in no file and no output: neither as it is nor percent-, base64- or JSON-encoded, neither when all goes well nor
//! when the API throws it back.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{Invocation, Mock, Outcome, Runner, provision::READERS, repository, require};
use serde_json::{Value, json};

const CANARY: &str = r#"c4n@ry/+"& k%9-of-the-tests"#;
/// Every encoding that a URL, a header, a body or a report may have it in.
const FORMS: [&str; 7] = [
    CANARY,
    "c4n%40ry%2F%2B%22%26%20k%259-of-the-tests",
    "c4n%40ry%2F%2B%22%26+k%259-of-the-tests",
    "c4n@ry/+%22&%20k%9-of-the-tests",
    "YzRuQHJ5LysiJiBrJTktb2YtdGhlLXRlc3Rz",
    r#"c4n@ry/+\"& k%9-of-the-tests"#,
    // Behind the user `loader`, as basic authentication sends it.
    "bG9hZGVyOmM0bkByeS8rIiYgayU5LW9mLXRoZS10ZXN0cw==",
];
/// Answers of the server that throws a request back, at most.
const ANSWERS: usize = 50;

struct Feed {
    folder: tempfile::TempDir,
    runner: Runner,
    document: PathBuf,
}

impl Feed {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let feed = Self {
            runner: Runner::new(&folder.path().join("data"))?,
            folder,
            document: repository().join("examples/polygon-api.yaml"),
        };
        let secrets = json!({ "market-data/polygon": { "api_key": CANARY } });
        fs::write(feed.secrets(), secrets.to_string())?;
        fs::set_permissions(feed.secrets(), fs::Permissions::from_mode(0o600))?;
        Ok(feed)
    }

    fn secrets(&self) -> PathBuf {
        self.folder.path().join("secrets.json")
    }

    fn command(&self, arguments: &[&str]) -> Invocation {
        self.runner
            .command(arguments)
            .option("--secrets", self.secrets())
    }

    fn on_document(&self, command: &str, base_url: &str) -> Invocation {
        self.command(&[command, &self.document.to_string_lossy()])
            .option("--base-url", base_url)
    }
}

/// The form of the canary that these bytes hold.
fn found(bytes: &[u8]) -> Option<&'static str> {
    FORMS.into_iter().find(|form| {
        bytes
            .windows(form.len())
            .any(|window| window == form.as_bytes())
    })
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// A server that answers each request by its head.
fn serve(answer: fn(&str) -> (&'static str, Value)) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().take(ANSWERS).flatten() {
            // A client that has gone needs no answer.
            let _ = respond(stream, answer);
        }
    });
    Ok(url)
}

fn respond(mut stream: TcpStream, answer: fn(&str) -> (&'static str, Value)) -> Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        request.extend_from_slice(&byte);
    }
    let (status, body) = answer(&String::from_utf8_lossy(&request));
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(())
}

/// Answers with the request's first line, in an error.
fn throw_back(request: &str) -> (&'static str, Value) {
    let line = request.lines().next().unwrap_or_default();
    let body = json!({ "error": format!("no such key: {line}"), "key": CANARY });
    ("400 Bad Request", body)
}

/// A good row, and one that fails and holds the secret in each form, with the head of the request. Or a token, which is a secret too.
fn rows_that_tell(request: &str) -> (&'static str, Value) {
    if request.starts_with("POST /token") {
        let token = json!({ "access_token": CANARY, "token_type": "Bearer", "expires_in": 3600 });
        return ("200 OK", token);
    }
    let told: Vec<&str> = FORMS.to_vec();
    let rows = json!([
        { "id": 1, "amount": 1 },
        { "id": 2, "amount": -1, "told": told, "request": request },
    ]);
    ("200 OK", rows)
}

fn check_outcomes(outcomes: &[Outcome]) -> Result<()> {
    for outcome in outcomes {
        for printed in [&outcome.stdout, &outcome.stderr] {
            let form = found(printed.as_bytes());
            ensure!(form.is_none(), "{form:?} in {}", outcome.describe());
        }
    }
    Ok(())
}

fn check_files(folder: &Path, least: usize) -> Result<()> {
    let files = files_below(folder)?;
    ensure!(files.len() >= least, "only {} files", files.len());
    for file in files {
        let form = found(&fs::read(&file)?);
        ensure!(form.is_none(), "{form:?} in `{}`", file.display());
    }
    Ok(())
}

#[test]
fn a_secret_is_in_no_file_and_no_output() -> Result<()> {
    let feed = Feed::new()?;
    ensure!(
        found(&fs::read(feed.secrets())?).is_some(),
        "the search finds nothing where the secret is"
    );
    let mut serving = feed
        .command(&["mock", &feed.document.to_string_lossy()])
        .option("--rows", "20")
        .into_command();
    let mock = Mock::start(&mut serving)?;
    let mut outcomes = Vec::new();
    for command in ["plan", "preview", "sample", "run"] {
        outcomes.push(feed.on_document(command, mock.url()).succeed()?);
        outcomes.push(
            feed.on_document(command, mock.url())
                .arg("--json")
                .succeed()?,
        );
    }
    drop(mock);
    let url = serve(throw_back)?;
    for arguments in [&["--restart"][..], &["--restart", "--json"]] {
        let mut refused = feed.on_document("sample", &url);
        for argument in arguments {
            refused = refused.arg(argument);
        }
        let refused = refused.run()?;
        ensure!(refused.code != Some(0), "{}", refused.describe());
        ensure!(
            format!("{}{}", refused.stdout, refused.stderr).contains("no such key"),
            "the answer isn't shown, so that nothing is shown by its absence: {}",
            refused.describe()
        );
        outcomes.push(refused);
    }
    for arguments in [
        &["jobs", "list", "--json"][..],
        &["quarantine", "list", "--json"],
        &["state", "list", "--json"],
        &["info", "--json"],
        &["info"],
        &["health", "--json"],
    ] {
        outcomes.push(feed.command(arguments).run()?);
    }
    check_outcomes(&outcomes)?;
    check_files(feed.runner.data_folder(), 6)
}

/// What a row in the quarantine says, as DuckDB reads it from its compressed file.
fn quarantined(python: &Path, folder: &Path) -> Result<String> {
    const SELECT: &str = "import duckdb, sys; print(duckdb.sql(f\"SELECT * FROM read_parquet('{sys.argv[1]}/**/*.parquet')\").fetchall())";
    let output = Command::new(python.join("bin/python"))
        .args(["-c", SELECT])
        .arg(folder)
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// A feed whose API puts what it was sent into a row that fails.
fn telling(url: &str, auth: &str, config: &Value) -> Value {
    json!({
        "version": "1.2",
        "name": "telling",
        "created_by": "shop",
        "provider": {
            "name": "shop",
            "display_name": "Shop",
            "owner": "shop",
            "provider_type": "rest_api",
            "base_url": url,
            "tenant_id": "acme",
            "endpoints": [{
                "name": "rows",
                "path": "/rows",
                "auth": auth,
                "auth_config": config,
                "validation_rules": {"numeric_ranges": {"amount": [0, 10]}},
            }],
            "sinks": [{"type": "parquet", "table_name": "rows"}],
        },
    })
}

fn check_telling(python: &Path, document: &Value) -> Result<()> {
    let mut feed = Feed::new()?;
    feed.document = feed.folder.path().join("feed.json");
    fs::write(&feed.document, document.to_string())?;
    let path = feed.document.to_string_lossy().into_owned();
    let ran = feed.command(&["sample", &path, "--json"]).succeed()?;
    let report = ran.json()?;
    ensure!(report["streams"][0]["rows_quarantined"] == 1, "{report}");
    let job = report["job_id"].as_str().context("a job")?.to_owned();
    let shown = feed.command(&["quarantine", "show", &job]).succeed()?;
    ensure!(
        shown.stdout.contains("\"amount\":-1") && shown.stdout.contains("{{secret:"),
        "the row isn't shown, so that nothing is shown by its absence: {}",
        shown.describe()
    );
    let mut outcomes = vec![ran, shown];
    for arguments in [
        &["quarantine", "show", &job, "--json"][..],
        &["jobs", "show", &job],
        &["jobs", "show", &job, "--json"],
        &["plan", &path, "--probe"],
        &["plan", &path, "--probe", "--json"],
        &["state", "show", "telling", "--json"],
    ] {
        outcomes.push(feed.command(arguments).succeed()?);
    }
    check_outcomes(&outcomes)?;
    check_files(feed.runner.data_folder(), 3)?;
    let rows = quarantined(python, &feed.runner.data_folder().join("quarantine"))?;
    ensure!(rows.contains("amount"), "{rows}");
    let form = found(rows.as_bytes());
    ensure!(form.is_none(), "{form:?} in the quarantine: {rows}");
    Ok(())
}

#[test]
fn a_secret_that_comes_back_in_a_row_is_not_kept() -> Result<()> {
    let Some(python) = require(&READERS) else {
        return Ok(());
    };
    let url = serve(rows_that_tell)?;
    let secret = "vault://market-data/polygon#api_key";
    for (auth, config) in [
        (
            "api_key",
            json!({ "name": "X-Key", "in": "header", "value": secret }),
        ),
        (
            "api_key",
            json!({ "name": "key", "in": "query", "value": secret }),
        ),
        ("bearer", json!({ "token": secret })),
        ("basic", json!({ "username": "loader", "password": secret })),
        (
            "oauth2",
            json!({ "grant": "client_credentials", "token_url": format!("{url}/token"), "client_id": "loader", "client_secret": secret }),
        ),
        (
            "hmac",
            json!({ "algorithm": "sha256", "secret": secret, "string_to_sign": "{{ method }}{{ path }}", "header": "X-Signature" }),
        ),
    ] {
        check_telling(&python, &telling(&url, auth, &config)).context(auth)?;
    }
    Ok(())
}

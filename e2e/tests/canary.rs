//! A secret appears in no file and no output: neither as it is nor percent-, base64- or JSON-encoded, neither when all goes well nor
//! when the API throws it back.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Result, ensure};
use runner_e2e::{Invocation, Mock, Runner, repository};
use serde_json::json;

const CANARY: &str = r#"c4n@ry/+"& k%9-of-the-tests"#;
/// Every encoding that a URL, a header, a body or a report may have it in.
const FORMS: [&str; 6] = [
    CANARY,
    "c4n%40ry%2F%2B%22%26%20k%259-of-the-tests",
    "c4n%40ry%2F%2B%22%26+k%259-of-the-tests",
    "c4n@ry/+%22&%20k%9-of-the-tests",
    "YzRuQHJ5LysiJiBrJTktb2YtdGhlLXRlc3Rz",
    r#"c4n@ry/+\"& k%9-of-the-tests"#,
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

/// A server that answers each request with its own first line, in an error.
fn throwing_back() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().take(ANSWERS).flatten() {
            // A client that has gone needs no answer.
            let _ = throw_back(stream);
        }
    });
    Ok(url)
}

fn throw_back(mut stream: TcpStream) -> Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        request.extend_from_slice(&byte);
    }
    let text = String::from_utf8_lossy(&request);
    let line = text.lines().next().unwrap_or_default();
    let body = json!({ "error": format!("no such key: {line}"), "key": CANARY }).to_string();
    write!(
        stream,
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
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
    let url = throwing_back()?;
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
    for outcome in &outcomes {
        for printed in [&outcome.stdout, &outcome.stderr] {
            let form = found(printed.as_bytes());
            ensure!(form.is_none(), "{form:?} in {}", outcome.describe());
        }
    }
    let files = files_below(feed.runner.data_folder())?;
    ensure!(files.len() > 5, "only {} files", files.len());
    for file in files {
        let form = found(&fs::read(&file)?);
        ensure!(form.is_none(), "{form:?} in `{}`", file.display());
    }
    Ok(())
}

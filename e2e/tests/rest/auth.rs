//! Every kind of credentials, checked by somebody else: right ones load all rows, wrong ones none.
//!
//! Tastypie checks API keys, Django REST framework bearer tokens and basic credentials, nginx basic credentials too and, in its
//! JavaScript, HMAC signatures; nginx checks client certificates behind the handshake, Python in it. (OAuth2 has tests of its own.)

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use runner_e2e::{
    Outcome, Process, Signal, free_port,
    provision::{NGINX, READERS, REST_FRAMEWORKS},
    readers::Readers,
    repository, require,
    servers::{Nginx, RestApi, USER},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::feed::{Feed, check_asked_once, endpoint, with};

const KEY: &str = "right-key-of-the-tests";
const WRONG: &str = "wrong-key-of-the-tests";
const ROWS: u64 = 25;
/// The exit code of a run that was refused.
const AUTH: i32 = 5;

/// Three pages, each of which says where the next one is, relative to itself.
fn static_pages() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let ids: Vec<u64> = (1..=ROWS).collect();
    let pages: Vec<&[u64]> = ids.chunks(10).collect();
    for (index, ids) in pages.iter().enumerate() {
        let rows: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        let next = (index + 1 < pages.len()).then(|| format!("{}.json", index + 2));
        let page = json!({"rows": rows, "next": next});
        fs::write(
            folder.path().join(format!("{}.json", index + 1)),
            page.to_string(),
        )?;
    }
    Ok(folder)
}

/// One location for each way in which nginx tells callers apart.
fn locations(port: u16, pages: &Path, passwords: &Path) -> String {
    let pages = pages.display();
    let signed = |name: &str, hash: &str, encoding: &str| {
        format!(
            "    location /{name}/ {{ set $hmac_hash {hash}; set $hmac_encoding {encoding}; set $hmac_secret {KEY}; \
             auth_request /verify; alias {pages}/; }}\n"
        )
    };
    format!(
        "  js_path {scripts};\n  js_import hmac from hmac.mjs;\n  server {{\n    listen 127.0.0.1:{port};\n\
         \x20   location /basic/ {{ auth_basic readings; auth_basic_user_file {passwords}; alias {pages}/; }}\n{}{}{}\
         \x20   location = /verify {{ internal; js_content hmac.verify; }}\n  }}\n",
        signed("hmac_sha1", "SHA-1", "base64"),
        signed("hmac_sha256", "SHA-256", "hex"),
        signed("hmac_sha512", "SHA-512", "base64"),
        scripts = repository().join("e2e/rest").display(),
        passwords = passwords.display(),
    )
}

fn of_nginx() -> Vec<Value> {
    let paged = |name: &str, auth: &Value| {
        let endpoint = endpoint(name, &format!("/{name}/1.json"), "$.rows");
        with(with(endpoint, &json!({"pagination": "next_url"})), auth)
    };
    let signed = |name: &str, algorithm: &str, encoding: &str| {
        let config = json!({
            "algorithm": algorithm,
            "encoding": encoding,
            "secret": "{{ secrets.KEY }}",
            "string_to_sign": "{{ timestamp }}\n{{ method }}\n{{ path }}\n{{ query }}",
            "header": "X-Signature",
            "timestamp_header": "X-Timestamp",
        });
        with(
            paged(name, &json!({"auth": "hmac", "auth_config": config})),
            &json!({"query_params": {"sort": "id"}}),
        )
    };
    vec![
        paged("basic", &basic()),
        signed("hmac_sha1", "sha1", "base64"),
        signed("hmac_sha256", "sha256", "hex"),
        signed("hmac_sha512", "sha512", "base64"),
    ]
}

fn basic() -> Value {
    json!({"auth": "basic", "auth_config": {"username": USER, "password": "{{ secrets.KEY }}"}})
}

fn of_frameworks() -> Vec<Value> {
    let path = |kind: &str| format!("/{kind}/{ROWS}");
    let numbered = json!({"pagination": "page", "pagination_config": {"page_size": 10}});
    let linked =
        json!({"pagination": "next_url", "pagination_config": {"next_url_path": "$.meta.next"}});
    let key = "{{ secrets.KEY }}";
    let in_header =
        json!({"name": "Authorization", "in": "header", "value": format!("ApiKey {USER}:{key}")});
    let in_query = json!({"name": "api_key", "in": "query", "value": key});
    let tastypie = |name: &str, config: &Value| {
        let endpoint = endpoint(name, &format!("{}/", path("tastypie-key")), "$.objects");
        with(
            with(endpoint, &linked),
            &json!({"auth": "api_key", "auth_config": config}),
        )
    };
    vec![
        tastypie("api_key_in_header", &in_header),
        with(
            tastypie("api_key_in_query", &in_query),
            &json!({"query_params": {"username": USER}}),
        ),
        with(
            with(endpoint("bearer", &path("token"), "$.results"), &numbered),
            &json!({"auth": "bearer", "auth_config": {"token": key}}),
        ),
        with(
            with(endpoint("basic", &path("basic"), "$.results"), &numbered),
            &basic(),
        ),
    ]
}

fn name(endpoint: &Value) -> &str {
    endpoint["name"].as_str().unwrap_or_default()
}

/// The run ended as one does whose credentials were refused, and says nothing that it mustn't.
fn check_refused(outcome: &Outcome, feed: &Feed, python: &Path) -> Result<()> {
    let report = outcome.json()?;
    ensure!(
        outcome.code == Some(AUTH) && report["error"]["kind"] == "auth",
        "{}",
        outcome.describe()
    );
    for key in [KEY, WRONG] {
        ensure!(
            !outcome.describe().contains(key) && !feed.keeps(key)?,
            "a secret is in the output or a file: {}",
            outcome.describe()
        );
    }
    let tables = feed.tables(python)?;
    ensure!(
        tables.values().all(|tally| tally.rows == 0),
        "{tables:?} after {}",
        outcome.describe()
    );
    Ok(())
}

/// All of them with the right key, then each with a wrong one.
fn check(url: &str, endpoints: &[Value], python: &Path) -> Result<()> {
    let feed = Feed::new(url, endpoints)?;
    feed.keep_key(KEY)?;
    feed.report()?;
    let tables = feed.tables(python)?;
    for endpoint in endpoints {
        Feed::check_rows(&tables, name(endpoint), 1, ROWS)?;
    }
    ensure!(!feed.keeps(KEY)?, "the key is in a file");
    for endpoint in endpoints {
        let feed = Feed::new(url, std::slice::from_ref(endpoint))?;
        feed.keep_key(WRONG)?;
        check_refused(&feed.run()?, &feed, python)?;
    }
    Ok(())
}

#[test]
fn keys_tokens_and_passwords_are_those_that_the_frameworks_take() -> Result<()> {
    let (Some(component), Some(python)) = (require(&REST_FRAMEWORKS), require(&READERS)) else {
        return Ok(());
    };
    let server = RestApi::start(&component, ROWS, KEY)?;
    check(&server.url(), &of_frameworks(), &python)?;
    check_asked_once(&server.answered())
}

#[test]
fn passwords_and_signatures_are_those_that_nginx_takes() -> Result<()> {
    let (Some(component), Some(python)) = (require(&NGINX), require(&READERS)) else {
        return Ok(());
    };
    let pages = static_pages()?;
    let passwords = pages.path().join("passwords");
    fs::write(&passwords, format!("{USER}:{{PLAIN}}{KEY}\n"))?;
    let server = Nginx::configured(&component, |port| locations(port, pages.path(), &passwords))?;
    check(&server.url(), &of_nginx(), &python)?;
    check_asked_once(&server.answered()?)
}

/// An authority that signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Result<Self> {
        let mut parameters = named(name)?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        Ok(Self(CertifiedIssuer::self_signed(parameters, key)?))
    }

    /// Writes a certificate and its key, named so.
    fn sign(&self, host: &str, folder: &Path, name: &str) -> Result<()> {
        let key = KeyPair::generate()?;
        let certificate = named(host)?.signed_by(&key, &self.0)?;
        fs::write(folder.join(format!("{name}.pem")), certificate.pem())?;
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
        Ok(())
    }

    fn write(&self, file: &Path) -> Result<()> {
        Ok(fs::write(file, self.0.pem())?)
    }
}

/// A server's certificate, a client's that it takes, and a stranger's that it doesn't.
struct Certificates(TempDir);

impl Certificates {
    fn new() -> Result<Self> {
        let certificates = Self(tempfile::tempdir()?);
        let (servers, clients) = (Authority::new("servers")?, Authority::new("clients")?);
        servers.write(&certificates.file("servers.pem"))?;
        clients.write(&certificates.file("clients.pem"))?;
        let folder = certificates.0.path();
        servers.sign("127.0.0.1", folder, "server")?;
        clients.sign(USER, folder, "client")?;
        Authority::new("others")?.sign(USER, folder, "stranger")?;
        Ok(certificates)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The client loads all rows; the stranger, and one who shows nothing, are refused.
    fn check(&self, url: &str, python: &Path) -> Result<()> {
        let feed = self.feed(url, Some("client"))?;
        feed.report()?;
        Feed::check_rows(&feed.tables(python)?, "readings", 1, ROWS)?;
        for identity in [Some("stranger"), None] {
            let feed = self.feed(url, identity)?;
            check_refused(&feed.run()?, &feed, python)?;
        }
        Ok(())
    }

    fn feed(&self, url: &str, identity: Option<&str>) -> Result<Feed> {
        let mut endpoint = with(
            endpoint("readings", "/1.json", "$.rows"),
            &json!({"pagination": "next_url"}),
        );
        if let Some(identity) = identity {
            let certificate = json!({
                "certificate": self.file(&format!("{identity}.pem")),
                "key": "{{ secrets.KEY }}",
                "ca": self.file("servers.pem"),
            });
            endpoint["auth_config"] = json!({ "client_certificate": certificate });
        }
        let feed = Feed::new(url, &[endpoint])?;
        match identity {
            Some(identity) => {
                feed.keep_key(&fs::read_to_string(self.file(&format!("{identity}.key")))?)?;
                Ok(feed)
            }
            // The authority of the servers is one of the system's then.
            None => Ok(feed.env("SSL_CERT_FILE", &self.file("servers.pem"))),
        }
    }
}

/// A certificate that is for this name and bears it: OpenSSL takes one for self-signed whose subject is its issuer's.
fn named(name: &str) -> Result<CertificateParams> {
    let mut parameters = CertificateParams::new(vec![name.to_owned()])?;
    parameters.distinguished_name.push(DnType::CommonName, name);
    Ok(parameters)
}

#[test]
fn certificates_are_those_of_the_authority_that_nginx_asks_for() -> Result<()> {
    let (Some(component), Some(python)) = (require(&NGINX), require(&READERS)) else {
        return Ok(());
    };
    let pages = static_pages()?;
    let certificates = Certificates::new()?;
    let file = |name: &str| certificates.file(name);
    let server = Nginx::configured(&component, |port| {
        format!(
            "  server {{\n    listen 127.0.0.1:{port} ssl;\n    ssl_certificate {};\n    ssl_certificate_key {};\n    \
             ssl_client_certificate {};\n    ssl_verify_client on;\n    root {};\n  }}\n",
            file("server.pem").display(),
            file("server.key").display(),
            file("clients.pem").display(),
            pages.path().display(),
        )
    })?;
    certificates.check(&server.url().replace("http://", "https://"), &python)?;
    check_asked_once(&server.answered()?)
}

#[test]
fn certificates_are_those_that_openssl_takes_in_the_handshake() -> Result<()> {
    let Some(python) = require(&READERS) else {
        return Ok(());
    };
    let pages = static_pages()?;
    let certificates = Certificates::new()?;
    let port = free_port()?;
    let mut command = Readers::new(&python).python();
    command
        .arg(repository().join("e2e/rest/tls.py"))
        .arg(pages.path())
        .arg(port.to_string())
        .args(["server.pem", "server.key", "clients.pem"].map(|name| certificates.file(name)));
    let mut server = Process::start("tls", &mut command, tempfile::tempdir()?, Signal::Terminate)?;
    server.wait_until(|server| server.log().contains("listening"))?;
    certificates.check(&format!("https://127.0.0.1:{port}"), &python)
}

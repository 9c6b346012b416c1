//! PostgreSQL when things go wrong: connections that are lost, locks that others hold, certificates that don't fit, tables that
//! are none.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use runner_connectors::postgres::PostgresTarget;
use runner_connectors::sink::Target;
use runner_core::{Committer as _, Error, ErrorKind, Part, Retry};
use runner_e2e::provision::POSTGRES;
use runner_e2e::require;
use runner_plan::model::{ColumnField, ColumnType, LoadPlan, Target as TargetPlan};
use runner_spec::model::WriteMode;
use runner_testkit::sink::{Bench, Load, Row, SinkHarness, TableSpec, column, context, row};
use serde_json::json;

use crate::database::Database;
use crate::proxy::{Cut, Proxy};

fn server() -> Option<Database> {
    Some(Database::start(&require(&POSTGRES)?))
}

fn columns() -> Vec<ColumnField> {
    vec![
        column("id", ColumnType::Integer),
        column("name", ColumnType::String),
    ]
}

fn people(ids: std::ops::Range<i64>, name: &str) -> Vec<Row> {
    ids.map(|id| row(json!({ "id": id, "name": name })))
        .collect()
}

fn spec(name: &str, write_mode: WriteMode) -> TableSpec {
    TableSpec {
        name: name.to_owned(),
        write_mode,
        primary_key: if write_mode == WriteMode::Merge {
            vec!["id"]
        } else {
            Vec::new()
        },
        ..TableSpec::default()
    }
}

/// The database as it is reached by another port.
struct Through<'a> {
    database: &'a Database,
    port: u16,
}

#[async_trait]
impl SinkHarness for Through<'_> {
    fn place(&self, plan: LoadPlan) -> LoadPlan {
        let mut plan = self.database.place(plan);
        if let TargetPlan::Postgres { port, .. } = &mut plan.target {
            *port = self.port;
        }
        plan
    }

    async fn open(&self, plan: &LoadPlan) -> Arc<dyn Target> {
        self.database.open(plan).await
    }

    async fn rows(&self, plan: &LoadPlan, columns: &[ColumnField]) -> Vec<Row> {
        self.database.rows(plan, columns).await
    }

    async fn staged(&self, plan: &LoadPlan) -> Vec<String> {
        self.database.staged(plan).await
    }
}

const MODES: [WriteMode; 3] = [WriteMode::Append, WriteMode::Replace, WriteMode::Merge];

fn rows_after(mode: WriteMode) -> Vec<Row> {
    match mode {
        WriteMode::Append => [people(0..4, "first"), people(2..6, "second")].concat(),
        WriteMode::Replace => people(2..6, "second"),
        WriteMode::Merge => [people(0..2, "first"), people(2..6, "second")].concat(),
    }
}

/// A load of [`rows_after`] that is prepared, on a table that a first one has filled.
async fn second_load(bench: &Bench<'_>) -> (Load, Arc<dyn Target>, Vec<Part>) {
    bench.loaded(1, &people(0..4, "first")).await.unwrap();
    let load = bench.load(2);
    let parts = bench.sealed(&load, 0, &people(2..6, "second")).await;
    let target = bench.open().await;
    let parts = target.prepare(&load.context, parts).await.unwrap();
    (load, target, parts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_known_by_its_mark() {
    let Some(database) = server() else { return };
    let proxy = Proxy::start(database.server.port()).await;
    let harness = Through {
        database: &database,
        port: proxy.port,
    };
    for mode in MODES {
        let bench = Bench::new(&harness, &spec(&format!("{mode:?}"), mode), columns());
        let (load, target, parts) = second_load(&bench).await;
        proxy.cut(Cut::AfterCommit);
        let fence = load.fence();
        let written = target.commit(&fence, &load.context, &parts).await.unwrap();
        assert!(proxy.has_cut());
        assert_eq!((written.rows, written.already_done), (4, false), "{mode:?}");
        bench.assert_visible(&rows_after(mode)).await;
        let again = target.commit(&fence, &load.context, &parts).await.unwrap();
        assert!(again.already_done);
        bench.assert_visible(&rows_after(mode)).await;
        assert_eq!(harness.staged(&bench.plan).await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_never_arrived_is_repeated() {
    let Some(database) = server() else { return };
    let proxy = Proxy::start(database.server.port()).await;
    let harness = Through {
        database: &database,
        port: proxy.port,
    };
    for mode in MODES {
        let bench = Bench::new(&harness, &spec(&format!("{mode:?}"), mode), columns());
        let (load, target, parts) = second_load(&bench).await;
        proxy.cut(Cut::BeforeCommit);
        let fence = load.fence();
        let error = target
            .commit(&fence, &load.context, &parts)
            .await
            .unwrap_err();
        assert!(proxy.has_cut());
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Sink, Retry::WithBackoff),
            "{}",
            error.chain()
        );
        bench.assert_visible(&people(0..4, "first")).await;
        let written = target.commit(&fence, &load.context, &parts).await.unwrap();
        assert_eq!((written.rows, written.already_done), (4, false), "{mode:?}");
        bench.assert_visible(&rows_after(mode)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_while_rows_are_written_leaves_nothing() {
    let Some(database) = server() else { return };
    let bench = Bench::new(&database, &spec("t", WriteMode::Append), columns());
    let load = bench.load(1);
    let mut parts = bench.sealed(&load, 0, &people(0..10, "sealed")).await;
    let mut writer = bench.writer(&load).await;
    let origin = runner_connectors::sink::RowOrigin {
        chain: 1,
        generation: 0,
    };
    let batch = runner_testkit::sink::values::batch(&columns(), &people(10..20, "lost"));
    writer.write(&batch, origin).await.unwrap();
    database
        .server
        .psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND pid <> pg_backend_pid()")
        .unwrap();
    let error = writer.seal().await.unwrap_err();
    assert_eq!(error.retry(), Retry::WithBackoff, "{}", error.chain());
    let _ = writer.abort().await;
    drop(writer);
    let again = bench.load(1).attempt(2);
    parts.extend(bench.sealed(&again, 1, &people(10..20, "again")).await);
    let written = bench.finish(&again, parts).await.unwrap();
    assert_eq!(written.rows, 20);
    bench
        .assert_visible(&[people(0..10, "sealed"), people(10..20, "again")].concat())
        .await;
}

/// A session that holds a lock until it is dropped.
struct Holder(Child);

impl Holder {
    fn lock(database: &Database, table: &str) -> Self {
        let sql =
            format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)");
        let child = database
            .server
            .psql_command()
            .args(["--command", &sql])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let holder = Self(child);
        let granted = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = ";
        let granted = format!("{granted}'{table}'::regclass");
        for _ in 0..200 {
            if database.server.psql(&granted).unwrap() == "1" {
                return holder;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the lock was never had");
    }

    fn release(mut self, database: &Database) {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()";
        database.server.psql(sql).unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_others_hold_is_not_waited_for_without_end() {
    let Some(database) = server() else { return };
    let bench = Bench::new(&database, &spec("t", WriteMode::Append), columns());
    bench.loaded(1, &people(0..2, "first")).await.unwrap();
    let load = bench.load(2);
    let parts = bench.sealed(&load, 0, &people(2..4, "second")).await;
    let target = PostgresTarget::connect(&bench.plan, &context(&std::env::temp_dir()))
        .await
        .unwrap()
        .with_lock_timeout(Duration::from_millis(200));
    let parts = target.prepare(&load.context, parts).await.unwrap();
    let holder = Holder::lock(&database, "\"Schema t\".t");
    let fence = load.fence();
    let error = target
        .commit(&fence, &load.context, &parts)
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Sink, Retry::WithBackoff)
    );
    assert!(error.chain().contains("lock timeout"), "{}", error.chain());
    holder.release(&database);
    bench.assert_visible(&people(0..2, "first")).await;
    target.commit(&fence, &load.context, &parts).await.unwrap();
    bench
        .assert_visible(&[people(0..2, "first"), people(2..4, "second")].concat())
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_conflict_are_refused_before_anything_changes() {
    let Some(database) = server() else { return };
    for (name, made, said) in [
        ("view", "CREATE VIEW {t} AS SELECT 1 AS id", "is no table"),
        (
            "generated",
            "CREATE TABLE {t} (id bigint, name text GENERATED ALWAYS AS (id::text) STORED)",
            "is computed by the server",
        ),
        (
            "narrow",
            "CREATE TABLE {t} (id bigint, name bytea)",
            "has the type bytea",
        ),
        (
            "required",
            "CREATE TABLE {t} (id bigint, name text, other text NOT NULL)",
            "other",
        ),
        (
            "constrained",
            "CREATE TABLE {t} (id bigint CHECK (id < 2), name text)",
            "constrained_id_check",
        ),
        (
            "unique",
            "CREATE TABLE {t} (id bigint, name text UNIQUE)",
            "name",
        ),
    ] {
        let bench = Bench::new(&database, &spec(name, WriteMode::Append), columns());
        let table = format!("\"Schema {name}\".\"{name}\"");
        let sql = made.replace("{t}", &table);
        database
            .server
            .psql(&format!("CREATE SCHEMA \"Schema {name}\"; {sql}"))
            .unwrap();
        let load = bench.load(1);
        let parts = bench.sealed(&load, 0, &people(0..4, "same")).await;
        let error = bench.finish(&load, parts).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Sink, Retry::Never),
            "{name}: {}",
            error.chain()
        );
        assert!(
            format!("{error} {}", error.chain()).contains(said),
            "{name}: {}",
            error.chain()
        );
    }
}

/// An authority of the test's, and a certificate of it for a host.
fn certificates(host: &str) -> (String, String, String) {
    let mut parameters = CertificateParams::new(vec!["authority".to_owned()]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![host.to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    (authority.pem(), certificate.pem(), key.serialize_pem())
}

impl Database {
    /// Lets the server take TLS, and nothing else, with a certificate for this host; gives its authority's.
    fn encrypt(&self, host: &str) -> String {
        let (authority, certificate, key) = certificates(host);
        for (name, content) in [("server.crt", certificate), ("server.key", key)] {
            let text = BASE64_STANDARD.encode(content);
            let program = format!("base64 -d > {name} && chmod 600 {name}");
            let sql = format!("COPY (SELECT '{text}') TO PROGRAM '{program}'");
            self.server.psql(&sql).unwrap();
        }
        let rules = BASE64_STANDARD.encode("local all all trust\nhostssl all all all trust\n");
        let sql = format!("COPY (SELECT '{rules}') TO PROGRAM 'base64 -d > pg_hba.conf'");
        self.server.psql(&sql).unwrap();
        self.server.psql("ALTER SYSTEM SET ssl = on").unwrap();
        self.server.psql("SELECT pg_reload_conf()").unwrap();
        authority
    }

    /// Whether the server lets this plan in, asked until it has read its configuration again.
    async fn probe(&self, ssl_mode: &str, authority: Option<&PathBuf>) -> Result<(), Error> {
        let mut plan = self.place(runner_testkit::sink::plan(&spec("t", WriteMode::Append)));
        if let TargetPlan::Postgres {
            ssl_mode: mode,
            ssl_root_certificate,
            ..
        } = &mut plan.target
        {
            ssl_mode.clone_into(mode);
            *ssl_root_certificate = authority.map(|path| path.display().to_string());
        }
        let target = PostgresTarget::connect(&plan, &context(&std::env::temp_dir())).await?;
        target.probe().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_as_strict_as_it_was_asked_to_be() {
    let Some(database) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let authority = file("authority.pem", database.encrypt("127.0.0.1"));
    let other = file("other.pem", certificates("127.0.0.1").0);
    let broken = file("broken.pem", "no certificate".to_owned());
    let absent = folder.path().join("absent.pem");
    for _ in 0..100 {
        if database.probe("require", None).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let admitted = None;
    let config = Some(ErrorKind::Config);
    let refused = Some(ErrorKind::Auth);
    for (mode, certificate, expected) in [
        ("disable", None, refused),
        ("prefer", None, admitted),
        ("require", None, admitted),
        ("verify-ca", Some(&authority), admitted),
        ("verify-full", Some(&authority), admitted),
        ("verify-ca", Some(&other), config),
        ("verify-full", Some(&other), config),
        ("verify-full", None, config),
        ("verify-full", Some(&broken), config),
        ("verify-full", Some(&absent), config),
        ("sometimes", None, config),
    ] {
        let outcome = database.probe(mode, certificate).await;
        let place = format!("{mode}, {certificate:?}: {outcome:?}");
        assert_eq!(outcome.as_ref().err().map(Error::kind), expected, "{place}");
        if let Err(error) = outcome {
            assert_eq!(error.retry(), Retry::Never, "{place}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_host_is_refused_where_hosts_are_verified() {
    let Some(database) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, database.encrypt("elsewhere.example")).unwrap();
    for _ in 0..100 {
        if database.probe("require", None).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The driver is stricter than PostgreSQL's own clients, which ask for the name with `verify-full` alone.
    for mode in ["verify-ca", "verify-full"] {
        let error = database.probe(mode, Some(&authority)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{}", error.chain());
    }
}

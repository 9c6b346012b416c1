use std::sync::Mutex;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::IntoResponse;
use iceberg::TableUpdate;
use iceberg::spec::{NestedField, PrimitiveType, Schema, Type, UnboundPartitionSpec};
use runner_core::SystemClock;
use serde_json::{Value, json};

use super::*;

/// What a catalog was asked, and what it answers to it, once each.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<ScriptState>>);

#[derive(Default)]
struct ScriptState {
    answers: Vec<(u16, Value)>,
    asked: Vec<Asked>,
}

#[derive(Clone, Debug, PartialEq)]
struct Asked {
    line: String,
    authorization: Option<String>,
    delegation: Option<String>,
    body: String,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        Self(Arc::new(Mutex::new(ScriptState {
            answers,
            asked: Vec::new(),
        })))
    }

    fn lines(&self) -> Vec<String> {
        let state = self.0.lock().unwrap();
        assert!(state.answers.is_empty(), "asked less than was expected");
        state.asked.iter().map(|asked| asked.line.clone()).collect()
    }

    fn asked(&self, number: usize) -> Asked {
        self.0.lock().unwrap().asked[number].clone()
    }
}

async fn answer(State(script): State<Script>, request: Request) -> impl IntoResponse {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let header = |name: &str| {
        let value = parts.headers.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let mut state = script.0.lock().unwrap();
    state.asked.push(Asked {
        line: format!("{} {}", parts.method, parts.uri),
        authorization: header("authorization"),
        delegation: header("x-iceberg-access-delegation"),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let (status, body) = state
        .answers
        .pop()
        .unwrap_or((418, json!("asked more than was expected")));
    (
        StatusCode::from_u16(status).unwrap(),
        serde_json::to_string(&body).unwrap(),
    )
}

async fn catalog(script: &Script, credentials: Credentials) -> RestCatalog {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let settings = RestSettings {
        uri,
        warehouse: Some("wh".to_owned()),
        credentials,
    };
    RestCatalog::new(settings, Arc::new(SystemClock::new())).unwrap()
}

fn name() -> TableName {
    TableName {
        namespace: vec!["a b".to_owned(), "c".to_owned()],
        name: "t/1".to_owned(),
    }
}

fn configuration() -> (u16, Value) {
    (
        200,
        json!({"defaults": {"s3.region": "eu-1"}, "overrides": {"prefix": "p"}}),
    )
}

fn schema() -> Schema {
    let id = NestedField::optional(1, "id", Type::Primitive(PrimitiveType::Long));
    Schema::builder().with_fields([id.into()]).build().unwrap()
}

fn table() -> Value {
    let metadata = iceberg::spec::TableMetadataBuilder::new(
        schema(),
        UnboundPartitionSpec::default(),
        iceberg::spec::SortOrder::unsorted_order(),
        "s3://bucket/t".to_owned(),
        FormatVersion::V2,
        std::collections::HashMap::new(),
    )
    .unwrap()
    .build()
    .unwrap()
    .metadata;
    json!({
        "metadata-location": "s3://bucket/t/metadata/0.json",
        "metadata": metadata,
        "config": {"s3.access-key-id": "of the table", "write.other": "x"},
        "storage-credentials": [
            {"prefix": "s3://bucket", "config": {"s3.session-token": "of the bucket"}},
            {"prefix": "s3://bucket/t", "config": {"s3.session-token": "of the folder"}},
            {"prefix": "s3://elsewhere/and/much/longer", "config": {"s3.session-token": "no"}},
        ],
    })
}

fn refused(kind: &str) -> Value {
    json!({"error": {"message": "no", "type": kind, "code": 0}})
}

#[tokio::test]
async fn a_table_is_looked_up_by_its_encoded_name_with_the_credentials_meant_for_it() {
    let script = Script::new([configuration(), (200, table())]);
    let catalog = catalog(&script, Credentials::default()).await;
    let loaded = catalog.load(&name()).await.unwrap().unwrap();
    assert_eq!(
        script.lines(),
        [
            "GET /v1/config?warehouse=wh",
            "GET /v1/p/namespaces/a%20b%1Fc/tables/t%2F1",
        ]
    );
    let storage: Vec<(&str, &str)> = loaded
        .storage
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect();
    assert_eq!(
        storage,
        [
            ("s3.access-key-id", "of the table"),
            ("s3.region", "eu-1"),
            ("s3.session-token", "of the folder"),
        ]
    );
    assert!(!format!("{loaded:?}").contains("of the folder"));
    let delegation = script.asked(1).delegation;
    assert_eq!(delegation.as_deref(), Some("vended-credentials"));
}

#[tokio::test]
async fn a_table_that_is_not_there_is_none_and_a_server_in_trouble_is_asked_again() {
    let script = Script::new([
        configuration(),
        (503, refused("ServiceUnavailable")),
        (404, refused("NoSuchTableException")),
    ]);
    let catalog = catalog(&script, Credentials::default()).await;
    assert!(catalog.load(&name()).await.unwrap().is_none());
    assert_eq!(script.lines().len(), 3);
}

#[tokio::test]
async fn a_token_is_exchanged_and_renewed_when_it_has_ended() {
    let token = |token: &str| (200, json!({"access_token": token, "expires_in": 3600}));
    let script = Script::new([
        token("one"),
        configuration(),
        (401, refused("NotAuthorizedException")),
        token("two"),
        (404, refused("NoSuchTableException")),
    ]);
    let credentials = Credentials {
        credential: Some(Secret::new("me:my secret")),
        scope: Some("all".to_owned()),
        ..Credentials::default()
    };
    let catalog = catalog(&script, credentials).await;
    assert!(catalog.load(&name()).await.unwrap().is_none());
    let lines = script.lines();
    assert_eq!(lines[0], "POST /v1/oauth/tokens");
    assert_eq!(lines[3], "POST /v1/oauth/tokens");
    assert_eq!(
        script.asked(0).body,
        "grant_type=client_credentials&client_id=me&client_secret=my+secret&scope=all"
    );
    assert_eq!(script.asked(0).authorization, None);
    assert_eq!(script.asked(2).authorization.as_deref(), Some("Bearer one"));
    assert_eq!(script.asked(4).authorization.as_deref(), Some("Bearer two"));
}

#[tokio::test]
async fn a_credential_that_is_refused_is_an_error_without_it() {
    let script = Script::new([(400, refused("invalid_client"))]);
    let credentials = Credentials {
        credential: Some(Secret::new("me:hunter2")),
        ..Credentials::default()
    };
    let catalog = catalog(&script, credentials).await;
    let error = runner_core::Error::from(catalog.load(&name()).await.unwrap_err());
    assert!(!error.chain().contains("hunter2"), "{}", error.chain());
    assert!(error.message().contains("400"), "{error}");
    assert!(!format!("{catalog:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_namespace_is_made_level_by_level_before_its_table() {
    let script = Script::new([
        configuration(),
        (200, json!({"namespace": ["a b"]})),
        (404, refused("NoSuchNamespaceException")),
        // Somebody else made it in between.
        (409, refused("AlreadyExistsException")),
        (200, table()),
    ]);
    let catalog = catalog(&script, Credentials::default()).await;
    let new = NewTable {
        schema: schema(),
        partition_spec: UnboundPartitionSpec::default(),
        properties: std::collections::HashMap::new(),
        format_version: FormatVersion::V2,
    };
    assert!(catalog.create(&name(), new).await.unwrap().is_some());
    assert_eq!(
        script.lines()[1..],
        [
            "GET /v1/p/namespaces/a%20b",
            "GET /v1/p/namespaces/a%20b%1Fc",
            "POST /v1/p/namespaces",
            "POST /v1/p/namespaces/a%20b%1Fc/tables",
        ]
    );
    let created: Value = serde_json::from_str(&script.asked(4).body).unwrap();
    assert_eq!(created["name"], "t/1");
    assert_eq!(created["properties"]["format-version"], "2");
    assert_eq!(created["stage-create"], false);
}

#[tokio::test]
async fn a_commit_is_asked_once_and_its_answer_tells_what_is_known() {
    for (status, expected) in [
        (200, "committed"),
        (409, "conflict"),
        (500, "unknown"),
        (502, "unknown"),
        (504, "unknown"),
        (400, "refused"),
        (403, "refused"),
    ] {
        let script = Script::new([
            configuration(),
            (200, table()),
            (status, if status == 200 { table() } else { refused("x") }),
        ]);
        let catalog = catalog(&script, Credentials::default()).await;
        let base = catalog.load(&name()).await.unwrap().unwrap();
        let change = TableChange {
            requirements: vec![iceberg::TableRequirement::UuidMatch {
                uuid: base.metadata.uuid(),
            }],
            updates: vec![TableUpdate::SetProperties {
                updates: [("k".to_owned(), "v".to_owned())].into(),
            }],
        };
        let outcome = catalog.commit(&name(), &base, change).await;
        let found = match outcome {
            Ok(CommitOutcome::Committed(_)) => "committed",
            Ok(CommitOutcome::Conflict(_)) => "conflict",
            Ok(CommitOutcome::Unknown(_)) => "unknown",
            Err(_) => "refused",
        };
        assert_eq!(found, expected, "{status}");
        assert_eq!(script.lines().len(), 3);
        let body: Value = serde_json::from_str(&script.asked(2).body).unwrap();
        assert_eq!(body["requirements"][0]["type"], "assert-table-uuid");
        assert_eq!(body["updates"][0]["action"], "set-properties");
        assert_eq!(
            body["identifier"],
            json!({"namespace": ["a b", "c"], "name": "t/1"})
        );
    }
}

#[tokio::test]
async fn a_connection_that_breaks_in_a_commit_leaves_its_outcome_unknown() {
    let script = Script::new([configuration(), (200, table())]);
    let catalog = catalog(&script, Credentials::default()).await;
    let base = catalog.load(&name()).await.unwrap().unwrap();
    let gone = RestCatalog {
        settings: RestSettings {
            uri: "http://127.0.0.1:1".to_owned(),
            ..catalog.settings.clone()
        },
        client: Client::new(Credentials::default(), Arc::new(SystemClock::new())).unwrap(),
        routes: OnceCell::new_with(Some(Routes {
            base: "http://127.0.0.1:1/v1".to_owned(),
            namespace_separator: NAMESPACE_SEPARATOR.to_owned(),
            storage: BTreeMap::new(),
        })),
    };
    let outcome = gone
        .commit(&name(), &base, TableChange::default())
        .await
        .unwrap();
    assert!(matches!(outcome, CommitOutcome::Unknown(_)), "{outcome:?}");
}

#[tokio::test]
async fn signed_requests_carry_a_signature_in_the_tokens_place() {
    let script = Script::new([configuration()]);
    let credentials = Credentials {
        token: Some(Secret::new("t0ken")),
        signing: Some(Signing {
            region: "eu-1".to_owned(),
            service: "s3tables".to_owned(),
            access_key_id: "AKIA".to_owned(),
            secret_access_key: Secret::new("secret"),
            session_token: None,
        }),
        ..Credentials::default()
    };
    let catalog = catalog(&script, credentials).await;
    catalog.routes().await.unwrap();
    let authorization = script.asked(0).authorization.unwrap();
    assert!(
        authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIA/"),
        "{authorization}"
    );
    assert!(authorization.contains("/eu-1/s3tables/aws4_request"));
    assert!(authorization.contains("original-authorization"));
}

/// A table whose credentials are renewed at this address.
fn renewed_at(endpoint: &str) -> Value {
    let mut table = table();
    table["config"][RENEWAL_ENDPOINT] = json!(endpoint);
    table["config"]["s3.session-token-expires-at-ms"] = json!("1");
    table
}

fn fresh() -> Value {
    json!({"storage-credentials": [
        {"prefix": "s3://bucket/t", "config": {"s3.session-token": "fresh"}},
        {"prefix": "s3://other", "config": {"s3.session-token": "no"}},
    ]})
}

fn token(storage: &BTreeMap<String, Secret>) -> Option<&str> {
    storage.get("s3.session-token").map(Secret::expose)
}

#[tokio::test]
async fn credentials_are_renewed_where_the_catalog_says() {
    let script = Script::new([
        configuration(),
        (200, renewed_at("/v1/p/namespaces/n/tables/t/credentials")),
        (200, fresh()),
    ]);
    let catalog = catalog(&script, Credentials::default()).await;
    let loaded = catalog.load(&name()).await.unwrap().unwrap();
    let storage = catalog.lend(&name(), &loaded).await.unwrap();
    assert_eq!(
        script.lines()[2],
        "GET /v1/p/namespaces/n/tables/t/credentials"
    );
    assert_eq!(token(&storage), Some("fresh"));
    assert_eq!(storage["s3.region"].expose(), "eu-1");
    assert!(!storage.contains_key("s3.session-token-expires-at-ms"));
}

#[tokio::test]
async fn credentials_are_renewed_by_loading_the_table_where_another_host_is_named() {
    for endpoint in ["http://127.0.0.1:1/steal", "https://elsewhere/credentials"] {
        let script = Script::new([configuration(), (200, renewed_at(endpoint)), (200, table())]);
        let catalog = catalog(&script, Credentials::default()).await;
        let loaded = catalog.load(&name()).await.unwrap().unwrap();
        let storage = catalog.lend(&name(), &loaded).await.unwrap();
        assert_eq!(script.lines()[2], script.lines()[1], "{endpoint}");
        assert_eq!(token(&storage), Some("of the folder"));
    }
}

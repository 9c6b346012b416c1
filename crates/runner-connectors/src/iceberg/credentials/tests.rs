use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use iceberg::spec::{FormatVersion, Schema, SortOrder, TableMetadataBuilder, UnboundPartitionSpec};
use runner_testkit::clock::ManualClock;

use super::super::catalog::{CommitOutcome, NewTable, TableChange};
use super::*;

const LIFETIME: Duration = Duration::from_hours(1);

/// Lends a new token every time, each good for an hour.
#[derive(Clone, Debug)]
struct Lender {
    clock: ManualClock,
    lent: Arc<AtomicUsize>,
    /// Whether the end of a token is named.
    names_ends: bool,
    is_down: Arc<Mutex<bool>>,
}

impl Lender {
    fn new(clock: &ManualClock) -> Self {
        Self {
            clock: clock.clone(),
            lent: Arc::default(),
            names_ends: true,
            is_down: Arc::default(),
        }
    }

    fn storage(&self) -> BTreeMap<String, Secret> {
        let number = self.lent.fetch_add(1, Ordering::SeqCst);
        let ends = self.clock.now() + LIFETIME;
        let mut storage = BTreeMap::from([
            (KEY.to_owned(), Secret::new("key")),
            (SECRET.to_owned(), Secret::new("secret")),
            (TOKEN.to_owned(), Secret::new(format!("token {number}"))),
        ]);
        if self.names_ends {
            let ends = ends.timestamp_millis().to_string();
            storage.insert(TOKEN_ENDS.to_owned(), Secret::new(ends));
        }
        storage
    }

    fn table(&self) -> LoadedTable {
        let metadata = TableMetadataBuilder::new(
            Schema::builder().build().unwrap(),
            UnboundPartitionSpec::default(),
            SortOrder::unsorted_order(),
            "s3://bucket/t".to_owned(),
            FormatVersion::V2,
            HashMap::new(),
        )
        .unwrap()
        .build()
        .unwrap()
        .metadata;
        LoadedTable {
            metadata: Arc::new(metadata),
            metadata_location: None,
            storage: self.storage(),
        }
    }

    fn files(&self, settings: &ResolvedSettings) -> LentFiles {
        let catalog: Arc<dyn Catalog> = Arc::new(self.clone());
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        LentFiles::new(settings, &catalog, &name(), &self.table(), &clock)
    }
}

fn name() -> TableName {
    TableName {
        namespace: vec!["n".to_owned()],
        name: "t".to_owned(),
    }
}

#[async_trait]
impl Catalog for Lender {
    async fn load(&self, _: &TableName) -> Result<Option<LoadedTable>> {
        if *self.is_down.lock().unwrap() {
            return Err(IcebergError::Broken("the catalog is down".to_owned()));
        }
        Ok(Some(self.table()))
    }

    async fn create(&self, _: &TableName, _: NewTable) -> Result<Option<LoadedTable>> {
        Ok(None)
    }

    async fn commit(
        &self,
        _: &TableName,
        _: &LoadedTable,
        _: TableChange,
    ) -> Result<CommitOutcome> {
        Ok(CommitOutcome::Conflict(String::new()))
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }

    fn address(&self) -> String {
        String::new()
    }
}

async fn token(files: &LentFiles) -> object_store::Result<String> {
    let keys = files.keys.as_ref().unwrap();
    let credential = keys.get_credential().await?;
    Ok(credential.token.clone().unwrap())
}

#[tokio::test]
async fn credentials_are_renewed_before_they_end_and_once() {
    let clock = ManualClock::new();
    let lender = Lender::new(&clock);
    let files = lender.files(&ResolvedSettings::default());
    assert_eq!(token(&files).await.unwrap(), "token 0");
    clock.advance(Duration::from_mins(54));
    assert_eq!(token(&files).await.unwrap(), "token 0");
    clock.advance(Duration::from_mins(2));
    let (one, other) = tokio::join!(token(&files), token(&files));
    assert_eq!(
        (one.unwrap(), other.unwrap()),
        ("token 1".to_owned(), "token 1".to_owned())
    );
    assert_eq!(lender.lent.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn tokens_whose_end_nobody_names_are_renewed_too() {
    let clock = ManualClock::new();
    let mut lender = Lender::new(&clock);
    lender.names_ends = false;
    let files = lender.files(&ResolvedSettings::default());
    assert_eq!(token(&files).await.unwrap(), "token 0");
    clock.advance(Duration::from_mins(14));
    assert_eq!(token(&files).await.unwrap(), "token 1");
}

#[tokio::test]
async fn a_catalog_that_is_down_is_no_matter_while_the_credentials_are_good() {
    let clock = ManualClock::new();
    let lender = Lender::new(&clock);
    let files = lender.files(&ResolvedSettings::default());
    clock.advance(Duration::from_mins(59));
    *lender.is_down.lock().unwrap() = true;
    assert_eq!(token(&files).await.unwrap(), "token 0");
    clock.advance(Duration::from_mins(2));
    let error = token(&files).await.unwrap_err();
    assert!(error.to_string().contains("the catalog is down"), "{error}");
    *lender.is_down.lock().unwrap() = false;
    assert_eq!(token(&files).await.unwrap(), "token 1");
}

#[tokio::test]
async fn a_later_load_of_the_table_brings_its_credentials_along() {
    let clock = ManualClock::new();
    let lender = Lender::new(&clock);
    let files = lender.files(&ResolvedSettings::default());
    let older = lender.table();
    clock.advance(Duration::from_mins(10));
    assert!(files.takes(&lender.table()));
    assert_eq!(token(&files).await.unwrap(), "token 2");
    assert!(files.takes(&older));
    assert_eq!(token(&files).await.unwrap(), "token 2");
    let mut elsewhere = lender.table();
    let endpoint = Secret::new("http://elsewhere");
    elsewhere.storage.insert("s3.endpoint".to_owned(), endpoint);
    assert!(!files.takes(&elsewhere));
}

/// What an object store knows: the token that it takes, and its objects.
#[derive(Clone, Default)]
struct Bucket {
    token: Arc<Mutex<String>>,
    objects: Arc<Mutex<HashMap<String, Bytes>>>,
}

async fn serve(Shared(bucket): Shared<Bucket>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let given = parts.headers.get("x-amz-security-token");
    if given.and_then(|token| token.to_str().ok()) != Some(bucket.token.lock().unwrap().as_str()) {
        return (
            StatusCode::FORBIDDEN,
            "<Error><Code>ExpiredToken</Code></Error>",
        )
            .into_response();
    }
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut objects = bucket.objects.lock().unwrap();
    let path = parts.uri.path().to_owned();
    if parts.method == Method::PUT {
        objects.insert(path, body);
        return ([("etag", "\"1\"")], "").into_response();
    }
    match objects.get(&path) {
        Some(content) => {
            let headers = [
                ("etag", "\"1\""),
                ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
            ];
            (headers, content.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test]
async fn a_writer_outlives_the_credentials_that_it_began_with() {
    let bucket = Bucket::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(serve).with_state(bucket.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let clock = ManualClock::new();
    let lender = Lender::new(&clock);
    let settings = [("endpoint", endpoint.as_str()), ("region", "eu-1")];
    let lent = lender.files(&ResolvedSettings::plain(settings));

    for number in 0..3 {
        *bucket.token.lock().unwrap() = format!("token {number}");
        let location = format!("s3://bucket/t/{number}");
        let content = Bytes::from(format!("object {number}"));
        lent.files.write(&location, content.clone()).await.unwrap();
        assert_eq!(lent.files.read(&location).await.unwrap(), content);
        clock.advance(LIFETIME);
    }
    // The store did tell tokens apart.
    *bucket.token.lock().unwrap() = "another".to_owned();
    assert!(lent.files.read("s3://bucket/t/0").await.is_err());
}

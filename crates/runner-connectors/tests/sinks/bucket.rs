//! The contract of sinks, kept by Parquet files in an object store.

use std::path::Path as FilePath;
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use runner_connectors::parquet::ParquetTarget;
use runner_connectors::sink::Target;
use runner_e2e::provision::SEAWEEDFS;
use runner_e2e::require;
use runner_e2e::servers::{ACCESS_KEY, BUCKET, SECRET_KEY, SeaweedFs};
use runner_plan::model::{ColumnField, LoadPlan, Target as TargetPlan};
use runner_testkit::sink::values::Row;
use runner_testkit::sink::{SinkHarness, context, run};
use serde_json::json;

use crate::folders::{is_hidden, rows_of};

pub(crate) struct Bucket {
    server: SeaweedFs,
}

impl Bucket {
    pub(crate) fn start(component: &FilePath) -> Self {
        Self {
            server: SeaweedFs::start(component).unwrap(),
        }
    }

    /// The bucket, by a client of the test's own.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        let store = AmazonS3Builder::new()
            .with_endpoint(self.server.s3_url())
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name(BUCKET)
            .with_access_key_id(ACCESS_KEY)
            .with_secret_access_key(SECRET_KEY)
            .build()
            .unwrap();
        Arc::new(store)
    }

    /// Files of a table, by their paths in it.
    async fn files(&self, plan: &LoadPlan) -> Vec<(String, Path)> {
        let prefix = Path::parse(&plan.table).unwrap();
        let files = self.store().list(Some(&prefix)).map_ok(|meta| {
            let names = meta.location.prefix_match(&prefix).unwrap();
            let names: Vec<String> = names.map(|name| name.as_ref().to_owned()).collect();
            (names.join("/"), meta.location)
        });
        files.try_collect().await.unwrap()
    }
}

#[async_trait]
impl SinkHarness for Bucket {
    fn place(&self, mut plan: LoadPlan) -> LoadPlan {
        if let TargetPlan::Parquet {
            location, storage, ..
        } = &mut plan.target
        {
            *location = format!("s3://{BUCKET}/{}", plan.table);
            for (name, value) in [
                ("endpoint", self.server.s3_url().as_str()),
                ("region", "us-east-1"),
                ("access_key_id", ACCESS_KEY),
                ("secret_access_key", SECRET_KEY),
            ] {
                storage.insert(name.to_owned(), json!(value));
            }
        }
        plan
    }

    async fn open(&self, plan: &LoadPlan) -> Arc<dyn Target> {
        let context = context(&std::env::temp_dir());
        Arc::new(ParquetTarget::open(plan, &context).await.unwrap())
    }

    async fn rows(&self, plan: &LoadPlan, columns: &[ColumnField]) -> Vec<Row> {
        let store = self.store();
        let mut rows = Vec::new();
        for (relative, path) in self.files(plan).await {
            if !is_hidden(&relative) {
                let content = store.get(&path).await.unwrap().bytes().await.unwrap();
                rows.extend(rows_of(content, &relative, columns));
            }
        }
        rows
    }

    async fn staged(&self, plan: &LoadPlan) -> Vec<String> {
        let files = self.files(plan).await.into_iter();
        files
            .map(|(relative, _)| relative)
            .filter(|relative| relative.starts_with("_uis_staging/"))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parquet_in_an_object_store_keeps_the_contract_of_sinks() {
    let Some(component) = require(&SEAWEEDFS) else {
        return;
    };
    run(&Bucket::start(&component)).await;
}

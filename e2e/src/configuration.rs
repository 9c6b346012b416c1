//! The runner's configuration file, for the servers that a test has started.

use std::{fs, path::Path};

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::servers::{ACCESS_KEY, BUCKET, Postgres, SECRET_KEY, SeaweedFs, TABLE_BUCKET};

/// Named connections.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    connections: Map<String, Value>,
}

impl Configuration {
    /// A PostgreSQL server.
    #[must_use]
    pub fn postgres(self, name: &str, server: &Postgres) -> Self {
        self.connection(name, json!({"type": "postgres", "url": server.url()}))
    }

    /// SeaweedFS's Iceberg REST catalog, whose requests are signed.
    #[must_use]
    pub fn iceberg_rest(self, name: &str, server: &SeaweedFs) -> Self {
        self.connection(
            name,
            json!({
                "type": "iceberg",
                "uri": server.catalog_url(),
                "warehouse": format!("s3://{TABLE_BUCKET}/"),
                "s3.endpoint": server.s3_url(),
                "s3.access-key-id": ACCESS_KEY,
                "s3.secret-access-key": SECRET_KEY,
                "s3.region": "us-east-1",
                "s3.path-style-access": "true",
                "rest.sigv4-enabled": "true",
                "rest.signing-region": "us-east-1",
                "rest.signing-name": "s3tables",
            }),
        )
    }

    /// SeaweedFS's S3, for tables below `prefix`.
    #[must_use]
    pub fn object_store(self, name: &str, server: &SeaweedFs, prefix: &str) -> Self {
        self.connection(
            name,
            json!({
                "type": "s3",
                "path": format!("s3://{BUCKET}/{prefix}"),
                "endpoint": server.s3_url(),
                "region": "us-east-1",
                "access_key_id": ACCESS_KEY,
                "secret_access_key": SECRET_KEY,
            }),
        )
    }

    /// Any other connection.
    #[must_use]
    pub fn connection(mut self, name: &str, settings: Value) -> Self {
        self.connections.insert(name.to_owned(), settings);
        self
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(fs::write(
            path,
            json!({"connections": self.connections}).to_string(),
        )?)
    }
}

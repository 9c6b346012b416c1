//! Bodies of the REST catalog's requests and answers, as far as they are used.

use std::collections::{BTreeMap, HashMap};

use iceberg::spec::{Schema, TableMetadata, UnboundPartitionSpec};
use iceberg::{TableRequirement, TableUpdate};
use serde::{Deserialize, Serialize};

/// `GET /v1/config`.
#[derive(Deserialize)]
pub(super) struct Configuration {
    #[serde(default)]
    pub defaults: BTreeMap<String, Option<String>>,
    #[serde(default)]
    pub overrides: BTreeMap<String, Option<String>>,
}

#[derive(Debug, Serialize)]
pub(super) struct CreateNamespace<'a> {
    pub namespace: &'a [String],
    pub properties: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct CreateTable<'a> {
    pub name: &'a str,
    pub schema: &'a Schema,
    pub partition_spec: &'a UnboundPartitionSpec,
    pub stage_create: bool,
    pub properties: HashMap<String, String>,
}

#[derive(Debug, Serialize)]
pub(super) struct CommitTable<'a> {
    pub identifier: Identifier<'a>,
    pub requirements: &'a [TableRequirement],
    pub updates: &'a [TableUpdate],
}

#[derive(Debug, Serialize)]
pub(super) struct Identifier<'a> {
    pub namespace: &'a [String],
    pub name: &'a str,
}

/// Answer to a table's load and creation, and, without a configuration, to a commit.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct TableAnswer {
    pub metadata_location: Option<String>,
    pub metadata: TableMetadata,
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    #[serde(default)]
    pub storage_credentials: Vec<StorageCredential>,
}

/// Answer to `GET …/tables/{table}/credentials`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct CredentialsAnswer {
    pub storage_credentials: Vec<StorageCredential>,
}

/// Credentials for the files below a prefix.
#[derive(Deserialize)]
pub(super) struct StorageCredential {
    #[serde(default)]
    pub prefix: String,
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

/// `POST /v1/oauth/tokens`.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    pub access_token: String,
    pub expires_in: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorAnswer {
    pub error: ErrorModel,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorModel {
    #[serde(default)]
    pub message: String,
    #[serde(default, rename = "type")]
    pub kind: String,
}

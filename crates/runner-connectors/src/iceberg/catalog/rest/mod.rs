//! A catalog behind Iceberg's REST interface.

mod client;
mod protocol;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use iceberg::spec::FormatVersion;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use runner_core::{Clock, Secret};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use url::Url;

use super::super::error::{IcebergError, Result};
use super::{Catalog, CommitOutcome, LoadedTable, NewTable, TableChange, TableName, storage_of};
use client::{Answer, Client, Question, is_in_trouble};
use protocol::{
    CommitTable, Configuration, CreateNamespace, CreateTable, CredentialsAnswer, Identifier,
    StorageCredential, TableAnswer,
};

pub(in super::super) use client::{Credentials, Signing};

/// What a path segment can't hold.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Stands between the levels of a namespace in a path, unless the catalog names another.
const NAMESPACE_SEPARATOR: &str = "%1F";

/// Settings that tell where a table's credentials are renewed.
const RENEWAL_ENDPOINT: &str = "client.refresh-credentials-endpoint";
const RENEWAL_ENABLED: &str = "client.refresh-credentials-enabled";

/// Where the catalog is, and who asks.
#[derive(Clone, Debug)]
pub(in super::super) struct RestSettings {
    pub uri: String,
    pub warehouse: Option<String>,
    pub credentials: Credentials,
}

pub(in super::super) struct RestCatalog {
    settings: RestSettings,
    client: Client,
    routes: OnceCell<Routes>,
}

/// What the catalog's configuration says of its paths.
#[derive(Clone, Debug)]
struct Routes {
    /// Up to and with `/v1`, and the prefix where there is one.
    base: String,
    namespace_separator: String,
    /// Settings of the storage that hold for every table.
    storage: BTreeMap<String, Secret>,
}

impl RestCatalog {
    pub(in super::super) fn new(settings: RestSettings, clock: Arc<dyn Clock>) -> Result<Self> {
        let client = Client::new(settings.credentials.clone(), clock)?;
        Ok(Self {
            settings,
            client,
            routes: OnceCell::new(),
        })
    }

    async fn routes(&self) -> Result<&Routes> {
        self.routes.get_or_try_init(|| self.configuration()).await
    }

    async fn configuration(&self) -> Result<Routes> {
        let uri = self.settings.uri.trim_end_matches('/');
        let mut url = parse_url(&format!("{uri}/v1/config"))?;
        if let Some(warehouse) = &self.settings.warehouse {
            url.query_pairs_mut().append_pair("warehouse", warehouse);
        }
        let question = Question {
            method: Method::GET,
            url,
            body: None,
            doing: format!("read the configuration of the catalog `{uri}`"),
        };
        let configuration: Configuration = self.read(&question).await?;
        let mut settings = configuration.defaults;
        settings.extend(configuration.overrides);
        let setting = |name: &str| settings.get(name).cloned().flatten();
        let uri = setting("uri").unwrap_or_else(|| uri.to_owned());
        let prefix = setting("prefix").unwrap_or_default();
        let prefix = prefix.trim_matches('/');
        let mut base = format!("{}/v1", uri.trim_end_matches('/'));
        if !prefix.is_empty() {
            base = format!("{base}/{prefix}");
        }
        Ok(Routes {
            base,
            namespace_separator: setting("namespace-separator")
                .unwrap_or_else(|| NAMESPACE_SEPARATOR.to_owned()),
            storage: settings
                .iter()
                .filter(|(name, _)| is_storage_setting(name))
                .filter_map(|(name, value)| Some((name.clone(), Secret::new(value.clone()?))))
                .collect(),
        })
    }

    async fn question(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        doing: String,
    ) -> Result<Question> {
        let routes = self.routes().await?;
        let body = body
            .map(serde_json::to_vec)
            .transpose()
            .map_err(IcebergError::json(&doing))?
            .map(Bytes::from);
        Ok(Question {
            method,
            url: parse_url(&format!("{}/{path}", routes.base))?,
            body,
            doing,
        })
    }

    async fn read<T: DeserializeOwned>(&self, question: &Question) -> Result<T> {
        let answer = self.client.ask(question).await?;
        if !answer.status.is_success() {
            return Err(answer.refusal(&question.doing));
        }
        serde_json::from_slice(&answer.body).map_err(IcebergError::json(&question.doing))
    }

    async fn namespace_path(&self, namespace: &[String]) -> Result<String> {
        let separator = &self.routes().await?.namespace_separator;
        let levels: Vec<String> = namespace.iter().map(|level| encode(level)).collect();
        Ok(format!("namespaces/{}", levels.join(separator)))
    }

    async fn table_path(&self, table: &TableName) -> Result<String> {
        let namespace = self.namespace_path(&table.namespace).await?;
        Ok(format!("{namespace}/tables/{}", encode(&table.name)))
    }

    /// Creates every level of the namespace that is absent. It is looked up first: many may read what few may create.
    async fn ensure_namespace(&self, namespace: &[String]) -> Result<()> {
        for depth in 1..=namespace.len() {
            let level = &namespace[..depth];
            let name = level.join(".");
            let path = self.namespace_path(level).await?;
            let look_up = self
                .question(
                    Method::GET,
                    &path,
                    None::<&()>,
                    format!("look up the namespace `{name}`"),
                )
                .await?;
            let answer = self.client.ask(&look_up).await?;
            if answer.status.is_success() {
                continue;
            }
            if answer.status != StatusCode::NOT_FOUND {
                return Err(answer.refusal(&look_up.doing));
            }
            let body = CreateNamespace {
                namespace: level,
                properties: BTreeMap::new(),
            };
            let create = self
                .question(
                    Method::POST,
                    "namespaces",
                    Some(&body),
                    format!("create the namespace `{name}`"),
                )
                .await?;
            let answer = self.client.ask(&create).await?;
            if !answer.status.is_success() && answer.status != StatusCode::CONFLICT {
                return Err(answer.refusal(&create.doing));
            }
        }
        Ok(())
    }

    /// Where credentials are renewed without loading the table, if the catalog says so. One of another origin isn't asked:
    /// it would be shown the catalog's token.
    fn renewal_url(&self, storage: &BTreeMap<String, Secret>) -> Result<Option<Url>> {
        let text = |name: &str| storage.get(name).map(Secret::expose);
        let is_off =
            text(RENEWAL_ENABLED).is_some_and(|enabled| enabled.eq_ignore_ascii_case("false"));
        let Some(endpoint) = text(RENEWAL_ENDPOINT).filter(|_| !is_off) else {
            return Ok(None);
        };
        let catalog = parse_url(&self.settings.uri)?;
        let url = if endpoint.contains("://") {
            parse_url(endpoint)?
        } else {
            let base = self.settings.uri.trim_end_matches('/');
            parse_url(&format!("{base}/{}", endpoint.trim_start_matches('/')))?
        };
        Ok((url.origin() == catalog.origin()).then_some(url))
    }

    async fn creation(&self, table: &TableName, new: NewTable) -> Result<Question> {
        let mut properties = new.properties;
        let version = match new.format_version {
            FormatVersion::V1 => "1",
            FormatVersion::V2 => "2",
            FormatVersion::V3 => "3",
        };
        properties.insert("format-version".to_owned(), version.to_owned());
        let body = CreateTable {
            name: &table.name,
            schema: &new.schema,
            partition_spec: &new.partition_spec,
            stage_create: false,
            properties,
        };
        let path = self.namespace_path(&table.namespace).await?;
        self.question(
            Method::POST,
            &format!("{path}/tables"),
            Some(&body),
            format!("create the table `{table}`"),
        )
        .await
    }

    async fn loaded(&self, answer: &Answer, doing: &str) -> Result<LoadedTable> {
        let table: TableAnswer =
            serde_json::from_slice(&answer.body).map_err(IcebergError::json(doing))?;
        let mut storage = self.routes().await?.storage.clone();
        storage.extend(storage_settings(table.config));
        let location = table.metadata.location().to_owned();
        storage.extend(meant_for(&location, table.storage_credentials));
        Ok(LoadedTable {
            metadata: Arc::new(table.metadata),
            metadata_location: table.metadata_location,
            storage,
        })
    }
}

#[async_trait]
impl Catalog for RestCatalog {
    async fn load(&self, table: &TableName) -> Result<Option<LoadedTable>> {
        let path = self.table_path(table).await?;
        let question = self
            .question(
                Method::GET,
                &path,
                None::<&()>,
                format!("load the table `{table}`"),
            )
            .await?;
        let answer = self.client.ask(&question).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => self.loaded(&answer, &question.doing).await.map(Some),
            _ => Err(answer.refusal(&question.doing)),
        }
    }

    async fn create(&self, table: &TableName, new: NewTable) -> Result<Option<LoadedTable>> {
        self.ensure_namespace(&table.namespace).await?;
        let question = self.creation(table, new).await?;
        let answer = self.client.ask(&question).await?;
        match answer.status {
            // Created by another, or by ourselves before an answer was lost: the caller loads it.
            StatusCode::CONFLICT => Ok(None),
            status if status.is_success() => self.loaded(&answer, &question.doing).await.map(Some),
            _ => Err(answer.refusal(&question.doing)),
        }
    }

    async fn commit(
        &self,
        table: &TableName,
        base: &LoadedTable,
        change: TableChange,
    ) -> Result<CommitOutcome> {
        let body = CommitTable {
            identifier: Identifier {
                namespace: &table.namespace,
                name: &table.name,
            },
            requirements: &change.requirements,
            updates: &change.updates,
        };
        let path = self.table_path(table).await?;
        let question = self
            .question(
                Method::POST,
                &path,
                Some(&body),
                format!("commit to the table `{table}`"),
            )
            .await?;
        // Asked once: whether a lost answer was a yes is for the caller to find out.
        let answer = match self.client.ask_once(&question).await {
            Ok(answer) => answer,
            Err(error @ IcebergError::Unreachable { .. }) => {
                return Ok(CommitOutcome::Unknown(error));
            }
            Err(error) => return Err(error),
        };
        match answer.status {
            StatusCode::CONFLICT => Ok(CommitOutcome::Conflict(answer.message())),
            status if status.is_success() => {
                match self.loaded(&answer, &question.doing).await {
                    Ok(mut loaded) => {
                        loaded.storage.clone_from(&base.storage);
                        Ok(CommitOutcome::Committed(loaded))
                    }
                    // Committed, as far as the status goes; what stands there now has to be loaded.
                    Err(error) => Ok(CommitOutcome::Unknown(error)),
                }
            }
            status if is_in_trouble(status) => {
                Ok(CommitOutcome::Unknown(answer.refusal(&question.doing)))
            }
            _ => Err(answer.refusal(&question.doing)),
        }
    }

    async fn lend(
        &self,
        name: &TableName,
        table: &LoadedTable,
    ) -> Result<BTreeMap<String, Secret>> {
        let Some(url) = self.renewal_url(&table.storage)? else {
            return storage_of(name, self.load(name).await?);
        };
        let question = Question {
            method: Method::GET,
            url,
            body: None,
            doing: format!("renew the credentials of the table `{name}`"),
        };
        let answer: CredentialsAnswer = self.read(&question).await?;
        let mut storage = table.storage.clone();
        // An end that is not named again is not the old one.
        storage.retain(|name, _| !is_credential(name));
        storage.extend(meant_for(
            table.metadata.location(),
            answer.storage_credentials,
        ));
        Ok(storage)
    }

    async fn probe(&self) -> Result<()> {
        let question = self
            .question(
                Method::GET,
                "namespaces",
                None::<&()>,
                format!("list the namespaces of `{}`", self.settings.uri),
            )
            .await?;
        let answer = self.client.ask(&question).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(answer.refusal(&question.doing))
    }

    fn address(&self) -> String {
        self.settings.uri.clone()
    }
}

impl std::fmt::Debug for RestCatalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RestCatalog")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

fn parse_url(text: &str) -> Result<Url> {
    Url::parse(text).map_err(|_invalid| {
        IcebergError::config(
            format!("`{text}` is no address of a catalog"),
            "an address looks like `https://host/catalog`",
        )
    })
}

fn encode(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

/// The longest prefix that covers the table is the one that is meant for it.
fn meant_for(
    location: &str,
    credentials: Vec<StorageCredential>,
) -> impl Iterator<Item = (String, Secret)> {
    credentials
        .into_iter()
        .filter(|credential| location.starts_with(credential.prefix.trim_end_matches('*')))
        .max_by_key(|credential| credential.prefix.len())
        .into_iter()
        .flat_map(|credential| storage_settings(credential.config))
}

/// They hold credentials as often as not.
fn storage_settings(config: BTreeMap<String, String>) -> impl Iterator<Item = (String, Secret)> {
    config
        .into_iter()
        .filter(|(name, _)| is_storage_setting(name))
        .map(|(name, value)| (name, Secret::new(value)))
}

fn is_credential(name: &str) -> bool {
    name.starts_with("s3.access-key-id")
        || name.starts_with("s3.secret-access-key")
        || name.starts_with("s3.session-token")
}

fn is_storage_setting(name: &str) -> bool {
    name.starts_with("s3.") || name.starts_with("client.")
}

#[cfg(test)]
mod tests;

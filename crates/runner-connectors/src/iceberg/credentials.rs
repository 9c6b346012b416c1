//! Credentials that a catalog lends for a table's files: they end, and are asked for again before they do, so that a writer
//! outlives them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use runner_core::{Clock, Secret};

use super::catalog::{Catalog, LoadedTable, TableName};
use super::error::{IcebergError, Result};
use super::files::TableFiles;
use crate::resolve::ResolvedSettings;
use crate::storage::{AccessKeys, access_keys};

const KEY: &str = "s3.access-key-id";
const SECRET: &str = "s3.secret-access-key";
const TOKEN: &str = "s3.session-token";
/// Milliseconds since 1970.
const TOKEN_ENDS: &str = "s3.session-token-expires-at-ms";
/// Credentials are renewed this long before they end, or when a fifth of their time is left.
const MARGIN: TimeDelta = TimeDelta::minutes(5);
/// Session tokens whose end nobody names: none is lent for less than a quarter of an hour.
const UNKNOWN_LIFETIME: TimeDelta = TimeDelta::minutes(15);
/// A renewal that failed is not tried again with every request, as long as the old ones are good.
const PAUSE: TimeDelta = TimeDelta::seconds(10);

/// A table's files by what its catalog said of their storage: one set of connections for all who use them.
#[derive(Debug)]
pub(super) struct LentFiles {
    /// What was lent beside credentials.
    place: BTreeMap<String, Secret>,
    keys: Option<Arc<LentKeys>>,
    pub files: TableFiles,
}

impl LentFiles {
    /// `settings` are the connection's own, over which those of the table stand.
    pub(super) fn new(
        settings: &ResolvedSettings,
        catalog: &Arc<dyn Catalog>,
        name: &TableName,
        table: &LoadedTable,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let keys = Lent::of(&table.storage, clock.now()).map(|lent| {
            Arc::new(LentKeys {
                catalog: Arc::clone(catalog),
                name: name.clone(),
                clock: Arc::clone(clock),
                state: Mutex::new(State {
                    table: table.clone(),
                    lent,
                }),
                renewal: tokio::sync::Mutex::new(()),
            })
        });
        let settings = settings.with(&table.storage);
        let files = match &keys {
            None => TableFiles::new(settings),
            Some(keys) => {
                let keys: Arc<LentKeys> = Arc::clone(keys);
                TableFiles::with_credentials(settings, keys)
            }
        };
        Self {
            place: place(&table.storage),
            keys,
            files,
        }
    }

    /// Takes what a later load of the table has lent, if that is for the same place; else these files are not the table's.
    pub(super) fn takes(&self, table: &LoadedTable) -> bool {
        if self.place != place(&table.storage) {
            return false;
        }
        let Some(keys) = &self.keys else {
            return Lent::of(&table.storage, DateTime::default()).is_none();
        };
        match Lent::of(&table.storage, keys.clock.now()) {
            None => false,
            Some(lent) => {
                keys.offer(table, lent);
                true
            }
        }
    }
}

fn place(storage: &BTreeMap<String, Secret>) -> BTreeMap<String, Secret> {
    storage
        .iter()
        .filter(|(name, _)| ![KEY, SECRET, TOKEN, TOKEN_ENDS].contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Credentials, and how long they are good.
#[derive(Clone)]
struct Lent {
    credential: Arc<AwsCredential>,
    /// None for those that stay, or whose end nobody knows.
    ends: Option<DateTime<Utc>>,
    /// None for those that stay.
    renew_at: Option<DateTime<Utc>>,
}

impl Lent {
    fn of(storage: &BTreeMap<String, Secret>, now: DateTime<Utc>) -> Option<Self> {
        let own: BTreeMap<String, Secret> = storage
            .iter()
            .filter(|(name, _)| [KEY, SECRET, TOKEN].contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        // Both, or none: what is missing must not come from the environment.
        if !own.contains_key(KEY) || !own.contains_key(SECRET) {
            return None;
        }
        let AccessKeys {
            access_key_id,
            secret_access_key,
            session_token,
        } = access_keys(&ResolvedSettings::default().with(&own))?;
        let ends = storage
            .get(TOKEN_ENDS)
            .and_then(|ends| ends.expose().parse().ok())
            .and_then(DateTime::from_timestamp_millis);
        let lifetime = match ends {
            Some(ends) => Some(ends - now),
            None => session_token.is_some().then_some(UNKNOWN_LIFETIME),
        };
        Some(Self {
            credential: Arc::new(AwsCredential {
                key_id: access_key_id,
                secret_key: secret_access_key.expose().to_owned(),
                token: session_token.map(|token| token.expose().to_owned()),
            }),
            ends,
            renew_at: lifetime.map(|lifetime| now + lifetime - MARGIN.min(lifetime / 5)),
        })
    }

    /// Those that stay are good for ever.
    fn is_good_longer_than(&self, other: &Self) -> bool {
        match (self.renew_at, other.renew_at) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own > other,
        }
    }
}

/// Lends the newest credentials to whoever signs a request.
pub(super) struct LentKeys {
    catalog: Arc<dyn Catalog>,
    name: TableName,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// One renews, the others wait for it.
    renewal: tokio::sync::Mutex<()>,
}

struct State {
    /// As it was when these were lent.
    table: LoadedTable,
    lent: Lent,
}

impl LentKeys {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offer(&self, table: &LoadedTable, lent: Lent) {
        let mut state = self.state();
        if lent.is_good_longer_than(&state.lent) {
            *state = State {
                table: table.clone(),
                lent,
            };
        }
    }

    /// Those that need no renewal.
    fn good(&self) -> Option<Arc<AwsCredential>> {
        let state = self.state();
        let is_due = state
            .lent
            .renew_at
            .is_some_and(|renew_at| self.clock.now() >= renew_at);
        (!is_due).then(|| Arc::clone(&state.lent.credential))
    }

    async fn renew(&self) -> Result<Arc<AwsCredential>> {
        let table = self.state().table.clone();
        let storage = self.catalog.lend(&self.name, &table).await?;
        let lent = Lent::of(&storage, self.clock.now()).ok_or_else(|| {
            IcebergError::Broken(format!(
                "the catalog lends no credentials for `{}` any more",
                self.name
            ))
        })?;
        let credential = Arc::clone(&lent.credential);
        let mut state = self.state();
        state.table.storage = storage;
        state.lent = lent;
        Ok(credential)
    }
}

#[async_trait]
impl CredentialProvider for LentKeys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        if let Some(credential) = self.good() {
            return Ok(credential);
        }
        let _renewal = self.renewal.lock().await;
        if let Some(credential) = self.good() {
            return Ok(credential);
        }
        let error = match self.renew().await {
            Ok(credential) => return Ok(credential),
            Err(error) => runner_core::Error::from(error),
        };
        let now = self.clock.now();
        let mut state = self.state();
        if state.lent.ends.is_some_and(|ends| now >= ends) {
            return Err(object_store::Error::Generic {
                store: "S3",
                source: error.into(),
            });
        }
        tracing::warn!(table = %self.name, error = %error.chain(), "the credentials of the table's files could not be renewed yet");
        state.lent.renew_at = Some(now + PAUSE);
        Ok(Arc::clone(&state.lent.credential))
    }
}

impl std::fmt::Debug for LentKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LentKeys")
            .field("table", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

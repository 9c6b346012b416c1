//! Puts the implementations together: the only place that knows concrete types.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use runner_connectors::context::SourceContext;
use runner_connectors::files::FileSource;
use runner_connectors::http::{HttpRegistry, HttpSource};
use runner_connectors::registry::{self, TargetContext};
use runner_connectors::secrets::RunSecrets;
use runner_connectors::sink::Target;
use runner_connectors::source::Source;
use runner_core::commit::{Committer, Committers};
use runner_core::ids::Operator;
use runner_core::job::JobStore;
use runner_core::quarantine::QuarantineStore;
use runner_core::{
    Checkpoints, Clock, Error, ErrorKind, FeedStore, Part, Result, Secret, SecretStore,
    SystemClock, TenantId,
};
use runner_engine_embedded::{Connectors, EmbeddedEngine, Folders, PartFolder};
use runner_plan::model::SourcePlan;
use runner_plan::{LoadPlan, Plan, StreamPlan};
use runner_secrets::{ChainedSecrets, ConnectionSecrets, EnvironmentSecrets, FileSecrets};
use runner_store::SqliteStore;
use tokio::sync::Mutex;

use crate::settings::Settings;

/// The runtime of every command that waits for anything.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Internal, "failed to start the runtime").with_source(error)
        })
}

/// The job store, by the ports that it stands behind.
#[derive(Clone)]
pub(crate) struct Store {
    sqlite: Arc<SqliteStore>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Store {
    pub(crate) async fn open(settings: &Settings) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        std::fs::create_dir_all(&settings.data_dir).map_err(|error| {
            Error::new(
                ErrorKind::Config,
                format!(
                    "failed to create the data folder `{}`",
                    settings.data_dir.display()
                ),
            )
            .with_source(error)
            .with_help("choose another folder with `--data-dir`, or let this user write to it")
        })?;
        let sqlite = SqliteStore::open(&settings.data_dir, Arc::clone(&clock)).await?;
        Ok(Self {
            sqlite: Arc::new(sqlite),
            clock,
        })
    }

    pub(crate) fn jobs(&self) -> Arc<dyn JobStore> {
        Arc::clone(&self.sqlite) as Arc<dyn JobStore>
    }

    pub(crate) fn checkpoints(&self) -> Arc<dyn Checkpoints> {
        Arc::clone(&self.sqlite) as Arc<dyn Checkpoints>
    }

    pub(crate) fn feeds(&self) -> Arc<dyn FeedStore> {
        Arc::clone(&self.sqlite) as Arc<dyn FeedStore>
    }

    pub(crate) fn quarantine(&self) -> Arc<dyn QuarantineStore> {
        Arc::clone(&self.sqlite) as Arc<dyn QuarantineStore>
    }

    /// The configured tenant; where none is, the command line acts for all that have feeds here.
    pub(crate) async fn tenants(&self, settings: &Settings) -> Result<Vec<TenantId>> {
        match settings.tenant_id.as_str() {
            "" => self.sqlite.tenants().await,
            tenant => Ok(vec![TenantId::new(tenant)]),
        }
    }
}

/// Who acts, for the audit: the user of the command line.
pub(crate) fn operator() -> Operator {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    Operator::new(user.unwrap_or_else(|| "command line".to_owned()))
}

/// The configured secret stores: the file first, then the environment.
pub(crate) fn secrets(settings: &Settings) -> Result<Arc<dyn SecretStore>> {
    let mut stores: Vec<Arc<dyn SecretStore>> = Vec::new();
    if let Some(path) = &settings.secrets_file {
        stores.push(Arc::new(FileSecrets::open(path)?));
    }
    stores.push(Arc::new(EnvironmentSecrets::from_process()));
    stores.push(Arc::new(ConnectionSecrets::new(connection_secrets(
        settings,
    ))));
    Ok(Arc::new(ChainedSecrets::new(stores)))
}

fn connection_secrets(settings: &Settings) -> BTreeMap<String, BTreeMap<String, Secret>> {
    settings
        .connections
        .iter()
        .map(|(name, connection)| {
            let texts = connection
                .settings
                .iter()
                .filter_map(|(key, value)| match value {
                    serde_json::Value::String(text) => Some((key.clone(), Secret::new(text))),
                    serde_json::Value::Number(number) => {
                        Some((key.clone(), Secret::new(number.to_string())))
                    }
                    _ => None,
                });
            (name.clone(), texts.collect())
        })
        .collect()
}

/// Sources and targets of this build.
pub(crate) struct Registry {
    secrets: Arc<dyn SecretStore>,
    clock: Arc<dyn Clock>,
    folders: Folders,
    /// A target is connected to once a run.
    targets: Mutex<HashMap<(String, String), Arc<dyn Target>>>,
}

impl Registry {
    pub(crate) fn new(
        settings: &Settings,
        secrets: Arc<dyn SecretStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            secrets,
            clock,
            folders: Folders {
                data: settings.data_dir.clone(),
            },
            targets: Mutex::default(),
        }
    }

    /// The engine that runs in this process.
    pub(crate) fn embedded(self: &Arc<Self>) -> EmbeddedEngine {
        let connectors = Arc::clone(self) as Arc<dyn Connectors>;
        EmbeddedEngine::new(connectors, HttpRegistry::default(), self.folders.clone())
    }

    async fn target(&self, plan: &Plan, load: &LoadPlan) -> Result<Arc<dyn Target>> {
        let key = (plan.feed.clone(), load.id.clone());
        let mut targets = self.targets.lock().await;
        if let Some(target) = targets.get(&key) {
            return Ok(Arc::clone(target));
        }
        let secrets = Arc::new(RunSecrets::new(Arc::clone(&self.secrets), plan)?);
        let context = TargetContext::new(
            plan,
            secrets,
            Arc::clone(&self.clock),
            self.folders.data.clone(),
        );
        let target = registry::build(load, &context).await?;
        targets.insert(key, Arc::clone(&target));
        Ok(target)
    }
}

#[async_trait]
impl Connectors for Registry {
    async fn source(&self, stream: &StreamPlan, context: SourceContext) -> Result<Arc<dyn Source>> {
        Ok(match &stream.source {
            SourcePlan::Http(http) => Arc::new(HttpSource::build(stream, http, context)?),
            SourcePlan::Files(files) => Arc::new(FileSource::build(stream, files, context)?),
        })
    }

    async fn target(&self, plan: &Plan, load: &LoadPlan) -> Result<Arc<dyn Target>> {
        Self::target(self, plan, load).await
    }
}

/// Committers are targets; they are made by the same registry.
#[async_trait]
impl Committers for Registry {
    async fn committer(&self, plan: &Plan, load: &LoadPlan) -> Result<Arc<dyn Committer>> {
        let target = Self::target(self, plan, load).await?;
        Ok(target)
    }

    async fn discard_staged(&self, _plan: &Plan, parts: &[Part]) -> Result<()> {
        PartFolder::discard(parts)
    }
}

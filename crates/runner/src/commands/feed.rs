//! What every command does that runs or plans a feed: read, plan with the feed's stored state, and put the engine together.

use std::sync::Arc;

use runner_core::commit::Committers;
use runner_core::engine::Engine;
use runner_core::progress::ProgressSink;
use runner_core::{Error, ErrorKind, FeedId, Result, TenantId};
use runner_jobs::{JobRunner, Ports};
use runner_plan::FeedSchemas;
use runner_spec::has_errors;

use crate::arguments::FeedArguments;
use crate::document::{Document, Planned, show};
use crate::settings::Settings;
use crate::terminal::Terminal;
use crate::wiring::{self, Registry, Store};

/// Reads and plans a document; what is wrong with it has been shown when this fails, and warnings when it doesn't.
pub(crate) async fn planned(
    arguments: &FeedArguments,
    store: &Store,
    settings: &Settings,
    terminal: Terminal,
) -> Result<Planned> {
    let document = Document::read(&arguments.file, &arguments.overlay, arguments.strict)?;
    let state = match &document.loaded.spec {
        Some(spec) => {
            let feed = FeedId {
                tenant: TenantId::new(&spec.provider.tenant_id),
                name: spec.name.clone(),
            };
            stored_schemas(store, &feed).await?
        }
        None => FeedSchemas::default(),
    };
    let writable = match &document.loaded.spec {
        Some(spec) => can_rotate(&runner_plan::refresh_tokens(spec), settings).await?,
        None => true,
    };
    let mut planned = document.plan(arguments, settings, &state, writable, terminal)?;
    let registry = registry(settings, store)?;
    let mut found = registry.embedded().check(&planned.plan);
    planned.sources.place(&mut found);
    let is_refused = has_errors(&found);
    planned.diagnostics.extend(found);
    if !terminal.json {
        show(&planned.diagnostics, &planned.sources, terminal);
    }
    if is_refused {
        return Err(Error::new(
            ErrorKind::Spec,
            "the engine can't run this document",
        ));
    }
    Ok(planned)
}

/// Whether every one of these secrets can be written back to the store that has it.
async fn can_rotate(references: &[String], settings: &Settings) -> Result<bool> {
    let secrets = wiring::secrets(settings)?;
    for reference in references {
        let is_writable = match secrets.can_put(&reference.parse()?).await {
            Ok(is_writable) => is_writable,
            // One that is nowhere yet is reported by the run that needs it.
            Err(_) => secrets.is_writable(),
        };
        if !is_writable {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) fn registry(settings: &Settings, store: &Store) -> Result<Arc<Registry>> {
    Ok(Arc::new(Registry::new(
        settings,
        wiring::secrets(settings)?,
        Arc::clone(&store.clock),
    )))
}

/// The runner of jobs in this process.
pub(crate) fn job_runner(
    settings: &Settings,
    store: &Store,
    progress: Arc<dyn ProgressSink>,
) -> Result<JobRunner> {
    let registry = registry(settings, store)?;
    Ok(JobRunner::new(Ports {
        jobs: store.jobs(),
        checkpoints: store.checkpoints(),
        feeds: store.feeds(),
        quarantine: store.quarantine(),
        engine: Arc::new(registry.embedded()) as Arc<dyn Engine>,
        committers: registry as Arc<dyn Committers>,
        secrets: wiring::secrets(settings)?,
        clock: Arc::clone(&store.clock),
        progress,
    }))
}

async fn stored_schemas(store: &Store, feed: &FeedId) -> Result<FeedSchemas> {
    let state = store.feeds().state(feed).await?;
    let sources = state
        .schemas
        .iter()
        .map(|(stream, schema)| (stream.clone(), schema.fields_read()))
        .collect();
    let streams = state
        .schemas
        .into_iter()
        .map(|(stream, schema)| (stream, schema.columns))
        .collect();
    Ok(FeedSchemas {
        streams,
        sources,
        ..FeedSchemas::default()
    })
}

//! What every command does that runs or plans a feed: read, plan with the feed's stored state, and put the engine together.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use runner_core::commit::Committers;
use runner_core::engine::Engine;
use runner_core::progress::ProgressSink;
use runner_core::{Error, ErrorKind, FeedId, Result, TenantId};
use runner_jobs::{JobRunner, Ports};
use runner_plan::FeedSchemas;
use runner_spec::{Code, Diagnostic, Severity, has_errors, render};

use crate::arguments::FeedArguments;
use crate::document::{Document, Planned};
use crate::settings::Settings;
use crate::terminal::{Terminal, counted};
use crate::wiring::{self, Registry, Store};

/// Reads and plans a document. Nothing where it can't run: why has been shown then. Else warnings have been, and the hints as asked for.
pub(crate) async fn planned(
    arguments: &FeedArguments,
    hints: Hints,
    store: &Store,
    settings: &Settings,
    terminal: Terminal,
) -> Result<Option<Planned>> {
    given_once(&arguments.parameters)?;
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
    let mut planned = match document.plan(arguments, settings, &state, writable)? {
        Ok(planned) => planned,
        Err(refused) => {
            refused.show(terminal)?;
            return Ok(None);
        }
    };
    let registry = registry(settings, store)?;
    let mut found = registry.embedded().check(&planned.plan);
    planned.sources.place(&mut found);
    let is_refused = has_errors(&found);
    planned.diagnostics.extend(found);
    if is_refused {
        planned.refused().show(terminal)?;
        return Ok(None);
    }
    if !terminal.json {
        show(&planned, hints, &arguments.file, terminal);
    }
    Ok(Some(planned))
}

fn given_once(parameters: &[(String, String)]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match parameters.iter().find(|(name, _)| !seen.insert(name)) {
        None => Ok(()),
        Some((name, _)) => Err(Error::new(
            ErrorKind::Spec,
            format!("the parameter `{name}` is given twice"),
        )
        .with_help(format!("leave one `--param {name}=…` out"))),
    }
}

/// Who looks at a document wants its hints; who runs a feed every day has seen them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hints {
    Shown,
    /// But where rows go and what runs is said plainly by every run that does other than what the document names.
    OfRun,
    Counted,
}

impl Hints {
    fn shows(self, code: Code) -> bool {
        match self {
            Self::Shown => true,
            Self::OfRun => matches!(code, Code::ConnectionRedirected | Code::EngineFallback),
            Self::Counted => false,
        }
    }
}

/// What is wrong is shown with its place in the document, and hints in a line each or all in one.
fn show(planned: &Planned, hints: Hints, file: &Path, terminal: Terminal) {
    let (found, faults): (Vec<_>, Vec<_>) = planned
        .diagnostics
        .iter()
        .cloned()
        .partition(|diagnostic| diagnostic.severity == Severity::Hint);
    if !faults.is_empty() {
        terminal.note(&render(
            &faults,
            &planned.sources,
            terminal.render_options(),
        ));
    }
    let (told, counted_only): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|hint| hints.shows(hint.code));
    for Diagnostic {
        code,
        message,
        location,
        ..
    } in &told
    {
        let place = location.as_ref().map_or_else(String::new, |location| {
            format!(" ({}:{})", location.file, location.line)
        });
        terminal.note(&format!("hint[{}]: {message}{place}", code.as_str()));
    }
    if !counted_only.is_empty() {
        let count = counted_only.len() as u64;
        terminal.note(&format!(
            "{}: `ingestion-runner plan {}` shows {}",
            counted(count, "hint"),
            file.display(),
            if count == 1 { "it" } else { "them" }
        ));
    }
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

//! Reads a document with its overlays, plans it, and shows what is wrong with it.

use std::collections::BTreeMap;
use std::path::Path;

use runner_core::{Error, ErrorKind, Result};
use runner_plan::describe::Cast;
use runner_plan::{Environment, FeedSchemas, Plan, PlanInputs, PlanOptions};
use runner_spec::{
    Diagnostic, Loaded, Options, Severity, Source, SourceMap, Spec, has_errors, render,
};
use runner_sql::PlanAnalysis;
use sha2::{Digest, Sha256};

use crate::arguments::FeedArguments;
use crate::settings::Settings;
use crate::terminal::Terminal;

/// A document that was read, with whatever was noticed.
pub(crate) struct Document {
    pub(crate) text: String,
    pub(crate) loaded: Loaded,
}

/// A document that can run.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) text: String,
    pub(crate) sources: SourceMap,
    /// Warnings and hints: no error is among them.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// What the queries of transforms cast.
    pub(crate) casts: Vec<Cast>,
}

impl Document {
    /// Reads a document. What can't be read at all is a diagnostic too, so that it looks like every other mistake.
    pub(crate) fn read(file: &Path, overlays: &[impl AsRef<Path>], strict: bool) -> Result<Self> {
        let source = match source(file)? {
            Ok(source) => source,
            Err(diagnostic) => return Ok(Self::unreadable(diagnostic)),
        };
        let mut merged = Vec::with_capacity(overlays.len());
        for overlay in overlays {
            match self::source(overlay.as_ref())? {
                Ok(overlay) => merged.push(overlay),
                Err(diagnostic) => return Ok(Self::unreadable(diagnostic)),
            }
        }
        let loaded = runner_spec::load(&source, &merged, &Options { strict });
        Ok(Self {
            text: source.text,
            loaded,
        })
    }

    /// Looks for mistakes in the queries too, as far as the document alone tells them.
    pub(crate) fn check_queries(&mut self) {
        let spec = self.loaded.spec.as_ref().or(self.loaded.draft.as_deref());
        let Some(spec) = spec else { return };
        let inputs = PlanInputs {
            spec,
            document_hash: "",
            environment: &Environment::default(),
            state: &FeedSchemas::default(),
            parameters: &BTreeMap::new(),
            options: &PlanOptions::default(),
        };
        let found = runner_sql::analyse_draft(&inputs, &self.loaded.diagnostics);
        self.loaded.extend(found);
    }

    fn unreadable(diagnostic: Diagnostic) -> Self {
        let loaded = Loaded {
            spec: None,
            draft: None,
            diagnostics: vec![diagnostic],
            sources: SourceMap::default(),
        };
        Self {
            text: String::new(),
            loaded,
        }
    }

    /// The plan of a run.
    pub(crate) fn plan(
        mut self,
        arguments: &FeedArguments,
        settings: &Settings,
        state: &FeedSchemas,
        secrets_writable: bool,
        terminal: Terminal,
    ) -> Result<Planned> {
        if self.loaded.spec.is_none() {
            self.check_queries();
        }
        let Loaded {
            spec: Some(spec),
            mut diagnostics,
            sources,
            ..
        } = self.loaded
        else {
            let Loaded {
                diagnostics,
                sources,
                ..
            } = &self.loaded;
            return Err(refused(diagnostics, sources, terminal));
        };
        let hash = hash(&spec)?;
        let parameters: BTreeMap<_, _> = arguments.parameters.iter().cloned().collect();
        let options = PlanOptions {
            engine: arguments.engine,
            limit: arguments.limit,
            base_url: arguments.base_url.clone(),
            strict_connections: arguments.strict_connections,
            window: None,
        };
        let environment = settings.environment(secrets_writable);
        let inputs = PlanInputs {
            spec: &spec,
            document_hash: &hash,
            environment: &environment,
            state,
            parameters: &parameters,
            options: &options,
        };
        let mut planned = runner_plan::plan(&inputs);
        let queries = if let Some(plan) = &mut planned.plan {
            runner_sql::analyse_plan(plan)
        } else {
            let said_better = runner_sql::reads_no_view;
            planned.diagnostics.retain(|found| !said_better(found));
            PlanAnalysis {
                diagnostics: runner_sql::analyse_draft(&inputs, &diagnostics),
                casts: Vec::new(),
            }
        };
        let mut found = planned.diagnostics;
        found.extend(queries.diagnostics);
        sources.place(&mut found);
        diagnostics.extend(found);
        match planned.plan {
            Some(plan) if !has_errors(&diagnostics) => Ok(Planned {
                plan,
                text: self.text,
                sources,
                diagnostics,
                casts: queries.casts,
            }),
            _ => Err(refused(&diagnostics, &sources, terminal)),
        }
    }
}

/// Shows diagnostics where people look; under `--json` they are part of the output instead.
///
/// What is wrong is shown with its place in the document, and hints in a line each: who runs a feed every day has seen them.
pub(crate) fn show(diagnostics: &[Diagnostic], sources: &SourceMap, terminal: Terminal) {
    let (hints, faults): (Vec<_>, Vec<_>) = diagnostics
        .iter()
        .cloned()
        .partition(|diagnostic| diagnostic.severity == Severity::Hint);
    if !faults.is_empty() {
        terminal.note(&render(&faults, sources, terminal.render_options()));
    }
    for Diagnostic {
        code,
        message,
        location,
        ..
    } in &hints
    {
        let place = location.as_ref().map_or_else(String::new, |location| {
            format!(" ({}:{})", location.file, location.line)
        });
        terminal.note(&format!("hint[{}]: {message}{place}", code.as_str()));
    }
}

fn refused(diagnostics: &[Diagnostic], sources: &SourceMap, terminal: Terminal) -> Error {
    if !terminal.json {
        show(diagnostics, sources, terminal);
    }
    let errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.is_error());
    let count = errors.clone().count();
    let mut error = Error::new(
        ErrorKind::Spec,
        format!(
            "the document has {count} error{}",
            if count == 1 { "" } else { "s" }
        ),
    );
    if terminal.json
        && let Some(first) = errors.clone().next()
    {
        error = Error::new(
            ErrorKind::Spec,
            format!("{} ({})", first.message, first.path),
        )
        .with_help("`validate --json` lists all of them");
    }
    error
}

fn source(path: &Path) -> Result<std::result::Result<Source, Diagnostic>> {
    let bytes = std::fs::read(path).map_err(|error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound {
            ErrorKind::NotFound
        } else {
            ErrorKind::Spec
        };
        Error::new(
            kind,
            format!("failed to read the document `{}`", path.display()),
        )
        .with_source(error)
    })?;
    Ok(Source::from_bytes(path.display().to_string(), &bytes).map_err(|diagnostic| *diagnostic))
}

/// Of what the document means, after overlays: comments and layout don't make another feed.
fn hash(spec: &Spec) -> Result<String> {
    let text = serde_json::to_vec(spec).map_err(|error| {
        Error::new(ErrorKind::Internal, "failed to hash the document").with_source(error)
    })?;
    Ok(hex::encode(Sha256::digest(&text)))
}

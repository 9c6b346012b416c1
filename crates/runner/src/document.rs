//! Reads a document with its overlays, plans it, and shows what is wrong with it.

use std::collections::BTreeMap;
use std::path::Path;

use runner_core::{Error, ErrorKind, Result};
use runner_plan::describe::Cast;
use runner_plan::{Environment, FeedSchemas, Plan, PlanInputs, PlanOptions};
use runner_spec::{
    Diagnostic, Loaded, Options, Severity, Source, SourceMap, Spec, has_errors, nearest, render,
};
use runner_sql::PlanAnalysis;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::arguments::FeedArguments;
use crate::settings::Settings;
use crate::terminal::{Terminal, counted, failure};

/// A document that was read, with whatever was noticed.
pub(crate) struct Document {
    pub(crate) text: String,
    pub(crate) loaded: Loaded,
}

/// A document that can't run, and why.
pub(crate) struct Refused {
    diagnostics: Vec<Diagnostic>,
    sources: SourceMap,
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
    ) -> Result<std::result::Result<Planned, Refused>> {
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
            return Ok(Err(Refused::of(self.loaded)));
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
            Some(plan) if !has_errors(&diagnostics) => Ok(Ok(Planned {
                plan,
                text: self.text,
                sources,
                diagnostics,
                casts: queries.casts,
            })),
            _ => Ok(Err(Refused {
                diagnostics,
                sources,
            })),
        }
    }
}

impl Planned {
    /// The engine has something against it.
    pub(crate) fn refused(self) -> Refused {
        Refused {
            diagnostics: self.diagnostics,
            sources: self.sources,
        }
    }
}

impl Refused {
    /// A document that can't even be read as one.
    pub(crate) fn of(loaded: Loaded) -> Self {
        Self {
            diagnostics: loaded.diagnostics,
            sources: loaded.sources,
        }
    }

    /// Shows why: hints are of use when the rest is right. Under `--json` everything is in the one object that is printed.
    pub(crate) fn show(&self, terminal: Terminal) -> Result<()> {
        let errors: Vec<_> = self
            .diagnostics
            .iter()
            .filter(|found| found.is_error())
            .collect();
        if terminal.json {
            let mut error = Error::new(ErrorKind::Spec, summary(&errors));
            if let Some(help) = errors.first().and_then(|first| first.help.as_ref()) {
                error = error.with_help(help);
            }
            let mut body = failure(&error);
            body["diagnostics"] = json!(self.diagnostics);
            return terminal.print_json(&body);
        }
        let shown: Vec<_> = self
            .diagnostics
            .iter()
            .filter(|found| found.severity != Severity::Hint)
            .cloned()
            .collect();
        terminal.note(&render(&shown, &self.sources, terminal.render_options()));
        terminal.error(&Error::new(ErrorKind::Spec, verdict(&errors)));
        Ok(())
    }
}

/// In a line, for who reads no more than that.
fn summary(errors: &[&Diagnostic]) -> String {
    let first = errors.first().map_or_else(String::new, |first| {
        let place = if first.path.is_root() {
            String::new()
        } else {
            format!(" (`{}`)", first.path)
        };
        format!(": {}{place}", first.message)
    });
    format!("{}{first}", verdict(errors))
}

fn verdict(errors: &[&Diagnostic]) -> String {
    let in_document = errors
        .iter()
        .filter(|error| error.location.is_some())
        .count() as u64;
    if in_document == 0 {
        "the document can't be run in this way".to_owned()
    } else {
        format!("the document has {}", counted(in_document, "error"))
    }
}

fn source(path: &Path) -> Result<std::result::Result<Source, Diagnostic>> {
    let bytes = std::fs::read(path).map_err(|error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound {
            ErrorKind::NotFound
        } else {
            ErrorKind::Spec
        };
        let help = unread_help(path, error.kind());
        let error = Error::new(
            kind,
            format!("failed to read the document `{}`", path.display()),
        )
        .with_source(error);
        match help {
            Some(help) => error.with_help(help),
            None => error,
        }
    })?;
    Ok(Source::from_bytes(path.display().to_string(), &bytes).map_err(|diagnostic| *diagnostic))
}

/// What was probably meant by a path that is no document.
fn unread_help(path: &Path, kind: std::io::ErrorKind) -> Option<String> {
    /// Names that are looked at.
    const MOST: usize = 1_000;
    match kind {
        std::io::ErrorKind::IsADirectory => Some(format!(
            "name a document in it; `{}` names all of them",
            path.join("*.yaml").display()
        )),
        std::io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|parent| parent != &Path::new(""));
            let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
            let names: Vec<String> = entries
                .take(MOST)
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter(|name| {
                    [".yaml", ".yml", ".json"]
                        .iter()
                        .any(|ending| name.ends_with(ending))
                })
                .collect();
            let wanted = path.file_name()?.to_str()?;
            let meant = nearest(wanted, names.iter().map(String::as_str))?;
            let meant = path.with_file_name(meant);
            Some(format!("did you mean `{}`?", meant.display()))
        }
        _ => None,
    }
}

/// Of what the document means, after overlays: comments and layout don't make another feed.
fn hash(spec: &Spec) -> Result<String> {
    let text = serde_json::to_vec(spec).map_err(|error| {
        Error::new(ErrorKind::Internal, "failed to hash the document").with_source(error)
    })?;
    Ok(hex::encode(Sha256::digest(&text)))
}

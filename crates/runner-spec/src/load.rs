//! From texts to a [`Spec`] and everything that is wrong with it.
//!
//! Read each text to a tree, lay the overlays over the document, check the tree against the table of fields, lower it to
//! the model, run the rules that look at several fields at once, and find the place of every finding. No step stops the next
//! one, except that nothing can be checked in a text that can't be read.

use crate::Code;
use crate::Spec;
use crate::check;
use crate::diagnostic::{Diagnostic, MAX_FINDINGS, Severity};
use crate::fields::DOCUMENT;
use crate::lower;
use crate::overlay::{self, Merging};
use crate::path::FieldPath;
use crate::read::{self, Finding};
use crate::redact::{Masks, masked};
use crate::rules;
use crate::source::{Source, has_errors};
use crate::source_map::SourceMap;
use crate::tree::{Node, Span};

/// How strictly a document is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// A key that nobody knows is an error instead of a warning.
    pub strict: bool,
}

/// What became of a document.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Absent where a diagnostic is an error.
    pub spec: Option<Spec>,
    /// In place of a spec that is absent, the document as far as it can be read, for what looks for further mistakes in it. Nothing
    /// runs it.
    pub draft: Option<Box<Spec>>,
    /// In the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    pub sources: SourceMap,
}

impl Loaded {
    /// Takes up what a later phase found wrong with the document, so that everything is told in the order of the text.
    pub fn extend(&mut self, mut found: Vec<Diagnostic>) {
        let is_cut_off = |known: &Diagnostic| known.code == Code::TooManyFindings;
        if self.diagnostics.iter().any(is_cut_off) {
            return;
        }
        self.sources.place(&mut found);
        self.diagnostics.append(&mut found);
        in_order(&mut self.diagnostics, &self.sources);
        if has_errors(&self.diagnostics) {
            self.draft = self.draft.take().or(self.spec.take().map(Box::new));
        }
    }
}

/// Reads a document with its overlays. Total: any text gives a [`Loaded`], and never a panic.
pub fn load(document: &Source, overlays: &[Source], options: &Options) -> Loaded {
    let mut trees = Vec::new();
    let mut findings = Vec::new();
    let mut masks = Masks::default();
    let mut shown = Vec::new();
    for (index, source) in std::iter::once(document).chain(overlays).enumerate() {
        let mut reading = read::read(source, index);
        findings.append(&mut reading.findings);
        shown.push(masked(source, reading.root.as_ref()));
        if let Some(root) = &reading.root {
            masks.extend(Masks::of(root));
        }
        trees.push(reading.root);
    }
    let mut merging = Merging::default();
    let root = merged(trees, &mut merging);
    findings.append(&mut merging.findings);
    let mut diagnostics = Vec::new();
    let mut spec = None;
    if let Some(root) = &root {
        diagnostics = check::check(root, &DOCUMENT, options.strict, &masks);
        // Of a text or a list there is nothing more to say than that it is no document.
        if root.as_object().is_some() {
            let lowered = lower::lower(root);
            let rules = rules::run(&lowered, root);
            let shown = rules
                .into_iter()
                .filter(|finding| !is_hidden(finding, &diagnostics));
            diagnostics.append(&mut shown.collect());
            spec = Some(lowered);
        }
    }
    let sources = SourceMap::new(shown, root);
    let findings = findings
        .into_iter()
        .map(|Finding { diagnostic, span }| (diagnostic, Some(span)));
    let all = findings
        .chain(diagnostics.into_iter().map(|diagnostic| (diagnostic, None)))
        .collect();
    let mut diagnostics = placed(all, &sources);
    overlay::explain_replaced_lists(&mut diagnostics, &merging.replaced);
    let (spec, draft) = if has_errors(&diagnostics) {
        (None, spec.map(Box::new))
    } else {
        (spec, None)
    };
    Loaded {
        spec,
        draft,
        diagnostics,
        sources,
    }
}

/// Finds the places, in the order of the text. Of very many findings the errors are kept first.
fn placed(mut all: Vec<(Diagnostic, Option<Span>)>, sources: &SourceMap) -> Vec<Diagnostic> {
    let count = all.len();
    if count > MAX_FINDINGS {
        all.sort_by_key(|(diagnostic, _)| diagnostic.severity);
        all.truncate(MAX_FINDINGS);
    }
    let mut diagnostics: Vec<Diagnostic> = all
        .into_iter()
        .map(|(diagnostic, span)| diagnostic.located(span.and_then(|span| sources.location(span))))
        .collect();
    sources.place(&mut diagnostics);
    in_order(&mut diagnostics, sources);
    if count > MAX_FINDINGS {
        let message = format!(
            "the document has more than {MAX_FINDINGS} findings, and the rest is not shown"
        );
        let last = Diagnostic::error(Code::TooManyFindings, FieldPath::root(), message);
        let help = "correct what is shown first; is this the file that was meant?";
        diagnostics.push(last.help(help).located(sources.whole()));
    }
    diagnostics
}

/// Reads any YAML or JSON text as a value, with the reader of documents: the runner's other files (configuration, secrets)
/// have the same rules and the same messages.
///
/// Any value of such a file may be a secret, so that the findings name places and repeat nothing of what stands there.
pub fn read_value(source: &Source) -> Result<serde_json::Value, Vec<Diagnostic>> {
    let reading = read::read(source, 0);
    let diagnostics: Vec<_> = reading
        .findings
        .into_iter()
        .map(|finding| without_text(finding, source))
        .collect();
    match reading.root {
        Some(root) if !has_errors(&diagnostics) => Ok(root.to_json()),
        _ => Err(diagnostics),
    }
}

fn without_text(finding: Finding, source: &Source) -> Diagnostic {
    let Finding {
        mut diagnostic,
        span,
    } = finding;
    let mut location = source.location(span.range());
    location.excerpt.clear();
    if diagnostic.code == Code::NumberOutOfRange {
        "a number can't be represented: numbers are 64-bit integers or finite doubles"
            .clone_into(&mut diagnostic.message);
    }
    diagnostic.located(Some(location))
}

/// The document with its overlays; nothing where one of them could not be read.
fn merged(trees: Vec<Option<Node>>, merging: &mut Merging) -> Option<Node> {
    let mut trees = trees.into_iter();
    let first = trees.next()??;
    trees.try_fold(first, |document, overlay| {
        Some(overlay::merge(document, overlay?, Some(&DOCUMENT), merging))
    })
}

/// Advice about a field, or about something missing in it, is of no use while the field itself is wrong.
fn is_hidden(finding: &Diagnostic, errors: &[Diagnostic]) -> bool {
    errors
        .iter()
        .filter(|error| error.is_error() && !error.path.is_root())
        .any(|error| {
            let is_same_place = error.path.encloses(&finding.path);
            let is_inside =
                finding.path.encloses(&error.path) && finding.severity != Severity::Error;
            is_same_place
                && !(finding.is_error()
                    && error.path != finding.path
                    && !matches!(error.code, Code::WrongType))
                || is_inside
        })
}

/// By source, line and column; what an alias repeats is said once.
fn in_order(diagnostics: &mut Vec<Diagnostic>, sources: &SourceMap) {
    let rank = |diagnostic: &Diagnostic| {
        let location = diagnostic.location.as_ref();
        let file = location.and_then(|location| {
            sources
                .sources()
                .iter()
                .position(|source| source.name == location.file)
        });
        (
            file,
            location.map(|location| location.bytes.start),
            diagnostic.code,
        )
    };
    diagnostics.sort_by_key(rank);
    let mut seen = std::collections::HashSet::new();
    diagnostics.retain(|diagnostic| {
        let place = diagnostic
            .location
            .as_ref()
            .map(|location| (location.file.clone(), location.bytes.clone()));
        place.is_none() || seen.insert((diagnostic.code, place, diagnostic.message.clone()))
    });
}

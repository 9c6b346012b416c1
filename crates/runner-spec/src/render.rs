//! Diagnostics drawn under the lines that they are about.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Location, line_start};
use crate::source_map::SourceMap;

/// How diagnostics are drawn.
#[derive(Clone, Copy, Debug)]
pub struct RenderOptions {
    /// Columns of the terminal.
    pub width: usize,
    pub colour: bool,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self {
            width: 120,
            colour: false,
        }
    }
}

/// Draws every diagnostic under its line, and a summary below all of them. Nothing where there is nothing to say.
pub fn render(diagnostics: &[Diagnostic], sources: &SourceMap, options: RenderOptions) -> String {
    if diagnostics.is_empty() {
        return String::new();
    }
    let renderer = if options.colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
    .term_width(options.width.max(40));
    let mut drawn = String::new();
    for diagnostic in diagnostics {
        drawn.push_str(&renderer.render(&[report(diagnostic, sources)]));
        drawn.push_str("\n\n");
    }
    drawn.push_str(&summary(diagnostics));
    drawn.push('\n');
    drawn
}

/// `2 errors, 1 warning`, or that there is nothing.
pub fn summary(diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for severity in [Severity::Error, Severity::Warning, Severity::Hint] {
        let count = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count();
        if count > 0 {
            let comma = if text.is_empty() { "" } else { ", " };
            let plural = if count == 1 { "" } else { "s" };
            // Writing to a string can't fail.
            let _ = write!(text, "{comma}{count} {severity}{plural}");
        }
    }
    if text.is_empty() {
        "no problems".to_owned()
    } else {
        text
    }
}

fn report<'a>(diagnostic: &'a Diagnostic, sources: &'a SourceMap) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Hint => Level::INFO.with_name("hint"),
    };
    let title = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code.as_str());
    let mut group = Group::with_title(title);
    if let Some(snippet) = diagnostic
        .location
        .as_ref()
        .and_then(|location| snippet(location, diagnostic, sources))
    {
        group = group.element(snippet);
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

/// The lines of a location. Only these are given to the renderer, which searches linearly through what it gets.
fn snippet<'a>(
    location: &'a Location,
    diagnostic: &Diagnostic,
    sources: &'a SourceMap,
) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let source = sources
        .sources()
        .iter()
        .find(|source| source.name == location.file)?;
    let start = line_start(&source.text, location.bytes.start.min(source.text.len()));
    let end = source.text[location.bytes.end.min(source.text.len())..]
        .find('\n')
        .map_or(source.text.len(), |newline| location.bytes.end + newline);
    let span = location.bytes.start - start..location.bytes.end.min(end) - start;
    let label = if diagnostic.path.is_root() {
        None
    } else {
        Some(diagnostic.path.to_string())
    };
    Some(
        Snippet::source(source.text.get(start..end)?)
            .path(location.file.as_str())
            .line_start(location.line)
            .annotation(AnnotationKind::Primary.span(span).label(label)),
    )
}

//! Diagnostics drawn under the lines that they are about.

use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Location, floor_boundary, line_start};
use crate::source_map::SourceMap;

/// The longest text that is drawn whole.
const MAX_LINE_BYTES: usize = 2000;

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
    if let Some(location) = &diagnostic.location {
        group = match snippet(location, diagnostic, sources) {
            Some(Drawn::Lines(snippet)) => group.element(snippet.path(location.file.as_str())),
            Some(Drawn::Part(snippet)) => group.element(origin(location)).element(snippet),
            None => group.element(origin(location)),
        };
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

fn origin(location: &Location) -> Origin<'_> {
    Origin::path(location.file.as_str())
        .line(location.line)
        .char_column(location.column)
}

/// What is drawn of a text.
enum Drawn<'a> {
    /// Whole lines.
    Lines(Snippet<'a, Annotation<'a>>),
    /// Part of a very long line, whose columns are not those of the text.
    Part(Snippet<'a, Annotation<'a>>),
}

/// The lines of a location. Only these are given to the renderer, which searches linearly through what it gets.
fn snippet<'a>(
    location: &'a Location,
    diagnostic: &Diagnostic,
    sources: &'a SourceMap,
) -> Option<Drawn<'a>> {
    let source = sources
        .sources()
        .iter()
        .find(|source| source.name == location.file)?;
    let text = source.text.as_str();
    let place = location.bytes.clone();
    if place.is_empty() && location.line > 1 && place.start == 0 {
        // A diagnostic that came back from JSON knows its line and no bytes.
        return None;
    }
    let start = line_start(text, place.start.min(text.len()));
    let end = text
        .get(place.end..)?
        .find('\n')
        .map_or(text.len(), |newline| place.end + newline);
    let label = if diagnostic.path.is_root() {
        None
    } else {
        Some(diagnostic.path.to_string())
    };
    let drawn = |from: usize, to: usize, place: Range<usize>| {
        let annotation = AnnotationKind::Primary
            .span(place.start - from..place.end - from)
            .label(label);
        Some(
            Snippet::source(text.get(from..to)?)
                .line_start(location.line)
                .annotation(annotation),
        )
    };
    if end - start <= MAX_LINE_BYTES {
        return drawn(start, end, place).map(Drawn::Lines);
    }
    let from = floor_boundary(text, place.start.saturating_sub(MAX_LINE_BYTES / 4)).max(start);
    let to = floor_boundary(text, place.start + MAX_LINE_BYTES / 2).min(end);
    let place = place.start..place.end.min(to);
    drawn(from, to, place).map(Drawn::Part)
}

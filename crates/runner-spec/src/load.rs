//! From texts to a [`Spec`] and everything that is wrong with it.

use crate::Spec;
use crate::diagnostic::Diagnostic;
use crate::source::Source;
use crate::source_map::SourceMap;

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
    /// In the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    pub sources: SourceMap,
}

/// Reads a document with its overlays. Total: any text gives a [`Loaded`], and never a panic.
pub fn load(document: &Source, overlays: &[Source], _options: &Options) -> Loaded {
    let sources = std::iter::once(document).chain(overlays).cloned().collect();
    Loaded {
        spec: None,
        diagnostics: Vec::new(),
        sources: SourceMap::new(sources, None),
    }
}

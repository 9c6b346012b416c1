//! From text to a tree with positions: YAML 1.2 and JSON, bounded in depth and in what aliases expand to.

mod build;
mod explain;
mod json;
mod scalar;
mod yaml;

use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::path::FieldPath;
use crate::source::Source;
use crate::tree::{Node, Span};

/// How deeply values may be nested.
pub(crate) const MAX_DEPTH: usize = 64;

/// A diagnostic whose place is known as bytes, since the tree it would be found in may not exist.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) diagnostic: Diagnostic,
    pub(crate) span: Span,
}

/// What a text was read as. Without a tree one finding at least is an error.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) root: Option<Node>,
    pub(crate) findings: Vec<Finding>,
}

/// Reads the source that has the given index among the sources of a document.
pub(crate) fn read(source: &Source, index: usize) -> Reading {
    if let Some(reading) = refuse_control_characters(source, index) {
        return reading;
    }
    if is_json_file(&source.name) && !source.text.trim().is_empty() {
        return json::read(&source.text, index);
    }
    if !source.text.trim_start().starts_with(['{', '[']) {
        return yaml::read(&source.text, index);
    }
    // Braces open a JSON document or a YAML flow mapping: what can be read as either decides, JSON first.
    let as_json = json::read(&source.text, index);
    if as_json.root.is_some() {
        return as_json;
    }
    let as_yaml = yaml::read(&source.text, index);
    if as_yaml.root.is_none() && looks_like_json(&source.text) {
        as_json
    } else {
        as_yaml
    }
}

fn is_json_file(name: &str) -> bool {
    std::path::Path::new(name)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

fn looks_like_json(text: &str) -> bool {
    let inner = text
        .trim_start()
        .trim_start_matches(['{', '['])
        .trim_start();
    inner.is_empty() || inner.starts_with(['"', '}', ']', '{', '['])
}

/// Neither format allows these characters anywhere, and a document that has them is hardly text.
fn refuse_control_characters(source: &Source, index: usize) -> Option<Reading> {
    let is_refused = |character: char| character < ' ' && !matches!(character, '\t' | '\n' | '\r');
    let (at, character) = source
        .text
        .char_indices()
        .find(|(_, character)| is_refused(*character))?;
    let message = format!(
        "the document contains the control character U+{:04X}",
        u32::from(character)
    );
    let diagnostic = Diagnostic::error(Code::BinaryDocument, FieldPath::root(), message)
        .help("remove it; in a quoted string it can be written as an escape such as `\\u0007`");
    let span = Span::new(index, at..at + character.len_utf8());
    Some(Reading {
        root: None,
        findings: vec![Finding { diagnostic, span }],
    })
}

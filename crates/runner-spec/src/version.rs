//! `version`: which of the formats a document is written in.

use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::model::Version;
use crate::path::FieldPath;
use crate::tree::{Node, Value};

/// Reads a version; without quotes it is a number, which is accepted as it is written.
pub(crate) fn lower(node: &Node, path: &FieldPath, diagnostics: &mut Vec<Diagnostic>) -> Version {
    let written = match &node.value {
        Value::Text(text) => text.value.trim(),
        Value::Number(number) => number.written.as_str(),
        Value::Null | Value::Boolean(_) | Value::List(_) | Value::Object(_) => {
            let diagnostic =
                Diagnostic::error(Code::WrongType, path.clone(), "`version` takes a version");
            diagnostics.push(diagnostic.help("write `version: \"1.1\"`"));
            return Version::default();
        }
    };
    let parts = written
        .split_once('.')
        .and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)));
    match parts {
        Some((1, 0)) => Version::V1_0,
        Some((1, 1)) => Version::V1_1,
        Some((1, 2)) => Version::V1_2,
        Some((1, _)) => {
            let message = format!("version `{written}` is newer than 1.2, and is read as 1.2");
            diagnostics.push(
                Diagnostic::warning(Code::NewerVersion, path.clone(), message)
                    .help("fields that 1.2 doesn't have are ignored; a newer runner may know them"),
            );
            Version::V1_2
        }
        Some(_) | None => {
            let message = format!("version `{written}` is not supported");
            diagnostics.push(
                Diagnostic::error(Code::UnsupportedVersion, path.clone(), message)
                    .help("write `version: \"1.0\"`, `\"1.1\"` or `\"1.2\"`"),
            );
            Version::default()
        }
    }
}

//! Commands that only look at documents: validate, schema, explain.

use std::fmt::Write as _;

use runner_core::{Error, ErrorKind, Result};
use runner_spec::{Code, has_errors, nearest, render};
use serde_json::json;

use crate::arguments::ValidateArguments;
use crate::document::Document;
use crate::exit_code;
use crate::terminal::Terminal;

/// Checks each file; the exit code says whether any has an error.
pub(crate) fn validate(arguments: &ValidateArguments, terminal: Terminal) -> Result<u8> {
    let mut reports = Vec::new();
    let mut is_valid = true;
    for file in &arguments.files {
        let mut document = Document::read(file, &arguments.overlay, arguments.strict)?;
        document.check_queries();
        let diagnostics = &document.loaded.diagnostics;
        let has_errors = has_errors(diagnostics);
        is_valid &= !has_errors;
        if terminal.json {
            reports.push(json!({ "file": file, "valid": !has_errors, "diagnostics": diagnostics }));
            continue;
        }
        if diagnostics.is_empty() {
            terminal.print(&format!("{}: valid", file.display()))?;
            continue;
        }
        terminal.print(&render(
            diagnostics,
            &document.loaded.sources,
            terminal.render_options(),
        ))?;
        let verdict = if has_errors { "not valid" } else { "valid" };
        terminal.print(&format!("{}: {verdict}", file.display()))?;
    }
    if terminal.json {
        terminal.print_json(&json!({ "valid": is_valid, "files": reports }))?;
    }
    Ok(if is_valid {
        exit_code::SUCCESS
    } else {
        exit_code::of(ErrorKind::Spec)
    })
}

pub(crate) fn schema(terminal: Terminal) -> Result<u8> {
    terminal.print_json(&runner_spec::json_schema())?;
    Ok(exit_code::SUCCESS)
}

/// What `explain` knows beside codes: the operators, functions and casts of portable SQL.
const SQL_TOPIC: &str = "sql";

fn unknown_topic(text: &str) -> Error {
    let wanted = text.trim().to_uppercase();
    // A number alone is that of a code.
    let wanted = if wanted.starts_with(|first: char| first.is_ascii_digit()) {
        format!("UIS{wanted}")
    } else {
        wanted
    };
    let topics = Code::all().iter().map(|code| code.as_str());
    let near = nearest(&wanted, topics.chain([SQL_TOPIC]));
    let list =
        format!("`explain` alone lists the codes, and `explain {SQL_TOPIC}` what portable SQL has");
    Error::new(
        ErrorKind::NotFound,
        format!("there is no diagnostic `{text}`"),
    )
    .with_help(match near {
        Some(near) => format!("did you mean `{near}`? {list}"),
        None => list,
    })
}

/// Explains one code, or lists all of them.
pub(crate) fn explain(code: Option<&str>, terminal: Terminal) -> Result<u8> {
    let Some(text) = code else {
        let mut list = String::new();
        for code in Code::all() {
            // Writing to a string cannot fail.
            let _ = writeln!(list, "{}  {}", code.as_str(), code.title());
        }
        terminal.print(&list)?;
        return Ok(exit_code::SUCCESS);
    };
    if text.eq_ignore_ascii_case(SQL_TOPIC) {
        terminal.print(&runner_sql::portable::reference())?;
        return Ok(exit_code::SUCCESS);
    }
    let code: Code = text.parse().map_err(|_| unknown_topic(text))?;
    terminal.print(&format!(
        "{}: {}\n\n{}",
        code.as_str(),
        code.title(),
        code.explanation()
    ))?;
    Ok(exit_code::SUCCESS)
}

//! Commands that only look at documents: validate, schema, explain.

use std::fmt::Write as _;

use runner_core::{Error, ErrorKind, Result};
use runner_spec::{Code, has_errors, nearest, render};
use serde_json::{Value, json};

use crate::arguments::ValidateArguments;
use crate::document::Document;
use crate::exit_code;
use crate::terminal::{Terminal, failure};

/// Checks each file; the exit code says whether any has an error. A file that can't be opened keeps no other from being checked.
pub(crate) fn validate(arguments: &ValidateArguments, terminal: Terminal) -> Result<u8> {
    let mut reports = Vec::new();
    let mut is_valid = true;
    let mut unreadable = None;
    for file in &arguments.files {
        let mut document = match Document::read(file, &arguments.overlay, arguments.strict) {
            Ok(document) => document,
            Err(error) => {
                if terminal.json {
                    let mut report = failure(&error);
                    report["file"] = json!(file);
                    report["valid"] = json!(false);
                    report["diagnostics"] = json!([]);
                    reports.push(report);
                } else {
                    terminal.error(&error);
                }
                unreadable.get_or_insert(error.kind());
                continue;
            }
        };
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
        let is_valid = is_valid && unreadable.is_none();
        terminal.print_json(&json!({ "valid": is_valid, "files": reports }))?;
    }
    Ok(match unreadable {
        _ if !is_valid => exit_code::of(ErrorKind::Spec),
        Some(kind) => exit_code::of(kind),
        None => exit_code::SUCCESS,
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

fn summary(code: Code) -> Value {
    json!({ "code": code.as_str(), "title": code.title(), "phase": code.phase() })
}

/// Explains one code, or lists all of them.
pub(crate) fn explain(code: Option<&str>, terminal: Terminal) -> Result<u8> {
    let Some(text) = code else {
        if terminal.json {
            let codes: Vec<_> = Code::all().iter().map(|code| summary(*code)).collect();
            terminal.print_json(&json!({ "codes": codes }))?;
            return Ok(exit_code::SUCCESS);
        }
        let mut list = String::new();
        for code in Code::all() {
            // Writing to a string cannot fail.
            let _ = writeln!(list, "{}  {}", code.as_str(), code.title());
        }
        terminal.print(&list)?;
        return Ok(exit_code::SUCCESS);
    };
    if text.eq_ignore_ascii_case(SQL_TOPIC) {
        let reference = runner_sql::portable::reference();
        if terminal.json {
            terminal.print_json(&json!({ "topic": SQL_TOPIC, "explanation": reference }))?;
        } else {
            terminal.print(&reference)?;
        }
        return Ok(exit_code::SUCCESS);
    }
    let code: Code = text.parse().map_err(|_| unknown_topic(text))?;
    if terminal.json {
        let mut explained = summary(code);
        explained["explanation"] = json!(code.explanation());
        terminal.print_json(&explained)?;
        return Ok(exit_code::SUCCESS);
    }
    terminal.print(&format!(
        "{}: {}\n\n{}",
        code.as_str(),
        code.title(),
        code.explanation()
    ))?;
    Ok(exit_code::SUCCESS)
}

//! `info`: every setting with where it came from.

use std::fmt::Write as _;

use runner_core::Result;
use serde_json::{Map, Value, json};

use crate::exit_code;
use crate::settings::{Origin, Settings};
use crate::terminal::Terminal;

pub(crate) fn info(settings: &Settings, terminal: Terminal) -> Result<u8> {
    if terminal.json {
        let mut map = Map::new();
        for (key, value, origin) in &settings.origins {
            map.insert(
                (*key).to_owned(),
                json!({ "value": value, "origin": origin }),
            );
        }
        terminal.print_json(&json!({ "version": env!("CARGO_PKG_VERSION"), "settings": map }))?;
        return Ok(exit_code::SUCCESS);
    }
    let mut text = format!("ingestion-runner {}\n\n", env!("CARGO_PKG_VERSION"));
    for (key, value, origin) in &settings.origins {
        let shown = match value {
            Value::Null => "-".to_owned(),
            Value::String(text) if text.is_empty() => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let origin = match origin {
            Origin::Flag => "flag".to_owned(),
            Origin::Environment(name) => format!("environment {name}"),
            Origin::File(path) => format!("file {}", path.display()),
            Origin::Default => "default".to_owned(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key:<22} {shown:<34} {origin}");
    }
    terminal.print(&text)?;
    Ok(exit_code::SUCCESS)
}

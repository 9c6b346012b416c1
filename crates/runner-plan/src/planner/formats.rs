//! The format of responses and files.

use runner_spec::Code;

use super::context::{Context, flag_setting, wrong_setting};
use super::findings::{Findings, at};
use crate::model::{DataFormat, TextFormat};

const FORMATS: [&str; 6] = ["json", "jsonl", "ndjson", "csv", "tsv", "xml"];

/// `config.format`; absent: by the content type or the file's name.
pub(crate) fn data_format(context: Context<'_>, findings: &mut Findings) -> Option<DataFormat> {
    let text = context.setting_text("format", findings)?;
    let format = match text.trim().to_ascii_lowercase().as_str() {
        "json" => DataFormat::Json,
        "jsonl" | "json_lines" | "jsonlines" | "ndjson" => DataFormat::JsonLines,
        "csv" | "tsv" => DataFormat::Csv,
        "xml" => DataFormat::Xml,
        "parquet" if context.reads_files() => DataFormat::Parquet,
        // Templates may read a setting of this name that has nothing to do with responses.
        other if !context.reads_files() && runner_spec::nearest(other, FORMATS).is_none() => {
            return None;
        }
        _ => {
            findings.error(
                Code::UnsupportedFormat,
                &at::config().key("format"),
                format!("the format `{text}` is not supported"),
                if context.reads_files() {
                    "write `json`, `jsonl`, `csv`, `xml` or `parquet`"
                } else {
                    "write `json`, `jsonl`, `csv` or `xml`"
                },
            );
            return None;
        }
    };
    Some(format)
}

/// `config.csv`, or the same keys in `config` itself.
pub(crate) fn text_format(context: Context<'_>, findings: &mut Findings) -> TextFormat {
    let mut format = TextFormat::default();
    let nested = context
        .setting("csv")
        .and_then(serde_json::Value::as_object);
    let (settings, path) = match nested {
        Some(settings) => (settings, at::config().key("csv")),
        None => (context.config(), at::config()),
    };
    let is_tsv = context
        .setting("format")
        .and_then(serde_json::Value::as_str)
        == Some("tsv");
    if is_tsv {
        format.delimiter = '\t';
    }
    for (name, target) in [
        ("delimiter", &mut format.delimiter),
        ("quote", &mut format.quote),
    ] {
        let Some(value) = settings.get(name).filter(|value| !value.is_null()) else {
            continue;
        };
        match value.as_str().and_then(single_character) {
            Some(character) => *target = character,
            None => wrong_setting(
                &path.key(name),
                name,
                "one ASCII character such as `;` or `\\t`",
                findings,
            ),
        }
    }
    for name in ["has_header", "header"] {
        if let Some(flag) = flag_setting(settings, name, &path, findings) {
            format.has_header = flag;
        }
    }
    for name in ["nulls", "null_values"] {
        if let Some(items) = settings.get(name).and_then(serde_json::Value::as_array) {
            format.nulls = items
                .iter()
                .filter_map(super::context::scalar_text)
                .collect();
        }
    }
    format
}

fn single_character(text: &str) -> Option<char> {
    if text == "\\t" || text.eq_ignore_ascii_case("tab") {
        return Some('\t');
    }
    let mut characters = text.chars();
    let first = characters.next()?;
    (characters.next().is_none() && first.is_ascii()).then_some(first)
}

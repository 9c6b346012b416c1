//! What a body is: by the document's word, by its content type, and by how it begins.

use runner_core::{Error, ErrorKind};
use runner_plan::model::DataFormat;

/// Bytes of a body that are looked at before its decoder is chosen.
pub(super) const HEAD_BYTES: usize = 1024;
/// Characters of a foreign body that an error quotes.
const QUOTED: usize = 200;

/// What to decode a body as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Data(DataFormat),
    /// CSV whose content type says that tabs separate its values.
    TabSeparated,
    /// Nothing at all, where the format allows that: no rows.
    Nothing,
}

/// Decides from the beginning of a body. `declared` is the document's word.
pub(super) fn decide(
    declared: Option<DataFormat>,
    content_type: Option<&str>,
    head: &[u8],
) -> Result<Content, Error> {
    let start = trimmed(head);
    let media = content_type.map(media_type);
    let media = media.as_deref();
    if is_html(media, start) && declared != Some(DataFormat::Xml) {
        return Err(html(start));
    }
    let by_type = media.and_then(by_media_type);
    if start.is_empty() {
        return match declared.map(Content::Data).or(by_type) {
            // A file of lines without lines has no rows.
            Some(Content::Data(DataFormat::JsonLines | DataFormat::Csv) | Content::TabSeparated) => {
                Ok(Content::Nothing)
            }
            _ => Err(Error::new(ErrorKind::SourceData, "the response is empty")
                .with_help("if an empty response means that there are no rows, the API should answer with status 204; `on_status` can say the same of this status")),
        };
    }
    if let Some(declared) = declared {
        let is_tabs = declared == DataFormat::Csv && by_type == Some(Content::TabSeparated);
        return Ok(if is_tabs {
            Content::TabSeparated
        } else {
            Content::Data(declared)
        });
    }
    if let Some(content) = by_type {
        return Ok(content);
    }
    by_beginning(start).map(Content::Data).ok_or_else(|| {
        Error::new(
            ErrorKind::SourceData,
            format!(
                "the response is of no known format (content type `{}`, begins with `{}`)",
                content_type.unwrap_or("none"),
                quote(start, 40)
            ),
        )
        .with_help("say what it is with `config.format`: json, jsonl, csv or xml")
    })
}

/// What a short foreign body says, for an error: a JSON body's message, an HTML page's title, else its text.
pub(super) fn excerpt(body: &[u8]) -> Option<String> {
    let start = trimmed(body);
    if start.is_empty() {
        return None;
    }
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(start) {
        return Some(json_message(&value).unwrap_or_else(|| quote(start, QUOTED)));
    }
    if is_html(None, start) {
        return Some(html_text(start));
    }
    Some(quote(start, QUOTED))
}

/// The message of an error as APIs write it; empty and `null` ones are none.
pub(super) fn json_message(value: &serde_json::Value) -> Option<String> {
    use serde_json::Value;
    const NAMES: [&str; 10] = [
        "message",
        "error_description",
        "detail",
        "error",
        "errors",
        "title",
        "description",
        "reason",
        "msg",
        "code",
    ];
    let message = match value {
        Value::String(text) if !text.trim().is_empty() => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) => {
            let messages: Vec<_> = items.iter().take(3).filter_map(json_message).collect();
            if messages.is_empty() {
                return None;
            }
            messages.join("; ")
        }
        Value::Object(entries) => NAMES
            .iter()
            .find_map(|name| json_message(entries.get(*name)?))?,
        Value::Null | Value::Bool(_) | Value::String(_) => return None,
    };
    Some(shortened(&message, QUOTED))
}

fn media_type(content_type: &str) -> String {
    let media = content_type.split(';').next().unwrap_or_default();
    media.trim().to_ascii_lowercase()
}

fn by_media_type(media: &str) -> Option<Content> {
    let (kind, name) = media.split_once('/')?;
    let name = name.strip_prefix("x-").unwrap_or(name);
    Some(match name {
        "ndjson" | "jsonl" | "jsonlines" | "json-lines" | "json-seq" | "jsonlines+json" => {
            Content::Data(DataFormat::JsonLines)
        }
        "stream+json" => Content::Data(DataFormat::JsonLines),
        "csv" => Content::Data(DataFormat::Csv),
        "tab-separated-values" | "tsv" => Content::TabSeparated,
        "vnd.apache.parquet" | "parquet" => Content::Data(DataFormat::Parquet),
        "xhtml+xml" => return None,
        _ if name == "json" || name.ends_with("+json") => Content::Data(DataFormat::Json),
        _ if (name == "xml" || name.ends_with("+xml")) && kind != "image" => {
            Content::Data(DataFormat::Xml)
        }
        _ => return None,
    })
}

fn by_beginning(start: &[u8]) -> Option<DataFormat> {
    match start.first()? {
        b'{' => {
            // One object a line, where a second one begins on the next line.
            let mut lines = start.split(|byte| *byte == b'\n');
            let first = trimmed(lines.next()?);
            let second = lines.next().map(trimmed).unwrap_or_default();
            let is_whole = first.ends_with(b"}")
                && serde_json::from_slice::<serde::de::IgnoredAny>(first).is_ok();
            Some(if is_whole && second.first() == Some(&b'{') {
                DataFormat::JsonLines
            } else {
                DataFormat::Json
            })
        }
        b'[' => Some(DataFormat::Json),
        b'<' => Some(DataFormat::Xml),
        _ if start.starts_with(b"PAR1") => Some(DataFormat::Parquet),
        _ => {
            let line = start.split(|byte| *byte == b'\n').next()?;
            let is_text = std::str::from_utf8(line).is_ok_and(|line| !line.contains('\0'));
            (is_text && line.contains(&b',')).then_some(DataFormat::Csv)
        }
    }
}

fn is_html(media: Option<&str>, start: &[u8]) -> bool {
    let says_html = matches!(media, Some("text/html" | "application/xhtml+xml"));
    let beginning: Vec<u8> = start.iter().take(15).map(u8::to_ascii_lowercase).collect();
    beginning.starts_with(b"<!doctype html")
        || beginning.starts_with(b"<html")
        || (says_html && start.first() == Some(&b'<'))
}

fn html(start: &[u8]) -> Error {
    Error::new(
        ErrorKind::SourceData,
        format!(
            "the response is an HTML page and not data: `{}`",
            html_text(start)
        ),
    )
    .with_help("check the URL and the credentials: it may be a login page, or the page of a proxy")
}

/// The title of a page, else its first words.
fn html_text(start: &[u8]) -> String {
    let text = String::from_utf8_lossy(start);
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|tag| {
        let from = tag + lower[tag..].find('>')? + 1;
        let to = lower[from..]
            .find("</title")
            .map_or(text.len(), |end| from + end);
        let title = collapsed(&text[from..to]);
        (!title.is_empty()).then_some(title)
    });
    let words = title.unwrap_or_else(|| {
        let mut words = String::new();
        let mut in_tag = false;
        for character in text.chars() {
            match character {
                '<' => in_tag = true,
                '>' => {
                    in_tag = false;
                    words.push(' ');
                }
                _ if !in_tag => words.push(character),
                _ => {}
            }
        }
        collapsed(&words)
    });
    shortened(&words, QUOTED)
}

fn quote(bytes: &[u8], most: usize) -> String {
    // Four bytes a character at most: the rest is not looked at.
    let bytes = bytes.get(..most * 4).unwrap_or(bytes);
    shortened(&collapsed(&String::from_utf8_lossy(bytes)), most)
}

/// Runs of white space and control characters as one blank.
fn collapsed(text: &str) -> String {
    text.split(|character: char| character.is_whitespace() || character.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(bytes)
        .trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_word_type_and_beginning() {
        use DataFormat::{Csv, Json, JsonLines, Xml};
        let cases: [(Option<DataFormat>, Option<&str>, &str, Content); 19] = [
            (None, Some("application/json"), "[]", Content::Data(Json)),
            (
                None,
                Some("application/json; charset=utf-8"),
                " {}",
                Content::Data(Json),
            ),
            (
                None,
                Some("application/vnd.api+json"),
                "{}",
                Content::Data(Json),
            ),
            (
                None,
                Some("application/x-ndjson"),
                "{}",
                Content::Data(JsonLines),
            ),
            (None, Some("application/x-ndjson"), "", Content::Nothing),
            (None, Some("text/csv"), "a,b", Content::Data(Csv)),
            (None, Some("text/csv"), "", Content::Nothing),
            (
                None,
                Some("text/tab-separated-values"),
                "a\tb",
                Content::TabSeparated,
            ),
            (
                None,
                Some("application/atom+xml"),
                "<feed/>",
                Content::Data(Xml),
            ),
            (None, None, "\u{feff}[1]", Content::Data(Json)),
            (
                None,
                Some("text/plain"),
                "{\"a\":1}\n{\"a\":2}\n",
                Content::Data(JsonLines),
            ),
            (
                None,
                Some("application/octet-stream"),
                "{\"a\":1}\n",
                Content::Data(Json),
            ),
            (None, None, "{\n\"a\":1}", Content::Data(Json)),
            (None, None, "<rows/>", Content::Data(Xml)),
            (None, None, "a,b\n1,2", Content::Data(Csv)),
            (Some(Csv), Some("application/json"), "a", Content::Data(Csv)),
            (
                Some(Csv),
                Some("text/tab-separated-values"),
                "a",
                Content::TabSeparated,
            ),
            (Some(Xml), Some("text/html"), "<html/>", Content::Data(Xml)),
            (Some(JsonLines), None, "", Content::Nothing),
        ];
        for (declared, content_type, head, expected) in cases {
            assert_eq!(
                decide(declared, content_type, head.as_bytes()).unwrap(),
                expected,
                "{declared:?} {content_type:?} {head}"
            );
        }
    }

    #[test]
    fn what_is_no_data_is_one_clear_error() {
        let page = "<!DOCTYPE html><html><head><title>\n Sign in </title></head><body>x</body>";
        let cases: [(Option<DataFormat>, Option<&str>, &str, &str); 6] = [
            (
                None,
                Some("text/html"),
                page,
                "an HTML page and not data: `Sign in`",
            ),
            (
                Some(DataFormat::Json),
                Some("application/json"),
                page,
                "`Sign in`",
            ),
            (
                Some(DataFormat::Json),
                None,
                "<html><body>Bad <b>gateway</b></body></html>",
                "`Bad gateway`",
            ),
            (
                None,
                Some("application/json"),
                " \n",
                "the response is empty",
            ),
            (None, None, "", "the response is empty"),
            (
                None,
                Some("image/png"),
                "\u{1}\u{2}",
                "no known format (content type `image/png`",
            ),
        ];
        for (declared, content_type, head, expected) in cases {
            let error = decide(declared, content_type, head.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::SourceData);
            assert!(error.message().contains(expected), "{error}");
            assert!(error.help().is_some());
        }
    }

    #[test]
    fn excerpts_give_what_the_server_says() {
        for (body, expected) in [
            (
                r#"{"error": {"message": "bad key", "code": 7}}"#,
                Some("bad key"),
            ),
            (
                r#"{"errors": [{"message": "a"}, {"message": "b"}]}"#,
                Some("a; b"),
            ),
            (
                r#"{"error": "invalid_grant", "error_description": "used up"}"#,
                Some("used up"),
            ),
            (
                r#"{"status": "ERROR", "x": 1}"#,
                Some(r#"{"status": "ERROR", "x": 1}"#),
            ),
            (
                "<html><title>502 Bad Gateway</title></html>",
                Some("502 Bad Gateway"),
            ),
            ("slow\n  down", Some("slow down")),
            ("  ", None),
        ] {
            assert_eq!(excerpt(body.as_bytes()).as_deref(), expected, "{body}");
        }
        let long = "x".repeat(5_000);
        assert_eq!(
            excerpt(long.as_bytes()).unwrap().chars().count(),
            QUOTED + 1
        );
    }
}

//! Pieces that requests are made of: headers, parameters, bodies, and what people see of a URL.

use http::{HeaderName, HeaderValue, Method};
use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::{DataFormat, PageKind};
use serde_json::Value;
use url::Url;

use super::super::origin::is_credential_name;
use crate::scrub::Scrubber;

/// A URL without secrets, known ones and those that a parameter's name gives away.
pub(in crate::http) fn describe_url(url: &Url, scrubber: &Scrubber) -> String {
    let mut shown = url.clone();
    // Neither call fails for an HTTP URL.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    let mut text = scrubber.hide(shown.as_str()).into_owned();
    if let Some(query) = url.query() {
        let pairs: Vec<String> = query
            .split('&')
            .map(|pair| match pair.split_once('=') {
                Some((name, value)) if is_credential_name(name) => {
                    let hidden = scrubber.hide(value);
                    format!("{name}={}", if hidden == value { "***" } else { &*hidden })
                }
                _ => scrubber.hide(pair).into_owned(),
            })
            .collect();
        text.push('?');
        text.push_str(&pairs.join("&"));
    }
    text
}

pub(in crate::http) fn header_name(name: &str) -> Result<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        Error::new(
            ErrorKind::Spec,
            format!("`{name}` is not the name of a header"),
        )
        .with_help("use letters, digits and `-`")
    })
}

pub(in crate::http) fn header_value(
    name: &HeaderName,
    text: &str,
    is_secret: bool,
) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_bytes(text.trim().as_bytes()).map_err(|_| {
        // The value itself may be a secret.
        Error::new(
            ErrorKind::Spec,
            format!("the value of the header `{name}` holds a character that no header may have"),
        )
        .with_help("take line breaks and control characters out of it")
    })?;
    value.set_sensitive(is_secret);
    Ok(value)
}

/// Sets a parameter, in place of all of that name.
pub(in crate::http) fn set_query(url: &mut Url, name: &str, value: &str) {
    if url.query_pairs().any(|(known, _)| known == name) {
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(known, _)| known != name)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        url.set_query(None);
        url.query_pairs_mut().extend_pairs(kept);
    }
    url.query_pairs_mut().append_pair(name, value);
}

pub(super) fn method(text: &str) -> Result<Method> {
    Method::from_bytes(text.trim().to_ascii_uppercase().as_bytes()).map_err(|_| {
        Error::new(ErrorKind::Spec, format!("`{text}` is not an HTTP method"))
            .with_help("write `GET` or `POST`")
    })
}

pub(super) fn size_parameter(kind: &PageKind) -> Option<&str> {
    match kind {
        PageKind::None => None,
        PageKind::Offset { limit_param, .. } => limit_param.as_deref(),
        PageKind::Page { size_param, .. }
        | PageKind::Cursor { size_param, .. }
        | PageKind::LinkHeader { size_param }
        | PageKind::NextUrl { size_param, .. } => size_param.as_deref(),
    }
}

pub(super) fn query_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Sets an entry of the object under these keys, which are made where they are missing.
pub(super) fn insert(
    body: &mut Value,
    keys: &[String],
    name: &str,
    parameter: Value,
) -> Result<()> {
    let mut object = body;
    for key in keys {
        object = match object {
            Value::Object(entries) => entries
                .entry(key.as_str())
                .or_insert_with(|| Value::Object(serde_json::Map::new())),
            _ => return Err(not_an_object()),
        };
    }
    match object {
        Value::Object(entries) => {
            entries.insert(name.to_owned(), parameter);
            Ok(())
        }
        _ => Err(not_an_object()),
    }
}

fn not_an_object() -> Error {
    Error::new(
        ErrorKind::Spec,
        "the body is not a JSON object, and the page's parameters go into it",
    )
    .with_help("write `body_template` as an object")
}

pub(super) fn content_type(body: &[u8]) -> HeaderValue {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        HeaderValue::from_static("application/json")
    } else if text.starts_with('<') {
        HeaderValue::from_static("application/xml")
    } else if text.contains('=') && !text.contains(char::is_whitespace) {
        HeaderValue::from_static("application/x-www-form-urlencoded")
    } else {
        HeaderValue::from_static("text/plain; charset=utf-8")
    }
}

pub(super) fn accept(format: Option<DataFormat>) -> HeaderValue {
    HeaderValue::from_static(match format {
        Some(DataFormat::Json) => "application/json, */*;q=0.5",
        Some(DataFormat::JsonLines) => "application/x-ndjson, application/jsonl, */*;q=0.5",
        Some(DataFormat::Csv) => "text/csv, */*;q=0.5",
        Some(DataFormat::Xml) => "application/xml, text/xml, */*;q=0.5",
        Some(DataFormat::Parquet) => "*/*",
        None => {
            "application/json, application/x-ndjson;q=0.9, text/csv;q=0.8, application/xml;q=0.7, */*;q=0.5"
        }
    })
}

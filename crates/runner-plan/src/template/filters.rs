//! Filters beside those of the template language itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind};
use sha2::{Digest, Sha256};

use super::{dates, json};

/// Names of every filter that a template may use, sorted.
pub const FILTERS: &[&str] = &[
    "abs",
    "add_days",
    "attr",
    "b64decode",
    "b64encode",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "count",
    "d",
    "date",
    "date_format",
    "dateformat",
    "datetimeformat",
    "default",
    "dictsort",
    "e",
    "epoch",
    "epoch_ms",
    "escape",
    "first",
    "float",
    "format",
    "format_date",
    "groupby",
    "indent",
    "int",
    "iso",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "sha256",
    "slice",
    "sort",
    "split",
    "strftime",
    "string",
    "sum",
    "timestamp",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "urlencode",
    "zip",
];

pub(super) fn add_to(environment: &mut Environment<'static>) {
    for name in [
        "date",
        "date_format",
        "dateformat",
        "datetimeformat",
        "format_date",
        "strftime",
    ] {
        environment.add_filter(name, dates::date_format);
    }
    environment.add_filter("epoch", dates::epoch);
    environment.add_filter("timestamp", dates::epoch);
    environment.add_filter("epoch_ms", dates::epoch_ms);
    environment.add_filter("iso", dates::iso);
    environment.add_filter("add_days", dates::add_days);
    environment.add_filter("b64encode", base64_encode);
    environment.add_filter("b64decode", base64_decode);
    environment.add_filter("sha256", sha256);
    environment.add_filter("tojson", to_json);
}

fn base64_encode(value: &Value) -> String {
    STANDARD.encode(value.to_string())
}

fn base64_decode(value: &str) -> Result<String, Error> {
    STANDARD
        .decode(value)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOperation,
                "the value is not base64 of a text",
            )
        })
}

/// Plain JSON: the template language's own filter escapes for HTML.
fn to_json(value: &Value) -> Result<String, Error> {
    Ok(json::from_value(value)?.to_string())
}

fn sha256(value: &Value) -> String {
    hex::encode(Sha256::digest(value.to_string()))
}

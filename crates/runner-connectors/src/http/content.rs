//! Responses that succeed by their status and say something else in their body.

use std::collections::BTreeMap;

use runner_core::checkpoint::{Observed, Warning};
use runner_core::{Error, ErrorKind};
use runner_plan::model::{RowPath, RowPathStep};
use serde_json::Value;

use super::failure::{Failure, Recovery};
use super::rate_limit::ServerLimits;
use super::retry::rate_limited;
use super::sniff::json_message;
use crate::decode::{PageSummary, row_path_text};

/// What a page's body is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged<'a> {
    pub(super) summary: &'a PageSummary,
    /// What stands at `errors`, see [`errors_path`].
    pub(super) errors: Option<&'a Value>,
    pub(super) path: &'a RowPath,
    /// GraphQL states errors beside what data it has: rows may be missing then.
    pub(super) is_graphql: bool,
    pub(super) total: Option<u64>,
    pub(super) sent_at: std::time::Duration,
}

/// Where GraphQL, and many other APIs, put a list of errors; none where that lies within the rows, or would make a decoder read the
/// whole document because it can't know.
pub(super) fn errors_path(rows: &RowPath) -> Option<RowPath> {
    const NAME: &str = "errors";
    let stands_beside_rows = match rows {
        RowPath::Query(_) => true,
        RowPath::Steps(steps) => {
            matches!(steps.first(), Some(RowPathStep::Name(name)) if name != NAME)
        }
    };
    stands_beside_rows.then(|| RowPath::Steps(vec![RowPathStep::Name(NAME.to_owned())]))
}

/// Names under which an envelope says what went wrong, by dotted path.
const MESSAGES: [&str; 14] = [
    "error.message",
    "error.detail",
    "error.description",
    "error.info",
    "error_description",
    "error_message",
    "errorMessage",
    "error",
    "message",
    "detail",
    "fault.faultstring",
    "title",
    "msg",
    "reason",
];

/// Codes with which GraphQL servers say that too much was asked of them.
const THROTTLED: [&str; 4] = [
    "RATE_LIMITED",
    "THROTTLED",
    "TOO_MANY_REQUESTS",
    "MAX_COST_EXCEEDED",
];
const UNAUTHENTICATED: [&str; 3] = ["UNAUTHENTICATED", "UNAUTHORIZED", "FORBIDDEN"];

/// Whether the body is a page; a page without rows may lack the place where they would stand, if it says that there are none.
pub(super) fn judge(judged: Judged<'_>) -> Result<(), Failure> {
    let errors = judged.errors.filter(|errors| is_error(errors));
    if judged.is_graphql
        && let Some(errors) = errors
    {
        return Err(graphql_failure(errors, judged.sent_at));
    }
    if judged.summary.rows_found {
        return found(&judged, errors);
    }
    let envelope = &judged.summary.envelope;
    let message = errors
        .and_then(json_message)
        .or_else(|| error_message(envelope));
    if message.is_none() && says_empty(envelope, judged.total) {
        return Ok(());
    }
    let path = row_path_text(judged.path);
    Err(match message {
        Some(message) => Error::new(
            ErrorKind::SourceData,
            format!("the API answered with an error in a successful response: {message}"),
        )
        .with_context("missing", path)
        .with_help("check the parameters and the credentials of the request"),
        None => Error::new(
            ErrorKind::SourceData,
            format!("the response has nothing at `{path}`"),
        )
        .with_context(
            "found",
            judged
                .summary
                .instead
                .clone()
                .unwrap_or_else(|| names(envelope)),
        )
        .with_help("check `response_path`"),
    }
    .into())
}

/// A page whose rows are where they should be may still be an error: of a document that is its only row, or of a list that errors
/// beside it left empty.
fn found(judged: &Judged<'_>, errors: Option<&Value>) -> Result<(), Failure> {
    let summary = judged.summary;
    let message = if summary.is_document {
        only_errors(&summary.observed)
    } else if summary.rows == 0 {
        errors.map(|errors| json_message(errors).unwrap_or_else(|| "no message".to_owned()))
    } else {
        None
    };
    message.map_or(Ok(()), |message| {
        Err(Error::new(
            ErrorKind::SourceData,
            format!("the API answered with an error in a successful response: {message}"),
        )
        .with_help(
            "check the parameters and the credentials of the request; where such an answer is data, `response_path` can name it",
        )
        .into())
    })
}

/// What a document says of errors, if it speaks of nothing else.
fn only_errors(document: &Observed) -> Option<String> {
    const ERRORS: [&str; 8] = [
        "error",
        "errors",
        "error_message",
        "errormessage",
        "error_description",
        "exception",
        "fault",
        "faults",
    ];
    const BESIDE: [&str; 25] = [
        "code",
        "detail",
        "details",
        "documentation_url",
        "error_code",
        "errorcode",
        "instance",
        "message",
        "meta",
        "msg",
        "ok",
        "path",
        "reason",
        "request_id",
        "requestid",
        "status",
        "status_code",
        "statuscode",
        "success",
        "timestamp",
        "title",
        "trace",
        "trace_id",
        "traceid",
        "type",
    ];
    let mut stated = Vec::new();
    for (name, seen) in &document.fields {
        let top = name
            .split(['.', '['])
            .next()
            .unwrap_or(name)
            .to_ascii_lowercase();
        let is_null = seen.types.is_empty();
        if ERRORS.contains(&top.as_str()) && !is_null {
            stated.push(format!("`{name}`"));
        } else if !is_null && !BESIDE.contains(&top.as_str()) {
            return None;
        }
    }
    (!stated.is_empty()).then(|| format!("it has nothing but {}", stated.join(", ")))
}

/// Errors beside rows: the rows are there, and some may not be.
pub(super) fn warning(
    stream: &str,
    summary: &PageSummary,
    errors: Option<&Value>,
) -> Option<Warning> {
    let errors = errors.filter(|errors| is_error(errors))?;
    (summary.rows > 0).then(|| Warning {
        code: "errors_beside_rows".to_owned(),
        stream: Some(stream.to_owned()),
        message: format!(
            "the API states errors beside the rows, some of which may be missing: {}",
            json_message(errors).unwrap_or_else(|| "no message".to_owned())
        ),
    })
}

fn graphql_failure(errors: &Value, sent_at: std::time::Duration) -> Failure {
    let message = json_message(errors).unwrap_or_else(|| "no message".to_owned());
    let has_code = |codes: &[&str]| {
        let items = errors.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().any(|item| {
            [item.get("type"), item.pointer("/extensions/code")]
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .any(|code| codes.iter().any(|known| known.eq_ignore_ascii_case(code)))
        })
    };
    if has_code(&THROTTLED) {
        return Failure {
            error: rate_limited(200).with_context("reason", message),
            recovery: Recovery::Wait {
                pause: None,
                limits: ServerLimits::default(),
                sent_at,
            },
        };
    }
    let kind = if has_code(&UNAUTHENTICATED) {
        ErrorKind::Auth
    } else {
        ErrorKind::SourceData
    };
    Error::new(
        kind,
        format!("the GraphQL server answered with errors: {message}"),
    )
    .with_help(
        "check the query in `body_template`, its variables, and what the credentials may read",
    )
    .into()
}

fn is_error(errors: &Value) -> bool {
    match errors {
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn error_message(envelope: &BTreeMap<String, Value>) -> Option<String> {
    let stated = MESSAGES
        .iter()
        .find_map(|name| json_message(envelope.get(*name)?));
    if stated.is_some() {
        return stated;
    }
    // `{"status": "ERROR"}`, `{"success": false}`: an error without a word of why.
    let status = ["status", "Status", "result", "code"]
        .iter()
        .find_map(|name| {
            let text = envelope.get(*name)?.as_str()?;
            let lower = text.to_ascii_lowercase();
            [
                "error",
                "fail",
                "denied",
                "not_authorized",
                "unauthorized",
                "forbidden",
                "invalid",
            ]
            .iter()
            .any(|word| lower.contains(word))
            .then(|| format!("{name} `{text}`"))
        });
    status.or_else(|| {
        ["success", "ok"]
            .iter()
            .find(|name| envelope.get(**name) == Some(&Value::Bool(false)))
            .map(|name| format!("{name} is false"))
    })
}

/// Whether the envelope counts, and counts nothing: some APIs leave the list out then.
fn says_empty(envelope: &BTreeMap<String, Value>, total: Option<u64>) -> bool {
    let mut counts = envelope.iter().filter_map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        (name.ends_with("count") || name.ends_with("total")).then(|| value.as_u64())?
    });
    if let Some(total) = total {
        return total == 0;
    }
    let first = counts.next();
    first == Some(0) && counts.all(|count| count == 0)
}

fn names(envelope: &BTreeMap<String, Value>) -> String {
    const SHOWN: usize = 12;
    if envelope.is_empty() {
        return "nothing".to_owned();
    }
    let mut names: Vec<&str> = envelope.keys().take(SHOWN).map(String::as_str).collect();
    if envelope.len() > SHOWN {
        names.push("…");
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(
        envelope: &Value,
        errors: &Value,
        rows_found: bool,
        is_graphql: bool,
    ) -> Result<(), Failure> {
        let summary = PageSummary {
            rows_found,
            rows: u64::from(rows_found),
            envelope: envelope
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            ..PageSummary::default()
        };
        judge(Judged {
            summary: &summary,
            errors: Some(errors).filter(|errors| !errors.is_null()),
            path: &RowPath::Steps(vec![RowPathStep::Name("results".to_owned())]),
            is_graphql,
            total: None,
            sent_at: std::time::Duration::ZERO,
        })
    }

    #[test]
    fn an_error_in_a_successful_response_is_one_with_the_apis_own_words() {
        for (envelope, errors, expected) in [
            (
                json!({"error": "Unknown API Key", "status": "ERROR"}),
                json!(null),
                "Unknown API Key",
            ),
            (
                json!({"error.message": "no such list", "error.code": 9}),
                json!(null),
                "no such list",
            ),
            (json!({"status": "ERROR"}), json!(null), "status `ERROR`"),
            (json!({"success": false}), json!(null), "success is false"),
            (json!({}), json!([{"message": "boom"}]), "boom"),
            (
                json!({"status": "OK", "next": null}),
                json!(null),
                "nothing at `$.results`",
            ),
        ] {
            let failure = verdict(&envelope, &errors, false, false).unwrap_err();
            assert_eq!(failure.error.kind(), ErrorKind::SourceData);
            assert_eq!(failure.recovery, Recovery::Nothing);
            assert!(
                failure.error.message().contains(expected),
                "{}",
                failure.error
            );
        }
    }

    #[test]
    fn an_envelope_that_counts_nothing_is_an_empty_page() {
        for envelope in [
            json!({"resultsCount": 0, "queryCount": 0, "status": "OK"}),
            json!({"total": 0}),
        ] {
            verdict(&envelope, &json!(null), false, false).unwrap();
        }
        for envelope in [
            json!({"count": 3}),
            json!({"count": 0, "total": 9}),
            json!({"count": 0, "error": "boom"}),
        ] {
            verdict(&envelope, &json!(null), false, false).unwrap_err();
        }
    }

    #[test]
    fn graphql_errors_count_even_beside_rows() {
        let errors = json!([{"message": "field x"}]);
        verdict(&json!({}), &errors, true, false).unwrap();
        let failure = verdict(&json!({}), &errors, true, true).unwrap_err();
        assert!(failure.error.message().contains("field x"));
        let throttled = json!([{"message": "slow", "extensions": {"code": "THROTTLED"}}]);
        let failure = verdict(&json!({}), &throttled, false, true).unwrap_err();
        assert!(matches!(failure.recovery, Recovery::Wait { .. }));
        let unknown = json!([{"message": "who", "extensions": {"code": "UNAUTHENTICATED"}}]);
        let failure = verdict(&json!({}), &unknown, false, true).unwrap_err();
        assert_eq!(failure.error.kind(), ErrorKind::Auth);
        verdict(&json!({}), &json!([]), true, true).unwrap();
    }
}

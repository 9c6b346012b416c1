//! One response: the page that was asked for, wrapped as the document says.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc};
use runner_spec::model::{AuthKind, KeyLocation, PaginationKind};
use serde_json::{Map, Value, json};

use super::pages::{next_url, page, token};
use super::rows::{Chain, row};
use super::shape::EndpointShape;
use super::{Asked, Volume};

/// Days of data that there are where no window says otherwise.
const DAYS: i64 = 30;

#[expect(
    clippy::too_many_lines,
    reason = "one arm a kind of pagination: the list is what a reader looks for"
)]
pub(crate) fn answer(
    endpoint: &EndpointShape,
    asked: &Asked<'_>,
    volume: Volume,
    now: DateTime<Utc>,
) -> Response {
    let rows = if endpoint.is_parent {
        volume.parents
    } else {
        volume.rows
    };
    let (chain, first, last) = chain(endpoint, asked, volume.seed, rows, now);
    let total = last - first;
    let page = page(&endpoint.pagination, asked, total);
    let rows: Vec<_> = (page.from..page.to)
        .map(|number| row(endpoint, &chain, first + number))
        .collect();
    let key = match &endpoint.auth {
        AuthKind::ApiKey {
            name,
            location: KeyLocation::Query,
            ..
        } => Some(name.as_str()),
        _ => None,
    };
    let url = page
        .next
        .map(|position| next_url(asked, &endpoint.pagination, position, key));
    let mut body = wrapped(&endpoint.response_path, Value::Array(rows));
    let pagination = &endpoint.pagination;
    match pagination.kind {
        PaginationKind::Cursor => {
            if let Some(path) = &pagination.cursor_path {
                set(
                    &mut body,
                    path,
                    page.next
                        .map_or(Value::Null, |position| json!(token(position))),
                );
            } else if let (None, Some(_)) = (&pagination.next_url_path, &pagination.cursor_param) {
                set(
                    &mut body,
                    "next_cursor",
                    page.next
                        .map_or(Value::Null, |position| json!(token(position))),
                );
            } else if let Some(url) = &url {
                set(
                    &mut body,
                    pagination.next_url_path.as_deref().unwrap_or("next_url"),
                    json!(url),
                );
            }
        }
        PaginationKind::NextUrl => {
            if let Some(url) = &url {
                set(
                    &mut body,
                    pagination.next_url_path.as_deref().unwrap_or("next"),
                    json!(url),
                );
            }
        }
        PaginationKind::None
        | PaginationKind::Offset
        | PaginationKind::Page
        | PaginationKind::LinkHeader => {}
    }
    if let Some(path) = &pagination.total_path {
        set(&mut body, path, json!(total));
    }
    let mut response = axum::Json(body).into_response();
    if pagination.kind == PaginationKind::LinkHeader
        && let Some(Ok(link)) = url.map(|url| format!("<{url}>; rel=\"next\"").parse())
    {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// The chain's rows: spread evenly over the window that the request names, or over the last days.
fn chain<'a>(
    endpoint: &EndpointShape,
    asked: &'a Asked<'_>,
    seed: u64,
    rows: u64,
    now: DateTime<Utc>,
) -> (Chain<'a>, u64, u64) {
    let named = |names: &[&str]| {
        asked
            .variables
            .iter()
            .find(|(name, _)| names.contains(&name.as_str()))
            .and_then(|(_, value)| instant(value, now))
    };
    let parameter = |name: &Option<String>| {
        name.as_ref()
            .and_then(|name| asked.parameter(name))
            .and_then(|text| instant(&text, now))
    };
    let midnight = now.date_naive().and_time(NaiveTime::MIN).and_utc();
    let from =
        named(&["from_date", "start_date", "since"]).unwrap_or(midnight - Duration::days(DAYS));
    let to = named(&["to_date", "end_date", "until"])
        .unwrap_or(midnight)
        .max(from + Duration::days(1));
    let count = i32::try_from(rows.max(1)).unwrap_or(i32::MAX);
    let chain = Chain {
        seed: seed ^ hash(asked),
        variables: &asked.variables,
        from,
        step: (to - from) / count,
    };
    // A parameter of an incremental stream cuts the same rows that a run without it would see.
    let index = |at: DateTime<Utc>| {
        let passed = (at - from).num_milliseconds().max(0);
        let step = chain.step.num_milliseconds().max(1);
        u64::try_from((passed + step - 1) / step)
            .unwrap_or(0)
            .min(rows)
    };
    let first = parameter(&endpoint.from_param).map_or(0, index);
    let last = parameter(&endpoint.to_param).map_or(rows, index).max(first);
    (chain, first, last)
}

/// A date, a date-time or an epoch of seconds or milliseconds.
fn instant(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    const MILLISECONDS_FROM: i64 = 100_000_000_000;
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.to_utc());
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(date.and_time(NaiveTime::MIN).and_utc());
    }
    let number: i64 = text.parse().ok()?;
    let at = if number >= MILLISECONDS_FROM {
        DateTime::from_timestamp_millis(number)
    } else {
        DateTime::from_timestamp(number, 0)
    };
    at.filter(|at| *at < now + Duration::days(3650))
}

/// Chains differ by the values of their path.
fn hash(asked: &Asked<'_>) -> u64 {
    asked
        .variables
        .iter()
        .flat_map(|(_, value)| value.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

/// The rows where the document looks for them (`$.data.items[*]`, `$`).
fn wrapped(path: &str, rows: Value) -> Value {
    let path = path
        .trim_start_matches('$')
        .trim_start_matches('.')
        .trim_end_matches("[*]");
    if path.is_empty() {
        return rows;
    }
    let mut body = Value::Object(Map::new());
    set(&mut body, path, rows);
    body
}

fn set(body: &mut Value, path: &str, value: Value) {
    let mut target = body;
    let mut steps = path.trim_start_matches("$.").split('.').peekable();
    while let Some(step) = steps.next() {
        let Value::Object(object) = target else {
            return;
        };
        if steps.peek().is_none() {
            object.insert(step.to_owned(), value);
            return;
        }
        target = object
            .entry(step)
            .or_insert_with(|| Value::Object(Map::new()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_where_the_document_looks_for_them() {
        assert_eq!(
            wrapped("$.data.items[*]", json!([1])),
            json!({ "data": { "items": [1] } })
        );
        assert_eq!(wrapped("$", json!([1])), json!([1]));
        assert_eq!(wrapped("$[*]", json!([1])), json!([1]));
    }
}

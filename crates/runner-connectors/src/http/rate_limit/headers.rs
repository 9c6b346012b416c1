//! What a server says about its limits: `Retry-After` (RFC 9110), `RateLimit` and `RateLimit-Policy` (the IETF drafts, old form
//! and new), and the `X-RateLimit-*` family, whose reset is an epoch, a number of seconds or a date.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;

/// A longer pause is not believed: units have been mistaken for one another.
const LONGEST: Duration = Duration::from_hours(7 * 24);

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ServerLimits {
    /// When to ask again.
    pub(crate) retry_after: Option<Duration>,
    /// No request is left until then.
    pub(crate) exhausted_for: Option<Duration>,
    /// The rate of the server's stated policy.
    pub(crate) policy_per_second: Option<f64>,
}

impl ServerLimits {
    pub(crate) fn read(headers: &HeaderMap, now: DateTime<Utc>) -> Self {
        // Dates are the server's: they are compared with its own clock where it tells it.
        let now = text(headers, &["date"]).and_then(parse_date).unwrap_or(now);
        let retry_after =
            text(headers, &["retry-after", "x-retry-after"]).and_then(|value| pause(value, now));
        let (remaining, reset) = match text(headers, &["ratelimit"]) {
            Some(field) => (
                parameter(field, &["r", "remaining"]),
                parameter(field, &["t", "reset"]).and_then(|value| pause(value, now)),
            ),
            None => (
                text(
                    headers,
                    &[
                        "ratelimit-remaining",
                        "x-ratelimit-remaining",
                        "x-rate-limit-remaining",
                    ],
                ),
                text(
                    headers,
                    &[
                        "x-ratelimit-reset-after",
                        "ratelimit-reset",
                        "x-ratelimit-reset",
                        "x-rate-limit-reset",
                    ],
                )
                .and_then(|value| pause(value, now)),
            ),
        };
        let is_exhausted = remaining
            .and_then(|value| value.parse::<f64>().ok())
            .is_some_and(|left| left < 1.0);
        Self {
            retry_after,
            exhausted_for: reset.filter(|_| is_exhausted),
            policy_per_second: text(headers, &["ratelimit-policy"]).and_then(policy),
        }
    }
}

fn text<'headers>(headers: &'headers HeaderMap, names: &[&str]) -> Option<&'headers str> {
    names
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok())
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

/// A parameter of the first item: `"default";r=50;t=30`, or `limit=100, remaining=50, reset=30`.
fn parameter<'field>(field: &'field str, names: &[&str]) -> Option<&'field str> {
    field.split([';', ',']).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        names
            .contains(&name.trim())
            .then(|| value.trim().trim_matches('"'))
    })
}

/// The tightest of the stated policies, in requests per second: `"burst";q=100;w=60, "daily";q=1000;w=86400`, or `100;w=60`.
fn policy(field: &str) -> Option<f64> {
    field
        .split(',')
        .filter_map(|item| {
            let quota =
                parameter(item, &["q"]).or_else(|| item.split(';').next().map(str::trim))?;
            let window = parameter(item, &["w"])?;
            let rate = quota.parse::<f64>().ok()? / window.parse::<f64>().ok()?;
            (rate.is_finite() && rate > 0.0).then_some(rate)
        })
        .reduce(f64::min)
}

/// Seconds, an epoch (in seconds or milliseconds) or a date, as the time from now on.
fn pause(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    /// Ten years of seconds: a larger number is an epoch and not a span.
    const SPAN_END: f64 = 315_360_000.0;
    const EPOCH_MILLIS_FROM: f64 = 100_000_000_000.0;
    let seconds = match value.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => {
            #[expect(
                clippy::cast_precision_loss,
                reason = "to the millisecond until the year 200,000"
            )]
            let now = now.timestamp_millis() as f64 / 1000.0;
            if number >= EPOCH_MILLIS_FROM {
                number / 1000.0 - now
            } else if number >= SPAN_END {
                number - now
            } else {
                number
            }
        }
        Ok(_) => return None,
        Err(_) => {
            let left: TimeDelta = parse_date(value)? - now;
            #[expect(
                clippy::cast_precision_loss,
                reason = "to the millisecond for any span that is believed"
            )]
            let seconds = left.num_milliseconds() as f64 / 1000.0;
            seconds
        }
    };
    let pause = Duration::try_from_secs_f64(seconds.max(0.0)).ok()?;
    (pause <= LONGEST).then_some(pause)
}

fn parse_date(value: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(value)
        .or_else(|_| DateTime::parse_from_rfc3339(value))
        .ok()
        .map(|date| date.to_utc())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    type Headers = &'static [(&'static str, &'static str)];

    fn read(headers: &[(&str, &str)]) -> ServerLimits {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let headers = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect();
        ServerLimits::read(&headers, now)
    }

    #[test]
    fn both_forms_of_retry_after_are_read() {
        let cases: [(Headers, Option<u64>); 9] = [
            (&[("Retry-After", "120")], Some(120_000)),
            (&[("Retry-After", "1.5")], Some(1_500)),
            (
                &[("Retry-After", "Tue, 14 Nov 2023 22:15:20 GMT")],
                Some(120_000),
            ),
            (
                &[
                    ("Retry-After", "Tue, 14 Nov 2023 23:15:20 GMT"),
                    ("Date", "Tue, 14 Nov 2023 23:15:10 GMT"),
                ],
                Some(10_000),
            ),
            (&[("Retry-After", "Tue, 14 Nov 2023 22:00:00 GMT")], Some(0)),
            (&[("Retry-After", "-5")], None),
            (&[("Retry-After", "soon")], None),
            (&[("Retry-After", "NaN")], None),
            (&[], None),
        ];
        for (headers, expected) in cases {
            assert_eq!(
                read(headers).retry_after,
                expected.map(Duration::from_millis),
                "{headers:?}"
            );
        }
    }

    #[test]
    fn an_exhausted_budget_is_read_from_every_family_of_headers() {
        let cases: [(Headers, Option<u64>); 10] = [
            (
                &[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "30")],
                Some(30),
            ),
            (
                &[
                    ("X-RateLimit-Remaining", "0"),
                    ("X-RateLimit-Reset", "1700000045"),
                ],
                Some(45),
            ),
            (
                &[
                    ("X-Rate-Limit-Remaining", "0"),
                    ("X-Rate-Limit-Reset", "1700000045000"),
                ],
                Some(45),
            ),
            (
                &[
                    ("X-RateLimit-Remaining", "0"),
                    ("X-RateLimit-Reset", "2023-11-14T22:13:50Z"),
                ],
                Some(30),
            ),
            (
                &[("X-RateLimit-Remaining", "1"), ("X-RateLimit-Reset", "30")],
                None,
            ),
            (&[("X-RateLimit-Remaining", "0")], None),
            (&[("RateLimit", "limit=10, remaining=0, reset=7")], Some(7)),
            (&[("RateLimit", "\"default\";r=0;t=9")], Some(9)),
            (&[("RateLimit", "\"default\";r=3;t=9")], None),
            (
                &[("RateLimit-Remaining", "0"), ("RateLimit-Reset", "5")],
                Some(5),
            ),
        ];
        for (headers, expected) in cases {
            assert_eq!(
                read(headers).exhausted_for,
                expected.map(Duration::from_secs),
                "{headers:?}"
            );
        }
    }

    #[test]
    fn the_tightest_policy_counts() {
        let rate = |value| read(&[("RateLimit-Policy", value)]).policy_per_second;
        assert_eq!(rate("\"burst\";q=120;w=60"), Some(2.0));
        assert_eq!(
            rate("\"burst\";q=120;w=60, \"daily\";q=86400;w=86400"),
            Some(1.0)
        );
        assert_eq!(rate("100;w=50"), Some(2.0));
        assert_eq!(rate("100;w=0"), None);
        assert_eq!(rate("nonsense"), None);
    }
}

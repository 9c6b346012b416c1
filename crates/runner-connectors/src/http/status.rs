//! What a response's status means.

use std::time::Duration;

use http::StatusCode;
use runner_core::{Blame, Error, ErrorKind, Retry};
use runner_spec::model::StatusMeaning;

use super::failure::{Cause, Failure, Recovery};
use super::rate_limit::ServerLimits;
use super::retry::{is_status, rate_limited};

/// What is done with a response.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Its body is a page.
    Page,
    /// A page without rows.
    Empty,
    /// The document says that the chain has nothing to give.
    Skip,
    Failed(Failure),
}

/// What is known of a response when its head has come.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) status: StatusCode,
    pub(super) limits: &'a ServerLimits,
    pub(super) sent_at: Duration,
    /// What the body says went wrong, without secrets.
    pub(super) reason: Option<String>,
    /// Whether a new access token may help.
    pub(super) has_token: bool,
}

/// Whether the meaning of a status depends on what the body says.
pub(super) fn is_error(status: StatusCode, on_status: &[(String, StatusMeaning)]) -> bool {
    match declared(status, on_status) {
        Some(StatusMeaning::Skip | StatusMeaning::Empty) => false,
        Some(StatusMeaning::Retry | StatusMeaning::Fail) => true,
        None => !status.is_success(),
    }
}

pub(super) fn judge(head: &Head<'_>, on_status: &[(String, StatusMeaning)]) -> Verdict {
    let status = head.status;
    match declared(status, on_status) {
        Some(StatusMeaning::Skip) => return Verdict::Skip,
        Some(StatusMeaning::Empty) => return Verdict::Empty,
        Some(StatusMeaning::Fail) => return Verdict::Failed(error(head).into()),
        Some(StatusMeaning::Retry) => {
            return Verdict::Failed(Failure::retry(
                Cause::Declared(status.as_u16()),
                error(head),
            ));
        }
        None => {}
    }
    match status {
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT => return Verdict::Empty,
        _ if status.is_success() => return Verdict::Page,
        _ => {}
    }
    let pause = head.limits.retry_after.or(head.limits.exhausted_for);
    let asks_for_patience = status == StatusCode::TOO_MANY_REQUESTS
        || (status == StatusCode::SERVICE_UNAVAILABLE && head.limits.retry_after.is_some())
        // Some APIs say so with 403.
        || (status == StatusCode::FORBIDDEN && pause.is_some());
    Verdict::Failed(if asks_for_patience {
        Failure {
            error: with_reason(rate_limited(status.as_u16()), head),
            recovery: Recovery::Wait {
                pause,
                limits: head.limits.clone(),
                sent_at: head.sent_at,
            },
        }
    } else if status == StatusCode::UNAUTHORIZED && head.has_token {
        Failure {
            error: error(head),
            recovery: Recovery::NewToken,
        }
    } else {
        Failure::retry(Cause::Status(status.as_u16()), error(head))
    })
}

/// Whether a status says that the cursor of a resumed page is no longer known.
pub(super) fn refuses_cursor(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 404 | 409 | 410 | 416 | 422)
}

/// Whether APIs answer so when they are asked for a page behind their last one.
pub(super) fn refuses_page(status: u16) -> bool {
    matches!(status, 400 | 404 | 416 | 422)
}

/// An exact status decides before its class.
fn declared(status: StatusCode, on_status: &[(String, StatusMeaning)]) -> Option<StatusMeaning> {
    let code = status.as_u16();
    let find = |is_class: bool| {
        on_status
            .iter()
            .find(|(pattern, _)| {
                pattern.to_ascii_lowercase().ends_with("xx") == is_class && is_status(pattern, code)
            })
            .map(|(_, meaning)| *meaning)
    };
    find(false).or_else(|| find(true))
}

fn error(head: &Head<'_>) -> Error {
    let status = head.status.as_u16();
    let name = head
        .status
        .canonical_reason()
        .map(|name| format!(" {}", name.to_ascii_lowercase()))
        .unwrap_or_default();
    let message = format!("the API answered with status {status}{name}");
    let error = match status {
        _ if refuses_certificate(head) => Error::new(ErrorKind::Auth, message)
            .with_help("check `auth_config.client_certificate`: whether the API asks for one, and who has to have signed it"),
        401 | 403 | 407 => Error::new(ErrorKind::Auth, message).with_help(match status {
            403 => "the credentials are known but may not read this: check what they are allowed to",
            _ => "check `auth`, `auth_config` and the secret behind it",
        }),
        408 => Error::new(ErrorKind::Timeout, message),
        429 => rate_limited(status),
        500.. => Error::new(ErrorKind::SourceUnavailable, message),
        300..=399 => Error::new(ErrorKind::SourceData, message)
            .with_help("the redirect has no usable target: check the URL"),
        _ => Error::new(ErrorKind::SourceData, message)
            .with_retry(Retry::Never)
            .with_blame(Blame::User)
            .with_help(match status {
                404 | 410 => "check `base_url` and `path`; if it means that there are no rows, say so with `on_status`",
                405 => "check `method`",
                _ => "check the parameters of the request",
            }),
    };
    with_reason(error, head)
}

/// nginx answers so where it wants a client certificate: with two statuses of its own, which it shows as 400 unless told otherwise.
fn refuses_certificate(head: &Head<'_>) -> bool {
    let says_so = |reason: &String| {
        ["No required SSL certificate", "The SSL certificate error"]
            .iter()
            .any(|text| reason.contains(text))
    };
    match head.status.as_u16() {
        495 | 496 => true,
        400 => head.reason.as_ref().is_some_and(says_so),
        _ => false,
    }
}

fn with_reason(error: Error, head: &Head<'_>) -> Error {
    match &head.reason {
        Some(reason) => error.with_context("reason", reason),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(
        status: u16,
        limits: &ServerLimits,
        on_status: &[(&str, StatusMeaning)],
        has_token: bool,
    ) -> Verdict {
        let on_status: Vec<_> = on_status
            .iter()
            .map(|(pattern, meaning)| ((*pattern).to_owned(), *meaning))
            .collect();
        judge(
            &Head {
                status: StatusCode::from_u16(status).unwrap(),
                limits,
                sent_at: Duration::ZERO,
                reason: Some("because".to_owned()),
                has_token,
            },
            &on_status,
        )
    }

    fn failure(verdict: Verdict) -> Failure {
        match verdict {
            Verdict::Failed(failure) => failure,
            other => panic!("{other:?} is no failure"),
        }
    }

    #[test]
    fn every_status_has_its_kind_and_its_recovery() {
        let none = ServerLimits::default();
        for (status, kind) in [
            (400, ErrorKind::SourceData),
            (401, ErrorKind::Auth),
            (403, ErrorKind::Auth),
            (404, ErrorKind::SourceData),
            (407, ErrorKind::Auth),
            (408, ErrorKind::Timeout),
            (422, ErrorKind::SourceData),
            (500, ErrorKind::SourceUnavailable),
            (503, ErrorKind::SourceUnavailable),
            (304, ErrorKind::SourceData),
        ] {
            let failure = failure(judged(status, &none, &[], false));
            assert_eq!(failure.error.kind(), kind, "{status}");
            assert_eq!(failure.recovery, Recovery::Retry(Cause::Status(status)));
            assert_eq!(failure.error.context(), [("reason", "because".to_owned())]);
        }
        assert!(matches!(judged(200, &none, &[], false), Verdict::Page));
        assert!(matches!(judged(206, &none, &[], false), Verdict::Page));
        assert!(matches!(judged(204, &none, &[], false), Verdict::Empty));
    }

    #[test]
    fn a_refused_client_certificate_is_an_auth_error() {
        for (status, reason, kind) in [
            (496, None, ErrorKind::Auth),
            (495, None, ErrorKind::Auth),
            (
                400,
                Some("400 No required SSL certificate was sent"),
                ErrorKind::Auth,
            ),
            (400, Some("400 The SSL certificate error"), ErrorKind::Auth),
            (
                400,
                Some("400 The plain HTTP request was sent to HTTPS port"),
                ErrorKind::SourceData,
            ),
            (400, None, ErrorKind::SourceData),
        ] {
            let head = Head {
                status: StatusCode::from_u16(status).unwrap(),
                limits: &ServerLimits::default(),
                sent_at: Duration::ZERO,
                reason: reason.map(str::to_owned),
                has_token: false,
            };
            let failure = failure(judge(&head, &[]));
            assert_eq!(failure.error.kind(), kind, "{status} {reason:?}");
        }
    }

    #[test]
    fn patience_is_asked_for_in_several_ways() {
        let stated = ServerLimits {
            retry_after: Some(Duration::from_secs(9)),
            ..ServerLimits::default()
        };
        let exhausted = ServerLimits {
            exhausted_for: Some(Duration::from_secs(7)),
            ..ServerLimits::default()
        };
        let none = ServerLimits::default();
        for (status, limits, pause) in [
            (429, &stated, Some(9)),
            (429, &exhausted, Some(7)),
            (429, &none, None),
            (503, &stated, Some(9)),
            (403, &exhausted, Some(7)),
        ] {
            let failure = failure(judged(status, limits, &[], false));
            assert_eq!(failure.error.kind(), ErrorKind::RateLimited);
            let Recovery::Wait { pause: found, .. } = failure.recovery else {
                panic!("{status} asks for patience")
            };
            assert_eq!(found, pause.map(Duration::from_secs), "{status}");
        }
    }

    #[test]
    fn the_document_decides_before_anything_else_and_exactly_before_by_class() {
        let none = ServerLimits::default();
        let on_status = [
            ("4xx", StatusMeaning::Fail),
            ("404", StatusMeaning::Skip),
            ("410", StatusMeaning::Empty),
            ("409", StatusMeaning::Retry),
            ("204", StatusMeaning::Fail),
        ];
        assert!(matches!(
            judged(404, &none, &on_status, false),
            Verdict::Skip
        ));
        assert!(matches!(
            judged(410, &none, &on_status, false),
            Verdict::Empty
        ));
        assert_eq!(
            failure(judged(409, &none, &on_status, false)).recovery,
            Recovery::Retry(Cause::Declared(409))
        );
        assert_eq!(
            failure(judged(429, &none, &on_status, false)).recovery,
            Recovery::Nothing
        );
        assert_eq!(
            failure(judged(204, &none, &on_status, false)).recovery,
            Recovery::Nothing
        );
    }

    #[test]
    fn only_a_refused_token_is_renewed() {
        let none = ServerLimits::default();
        assert_eq!(
            failure(judged(401, &none, &[], true)).recovery,
            Recovery::NewToken
        );
        assert_eq!(
            failure(judged(403, &none, &[], true)).recovery,
            Recovery::Retry(Cause::Status(403))
        );
    }
}

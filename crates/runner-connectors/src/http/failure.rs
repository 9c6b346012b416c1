//! Why a try of a request failed, and what can be done about it.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use runner_core::{Blame, Error, ErrorKind, Retry};
use runner_plan::template::TemplateError;

use super::rate_limit::ServerLimits;
use super::resolver::EgressRefused;

/// One try failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) recovery: Recovery,
}

/// What can be done about a failed try.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Recovery {
    Nothing,
    /// Another try, within the retry budget, if the policy names the cause.
    Retry(Cause),
    /// The server asks for patience; that costs no retry.
    Wait {
        pause: Option<Duration>,
        limits: ServerLimits,
        sent_at: Duration,
    },
    /// The access token may have been revoked: one with a new token.
    NewToken,
}

/// Causes that a retry policy can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Status(u16),
    Timeout,
    Connection,
    /// The document says that this status is to be tried again.
    Declared(u16),
}

impl Failure {
    pub(super) fn retry(cause: Cause, error: Error) -> Self {
        Self {
            error,
            recovery: Recovery::Retry(cause),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            recovery: Recovery::Nothing,
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) | Self::Declared(status) => write!(f, "status {status}"),
            Self::Timeout => f.write_str("timeout"),
            Self::Connection => f.write_str("connection"),
        }
    }
}

/// A cause as text: the original may hold URLs, and URLs may hold secrets.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct CauseText(String);

pub(super) fn template_error(what: &str, error: &TemplateError) -> Error {
    Error::new(ErrorKind::Spec, format!("failed to render {what}: {error}"))
        .with_help("bind the name, for example with `--param NAME=VALUE`")
}

/// The connection failed, before or while the response came.
pub(super) fn transport(error: reqwest::Error, doing: &str) -> Failure {
    let error = error.without_url();
    if let Some(refused) = find_cause::<EgressRefused>(&error) {
        return Error::new(ErrorKind::Forbidden, refused.to_string())
            .with_retry(Retry::Never)
            .with_help("an administrator can allow the host or its network in the setting `egress`")
            .into();
    }
    if let Some(tls) = find_tls_error(&error) {
        let kind = if refuses_certificate(tls) {
            ErrorKind::Auth
        } else {
            ErrorKind::SourceUnavailable
        };
        return Error::new(
            kind,
            format!("failed to {doing}: the TLS connection was refused: {tls}"),
        )
        .with_retry(Retry::Never)
        .with_blame(Blame::External)
        .with_help(tls_help(tls))
        .into();
    }
    let cause = if error.is_timeout() {
        Cause::Timeout
    } else {
        Cause::Connection
    };
    let reason = if error.is_timeout() {
        "no connection within the time limit"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection was lost"
    };
    let mut failure = Error::new(
        ErrorKind::SourceUnavailable,
        format!("failed to {doing}: {reason}"),
    )
    .with_source(CauseText(causes(&error)));
    if error.is_connect() {
        failure =
            failure.with_help("check that the server is up, and the host and port in `base_url`");
    }
    Failure::retry(cause, failure)
}

/// Something took longer than its limit.
pub(super) fn timed_out(what: &str, limit: Duration) -> Failure {
    Failure::retry(
        Cause::Timeout,
        Error::new(
            ErrorKind::Timeout,
            format!("{what} took longer than {} s", limit.as_secs_f64()),
        )
        .with_help("raise `global_config.timeout_seconds` if the API is known to be slow"),
    )
}

/// The server didn't take our certificate, or wanted one.
fn refuses_certificate(error: &rustls::Error) -> bool {
    use rustls::AlertDescription as Alert;
    matches!(
        error,
        rustls::Error::AlertReceived(
            Alert::CertificateRequired
                | Alert::NoCertificate
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                // Of a signature.
                | Alert::DecryptError
                | Alert::AccessDenied
        )
    )
}

fn tls_help(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(_) => {
            "check the host name and the clock; for a private authority, add its certificate (`auth_config.client_certificate.ca`, or the file that `SSL_CERT_FILE` names)"
        }
        _ => {
            "check what the server accepts: TLS version, and the client certificate in `auth_config`"
        }
    }
}

/// The causes of an error, outermost first, each once.
fn causes(error: &dyn StdError) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        cause = error.source();
    }
    if texts.is_empty() {
        return error.to_string();
    }
    texts.join(": ")
}

fn find_cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    if let Some(found) = error.downcast_ref::<T>() {
        return Some(found);
    }
    // An I/O error leaves what it wraps out of its chain of sources, and that may be an I/O error again.
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
        .and_then(|inner| find_cause(inner));
    wrapped.or_else(|| error.source().and_then(find_cause))
}

fn find_tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    find_cause::<rustls::Error>(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error whose cause is this one.
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Box<dyn StdError + Send + Sync>);

    #[test]
    fn a_cause_is_found_however_deep_it_is_wrapped() {
        let tls = || rustls::Error::General("refused".to_owned());
        let nested = io::Error::other(io::Error::other(Outer(Box::new(io::Error::other(tls())))));
        for error in [
            Outer(Box::new(tls())),
            Outer(Box::new(io::Error::other(tls()))),
            Outer(Box::new(io::Error::other(io::Error::other(tls())))),
            Outer(Box::new(nested)),
        ] {
            assert_eq!(
                find_cause::<rustls::Error>(&error),
                Some(&tls()),
                "{error:?}"
            );
        }
        let other = Outer(Box::new(io::Error::other("no cause")));
        assert_eq!(find_cause::<rustls::Error>(&other), None);
    }
}

//! The one error type that crosses crate boundaries: what a caller must decide on is a field, not prose.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as a class. It is the `error_type` label, the exit code, the HTTP status and the Python class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    Spec,
    Config,
    Auth,
    Secret,
    RateLimited,
    SourceUnavailable,
    SourceData,
    Quality,
    Drift,
    Engine,
    Sink,
    Timeout,
    Cancelled,
    Conflict,
    NotFound,
    Forbidden,
    Internal,
}

/// Whether trying again can help; set where the cause is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    Never,
    WithBackoff,
    After(Duration),
}

/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    User,
    External,
    Us,
}

/// An operation failed.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    blame: Blame,
    message: String,
    help: Option<String>,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind, with the retry and blame that are usual for it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let (retry, blame) = kind.usual();
        Self {
            inner: Box::new(Inner {
                kind,
                retry,
                blame,
                message: message.into(),
                help: None,
                context: Vec::new(),
                source: None,
            }),
        }
    }

    /// The cause. It is not repeated in the message.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.inner.help = Some(help.into());
        self
    }

    /// Where it happened (`stream`, `request`, `page`, `row`, `sink`, …). Never a secret.
    #[must_use]
    pub fn with_context(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.inner.context.push((name, value.to_string()));
        self
    }

    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.inner.retry = retry;
        self
    }

    #[must_use]
    pub fn with_blame(mut self, blame: Blame) -> Self {
        self.inner.blame = blame;
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    pub fn retry(&self) -> Retry {
        self.inner.retry
    }

    pub fn blame(&self) -> Blame {
        self.inner.blame
    }

    pub fn message(&self) -> &str {
        &self.inner.message
    }

    pub fn help(&self) -> Option<&str> {
        self.inner.help.as_deref()
    }

    pub fn context(&self) -> &[(&'static str, String)] {
        &self.inner.context
    }

    /// Message, context and every cause, for the one place that prints it.
    pub fn chain(&self) -> String {
        use std::fmt::Write as _;
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            // Many errors say what caused them, and have it as their source too.
            let said = error.to_string();
            if !text.ends_with(&said) {
                // Writing to a string cannot fail.
                let _ = write!(text, ": {said}");
            }
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)?;
        let context = &self.inner.context;
        // Decoders know the request that brought their bytes as the bytes' origin.
        let is_repeated = |name: &str, value: &String| {
            name == "origin" && context.contains(&("request", value.clone()))
        };
        let shown = context
            .iter()
            .filter(|(name, value)| !is_repeated(name, value));
        for (index, (name, value)) in shown.enumerate() {
            let separator = if index == 0 { " (" } else { ", " };
            write!(f, "{separator}{name}: {value}")?;
        }
        if self.inner.context.is_empty() {
            Ok(())
        } else {
            f.write_str(")")
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("retry", &self.inner.retry)
            .field("blame", &self.inner.blame)
            .field("message", &self.inner.message)
            .field("help", &self.inner.help)
            .field("context", &self.inner.context)
            .field("source", &self.inner.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner
            .source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}

impl ErrorKind {
    pub const ALL: [Self; 17] = [
        Self::Spec,
        Self::Config,
        Self::Auth,
        Self::Secret,
        Self::RateLimited,
        Self::SourceUnavailable,
        Self::SourceData,
        Self::Quality,
        Self::Drift,
        Self::Engine,
        Self::Sink,
        Self::Timeout,
        Self::Cancelled,
        Self::Conflict,
        Self::NotFound,
        Self::Forbidden,
        Self::Internal,
    ];

    /// The name that metrics, JSON and documentation use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spec => "spec",
            Self::Config => "config",
            Self::Auth => "auth",
            Self::Secret => "secret",
            Self::RateLimited => "rate_limited",
            Self::SourceUnavailable => "source_unavailable",
            Self::SourceData => "source_data",
            Self::Quality => "quality",
            Self::Drift => "drift",
            Self::Engine => "engine",
            Self::Sink => "sink",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::Internal => "internal",
        }
    }

    fn usual(self) -> (Retry, Blame) {
        match self {
            Self::Spec
            | Self::Config
            | Self::NotFound
            | Self::Forbidden
            | Self::Auth
            | Self::Secret
            | Self::Cancelled
            | Self::Conflict => (Retry::Never, Blame::User),
            Self::SourceData | Self::Quality | Self::Drift => (Retry::Never, Blame::External),
            Self::RateLimited
            | Self::SourceUnavailable
            | Self::Timeout
            | Self::Engine
            | Self::Sink => (Retry::WithBackoff, Blame::External),
            Self::Internal => (Retry::Never, Blame::Us),
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_cause_that_is_said_already_is_not_said_again() {
        let full = io::Error::other(io::Error::from(io::ErrorKind::StorageFull));
        let error = Error::new(ErrorKind::Sink, "failed to write `a.parquet`").with_source(full);
        assert_eq!(
            error.chain(),
            "failed to write `a.parquet`: no storage space"
        );
    }

    #[test]
    fn a_request_is_told_once() {
        let error = Error::new(ErrorKind::SourceData, "the JSON ends within a value")
            .with_context("origin", "GET /a")
            .with_context("request", "GET /a")
            .with_context("page", 1);
        assert_eq!(
            error.chain(),
            "the JSON ends within a value (request: GET /a, page: 1)"
        );
    }

    #[test]
    fn causes_follow_one_another() {
        let inner = Error::new(ErrorKind::Sink, "no route");
        let error = Error::new(ErrorKind::Sink, "no connection").with_source(inner);
        assert_eq!(error.chain(), "no connection: no route");
    }
}

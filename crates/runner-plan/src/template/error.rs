//! What can be wrong with a template. No message holds a value: one of them might be a secret.

use std::ops::Range;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("the template is not well formed: {message}")]
    Syntax {
        message: String,
        /// Bytes of the template.
        range: Option<Range<usize>>,
    },
    #[error("nothing is known under the name `{name}`; looked in {}", looked_in.join(", "))]
    UnknownName {
        name: String,
        looked_in: Vec<String>,
    },
    #[error("`{namespace}` is used as a whole; name one of its entries, as in `{namespace}.NAME`")]
    WholeNamespace { namespace: String },
    #[error("failed to render `{template}`: {reason}")]
    Failed { template: String, reason: String },
    #[error(
        "the value of a path variable in `{template}` is `.` or `..`, which would lead to another path"
    )]
    DotSegment { template: String },
}

impl TemplateError {
    /// Of parsing.
    pub(super) fn syntax(error: &minijinja::Error) -> Self {
        Self::Syntax {
            message: error
                .detail()
                .map_or_else(|| error.kind().to_string(), str::to_owned),
            range: error.range(),
        }
    }

    /// Of rendering. A detail may quote a value, so it is left out where a secret went in.
    pub(super) fn failed(template: &str, error: &minijinja::Error, has_secret: bool) -> Self {
        let reason = match error.detail() {
            Some(detail) if !has_secret => format!("{}: {detail}", error.kind()),
            _ => error.kind().to_string(),
        };
        Self::Failed {
            template: template.to_owned(),
            reason,
        }
    }
}

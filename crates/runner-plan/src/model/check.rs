//! Checks in declarative form; engines turn them into their own expressions.

use serde::{Deserialize, Serialize};

/// One thing that every row must satisfy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Target column, dotted below a struct; `[]` stands for every item of a list.
    pub column: String,
    pub kind: CheckKind,
    pub origin: CheckOrigin,
    /// Field path of the rule in the document.
    pub path: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// Present and not null.
    Required,
    /// Inclusive bounds.
    Range {
        minimum: Option<f64>,
        maximum: Option<f64>,
    },
    ExclusiveRange {
        minimum: Option<f64>,
        maximum: Option<f64>,
    },
    MultipleOf(f64),
    /// In characters.
    Length {
        minimum: Option<u64>,
        maximum: Option<u64>,
    },
    Pattern(String),
    /// JSON Schema's named formats that are checks and not types (`email`, `uri`, `ipv4`, …).
    Format(String),
    Enumeration(Vec<serde_json::Value>),
    Items {
        minimum: Option<u64>,
        maximum: Option<u64>,
        unique: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOrigin {
    Rule,
    Contract,
    PrimaryKey,
    Cursor,
}

impl CheckKind {
    /// The reason's code in the quarantine: stable, since people filter by it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Range { .. } | Self::ExclusiveRange { .. } => "range",
            Self::MultipleOf(_) => "multiple_of",
            Self::Length { .. } => "length",
            Self::Pattern(_) => "pattern",
            Self::Format(_) => "format",
            Self::Enumeration(_) => "enum",
            Self::Items { .. } => "items",
        }
    }
}

//! Templates: text with `{{ variables }}`, rendered when a value is needed.

use serde::{Deserialize, Serialize};

/// A text that may hold `{{ variables }}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Template(pub String);

impl Template {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether it needs rendering at all.
    pub fn is_constant(&self) -> bool {
        !self.0.contains("{{") && !self.0.contains("{%")
    }
}

//! From a document to its plan, in phases that each add what they decide and say what is wrong.

use crate::inputs::{PlanInputs, Planned};

/// Decides everything before the first request, and reports all that is wrong at once.
pub fn plan(_inputs: &PlanInputs<'_>) -> Planned {
    Planned {
        plan: None,
        diagnostics: Vec::new(),
    }
}

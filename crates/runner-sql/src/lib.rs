//! The relation: mapping, checks and portable SQL as DataFusion expressions and logical plans.
//!
//! It plans and never runs a plan: no physical plan, no data source, no catalog. The embedded engine executes what it builds;
//! other engines get it in their own dialect. Functions of portable SQL that DataFusion lacks are defined here, so that there is
//! one place which says what they do.

pub mod checks;
mod drafts;
pub mod portable;
mod transforms;

pub use checks::{CheckError, CompiledCheck, JsonStep, JsonTest, Subject, compile_check};
pub use drafts::{analyse_draft, reads_no_view};
pub use portable::{Analysis, Relation, RowStep, RowStepKind, View, ViewColumn};
pub use transforms::{PlanAnalysis, analyse_plan, analyse_transform, closed_view, view_names};

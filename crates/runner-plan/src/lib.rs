//! From a [`runner_spec::Spec`] to a [`Plan`]: everything that is decided before the first request.
//!
//! Pure: the document, the environment and the stored state come in as values, and the same inputs give the same plan,
//! byte for byte. The plan is engine-neutral, serialisable and free of secrets.

pub mod arrow;
pub mod describe;
mod environment;
mod inputs;
pub mod model;
pub mod names;
mod planner;
pub mod template;
pub mod windows;

pub use environment::{Connection, ConnectionKind, Environment, Profile};
pub use inputs::{FeedSchemas, PlanInputs, PlanOptions, Planned};
pub use model::{
    ColumnType, EngineChoice, Gates, Limits, LoadPlan, Plan, SourcePlan, StreamPlan, TransformPlan,
};
pub use planner::{draft, parse_json_path, plan, refresh_tokens};
pub use template::Template;

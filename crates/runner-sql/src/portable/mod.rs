//! Portable SQL: an allow list of constructs, functions and casts, each with one meaning on every engine.

mod aggregates;
mod arguments;
mod arithmetic;
mod calls;
mod expressions;
mod findings;
mod functions;
mod further;
mod now;
mod order;
mod output;
mod parse;
mod provider;
mod reference;
mod relation;
mod rewrite;
mod subqueries;
mod syntax;
mod types;
mod typing;

pub mod query;

pub use functions::{Argument, Function, FunctionKind, functions};
pub use query::{Analysis, View, ViewColumn, analyse};
pub use reference::reference;
pub use relation::{Relation, RowStep, RowStepKind};
pub use types::{CastRule, casts};
pub use typing::QueryCast;

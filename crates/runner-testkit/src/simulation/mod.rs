//! A small world to run jobs in: a source of known rows, an engine and sinks that follow a script, and processes that die or stand
//! still at any step. What a run leaves in the world is compared with what the source has.

mod chaos;
mod engine;
mod sinks;
mod store;
mod world;

pub use chaos::{Chaos, Fate};
pub use engine::ScriptedEngine;
pub use sinks::ScriptedSinks;
pub use store::ChaoticStore;
pub use world::{Row, World};

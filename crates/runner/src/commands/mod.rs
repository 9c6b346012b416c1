//! One file per command.

pub(crate) mod completions;
pub(crate) mod documents;
pub(crate) mod drift;
pub(crate) mod feed;
pub(crate) mod gc;
pub(crate) mod health;
pub(crate) mod info;
pub(crate) mod jobs;
pub(crate) mod mock;
pub(crate) mod plan;
pub(crate) mod preview;
pub(crate) mod quarantine;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod state;

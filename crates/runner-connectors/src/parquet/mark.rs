//! The mark of a table: which load was the last, and a log of what the load under way moves and removes.
//!
//! A commit writes what it is about to do (`pending`), moves its files into place, writes that it is done (`committed`), and only
//! then removes the files that it replaces. Every write is conditional on what was read, so of two processes one goes on; the
//! other finds out before it does harm, or takes back what it moved. Whoever comes later completes the removals.

use bytes::Bytes;
use object_store::UpdateVersion;
use runner_core::{Error, ErrorKind, Fence, LoadContext, Result, Retry, Seq};
use runner_plan::model::ColumnField;
use serde::{Deserialize, Serialize};

use crate::storage::{Conditional, Storage, StorageError};

const FORMAT: u32 = 1;
/// Loads that are remembered beside the last one: a late writer must not take back what was committed since.
const RECENT: usize = 16;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub format: u32,
    pub committed: Option<Committed>,
    pub pending: Option<Pending>,
    /// Ids of the last loads, the newest last.
    #[serde(default)]
    pub recent: Vec<String>,
    /// The table's columns as the last load left them.
    #[serde(default)]
    pub columns: Vec<ColumnField>,
}

/// The last load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Committed {
    pub seq: Seq,
    pub load: String,
    pub counts: Counts,
    /// Files that it replaces and that are still to be removed.
    pub remove: Vec<String>,
}

/// A load that is being committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub seq: Seq,
    pub load: String,
    pub moves: Vec<Move>,
    pub remove: Vec<String>,
    pub counts: Counts,
}

/// One file's way from the staging folder to where readers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Move {
    pub from: String,
    pub to: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub rows: u64,
    pub bytes: u64,
    pub rows_skipped: u64,
    pub rows_replaced: u64,
}

/// What the mark means for a load that wants to commit.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing {
    /// It is in the table already.
    Done(Committed),
    /// It had begun.
    Begun(Pending),
    /// It may begin; an earlier load that never ended is taken back first.
    Free(Option<Pending>),
}

/// A mark as it was read.
#[derive(Clone, Debug)]
pub(super) struct MarkFile {
    pub mark: Mark,
    path: String,
    version: Option<UpdateVersion>,
}

impl MarkFile {
    pub(super) async fn read(storage: &Storage, path: &str) -> Result<Self> {
        let found = storage.read(path).await.map_err(StorageError::into_sink)?;
        let (mark, version) = match found {
            None => (Mark::default(), None),
            Some((content, version)) => {
                let mark: Mark = serde_json::from_slice(&content).map_err(|error| {
                    Error::new(
                        ErrorKind::Sink,
                        format!("`{}/{path}` is no mark of a load", storage.location()),
                    )
                    .with_retry(Retry::Never)
                    .with_help("restore the file from a copy: it tells which loads the table holds")
                    .with_source(error)
                })?;
                (mark, Some(version))
            }
        };
        if mark.format > FORMAT {
            return Err(Error::new(
                ErrorKind::Sink,
                format!(
                    "`{}/{path}` was written by a newer version of the runner",
                    storage.location()
                ),
            )
            .with_retry(Retry::Never));
        }
        Ok(Self {
            mark,
            path: path.to_owned(),
            version,
        })
    }

    /// Replaces the mark, unless somebody else did since it was read: then `None`, and it has to be read again.
    pub(super) async fn replace(self, storage: &Storage, mut mark: Mark) -> Result<Option<Self>> {
        mark.format = FORMAT;
        let content = serde_json::to_vec_pretty(&mark).map_err(|error| {
            Error::new(ErrorKind::Internal, "failed to encode a mark").with_source(error)
        })?;
        let written = storage
            .write_if(&self.path, Bytes::from(content), self.version)
            .await
            .map_err(StorageError::into_sink)?;
        Ok(match written {
            Conditional::Written(version) => Some(Self {
                mark,
                path: self.path,
                version: Some(version),
            }),
            Conditional::Conflict => None,
        })
    }
}

impl Mark {
    pub(super) fn standing(&self, fence: &Fence, load: &LoadContext) -> Result<Standing> {
        let id = load.id.to_string();
        if let Some(committed) = &self.committed {
            if committed.load == id {
                return Ok(Standing::Done(committed.clone()));
            }
            if committed.seq >= fence.seq {
                return Err(conflict(load, committed.seq, &committed.load));
            }
        }
        match &self.pending {
            Some(pending) if pending.load == id => Ok(Standing::Begun(pending.clone())),
            Some(pending) if pending.seq >= fence.seq => {
                Err(conflict(load, pending.seq, &pending.load))
            }
            pending => Ok(Standing::Free(pending.clone())),
        }
    }

    /// With this load begun.
    pub(super) fn begun(&self, pending: Pending) -> Self {
        Self {
            pending: Some(pending),
            ..self.clone()
        }
    }

    /// With the pending load committed.
    pub(super) fn finished(&self, pending: &Pending, columns: &[ColumnField]) -> Self {
        let mut recent = self.recent.clone();
        recent.push(pending.load.clone());
        let surplus = recent.len().saturating_sub(RECENT);
        recent.drain(..surplus);
        Self {
            format: FORMAT,
            committed: Some(Committed {
                seq: pending.seq,
                load: pending.load.clone(),
                counts: pending.counts,
                remove: pending.remove.clone(),
            }),
            pending: None,
            recent,
            columns: columns.to_vec(),
        }
    }

    /// With nothing left to remove.
    pub(super) fn tidied(&self) -> Self {
        let mut mark = self.clone();
        if let Some(committed) = &mut mark.committed {
            committed.remove.clear();
        }
        mark
    }

    /// Whether a load is, or was lately, in the table or on its way.
    pub(super) fn knows(&self, load: &str) -> bool {
        self.recent.iter().any(|recent| recent == load)
            || self
                .pending
                .as_ref()
                .is_some_and(|pending| pending.load == load)
    }
}

fn conflict(load: &LoadContext, seq: Seq, other: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "`{}` already holds a later load than number {}: number {}",
            load.plan.table, load.seq.0, seq.0
        ),
    )
    .with_context("load", &load.id)
    .with_context("later", other)
    .with_help("run the feed again: a load is never put below a later one")
}

#[cfg(test)]
mod tests;

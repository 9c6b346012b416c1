//! A file of an object store, read in pieces by a thread that may wait.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt};
use runner_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::error;
use super::piece::Piece;
use crate::storage::{Storage, StorageError};

/// Asked for at once: each has the store's own time limit, so that a slow link reads a file of any size.
const PIECE_BYTES: u64 = 4 << 20;
const PIECES_AHEAD: usize = 2;

/// One file, at the version that was listed.
#[derive(Clone, Debug)]
pub(super) struct RemoteFile {
    store: Arc<dyn ObjectStore>,
    path: Path,
    shown: Arc<str>,
    version: Arc<str>,
    pub(super) bytes: u64,
}

/// Bytes of a file as they come.
pub(super) struct RemoteBytes {
    pieces: mpsc::Receiver<Result<Bytes>>,
    /// Bytes that have not come: an end before them is none.
    left: u64,
    _task: AbortOnDropHandle<()>,
}

impl RemoteFile {
    pub(super) fn new(storage: &Storage, key: &str, piece: &Piece) -> Result<Self> {
        let path = Path::parse(key).map_err(|cause| {
            Error::new(
                ErrorKind::SourceData,
                format!(
                    "the file `{}` has a name that can't be asked for",
                    piece.path
                ),
            )
            .with_source(cause)
        })?;
        Ok(Self {
            store: Arc::clone(storage.store()),
            path,
            shown: piece.path.as_str().into(),
            version: piece.version.as_str().into(),
            bytes: piece.bytes,
        })
    }

    pub(super) async fn get(&self, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let options = GetOptions::new().with_range(Some(range));
        let found = self
            .store
            .get_opts(&self.path, options)
            .await
            .map_err(|cause| self.failed(cause))?;
        self.check(&found.meta)?;
        found.bytes().await.map_err(|cause| self.failed(cause))
    }

    /// What Parquet is read through.
    pub(super) async fn parquet(
        &self,
    ) -> Result<parquet::arrow::async_reader::ParquetObjectReader> {
        let meta = self
            .store
            .head(&self.path)
            .await
            .map_err(|cause| self.failed(cause))?;
        self.check(&meta)?;
        Ok(parquet::arrow::async_reader::ParquetObjectReader::new(
            Arc::clone(&self.store),
            self.path.clone(),
        )
        .with_file_size(self.bytes))
    }

    /// Reads a range piece by piece, some ahead of what has been taken.
    pub(super) fn read(self, range: Range<u64>, runtime: &Handle) -> RemoteBytes {
        let (sender, pieces) = mpsc::channel(1);
        let left = range.end.saturating_sub(range.start);
        let task = runtime.spawn(async move {
            let starts = (range.start..range.end)
                .step_by(usize::try_from(PIECE_BYTES).unwrap_or(usize::MAX));
            let mut fetched = futures::stream::iter(starts)
                .map(|start| self.get(start..range.end.min(start + PIECE_BYTES)))
                .buffered(PIECES_AHEAD);
            while let Some(piece) = fetched.next().await {
                let is_last = piece.is_err();
                if sender.send(piece).await.is_err() || is_last {
                    return;
                }
            }
        });
        RemoteBytes {
            pieces,
            left,
            _task: AbortOnDropHandle::new(task),
        }
    }

    fn check(&self, meta: &ObjectMeta) -> Result<()> {
        if *version(meta) == *self.version {
            Ok(())
        } else {
            Err(error::changed(&self.shown))
        }
    }

    fn failed(&self, source: object_store::Error) -> Error {
        if matches!(source, object_store::Error::NotFound { .. }) {
            return error::changed(&self.shown).with_source(source);
        }
        StorageError::Failed {
            operation: "read",
            location: self.shown.to_string(),
            source,
        }
        .into_source()
    }
}

impl RemoteBytes {
    pub(super) fn next(&mut self) -> Result<Option<Bytes>> {
        let piece = self.pieces.blocking_recv().transpose()?;
        match &piece {
            Some(bytes) => self.left = self.left.saturating_sub(bytes.len() as u64),
            None if self.left > 0 => return Err(error::stopped()),
            None => {}
        }
        Ok(piece)
    }
}

/// What changes when an object does. Stores put the tag in quotes in one answer and not in the next.
pub(super) fn version(meta: &ObjectMeta) -> String {
    match &meta.e_tag {
        Some(tag) => tag.trim_matches('"').to_owned(),
        None => format!("{}-{}", meta.size, meta.last_modified.timestamp()),
    }
}

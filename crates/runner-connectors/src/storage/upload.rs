//! A file written piece by piece: small ones at once, larger ones as a multipart upload with few parts under way.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::task::JoinSet;
use xxhash_rust::xxh3::Xxh3;

use super::error::StorageError;

/// Parts of an object store are all as large as this but the last; some stores insist on it.
const REMOTE_PART_BYTES: usize = 8 << 20;
const LOCAL_PART_BYTES: usize = 1 << 20;
/// Bounds what an upload holds in memory: a slow store slows the writer down.
const PARTS_AT_ONCE: usize = 2;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    pub bytes: u64,
    /// XXH3-128 of the content, hex.
    pub checksum: String,
}

/// A file that doesn't exist before [`Upload::finish`], and is durable after it.
pub struct Upload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    location: String,
    part_bytes: usize,
    buffer: BytesMut,
    multipart: Option<Box<dyn MultipartUpload>>,
    parts: JoinSet<object_store::Result<()>>,
    hasher: Xxh3,
    bytes: u64,
}

impl Upload {
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        path: Path,
        location: String,
        is_local: bool,
    ) -> Self {
        Self {
            store,
            path,
            location,
            part_bytes: if is_local {
                LOCAL_PART_BYTES
            } else {
                REMOTE_PART_BYTES
            },
            buffer: BytesMut::new(),
            multipart: None,
            parts: JoinSet::new(),
            hasher: Xxh3::new(),
            bytes: 0,
        }
    }

    pub fn location(&self) -> &str {
        &self.location
    }

    /// Bytes taken so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub async fn write(&mut self, content: Bytes) -> Result<(), StorageError> {
        if content.is_empty() {
            return Ok(());
        }
        self.hasher.update(&content);
        self.bytes += content.len() as u64;
        // What fills a part by itself isn't copied.
        if self.buffer.is_empty() && content.len() == self.part_bytes {
            return self.send(content).await;
        }
        self.buffer.extend_from_slice(&content);
        while self.buffer.len() >= self.part_bytes {
            let part = self.buffer.split_to(self.part_bytes).freeze();
            self.send(part).await?;
        }
        Ok(())
    }

    /// Makes the file exist, durably.
    pub async fn finish(mut self) -> Result<Digest, StorageError> {
        let rest = self.buffer.split().freeze();
        let finished = if self.multipart.is_some() {
            self.complete(rest).await
        } else {
            let payload = PutPayload::from_bytes(rest);
            self.store
                .put(&self.path, payload)
                .await
                .map(|_| ())
                .map_err(|source| self.failed(source))
        };
        if let Err(error) = finished {
            self.abandon().await;
            return Err(error);
        }
        Ok(Digest {
            bytes: self.bytes,
            checksum: format!("{:032x}", self.hasher.digest128()),
        })
    }

    /// Drops what was written.
    pub async fn abort(mut self) {
        self.abandon().await;
    }

    async fn complete(&mut self, rest: Bytes) -> Result<(), StorageError> {
        if !rest.is_empty() {
            self.send(rest).await?;
        }
        while !self.parts.is_empty() {
            self.join_one().await?;
        }
        let Some(multipart) = self.multipart.as_mut() else {
            return Ok(());
        };
        match multipart.complete().await {
            Ok(_) => Ok(()),
            Err(source) => Err(self.failed(source)),
        }
    }

    async fn send(&mut self, part: Bytes) -> Result<(), StorageError> {
        if self.multipart.is_none() {
            let started = self.store.put_multipart(&self.path).await;
            self.multipart = Some(started.map_err(|source| self.failed(source))?);
        }
        while self.parts.len() >= PARTS_AT_ONCE {
            self.join_one().await?;
        }
        if let Some(multipart) = self.multipart.as_mut() {
            self.parts
                .spawn(multipart.put_part(PutPayload::from_bytes(part)));
        }
        Ok(())
    }

    async fn join_one(&mut self) -> Result<(), StorageError> {
        match self.parts.join_next().await {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(source))) => Err(self.failed(source)),
            Some(Err(error)) => Err(self.failed(object_store::Error::JoinError { source: error })),
        }
    }

    /// Best effort: what it leaves is an unfinished upload, which no reader sees and the store expires.
    async fn abandon(&mut self) {
        self.parts.shutdown().await;
        if let Some(mut multipart) = self.multipart.take()
            && let Err(error) = multipart.abort().await
        {
            tracing::debug!(location = %self.location, %error, "failed to abort an upload");
        }
    }

    fn failed(&self, source: object_store::Error) -> StorageError {
        StorageError::Failed {
            operation: "write",
            location: self.location.clone(),
            source,
        }
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("location", &self.location)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

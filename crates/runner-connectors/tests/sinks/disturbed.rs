//! A store that dies, or stands still, at a chosen operation.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, Result,
};
use tokio::sync::Notify;

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// The process dies before it.
    DiesBefore,
    /// The process dies after it: it was done, and nobody was told.
    DiesAfter,
    /// It waits until it is released.
    Waits,
}

/// Counts the operations that change something.
#[derive(Debug)]
pub(crate) struct DisturbedStore {
    store: Arc<dyn ObjectStore>,
    left: AtomicI64,
    disturbance: Disturbance,
    reached: Notify,
    released: Notify,
}

impl DisturbedStore {
    /// Undisturbed before `operation` changes have been made.
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        operation: i64,
        disturbance: Disturbance,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            left: AtomicI64::new(operation),
            disturbance,
            reached: Notify::new(),
            released: Notify::new(),
        })
    }

    /// Whether the chosen operation was reached.
    pub(crate) fn was_reached(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }

    /// Completes when the chosen operation stands still.
    pub(crate) async fn reached(&self) {
        self.reached.notified().await;
    }

    pub(crate) fn release(&self) {
        self.released.notify_one();
    }

    fn dead() -> Error {
        Error::Generic {
            store: "disturbed",
            source: "the process died".into(),
        }
    }

    fn alive(&self) -> Result<()> {
        if self.disturbance != Disturbance::Waits && self.was_reached() {
            return Err(Self::dead());
        }
        Ok(())
    }

    async fn change<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        self.alive()?;
        if self.left.fetch_sub(1, Ordering::SeqCst) != 0 {
            return operation.await;
        }
        match self.disturbance {
            Disturbance::DiesBefore => Err(Self::dead()),
            Disturbance::DiesAfter => {
                let _ = operation.await;
                Err(Self::dead())
            }
            Disturbance::Waits => {
                self.reached.notify_one();
                self.released.notified().await;
                operation.await
            }
        }
    }
}

impl fmt::Display for DisturbedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("disturbed store")
    }
}

#[async_trait]
impl ObjectStore for DisturbedStore {
    async fn put_opts(
        &self,
        path: &Path,
        content: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.change(self.store.put_opts(path, content, options))
            .await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.change(self.store.put_multipart_opts(path, options))
            .await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.alive()?;
        self.store.get_opts(path, options).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.alive()?;
        self.store.get_ranges(path, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        // Files are deleted by calls of their own, so one call is one operation. It is never one that waits.
        let store = Arc::clone(&self.store);
        let alive = self.alive().is_ok();
        let due = self.left.fetch_sub(1, Ordering::SeqCst) == 0;
        let disturbance = self.disturbance;
        paths
            .then(move |path| {
                let store = Arc::clone(&store);
                async move {
                    let path = path?;
                    if !alive || (due && disturbance == Disturbance::DiesBefore) {
                        return Err(Self::dead());
                    }
                    let deleted = store.delete(&path).await;
                    if due && disturbance == Disturbance::DiesAfter {
                        return Err(Self::dead());
                    }
                    deleted.map(|()| path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.alive() {
            Ok(()) => self.store.list(prefix),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.alive()?;
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.change(self.store.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.change(self.store.rename_opts(from, to, options)).await
    }
}

//! Lends a table's files to the `iceberg` crate, whose manifests and readers ask for a `FileIO`: so one set of credentials,
//! retries and timeouts serves every byte.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use iceberg::io::{
    FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig,
    StorageFactory,
};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde::{Deserialize, Serialize};

use super::files::TableFiles;

/// [`TableFiles`] as the `iceberg` crate wants them. That crate can send its storages to other processes as JSON; this one
/// stays where its credentials are, and says so if it is ever sent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct SharedStorage {
    #[serde(skip)]
    files: Option<TableFiles>,
}

impl SharedStorage {
    pub(super) fn new(files: TableFiles) -> Self {
        Self { files: Some(files) }
    }

    fn files(&self) -> iceberg::Result<&TableFiles> {
        self.files.as_ref().ok_or_else(|| {
            iceberg::Error::new(
                iceberg::ErrorKind::FeatureUnsupported,
                "a storage that was sent to another process has no credentials",
            )
        })
    }
}

#[typetag::serde(name = "IngestionRunnerStorage")]
impl StorageFactory for SharedStorage {
    fn build(&self, _config: &StorageConfig) -> iceberg::Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
#[typetag::serde(name = "IngestionRunnerStorage")]
impl Storage for SharedStorage {
    async fn exists(&self, path: &str) -> iceberg::Result<bool> {
        let (store, key) = self.files()?.resolve(path).map_err(foreign)?;
        match store.head(&key).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(foreign(error)),
        }
    }

    async fn metadata(&self, path: &str) -> iceberg::Result<FileMetadata> {
        let (store, key) = self.files()?.resolve(path).map_err(foreign)?;
        let object = store.head(&key).await.map_err(foreign)?;
        Ok(FileMetadata { size: object.size })
    }

    async fn read(&self, path: &str) -> iceberg::Result<Bytes> {
        self.files()?.read(path).await.map_err(foreign)
    }

    async fn reader(&self, path: &str) -> iceberg::Result<Box<dyn FileRead>> {
        let (store, path) = self.files()?.resolve(path).map_err(foreign)?;
        Ok(Box::new(SharedRead { store, path }))
    }

    async fn write(&self, path: &str, content: Bytes) -> iceberg::Result<()> {
        self.files()?.write(path, content).await.map_err(foreign)
    }

    async fn writer(&self, path: &str) -> iceberg::Result<Box<dyn FileWrite>> {
        Ok(Box::new(SharedWrite {
            files: self.files()?.clone(),
            location: path.to_owned(),
            pieces: Vec::new(),
        }))
    }

    async fn delete(&self, path: &str) -> iceberg::Result<()> {
        self.files()?.delete(path).await.map_err(foreign)
    }

    async fn delete_prefix(&self, path: &str) -> iceberg::Result<()> {
        let files = self.files()?;
        for (location, _) in files.list(path).await.map_err(foreign)? {
            files.delete(&location).await.map_err(foreign)?;
        }
        Ok(())
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> iceberg::Result<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> iceberg::Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> iceberg::Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

struct SharedRead {
    store: Arc<dyn ObjectStore>,
    path: Path,
}

#[async_trait]
impl FileRead for SharedRead {
    async fn read(&self, range: Range<u64>) -> iceberg::Result<Bytes> {
        self.store
            .get_range(&self.path, range)
            .await
            .map_err(foreign)
    }
}

/// Manifests and manifest lists are small: they are kept whole and written at once.
struct SharedWrite {
    files: TableFiles,
    location: String,
    pieces: Vec<Bytes>,
}

#[async_trait]
impl FileWrite for SharedWrite {
    async fn write(&mut self, piece: Bytes) -> iceberg::Result<()> {
        self.pieces.push(piece);
        Ok(())
    }

    async fn close(&mut self) -> iceberg::Result<()> {
        let content = match self.pieces.len() {
            1 => self.pieces.remove(0),
            _ => std::mem::take(&mut self.pieces).concat().into(),
        };
        self.files
            .write(&self.location, content)
            .await
            .map_err(foreign)
    }
}

fn foreign(error: impl std::error::Error + Send + Sync + 'static) -> iceberg::Error {
    iceberg::Error::new(iceberg::ErrorKind::Unexpected, "the table's storage failed")
        .with_source(error)
}

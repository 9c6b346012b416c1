//! The files of a table, by the absolute locations that its metadata names, over [`object_store`].
//!
//! It also lends them to the `iceberg` crate, whose manifests and readers ask for a [`FileIO`]: so one set of credentials,
//! retries and timeouts serves every byte.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage,
    StorageConfig, StorageFactory,
};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};
use serde::{Deserialize, Serialize};

use super::error::{IcebergError, Result};

/// Opens the store of a root: `file://`, `s3://bucket`.
pub(super) type OpenStore = Arc<dyn Fn(&str) -> Result<Arc<dyn ObjectStore>> + Send + Sync>;

/// Reads and writes files by absolute location. Cheap to clone.
#[derive(Clone)]
pub(super) struct TableFiles {
    shared: Arc<Shared>,
}

struct Shared {
    open: OpenStore,
    stores: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl TableFiles {
    pub(super) fn new(open: OpenStore) -> Self {
        Self {
            shared: Arc::new(Shared {
                open,
                stores: Mutex::new(HashMap::new()),
            }),
        }
    }

    /// The store that holds a location, and the path in it.
    pub(super) fn resolve(&self, location: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
        let (root, key) = split_location(location)?;
        let path = Path::parse(key).map_err(|source| IcebergError::Storage {
            doing: format!("understand the location `{location}`"),
            source: Box::new(source.into()),
        })?;
        let mut stores = self
            .shared
            .stores
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(&root) {
            return Ok((Arc::clone(store), path));
        }
        let store = (self.shared.open)(&root)?;
        stores.insert(root, Arc::clone(&store));
        Ok((store, path))
    }

    pub(super) async fn read(&self, location: &str) -> Result<Bytes> {
        let (store, path) = self.resolve(location)?;
        let doing = || IcebergError::storage(format!("read `{location}`"));
        store
            .get(&path)
            .await
            .map_err(doing())?
            .bytes()
            .await
            .map_err(doing())
    }

    pub(super) async fn write(&self, location: &str, content: Bytes) -> Result<()> {
        let (store, path) = self.resolve(location)?;
        store
            .put(&path, content.into())
            .await
            .map(|_| ())
            .map_err(IcebergError::storage(format!("write `{location}`")))
    }

    /// A file that isn't there is fine.
    pub(super) async fn delete(&self, location: &str) -> Result<()> {
        let (store, path) = self.resolve(location)?;
        match store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(IcebergError::storage(format!("delete `{location}`"))(error)),
        }
    }

    /// Every file below a folder, under its absolute location.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<(String, ObjectMeta)>> {
        let (store, path) = self.resolve(folder)?;
        let folder = folder.trim_end_matches('/');
        let prefix = format!("{path}/");
        store
            .list(Some(&path))
            .map_ok(|object| {
                let name = object.location.as_ref();
                let location = format!("{folder}/{}", name.strip_prefix(&prefix).unwrap_or(name));
                (location, object)
            })
            .try_collect()
            .await
            .map_err(IcebergError::storage(format!("list `{folder}`")))
    }

    /// The same files for the `iceberg` crate.
    pub(super) fn file_io(&self) -> FileIO {
        FileIOBuilder::new(Arc::new(SharedStorage {
            files: Some(self.clone()),
        }))
        .build()
    }
}

impl fmt::Debug for TableFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableFiles").finish_non_exhaustive()
    }
}

/// Root of the store, and the key in it, exactly as written: keys are not decoded.
fn split_location(location: &str) -> Result<(String, &str)> {
    if location.starts_with('/') {
        return Ok(("file://".to_owned(), location));
    }
    // Hadoop writes `file:/path`, others `file:///path`.
    if let Some(rest) = location.strip_prefix("file:") {
        return Ok(("file://".to_owned(), rest.trim_start_matches('/')));
    }
    let unknown = || {
        IcebergError::unsupported(
            format!("the table names a file at `{location}`, which is no absolute location"),
            "locations are `file:///path` or `s3://bucket/key`",
        )
    };
    let (scheme, rest) = location.split_once("://").ok_or_else(unknown)?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    // Hadoop's names for the same store.
    let scheme = match scheme {
        "s3a" | "s3n" => "s3",
        other => other,
    };
    Ok((format!("{scheme}://{bucket}"), key))
}

/// [`TableFiles`] as the `iceberg` crate wants them. That crate can send its storages to other processes as JSON; this one
/// stays where its credentials are, and says so if it is ever sent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct SharedStorage {
    #[serde(skip)]
    files: Option<TableFiles>,
}

impl SharedStorage {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_of_every_writer_are_understood() {
        for (location, root, key) in [
            (
                "/warehouse/t/a.parquet",
                "file://",
                "/warehouse/t/a.parquet",
            ),
            ("file:///warehouse/a b", "file://", "warehouse/a b"),
            ("file:/warehouse/a", "file://", "warehouse/a"),
            ("s3://bucket/k/x%2Fy", "s3://bucket", "k/x%2Fy"),
            ("s3a://bucket/k", "s3://bucket", "k"),
        ] {
            let (found_root, found_key) = split_location(location).unwrap();
            assert_eq!((found_root.as_str(), found_key), (root, key), "{location}");
        }
        assert!(split_location("warehouse/t").is_err());
    }
}

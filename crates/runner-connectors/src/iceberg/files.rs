//! The files of a table, by the absolute locations that its metadata names.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use iceberg::io::{FileIO, FileIOBuilder};
use object_store::aws::AwsCredentialProvider;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::error::{IcebergError, Result};
use super::file_io::SharedStorage;
use crate::resolve::ResolvedSettings;
use crate::storage::{Entry, Storage, StorageError};

const FILE_SYSTEM: &str = "/";

/// Reads and writes files by absolute location. Cheap to clone.
#[derive(Clone)]
pub(super) struct TableFiles {
    shared: Arc<Shared>,
}

struct Shared {
    settings: ResolvedSettings,
    /// In place of the keys of the settings.
    credentials: Option<AwsCredentialProvider>,
    /// The file system, buckets.
    roots: Mutex<HashMap<String, Storage>>,
}

impl TableFiles {
    pub(super) fn new(settings: ResolvedSettings) -> Self {
        Self::over(settings, None)
    }

    /// With credentials that change while the files are used.
    pub(super) fn with_credentials(
        settings: ResolvedSettings,
        credentials: AwsCredentialProvider,
    ) -> Self {
        Self::over(settings, Some(credentials))
    }

    fn over(settings: ResolvedSettings, credentials: Option<AwsCredentialProvider>) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                credentials,
                roots: Mutex::new(HashMap::new()),
            }),
        }
    }

    pub(super) fn settings(&self) -> &ResolvedSettings {
        &self.shared.settings
    }

    /// The folder at a location.
    pub(super) fn folder(&self, location: &str) -> Result<Storage> {
        let (root, key) = split_location(location)?;
        Ok(self.root(root)?.child(key.trim_matches('/'))?)
    }

    /// The store that holds a location, and the path in it.
    pub(super) fn resolve(&self, location: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
        let (root, key) = split_location(location)?;
        let storage = self.root(root)?;
        let path = storage.path(key)?;
        Ok((Arc::clone(storage.store()), path))
    }

    fn root(&self, root: String) -> Result<Storage> {
        let mut roots = self
            .shared
            .roots
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(storage) = roots.get(&root) {
            return Ok(storage.clone());
        }
        let credentials = self.shared.credentials.clone();
        let storage = Storage::open_with(&root, &self.shared.settings, credentials)?;
        roots.insert(root, storage.clone());
        Ok(storage)
    }

    pub(super) async fn read(&self, location: &str) -> Result<Bytes> {
        let (store, path) = self.resolve(location)?;
        let read = async { store.get(&path).await?.bytes().await };
        Ok(read.await.map_err(failed("read", location))?)
    }

    pub(super) async fn write(&self, location: &str, content: Bytes) -> Result<()> {
        let (store, path) = self.resolve(location)?;
        store
            .put(&path, content.into())
            .await
            .map_err(failed("write", location))?;
        Ok(())
    }

    /// A file that isn't there is fine.
    pub(super) async fn delete(&self, location: &str) -> Result<()> {
        let (store, path) = self.resolve(location)?;
        match store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("delete", location)(error).into()),
        }
    }

    /// Every file below a folder, under its absolute location.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<(String, Entry)>> {
        let entries = self.folder(folder)?.list("").await?;
        let folder = folder.trim_end_matches('/');
        Ok(entries
            .into_iter()
            .map(|entry| (format!("{folder}/{}", entry.path), entry))
            .collect())
    }

    /// The same files for the `iceberg` crate.
    pub(super) fn file_io(&self) -> FileIO {
        FileIOBuilder::new(Arc::new(SharedStorage::new(self.clone()))).build()
    }
}

impl fmt::Debug for TableFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableFiles").finish_non_exhaustive()
    }
}

fn failed(
    operation: &'static str,
    location: &str,
) -> impl FnOnce(object_store::Error) -> StorageError {
    let location = location.to_owned();
    move |source| StorageError::Failed {
        operation,
        location,
        source,
    }
}

/// Root of the store, and the key in it, exactly as written: keys are not decoded.
fn split_location(location: &str) -> Result<(String, &str)> {
    if location.starts_with('/') {
        return Ok((FILE_SYSTEM.to_owned(), location));
    }
    // Hadoop writes `file:/path`, others `file:///path`.
    if let Some(rest) = location.strip_prefix("file:") {
        return Ok((FILE_SYSTEM.to_owned(), rest.trim_start_matches('/')));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_of_every_writer_are_understood() {
        for (location, root, key) in [
            ("/warehouse/t/a.parquet", "/", "/warehouse/t/a.parquet"),
            ("file:///warehouse/a b", "/", "warehouse/a b"),
            ("file:/warehouse/a", "/", "warehouse/a"),
            ("s3://bucket/k/x%2Fy", "s3://bucket", "k/x%2Fy"),
            ("s3a://bucket/k", "s3://bucket", "k"),
        ] {
            let (found_root, found_key) = split_location(location).unwrap();
            assert_eq!((found_root.as_str(), found_key), (root, key), "{location}");
        }
        assert!(split_location("warehouse/t").is_err());
    }
}

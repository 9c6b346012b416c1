//! Folders of files, local or in an object store, behind one interface whose writes are durable when they return.
//!
//! A location is a path, `file://…` or `s3://bucket/prefix`. [`Storage::store`] is an [`ObjectStore`] with conditional
//! writes ([`object_store::PutMode::Update`]) for all of them, so that whoever needs more than [`Storage`] offers can use it as it is.

mod error;
mod local;
mod path;
mod s3;
mod upload;

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::aws::AwsCredentialProvider;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};

pub use error::StorageError;
pub use local::DurableFiles;
pub(crate) use path::local_path;
pub use s3::{AccessKeys, access_keys};
pub use upload::{Digest, Upload};

use crate::resolve::ResolvedSettings;

/// Deletions that are under way at once.
const DELETES_AT_ONCE: usize = 16;

/// One folder.
#[derive(Clone, Debug)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    location: String,
    local: Option<PathBuf>,
    /// Whether a name can be changed in one step; else files are copied.
    renames: bool,
}

/// A file of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the folder, with `/` between names.
    pub path: String,
    pub bytes: u64,
    pub modified: DateTime<Utc>,
}

/// What became of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conditional {
    Written(UpdateVersion),
    /// Somebody else wrote in between; nothing was changed.
    Conflict,
}

impl Storage {
    /// Opens a folder, which need not exist yet. Settings: `endpoint`, `region`, `access_key_id`, `secret_access_key`,
    /// `session_token`, `path_style`, `allow_http`; what they leave open comes from the `AWS_*` environment.
    pub fn open(location: &str, settings: &ResolvedSettings) -> Result<Self, StorageError> {
        Self::open_with(location, settings, None)
    }

    /// The same, with credentials of the object store that are asked for with every request.
    pub fn open_with(
        location: &str,
        settings: &ResolvedSettings,
        credentials: Option<AwsCredentialProvider>,
    ) -> Result<Self, StorageError> {
        let path = path::local_path(location).map_err(|cause| StorageError::Location {
            location: location.to_owned(),
            reason: format!("{cause}; {}", cause.help()),
        })?;
        if let Some(path) = path {
            return Self::open_local(&path);
        }
        let scheme = location.split_once("://").map_or("", |(scheme, _)| scheme);
        match scheme {
            "s3" | "s3a" => {
                let (store, prefix, location) = s3::open(location, settings, credentials)?;
                Ok(Self {
                    store,
                    prefix,
                    location,
                    local: None,
                    renames: false,
                })
            }
            other => Err(StorageError::Location {
                location: error::redact(location),
                reason: format!(
                    "`{other}` is no supported scheme: use a path, `file://` or `s3://`"
                ),
            }),
        }
    }

    fn open_local(path: &FilePath) -> Result<Self, StorageError> {
        let absolute = std::path::absolute(path).map_err(|error| StorageError::Location {
            location: path.display().to_string(),
            reason: error.to_string(),
        })?;
        let prefix =
            Path::from_absolute_path(&absolute).map_err(|error| StorageError::Location {
                location: path.display().to_string(),
                reason: error.to_string(),
            })?;
        Ok(Self {
            store: Arc::new(DurableFiles::new()),
            prefix,
            location: absolute.display().to_string(),
            local: Some(absolute),
            renames: true,
        })
    }

    /// A folder of a store that was opened elsewhere: by tests, which watch or disturb it. `renames` says whether the store
    /// changes names in one step, as file systems do.
    pub fn with_store(
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        location: String,
        renames: bool,
    ) -> Self {
        Self {
            store,
            prefix,
            location,
            local: None,
            renames,
        }
    }

    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// Where people find it; without credentials.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The folder's path, where it is a local one.
    pub fn local_path(&self) -> Option<&FilePath> {
        self.local.as_deref()
    }

    /// A folder in this one.
    pub fn child(&self, relative: &str) -> Result<Self, StorageError> {
        Ok(Self {
            store: Arc::clone(&self.store),
            prefix: self.path(relative)?,
            location: format!("{}/{relative}", self.location),
            local: self.local.as_ref().map(|path| path.join(relative)),
            renames: self.renames,
        })
    }

    /// Where a file of this folder is in the store. `relative` is taken as it is: whoever makes names of data escapes them.
    pub fn path(&self, relative: &str) -> Result<Path, StorageError> {
        let inner = Path::parse(relative).map_err(|error| StorageError::Location {
            location: format!("{}/{relative}", self.location),
            reason: error.to_string(),
        })?;
        Ok(self.prefix.parts().chain(inner.parts()).collect())
    }

    /// The whole content of a small file, with its version for [`Storage::write_if`]; none where it doesn't exist.
    pub async fn read(
        &self,
        relative: &str,
    ) -> Result<Option<(Bytes, UpdateVersion)>, StorageError> {
        let found = match self.store.get(&self.path(relative)?).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("read", relative, error)),
        };
        let version = UpdateVersion {
            e_tag: found.meta.e_tag.clone(),
            version: found.meta.version.clone(),
        };
        let bytes = found
            .bytes()
            .await
            .map_err(|error| self.failed("read", relative, error))?;
        Ok(Some((bytes, version)))
    }

    /// Size of a file; none where it doesn't exist.
    pub async fn size(&self, relative: &str) -> Result<Option<u64>, StorageError> {
        match self.store.head(&self.path(relative)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look up", relative, error)),
        }
    }

    /// Writes a small file whole, in place of what may stand there.
    pub async fn write(&self, relative: &str, content: Bytes) -> Result<(), StorageError> {
        self.store
            .put(&self.path(relative)?, PutPayload::from_bytes(content))
            .await
            .map_err(|error| self.failed("write", relative, error))?;
        Ok(())
    }

    /// Writes a small file if it still is as it was read: absent for `None`.
    pub async fn write_if(
        &self,
        relative: &str,
        content: Bytes,
        expected: Option<UpdateVersion>,
    ) -> Result<Conditional, StorageError> {
        let options = PutOptions::from(expected.map_or(PutMode::Create, PutMode::Update));
        let written = self
            .store
            .put_opts(
                &self.path(relative)?,
                PutPayload::from_bytes(content),
                options,
            )
            .await;
        match written {
            Ok(result) => Ok(Conditional::Written(result.into())),
            Err(
                object_store::Error::Precondition { .. }
                | object_store::Error::AlreadyExists { .. }
                | object_store::Error::NotFound { .. },
            ) => Ok(Conditional::Conflict),
            Err(error) => Err(self.failed("write", relative, error)),
        }
    }

    /// Every file below a folder of this folder (`""`: all), sorted by path.
    pub async fn list(&self, relative: &str) -> Result<Vec<Entry>, StorageError> {
        let prefix = if relative.is_empty() {
            self.prefix.clone()
        } else {
            self.path(relative)?
        };
        let mut entries: Vec<Entry> = self
            .store
            .list(Some(&prefix))
            .try_filter_map(|meta| {
                let relative = self.relative(&meta.location);
                futures::future::ready(Ok(relative.map(|path| Entry {
                    path,
                    bytes: meta.size,
                    modified: meta.last_modified,
                })))
            })
            .try_collect()
            .await
            .map_err(|error| self.failed("list", relative, error))?;
        entries.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(entries)
    }

    /// Gives a file another name. In an object store it is copied, and the old name stays until it is deleted.
    pub async fn publish(&self, from: &str, to: &str) -> Result<(), StorageError> {
        let (source, target) = (self.path(from)?, self.path(to)?);
        let moved = if self.renames {
            self.store.rename(&source, &target).await
        } else {
            self.store.copy(&source, &target).await
        };
        moved.map_err(|error| self.failed("publish", from, error))
    }

    /// Deletes files; those that don't exist are no error.
    pub async fn delete(&self, relative: &[String]) -> Result<(), StorageError> {
        futures::stream::iter(relative.iter().map(Ok::<_, StorageError>))
            .try_for_each_concurrent(DELETES_AT_ONCE, |relative| async move {
                match self.store.delete(&self.path(relative)?).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(self.failed("delete", relative, error)),
                }
            })
            .await
    }

    /// Starts a file that is written piece by piece and doesn't exist before [`Upload::finish`].
    pub fn upload(&self, relative: &str) -> Result<Upload, StorageError> {
        Ok(Upload::new(
            Arc::clone(&self.store),
            self.path(relative)?,
            format!("{}/{relative}", self.location),
            self.local.is_some(),
        ))
    }

    /// Whether the place can be reached, without writing.
    pub async fn probe(&self) -> Result<(), StorageError> {
        if let Some(path) = &self.local {
            return local::probe(path).map_err(|error| StorageError::Failed {
                operation: "reach",
                location: self.location.clone(),
                source: object_store::Error::Generic {
                    store: "file system",
                    source: Box::new(error),
                },
            });
        }
        match self.store.list(Some(&self.prefix)).next().await {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(self.failed("reach", "", error)),
        }
    }

    /// The part of a path below this folder.
    fn relative(&self, path: &Path) -> Option<String> {
        let parts: Vec<String> = path
            .prefix_match(&self.prefix)?
            .map(|part| part.as_ref().to_owned())
            .collect();
        Some(parts.join("/"))
    }

    fn failed(
        &self,
        operation: &'static str,
        relative: &str,
        source: object_store::Error,
    ) -> StorageError {
        let location = if relative.is_empty() {
            self.location.clone()
        } else {
            format!("{}/{relative}", self.location)
        };
        StorageError::Failed {
            operation,
            location,
            source,
        }
    }
}

#[cfg(test)]
mod tests;

//! Local files as an [`ObjectStore`] whose writes have reached the disk when they return, and can be conditional.
//!
//! The file system of the `object_store` crate leaves both out: it never calls `fsync`, and refuses conditional updates.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, RenameTargetMode, Result, UpdateVersion, UploadPart,
};

/// Held by whoever updates a file of the folder conditionally.
const LOCK_FILE: &str = ".uis.lock";
const LOCK_ATTEMPTS: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The local file system, durable.
#[derive(Debug)]
pub struct DurableFiles {
    files: LocalFileSystem,
}

impl DurableFiles {
    pub fn new() -> Self {
        Self {
            files: LocalFileSystem::new(),
        }
    }

    async fn put(&self, location: &Path, payload: PutPayload, create: bool) -> Result<PutResult> {
        let path = self.files.path_to_filesystem(location)?;
        blocking(
            location,
            move |path| {
                let staged = write_staged(path, &payload)?;
                let placed = if create {
                    // A link fails where the name is taken; a rename would replace what stands there.
                    let linked = std::fs::hard_link(&staged, path);
                    std::fs::remove_file(&staged)?;
                    linked
                } else {
                    std::fs::rename(&staged, path)
                };
                placed.and_then(|()| sync_parent(path))
            },
            path,
        )
        .await?;
        let meta = self.files.head(location).await?;
        Ok(PutResult {
            e_tag: meta.e_tag,
            version: None,
        })
    }

    async fn update(
        &self,
        location: &Path,
        payload: PutPayload,
        expected: &UpdateVersion,
    ) -> Result<PutResult> {
        let path = self.files.path_to_filesystem(location)?;
        // Dropping the file gives the lock back.
        let _lock = blocking(location, lock_folder, path).await?;
        let found = self.files.head(location).await?;
        if found.e_tag != expected.e_tag {
            return Err(Error::Precondition {
                path: location.to_string(),
                source: "the file was changed in between".into(),
            });
        }
        self.put(location, payload, false).await
    }
}

impl Default for DurableFiles {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for DurableFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("file system")
    }
}

#[async_trait]
impl ObjectStore for DurableFiles {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        match &options.mode {
            PutMode::Overwrite => self.put(location, payload, false).await,
            PutMode::Create => self.put(location, payload, true).await,
            PutMode::Update(expected) => self.update(location, payload, expected).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.files.path_to_filesystem(location)?;
        blocking(location, create_parent, path.clone()).await?;
        let upload = self.files.put_multipart_opts(location, options).await?;
        Ok(Box::new(DurableUpload {
            upload,
            location: location.clone(),
            path,
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<bytes::Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let files = LocalFileSystem::new();
        locations
            .then(move |location| {
                let path = location
                    .as_ref()
                    .ok()
                    .map(|location| files.path_to_filesystem(location));
                async move {
                    let location = location?;
                    if let Some(path) = path {
                        // A file that was deleted must not be back after a power failure.
                        blocking(
                            &location,
                            |path| std::fs::remove_file(path).and_then(|()| sync_parent(path)),
                            path?,
                        )
                        .await?;
                    }
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let path = self.files.path_to_filesystem(to)?;
        blocking(to, create_parent, path.clone()).await?;
        self.files.copy_opts(from, to, options).await?;
        blocking(to, sync_file, path).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let source = self.files.path_to_filesystem(from)?;
        let target = self.files.path_to_filesystem(to)?;
        if options.target_mode == RenameTargetMode::Create {
            return self.files.rename_opts(from, to, options).await;
        }
        blocking(
            from,
            move |source| {
                create_parent(&target)?;
                std::fs::rename(source, &target)?;
                sync_parent(&target)?;
                sync_parent(source)
            },
            source,
        )
        .await
    }
}

/// An upload whose file has reached the disk when it is complete.
#[derive(Debug)]
struct DurableUpload {
    upload: Box<dyn MultipartUpload>,
    location: Path,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.upload.complete().await?;
        blocking(&self.location, sync_file, self.path.clone()).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

/// Whether files can be made in the folder, or in the nearest folder above it that exists; nothing is written.
pub(super) fn probe(folder: &FilePath) -> io::Result<()> {
    let existing = folder
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or(folder);
    let meta = std::fs::metadata(existing)?;
    if !meta.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            format!("`{}` is a file", existing.display()),
        ));
    }
    if meta.permissions().readonly() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("`{}` is read-only", existing.display()),
        ));
    }
    Ok(())
}

/// Runs file work where it may block, and says which file it was about.
async fn blocking<T: Send + 'static>(
    location: &Path,
    work: impl FnOnce(&FilePath) -> io::Result<T> + Send + 'static,
    path: PathBuf,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(move || work(&path)).await?;
    done.map_err(|source| {
        let path = location.to_string();
        let source: Box<dyn std::error::Error + Send + Sync> = match source.kind() {
            io::ErrorKind::NotFound => {
                return Error::NotFound {
                    path,
                    source: source.into(),
                };
            }
            io::ErrorKind::AlreadyExists => {
                return Error::AlreadyExists {
                    path,
                    source: source.into(),
                };
            }
            _ => source.into(),
        };
        Error::Generic {
            store: "file system",
            source,
        }
    })
}

/// Writes the content beside its place, under a name that listings leave out, and returns that name.
fn write_staged(path: &FilePath, payload: &PutPayload) -> io::Result<PathBuf> {
    create_parent(path)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!("#{}", rand::random::<u64>()));
    let staged = PathBuf::from(name);
    let written = File::create_new(&staged).and_then(|mut file| {
        payload.iter().try_for_each(|piece| file.write_all(piece))?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(staged),
        Err(error) => {
            // The first error tells more than one of tidying up would.
            let _ = std::fs::remove_file(&staged);
            Err(error)
        }
    }
}

/// Makes the folders above a file, each durably.
fn create_parent(path: &FilePath) -> io::Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    if parent.is_dir() {
        return Ok(());
    }
    create_parent(parent)?;
    match std::fs::create_dir(parent) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_parent(parent),
    }
}

fn sync_file(path: &FilePath) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    sync_parent(path)
}

/// A name is durable when the folder that holds it is.
fn sync_parent(path: &FilePath) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Takes the folder's lock, or gives up after ten seconds: nobody holds it longer than one small write.
fn lock_folder(path: &FilePath) -> io::Result<File> {
    let lock = path.with_file_name(LOCK_FILE);
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&lock)?;
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        format!("`{}` is locked by another process", lock.display()),
    ))
}

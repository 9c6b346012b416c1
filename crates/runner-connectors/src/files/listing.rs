//! Finds the files of a stream, in the order of their names.

use std::fs;
use std::path::Path as FilePath;

use futures::TryStreamExt;
use globset::GlobMatcher;
use object_store::{ObjectMeta, ObjectStoreExt};
use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::DataFormat;

use super::content::version;
use super::error;
use super::kind::FileKind;
use super::location::{Location, Place};
use super::piece::Piece;
use super::remote;
use crate::storage::{Storage, StorageError};

/// Folders in folders: more of them are a loop of links.
const MAX_DEPTH: usize = 64;

/// A file as it was found.
#[derive(Debug)]
struct Found {
    /// Below the place, for the pattern.
    name: String,
    path: String,
    key: Option<String>,
    bytes: u64,
    version: String,
}

/// The files that a location means; at least one.
pub(super) async fn list(
    location: Location,
    storage: Option<&Storage>,
    declared: Option<DataFormat>,
) -> Result<Vec<Piece>> {
    let (all, location) = if let Some(storage) = storage {
        let all = remote_files(storage, location.pattern.is_some()).await?;
        (all, location)
    } else {
        tokio::task::spawn_blocking(move || local_files(&location).map(|all| (all, location)))
            .await
            .map_err(|failure| {
                Error::new(ErrorKind::Internal, "the listing of files stopped").with_source(failure)
            })??
    };
    let Location { text, pattern, .. } = location;
    let seen = all.len();
    let mut files: Vec<Found> = all
        .into_iter()
        .filter(|file| is_meant(file, pattern.as_ref()))
        .collect();
    if files.is_empty() {
        return Err(error::no_match(&text, seen));
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    files
        .into_iter()
        .map(|file| {
            Ok(Piece {
                kind: FileKind::of_name(&file.path, declared)?,
                path: file.path,
                key: file.key,
                bytes: file.bytes,
                version: file.version,
                part: None,
            })
        })
        .collect()
}

/// Hidden files (`.`) and what engines leave beside their data (`_SUCCESS`) are none of a folder's.
fn is_meant(file: &Found, pattern: Option<&GlobMatcher>) -> bool {
    if file.name.is_empty() {
        return true;
    }
    let is_hidden = |name: &str| name.starts_with(['.', '_']);
    match pattern {
        Some(pattern) => {
            // A pattern that names hidden files means them.
            let names_hidden = pattern.glob().glob().split('/').any(is_hidden);
            pattern.is_match(&file.name) && (names_hidden || !file.name.split('/').any(is_hidden))
        }
        None => !file.name.split('/').any(is_hidden),
    }
}

fn local_files(location: &Location) -> Result<Vec<Found>> {
    let Place::Local(place) = &location.place else {
        return Ok(Vec::new());
    };
    let shown = place.display().to_string();
    let metadata = fs::metadata(place).map_err(|cause| error::unreadable(&shown, cause))?;
    let mut found = Vec::new();
    if metadata.is_file() {
        found.push(local_file(place, String::new(), &metadata)?);
    } else if metadata.is_dir() {
        walk(place, "", 0, &mut found)?;
    } else {
        return Err(Error::new(
            ErrorKind::Config,
            format!("`{shown}` is neither a file nor a folder"),
        )
        .with_help(
            "a pipe or a device can't be read again after a crash: write its bytes to a file",
        ));
    }
    Ok(found)
}

fn walk(folder: &FilePath, below: &str, depth: usize, found: &mut Vec<Found>) -> Result<()> {
    let shown = folder.display().to_string();
    let unreadable = |cause| error::unreadable(&shown, cause);
    if depth > MAX_DEPTH {
        return Err(Error::new(
            ErrorKind::SourceUnavailable,
            format!("the folders at `{shown}` lie more than {MAX_DEPTH} deep"),
        )
        .with_help("a link that leads back to a folder above it makes a loop"));
    }
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(Error::new(
                ErrorKind::SourceUnavailable,
                format!("the name `{}` is not UTF-8", path.display()),
            )
            .with_help("give the file another name"));
        };
        let name = if below.is_empty() {
            name.to_owned()
        } else {
            format!("{below}/{name}")
        };
        // Links are followed.
        let metadata = fs::metadata(&path)
            .map_err(|cause| error::unreadable(&path.display().to_string(), cause))?;
        if metadata.is_dir() {
            walk(&path, &name, depth + 1, found)?;
        } else if metadata.is_file() {
            found.push(local_file(&path, name, &metadata)?);
        }
    }
    Ok(())
}

fn local_file(path: &FilePath, name: String, metadata: &fs::Metadata) -> Result<Found> {
    let Some(text) = path.to_str() else {
        return Err(Error::new(
            ErrorKind::SourceUnavailable,
            format!("the name `{}` is not UTF-8", path.display()),
        ));
    };
    Ok(Found {
        name,
        path: text.strip_prefix("./").unwrap_or(text).to_owned(),
        key: None,
        bytes: metadata.len(),
        version: version(metadata),
    })
}

/// The object that is called so, or everything below that folder.
async fn remote_files(storage: &Storage, is_folder: bool) -> Result<Vec<Found>> {
    let failed = |operation, source| {
        StorageError::Failed {
            operation,
            location: storage.location().to_owned(),
            source,
        }
        .into_source()
    };
    let prefix = storage.prefix();
    if !is_folder && !prefix.as_ref().is_empty() {
        match storage.store().head(prefix).await {
            Ok(meta) => return Ok(vec![remote_file(storage, &meta, String::new())]),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(cause) => return Err(failed("look up", cause)),
        }
    }
    let metas: Vec<ObjectMeta> = storage
        .store()
        .list(Some(prefix))
        .try_collect()
        .await
        .map_err(|cause| failed("list", cause))?;
    let found: Vec<Found> = metas
        .iter()
        .filter_map(|meta| {
            let names: Vec<String> = meta
                .location
                .prefix_match(prefix)?
                .map(|part| part.as_ref().to_owned())
                .collect();
            // Some stores list a folder as an object without a name.
            (!names.is_empty()).then(|| remote_file(storage, meta, names.join("/")))
        })
        .collect();
    if found.is_empty() && !is_folder {
        return Err(error::missing(storage.location()));
    }
    Ok(found)
}

fn remote_file(storage: &Storage, meta: &ObjectMeta, name: String) -> Found {
    let path = if name.is_empty() {
        storage.location().to_owned()
    } else {
        format!("{}/{name}", storage.location())
    };
    Found {
        name,
        path,
        key: Some(meta.location.as_ref().to_owned()),
        bytes: meta.size,
        version: remote::version(meta),
    }
}

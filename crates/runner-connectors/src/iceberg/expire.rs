//! Keeps the metadata of tables small: snapshots expire, and the files that only they named go.
//!
//! Only tables that say so are touched; those created here do. Nothing here can fail a load: it is done, and what stays behind
//! is taken up by the next one.

use std::collections::{HashMap, HashSet};

use iceberg::TableUpdate;
use iceberg::spec::{
    ManifestContentType, ManifestFile, ManifestStatus, SnapshotRef, TableMetadata, TableProperties,
};
use runner_core::LoadContext;

use super::catalog::{CommitOutcome, LoadedTable, TableChange};
use super::error::{IcebergError, Result};
use super::files::TableFiles;
use super::manifests;
use super::snapshot::requirements;
use super::target::IcebergTarget;

/// The table's snapshots expire as its loads are committed.
const EXPIRE: &str = "uis.history.expire";
/// Snapshots that are kept at most, however young they are.
const MAX_SNAPSHOTS: &str = "uis.history.max-snapshots";
const DEFAULT_MAX_SNAPSHOTS: usize = 500;
const DEFAULT_MAX_AGE_MS: i64 = 5 * 24 * 60 * 60 * 1000;
/// Fewer don't expire: each time costs a commit.
const AT_LEAST: usize = 20;
/// More don't expire at once: a table with a long history isn't held up by it.
const AT_MOST: usize = 200;

/// Of tables that are created here.
pub(super) fn new_properties() -> HashMap<String, String> {
    HashMap::from([
        (EXPIRE.to_owned(), "true".to_owned()),
        (MAX_SNAPSHOTS.to_owned(), DEFAULT_MAX_SNAPSHOTS.to_string()),
    ])
}

impl IcebergTarget {
    /// After a commit, whose outcome it can't change.
    pub(super) async fn expire(&self, table: LoadedTable, load: &LoadContext) {
        if let Err(error) = self.try_expire(&table, load).await {
            let error = runner_core::Error::from(error);
            tracing::warn!(table = %self.name, error = %error.chain(), "old snapshots of the table could not be expired");
        }
    }

    async fn try_expire(&self, table: &LoadedTable, load: &LoadContext) -> Result<()> {
        let metadata = &table.metadata;
        let chain = chain(metadata);
        let expired = expired(
            metadata,
            &chain,
            self.clock.now().timestamp_millis(),
            load.oldest_unfinished.map(|at| at.timestamp_millis()),
        );
        let Some((expired, first_kept)) = expired else {
            return Ok(());
        };
        if has_other_references(metadata)? {
            return Ok(());
        }
        let change = TableChange {
            requirements: requirements(metadata),
            updates: vec![TableUpdate::RemoveSnapshots {
                snapshot_ids: expired
                    .iter()
                    .map(|snapshot| snapshot.snapshot_id())
                    .collect(),
            }],
        };
        let outcome = self.catalog.commit(&self.name, table, change).await?;
        // Unless it is certain that they are gone, their files stay.
        if let CommitOutcome::Committed(_) = outcome {
            delete_files(&self.files_of(table), metadata, expired, first_kept).await?;
        }
        Ok(())
    }
}

/// From the current snapshot back to the first.
fn chain(metadata: &TableMetadata) -> Vec<SnapshotRef> {
    let mut chain = Vec::new();
    let mut next = metadata.current_snapshot();
    while let Some(snapshot) = next {
        chain.push(SnapshotRef::clone(snapshot));
        next = snapshot
            .parent_snapshot_id()
            .and_then(|id| metadata.snapshot_by_id(id));
    }
    chain
}

/// The snapshots to expire, oldest last, and the one that is the first then.
fn expired<'a>(
    metadata: &TableMetadata,
    chain: &'a [SnapshotRef],
    now_ms: i64,
    oldest_unfinished_ms: Option<i64>,
) -> Option<(&'a [SnapshotRef], &'a SnapshotRef)> {
    let properties = metadata.properties();
    let is = |name: &str, wanted: &str| {
        properties
            .get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case(wanted))
    };
    // A snapshot beside the line (a branch, a rolled-back one) is somebody's, and its files are not counted here.
    let is_line = metadata.snapshots().len() == chain.len();
    if !is(EXPIRE, "true") || is(TableProperties::PROPERTY_GC_ENABLED, "false") || !is_line {
        return None;
    }
    let number = |name: &str| properties.get(name).and_then(|value| value.parse().ok());
    let max_age: i64 =
        number(TableProperties::PROPERTY_MAX_SNAPSHOT_AGE_MS).unwrap_or(DEFAULT_MAX_AGE_MS);
    let kept = properties
        .get(TableProperties::PROPERTY_MIN_SNAPSHOTS_TO_KEEP)
        .and_then(|value| value.parse::<usize>().ok())
        .unwrap_or(1)
        .max(1);
    let most = properties
        .get(MAX_SNAPSHOTS)
        .and_then(|value| value.parse::<usize>().ok())
        .unwrap_or(DEFAULT_MAX_SNAPSHOTS);
    let first = chain.iter().enumerate().position(|(index, snapshot)| {
        let at = snapshot.timestamp_ms();
        index >= kept
            && (index >= most || at < now_ms.saturating_sub(max_age))
            && oldest_unfinished_ms.is_none_or(|oldest| at < oldest)
    })?;
    let first = first.max(chain.len().saturating_sub(AT_MOST));
    let expired = chain.get(first..)?;
    let first_kept = chain.get(first.checked_sub(1)?)?;
    (expired.len() >= AT_LEAST).then_some((expired, first_kept))
}

/// Whether a branch or a tag holds on to snapshots. The library shows references only in their JSON form.
fn has_other_references(metadata: &TableMetadata) -> Result<bool> {
    let json = serde_json::to_value(metadata)
        .map_err(IcebergError::json("read the references of the table"))?;
    Ok(json
        .get("refs")
        .and_then(serde_json::Value::as_object)
        .is_some_and(|references| references.len() > 1))
}

/// Deletes what only expired snapshots named. They were a line, so what the first kept one doesn't name, no later one does.
async fn delete_files(
    files: &TableFiles,
    metadata: &TableMetadata,
    expired: &[SnapshotRef],
    first_kept: &SnapshotRef,
) -> Result<()> {
    let kept = manifests::list(files, metadata, first_kept).await?;
    let kept_paths: HashSet<&str> = kept
        .iter()
        .map(|manifest| manifest.manifest_path.as_str())
        .collect();
    let mut old: HashMap<String, ManifestFile> = HashMap::new();
    for snapshot in expired {
        for manifest in manifests::list(files, metadata, snapshot).await? {
            old.insert(manifest.manifest_path.clone(), manifest);
        }
    }
    let oldest = expired.last().map(|snapshot| snapshot.snapshot_id());
    let ended: HashSet<i64> = expired
        .iter()
        .map(|snapshot| snapshot.snapshot_id())
        .filter(|id| Some(*id) != oldest)
        .chain([first_kept.snapshot_id()])
        .collect();
    let mut gone = removed_files(files, old.values().chain(&kept), &ended).await?;
    let dropped: Vec<&ManifestFile> = old
        .values()
        .filter(|manifest| !kept_paths.contains(manifest.manifest_path.as_str()))
        .collect();
    gone.extend(dropped_deletes(files, &dropped, &kept).await?);
    gone.extend(
        dropped
            .iter()
            .map(|manifest| manifest.manifest_path.clone()),
    );
    gone.extend(
        expired
            .iter()
            .map(|snapshot| snapshot.manifest_list().to_owned()),
    );
    for location in gone {
        files.delete(&location).await?;
    }
    Ok(())
}

/// Data files that one of these snapshots took away: only snapshots before it named them.
async fn removed_files(
    files: &TableFiles,
    manifests: impl Iterator<Item = &ManifestFile>,
    by: &HashSet<i64>,
) -> Result<HashSet<String>> {
    let io = files.file_io();
    let mut removed = HashSet::new();
    for file in manifests {
        if !file.has_deleted_files() || !by.contains(&file.added_snapshot_id) {
            continue;
        }
        let manifest = manifests::read(&io, file).await?;
        removed.extend(
            manifest
                .entries()
                .iter()
                .filter(|entry| {
                    entry.status() == ManifestStatus::Deleted
                        && entry.snapshot_id().is_some_and(|id| by.contains(&id))
                })
                .map(|entry| entry.file_path().to_owned()),
        );
    }
    Ok(removed)
}

/// Delete files of manifests that were left out whole, as a replace of the whole table does.
async fn dropped_deletes(
    files: &TableFiles,
    dropped: &[&ManifestFile],
    kept: &[ManifestFile],
) -> Result<HashSet<String>> {
    let is_deletes = |manifest: &&ManifestFile| manifest.content == ManifestContentType::Deletes;
    let mut gone = HashSet::new();
    let mut still = HashSet::new();
    let io = files.file_io();
    for (file, is_kept) in dropped
        .iter()
        .copied()
        .filter(is_deletes)
        .map(|file| (file, false))
        .chain(kept.iter().filter(is_deletes).map(|file| (file, true)))
    {
        let manifest = manifests::read(&io, file).await?;
        let names = if is_kept { &mut still } else { &mut gone };
        names.extend(
            manifest
                .entries()
                .iter()
                .filter(|entry| entry.is_alive())
                .map(|entry| entry.file_path().to_owned()),
        );
    }
    gone.retain(|location| !still.contains(location));
    Ok(gone)
}

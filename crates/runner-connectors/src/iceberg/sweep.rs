//! Takes away files that no snapshot names: parts of loads that were given up, and what crashes left behind.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use iceberg::spec::{ManifestFile, TableMetadata};
use runner_core::Part;

use super::data_file::FileDetails;
use super::error::Result;
use super::files::TableFiles;
use super::manifests;
use super::mark;
use super::target::IcebergTarget;
use super::writer::feed_prefix;

/// Property of a snapshot's summary that names its load.
pub(super) const LOAD_ID: &str = "uis.load-id";

impl IcebergTarget {
    /// Deletes parts, but for those that the table names.
    pub(super) async fn discard_parts(&self, parts: &[Part]) -> Result<()> {
        let parts = parts
            .iter()
            .map(FileDetails::of)
            .collect::<Result<Vec<_>>>()?;
        let table = self.load().await?;
        let (_, files) = self.folders(table.as_ref());
        let Some(table) = table else {
            for details in &parts {
                files.delete(&details.location).await?;
            }
            return Ok(());
        };
        let mut named: HashMap<String, HashSet<String>> = HashMap::new();
        for details in &parts {
            if !may_be_named(&table.metadata, details)? {
                files.delete(&details.location).await?;
                continue;
            }
            let load_id = &details.mark.load_id;
            if !named.contains_key(load_id) {
                let found = named_by_load(&files, &table.metadata, load_id).await?;
                named.insert(load_id.clone(), found);
            }
            if !named[load_id].contains(&details.location) {
                files.delete(&details.location).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn sweep_leftovers(
        &self,
        recorded: &BTreeSet<String>,
        older_than: DateTime<Utc>,
        dry_run: bool,
    ) -> Result<Vec<String>> {
        let table = self.load().await?;
        let (folders, files) = self.folders(table.as_ref());
        let prefix = format!("{}-", feed_prefix(&mark::key(&self.feed, &self.plan.id)));
        let mut leftovers = Vec::new();
        for folder in folders {
            let found = files.list(&folder).await?;
            leftovers.extend(
                found
                    .into_iter()
                    .filter(|(location, entry)| {
                        let name = location.rsplit('/').next().unwrap_or(location);
                        name.starts_with(&prefix)
                            && entry.modified < older_than
                            && !recorded.contains(name)
                    })
                    .map(|(location, _)| location),
            );
        }
        if let Some(table) = &table
            && !leftovers.is_empty()
        {
            let named = named(&files, &table.metadata).await?;
            leftovers.retain(|location| !named.contains(location));
        }
        if !dry_run {
            for location in &leftovers {
                files.delete(location).await?;
            }
        }
        Ok(leftovers)
    }
}

/// Whether the load of a part has been committed, or was overtaken by one that was: only then can the table name the part.
fn may_be_named(metadata: &TableMetadata, details: &FileDetails) -> Result<bool> {
    Ok(mark::read(metadata, &details.mark.key)?.is_some_and(|mark| mark.seq >= details.mark.seq))
}

/// Files that the load's own snapshot added. Where that has expired, all that the table names.
async fn named_by_load(
    files: &TableFiles,
    metadata: &TableMetadata,
    load_id: &str,
) -> Result<HashSet<String>> {
    let snapshot = metadata.snapshots().find(|snapshot| {
        let summary = &snapshot.summary().additional_properties;
        summary.get(LOAD_ID).map(String::as_str) == Some(load_id)
    });
    let Some(snapshot) = snapshot else {
        return named(files, metadata).await;
    };
    let id = snapshot.snapshot_id();
    let manifests: Vec<ManifestFile> = manifests::list(files, metadata, snapshot)
        .await?
        .into_iter()
        .filter(|manifest| manifest.added_snapshot_id == id)
        .collect();
    collect(files, &manifests).await
}

/// Files that any snapshot names, the deleted ones too: an earlier snapshot has them.
async fn named(files: &TableFiles, metadata: &TableMetadata) -> Result<HashSet<String>> {
    let mut all: HashMap<String, ManifestFile> = HashMap::new();
    let mut lists = Vec::new();
    for snapshot in metadata.snapshots() {
        lists.push(snapshot.manifest_list().to_owned());
        for manifest in manifests::list(files, metadata, snapshot).await? {
            all.insert(manifest.manifest_path.clone(), manifest);
        }
    }
    let manifests: Vec<ManifestFile> = all.into_values().collect();
    let mut named = collect(files, &manifests).await?;
    named.extend(lists);
    named.extend(manifests.into_iter().map(|manifest| manifest.manifest_path));
    Ok(named)
}

async fn collect(files: &TableFiles, manifests: &[ManifestFile]) -> Result<HashSet<String>> {
    let io = files.file_io();
    let mut named = HashSet::new();
    for file in manifests {
        let manifest = manifests::read(&io, file).await?;
        named.extend(
            manifest
                .entries()
                .iter()
                .map(|entry| entry.file_path().to_owned()),
        );
    }
    Ok(named)
}

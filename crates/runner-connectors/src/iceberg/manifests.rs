//! Manifests: reading those of a snapshot, and writing those of the next one.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, FormatVersion, Manifest, ManifestContentType, ManifestFile, ManifestList,
    ManifestListWriter, ManifestWriter, ManifestWriterBuilder, PartitionSpec, SchemaRef, Snapshot,
    TableMetadata,
};

use super::error::{IcebergError, Result};
use super::files::TableFiles;

/// Entries of one new manifest.
const ENTRIES: usize = 10_000;
/// Manifests read at once.
const READS: usize = 8;

const MERGE_ENABLED: &str = "commit.manifest-merge.enabled";
const MERGE_COUNT: &str = "commit.manifest.min-count-to-merge";
const MERGE_BYTES: &str = "commit.manifest.target-size-bytes";

/// Manifests of a snapshot.
pub(super) async fn list(
    files: &TableFiles,
    metadata: &TableMetadata,
    snapshot: &Snapshot,
) -> Result<Vec<ManifestFile>> {
    let location = snapshot.manifest_list();
    let content = files.read(location).await?;
    ManifestList::parse_with_version(&content, metadata.format_version())
        .map(|list| list.consume_entries().into_iter().collect())
        .map_err(IcebergError::metadata(format!(
            "read the manifest list `{location}`"
        )))
}

/// Manifests of the current snapshot that still name files.
pub(super) async fn current(
    files: &TableFiles,
    metadata: &TableMetadata,
) -> Result<Vec<ManifestFile>> {
    let Some(snapshot) = metadata.current_snapshot() else {
        return Ok(Vec::new());
    };
    let mut manifests = list(files, metadata, snapshot).await?;
    manifests.retain(|manifest| manifest.has_added_files() || manifest.has_existing_files());
    Ok(manifests)
}

pub(super) async fn read(io: &FileIO, file: &ManifestFile) -> Result<Manifest> {
    file.load_manifest(io)
        .await
        .map_err(IcebergError::metadata(format!(
            "read the manifest `{}`",
            file.manifest_path
        )))
}

/// Reads several, in order.
pub(super) async fn read_all(
    io: &FileIO,
    manifests: &[ManifestFile],
) -> Result<Vec<(ManifestFile, Manifest)>> {
    futures::stream::iter(manifests.iter().cloned())
        .map(|file| async move {
            let manifest = read(io, &file).await?;
            Ok((file, manifest))
        })
        .buffered(READS)
        .try_collect()
        .await
}

/// A file that a snapshot adds.
#[derive(Clone, Debug)]
pub(super) struct AddedFile {
    pub file: DataFile,
    pub spec_id: i32,
}

/// Writes the manifests of one new snapshot.
pub(super) struct SnapshotManifests<'a> {
    io: FileIO,
    metadata: &'a TableMetadata,
    snapshot_id: i64,
    sequence_number: i64,
    /// Prefix of the names of this attempt's files.
    name: String,
    written: Vec<String>,
}

/// The manifests of the new snapshot, and what is known of them.
#[derive(Debug, Default)]
pub(super) struct ManifestChange {
    pub manifests: Vec<ManifestFile>,
    pub removed_files: u64,
    pub removed_rows: u64,
    pub removed_bytes: u64,
}

impl<'a> SnapshotManifests<'a> {
    pub(super) fn new(
        files: &TableFiles,
        metadata: &'a TableMetadata,
        snapshot_id: i64,
        name: &str,
    ) -> Self {
        let sequence_number = match metadata.format_version() {
            FormatVersion::V1 => 0,
            FormatVersion::V2 | FormatVersion::V3 => metadata.next_sequence_number(),
        };
        Self {
            io: files.file_io(),
            metadata,
            snapshot_id,
            sequence_number,
            name: format!("{}/metadata/{name}", metadata.location()),
            written: Vec::new(),
        }
    }

    pub(super) fn sequence_number(&self) -> i64 {
        self.sequence_number
    }

    /// Locations of everything written, for taking it back after a commit that certainly didn't happen.
    pub(super) fn written(self) -> Vec<String> {
        self.written
    }

    /// Adds files, and takes away those at the `removed` locations, all of which must be there.
    pub(super) async fn change(
        &mut self,
        current: Vec<ManifestFile>,
        added: Vec<AddedFile>,
        removed: &HashSet<String>,
        drops_deletes: bool,
    ) -> Result<Option<ManifestChange>> {
        let mut change = ManifestChange::default();
        let (data, deletes): (Vec<_>, Vec<_>) = current
            .into_iter()
            .partition(|manifest| manifest.content == ManifestContentType::Data);
        let mut carried = if removed.is_empty() {
            data
        } else {
            self.without(data, removed, &mut change).await?
        };
        if change.removed_files != removed.len() as u64 {
            return Ok(None);
        }
        let mut new = self.add(added).await?;
        new.append(&mut carried);
        change.manifests = self.merge(new).await?;
        if !drops_deletes {
            change.manifests.extend(deletes);
        }
        Ok(Some(change))
    }

    async fn add(&mut self, added: Vec<AddedFile>) -> Result<Vec<ManifestFile>> {
        let mut by_spec: BTreeMap<i32, Vec<DataFile>> = BTreeMap::new();
        for added in added {
            by_spec.entry(added.spec_id).or_default().push(added.file);
        }
        let schema = Arc::clone(self.metadata.current_schema());
        let mut manifests = Vec::new();
        for (spec_id, files) in by_spec {
            for files in files.chunks(ENTRIES) {
                let spec = self.spec(spec_id)?;
                let mut writer = self.writer(Arc::clone(&schema), spec)?;
                for file in files {
                    writer
                        // Readers take the sequence number of the commit, whichever it turns out to be.
                        .add_file(file.clone(), -1)
                        .map_err(IcebergError::metadata("add a file to a manifest"))?;
                }
                manifests.push(self.finish(writer).await?);
            }
        }
        Ok(manifests)
    }

    /// The manifests with the removed files marked as deleted, and the others as they are.
    async fn without(
        &mut self,
        manifests: Vec<ManifestFile>,
        removed: &HashSet<String>,
        change: &mut ManifestChange,
    ) -> Result<Vec<ManifestFile>> {
        let mut kept = Vec::with_capacity(manifests.len());
        let io = self.io.clone();
        let mut readings = futures::stream::iter(manifests)
            .map(|file| {
                let io = io.clone();
                async move {
                    let manifest = read(&io, &file).await?;
                    Ok::<_, IcebergError>((file, manifest))
                }
            })
            .buffered(READS);
        while let Some((file, manifest)) = readings.try_next().await? {
            let is_touched = manifest
                .entries()
                .iter()
                .any(|entry| entry.is_alive() && removed.contains(entry.file_path()));
            if is_touched {
                kept.push(self.filter(&manifest, removed, change).await?);
            } else {
                kept.push(file);
            }
        }
        Ok(kept)
    }

    async fn filter(
        &mut self,
        manifest: &Manifest,
        removed: &HashSet<String>,
        change: &mut ManifestChange,
    ) -> Result<ManifestFile> {
        let mut writer = self.writer(
            Arc::clone(manifest.metadata().schema()),
            manifest.metadata().partition_spec().clone(),
        )?;
        for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
            let file = entry.data_file().clone();
            let sequence_number = entry.sequence_number().unwrap_or(0);
            let file_sequence_number = entry.file_sequence_number.or(Some(sequence_number));
            let added = if removed.contains(entry.file_path()) {
                change.removed_files += 1;
                change.removed_rows += entry.record_count();
                change.removed_bytes += entry.file_size_in_bytes();
                writer.add_delete_file(file, sequence_number, file_sequence_number)
            } else {
                let snapshot_id = entry.snapshot_id().unwrap_or(self.snapshot_id);
                writer.add_existing_file(file, snapshot_id, sequence_number, file_sequence_number)
            };
            added.map_err(IcebergError::metadata("rewrite a manifest"))?;
        }
        self.finish(writer).await
    }

    /// Makes few manifests of many. Those of a spec are packed up to the table's size for one; the pack with this snapshot's own
    /// waits until it has enough of them, so that most commits write no more than what they add.
    async fn merge(&mut self, manifests: Vec<ManifestFile>) -> Result<Vec<ManifestFile>> {
        let is_enabled = self
            .metadata
            .properties()
            .get(MERGE_ENABLED)
            .is_none_or(|value| !value.eq_ignore_ascii_case("false"));
        if !is_enabled {
            return Ok(manifests);
        }
        let count = self.setting(MERGE_COUNT, 100);
        let target = self.setting(MERGE_BYTES, 8 << 20);
        let mut by_spec: BTreeMap<i32, Vec<ManifestFile>> = BTreeMap::new();
        for manifest in manifests {
            by_spec
                .entry(manifest.partition_spec_id)
                .or_default()
                .push(manifest);
        }
        let mut merged = Vec::new();
        for manifests in by_spec.into_values() {
            for bin in bins(manifests, target) {
                let is_fresh = bin
                    .iter()
                    .any(|manifest| manifest.added_snapshot_id == self.snapshot_id);
                if is_fresh && (bin.len() as u64) < count {
                    merged.extend(bin);
                } else {
                    merged.extend(self.merge_bin(bin).await?);
                }
            }
        }
        Ok(merged)
    }

    async fn merge_bin(&mut self, bin: Vec<ManifestFile>) -> Result<Vec<ManifestFile>> {
        if bin.len() < 2 {
            return Ok(bin);
        }
        let read = read_all(&self.io, &bin).await?;
        let Some((first, rest)) = read.split_first() else {
            return Ok(bin);
        };
        let schema = Arc::clone(self.metadata.current_schema());
        let spec = first.1.metadata().partition_spec().clone();
        // A column that changed its type since makes partitions of another type, which one manifest can't hold.
        let partition_type = |manifest: &Manifest| {
            manifest
                .metadata()
                .partition_spec()
                .partition_type(manifest.metadata().schema())
        };
        let wanted = spec
            .partition_type(&schema)
            .map_err(IcebergError::metadata("merge manifests"))?;
        let fits =
            |manifest: &Manifest| partition_type(manifest).is_ok_and(|found| found == wanted);
        if !fits(&first.1) || !rest.iter().all(|(_, manifest)| fits(manifest)) {
            return Ok(bin);
        }
        let mut writer = self.writer(schema, spec)?;
        for (file, manifest) in &read {
            self.copy(&mut writer, file, manifest)?;
        }
        Ok(vec![self.finish(writer).await?])
    }

    fn copy(
        &self,
        writer: &mut ManifestWriter,
        file: &ManifestFile,
        manifest: &Manifest,
    ) -> Result<()> {
        let is_ours = file.added_snapshot_id == self.snapshot_id;
        for entry in manifest.entries() {
            let data_file = entry.data_file().clone();
            let sequence_number = entry.sequence_number().unwrap_or(0);
            let file_sequence_number = entry.file_sequence_number.or(Some(sequence_number));
            let is_from_this_snapshot = is_ours && entry.snapshot_id() == Some(self.snapshot_id);
            let added = if !entry.is_alive() {
                // What an earlier snapshot took away is its own affair; what this one does must stay on record.
                if !is_from_this_snapshot {
                    continue;
                }
                writer.add_delete_file(data_file, sequence_number, file_sequence_number)
            } else if is_from_this_snapshot {
                writer.add_file(data_file, -1)
            } else {
                let snapshot_id = entry.snapshot_id().unwrap_or(file.added_snapshot_id);
                writer.add_existing_file(
                    data_file,
                    snapshot_id,
                    sequence_number,
                    file_sequence_number,
                )
            };
            added.map_err(IcebergError::metadata("merge manifests"))?;
        }
        Ok(())
    }

    /// Writes the list, and returns its location.
    pub(super) async fn write_list(&mut self, manifests: Vec<ManifestFile>) -> Result<String> {
        let location = format!("{}-snap-{}.avro", self.name, self.snapshot_id);
        let doing = || IcebergError::metadata(format!("write the manifest list `{location}`"));
        self.written.push(location.clone());
        let output = self.io.new_output(&location).map_err(doing())?;
        let output = output.writer().await.map_err(doing())?;
        let parent = self.metadata.current_snapshot_id();
        let mut writer = match self.metadata.format_version() {
            FormatVersion::V1 => ManifestListWriter::v1(output, self.snapshot_id, parent),
            FormatVersion::V2 | FormatVersion::V3 => {
                ManifestListWriter::v2(output, self.snapshot_id, parent, self.sequence_number)
            }
        };
        writer
            .add_manifests(manifests.into_iter())
            .map_err(doing())?;
        writer.close().await.map_err(doing())?;
        Ok(location)
    }

    fn writer(&mut self, schema: SchemaRef, spec: PartitionSpec) -> Result<ManifestWriter> {
        let location = format!("{}-m{}.avro", self.name, self.written.len());
        let output = self
            .io
            .new_output(&location)
            .map_err(IcebergError::metadata(format!(
                "write the manifest `{location}`"
            )))?;
        self.written.push(location);
        let builder = ManifestWriterBuilder::new(output, Some(self.snapshot_id), schema, spec);
        Ok(match self.metadata.format_version() {
            FormatVersion::V1 => builder.build_v1(),
            FormatVersion::V2 | FormatVersion::V3 => builder.build_v2_data(),
        })
    }

    async fn finish(&self, writer: ManifestWriter) -> Result<ManifestFile> {
        writer
            .write_manifest_file()
            .await
            .map_err(IcebergError::metadata("write a manifest"))
    }

    fn spec(&self, id: i32) -> Result<PartitionSpec> {
        self.metadata
            .partition_spec_by_id(id)
            .map(|spec| PartitionSpec::clone(spec))
            .ok_or_else(|| IcebergError::Broken(format!("the table has no partition spec {id}")))
    }

    fn setting(&self, name: &str, default: u64) -> u64 {
        self.metadata
            .properties()
            .get(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    }

    /// Takes back what was written, after a commit that certainly didn't happen. What can't be deleted is swept later.
    pub(super) async fn take_back(files: &TableFiles, written: &[String]) {
        for location in written {
            if let Err(error) = files.delete(location).await {
                tracing::warn!(location, %error, "a manifest that no snapshot names could not be deleted");
            }
        }
    }

    pub(super) fn metadata(&self) -> &'a TableMetadata {
        self.metadata
    }
}

/// Neighbours together, each bin up to the size.
fn bins(manifests: Vec<ManifestFile>, target: u64) -> Vec<Vec<ManifestFile>> {
    let mut bins: Vec<Vec<ManifestFile>> = Vec::new();
    let mut size = 0;
    for manifest in manifests {
        let length = u64::try_from(manifest.manifest_length).unwrap_or(0);
        match bins.last_mut() {
            Some(bin) if size + length <= target => {
                bin.push(manifest);
                size += length;
            }
            _ => {
                bins.push(vec![manifest]);
                size = length;
            }
        }
    }
    bins
}

//! The next snapshot of a table: its manifests, its summary, and the change of metadata that makes it current.

use std::collections::{HashMap, HashSet};

use iceberg::spec::{
    FormatVersion, MAIN_BRANCH, ManifestFile, Operation, Snapshot, Summary, TableMetadata,
    TableMetadataBuilder,
};
use iceberg::{TableRequirement, TableUpdate};
use runner_core::{Clock, LoadContext};

use super::catalog::TableChange;
use super::error::{IcebergError, Result};
use super::files::TableFiles;
use super::manifests::{AddedFile, ManifestChange, SnapshotManifests};
use super::sweep::LOAD_ID;
use super::writer::file_prefix;

/// What a load changes of a table's files.
#[derive(Clone, Debug, Default)]
pub(super) struct FileChange {
    pub added: Vec<AddedFile>,
    /// Locations.
    pub removed: HashSet<String>,
    /// Every data file goes, so that no delete file has anything left to say.
    pub drops_deletes: bool,
    pub overwrites: bool,
}

/// A snapshot that is written and not yet committed.
#[derive(Debug)]
pub(super) struct NewSnapshot {
    pub change: TableChange,
    /// Its manifests and their list.
    pub written: Vec<String>,
}

/// Writes the snapshot, or none where a file that is to go is gone already.
pub(super) async fn write(
    files: &TableFiles,
    metadata: &TableMetadata,
    current: Vec<ManifestFile>,
    change: FileChange,
    load: &LoadContext,
    clock: &dyn Clock,
) -> Result<Option<NewSnapshot>> {
    let snapshot_id = new_id(metadata);
    let mut manifests =
        SnapshotManifests::new(files, metadata, snapshot_id, &file_prefix(load, "s"));
    let snapshot = build(&mut manifests, snapshot_id, current, change, load, clock).await;
    let written = manifests.written();
    let updates = match snapshot {
        Ok(Some(snapshot)) => publish(metadata, snapshot),
        Ok(None) => {
            SnapshotManifests::take_back(files, &written).await;
            return Ok(None);
        }
        Err(error) => Err(error),
    };
    match updates {
        Ok(updates) => Ok(Some(NewSnapshot {
            change: TableChange {
                requirements: requirements(metadata),
                updates,
            },
            written,
        })),
        Err(error) => {
            SnapshotManifests::take_back(files, &written).await;
            Err(error)
        }
    }
}

async fn build(
    manifests: &mut SnapshotManifests<'_>,
    snapshot_id: i64,
    current: Vec<ManifestFile>,
    change: FileChange,
    load: &LoadContext,
    clock: &dyn Clock,
) -> Result<Option<Snapshot>> {
    let metadata = manifests.metadata();
    let counts = Counts::of(&change);
    let Some(changed) = manifests
        .change(current, change.added, &change.removed, change.drops_deletes)
        .await?
    else {
        return Ok(None);
    };
    let summary = Summary {
        operation: if change.overwrites {
            Operation::Overwrite
        } else {
            Operation::Append
        },
        additional_properties: summary(metadata, &counts, &changed, change.drops_deletes, load),
    };
    let list = manifests.write_list(changed.manifests).await?;
    // Clocks of different machines differ; a table's history goes forward.
    let timestamp = clock
        .now()
        .timestamp_millis()
        .max(metadata.last_updated_ms());
    Ok(Some(
        Snapshot::builder()
            .with_snapshot_id(snapshot_id)
            .with_parent_snapshot_id(metadata.current_snapshot_id())
            .with_sequence_number(manifests.sequence_number())
            .with_timestamp_ms(timestamp)
            .with_manifest_list(list)
            .with_summary(summary)
            .with_schema_id(metadata.current_schema_id())
            .build(),
    ))
}

/// The updates that make it the main branch's; what the branch says of its retention stays.
fn publish(metadata: &TableMetadata, snapshot: Snapshot) -> Result<Vec<TableUpdate>> {
    metadata
        .clone()
        .into_builder(None)
        .set_branch_snapshot(snapshot, MAIN_BRANCH)
        .and_then(TableMetadataBuilder::build)
        .map(|built| built.changes)
        .map_err(IcebergError::metadata("add a snapshot to the table"))
}

/// The table is still this one, and nobody has committed since.
pub(super) fn requirements(metadata: &TableMetadata) -> Vec<TableRequirement> {
    vec![
        TableRequirement::UuidMatch {
            uuid: metadata.uuid(),
        },
        TableRequirement::RefSnapshotIdMatch {
            r#ref: MAIN_BRANCH.to_owned(),
            snapshot_id: metadata.current_snapshot_id(),
        },
    ]
}

fn new_id(metadata: &TableMetadata) -> i64 {
    loop {
        // Positive, as other writers' are.
        let id = rand::random::<i64>() & i64::MAX;
        if metadata.snapshot_by_id(id).is_none() {
            return id;
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    files: u64,
    rows: u64,
    bytes: u64,
}

impl Counts {
    fn of(change: &FileChange) -> Self {
        change
            .added
            .iter()
            .fold(Self::default(), |counts, added| Self {
                files: counts.files + 1,
                rows: counts.rows + added.file.record_count(),
                bytes: counts.bytes + added.file.file_size_in_bytes(),
            })
    }
}

/// For people, and for readers that estimate sizes. The mark is elsewhere: a snapshot expires.
fn summary(
    metadata: &TableMetadata,
    added: &Counts,
    removed: &ManifestChange,
    drops_deletes: bool,
    load: &LoadContext,
) -> HashMap<String, String> {
    let mut summary = HashMap::from([
        ("engine-name".to_owned(), "ingestion-runner".to_owned()),
        (
            "engine-version".to_owned(),
            env!("CARGO_PKG_VERSION").to_owned(),
        ),
        (LOAD_ID.to_owned(), load.id.to_string()),
        ("uis.feed".to_owned(), load.feed.to_string()),
    ]);
    let mut put = |name: &str, value: u64| {
        if value > 0 {
            summary.insert(name.to_owned(), value.to_string());
        }
    };
    put("added-data-files", added.files);
    put("added-records", added.rows);
    put("added-files-size", added.bytes);
    put("deleted-data-files", removed.removed_files);
    put("deleted-records", removed.removed_rows);
    put("removed-files-size", removed.removed_bytes);
    let previous = metadata
        .current_snapshot()
        .map(|snapshot| &snapshot.summary().additional_properties);
    let mut total = |name: &str, added: u64, removed: u64| {
        let before = match previous {
            None => Some(0),
            Some(previous) => previous
                .get(name)
                .and_then(|value| value.parse::<u64>().ok()),
        };
        if let Some(before) = before {
            let now = (before + added).saturating_sub(removed);
            summary.insert(name.to_owned(), now.to_string());
        }
    };
    total("total-data-files", added.files, removed.removed_files);
    total("total-records", added.rows, removed.removed_rows);
    total("total-files-size", added.bytes, removed.removed_bytes);
    for name in [
        "total-delete-files",
        "total-position-deletes",
        "total-equality-deletes",
    ] {
        total(name, 0, if drops_deletes { u64::MAX } else { 0 });
    }
    summary
}

/// Whether this program may write to tables of this version.
pub(super) fn check_version(metadata: &TableMetadata, table: &str) -> Result<()> {
    if metadata.format_version() < FormatVersion::V3 {
        return Ok(());
    }
    Err(IcebergError::unsupported(
        format!("the table `{table}` has format version 3, which this program doesn't write"),
        "load into a table of format version 2",
    ))
}

//! Reading a table's rows as it stands: its data files, without what position deletes of other writers have taken away.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use iceberg::Runtime;
use iceberg::arrow::ArrowReaderBuilder;
use iceberg::scan::{FileScanTask, FileScanTaskDeleteFile};
use iceberg::spec::{
    DataContentType, DataFileFormat, Datum, ManifestContentType, ManifestEntry, ManifestEntryRef,
    ManifestFile, NameMapping, PartitionSpecRef, Struct, TableMetadata,
};

use runner_plan::model::ColumnField;

use super::error::{IcebergError, Result};
use super::files::TableFiles;
use super::manifests;

/// Rows of one batch.
const BATCH_ROWS: usize = 8192;

const NAME_MAPPING: &str = "schema.name-mapping.default";

/// A data file of a snapshot, with as much of its manifest entry as is needed: a table may have a great many.
#[derive(Clone, Debug)]
pub(super) struct LiveFile {
    pub location: String,
    pub rows: u64,
    pub bytes: u64,
    pub spec_id: i32,
    pub partition: Struct,
    sequence_number: i64,
    format: DataFileFormat,
    /// Least and greatest value of the columns that were asked for.
    pub bounds: Vec<(Option<Datum>, Option<Datum>)>,
}

impl LiveFile {
    fn new(entry: &ManifestEntry, spec_id: i32, bounds_of: &[i32]) -> Self {
        let file = entry.data_file();
        Self {
            location: entry.file_path().to_owned(),
            rows: entry.record_count(),
            bytes: entry.file_size_in_bytes(),
            spec_id,
            partition: file.partition().clone(),
            sequence_number: entry.sequence_number().unwrap_or(0),
            format: file.file_format(),
            bounds: bounds_of
                .iter()
                .map(|id| {
                    (
                        file.lower_bounds().get(id).cloned(),
                        file.upper_bounds().get(id).cloned(),
                    )
                })
                .collect(),
        }
    }
}

/// The delete files of a snapshot, and the data files they apply to.
#[derive(Clone, Debug, Default)]
pub(super) struct Deletes {
    /// Spec and partition → position deletes.
    positions: HashMap<(i32, Struct), Vec<ManifestEntryRef>>,
    equality: HashMap<(i32, Struct), Vec<ManifestEntryRef>>,
    /// Written without partition: they apply to every data file.
    global_equality: Vec<ManifestEntryRef>,
}

impl Deletes {
    pub(super) async fn read(files: &TableFiles, manifests: &[ManifestFile]) -> Result<Self> {
        let manifests: Vec<ManifestFile> = manifests
            .iter()
            .filter(|manifest| manifest.content == ManifestContentType::Deletes)
            .cloned()
            .collect();
        let mut deletes = Self::default();
        for (file, manifest) in manifests::read_all(&files.file_io(), &manifests).await? {
            for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
                deletes.add(file.partition_spec_id, entry);
            }
        }
        Ok(deletes)
    }

    fn add(&mut self, spec_id: i32, entry: &ManifestEntryRef) {
        let partition = entry.data_file().partition();
        let key = (spec_id, partition.clone());
        match entry.content_type() {
            DataContentType::PositionDeletes => {
                self.positions
                    .entry(key)
                    .or_default()
                    .push(Arc::clone(entry));
            }
            DataContentType::EqualityDeletes if partition.fields().is_empty() => {
                self.global_equality.push(Arc::clone(entry));
            }
            DataContentType::EqualityDeletes => {
                self.equality
                    .entry(key)
                    .or_default()
                    .push(Arc::clone(entry));
            }
            DataContentType::Data => {}
        }
    }

    /// Locations of everything that applies to a file.
    pub(super) fn locations_for(&self, file: &LiveFile) -> Vec<String> {
        self.positions_for(file)
            .chain(self.equality_for(file))
            .map(|entry| entry.file_path().to_owned())
            .collect()
    }

    fn positions_for<'a>(
        &'a self,
        file: &'a LiveFile,
    ) -> impl Iterator<Item = &'a ManifestEntryRef> {
        let key = (file.spec_id, file.partition.clone());
        self.positions
            .get(&key)
            .into_iter()
            .flatten()
            .filter(|entry| entry.sequence_number().unwrap_or(0) >= file.sequence_number)
            .filter(|entry| {
                entry
                    .data_file()
                    .referenced_data_file()
                    .is_none_or(|referenced| referenced == file.location)
            })
    }

    fn equality_for<'a>(
        &'a self,
        file: &'a LiveFile,
    ) -> impl Iterator<Item = &'a ManifestEntryRef> {
        let key = (file.spec_id, file.partition.clone());
        self.equality
            .get(&key)
            .into_iter()
            .flatten()
            .chain(&self.global_equality)
            .filter(|entry| entry.sequence_number().unwrap_or(0) > file.sequence_number)
    }
}

/// Reads rows of a table.
pub(super) struct TableScan {
    files: TableFiles,
    metadata: Arc<TableMetadata>,
    deletes: Deletes,
    names: Option<Arc<NameMapping>>,
}

/// Rows of one file, in order.
pub(super) type Batches = BoxStream<'static, Result<RecordBatch>>;

impl TableScan {
    pub(super) fn new(
        files: TableFiles,
        metadata: Arc<TableMetadata>,
        deletes: Deletes,
    ) -> Result<Self> {
        let names = metadata
            .properties()
            .get(NAME_MAPPING)
            .map(|text| serde_json::from_str(text))
            .transpose()
            .map_err(IcebergError::json(format!(
                "read the table's property `{NAME_MAPPING}`"
            )))?
            .map(Arc::new);
        Ok(Self {
            files,
            metadata,
            deletes,
            names,
        })
    }

    /// The columns with these ids, in this order and in the types of the table's current schema; a file that lacks one has nulls.
    pub(super) fn read(&self, file: &LiveFile, field_ids: &[i32]) -> Result<Batches> {
        self.check(file)?;
        // Files written for the table have every column in them; those that it took over may leave a partition's out.
        let is_taken_over = self.names.is_some();
        let task = FileScanTask::builder()
            .with_file_size_in_bytes(file.bytes)
            .with_start(0)
            .with_length(0)
            .with_record_count(Some(file.rows))
            .with_data_file_path(file.location.clone())
            .with_data_file_format(DataFileFormat::Parquet)
            .with_schema(Arc::clone(self.metadata.current_schema()))
            .with_project_field_ids(field_ids.to_vec())
            .with_deletes(self.delete_tasks(file))
            .with_partition(is_taken_over.then(|| file.partition.clone()))
            .with_partition_spec(self.spec(file.spec_id).filter(|_| is_taken_over))
            .with_name_mapping(self.names.clone())
            .with_case_sensitive(true)
            .build();
        let location = file.location.clone();
        let doing = move || IcebergError::metadata(format!("read the data file `{location}`"));
        let scan = ArrowReaderBuilder::new(self.files.file_io(), Runtime::current())
            .with_batch_size(BATCH_ROWS)
            .with_data_file_concurrency_limit(1)
            .build()
            .read(futures::stream::iter([Ok(task)]).boxed())
            .map_err(doing())?;
        Ok(scan
            .stream()
            .map(move |batch| batch.map_err(doing()))
            .boxed())
    }

    /// Ids of columns of the table.
    pub(super) fn field_ids(&self, columns: &[ColumnField]) -> Result<Vec<i32>> {
        let schema = self.metadata.current_schema();
        columns
            .iter()
            .map(|column| {
                schema.field_id_by_name(&column.name).ok_or_else(|| {
                    IcebergError::conflict(
                        format!("the table has lost its column `{}`", column.name),
                        "run the feed again",
                    )
                })
            })
            .collect()
    }

    fn check(&self, file: &LiveFile) -> Result<()> {
        if file.format != DataFileFormat::Parquet {
            return Err(IcebergError::unsupported(
                format!(
                    "the file `{}` may have rows that the load replaces, and is in the format {}",
                    file.location, file.format
                ),
                "rewrite the table's data files as Parquet",
            ));
        }
        if let Some(delete) = self.deletes.equality_for(file).next() {
            return Err(IcebergError::unsupported(
                format!(
                    "the file `{}` may have rows that the load replaces, and equality deletes of another writer (`{}`) apply to it",
                    file.location,
                    delete.file_path()
                ),
                "compact the table (`rewrite_data_files`), so that its deletes are applied",
            ));
        }
        Ok(())
    }

    fn delete_tasks(&self, file: &LiveFile) -> Vec<FileScanTaskDeleteFile> {
        self.deletes
            .positions_for(file)
            .map(|entry| {
                FileScanTaskDeleteFile::builder()
                    .with_file_path(entry.file_path().to_owned())
                    .with_file_size_in_bytes(entry.file_size_in_bytes())
                    .with_file_type(DataContentType::PositionDeletes)
                    .with_partition_spec_id(file.spec_id)
                    .build()
            })
            .collect()
    }

    fn spec(&self, id: i32) -> Option<PartitionSpecRef> {
        self.metadata.partition_spec_by_id(id).cloned()
    }
}

/// The data files of these manifests that are there, with the bounds of these columns.
pub(super) async fn live_files(
    files: &TableFiles,
    manifests: &[ManifestFile],
    bounds_of: &[i32],
) -> Result<Vec<LiveFile>> {
    let io = files.file_io();
    let mut live = Vec::new();
    for file in manifests
        .iter()
        .filter(|manifest| manifest.content == ManifestContentType::Data)
    {
        let manifest = manifests::read(&io, file).await?;
        live.extend(
            manifest
                .entries()
                .iter()
                .filter(|entry| entry.is_alive())
                .map(|entry| LiveFile::new(entry, file.partition_spec_id, bounds_of)),
        );
    }
    Ok(live)
}

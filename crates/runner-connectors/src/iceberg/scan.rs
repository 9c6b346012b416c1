//! Reading a table's rows as it stands: its data files, without what position deletes of other writers have taken away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, Int64Type, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef,
};
use futures::{StreamExt as _, TryStreamExt as _};
use iceberg::spec::{
    DataContentType, DataFileFormat, Datum, ManifestContentType, ManifestEntry, ManifestEntryRef,
    ManifestFile, Struct, TableMetadata, Transform,
};
use runner_plan::model::ColumnField;

use super::arrays::file_arrow_schema;
use super::data_reader::{DataReader, NumberedRows, NumberedStream};
use super::error::{IcebergError, Result};
use super::files::TableFiles;
use super::manifests;
use super::projection::{NameMapping, Projection};
use crate::keys::{KeyRanges, matching_row_groups};

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
    names: Option<NameMapping>,
    /// Delete file → data file → rows, sorted: one delete file may apply to many data files.
    positions: Mutex<HashMap<String, Arc<Positions>>>,
}

/// Rows that a delete file names, by data file.
type Positions = HashMap<String, Vec<u64>>;

/// Which rows of a file are wanted.
pub(super) enum RowGroups<'a> {
    All,
    /// Those that can have one of the keys.
    Holding(&'a KeyRanges),
}

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
            )))?;
        Ok(Self {
            files,
            metadata,
            deletes,
            names,
            positions: Mutex::default(),
        })
    }

    /// These columns (all, if none are named) in the types of the table's current schema. Rows that were deleted by position
    /// are there too: [`TableScan::deleted`] tells them.
    pub(super) async fn read(
        &self,
        file: &LiveFile,
        columns: Option<&[ColumnField]>,
        groups: RowGroups<'_>,
    ) -> Result<NumberedStream> {
        self.check(file)?;
        let schema = self.metadata.current_schema();
        let target = file_arrow_schema(schema)?;
        let target = match columns {
            None => nullable(&target),
            Some(columns) => {
                let positions = columns
                    .iter()
                    .map(|column| position(&target, &column.name))
                    .collect::<Result<Vec<_>>>()?;
                let selected = target
                    .project(&positions)
                    .map_err(IcebergError::arrow("choose columns of the table"))?;
                nullable(&selected)
            }
        };
        let reader = DataReader::open(&self.files, &file.location, file.bytes).await?;
        let projection =
            Projection::new(reader.schema(), target, self.names.as_ref(), &file.location)?;
        self.check_partition_columns(file, &projection)?;
        let groups = match groups {
            RowGroups::All => None,
            RowGroups::Holding(ranges) => self.row_groups(&reader, &projection, ranges)?,
        };
        let rows = reader.read(Some(projection.columns.clone()), groups.as_deref())?;
        Ok(rows
            .map(move |rows| {
                let rows = rows?;
                Ok(NumberedRows {
                    first_row: rows.first_row,
                    batch: projection.apply(&rows.batch)?,
                })
            })
            .boxed())
    }

    /// None where the file's statistics say nothing of the table's columns.
    fn row_groups(
        &self,
        reader: &DataReader,
        projection: &Projection,
        ranges: &KeyRanges,
    ) -> Result<Option<Vec<usize>>> {
        let schema = self.metadata.current_schema();
        let are_same_columns = ranges.columns().all(|column| {
            schema
                .field_id_by_name(&column.name)
                .is_some_and(|id| projection.has(&column.name, id))
        });
        if !are_same_columns {
            return Ok(None);
        }
        Ok(Some(matching_row_groups(
            reader.parquet(),
            reader.schema(),
            ranges,
        )?))
    }

    /// Tables that took over files of a Hive table have columns that only the partition tells.
    fn check_partition_columns(&self, file: &LiveFile, projection: &Projection) -> Result<()> {
        let spec = self.metadata.partition_spec_by_id(file.spec_id);
        let missing = spec
            .into_iter()
            .flat_map(|spec| spec.fields())
            .find(|field| {
                field.transform == Transform::Identity
                    && projection.wants(field.source_id)
                    && !projection.reads(field.source_id)
            });
        match missing {
            None => Ok(()),
            Some(field) => Err(IcebergError::unsupported(
                format!(
                    "the file `{}` may have rows that the load replaces, and lacks the column `{}` that it is partitioned by",
                    file.location, field.name
                ),
                "rewrite the table's data files (`rewrite_data_files`)",
            )),
        }
    }

    /// Numbers of the rows of a file that were deleted by position, sorted.
    pub(super) async fn deleted(&self, file: &LiveFile) -> Result<Vec<u64>> {
        let mut deleted = Vec::new();
        let entries: Vec<ManifestEntryRef> =
            self.deletes.positions_for(file).map(Arc::clone).collect();
        for entry in entries {
            let positions = self.positions_in(&entry).await?;
            if let Some(rows) = positions.get(&file.location) {
                deleted.extend_from_slice(rows);
            }
        }
        deleted.sort_unstable();
        deleted.dedup();
        Ok(deleted)
    }

    async fn positions_in(&self, entry: &ManifestEntryRef) -> Result<Arc<Positions>> {
        let location = entry.file_path();
        let known = self
            .positions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(location)
            .cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        if entry.file_format() != DataFileFormat::Parquet {
            return Err(IcebergError::unsupported(
                format!(
                    "the delete file `{location}` is in the format {}",
                    entry.file_format()
                ),
                "compact the table (`rewrite_data_files`), so that its deletes are applied",
            ));
        }
        let reader = DataReader::open(&self.files, location, entry.file_size_in_bytes()).await?;
        let mut rows = reader.read(None, None)?;
        let mut positions = Positions::new();
        while let Some(rows) = rows.try_next().await? {
            add_positions(&mut positions, &rows.batch, location)?;
        }
        let positions = Arc::new(positions);
        self.positions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(location.to_owned(), Arc::clone(&positions));
        Ok(positions)
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
}

fn position(schema: &ArrowSchema, name: &str) -> Result<usize> {
    schema.index_of(name).map_err(|_absent| {
        IcebergError::conflict(
            format!("the table has lost its column `{name}`"),
            "run the feed again",
        )
    })
}

/// Rows of a position delete file: `file_path` and `pos`.
fn add_positions(positions: &mut Positions, batch: &RecordBatch, location: &str) -> Result<()> {
    let column = |name: &str, data_type: &DataType| {
        batch
            .column_by_name(name)
            .and_then(|column| cast(column, data_type).ok())
            .ok_or_else(|| {
                IcebergError::unsupported(
                    format!("the delete file `{location}` has no column `{name}`"),
                    "compact the table (`rewrite_data_files`), so that its deletes are applied",
                )
            })
    };
    let paths = column("file_path", &DataType::Utf8)?;
    let rows = column("pos", &DataType::Int64)?;
    for (path, row) in paths
        .as_string::<i32>()
        .iter()
        .zip(rows.as_primitive::<Int64Type>())
    {
        let (Some(path), Some(row)) = (path, row) else {
            continue;
        };
        let row = u64::try_from(row).unwrap_or(u64::MAX);
        // Rows of one file follow one another.
        if let Some(rows) = positions.get_mut(path) {
            rows.push(row);
        } else {
            positions.insert(path.to_owned(), vec![row]);
        }
    }
    Ok(())
}

/// Files may hold nulls, whatever the table says by now.
fn nullable(schema: &ArrowSchema) -> ArrowSchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    Arc::new(ArrowSchema::new(fields))
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

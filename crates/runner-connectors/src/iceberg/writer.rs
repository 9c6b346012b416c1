//! Writes the rows of one lane as data files that no snapshot names.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef as ArrowSchemaRef;
use async_trait::async_trait;
use iceberg::arrow::arrow_primitive_to_literal;
use iceberg::spec::{PartitionSpec, Schema, Transform, Type};
use runner_core::part::Output;
use runner_core::{Attempt, LoadContext, Part};
use runner_plan::model::{ColumnField, Partition, PartitionTransform};
use serde_json::Value;
use uuid::Uuid;

use super::arrays::{conform, file_arrow_schema};
use super::data_file::{FileDetails, MarkOf, PartitionValue, metrics};
use super::error::{IcebergError, Result};
use super::mark;
use crate::parquet::file::FileFormat;
use crate::parquet::split::{SealedFile, SplitWriter, SplitWriterOptions};
use crate::partition::PartitionKey;
use crate::sink::{PartWriter, RowOrigin, Unsealed};
use crate::storage::Storage;
use crate::table::conform::Conform;

/// Where files of a table go, and how they are laid out.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Location of the folder of data files, and the folder itself.
    pub folder: String,
    pub storage: Storage,
    pub schema: Schema,
    pub spec: PartitionSpec,
    pub compression: String,
    pub target_file_bytes: u64,
}

/// What is written into the files.
pub(super) struct FileWriter {
    files: SplitWriter,
    arrow_schema: ArrowSchemaRef,
    layout: Layout,
    partition_types: Vec<Type>,
    mark: MarkOf,
}

impl FileWriter {
    /// `name` begins the names of its files, and is no other writer's.
    pub(super) fn new(
        layout: Layout,
        load: &LoadContext,
        name: String,
        memory_bytes: usize,
    ) -> Result<Self> {
        let arrow_schema = file_arrow_schema(&layout.schema)?;
        let partition_types = layout
            .spec
            .partition_type(&layout.schema)
            .map_err(IcebergError::metadata(
                "lay out the partitions of the table",
            ))?
            .fields()
            .iter()
            .map(|field| Type::clone(&field.field_type))
            .collect();
        let mut format = FileFormat::new(&layout.compression)?.within(memory_bytes);
        format.skip_arrow_schema = true;
        let files = SplitWriter::new(SplitWriterOptions {
            storage: layout.storage.clone(),
            schema: Arc::clone(&arrow_schema),
            partitions: partitions(&layout.spec, &layout.schema)?,
            drop_identity_columns: false,
            format,
            target_file_bytes: layout.target_file_bytes,
            memory_bytes,
            path: Box::new(move |key: &PartitionKey, number| {
                let file = format!("{name}-{number:05}.parquet");
                if key.folder().is_empty() {
                    file
                } else {
                    format!("{}/{file}", key.folder())
                }
            }),
        })?;
        Ok(Self {
            files,
            arrow_schema,
            layout,
            partition_types,
            mark: mark::of(load),
        })
    }

    /// Rows in the types of columns, or of the files.
    pub(super) async fn write(&mut self, batch: &RecordBatch, origin: RowOrigin) -> Result<()> {
        let batch = conform(batch, &self.arrow_schema)?;
        Ok(self.files.write(&batch, origin).await?)
    }

    pub(super) async fn seal(&mut self) -> Result<Vec<(SealedFile, FileDetails)>> {
        let sealed = self.files.seal().await?;
        sealed
            .into_iter()
            .map(|file| {
                let details = self.details(&file)?;
                Ok((file, details))
            })
            .collect()
    }

    pub(super) async fn abort(&mut self) -> Result<()> {
        Ok(self.files.abort().await?)
    }

    pub(super) fn unsealed(&self) -> Unsealed {
        self.files.unsealed()
    }

    fn details(&self, sealed: &SealedFile) -> Result<FileDetails> {
        Ok(FileDetails::new(
            format!("{}/{}", self.layout.folder, sealed.file.path),
            self.mark.clone(),
            self.layout.schema.clone(),
            self.partition(&sealed.key)?,
            metrics(&sealed.file.metadata, &self.layout.schema),
        ))
    }

    fn partition(&self, key: &PartitionKey) -> Result<Vec<PartitionValue>> {
        let mut values = key.values().iter();
        self.layout
            .spec
            .fields()
            .iter()
            .zip(&self.partition_types)
            .map(|(field, field_type)| {
                let value = match field.transform {
                    Transform::Void => Value::Null,
                    _ => literal(values.next(), field_type)?,
                };
                Ok(PartitionValue {
                    source_id: field.source_id,
                    transform: field.transform.to_string(),
                    name: field.name.clone(),
                    value,
                })
            })
            .collect()
    }
}

impl std::fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWriter")
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

fn literal(array: Option<&arrow::array::ArrayRef>, field_type: &Type) -> Result<Value> {
    let doing = || IcebergError::metadata("store the partition of a file");
    let Some(array) = array else {
        return Err(IcebergError::Broken(
            "a file's partition has fewer values than fields".to_owned(),
        ));
    };
    let literal = arrow_primitive_to_literal(array, field_type)
        .map_err(doing())?
        .into_iter()
        .next()
        .flatten();
    match literal {
        Some(literal) => literal.try_into_json(field_type).map_err(doing()),
        None => Ok(Value::Null),
    }
}

/// The spec as the shared splitter takes it. Fields that were dropped from the spec split nothing.
pub(super) fn partitions(spec: &PartitionSpec, schema: &Schema) -> Result<Vec<Partition>> {
    spec.fields()
        .iter()
        .filter_map(|field| {
            let transform = match field.transform {
                Transform::Void => return None,
                Transform::Identity => PartitionTransform::Identity,
                Transform::Year => PartitionTransform::Year,
                Transform::Month => PartitionTransform::Month,
                Transform::Day => PartitionTransform::Day,
                Transform::Hour => PartitionTransform::Hour,
                Transform::Bucket(count) => PartitionTransform::Bucket(count),
                Transform::Truncate(width) => PartitionTransform::Truncate(width),
                Transform::Unknown => {
                    return Some(Err(unsupported_field(&field.name)));
                }
            };
            let column = schema
                .as_struct()
                .fields()
                .iter()
                .find(|column| column.id == field.source_id);
            Some(match column {
                Some(column) => Ok(Partition {
                    column: column.name.clone(),
                    transform,
                    name: field.name.clone(),
                }),
                None => Err(unsupported_field(&field.name)),
            })
        })
        .collect()
}

fn unsupported_field(name: &str) -> IcebergError {
    IcebergError::unsupported(
        format!(
            "the table is partitioned by `{name}`, by an unknown transform or a field within a column"
        ),
        "change the table's partition spec",
    )
}

/// Beginning of the names of files that a writer makes; [`super::sweep`] knows them by it.
pub(super) fn file_prefix(load: &LoadContext, kind: &str) -> String {
    let feed = feed_prefix(&mark::key_of(load));
    format!("{feed}-{kind}-{}", Uuid::new_v4().simple())
}

/// Beginning of the names of all files of a feed's loads of one table, made of the key of its mark.
pub(super) fn feed_prefix(mark: &str) -> String {
    format!("uis-{:016x}", xxhash_rust::xxh3::xxh3_64(mark.as_bytes()))
}

/// Writes parts: rows of one input in one version of its schema.
pub(super) struct IcebergWriter {
    files: FileWriter,
    conform: Conform,
    load: LoadContext,
    input: String,
    attempt: Attempt,
    schema_version: u32,
}

impl IcebergWriter {
    pub(super) fn new(
        files: FileWriter,
        conform: Conform,
        load: LoadContext,
        input: String,
        attempt: Attempt,
        schema_version: u32,
    ) -> Self {
        Self {
            files,
            conform,
            load,
            input,
            attempt,
            schema_version,
        }
    }
}

#[async_trait]
impl PartWriter for IcebergWriter {
    async fn write(&mut self, batch: &RecordBatch, origin: RowOrigin) -> runner_core::Result<()> {
        let batch = self.conform.apply(batch)?;
        Ok(self.files.write(&batch, origin).await?)
    }

    async fn seal(&mut self) -> runner_core::Result<Vec<Part>> {
        let sealed = self.files.seal().await?;
        let parts = sealed
            .into_iter()
            .map(|(sealed, details)| {
                part(
                    sealed,
                    &details,
                    &self.load,
                    &self.input,
                    self.attempt,
                    self.schema_version,
                )
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(parts)
    }

    async fn abort(&mut self) -> runner_core::Result<()> {
        Ok(self.files.abort().await?)
    }

    fn unsealed(&self) -> Unsealed {
        self.files.unsealed()
    }
}

impl std::fmt::Debug for IcebergWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IcebergWriter")
            .field("files", &self.files)
            .field("input", &self.input)
            .field("schema_version", &self.schema_version)
            .finish_non_exhaustive()
    }
}

/// The part that a sealed file is.
pub(super) fn part(
    sealed: SealedFile,
    details: &FileDetails,
    load: &LoadContext,
    input: &str,
    attempt: Attempt,
    schema_version: u32,
) -> Result<Part> {
    let name = sealed
        .file
        .path
        .rsplit('/')
        .next()
        .unwrap_or(&sealed.file.path)
        .to_owned();
    Ok(Part {
        output: Output::Load(load.plan.id.clone()),
        input: input.to_owned(),
        name,
        attempt,
        rows: sealed.file.rows,
        bytes: sealed.file.bytes,
        checksum: sealed.file.checksum,
        schema_version,
        segments: sealed.segments,
        details: details.to_json()?,
    })
}

/// Columns that a file needs beside the load's own: those that the table is partitioned by.
pub(super) fn with_partition_columns(
    columns: &[ColumnField],
    spec: &PartitionSpec,
    table: &[ColumnField],
    schema: &Schema,
) -> Vec<ColumnField> {
    let mut columns = columns.to_vec();
    for field in spec.fields() {
        let Some(name) = schema.name_by_field_id(field.source_id) else {
            continue;
        };
        if columns.iter().any(|column| column.name == name) {
            continue;
        }
        if let Some(column) = table.iter().find(|column| column.name == name) {
            columns.push(ColumnField {
                nullable: true,
                ..column.clone()
            });
        }
    }
    columns
}

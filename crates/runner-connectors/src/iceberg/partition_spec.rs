//! Partitions of a load as an Iceberg partition spec, and the table's own spec where there is one.

use iceberg::spec::{
    PartitionSpec, Schema, TableMetadata, Transform, UnboundPartitionField, UnboundPartitionSpec,
    UnboundPartitionSpecBuilder,
};
use runner_plan::model::{LoadPlan, Partition, PartitionTransform};

use super::data_file::PartitionValue;
use super::error::{IcebergError, Result};
use super::schema::FieldIds;

/// The spec of a new table.
pub(super) fn new_spec(plan: &LoadPlan, ids: &FieldIds) -> Result<UnboundPartitionSpec> {
    let fields = plan
        .partitions
        .iter()
        .map(|partition| new_field(plan, partition, ids))
        .collect::<Result<Vec<_>>>()?;
    UnboundPartitionSpec::builder()
        .with_spec_id(0)
        .add_partition_fields(fields)
        .map(UnboundPartitionSpecBuilder::build)
        .map_err(IcebergError::metadata(format!(
            "partition the table `{}`",
            plan.table
        )))
}

fn new_field(
    plan: &LoadPlan,
    partition: &Partition,
    ids: &FieldIds,
) -> Result<UnboundPartitionField> {
    let source_id = ids.column(&partition.column).ok_or_else(|| {
        IcebergError::conflict(
            format!(
                "the table `{}` is to be partitioned by `{}`, which is none of its columns",
                plan.table, partition.column
            ),
            "name a column in partition_by",
        )
    })?;
    Ok(UnboundPartitionField::builder()
        .source_id(source_id)
        .name(partition.name.clone())
        .transform(transform_of(partition.transform))
        .build())
}

pub(super) fn transform_of(transform: PartitionTransform) -> Transform {
    match transform {
        PartitionTransform::Identity => Transform::Identity,
        PartitionTransform::Year => Transform::Year,
        PartitionTransform::Month => Transform::Month,
        PartitionTransform::Day => Transform::Day,
        PartitionTransform::Hour => Transform::Hour,
        PartitionTransform::Bucket(count) => Transform::Bucket(count),
        PartitionTransform::Truncate(width) => Transform::Truncate(width),
    }
}

/// The table's spec, if the load can write by it: a load that names partitions must name the table's.
pub(super) fn existing_spec<'a>(
    plan: &LoadPlan,
    metadata: &'a TableMetadata,
) -> Result<&'a PartitionSpec> {
    let spec = metadata.default_partition_spec().as_ref();
    if let Some(field) = spec
        .fields()
        .iter()
        .find(|field| field.transform == Transform::Unknown)
    {
        return Err(IcebergError::unsupported(
            format!(
                "the table `{}` is partitioned by `{}`, whose transform this program doesn't know",
                plan.table, field.name
            ),
            "change the table's partition spec",
        ));
    }
    let schema = metadata.current_schema();
    let is_same = plan.partitions.is_empty() || {
        let mut wanted = plan.partitions.iter().map(|partition| {
            (
                schema.field_id_by_name(&partition.column),
                transform_of(partition.transform),
            )
        });
        let mut found = spec
            .fields()
            .iter()
            .filter(|field| field.transform != Transform::Void)
            .map(|field| (Some(field.source_id), field.transform));
        loop {
            match (wanted.next(), found.next()) {
                (None, None) => break true,
                (wanted, found) if wanted == found => {}
                _ => break false,
            }
        }
    };
    if is_same {
        return Ok(spec);
    }
    Err(IcebergError::conflict(
        format!(
            "the table `{}` is partitioned by {}, not by {}",
            plan.table,
            spec_text(spec, schema),
            wanted_text(plan)
        ),
        "take the table's partitions into partition_by, leave partition_by out, or change the table's partition spec",
    ))
}

/// The spec of the table that a file was written by, if the table has it.
pub(super) fn spec_of<'a>(
    partition: &[PartitionValue],
    metadata: &'a TableMetadata,
) -> Option<&'a PartitionSpec> {
    let fits = |spec: &&PartitionSpec| {
        spec.fields().len() == partition.len()
            && spec.fields().iter().zip(partition).all(|(field, value)| {
                field.source_id == value.source_id && field.transform.to_string() == value.transform
            })
    };
    let default = metadata.default_partition_spec().as_ref();
    Some(default).filter(fits).or_else(|| {
        metadata
            .partition_specs_iter()
            .map(AsRef::as_ref)
            .find(fits)
    })
}

fn spec_text(spec: &PartitionSpec, schema: &Schema) -> String {
    let fields: Vec<String> = spec
        .fields()
        .iter()
        .filter(|field| field.transform != Transform::Void)
        .map(|field| {
            let column = schema.name_by_field_id(field.source_id).unwrap_or("?");
            transform_text(column, field.transform)
        })
        .collect();
    list_text(&fields)
}

fn wanted_text(plan: &LoadPlan) -> String {
    let fields: Vec<String> = plan
        .partitions
        .iter()
        .map(|partition| transform_text(&partition.column, transform_of(partition.transform)))
        .collect();
    list_text(&fields)
}

fn list_text(fields: &[String]) -> String {
    if fields.is_empty() {
        "nothing".to_owned()
    } else {
        fields.join(", ")
    }
}

/// As a document writes it: `day(at)`, `bucket(16, id)`.
fn transform_text(column: &str, transform: Transform) -> String {
    match transform {
        Transform::Identity => format!("`{column}`"),
        Transform::Bucket(count) => format!("`bucket({count}, {column})`"),
        Transform::Truncate(width) => format!("`truncate({width}, {column})`"),
        other => format!("`{other}({column})`"),
    }
}

//! Everything about a load that can fail for a lasting reason: the table and its schema, its partitions, and parts that have
//! to be written anew because a type widened, rows were superseded, or the table changed since.

use std::collections::HashMap;

use iceberg::spec::{TableProperties, Type};
use iceberg::{TableRequirement, TableUpdate};
use runner_core::commit::{LOAD_ID_COLUMN, SEQ_COLUMN};
use runner_core::{Fence, LoadContext, Part};
use runner_plan::model::ColumnField;

use super::catalog::{CommitOutcome, LoadedTable, NewTable, TableChange};
use super::data_file::FileDetails;
use super::error::{IcebergError, Result};
use super::expire;
use super::keyed::MarkedRows;
use super::mark::{self, Standing};
use super::metadata_file::DELETE_AFTER_COMMIT;
use super::partition_spec::{existing_spec, new_spec, spec_of};
use super::replace;
use super::rewrite::{Kept, Rewriting};
use super::schema::{FieldIds, columns_of, columns_up_to, is_readable_as, new_schema};
use super::target::IcebergTarget;
use super::writer::{FileWriter, file_prefix};
use crate::table::segments::{Generations, mask};

/// Times that a change of the schema is tried against other writers.
const ATTEMPTS: u32 = 5;
/// Memory of a file that is written anew.
const MEMORY_BYTES: usize = 64 << 20;

impl IcebergTarget {
    pub(super) async fn prepare_parts(
        &self,
        load: &LoadContext,
        parts: Vec<Part>,
    ) -> Result<Vec<Part>> {
        let parts = parts
            .into_iter()
            .map(|part| {
                let details = FileDetails::of(&part)?;
                Ok((part, details))
            })
            .collect::<Result<Vec<_>>>()?;
        let table = match self.load().await? {
            Some(table) => table,
            None => self.create(load, &parts).await?,
        };
        let fence = Fence {
            seq: load.seq,
            attempt: runner_core::Attempt::default(),
        };
        if let Standing::Done(_) = mark::standing(&table.metadata, load, &fence)? {
            return Ok(parts.into_iter().map(|(part, _)| part).collect());
        }
        existing_spec(&self.plan, &table.metadata)?;
        let table = self.evolve(table, load, &parts).await?;
        replace::check(&table.metadata, load)?;
        self.rewrite(&table, load, parts).await
    }

    /// The table to create for these columns.
    fn new_table(&self, columns: &[ColumnField], ids: &FieldIds) -> Result<NewTable> {
        let mut ids = ids.clone();
        let mut last = ids.highest();
        ids.assign(columns, &mut last);
        // Others who write to the table know nothing of loads.
        let columns: Vec<ColumnField> = columns
            .iter()
            .map(|column| ColumnField {
                nullable: column.nullable
                    || [LOAD_ID_COLUMN, SEQ_COLUMN].contains(&column.name.as_str()),
                ..column.clone()
            })
            .collect();
        Ok(NewTable {
            schema: new_schema(&columns, &ids)?,
            partition_spec: new_spec(&self.plan, &ids)?,
            properties: new_properties(),
            format_version: self.format_version,
        })
    }

    async fn create(
        &self,
        load: &LoadContext,
        parts: &[(Part, FileDetails)],
    ) -> Result<LoadedTable> {
        let ids = ids_of(parts);
        let first = parts
            .iter()
            .map(|(_, details)| FieldIds::of(&details.schema).highest())
            .min();
        let mut columns = match first {
            Some(first) => columns_up_to(&load.columns, &ids, first),
            None => load.columns.clone(),
        };
        // What the table is partitioned by has to be there from the start.
        let is_partitioned = |columns: &[ColumnField]| {
            self.plan
                .partitions
                .iter()
                .all(|partition| columns.iter().any(|column| column.name == partition.column))
        };
        if !is_partitioned(&columns) {
            columns.clone_from(&load.columns);
        }
        let new = self.new_table(&columns, &ids)?;
        match self.catalog.create(&self.name, new).await? {
            Some(table) => Ok(table),
            None => self.load().await?.ok_or_else(|| {
                IcebergError::conflict(
                    format!(
                        "the table `{}` can't be created, and doesn't exist",
                        self.name
                    ),
                    "see whether a view, or a table that was dropped, has this name in the catalog",
                )
            }),
        }
    }

    /// Gives the table the columns that the load has and it hasn't, and the wider types.
    async fn evolve(
        &self,
        mut table: LoadedTable,
        load: &LoadContext,
        parts: &[(Part, FileDetails)],
    ) -> Result<LoadedTable> {
        let ids = ids_of(parts);
        let has_nulls = |name: &str| parts.iter().any(|(_, details)| has_nulls(details, name));
        let mut reason = String::new();
        for _ in 0..ATTEMPTS {
            let metadata = &table.metadata;
            let evolved = self
                .evolution(metadata, &ids, &has_nulls)
                .for_columns(&load.columns)?;
            let Some(schema) = evolved else {
                return Ok(table);
            };
            let change = TableChange {
                requirements: vec![
                    TableRequirement::UuidMatch {
                        uuid: metadata.uuid(),
                    },
                    TableRequirement::CurrentSchemaIdMatch {
                        current_schema_id: metadata.current_schema_id(),
                    },
                    TableRequirement::LastAssignedFieldIdMatch {
                        last_assigned_field_id: metadata.last_column_id(),
                    },
                ],
                updates: vec![
                    TableUpdate::AddSchema { schema },
                    TableUpdate::SetCurrentSchema { schema_id: -1 },
                ],
            };
            match self.catalog.commit(&self.name, &table, change).await? {
                CommitOutcome::Committed(changed) => return Ok(changed),
                CommitOutcome::Conflict(found) => reason = found,
                CommitOutcome::Unknown(error) => reason = error.to_string(),
            }
            table = self.load().await?.ok_or_else(|| self.vanished())?;
        }
        Err(IcebergError::Contended {
            attempts: ATTEMPTS,
            reason,
        })
    }

    pub(super) fn vanished(&self) -> IcebergError {
        IcebergError::conflict(
            format!("the table `{}` has been dropped", self.name),
            "run the feed again: the table is created anew",
        )
    }

    /// Writes anew what the table can't take as it is: rows that lose or are superseded, types and ids that changed since.
    async fn rewrite(
        &self,
        table: &LoadedTable,
        load: &LoadContext,
        parts: Vec<(Part, FileDetails)>,
    ) -> Result<Vec<Part>> {
        let generations = Generations::of(load);
        let losers = self.losers(table, load, &parts).await?;
        let mut prepared = Vec::with_capacity(parts.len());
        for (file, (part, details)) in parts.iter().enumerate() {
            let loses_rows = match &losers {
                Some(losers) => losers.count(file) > 0,
                None => generations.touches(part),
            };
            let fits = is_readable_as(
                details.schema.as_struct(),
                table.metadata.current_schema().as_struct(),
            ) && spec_of(&details.partition, &table.metadata).is_some()
                && !is_widened(load, part, details);
            if fits && !loses_rows {
                prepared.push(self.unstage(table, part, details).await?);
                continue;
            }
            let kept: Box<dyn Kept + '_> = match &losers {
                Some(marks) => Box::new(MarkedRows { marks, file }),
                None => Box::new(Ranges(generations.remaining(part).1)),
            };
            prepared.extend(
                self.rewrite_part(table, load, part, details, kept.as_ref())
                    .await?,
            );
        }
        Ok(prepared)
    }

    pub(super) async fn rewrite_part(
        &self,
        table: &LoadedTable,
        load: &LoadContext,
        part: &Part,
        details: &FileDetails,
        kept: &dyn Kept,
    ) -> Result<Vec<Part>> {
        let (layout, columns) = self.layout(Some(table), &load.columns)?;
        let name = file_prefix(load, "p");
        let writer = FileWriter::new(layout, load, name, MEMORY_BYTES)?;
        let last_version = load
            .versions
            .keys()
            .filter(|(input, _)| *input == part.input)
            .map(|(_, version)| *version)
            .max();
        let rewriting = Rewriting {
            load,
            from: columns_of_part(load, part, details),
            to: &columns,
            kept,
            schema_version: last_version.unwrap_or(part.schema_version),
        };
        rewriting
            .run(&self.files_of(table), part, details, writer)
            .await
    }
}

struct Ranges(Vec<std::ops::Range<u64>>);

impl Kept for Ranges {
    fn mask(&self, first: u64, count: usize) -> arrow::array::BooleanArray {
        mask(&self.0, first, count)
    }
}

/// Columns of a part's file, with the types that they had in the plan's words.
pub(super) fn columns_of_part(
    load: &LoadContext,
    part: &Part,
    details: &FileDetails,
) -> Vec<ColumnField> {
    let version = load
        .versions
        .get(&(part.input.clone(), part.schema_version));
    columns_of(&details.schema)
        .into_iter()
        .map(|found| {
            // A file doesn't tell JSON from other text; the version that it was written with does.
            version
                .and_then(|columns| columns.iter().find(|column| column.name == found.name))
                .cloned()
                .unwrap_or(found)
        })
        .collect()
}

/// Whether a column has another type by now than when the part was written.
fn is_widened(load: &LoadContext, part: &Part, details: &FileDetails) -> bool {
    let Some(version) = load
        .versions
        .get(&(part.input.clone(), part.schema_version))
    else {
        return false;
    };
    version.iter().any(|column| {
        details
            .schema
            .field_id_by_name(&column.name)
            .is_some_and(|_| {
                load.columns
                    .iter()
                    .find(|now| now.name == column.name)
                    .is_some_and(|now| now.column_type != column.column_type)
            })
    })
}

/// The ids that the parts have for columns; those of the earliest stand where they differ.
fn ids_of(parts: &[(Part, FileDetails)]) -> FieldIds {
    let mut all: Vec<FieldIds> = parts
        .iter()
        .map(|(_, details)| FieldIds::of(&details.schema))
        .collect();
    all.sort_by_key(FieldIds::highest);
    all.dedup();
    let mut ids = FieldIds::default();
    for one in &all {
        ids.adopt(one);
    }
    ids
}

fn has_nulls(details: &FileDetails, column: &str) -> bool {
    let Some(field) = details
        .schema
        .as_struct()
        .fields()
        .iter()
        .find(|field| field.name == column)
    else {
        return true;
    };
    match field.field_type.as_ref() {
        Type::Primitive(_) => details
            .metrics
            .null_counts
            .get(&field.id)
            .is_none_or(|nulls| *nulls > 0),
        Type::Struct(_) | Type::List(_) | Type::Map(_) => !field.required,
    }
}

/// Of tables that are created here: their metadata stays small by itself.
fn new_properties() -> HashMap<String, String> {
    let mut properties = HashMap::from([
        (
            TableProperties::PROPERTY_METADATA_PREVIOUS_VERSIONS_MAX.to_owned(),
            "100".to_owned(),
        ),
        (DELETE_AFTER_COMMIT.to_owned(), "true".to_owned()),
        (
            "write.parquet.compression-codec".to_owned(),
            "zstd".to_owned(),
        ),
    ]);
    properties.extend(expire::new_properties());
    properties
}

//! Loads with a key: merge, and append that leaves out keys which are there.
//!
//! What a load changes is computed against one snapshot: the table's files are pruned by their bounds, of those that are left
//! the key columns are read, and files that hold a row to be replaced are written anew without it. As long as other writers
//! only add files without the load's keys, the same change is committed on top of theirs; else it is computed again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::kernels::boolean::and_not;
use arrow::compute::nullif;
use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use iceberg::spec::ManifestFile;
use runner_core::{LoadContext, Part, Written};
use runner_plan::model::ColumnField;
use runner_spec::model::WriteMode;

use super::arrays::{conform, datum_array};
use super::catalog::LoadedTable;
use super::data_file::FileDetails;
use super::data_reader::NumberedRows;
use super::error::{IcebergError, Result};
use super::files::TableFiles;
use super::manifests::AddedFile;
use super::prepare::columns_of_part;
use super::rewrite::{self, Kept, filter};
use super::scan::{Deletes, LiveFile, RowGroups, TableScan, live_files};
use super::snapshot::FileChange;
use super::target::IcebergTarget;
use super::writer::{FileWriter, file_prefix};
use crate::keys::{
    Budget, Existing, FileRows, FileRowsStream, KeyRanges, KeySpec, KeyedFiles, LoadFile, Marks,
    probe, winners,
};
use crate::schema::arrow_schema;
use crate::sink::RowOrigin;
use crate::table::conform::{Conform, seq};
use crate::table::segments::Generations;

/// Memory of files that are written anew.
const MEMORY_BYTES: usize = 64 << 20;

/// What a load changes, and what has to stay true for it.
pub(super) struct KeyedChange {
    added: Vec<AddedFile>,
    removed: HashSet<String>,
    /// Delete files that were applied to the removed ones.
    applied: HashMap<String, Vec<String>>,
    /// Data files of the snapshot that it was computed from.
    known: HashSet<String>,
    /// Files written for this change: no part is in them.
    rewritten: Vec<String>,
    pub written: Written,
}

impl KeyedChange {
    pub(super) fn change(&self) -> FileChange {
        FileChange {
            added: self.added.clone(),
            removed: self.removed.clone(),
            drops_deletes: false,
            overwrites: !self.removed.is_empty(),
        }
    }

    pub(super) fn new_locations(&self) -> Vec<String> {
        self.rewritten.clone()
    }
}

impl IcebergTarget {
    /// Leaves one row a key in the load.
    pub(super) async fn losers(
        &self,
        table: &LoadedTable,
        load: &LoadContext,
        parts: &[(Part, FileDetails)],
    ) -> Result<Option<Marks>> {
        let rows = parts.iter().map(|(part, _)| part.rows).sum();
        let Some(spec) = KeySpec::of(load, rows)? else {
            return Ok(None);
        };
        if load.plan.write_mode == WriteMode::Replace {
            return Ok(None);
        }
        let generations = Generations::of(load);
        let origins: Vec<LoadFile> = parts
            .iter()
            .map(|(part, _)| LoadFile {
                segments: part.segments.clone(),
                superseded: part
                    .segments
                    .iter()
                    .map(|segment| generations.is_superseded(&part.input, &segment))
                    .collect(),
            })
            .collect();
        let files = LoadParts::new(self.files_of(table), load, parts.to_vec());
        let nulls_allowed = load.plan.write_mode != WriteMode::Merge;
        Ok(Some(
            winners(&spec, &files, &origins, nulls_allowed, Budget::default()).await?,
        ))
    }

    /// Computes what the load changes in the table as it is.
    pub(super) async fn compute(
        &self,
        table: &LoadedTable,
        current: &[ManifestFile],
        load: &LoadContext,
        parts: &[Part],
    ) -> Result<KeyedChange> {
        let spec = self.key_spec(load, parts)?;
        let details = with_details(parts)?;
        let stored = self.stored(table, current, &spec, |_| true).await?;
        let load_parts = LoadParts::new(self.files_of(table), load, details.clone());
        let probed = probe(
            &spec,
            &stored,
            &load_parts,
            &Marks::new(parts.len()),
            existing(load)?,
            Budget::default(),
        )
        .await?;
        let mut change = KeyedChange {
            added: Vec::new(),
            removed: HashSet::new(),
            applied: HashMap::new(),
            known: stored
                .live
                .iter()
                .map(|file| file.location.clone())
                .collect(),
            rewritten: Vec::new(),
            written: Written {
                rows_skipped: probed.load.total(),
                rows_replaced: probed.table.total(),
                ..Written::default()
            },
        };
        self.add_parts(table, load, &details, &probed.load, &mut change)
            .await?;
        self.rewrite_files(table, load, &stored, &probed.table, &mut change)
            .await?;
        Ok(change)
    }

    /// Whether the change is still right on top of what other writers have committed since.
    pub(super) async fn still_holds(
        &self,
        change: &mut KeyedChange,
        table: &LoadedTable,
        current: &[ManifestFile],
        load: &LoadContext,
        parts: &[Part],
    ) -> Result<bool> {
        let spec = self.key_spec(load, parts)?;
        let mut now = HashSet::new();
        let added = self
            .stored(table, current, &spec, |file| {
                now.insert(file.location.clone());
                !change.known.contains(&file.location) || change.removed.contains(&file.location)
            })
            .await?;
        let (removed, added_files): (Vec<_>, Vec<_>) = added
            .live
            .iter()
            .cloned()
            .partition(|file| change.removed.contains(&file.location));
        let is_intact = removed.len() == change.removed.len()
            && removed.iter().all(|file| {
                change.applied.get(&file.location) == Some(&added.deletes.locations_for(file))
            });
        if !is_intact {
            return Ok(false);
        }
        let added = Stored {
            live: added_files,
            ..added
        };
        let load_parts = LoadParts::new(self.files_of(table), load, with_details(parts)?);
        let probed = probe(
            &spec,
            &added,
            &load_parts,
            &Marks::new(parts.len()),
            existing(load)?,
            Budget::default(),
        )
        .await?;
        if probed.table.total() > 0 || probed.load.total() > 0 {
            return Ok(false);
        }
        change.known = now;
        Ok(true)
    }

    fn key_spec(&self, load: &LoadContext, parts: &[Part]) -> Result<KeySpec> {
        let rows = parts.iter().map(|part| part.rows).sum();
        KeySpec::of(load, rows)?.ok_or_else(|| {
            IcebergError::Broken(format!("the load of `{}` has no primary key", self.name))
        })
    }

    async fn stored(
        &self,
        table: &LoadedTable,
        current: &[ManifestFile],
        spec: &KeySpec,
        mut wanted: impl FnMut(&LiveFile) -> bool,
    ) -> Result<Stored> {
        let files = self.files_of(table);
        let schema = table.metadata.current_schema();
        let key_ids: Vec<i32> = spec
            .key
            .iter()
            // No column has id 0, and so no bounds.
            .map(|column| schema.field_id_by_name(&column.name).unwrap_or(0))
            .collect();
        let mut live = live_files(&files, current, &key_ids).await?;
        live.retain(|file| wanted(file));
        let deletes = Deletes::read(&files, current).await?;
        let scan = TableScan::new(files, Arc::clone(&table.metadata), deletes.clone())?;
        Ok(Stored {
            live,
            scan: Arc::new(scan),
            deletes,
        })
    }

    /// The load's parts, those with rows to be left out written anew.
    async fn add_parts(
        &self,
        table: &LoadedTable,
        load: &LoadContext,
        parts: &[(Part, FileDetails)],
        left_out: &Marks,
        change: &mut KeyedChange,
    ) -> Result<()> {
        for (index, (part, details)) in parts.iter().enumerate() {
            let remaining = if left_out.count(index) == 0 {
                vec![part.clone()]
            } else {
                let kept = MarkedRows {
                    marks: left_out,
                    file: index,
                };
                let rewritten = self.rewrite_part(table, load, part, details, &kept).await?;
                for part in &rewritten {
                    change.rewritten.push(FileDetails::of(part)?.location);
                }
                rewritten
            };
            change.written.rows += remaining.iter().map(|part| part.rows).sum::<u64>();
            change.written.bytes += remaining.iter().map(|part| part.bytes).sum::<u64>();
            change
                .added
                .extend(self.added(&table.metadata, &remaining)?);
        }
        Ok(())
    }

    /// Writes the files with replaced rows anew, without these rows.
    async fn rewrite_files(
        &self,
        table: &LoadedTable,
        load: &LoadContext,
        stored: &Stored,
        replaced: &Marks,
        change: &mut KeyedChange,
    ) -> Result<()> {
        if replaced.total() == 0 {
            return Ok(());
        }
        let layout = self.layout_of_table(table)?;
        let mut writer = FileWriter::new(layout, load, file_prefix(load, "m"), MEMORY_BYTES)?;
        for index in replaced.files() {
            let Some(file) = stored.live.get(index) else {
                continue;
            };
            change.removed.insert(file.location.clone());
            change
                .applied
                .insert(file.location.clone(), stored.deletes.locations_for(file));
            let deleted = stored.scan.deleted(file).await?;
            if replaced.count(index) + deleted.len() as u64 >= file.rows {
                continue;
            }
            let mut rows = stored.scan.read(file, None, RowGroups::All).await?;
            while let Some(NumberedRows { first_row, batch }) = rows.try_next().await? {
                let mut kept = replaced.kept(index, first_row, batch.num_rows());
                if let Some(deleted) = deleted_mask(first_row, batch.num_rows(), &deleted) {
                    kept = and_not(&kept, &deleted)
                        .map_err(IcebergError::arrow("leave deleted rows out"))?;
                }
                writer.write(&filter(&batch, &kept)?, TABLE_ROWS).await?;
            }
        }
        for (sealed, details) in writer.seal().await? {
            change.rewritten.push(details.location.clone());
            if sealed.file.rows > 0 {
                let added = self.added_file(
                    &table.metadata,
                    &details,
                    sealed.file.rows,
                    sealed.file.bytes,
                )?;
                change.added.push(added);
            }
        }
        Ok(())
    }
}

/// Rows of the table are of no chain of the load.
const TABLE_ROWS: RowOrigin = RowOrigin {
    chain: 0,
    generation: 0,
};

fn existing(load: &LoadContext) -> Result<Existing> {
    if load.plan.write_mode == WriteMode::Merge && !load.insert_only {
        return Ok(Existing::Replaced { seq: seq(load)? });
    }
    Ok(Existing::Stays)
}

fn with_details(parts: &[Part]) -> Result<Vec<(Part, FileDetails)>> {
    parts
        .iter()
        .map(|part| Ok((part.clone(), FileDetails::of(part)?)))
        .collect()
}

/// Rows of one file that are not marked.
pub(super) struct MarkedRows<'a> {
    pub marks: &'a Marks,
    pub file: usize,
}

impl Kept for MarkedRows<'_> {
    fn mask(&self, first: u64, count: usize) -> BooleanArray {
        self.marks.kept(self.file, first, count)
    }
}

/// Data files of the table.
struct Stored {
    live: Vec<LiveFile>,
    scan: Arc<TableScan>,
    deletes: Deletes,
}

#[async_trait]
impl KeyedFiles for Stored {
    fn rows(&self) -> Vec<u64> {
        self.live.iter().map(|file| file.rows).collect()
    }

    async fn read(
        &self,
        file: usize,
        columns: &[ColumnField],
        ranges: Option<&KeyRanges>,
    ) -> runner_core::Result<FileRowsStream<'_>> {
        let Some(file) = self.live.get(file) else {
            return Ok(futures::stream::empty().boxed());
        };
        if let Some(ranges) = ranges
            && !may_hold(file, ranges)?
        {
            return Ok(futures::stream::empty().boxed());
        }
        let groups = ranges.map_or(RowGroups::All, RowGroups::Holding);
        let rows = self.scan.read(file, Some(columns), groups).await?;
        let deleted = self.scan.deleted(file).await?;
        let schema = arrow_schema(&nullable(columns));
        Ok(rows
            .map(move |rows| {
                let rows = rows?;
                let batch = conform(&rows.batch, &schema)?;
                Ok(FileRows {
                    first_row: rows.first_row,
                    batch: without(&batch, rows.first_row, &deleted)?,
                })
            })
            .boxed())
    }
}

/// The batch with nulls in place of deleted rows: a null key equals nothing, and the numbers of the others stay.
fn without(batch: &RecordBatch, first_row: u64, deleted: &[u64]) -> Result<RecordBatch> {
    let Some(mask) = deleted_mask(first_row, batch.num_rows(), deleted) else {
        return Ok(batch.clone());
    };
    let doing = || IcebergError::arrow("leave deleted rows out");
    let columns = batch
        .columns()
        .iter()
        .map(|column| nullif(column, &mask))
        .collect::<Result<Vec<_>, _>>()
        .map_err(doing())?;
    RecordBatch::try_new(batch.schema(), columns).map_err(doing())
}

/// True for the deleted ones of some rows; none where all are there.
fn deleted_mask(first_row: u64, rows: usize, deleted: &[u64]) -> Option<BooleanArray> {
    let end = first_row + rows as u64;
    let from = deleted.partition_point(|row| *row < first_row);
    let to = deleted.partition_point(|row| *row < end);
    let here = deleted.get(from..to).filter(|here| !here.is_empty())?;
    let mut mask = vec![false; rows];
    for row in here {
        if let Some(bit) = usize::try_from(row - first_row)
            .ok()
            .and_then(|index| mask.get_mut(index))
        {
            *bit = true;
        }
    }
    Some(BooleanArray::from(mask))
}

/// Whether a file can hold one of the keys, by its bounds.
fn may_hold(file: &LiveFile, ranges: &KeyRanges) -> Result<bool> {
    let bounds = file.bounds.iter().zip(ranges.columns()).enumerate();
    for (index, ((lower, upper), column)) in bounds {
        let (Some(lower), Some(upper)) = (lower, upper) else {
            continue;
        };
        let bound = |datum| datum_array(datum, &column.column_type);
        let (Some(lower), Some(upper)) = (bound(lower), bound(upper)) else {
            continue;
        };
        if !ranges.may_hold(index, &lower, &upper)?.contains(&true) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Files may hold nulls, whatever the column says by now.
fn nullable(columns: &[ColumnField]) -> Vec<ColumnField> {
    columns
        .iter()
        .map(|column| ColumnField {
            nullable: true,
            ..column.clone()
        })
        .collect()
}

/// Parts of the load.
struct LoadParts<'a> {
    files: TableFiles,
    load: &'a LoadContext,
    parts: Vec<(Part, FileDetails)>,
}

impl<'a> LoadParts<'a> {
    fn new(files: TableFiles, load: &'a LoadContext, parts: Vec<(Part, FileDetails)>) -> Self {
        Self { files, load, parts }
    }
}

#[async_trait]
impl KeyedFiles for LoadParts<'_> {
    fn rows(&self) -> Vec<u64> {
        self.parts.iter().map(|(part, _)| part.rows).collect()
    }

    async fn read(
        &self,
        file: usize,
        columns: &[ColumnField],
        _ranges: Option<&KeyRanges>,
    ) -> runner_core::Result<FileRowsStream<'_>> {
        let Some((part, details)) = self.parts.get(file) else {
            return Ok(futures::stream::empty().boxed());
        };
        let from: Vec<ColumnField> = columns_of_part(self.load, part, details)
            .into_iter()
            .filter(|column| columns.iter().any(|wanted| wanted.name == column.name))
            .collect();
        let names: Vec<String> = from.iter().map(|column| column.name.clone()).collect();
        let rows = rewrite::read(&self.files, &details.location, part.bytes, Some(&names)).await?;
        let plain = arrow_schema(&nullable(&from));
        let widen = Conform::new(&nullable(&from), &nullable(columns), self.load)?;
        Ok(rows
            .map(move |rows| {
                let rows = rows?;
                Ok(FileRows {
                    first_row: rows.first_row,
                    batch: widen.apply(&conform(&rows.batch, &plain)?)?,
                })
            })
            .boxed())
    }
}

//! Before anything becomes visible: are the parts there, does the table take them, and which rows of them are loaded.

use std::collections::{BTreeMap, HashMap};

use runner_core::part::Output;
use runner_core::{Attempt, Error, ErrorKind, LoadContext, Part, Result, Retry};
use runner_plan::model::ColumnField;
use runner_spec::model::WriteMode;

use super::concat::{concatenate, fit_together};
use super::layout;
use super::rewrite::Rewrite;
use super::scan::{DataFile, FolderFiles, OpenedFile, open_all};
use super::split::SealedFile;
use super::target::ParquetTarget;
use super::writer::PartDetails;
use crate::keys::{Budget, KeySpec, LoadFile, Marks, superseded, winners};
use crate::storage::StorageError;
use crate::table::segments::Generations;

/// Row groups smaller than this, on average, are encoded anew when files are put together.
const SMALL_ROW_GROUP_BYTES: u64 = 256 << 10;

/// What becomes of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Keep,
    /// Whole, but too small to be a file of its own.
    Join,
    Rewrite,
}

pub(super) async fn prepare(
    target: &ParquetTarget,
    load: &LoadContext,
    parts: Vec<Part>,
) -> Result<Vec<Part>> {
    check_columns(target, load).await?;
    let parts: Vec<Part> = parts.into_iter().filter(|part| part.rows > 0).collect();
    check_present(target, &parts).await?;
    let details = parts
        .iter()
        .map(PartDetails::of)
        .collect::<Result<Vec<_>>>()?;
    let origins = origins(load, &parts);
    let spec = KeySpec::of(load, parts.iter().map(|part| part.rows).sum())?;
    let mut left_out = superseded(&origins);
    let mut chosen = fates(load, &parts, &details, &left_out);
    // What is written as asked for already needs no look at its footers.
    if spec.is_none() && is_final(load, &parts, &details, &chosen) {
        return Ok(parts);
    }
    let files = open_parts(target, &parts, &details).await?;
    if let Some(spec) = &spec {
        let opened = FolderFiles {
            storage: target.storage(),
            files: &files,
        };
        let nulls_allowed = load.plan.write_mode != WriteMode::Merge;
        left_out = winners(spec, &opened, &origins, nulls_allowed, Budget::default()).await?;
        chosen = fates(load, &parts, &details, &left_out);
    }
    let fates = Fates { chosen, left_out };
    rebuild(target, load, &parts, &details, &files, &fates).await
}

struct Fates {
    chosen: Vec<Fate>,
    /// Rows that aren't loaded: superseded ones, and all but one of each key.
    left_out: Marks,
}

fn origins(load: &LoadContext, parts: &[Part]) -> Vec<LoadFile> {
    let generations = Generations::of(load);
    parts
        .iter()
        .map(|part| LoadFile {
            segments: part.segments.clone(),
            superseded: part
                .segments
                .iter()
                .map(|segment| generations.is_superseded(&part.input, &segment))
                .collect(),
        })
        .collect()
}

/// Whether every part is a file of the table as it stands.
fn is_final(load: &LoadContext, parts: &[Part], details: &[PartDetails], fates: &[Fate]) -> bool {
    fates.iter().all(|fate| *fate != Fate::Rewrite)
        && bins(load, parts, details, fates)
            .iter()
            .all(|bin| bin.len() < 2)
}

/// A column of the table keeps its type, unless the whole table is replaced.
async fn check_columns(target: &ParquetTarget, load: &LoadContext) -> Result<()> {
    if load.plan.write_mode == WriteMode::Replace && load.plan.replace_scope.is_empty() {
        return Ok(());
    }
    let Some(existing) = target.table_columns().await? else {
        return Ok(());
    };
    for column in &load.columns {
        let stored = existing.iter().find(|stored| stored.name == column.name);
        if let Some(stored) = stored
            && stored.column_type != column.column_type
        {
            return Err(Error::new(
                ErrorKind::Sink,
                format!(
                    "column `{}` of `{}` has the type {}, and the rows have {}",
                    column.name,
                    target.storage().location(),
                    stored.column_type,
                    column.column_type
                ),
            )
            .with_retry(Retry::Never)
            .with_help(
                "files of one folder share one schema: load into another table, or replace this one",
            ));
        }
    }
    Ok(())
}

async fn check_present(target: &ParquetTarget, parts: &[Part]) -> Result<()> {
    let storage = target.storage();
    let mut sizes: HashMap<String, u64> = HashMap::new();
    let mut listed: Vec<&str> = Vec::new();
    for part in parts {
        let folder = layout::folder_of(&part.name);
        if !listed.contains(&folder) {
            listed.push(folder);
            let entries = storage
                .list(folder)
                .await
                .map_err(StorageError::into_sink)?;
            sizes.extend(entries.into_iter().map(|entry| (entry.path, entry.bytes)));
        }
        let found = sizes.get(&part.name).copied();
        if found != Some(part.bytes) {
            let state = found.map_or_else(
                || "is gone".to_owned(),
                |bytes| format!("has {bytes} bytes instead of {}", part.bytes),
            );
            return Err(Error::new(
                ErrorKind::Sink,
                format!("part `{}/{}` {state}", storage.location(), part.name),
            )
            .with_retry(Retry::Never)
            .with_help("abandon the job and run the feed again: rows that were sealed are lost"));
        }
    }
    Ok(())
}

async fn open_parts(
    target: &ParquetTarget,
    parts: &[Part],
    details: &[PartDetails],
) -> Result<Vec<OpenedFile>> {
    let files = parts
        .iter()
        .zip(details)
        .map(|(part, details)| DataFile {
            path: part.name.clone(),
            folder: details.folder.clone(),
            bytes: part.bytes,
        })
        .collect();
    let mut columns: Vec<ColumnField> = Vec::new();
    for column in details.iter().flat_map(|details| &details.columns) {
        if columns.iter().all(|known| known.name != column.name) {
            columns.push(column.clone());
        }
    }
    open_all(target.storage(), files, &columns).await
}

fn fates(
    load: &LoadContext,
    parts: &[Part],
    details: &[PartDetails],
    left_out: &Marks,
) -> Vec<Fate> {
    parts
        .iter()
        .zip(details)
        .enumerate()
        .map(|(number, (part, details))| {
            if left_out.count(number) > 0 || needs_columns(&details.columns, &load.columns) {
                Fate::Rewrite
            } else if part.bytes < load.plan.target_file_bytes / 2 {
                Fate::Join
            } else {
                Fate::Keep
            }
        })
        .collect()
}

/// Whether rows with these columns have to be written anew to have the table's.
fn needs_columns(own: &[ColumnField], table: &[ColumnField]) -> bool {
    own.len() != table.len()
        || own
            .iter()
            .zip(table)
            .any(|(own, table)| own.name != table.name || own.column_type != table.column_type)
}

async fn rebuild(
    target: &ParquetTarget,
    load: &LoadContext,
    parts: &[Part],
    details: &[PartDetails],
    files: &[OpenedFile],
    fates: &Fates,
) -> Result<Vec<Part>> {
    let with = |fate: Fate| {
        let chosen = fates.chosen.iter().enumerate();
        chosen.filter_map(move |(number, chosen)| (*chosen == fate).then_some(number))
    };
    let mut rewritten: Vec<usize> = with(Fate::Rewrite).collect();
    let mut kept: Vec<usize> = with(Fate::Keep).collect();
    let mut joined: Vec<Vec<usize>> = Vec::new();
    for bin in bins(load, parts, details, &fates.chosen) {
        match bin.as_slice() {
            [alone] => kept.push(*alone),
            several => {
                let bin_files: Vec<&OpenedFile> =
                    several.iter().map(|number| &files[*number]).collect();
                if fit_together(&bin_files) && !has_small_row_groups(&bin_files) {
                    joined.push(bin);
                } else {
                    rewritten.extend(bin);
                }
            }
        }
    }
    kept.sort_unstable();
    let made_by = parts
        .iter()
        .map(|part| part.attempt)
        .max()
        .unwrap_or_default();
    let mut result: Vec<Part> = kept.iter().map(|number| parts[*number].clone()).collect();
    for bin in joined {
        result.push(join(target, load, parts, details, files, &bin).await?);
    }
    if !rewritten.is_empty() {
        rewritten.sort_unstable();
        let mut rewrite = Rewrite::new(target.storage(), target.format(), load, &load.columns)?;
        for number in rewritten {
            rewrite.add(&files[number], number, &fates.left_out).await?;
        }
        let schema_version = parts.iter().map(|part| part.schema_version).max();
        for sealed in rewrite.finish().await? {
            result.push(rewritten_part(
                load,
                sealed,
                made_by,
                schema_version.unwrap_or(0),
            )?);
        }
    }
    Ok(result)
}

/// Small parts of one partition that make up a file together.
fn bins(
    load: &LoadContext,
    parts: &[Part],
    details: &[PartDetails],
    fates: &[Fate],
) -> Vec<Vec<usize>> {
    let mut open: BTreeMap<&str, (Vec<usize>, u64)> = BTreeMap::new();
    let mut bins = Vec::new();
    for number in (0..parts.len()).filter(|number| fates[*number] == Fate::Join) {
        let bytes = parts[number].bytes;
        let (bin, held) = open.entry(&details[number].folder).or_default();
        if !bin.is_empty() && *held + bytes > load.plan.target_file_bytes {
            bins.push(std::mem::take(bin));
            *held = 0;
        }
        bin.push(number);
        *held += bytes;
    }
    bins.extend(open.into_values().map(|(bin, _)| bin));
    bins
}

fn has_small_row_groups(files: &[&OpenedFile]) -> bool {
    let bytes: u64 = files.iter().map(|file| file.file.bytes).sum();
    let groups: usize = files
        .iter()
        .map(|file| file.parquet().num_row_groups())
        .sum();
    bytes / (groups.max(1) as u64) < SMALL_ROW_GROUP_BYTES
}

async fn join(
    target: &ParquetTarget,
    load: &LoadContext,
    parts: &[Part],
    details: &[PartDetails],
    files: &[OpenedFile],
    bin: &[usize],
) -> Result<Part> {
    let name = format!(
        "{}/j-{:016x}.parquet",
        layout::staging_of_load(load),
        rand::random::<u64>()
    );
    let sources: Vec<&OpenedFile> = bin.iter().map(|number| &files[*number]).collect();
    let digest = concatenate(target.storage(), &sources, &name).await?;
    let first = bin.first().copied().unwrap_or(0);
    let whole = bin.iter().map(|number| &parts[*number]);
    let input = &parts[first].input;
    let has_one_input = whole.clone().all(|part| part.input == *input);
    Ok(Part {
        // Segments are an input's; those of several say nothing any more, and nothing of them is superseded.
        input: if has_one_input {
            input.clone()
        } else {
            String::new()
        },
        name,
        bytes: digest.bytes,
        checksum: digest.checksum,
        rows: whole.clone().map(|part| part.rows).sum(),
        attempt: whole
            .clone()
            .map(|part| part.attempt)
            .max()
            .unwrap_or_default(),
        segments: whole.flat_map(|part| &part.segments).collect(),
        details: details[first].to_json()?,
        ..parts[first].clone()
    })
}

fn rewritten_part(
    load: &LoadContext,
    sealed: SealedFile,
    attempt: Attempt,
    schema_version: u32,
) -> Result<Part> {
    let details = PartDetails {
        folder: sealed.key.folder().to_owned(),
        columns: load.columns.clone(),
    };
    Ok(Part {
        output: Output::Load(load.plan.id.clone()),
        // Rows of several inputs may have come together here; what was superseded is gone.
        input: String::new(),
        name: sealed.file.path,
        attempt,
        rows: sealed.file.rows,
        bytes: sealed.file.bytes,
        checksum: sealed.file.checksum,
        schema_version,
        segments: sealed.segments,
        details: details.to_json()?,
    })
}

//! What a load changes in a folder: files that come, files that go. Computed before anything is visible.

use std::collections::{BTreeSet, HashSet};

use runner_core::{LoadContext, Part, Result};
use runner_plan::model::ColumnField;
use runner_spec::model::WriteMode;

use super::layout;
use super::rewrite::Rewrite;
use super::scan::{DataFile, FolderFiles, OpenedFile, data_files, open_all};
use super::scope::Scope;
use super::target::ParquetTarget;
use super::writer::PartDetails;
use crate::keys::{Budget, Existing, KeySpec, Marks, Probed, probe};
use crate::table::conform::seq;

/// What a load does to the table.
#[derive(Clone, Debug, Default)]
pub(super) struct Change {
    /// Staged files that become visible.
    pub files: Vec<DataFile>,
    /// Files that are removed then.
    pub remove: Vec<String>,
    pub rows: u64,
    pub rows_skipped: u64,
    pub rows_replaced: u64,
}

/// `None` where the table was changed by others meanwhile, so that it has to be computed again.
pub(super) async fn compute(
    target: &ParquetTarget,
    load: &LoadContext,
    parts: &[Part],
) -> Result<Option<Change>> {
    let parts: Vec<&Part> = parts.iter().filter(|part| part.rows > 0).collect();
    let spec = KeySpec::of(load)?;
    let existing = match (load.plan.write_mode, load.insert_only) {
        (WriteMode::Merge, false) => Existing::Replaced { seq: seq(load)? },
        _ => Existing::Stays,
    };
    match (load.plan.write_mode, spec) {
        (WriteMode::Replace, _) => replace(target, load, &parts).await.map(Some),
        (WriteMode::Append | WriteMode::Merge, Some(spec)) => {
            by_key(target, load, &parts, &spec, existing).await
        }
        (WriteMode::Append | WriteMode::Merge, None) => Ok(Some(Change {
            files: staged(&parts)?,
            rows: parts.iter().map(|part| part.rows).sum(),
            ..Change::default()
        })),
    }
}

fn staged(parts: &[&Part]) -> Result<Vec<DataFile>> {
    parts
        .iter()
        .map(|part| {
            Ok(DataFile {
                path: part.name.clone(),
                folder: PartDetails::of(part)?.folder,
                bytes: part.bytes,
            })
        })
        .collect()
}

async fn replace(target: &ParquetTarget, load: &LoadContext, parts: &[&Part]) -> Result<Change> {
    let files = staged(parts)?;
    let scope = Scope::new(load, files.iter().map(|file| file.folder.as_str()))?;
    let mut replaced = Vec::new();
    for file in data_files(target.storage()).await? {
        if scope.covers(&file.folder)? {
            replaced.push(file);
        }
    }
    let remove = replaced.iter().map(|file| file.path.clone()).collect();
    let opened = open_all(target.storage(), replaced, &load.columns).await?;
    Ok(Change {
        files,
        remove,
        rows: parts.iter().map(|part| part.rows).sum(),
        rows_skipped: 0,
        rows_replaced: opened.iter().map(OpenedFile::rows).sum(),
    })
}

async fn by_key(
    target: &ParquetTarget,
    load: &LoadContext,
    parts: &[&Part],
    spec: &KeySpec,
    existing: Existing,
) -> Result<Option<Change>> {
    let storage = target.storage();
    let before = data_files(storage).await?;
    let table = open_all(storage, before.clone(), &load.columns).await?;
    let incoming = open_all(storage, staged(parts)?, &load.columns).await?;
    let left_out = Marks::new(incoming.len());
    let probed = probe(
        spec,
        &FolderFiles {
            storage,
            files: &table,
        },
        &FolderFiles {
            storage,
            files: &incoming,
        },
        &left_out,
        existing,
        Budget::default(),
    )
    .await?;
    let change = apply(target, load, &table, &incoming, &probed).await?;
    // Copies were made of what was there; files that came or went meanwhile are not in them.
    let after: HashSet<String> = paths(&data_files(storage).await?);
    if paths(&before) != after {
        return Ok(None);
    }
    Ok(Some(change))
}

async fn apply(
    target: &ParquetTarget,
    load: &LoadContext,
    table: &[OpenedFile],
    incoming: &[OpenedFile],
    probed: &Probed,
) -> Result<Change> {
    let mut change = Change {
        rows_skipped: probed.load.total(),
        rows_replaced: probed.table.total(),
        ..Change::default()
    };
    let touched: BTreeSet<usize> = probed.table.files().collect();
    let copied: Vec<&OpenedFile> = touched.iter().map(|number| &table[*number]).collect();
    let columns = all_columns(load, &copied);
    let mut rewrite = Rewrite::new(target.storage(), target.format(), load, &columns)?;
    let mut is_rewriting = false;
    for number in touched {
        change.remove.push(table[number].file.path.clone());
        if probed.table.count(number) < table[number].rows() {
            rewrite.add(&table[number], number, &probed.table).await?;
            is_rewriting = true;
        }
    }
    for (number, file) in incoming.iter().enumerate() {
        let skipped = probed.load.count(number);
        change.rows += file.rows() - skipped;
        if skipped == 0 {
            change.files.push(file.file.clone());
        } else if skipped < file.rows() {
            rewrite.add(file, number, &probed.load).await?;
            is_rewriting = true;
        }
    }
    if is_rewriting {
        for sealed in rewrite.finish().await? {
            change.files.push(DataFile {
                path: sealed.file.path,
                folder: sealed.key.folder().to_owned(),
                bytes: sealed.file.bytes,
            });
        }
    }
    Ok(change)
}

/// The load's columns, and those that only files of the table have: rows keep them when they are copied. What a file lacks
/// (the number of the load, in one that was appended without a key) is null in its rows.
fn all_columns(load: &LoadContext, files: &[&OpenedFile]) -> Vec<ColumnField> {
    let mut columns = load.columns.clone();
    for column in files.iter().flat_map(|file| &file.columns) {
        match columns.iter_mut().find(|known| known.name == column.name) {
            Some(known) => known.nullable |= column.nullable,
            None => columns.push(column.clone()),
        }
    }
    for column in &mut columns {
        let is_lacking =
            |file: &&OpenedFile| file.columns.iter().all(|own| own.name != column.name);
        column.nullable |= files.iter().any(is_lacking);
    }
    columns
}

fn paths(files: &[DataFile]) -> HashSet<String> {
    files
        .iter()
        .filter(|file| layout::is_data(&file.path))
        .map(|file| file.path.clone())
        .collect()
}

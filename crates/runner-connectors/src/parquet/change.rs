//! What a load changes in a folder: files that come, files that go. Computed before anything is visible.

use std::collections::{BTreeSet, HashSet};

use runner_core::{LoadContext, Part, Result};
use runner_plan::model::ColumnField;
use runner_spec::model::WriteMode;

use super::layout;
use super::rewrite::Rewrite;
use super::scan::{DataFile, FolderFiles, OpenedFile, TableFiles, data_files, open_all};
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
    let spec = KeySpec::of(load, parts.iter().map(|part| part.rows).sum())?;
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
    let replaced = TableFiles::open(target.storage(), replaced, &load.columns).await?;
    Ok(Change {
        files,
        remove,
        rows: parts.iter().map(|part| part.rows).sum(),
        rows_skipped: 0,
        rows_replaced: replaced.row_count(),
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
    let table = TableFiles::open(storage, before.clone(), &load.columns).await?;
    let incoming = open_all(storage, staged(parts)?, &load.columns).await?;
    let left_out = Marks::new(incoming.len());
    let probed = probe(
        spec,
        &table,
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
    table: &TableFiles<'_>,
    incoming: &[OpenedFile],
    probed: &Probed,
) -> Result<Change> {
    let mut change = Change {
        rows_skipped: probed.load.total(),
        rows_replaced: probed.table.total(),
        ..Change::default()
    };
    let touched: BTreeSet<usize> = probed.table.files().collect();
    let mut columns = load.columns.clone();
    for number in &touched {
        add_columns(&mut columns, &table.opened(*number).await?.columns);
    }
    let mut rewrite = Rewrite::new(target.storage(), target.format(), load, &columns)?;
    let mut is_rewriting = false;
    for number in touched {
        let Some((rows, path)) = table.file(number) else {
            continue;
        };
        change.remove.push(path.to_owned());
        if probed.table.count(number) < rows {
            let opened = table.opened(number).await?;
            rewrite.add(&opened, number, &probed.table).await?;
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

/// Adds the columns that only a file of the table has: its rows keep them when they are copied. What the file lacks (the number
/// of the load, in one that was appended without a key) is null in its rows.
fn add_columns(columns: &mut Vec<ColumnField>, of_file: &[ColumnField]) {
    for column in columns.iter_mut() {
        let own = of_file.iter().find(|own| own.name == column.name);
        column.nullable |= own.is_none_or(|own| own.nullable);
    }
    for own in of_file {
        if columns.iter().all(|column| column.name != own.name) {
            columns.push(ColumnField {
                nullable: true,
                ..own.clone()
            });
        }
    }
}

fn paths(files: &[DataFile]) -> HashSet<String> {
    files
        .iter()
        .filter(|file| layout::is_data(&file.path))
        .map(|file| file.path.clone())
        .collect()
}

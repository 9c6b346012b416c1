//! Makes a load's files visible, once: what happens is written into the mark first, and can be completed by any process.

use futures::TryStreamExt as _;
use runner_core::{Error, ErrorKind, Fence, LoadContext, Part, Result, Retry, Written, fault};

use super::change::{Change, compute};
use super::layout;
use super::mark::{Counts, Mark, MarkFile, Move, Pending, Standing};
use super::target::ParquetTarget;
use crate::storage::{Storage, StorageError};

/// How often a commit starts over since somebody else wrote the mark or the table.
const ATTEMPTS: u32 = 5;
/// Files that are given their names at once: an object store takes its time for each.
const MOVES_AT_ONCE: usize = 16;

pub(super) async fn commit(
    target: &ParquetTarget,
    fence: &Fence,
    load: &LoadContext,
    parts: &[Part],
) -> Result<Written> {
    for _ in 0..ATTEMPTS {
        let file = target.mark().await?;
        let pending = match file.mark.standing(fence, load)? {
            Standing::Done(committed) => {
                let tidied = tidy(target, file, &committed.remove).await;
                clear_staging(target, load).await;
                tidied?;
                return Ok(written(target, committed.counts, true));
            }
            Standing::Begun(pending) => Some((file, pending)),
            Standing::Free(abandoned) => {
                if let Some(abandoned) = &abandoned {
                    take_back(target, abandoned).await?;
                }
                if let Some(committed) = &file.mark.committed {
                    remove(target, &committed.remove).await?;
                }
                begin(target, file, load, parts).await?
            }
        };
        let Some((file, pending)) = pending else {
            continue;
        };
        if let Some(written) = finish(target, file, load, &pending).await? {
            return Ok(written);
        }
    }
    Err(Error::new(
        ErrorKind::Sink,
        format!(
            "`{}` was written to by others {ATTEMPTS} times while a load was committed",
            target.storage().location()
        ),
    )
    .with_retry(Retry::WithBackoff))
}

/// Works out what changes and writes it into the mark. `None`: somebody else wrote it first.
async fn begin(
    target: &ParquetTarget,
    file: MarkFile,
    load: &LoadContext,
    parts: &[Part],
) -> Result<Option<(MarkFile, Pending)>> {
    let Some(change) = compute(target, load, parts).await? else {
        return Ok(None);
    };
    let pending = pending(load, change);
    let mark = file.mark.begun(pending.clone());
    let begun = file.replace(target.storage(), mark).await?;
    Ok(begun.map(|file| (file, pending)))
}

fn pending(load: &LoadContext, change: Change) -> Pending {
    let moves: Vec<Move> = change
        .files
        .iter()
        .enumerate()
        .map(|(number, file)| Move {
            from: file.path.clone(),
            to: layout::final_path(load, &file.folder, number),
        })
        .collect();
    Pending {
        seq: load.seq,
        load: load.id.to_string(),
        moves,
        remove: change.remove,
        counts: Counts {
            rows: change.rows,
            bytes: change.files.iter().map(|file| file.bytes).sum(),
            rows_skipped: change.rows_skipped,
            rows_replaced: change.rows_replaced,
        },
    }
}

/// Moves the files and writes that it is done. `None`: the mark has changed, and has to be read again.
async fn finish(
    target: &ParquetTarget,
    file: MarkFile,
    load: &LoadContext,
    pending: &Pending,
) -> Result<Option<Written>> {
    publish(target, pending).await?;
    fault::commit_point(&load.id.load, "during");
    let mark = file
        .mark
        .finished(pending, &target.merged_columns(&file.mark, load));
    let Some(file) = file.replace(target.storage(), mark).await? else {
        let current = target.mark().await?.mark;
        let is_ours = |mark: &Mark| {
            mark.knows(&pending.load)
                || mark
                    .committed
                    .as_ref()
                    .is_some_and(|committed| committed.load == pending.load)
        };
        if !is_ours(&current) {
            // A later load has begun since and took this one for abandoned: it must not show.
            take_back(target, pending).await?;
        }
        return Ok(None);
    };
    tidy(target, file, &pending.remove).await?;
    clear_staging(target, load).await;
    Ok(Some(written(target, pending.counts, false)))
}

/// Gives every file its final name; files that have it already are left alone.
async fn publish(target: &ParquetTarget, pending: &Pending) -> Result<()> {
    futures::stream::iter(pending.moves.iter().map(Ok))
        .try_for_each_concurrent(MOVES_AT_ONCE, |step| place(target.storage(), step))
        .await
}

async fn place(storage: &Storage, step: &Move) -> Result<()> {
    match storage.publish(&step.from, &step.to).await {
        Ok(()) => Ok(()),
        Err(error) if error.is_not_found() => {
            let placed = storage
                .size(&step.to)
                .await
                .map_err(StorageError::into_sink)?;
            if placed.is_some() {
                return Ok(());
            }
            Err(Error::new(
                ErrorKind::Sink,
                format!("part `{}/{}` is gone", storage.location(), step.from),
            )
            .with_retry(Retry::Never))
        }
        Err(error) => Err(error.into_sink()),
    }
}

/// Takes the files of a load that never ended out of sight; its parts are there again.
async fn take_back(target: &ParquetTarget, pending: &Pending) -> Result<()> {
    let storage = target.storage();
    let mut shown = Vec::new();
    for step in &pending.moves {
        let placed = storage
            .size(&step.to)
            .await
            .map_err(StorageError::into_sink)?;
        if placed.is_none() {
            continue;
        }
        let staged = storage
            .size(&step.from)
            .await
            .map_err(StorageError::into_sink)?;
        if staged.is_none() {
            storage
                .publish(&step.to, &step.from)
                .await
                .map_err(StorageError::into_sink)?;
        }
        shown.push(step.to.clone());
    }
    remove(target, &shown).await
}

/// Removes the files that the last load replaced, and forgets them.
async fn tidy(target: &ParquetTarget, file: MarkFile, replaced: &[String]) -> Result<()> {
    if replaced.is_empty() {
        return Ok(());
    }
    remove(target, replaced).await?;
    let tidied = file.mark.tidied();
    // Somebody who wrote the mark meanwhile has removed them too.
    file.replace(target.storage(), tidied).await?;
    Ok(())
}

async fn remove(target: &ParquetTarget, paths: &[String]) -> Result<()> {
    target
        .storage()
        .delete(paths)
        .await
        .map_err(StorageError::into_sink)
}

/// What stays behind is swept later, so a failure here is none of the load's.
async fn clear_staging(target: &ParquetTarget, load: &LoadContext) {
    let storage = target.storage();
    let folder = layout::staging_of_load(load);
    let cleared = match storage.list(&folder).await {
        Ok(entries) => {
            let paths: Vec<String> = entries.into_iter().map(|entry| entry.path).collect();
            storage.delete(&paths).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = cleared {
        tracing::warn!(load = %load.id, %error, "failed to clear the staging folder of a load");
    }
    target.remove_empty_folder(&folder);
}

fn written(target: &ParquetTarget, counts: Counts, already_done: bool) -> Written {
    Written {
        rows: counts.rows,
        bytes: counts.bytes,
        rows_skipped: counts.rows_skipped,
        rows_replaced: counts.rows_replaced,
        location: target.storage().location().to_owned(),
        already_done,
    }
}

/// Whether the table refers to a staged file: then it is not to be discarded.
pub(super) fn refers_to(mark: &Mark, name: &str) -> bool {
    mark.pending
        .as_ref()
        .is_some_and(|pending| pending.moves.iter().any(|step| step.from == name))
}

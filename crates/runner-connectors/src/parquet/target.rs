//! A folder of Parquet files as a table.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use runner_core::{Committer, Error, ErrorKind, FeedId, Fence, LoadContext, Part, Result, Written};
use runner_plan::model::{ColumnField, Delivery, LoadPlan, Target as TargetPlan};
use runner_spec::model::WriteMode;

use super::commit::{commit, refers_to};
use super::file::FileFormat;
use super::layout;
use super::mark::{Mark, MarkFile};
use super::prepare::prepare;
use super::scan::{OpenedFile, data_files};
use super::writer::FolderWriter;
use crate::registry::TargetContext;
use crate::sink::{PartWriter, Target, WriterContext};
use crate::storage::{Storage, StorageError};

/// One folder, local or in an object store. Readers may see part of a load while it is committed ([`Delivery::Idempotent`]).
#[derive(Clone, Debug)]
pub struct ParquetTarget {
    storage: Storage,
    format: FileFormat,
    feed: FeedId,
    /// [`LoadPlan::id`].
    load: String,
    /// The whole table is replaced by every load, so nothing of it has to be kept compatible.
    is_replaced: bool,
    /// The columns that the table had when it was opened; absent where nobody looked, or nobody could.
    columns_found: Option<Vec<ColumnField>>,
}

impl ParquetTarget {
    /// Nothing is written; of a table that is there, its columns are read.
    pub async fn open(load: &LoadPlan, context: &TargetContext) -> Result<Self> {
        let TargetPlan::Parquet {
            location,
            storage,
            compression,
        } = &load.target
        else {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("`{}` does not go to a Parquet folder", load.table),
            ));
        };
        let settings = context.resolver.settings(storage).await?;
        let storage = Storage::open(location, &settings).map_err(StorageError::into_sink)?;
        let target = Self::with_storage(storage, compression, load, &context.feed)?;
        Ok(target.with_columns().await)
    }

    /// A folder that was opened elsewhere.
    pub fn with_storage(
        storage: Storage,
        compression: &str,
        load: &LoadPlan,
        feed: &FeedId,
    ) -> Result<Self> {
        Ok(Self {
            storage,
            format: FileFormat::new(compression)?,
            feed: feed.clone(),
            load: load.id.clone(),
            is_replaced: load.write_mode == WriteMode::Replace && load.replace_scope.is_empty(),
            columns_found: None,
        })
    }

    /// Looks which columns there are, which keep their types. Where that fails all do: preparing the load then says why.
    async fn with_columns(mut self) -> Self {
        if !self.is_replaced {
            let columns = self.table_columns().await.ok();
            self.columns_found = columns.map(Option::unwrap_or_default);
        }
        self
    }

    pub(super) fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(super) fn format(&self) -> &FileFormat {
        &self.format
    }

    pub(super) async fn mark(&self) -> Result<MarkFile> {
        MarkFile::read(&self.storage, &layout::mark(&self.feed, &self.load)).await
    }

    /// The table's columns: as this feed left them, else as the newest file has them.
    pub(super) async fn table_columns(&self) -> Result<Option<Vec<ColumnField>>> {
        let mark = self.mark().await?.mark;
        if !mark.columns.is_empty() {
            return Ok(Some(mark.columns));
        }
        let Some(last) = data_files(&self.storage).await?.pop() else {
            return Ok(None);
        };
        let file = OpenedFile::open(&self.storage, last, &[]).await?;
        Ok(Some(file.columns))
    }

    /// The columns that the table has after a load: those of the load, and those that it had before.
    pub(super) fn merged_columns(&self, mark: &Mark, load: &LoadContext) -> Vec<ColumnField> {
        let mut columns = load.columns.clone();
        if self.is_replaced {
            return columns;
        }
        for column in &mark.columns {
            if columns.iter().all(|known| known.name != column.name) {
                columns.push(ColumnField {
                    nullable: true,
                    ..column.clone()
                });
            }
        }
        columns
    }

    /// Folders that hold nothing any more, in file systems that have folders; others see to it themselves.
    pub(super) fn remove_empty_folder(&self, relative: &str) {
        let Some(root) = self.storage.local_path() else {
            return;
        };
        let mut folder = root.join(relative);
        // Fails where something is left, and then the ones above are not empty either.
        while folder != root && std::fs::remove_dir(&folder).is_ok() {
            if !folder.pop() {
                break;
            }
        }
    }
}

#[async_trait]
impl Committer for ParquetTarget {
    fn delivery(&self) -> Delivery {
        Delivery::Idempotent
    }

    async fn prepare(&self, load: &LoadContext, parts: Vec<Part>) -> Result<Vec<Part>> {
        self.probe().await?;
        prepare(self, load, parts).await
    }

    async fn commit(&self, fence: &Fence, load: &LoadContext, parts: &[Part]) -> Result<Written> {
        commit(self, fence, load, parts).await
    }

    async fn discard(&self, parts: &[Part]) -> Result<()> {
        let mark = self.mark().await?.mark;
        let paths: Vec<String> = parts
            .iter()
            .map(|part| part.name.clone())
            .filter(|name| !refers_to(&mark, name))
            .collect();
        self.storage
            .delete(&paths)
            .await
            .map_err(StorageError::into_sink)?;
        for path in &paths {
            self.remove_empty_folder(layout::folder_of(path));
        }
        Ok(())
    }
}

#[async_trait]
impl Target for ParquetTarget {
    async fn columns(&self) -> Result<Option<Vec<ColumnField>>> {
        self.table_columns().await
    }

    async fn writer(&self, context: WriterContext) -> Result<Box<dyn PartWriter>> {
        let writer = FolderWriter::new(self.storage.clone(), self.format.clone(), context)?;
        Ok(Box::new(writer))
    }

    /// Readers take one schema for all files of a folder, so a column that the table has keeps its type.
    fn can_widen(&self, from: &ColumnField, to: &ColumnField) -> bool {
        let is_new = |columns: &Vec<ColumnField>| columns.iter().all(|had| had.name != to.name);
        self.is_replaced
            || from.column_type == to.column_type
            || self.columns_found.as_ref().is_some_and(is_new)
    }

    async fn sweep(
        &self,
        recorded: &BTreeSet<String>,
        older_than: DateTime<Utc>,
        dry_run: bool,
    ) -> Result<Vec<String>> {
        let mark = self.mark().await?.mark;
        let entries = self
            .storage
            .list(&layout::staging_of_feed(&self.feed))
            .await
            .map_err(StorageError::into_sink)?;
        let paths: Vec<String> = entries
            .into_iter()
            .filter(|entry| entry.modified < older_than)
            .map(|entry| entry.path)
            .filter(|path| !recorded.contains(path) && !refers_to(&mark, path))
            .collect();
        if !dry_run {
            self.storage
                .delete(&paths)
                .await
                .map_err(StorageError::into_sink)?;
            for path in &paths {
                self.remove_empty_folder(layout::folder_of(path));
            }
        }
        Ok(paths
            .into_iter()
            .map(|path| format!("{}/{path}", self.storage.location()))
            .collect())
    }

    async fn probe(&self) -> Result<()> {
        self.storage.probe().await.map_err(StorageError::into_sink)
    }
}

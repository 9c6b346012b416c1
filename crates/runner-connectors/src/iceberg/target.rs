//! One Iceberg table as a target: what it is now, where files for it go, and who commits them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use iceberg::spec::{FormatVersion, TableMetadata};
use runner_core::commit::table_columns;
use runner_core::{Clock, Committer, FeedId, Fence, LoadContext, Part, Written};
use runner_plan::model::{ColumnField, Delivery, LoadPlan};

use super::catalog::{Catalog, LoadedTable, TableName};
use super::connect::connect;
use super::credentials::LentFiles;
use super::error::{IcebergError, Result};
use super::files::TableFiles;
use super::partition_spec::{existing_spec, new_spec};
use super::schema::{Evolution, FieldIds, columns_of, file_schema, new_schema};
use super::snapshot::check_version;
use super::writer::{FileWriter, IcebergWriter, Layout, file_prefix, with_partition_columns};
use crate::registry::TargetContext;
use crate::sink::{PartWriter, Target, WriterContext};
use crate::storage::StorageError;
use crate::table::conform::Conform;

const DATA_PATH: &str = "write.data.path";

/// A table of an Iceberg catalog, which need not exist yet.
pub struct IcebergTarget {
    pub(super) plan: LoadPlan,
    pub(super) feed: FeedId,
    pub(super) name: TableName,
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) format_version: FormatVersion,
    pub(super) new_folder: String,
    pub(super) is_staged: bool,
    files: TableFiles,
    compression: String,
    /// Ids of columns that the table hasn't yet, the same for every lane.
    ids: Mutex<FieldIds>,
    /// As it was last loaded: what types can become is asked without waiting.
    seen: Mutex<Option<LoadedTable>>,
    /// The files of the table with what the catalog lent last.
    lent: Mutex<Option<LentFiles>>,
}

impl IcebergTarget {
    /// Connects to the catalog and looks at the table. Nothing is written.
    pub async fn open(plan: &LoadPlan, context: &TargetContext) -> runner_core::Result<Self> {
        let connection = connect(plan, context).await?;
        let target = Self {
            plan: plan.clone(),
            feed: context.feed.clone(),
            name: connection.name,
            catalog: connection.catalog,
            clock: Arc::clone(&context.clock),
            format_version: connection.format_version,
            new_folder: connection.new_folder,
            is_staged: connection.is_staged,
            files: connection.files,
            compression: connection.compression,
            ids: Mutex::default(),
            seen: Mutex::default(),
            lent: Mutex::default(),
        };
        target.load().await.map_err(|error| target.located(error))?;
        Ok(target)
    }

    /// The table as it stands, if this program can write to it.
    pub(super) async fn load(&self) -> Result<Option<LoadedTable>> {
        let table = self.catalog.load(&self.name).await?;
        if let Some(table) = &table {
            check_version(&table.metadata, &self.plan.table)?;
        }
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&table);
        Ok(table)
    }

    /// Files of the table, with the credentials that its catalog hands out.
    pub(super) fn files_of(&self, table: &LoadedTable) -> TableFiles {
        if table.storage.is_empty() {
            return self.files.clone();
        }
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lent) = lent.as_ref().filter(|lent| lent.takes(table)) {
            return lent.files.clone();
        }
        let new = LentFiles::new(
            self.files.settings(),
            &self.catalog,
            &self.name,
            table,
            &self.clock,
        );
        lent.insert(new).files.clone()
    }

    /// How files for these columns are laid out, and the columns that they have.
    pub(super) fn layout(
        &self,
        table: Option<&LoadedTable>,
        columns: &[ColumnField],
    ) -> Result<(Layout, Vec<ColumnField>)> {
        match table {
            Some(table) => self.layout_of(table, columns),
            None => self.layout_of_new(columns),
        }
    }

    fn layout_of(
        &self,
        table: &LoadedTable,
        columns: &[ColumnField],
    ) -> Result<(Layout, Vec<ColumnField>)> {
        let metadata = &table.metadata;
        let current = metadata.current_schema();
        let spec = existing_spec(&self.plan, metadata)?;
        let columns = with_partition_columns(columns, spec, &columns_of(current), current);
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let evolved = self
            .evolution(metadata, &ids, &|_| false)
            .for_columns(&columns)?;
        let schema = file_schema(evolved.as_ref().unwrap_or(current), &columns)?;
        ids.adopt(&FieldIds::of(&schema));
        let folder = data_folder(metadata);
        let layout = Layout {
            storage: self.files_of(table).folder(&folder)?,
            folder,
            schema,
            spec: spec.clone(),
            compression: self.compression.clone(),
            target_file_bytes: self.plan.target_file_bytes,
        };
        Ok((layout, columns))
    }

    /// How files with rows of the table itself are laid out.
    pub(super) fn layout_of_table(&self, table: &LoadedTable) -> Result<Layout> {
        let metadata = &table.metadata;
        let folder = data_folder(metadata);
        Ok(Layout {
            storage: self.files_of(table).folder(&folder)?,
            folder,
            schema: metadata.current_schema().as_ref().clone(),
            spec: existing_spec(&self.plan, metadata)?.clone(),
            compression: self.compression.clone(),
            target_file_bytes: self.plan.target_file_bytes,
        })
    }

    fn layout_of_new(&self, columns: &[ColumnField]) -> Result<(Layout, Vec<ColumnField>)> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = ids.highest();
        ids.assign(columns, &mut last);
        let schema = new_schema(columns, &ids)?;
        let spec =
            new_spec(&self.plan, &ids)?
                .bind(schema.clone())
                .map_err(IcebergError::metadata(format!(
                    "partition the table `{}`",
                    self.plan.table
                )))?;
        let layout = Layout {
            storage: self.files.folder(&self.new_folder)?,
            folder: self.new_folder.clone(),
            schema,
            spec,
            compression: self.compression.clone(),
            target_file_bytes: self.plan.target_file_bytes,
        };
        Ok((layout, columns.to_vec()))
    }

    pub(super) fn evolution<'a>(
        &'a self,
        metadata: &'a TableMetadata,
        preferred: &'a FieldIds,
        has_nulls: &'a dyn Fn(&str) -> bool,
    ) -> Evolution<'a> {
        Evolution {
            table: &self.plan.table,
            schema: metadata.current_schema(),
            last_column_id: metadata.last_column_id(),
            preferred,
            has_nulls,
        }
    }

    /// Folders that have files of the table, and how they are reached.
    pub(super) fn folders(&self, table: Option<&LoadedTable>) -> (Vec<String>, TableFiles) {
        let mut folders = vec![self.new_folder.clone()];
        let Some(table) = table else {
            return (folders, self.files.clone());
        };
        let data = data_folder(&table.metadata);
        if !folders.contains(&data) {
            folders.push(data);
        }
        folders.push(format!("{}/metadata", table.metadata.location()));
        (folders, self.files_of(table))
    }
}

pub(super) fn data_folder(metadata: &TableMetadata) -> String {
    metadata.properties().get(DATA_PATH).map_or_else(
        || format!("{}/data", metadata.location()),
        |path| path.trim_end_matches('/').to_owned(),
    )
}

#[async_trait]
impl Target for IcebergTarget {
    async fn columns(&self) -> runner_core::Result<Option<Vec<ColumnField>>> {
        let table = self.load().await?;
        Ok(table.map(|table| columns_of(table.metadata.current_schema())))
    }

    async fn writer(&self, context: WriterContext) -> runner_core::Result<Box<dyn PartWriter>> {
        let table = self.load().await?;
        let columns = table_columns(&self.plan, &context.columns);
        let (layout, columns) = self.layout(table.as_ref(), &columns)?;
        let conform = Conform::new(&context.columns, &columns, &context.load)?;
        let name = file_prefix(&context.load, &format!("a{}", context.attempt.0));
        let files = FileWriter::new(layout, &context.load, name, context.memory_bytes)?;
        Ok(Box::new(IcebergWriter::new(
            files,
            conform,
            context.load,
            context.input,
            context.attempt,
            context.schema_version,
        )))
    }

    fn can_widen(&self, _from: &ColumnField, to: &ColumnField) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(table) = seen.as_ref() else {
            return true;
        };
        self.evolution(&table.metadata, &FieldIds::default(), &|_| false)
            .for_columns(std::slice::from_ref(to))
            .is_ok()
    }

    async fn sweep(
        &self,
        recorded: &BTreeSet<String>,
        older_than: DateTime<Utc>,
        dry_run: bool,
    ) -> runner_core::Result<Vec<String>> {
        Ok(self.sweep_leftovers(recorded, older_than, dry_run).await?)
    }

    async fn probe(&self) -> runner_core::Result<()> {
        self.catalog.probe().await?;
        let table = self.load().await?;
        let (folder, files) = match &table {
            Some(table) => (data_folder(&table.metadata), self.files_of(table)),
            None => (self.new_folder.clone(), self.files.clone()),
        };
        let storage = files.folder(&folder)?;
        Ok(storage.probe().await.map_err(StorageError::into_sink)?)
    }
}

#[async_trait]
impl Committer for IcebergTarget {
    fn delivery(&self) -> Delivery {
        Delivery::Atomic
    }

    async fn prepare(
        &self,
        load: &LoadContext,
        parts: Vec<Part>,
    ) -> runner_core::Result<Vec<Part>> {
        self.prepare_parts(load, parts)
            .await
            .map_err(|error| self.located(error))
    }

    async fn commit(
        &self,
        fence: &Fence,
        load: &LoadContext,
        parts: &[Part],
    ) -> runner_core::Result<Written> {
        self.commit_parts(fence, load, parts)
            .await
            .map_err(|error| self.located(error))
    }

    async fn discard(&self, parts: &[Part]) -> runner_core::Result<()> {
        self.discard_parts(parts)
            .await
            .map_err(|error| self.located(error))
    }
}

impl IcebergTarget {
    fn located(&self, error: IcebergError) -> runner_core::Error {
        runner_core::Error::from(error)
            .with_context("table", &self.name)
            .with_context("catalog", self.catalog.address())
    }
}

impl std::fmt::Debug for IcebergTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IcebergTarget")
            .field("name", &self.name)
            .field("catalog", &self.catalog)
            .finish_non_exhaustive()
    }
}

//! Data files that were written before their table existed, in a folder of the runner's own, on their way into the table's.

use futures::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use runner_core::Part;

use super::catalog::LoadedTable;
use super::data_file::FileDetails;
use super::error::{IcebergError, Result};
use super::target::{IcebergTarget, data_folder};
use crate::storage::{StorageError, Upload};

impl IcebergTarget {
    /// The part with its file among the table's own.
    pub(super) async fn unstage(
        &self,
        table: &LoadedTable,
        part: &Part,
        details: &FileDetails,
    ) -> Result<Part> {
        let staged = details
            .location
            .strip_prefix(&self.new_folder)
            .map(|path| path.trim_start_matches('/'));
        let Some(path) = staged.filter(|_| self.is_staged) else {
            return Ok(part.clone());
        };
        let files = self.files_of(table);
        let folder = data_folder(&table.metadata);
        let mut upload = files.folder(&folder)?.upload(path)?;
        if let Err(error) = self.copy(table, &details.location, &mut upload).await {
            upload.abort().await;
            return Err(error);
        }
        let written = upload.finish().await?;
        let location = format!("{folder}/{path}");
        if written.bytes != part.bytes || written.checksum != part.checksum {
            files.delete(&location).await?;
            return Err(IcebergError::Broken(format!(
                "the file `{}` has changed since it was sealed",
                details.location
            )));
        }
        let details = FileDetails {
            location,
            ..details.clone()
        };
        Ok(Part {
            details: details.to_json()?,
            ..part.clone()
        })
    }

    async fn copy(&self, table: &LoadedTable, location: &str, upload: &mut Upload) -> Result<()> {
        let (store, path) = self.files_of(table).resolve(location)?;
        let failed = |source| StorageError::Failed {
            operation: "read",
            location: location.to_owned(),
            source,
        };
        let mut content = store.get(&path).await.map_err(failed)?.into_stream();
        while let Some(piece) = content.try_next().await.map_err(failed)? {
            upload.write(piece).await?;
        }
        Ok(())
    }
}

//! The one visible change of a load: a snapshot and the mark, in one commit to the catalog.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use iceberg::TableUpdate;
use iceberg::spec::{ManifestFile, TableMetadata};
use runner_core::{Fence, LoadContext, Part, Written, fault};
use runner_spec::model::WriteMode;

use super::catalog::{CommitOutcome, LoadedTable};
use super::data_file::FileDetails;
use super::error::{IcebergError, Result};
use super::keyed::KeyedChange;
use super::manifests::{self, AddedFile, SnapshotManifests};
use super::mark::{self, Mark, Standing};
use super::partition_spec::spec_of;
use super::snapshot::{self, FileChange, NewSnapshot};
use super::target::IcebergTarget;

/// Times that a commit is tried against other writers before the load waits its turn.
const ATTEMPTS: u32 = 20;
/// Times that what a merge changes is computed.
pub(super) const COMPUTATIONS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A commit under way.
struct Attempt<'a> {
    fence: &'a Fence,
    load: &'a LoadContext,
    parts: &'a [Part],
    /// What a merge changes, as long as no other writer makes it wrong.
    keyed: Option<KeyedChange>,
    computations: u32,
    /// An attempt may have been committed without anybody knowing yet: nothing it wrote is deleted.
    is_unknown: bool,
}

/// One try.
enum Step {
    Done(Written),
    Again(String),
}

impl IcebergTarget {
    pub(super) async fn commit_parts(
        &self,
        fence: &Fence,
        load: &LoadContext,
        parts: &[Part],
    ) -> Result<Written> {
        let mut attempt = Attempt {
            fence,
            load,
            parts,
            keyed: None,
            computations: 0,
            is_unknown: false,
        };
        let mut wait = FIRST_WAIT;
        let mut reason = String::new();
        for _ in 0..ATTEMPTS {
            match self.attempt(&mut attempt).await? {
                Step::Done(written) => return Ok(written),
                Step::Again(found) => reason = found,
            }
            tracing::debug!(table = %self.name, reason, "the commit is tried again");
            self.clock.sleep(wait.mul_f64(jitter())).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        Err(IcebergError::Contended {
            attempts: ATTEMPTS,
            reason,
        })
    }

    async fn attempt(&self, attempt: &mut Attempt<'_>) -> Result<Step> {
        let table = self.load().await?.ok_or_else(|| self.vanished())?;
        // Read again after every conflict and every unknown outcome: it alone decides.
        if let Standing::Done(written) =
            mark::standing(&table.metadata, attempt.load, attempt.fence)?
        {
            return Ok(Step::Done(written));
        }
        let files = self.files_of(&table);
        let current = manifests::current(&files, &table.metadata).await?;
        let (change, written) = self.change(&table, &current, attempt).await?;
        let written = Written {
            location: table.metadata.location().to_owned(),
            ..written
        };
        let new = snapshot::write(
            &files,
            &table.metadata,
            current,
            change,
            attempt.load,
            self.clock.as_ref(),
        )
        .await?;
        let Some(new) = new else {
            attempt.keyed = None;
            return Ok(Step::Again(
                "a file that the load replaces rows of is gone".to_owned(),
            ));
        };
        self.swap(&table, new, written, attempt).await
    }

    async fn swap(
        &self,
        table: &LoadedTable,
        new: NewSnapshot,
        written: Written,
        attempt: &mut Attempt<'_>,
    ) -> Result<Step> {
        let load = attempt.load;
        let NewSnapshot {
            mut change,
            written: metadata_files,
        } = new;
        let mark = Mark {
            seq: attempt.fence.seq.0,
            load_id: load.id.to_string(),
            written: written.clone(),
        };
        let mark = serde_json::to_string(&mark).map_err(IcebergError::json("write the mark"))?;
        change.updates.push(TableUpdate::SetProperties {
            updates: HashMap::from([(mark::key_of(load), mark)]),
        });
        fault::commit_point(&load.id.load, "during");
        match self.catalog.commit(&self.name, table, change).await? {
            CommitOutcome::Committed(committed) => {
                self.expire(committed, load).await;
                Ok(Step::Done(written))
            }
            CommitOutcome::Conflict(reason) => {
                SnapshotManifests::take_back(&self.files_of(table), &metadata_files).await;
                Ok(Step::Again(reason))
            }
            CommitOutcome::Unknown(error) => {
                attempt.is_unknown = true;
                let error = runner_core::Error::from(error);
                tracing::warn!(table = %self.name, error = %error.chain(), "whether a commit was made is not known; the table is asked");
                Ok(Step::Again(error.chain()))
            }
        }
    }

    /// What the load does to the files of the table as it is now.
    async fn change(
        &self,
        table: &LoadedTable,
        current: &[ManifestFile],
        attempt: &mut Attempt<'_>,
    ) -> Result<(FileChange, Written)> {
        let load = attempt.load;
        let is_keyed = load.plan.write_mode == WriteMode::Merge
            || (load.plan.write_mode == WriteMode::Append && !load.plan.primary_key.is_empty());
        if is_keyed && attempt.parts.iter().any(|part| part.rows > 0) {
            return self.keyed_change(table, current, attempt).await;
        }
        let added = self.added(&table.metadata, attempt.parts)?;
        let mut written = Written {
            rows: attempt.parts.iter().map(|part| part.rows).sum(),
            bytes: attempt.parts.iter().map(|part| part.bytes).sum(),
            ..Written::default()
        };
        let mut change = FileChange {
            added,
            ..FileChange::default()
        };
        if load.plan.write_mode == WriteMode::Replace {
            let replaced = self.replaced(table, current, load, &change.added).await?;
            written.rows_replaced = replaced.rows;
            change.removed = replaced.locations;
            change.drops_deletes = replaced.is_whole_table;
            change.overwrites = true;
        }
        Ok((change, written))
    }

    async fn keyed_change(
        &self,
        table: &LoadedTable,
        current: &[ManifestFile],
        attempt: &mut Attempt<'_>,
    ) -> Result<(FileChange, Written)> {
        let load = attempt.load;
        let mut keyed = attempt.keyed.take();
        if let Some(change) = &mut keyed
            && !self
                .still_holds(change, table, current, load, attempt.parts)
                .await?
        {
            if !attempt.is_unknown {
                let files = self.files_of(table);
                SnapshotManifests::take_back(&files, &change.new_locations()).await;
            }
            keyed = None;
        }
        let keyed = match keyed {
            Some(keyed) => keyed,
            None if attempt.computations == COMPUTATIONS => {
                return Err(IcebergError::Contended {
                    attempts: COMPUTATIONS,
                    reason: "other writers changed rows that the load replaces".to_owned(),
                });
            }
            None => {
                attempt.computations += 1;
                self.compute(table, current, load, attempt.parts).await?
            }
        };
        let result = (keyed.change(), keyed.written.clone());
        attempt.keyed = Some(keyed);
        Ok(result)
    }

    /// Manifest entries of parts.
    pub(super) fn added(&self, metadata: &TableMetadata, parts: &[Part]) -> Result<Vec<AddedFile>> {
        parts
            .iter()
            .filter(|part| part.rows > 0)
            .map(|part| {
                let details = FileDetails::of(part)?;
                self.added_file(metadata, &details, part.rows, part.bytes)
            })
            .collect()
    }

    pub(super) fn added_file(
        &self,
        metadata: &TableMetadata,
        details: &FileDetails,
        rows: u64,
        bytes: u64,
    ) -> Result<AddedFile> {
        let spec = spec_of(&details.partition, metadata).ok_or_else(|| {
            IcebergError::conflict(
                format!(
                    "the table `{}` has changed its partition spec since the load was prepared",
                    self.name
                ),
                "run the feed again",
            )
        })?;
        let schema = metadata.current_schema();
        let partition_type = spec.partition_type(schema).map_err(IcebergError::metadata(
            "file a data file under its partition",
        ))?;
        Ok(AddedFile {
            file: details.data_file(
                rows,
                bytes,
                Arc::as_ref(schema),
                spec.spec_id(),
                &partition_type,
            )?,
            spec_id: spec.spec_id(),
        })
    }
}

/// Between a half and the whole.
fn jitter() -> f64 {
    0.5 + rand::random::<f64>() / 2.0
}

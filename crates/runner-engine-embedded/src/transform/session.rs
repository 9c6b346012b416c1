//! DataFusion for one transform: bounded memory, and a folder for what is beyond it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::Input;

use super::failure::failed;
use super::pool::HalvedPool;
use super::staged::StagedView;

/// Where the queries of one transform run.
pub(crate) struct Session {
    pub(crate) context: SessionContext,
}

/// Pieces that joins, groups and orders are cut into: more hold more memory at once.
const PARTITIONS: usize = 4;
const SPILLING_PARTITIONS: usize = 2;

/// Staged bytes of which a hash table is built in memory; above, joins sort both sides, which spills.
const HASHED_BYTES_SHARE: u64 = 32;

/// Batches are so small that each of the sorts that run at once holds several: one that has to take a whole batch can't spill before.
const BATCH_SHARE: u64 = 512;
const BATCH_ROWS: u64 = 8_192;
const MINIMUM_BATCH_ROWS: u64 = 16;

/// What a sort keeps back of the pool to merge what it has spilled.
const SORT_RESERVE_SHARE: usize = 64;

impl Session {
    pub(crate) fn open(
        spill: &Path,
        memory_bytes: usize,
        inputs: &BTreeMap<Input, StagedView>,
    ) -> Result<Self> {
        let config = |error: std::io::Error| {
            Error::new(
                ErrorKind::Sink,
                format!("failed to create `{}`", spill.display()),
            )
            .with_source(error)
            .with_help("check that the data folder is writable and that its disk has space")
        };
        // What an attempt that was killed left there.
        match std::fs::remove_dir_all(spill) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(config(error));
            }
            _ => {}
        }
        std::fs::create_dir_all(spill).map_err(config)?;
        let staged: u64 = inputs.values().map(StagedView::bytes).sum();
        let is_small = staged.saturating_mul(HASHED_BYTES_SHARE) <= memory_bytes as u64;
        let folder = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![spill.to_path_buf()]));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(HalvedPool::new(memory_bytes)))
            .with_disk_manager_builder(folder)
            .build_arc()
            .map_err(failed)?;
        let mut row_bytes = 1;
        for input in inputs.values() {
            row_bytes = row_bytes.max(input.row_bytes()?);
        }
        let batch_rows =
            (memory_bytes as u64 / BATCH_SHARE / row_bytes).clamp(MINIMUM_BATCH_ROWS, BATCH_ROWS);
        let mut config = SessionConfig::new()
            .with_target_partitions(if is_small {
                PARTITIONS
            } else {
                SPILLING_PARTITIONS
            })
            .with_batch_size(usize::try_from(batch_rows).unwrap_or(1));
        let options = config.options_mut();
        options.optimizer.prefer_hash_join = is_small;
        options.execution.sort_spill_reservation_bytes = memory_bytes / SORT_RESERVE_SHARE;
        Ok(Self {
            context: SessionContext::new_with_config_rt(config, runtime),
        })
    }

    /// Starts a plan whose scans name these views.
    pub(crate) async fn execute(
        &self,
        plan: LogicalPlan,
        views: &BTreeMap<String, StagedView>,
    ) -> Result<SendableRecordBatchStream> {
        let plan = plan
            .transform_down_with_subqueries(|node| {
                let LogicalPlan::TableScan(mut scan) = node else {
                    return Ok(Transformed::no(node));
                };
                let name = scan.table_name.table();
                let view = views.get(name).or_else(|| {
                    let mut views = views.iter();
                    let found = views.find(|(known, _)| known.to_lowercase() == name);
                    found.map(|(_, view)| view)
                });
                if let Some(view) = view {
                    scan.source = provider_as_source(Arc::new(view.clone()));
                }
                Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
            })
            .map_err(failed)?
            .data;
        let frame = self.context.execute_logical_plan(plan).await;
        let frame = frame.map_err(failed)?;
        frame.execute_stream().await.map_err(failed)
    }
}

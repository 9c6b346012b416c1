//! The sinks, as a plain list: which target stands behind a load of the plan.

use std::path::PathBuf;
use std::sync::Arc;

use runner_core::{Clock, FeedId, Result, TenantId};
use runner_plan::Plan;
use runner_plan::model::{LoadPlan, Target as TargetPlan};

use crate::iceberg::IcebergTarget;
use crate::parquet::ParquetTarget;
use crate::postgres::PostgresTarget;
use crate::resolve::Resolver;
use crate::secrets::RunSecrets;
use crate::sink::Target;

/// What a target needs of the world, beside its plan. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TargetContext {
    pub feed: FeedId,
    pub resolver: Resolver,
    pub clock: Arc<dyn Clock>,
    /// Where the runner keeps its own files; relative locations are taken as they are.
    pub data_dir: PathBuf,
}

impl TargetContext {
    pub fn new(
        plan: &Plan,
        secrets: Arc<RunSecrets>,
        clock: Arc<dyn Clock>,
        data_dir: PathBuf,
    ) -> Self {
        Self {
            feed: FeedId {
                tenant: TenantId::new(&plan.tenant),
                name: plan.feed.clone(),
            },
            resolver: Resolver::new(secrets, plan),
            clock,
            data_dir,
        }
    }
}

/// Connects to the target of a load. Nothing is written.
pub async fn build(load: &LoadPlan, context: &TargetContext) -> Result<Arc<dyn Target>> {
    Ok(match &load.target {
        TargetPlan::Parquet { .. } => Arc::new(ParquetTarget::open(load, context).await?),
        TargetPlan::Iceberg { .. } => Arc::new(IcebergTarget::open(load, context).await?),
        TargetPlan::Postgres { .. } => Arc::new(PostgresTarget::connect(load, context).await?),
    })
}

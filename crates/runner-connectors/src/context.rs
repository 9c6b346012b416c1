//! What a source needs of the world, beside its plan.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use runner_core::{Cancel, Clock, JobId};
use runner_plan::Plan;
use runner_plan::template::RunScope;

use crate::http::HttpRegistry;
use crate::meter::StreamMeter;
use crate::schema::StreamSchema;
use crate::secrets::RunSecrets;

/// Given to a source when it is built: one per stream of a run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SourceContext {
    /// The whole plan: parameters, config, limits, names.
    pub plan: Arc<Plan>,
    pub job: JobId,
    /// The scheduled instant, else the job's creation: every "run's start" means it.
    pub nominal_time: DateTime<Utc>,
    pub clock: Arc<dyn Clock>,
    pub cancel: Cancel,
    /// When everything stops with a timeout, by [`Clock::monotonic`].
    pub deadline: Option<Duration>,
    /// The run's secrets and its scrubber; one for all streams and sinks.
    pub secrets: Arc<RunSecrets>,
    /// The stream's columns while it is read.
    pub schema: StreamSchema,
    /// What the stream has done so far; the driver counts rows and pages, the source its requests, bytes and waits.
    pub meter: StreamMeter,
    /// One per process: rate limits and access tokens are shared by all jobs.
    pub http: HttpRegistry,
}

impl SourceContext {
    /// What templates know of the run.
    pub(crate) fn run_scope(&self) -> RunScope {
        RunScope {
            job_id: self.job.to_string(),
            started_at: self.nominal_time.to_rfc3339_opts(SecondsFormat::Secs, true),
            tenant_id: self.plan.tenant.clone(),
        }
    }
}

//! Gates and bounds of a run.

use super::context::Context;
use super::findings::Findings;
use crate::model::{Gates, Limits};

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;

/// Without `slos` no threshold applies, and drift is recorded only.
pub(crate) fn gates(context: Context<'_>) -> Gates {
    let Some(slos) = &context.spec().provider.slos else {
        return Gates::default();
    };
    Gates {
        completeness_threshold: slos.completeness_threshold,
        accuracy_threshold: slos.accuracy_threshold,
        block_on_quality_drop: slos.block_on_quality_drop,
        block_on_schema_drift: slos.block_on_schema_drift,
    }
}

pub(crate) fn limits(context: Context<'_>, findings: &mut Findings) -> Limits {
    let global = &context.spec().global;
    let job_timeout = global
        .runtime_timeout_minutes
        .map(|minutes| minutes.saturating_mul(60))
        .or(context.environment().job_timeout_seconds);
    let resume_max_age = context.setting_duration("resume_max_age", findings);
    let mut number = |name: &str| context.setting_number(name, findings);
    Limits {
        request_timeout_ms: global.timeout_seconds.unwrap_or(60).saturating_mul(SECOND),
        connect_timeout_ms: number("connect_timeout_seconds")
            .unwrap_or(10)
            .saturating_mul(SECOND),
        idle_timeout_ms: number("idle_timeout_seconds")
            .unwrap_or(60)
            .saturating_mul(SECOND),
        job_timeout_ms: job_timeout.map(|seconds| seconds.saturating_mul(SECOND)),
        max_document_bytes: number("max_document_bytes").unwrap_or(64 << 20),
        max_decompression_ratio: number("max_decompression_ratio").unwrap_or(200),
        checkpoint_interval_ms: number("checkpoint_interval_seconds")
            .unwrap_or(10)
            .saturating_mul(SECOND),
        checkpoint_pages: number("checkpoint_pages"),
        resume_max_age_offset_ms: resume_max_age.unwrap_or(HOUR),
        resume_max_age_cursor_ms: resume_max_age.unwrap_or(24 * HOUR),
    }
}

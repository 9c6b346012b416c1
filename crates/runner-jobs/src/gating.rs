//! The gates over everything that was read: quality, drift, and the guard of a replace. Only checkpointed values count, so that a
//! run that was resumed ten times gets the verdict of one that never stopped.

use std::collections::BTreeMap;

use runner_core::feed::{DriftDecision, DriftRecord};
use runner_core::job::Job;
use runner_core::transition::DRIFT_GATE;
use runner_core::{Error, ErrorKind, ResumeState, fault};
use serde_json::json;

use crate::attempt::{Attempt, Halt};
use crate::drift::{self, Needs, judge};
use crate::fields::refuse_idle_masks;
use crate::gates::{measure, worst};
use crate::replace;

/// The gate that thresholds are.
const QUALITY_GATE: &str = "quality";
/// The gate that keeps a replace from emptying a table by mistake.
const REPLACE_GATE: &str = "replace";

/// What is stored of every stream and transform.
pub(crate) type Found = BTreeMap<String, ResumeState>;

impl Attempt<'_> {
    pub(crate) async fn gate(&self, job: &Job) -> Result<(), Halt> {
        if job.plan.held.is_some() {
            return Ok(());
        }
        self.stage("gates");
        fault::point("gates");
        let found = self.found(job).await?;
        refuse_idle_masks(&job.plan, &found)?;
        self.gate_quality(job, &found).await?;
        self.gate_drift(job, &found).await?;
        gate_replace(job, &found)
    }

    pub(crate) async fn found(&self, job: &Job) -> runner_core::Result<Found> {
        let mut found = Found::new();
        for name in job
            .plan
            .streams
            .iter()
            .map(|stream| &stream.name)
            .chain(job.plan.transforms.iter().map(|transform| &transform.name))
        {
            let state = self
                .ports
                .checkpoints
                .resume_state(self.claim, name)
                .await?;
            found.insert(name.clone(), state);
        }
        Ok(found)
    }

    async fn gate_quality(&self, job: &Job, found: &Found) -> Result<(), Halt> {
        let totals = found
            .iter()
            .map(|(name, state)| (name.as_str(), &state.totals));
        let measurements = measure(&job.plan.gates, totals);
        let details: Vec<_> = measurements
            .iter()
            .map(|measurement| {
                json!({
                    "gate": measurement.gate,
                    "stream": measurement.stream,
                    "value": measurement.value,
                    "threshold": measurement.threshold,
                })
            })
            .collect();
        self.ports
            .jobs
            .event(self.claim, "gates", json!(details))
            .await
            .map_err(Halt::Left)?;
        let Some(broken) = worst(&measurements).filter(|_| job.plan.gates.block_on_quality_drop)
        else {
            return Ok(());
        };
        let error = Error::new(
            ErrorKind::Quality,
            format!("{broken}; nothing was committed"),
        )
        .with_help(format!(
            "`ingestion-runner quarantine show {}` lists the rows and their reasons",
            job.id
        ));
        Err(Halt::Failed {
            error,
            blocked_by: Some(QUALITY_GATE),
            keeps_parts: false,
        })
    }

    async fn gate_drift(&self, job: &Job, found: &Found) -> Result<(), Halt> {
        // What the source sent was judged when it was read, and a few bad rows say nothing of its schema.
        if job.plan.replay.is_some() {
            return Ok(());
        }
        let state = self
            .ports
            .feeds
            .state(&job.feed)
            .await
            .map_err(Halt::Left)?;
        let mut refused = Vec::new();
        for stream in &job.plan.streams {
            let Some(observed) = found.get(&stream.name).map(|state| &state.observed) else {
                continue;
            };
            let needs = Needs::of(stream, state.accepted_for.get(&stream.name));
            let judgement = judge(
                observed,
                state.accepted.get(&stream.name),
                job.plan.compatibility,
                job.plan.gates.block_on_schema_drift,
                &needs,
            );
            if judgement.decision == DriftDecision::Blocked {
                refused.extend(judgement.refused.iter().map(|change| {
                    let stream = &stream.name;
                    format!("`{stream}.{}` {}", change.field, drift::describe(change))
                }));
            }
            if !judgement.changes.is_empty() {
                let record = DriftRecord {
                    job: job.id.clone(),
                    stream: stream.name.clone(),
                    at: self.ports.clock.now(),
                    changes: judgement.changes,
                    decision: judgement.decision,
                };
                self.ports
                    .feeds
                    .record_drift(self.claim, &record)
                    .await
                    .map_err(Halt::Left)?;
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        Err(drift_refused(job, &refused))
    }
}

fn drift_refused(job: &Job, refused: &[String]) -> Halt {
    let error = Error::new(
        ErrorKind::Drift,
        format!(
            "the source's schema changed in a way that is not accepted: {}; nothing was committed",
            refused.join(", ")
        ),
    )
    .with_help(format!(
        "`drift show {0}` tells what changed; after `drift accept {0}`, `jobs resume {1}` commits the rows that were read",
        job.feed.name, job.id
    ));
    Halt::Failed {
        error,
        blocked_by: Some(DRIFT_GATE),
        keeps_parts: true,
    }
}

fn gate_replace(job: &Job, found: &Found) -> Result<(), Halt> {
    let Some(reason) = replace::refused(&job.plan, found) else {
        return Ok(());
    };
    let error = Error::new(
        ErrorKind::Quality,
        format!("{reason}; nothing was committed"),
    )
    .with_help("set `allow_empty: true` where this is meant");
    Err(Halt::Failed {
        error,
        blocked_by: Some(REPLACE_GATE),
        keeps_parts: false,
    })
}

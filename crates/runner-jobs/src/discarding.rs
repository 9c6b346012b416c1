//! What an ended job takes away: parts that no target refers to and nobody needs any more.

use std::collections::BTreeSet;

use runner_core::commit::Committers;
use runner_core::job::{Job, JobState};
use runner_core::part::Output;
use runner_core::{Part, Result};

/// The parts of an ended job that can go. A load that was committed keeps what was prepared for it; one that was abandoned keeps
/// everything while its rows are on hold.
pub(crate) fn leftovers(job: &Job, parts: &[Part], holds_are_over: bool) -> Vec<Part> {
    if !job.state.is_terminal() {
        return Vec::new();
    }
    let mut committed = BTreeSet::new();
    let mut held = BTreeSet::new();
    let mut candidates: Vec<&Part> = parts.iter().collect();
    for load in &job.loads {
        let prepared = load.prepared.as_deref().unwrap_or_default();
        let names = prepared.iter().map(|part| part.name.as_str());
        if load.written.is_some() {
            committed.extend(names);
        } else if load.abandoned.is_some() && !holds_are_over {
            held.insert(load.load.as_str());
        } else {
            // What `prepare` made is recorded nowhere else.
            candidates.extend(prepared);
        }
    }
    let mut seen = BTreeSet::new();
    candidates
        .into_iter()
        .filter(|part| match &part.output {
            Output::Load(load) => {
                !held.contains(load.as_str()) && !committed.contains(part.name.as_str())
            }
            Output::Stage(_) => true,
            // Quarantined rows have a retention of their own.
            Output::Quarantine(_) => false,
        })
        .filter(|part| seen.insert(part.name.as_str()))
        .cloned()
        .collect()
}

/// Takes parts of a job away; twice is fine.
pub(crate) async fn discard(committers: &dyn Committers, job: &Job, parts: &[Part]) -> Result<()> {
    // Rows of a job that can still commit are nobody's leftovers.
    debug_assert!(job.state.is_terminal() && job.state != JobState::Committing);
    let staged = of(parts, |output| matches!(output, Output::Stage(_)));
    if !staged.is_empty() {
        committers.discard_staged(&job.plan, &staged).await?;
    }
    for load in &job.plan.loads {
        let gone = of(parts, |output| *output == Output::Load(load.id.clone()));
        if !gone.is_empty() {
            let committer = committers.committer(&job.plan, load).await?;
            committer.discard(&gone).await?;
        }
    }
    Ok(())
}

fn of(parts: &[Part], is_meant: impl Fn(&Output) -> bool) -> Vec<Part> {
    parts
        .iter()
        .filter(|part| is_meant(&part.output))
        .cloned()
        .collect()
}

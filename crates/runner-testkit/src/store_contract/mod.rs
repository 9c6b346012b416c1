//! The contract of the job store: every implementation passes every test here, by one call of [`store_contract!`](crate::store_contract!).

pub mod checkpoints;
pub mod claims;
pub mod feeds;
pub mod interventions;
pub mod jobs;
pub mod quarantine;

use std::sync::Arc;
use std::time::Duration;

use runner_core::audit::AuditLog;
use runner_core::checkpoint::{ChainCounters, Counters};
use runner_core::ids::{Operator, WorkerId};
use runner_core::job::{Failure, JobState};
use runner_core::part::Output;
use runner_core::{
    Attempt, ChainKey, Checkpoint, Checkpoints, Claim, Error, ErrorKind, FeedStore, Job, JobId,
    JobStore, PageCursor, Part, Position, QuarantineStore, Segment, SubmissionId, Transition,
    Written,
};

use crate::clock::ManualClock;
use crate::plans::{new_job, plan, tenant};

/// Everything that a job store is.
pub trait Store: JobStore + Checkpoints + FeedStore + QuarantineStore + AuditLog {}
impl<S: JobStore + Checkpoints + FeedStore + QuarantineStore + AuditLog> Store for S {}

pub const LEASE: Duration = Duration::from_mins(1);
/// The stream of the contract's jobs, and its load.
pub const STREAM: &str = "orders";
pub const LOAD: &str = "0:orders";

/// A fresh store with the clock that it tells the time by.
pub struct Harness {
    pub store: Arc<dyn Store>,
    pub clock: ManualClock,
    /// Goes when the test ends.
    folder: Option<tempfile::TempDir>,
}

impl std::fmt::Debug for Harness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Harness").finish_non_exhaustive()
    }
}

impl Harness {
    pub fn new(store: impl Store + 'static, clock: ManualClock) -> Self {
        Self {
            store: Arc::new(store),
            clock,
            folder: None,
        }
    }

    /// Keeps the folder of a store on disk until the test ends.
    #[must_use]
    pub fn in_folder(mut self, folder: tempfile::TempDir) -> Self {
        self.folder = Some(folder);
        self
    }

    /// Creates a job of one stream and claims it.
    pub async fn claimed(&self, id: &str) -> Claim {
        self.store
            .create(new_job(id, plan(&[STREAM])), None)
            .await
            .expect("a job is created");
        self.claim(id, "worker").await
    }

    pub async fn claim(&self, id: &str, worker: &str) -> Claim {
        self.try_claim(id, worker)
            .await
            .expect("nobody holds the job")
    }

    pub async fn try_claim(&self, id: &str, worker: &str) -> Option<Claim> {
        self.store
            .claim_job(&tenant(), &JobId::new(id), &WorkerId::new(worker), LEASE)
            .await
            .expect("a claim is answered")
    }

    pub async fn job(&self, id: &str) -> Job {
        self.store
            .get(&tenant(), &JobId::new(id))
            .await
            .expect("the store answers")
            .expect("the job is there")
    }

    pub async fn record(&self, claim: &Claim, change: Transition) {
        self.store
            .record(claim, change)
            .await
            .expect("the change is legal");
    }

    /// A job that runs.
    pub async fn running(&self, id: &str) -> Claim {
        let claim = self.claimed(id).await;
        self.run(&claim).await;
        claim
    }

    pub async fn run(&self, claim: &Claim) {
        self.record(claim, Transition::To(JobState::Preparing))
            .await;
        self.record(claim, Transition::To(JobState::Running)).await;
    }

    /// A job that commits these parts of its load.
    pub async fn committing(&self, id: &str, parts: Vec<Part>) -> Claim {
        let claim = self.running(id).await;
        self.commit(&claim, parts).await;
        claim
    }

    pub async fn commit(&self, claim: &Claim, parts: Vec<Part>) {
        self.record(claim, Transition::To(JobState::Gating)).await;
        self.record(
            claim,
            Transition::Committing(vec![(LOAD.to_owned(), parts)]),
        )
        .await;
    }

    pub async fn complete(&self, claim: &Claim) {
        self.record(claim, committed()).await;
        self.record(claim, Transition::Completed).await;
    }

    /// Creates, runs and completes a job without parts.
    pub async fn completed(&self, id: &str) -> Claim {
        let claim = self.committing(id, Vec::new()).await;
        self.complete(&claim).await;
        claim
    }
}

pub fn operator() -> Operator {
    Operator::new("ada")
}

pub fn committed() -> Transition {
    Transition::Committed {
        load: LOAD.to_owned(),
        written: Written {
            rows: 3,
            ..Written::default()
        },
    }
}

pub fn failed(blocked_by: Option<&str>, keeps_parts: bool) -> Transition {
    Transition::Failed {
        failure: Failure {
            kind: ErrorKind::SourceUnavailable,
            message: "the source is gone".to_owned(),
            help: None,
        },
        blocked_by: blocked_by.map(str::to_owned),
        keeps_parts,
    }
}

pub fn timed_out() -> Transition {
    Transition::TimedOut {
        failure: Failure {
            kind: ErrorKind::Timeout,
            message: "the run took too long".to_owned(),
            help: None,
        },
        keeps_parts: false,
    }
}

pub fn submission() -> SubmissionId {
    SubmissionId::new("sub-1")
}

/// A part of the contract's load, of one segment.
pub fn part(name: &str, rows: u64, chain: u64, generation: u32) -> Part {
    part_of(
        Output::Load(LOAD.to_owned()),
        name,
        &[(chain, generation, rows)],
    )
}

pub fn quarantined(name: &str, segments: &[(u64, u32, u64)]) -> Part {
    part_of(Output::Quarantine(STREAM.to_owned()), name, segments)
}

fn part_of(output: Output, name: &str, segments: &[(u64, u32, u64)]) -> Part {
    Part {
        output,
        input: STREAM.to_owned(),
        name: name.to_owned(),
        attempt: Attempt(1),
        rows: segments.iter().map(|(_, _, rows)| rows).sum(),
        bytes: 10,
        checksum: "c0ffee".to_owned(),
        schema_version: 1,
        segments: segments
            .iter()
            .map(|&(chain, generation, rows)| Segment {
                chain,
                generation,
                rows,
            })
            .collect(),
        details: serde_json::Value::Null,
    }
}

pub fn chain(index: u64) -> ChainKey {
    ChainKey {
        index,
        value: format!("v{index}"),
        window: 0,
    }
}

/// A chain after its nth page of ten rows.
pub fn position(index: u64, generation: u32, pages: u64) -> Position {
    Position {
        chain: chain(index),
        generation,
        pages,
        rows: pages * 10,
        last_page: PageCursor::Page(pages),
        last_page_hash: format!("hash-{pages}"),
        next: Some(PageCursor::Page(pages + 1)),
        end: None,
        seen: Vec::new(),
        sealed_at_ms: 0,
    }
}

/// A barrier after one page of each of these positions: ten rows, of which nine passed.
pub fn checkpoint(barrier: u64, positions: Vec<Position>, parts: Vec<Part>) -> Checkpoint {
    let chains = positions
        .iter()
        .map(|position| ChainCounters {
            chain: position.chain.index,
            generation: position.generation,
            pages: 1,
            rows_read: 10,
            rows_passed: 9,
            rows_quarantined: 1,
            required_cells: 20,
            required_present: 19,
            ..ChainCounters::default()
        })
        .collect();
    Checkpoint {
        stream: STREAM.to_owned(),
        barrier,
        positions,
        parts,
        counters: Counters {
            requests: 1,
            bytes_read: 100,
            chains,
        },
        ..Checkpoint::default()
    }
}

/// The kind of an error that must have come.
pub fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.expect_err("this must be refused").kind()
}

/// Makes a test of each of the contract's: `store_contract!(make)`, where `make().await` is a [`Harness`].
#[macro_export]
macro_rules! store_contract {
    ($make:ident) => {
        $crate::store_contract!($make,
            jobs: creating_gives_growing_numbers runs_of_a_feed_exclude_each_other an_idempotency_key_is_the_job_it_made
                tenants_see_their_own listing_is_filtered_and_paged illegal_changes_are_refused terminal_states_stay
                what_is_stored_comes_back committing_only_goes_forward repeats_change_nothing events_are_kept_in_order
                a_summary_needs_no_claim purging_spares_what_is_needed;
            claims: a_claim_excludes_others a_lease_that_ran_out_is_taken_over a_stale_attempt_changes_nothing
                a_lease_that_ran_out_changes_nothing a_late_heartbeat_keeps_an_unclaimed_job a_heartbeat_tells_of_a_takeover
                the_time_of_all_attempts_is_counted
                a_blocked_job_waits_for_its_time a_released_job_is_free exactly_one_of_many_claims_wins;
            interventions: a_free_job_is_cancelled_at_once a_held_job_is_asked_to_stop committing_is_not_cancelled
                a_failed_job_that_kept_its_parts_is_reopened a_later_run_ends_the_right_to_resume
                an_abandoned_sink_becomes_a_hold actions_stand_in_the_audit leftovers_are_told_once;
            checkpoints: everything_of_a_barrier_comes_back durable_before_ack a_repeated_barrier_counts_once
                a_stream_that_starts_over_is_forgotten
                superseded_rows_are_left_out a_position_only_moves_forward resume_loads_open_chains_only
                many_parents values_are_distinct_and_in_order outcomes_are_paged_by_value
                a_stale_attempt_stores_nothing schema_versions_are_kept warnings_are_bounded;
            feeds: cursors_move_in_the_commit_only empty_position cursors_of_parents_are_rows state_comes_back
                operators_wait_for_runs a_seq_is_raised drift_is_kept_once_a_job accepting_drift_is_noted;
            quarantine: rows_become_visible_when_the_run_ends superseded_rows_are_no_longer_quarantined
                a_second_replay_is_a_no_op only_completed_runs_are_replayed a_failed_replay_frees_its_rows
                the_job_that_loads_held_rows_releases_them forgetting_returns_the_files
        );
    };
    ($make:ident, $($module:ident: $($name:ident)+);+) => {
        $(mod $module {
            $(#[tokio::test]
            async fn $name() {
                let harness = super::$make().await;
                $crate::store_contract::$module::$name(&harness).await;
            })+
        })+
    };
}

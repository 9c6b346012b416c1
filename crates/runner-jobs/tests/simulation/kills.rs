//! Processes that die, stand still while another takes over, or do everything twice.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use runner_core::{Cancel, JobState};
use runner_testkit::simulation::{Chaos, Fate};
use runner_testkit::store_contract::LEASE;

use crate::lab::{Ended, ITEMS, LOADS, Lab, ORDERS, plan, world};

/// Pages of both streams.
const PAGES: u64 = 12;
/// Chains of both streams: each may have its last sealed page asked for again.
const CURSORS: [&str; 3] = ["10", "20", "30"];

#[tokio::test]
async fn a_run_that_nothing_disturbs_loads_everything_once() {
    let lab = Lab::new(world());
    lab.create(plan(|_| {})).await;
    let report = lab.settle().await;
    lab.assert_loaded("undisturbed").await;
    assert!(report.success && report.error.is_none());
    assert_eq!(
        (report.status.as_str(), report.partial),
        ("completed", false)
    );
    let orders = &report.streams[0];
    let good = lab.world.good_rows(ORDERS).len() as u64;
    assert_eq!(
        (orders.name.as_str(), orders.rows_read, orders.rows_loaded),
        (ORDERS, 30, good)
    );
    assert_eq!(report.sinks.len(), 3);
    assert_eq!(lab.world.requests(), PAGES);
    assert_eq!(lab.quarantined().await, bad_rows(&lab));
    assert_cursors(&lab).await;
}

#[tokio::test]
async fn everything_done_twice_counts_once() {
    let lab = Lab::new(world());
    lab.create(plan(|_| {})).await;
    let claim = lab.take_over().await;
    let report = lab.run(&claim, &Chaos::repeating()).await.report();
    assert!(report.success, "{report:?}");
    assert_eq!(report.streams[0].rows_read, 30);
    lab.assert_loaded("twice").await;
    assert_eq!(lab.quarantined().await, bad_rows(&lab));
}

/// The first process dies before each step that there is; the next one goes on.
#[tokio::test]
async fn a_crash_at_any_step_loses_and_repeats_nothing() {
    for step in 1..=undisturbed_steps().await {
        let lab = Lab::new(world());
        lab.create(plan(|_| {})).await;
        let claim = lab.take_over().await;
        let died = lab.run(&claim, &Chaos::new(Fate::StopsAt(step))).await;
        assert!(matches!(died, Ended::Died), "step {step}: {died:?}");
        assert_visible_only_while_committing(&lab, step).await;
        if !lab.state().await.is_terminal() {
            lab.settle().await;
        }
        let what = format!("crash at step {step}");
        lab.assert_loaded(&what).await;
        assert_eq!(lab.quarantined().await, bad_rows(&lab), "{what}");
        assert_cursors(&lab).await;
        // The last sealed page is asked for once more, and so is the one that was not sealed yet.
        assert!(lab.world.repeated_requests() <= 2, "{what}");
        assert!(lab.world.most_requests() <= 2, "{what}");
    }
}

/// The first process stands still at each step and wakes up when the second has ended the job: it believes that the job is its own.
#[tokio::test]
async fn a_process_that_wakes_up_late_changes_nothing() {
    for step in 1..=undisturbed_steps().await {
        let lab = Lab::new(world());
        lab.create(plan(|_| {})).await;
        let claim = lab.take_over().await;
        let zombie = Chaos::new(Fate::StopsAt(step));
        let runner = lab.runner(&zombie);
        let mut run = Box::pin(runner.run(&claim, Cancel::new()));
        let stopped = lab.watch(&mut run, &zombie).await;
        assert!(matches!(stopped, Ended::Died), "step {step}");
        if !lab.state().await.is_terminal() {
            lab.settle().await;
        }
        let settled = lab.job().await;
        zombie.wake();
        let late = lab.watch(run, &Chaos::new(Fate::Lives)).await;
        let what = format!("asleep at step {step}, then {late:?}");
        let after = lab.job().await;
        assert_eq!(
            (after.state, after.loads, after.attempt),
            (settled.state, settled.loads, settled.attempt),
            "{what}"
        );
        lab.assert_loaded(&what).await;
        assert_eq!(lab.quarantined().await, bad_rows(&lab), "{what}");
        assert_cursors(&lab).await;
    }
}

/// The same, but the first process wakes up while the second is at work.
#[tokio::test]
async fn two_processes_that_both_believe_they_own_the_job() {
    let steps = undisturbed_steps().await;
    for (asleep, taken_over) in (1..=steps)
        .step_by(5)
        .flat_map(|first| (1..=steps).step_by(9).map(move |second| (first, second)))
    {
        let lab = Lab::new(world());
        lab.create(plan(|_| {})).await;
        let claim = lab.take_over().await;
        let zombie = Chaos::new(Fate::StopsAt(asleep));
        let runner = lab.runner(&zombie);
        let mut run = Box::pin(runner.run(&claim, Cancel::new()));
        lab.watch(&mut run, &zombie).await;
        if !lab.state().await.is_terminal() {
            let claim = lab.take_over().await;
            let second = Chaos::new(Fate::StopsAt(taken_over));
            let runner = lab.runner(&second);
            let mut other = Box::pin(runner.run(&claim, Cancel::new()));
            let stopped = lab.watch(&mut other, &second).await;
            zombie.wake();
            lab.watch(run, &Chaos::new(Fate::Lives)).await;
            if matches!(stopped, Ended::Died) {
                second.wake();
                lab.watch(other, &Chaos::new(Fate::Lives)).await;
            }
        }
        if !lab.state().await.is_terminal() {
            lab.settle().await;
        }
        lab.assert_loaded(&format!(
            "asleep at {asleep}, taken over until {taken_over}"
        ))
        .await;
    }
}

/// Process after process dies at random; now and then the source has changed meanwhile, so that a chain starts over.
#[tokio::test]
async fn many_crashes_and_chains_that_start_over() {
    for seed in 0..60 {
        let mut random = StdRng::seed_from_u64(seed);
        let lab = Lab::new(world());
        lab.create(plan(|_| {})).await;
        for _ in 0..random.random_range(1..12) {
            if random.random_bool(0.4) {
                let stream = if random.random_bool(0.5) {
                    ORDERS
                } else {
                    ITEMS
                };
                lab.world.change_page(stream, random.random_range(0..3));
            }
            let claim = lab.take_over().await;
            let chaos = Chaos::new(Fate::StopsAt(random.random_range(1..40)));
            lab.run(&claim, &chaos).await;
            if lab.state().await.is_terminal() {
                break;
            }
            if random.random_bool(0.5) {
                lab.clock.advance(LEASE * 2);
            }
        }
        if !lab.state().await.is_terminal() {
            lab.settle().await;
        }
        let what = format!("seed {seed}");
        lab.assert_loaded(&what).await;
        assert_eq!(lab.quarantined().await, bad_rows(&lab), "{what}");
        assert_cursors(&lab).await;
        let totals = lab.settled_totals().await;
        assert_eq!(totals, (60, bad_rows(&lab).len() as u64), "{what}");
    }
}

async fn undisturbed_steps() -> u64 {
    let lab = Lab::new(world());
    lab.create(plan(|_| {})).await;
    let claim = lab.take_over().await;
    let chaos = Chaos::new(Fate::Lives);
    lab.run(&claim, &chaos).await;
    let steps = chaos.steps();
    assert!(steps > 60, "the simulation has lost its steps: {steps}");
    steps
}

/// No reader sees a row of a job that has not begun to commit.
async fn assert_visible_only_while_committing(lab: &Lab, step: u64) {
    let state = lab.state().await;
    if matches!(state, JobState::Committing | JobState::Completed) {
        return;
    }
    for (load, _) in LOADS {
        assert!(
            lab.world.visible(load).is_empty(),
            "step {step}: {load} in {state:?}"
        );
    }
}

async fn assert_cursors(lab: &Lab) {
    let cursors = lab.cursors(ORDERS).await;
    let values: Vec<_> = cursors.iter().map(Option::as_deref).collect();
    assert_eq!(values, CURSORS.map(Some));
}

fn bad_rows(lab: &Lab) -> Vec<u64> {
    let mut rows = lab.world.bad_rows(ORDERS);
    rows.extend(lab.world.bad_rows(ITEMS));
    rows
}

impl Lab {
    /// Rows read and quarantined, as the report counts them.
    async fn settled_totals(&self) -> (u64, u64) {
        let job = self.job().await;
        let summaries = self.store.summary(&job.feed.tenant, &job.id).await.unwrap();
        summaries.iter().fold((0, 0), |(read, bad), summary| {
            (
                read + summary.totals.rows_read,
                bad + summary.totals.rows_quarantined,
            )
        })
    }
}

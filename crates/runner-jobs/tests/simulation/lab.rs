//! A world, a store, and processes that come one after the other.

use std::sync::Arc;
use std::time::Duration;

use runner_core::ids::WorkerId;
use runner_core::progress::NoProgress;
use runner_core::quarantine::QuarantineFilter;
use runner_core::report::Report;
use runner_core::secret::SecretVersion;
use runner_core::{
    Cancel, Claim, Error, ErrorKind, Job, JobId, JobState, Result, Secret, SecretRef, SecretStore,
};
use runner_jobs::{JobRunner, Ports};
use runner_plan::Plan;
use runner_testkit::clock::ManualClock;
use runner_testkit::memory_store::MemoryStore;
use runner_testkit::plans::{feed, new_job, plan_json, plan_of, tenant};
use runner_testkit::simulation::{Chaos, ChaoticStore, Fate, ScriptedEngine, ScriptedSinks, World};
use runner_testkit::store_contract::{LEASE, Store};
use serde_json::{Value, json};

/// The job that every test looks at.
pub(crate) const JOB: &str = "job-1";
pub(crate) const ORDERS: &str = "orders";
pub(crate) const ITEMS: &str = "items";
/// Processes that one job may need.
const PROCESSES: usize = 60;
/// What a process may take between two moments at which something happens, in this machine's time.
const MOMENT: Duration = Duration::from_millis(2);

pub(crate) struct Lab {
    pub(crate) world: World,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: ManualClock,
    pub(crate) commit_tries: u32,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Reported(Box<Report>),
    /// It could not even report.
    Failed(Error),
    Died,
}

/// The plan of most tests: two streams with a cursor, loaded into two tables, and the first of them into a third.
pub(crate) fn plan(change: impl FnOnce(&mut Value)) -> Plan {
    let mut plan = plan_json(&[ORDERS, ITEMS]);
    for stream in plan["streams"].as_array_mut().unwrap() {
        stream["incremental"] = json!({
            "cursor_field": "id", "initial": null, "lookback_ms": 0, "settle_ms": 0, "from_param": null, "to_param": null,
            "window": "open", "format": "natural",
        });
    }
    let mut copy = plan["loads"][0].clone();
    copy["id"] = json!("1:copy");
    copy["table"] = json!("copy");
    plan["loads"].as_array_mut().unwrap().push(copy);
    change(&mut plan);
    plan_of(&plan)
}

/// Loads of [`plan`] with the stream of each.
pub(crate) const LOADS: [(&str, &str); 3] =
    [("0:orders", ORDERS), ("0:items", ITEMS), ("1:copy", ORDERS)];

impl Lab {
    pub(crate) fn new(world: World) -> Self {
        let clock = ManualClock::new();
        Self {
            world,
            store: Arc::new(MemoryStore::new(clock.clone())),
            clock,
            commit_tries: 3,
        }
    }

    pub(crate) async fn create(&self, plan: Plan) {
        self.create_as(JOB, plan).await;
    }

    pub(crate) async fn create_as(&self, id: &str, plan: Plan) {
        self.store.create(new_job(id, plan), None).await.unwrap();
    }

    pub(crate) async fn job(&self) -> Job {
        let found = self.store.get(&tenant(), &JobId::new(JOB)).await.unwrap();
        found.unwrap()
    }

    pub(crate) async fn state(&self) -> JobState {
        self.job().await.state
    }

    pub(crate) async fn claim(&self, id: &str) -> Option<Claim> {
        self.store
            .claim_job(&tenant(), &JobId::new(id), &WorkerId::generate(), LEASE)
            .await
            .unwrap()
    }

    /// A claim by the next process, once the last one's lease has run out.
    pub(crate) async fn take_over(&self) -> Claim {
        if let Some(claim) = self.claim(JOB).await {
            return claim;
        }
        self.clock.advance(LEASE);
        self.claim(JOB).await.unwrap()
    }

    pub(crate) fn runner(&self, chaos: &Chaos) -> JobRunner {
        let store = Arc::new(ChaoticStore::new(Arc::clone(&self.store), chaos.clone()));
        let world = self.world.clone();
        let mut runner = JobRunner::new(Ports {
            jobs: Arc::clone(&store) as _,
            checkpoints: Arc::clone(&store) as _,
            feeds: store,
            quarantine: Arc::clone(&self.store) as _,
            engine: Arc::new(ScriptedEngine::new(world.clone(), chaos.clone())),
            committers: Arc::new(ScriptedSinks::new(world, chaos.clone())),
            secrets: Arc::new(NoSecrets),
            clock: Arc::new(self.clock.clone()),
            progress: Arc::new(NoProgress),
        });
        runner.lease = LEASE;
        runner.commit_tries = self.commit_tries;
        runner
    }

    /// Lets a process have the job until it ends, or stops for good.
    pub(crate) async fn run(&self, claim: &Claim, chaos: &Chaos) -> Ended {
        let runner = self.runner(chaos);
        self.watch(runner.run(claim, Cancel::new()), chaos).await
    }

    /// Follows a run; time passes whenever it waits for that.
    pub(crate) async fn watch(
        &self,
        run: impl Future<Output = Result<Report>>,
        chaos: &Chaos,
    ) -> Ended {
        tokio::pin!(run);
        loop {
            tokio::select! {
                biased;
                ended = &mut run => return match ended {
                    Ok(report) => Ended::Reported(Box::new(report)),
                    Err(error) => Ended::Failed(error),
                },
                () = chaos.stopped() => return Ended::Died,
                () = tokio::time::sleep(MOMENT) => {
                    self.clock.advance_to_next();
                }
            }
        }
    }

    /// Processes that live follow until the job has ended.
    pub(crate) async fn settle(&self) -> Report {
        for _ in 0..PROCESSES {
            let claim = self.take_over().await;
            let ended = self.run(&claim, &Chaos::new(Fate::Lives)).await;
            if let Ended::Reported(report) = ended
                && self.state().await.is_terminal()
            {
                return *report;
            }
        }
        panic!(
            "{PROCESSES} processes did not end the job: {:?}",
            self.job().await
        );
    }

    /// Every table shows what the source has, each row once, and nothing else is left.
    pub(crate) async fn assert_loaded(&self, what: &str) {
        assert_eq!(self.state().await, JobState::Completed, "{what}");
        for (load, stream) in LOADS {
            assert_eq!(
                self.world.visible(load),
                self.world.good_rows(stream),
                "{load}: {what}"
            );
        }
        self.assert_clean(what).await;
    }

    pub(crate) fn assert_untouched(&self, what: &str) {
        for (load, _) in LOADS {
            assert_eq!(self.world.visible(load), [0; 0], "{load}: {what}");
        }
    }

    /// Nothing visible was taken away, and what is left is quarantined or recorded nowhere: a page that was read when its process
    /// died.
    pub(crate) async fn assert_clean(&self, what: &str) {
        assert_eq!(self.world.violations(), [""; 0], "{what}");
        // A process that died between the end and the discard leaves that to the next one.
        self.runner(&Chaos::new(Fate::Lives))
            .discard_leftovers(100)
            .await
            .unwrap();
        assert!(
            self.store.undiscarded(10).await.unwrap().is_empty(),
            "{what}"
        );
        let recorded = self.store.part_names(&feed()).await.unwrap();
        assert!(recorded.is_empty(), "{what}: {recorded:?}");
    }

    /// Ids of the rows that the index of the quarantine shows, in order.
    pub(crate) async fn quarantined(&self) -> Vec<u64> {
        let filter = QuarantineFilter {
            limit: 10_000,
            ..QuarantineFilter::default()
        };
        let files = self.store.files(&tenant(), &filter).await.unwrap();
        let mut ids: Vec<u64> = files
            .iter()
            .flat_map(|file| self.world.rows_of(&file.part.name, &file.superseded))
            .collect();
        ids.sort_unstable();
        ids
    }

    /// Where the cursors of a stream stand, by value.
    pub(crate) async fn cursors(&self, stream: &str) -> Vec<Option<String>> {
        let cursors = self
            .store
            .cursors(&feed(), Some(stream), None, 1_000)
            .await
            .unwrap();
        cursors.into_iter().map(|cursor| cursor.cursor).collect()
    }
}

impl Ended {
    pub(crate) fn report(self) -> Report {
        match self {
            Self::Reported(report) => *report,
            Self::Failed(error) => panic!("the run did not report: {error:?}"),
            Self::Died => panic!("the process died"),
        }
    }
}

/// No scripted engine asks for one.
#[derive(Debug)]
struct NoSecrets;

#[async_trait::async_trait]
impl SecretStore for NoSecrets {
    async fn get(&self, reference: &SecretRef) -> Result<(Secret, SecretVersion)> {
        Err(Error::new(
            ErrorKind::Secret,
            format!("there is no {reference}"),
        ))
    }

    async fn keys(&self, _path: &str) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn put(
        &self,
        reference: &SecretRef,
        _new: Secret,
        _expected: &SecretVersion,
    ) -> Result<SecretVersion> {
        Err(Error::new(
            ErrorKind::Secret,
            format!("there is no {reference}"),
        ))
    }

    fn is_writable(&self) -> bool {
        false
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

/// The world of most tests: two streams of three chains of two pages, every seventh row bad.
pub(crate) fn world() -> World {
    World::new(&[ORDERS, ITEMS], 3, 2, 5, Some(7))
}

//! The store that tests stand on keeps the contract of the real ones.

use runner_testkit::clock::ManualClock;
use runner_testkit::memory_store::MemoryStore;
use runner_testkit::store_contract::Harness;

async fn make() -> Harness {
    let clock = ManualClock::new();
    Harness::new(MemoryStore::new(clock.clone()), clock)
}

runner_testkit::store_contract!(make);

//! The store's contract, on a file and in memory.

#![expect(
    clippy::unwrap_used,
    reason = "a store that can't be made is a failed test"
)]

use std::sync::Arc;

use runner_store::SqliteStore;
use runner_testkit::clock::ManualClock;
use runner_testkit::store_contract::Harness;

mod memory {
    use super::{Arc, Harness, ManualClock, SqliteStore};

    async fn make() -> Harness {
        let clock = ManualClock::new();
        let store = SqliteStore::in_memory(Arc::new(clock.clone()))
            .await
            .unwrap();
        Harness::new(store, clock)
    }

    runner_testkit::store_contract!(make);
}

mod file {
    use super::{Arc, Harness, ManualClock, SqliteStore};

    async fn make() -> Harness {
        let clock = ManualClock::new();
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path(), Arc::new(clock.clone()))
            .await
            .unwrap();
        Harness::new(store, clock).in_folder(folder)
    }

    runner_testkit::store_contract!(make);
}

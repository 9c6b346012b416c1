//! What the tests of several crates share: contract suites for ports with more than one implementation, a clock that tests move,
//! and plans to run. For tests only: nothing here is part of the program.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "code of tests: a panic is how it says that something is wrong"
)]

pub mod clock;
pub mod fuzz;
pub mod memory_store;
pub mod plans;
pub mod secret_contract;
pub mod simulation;
pub mod sink;
pub mod store_contract;

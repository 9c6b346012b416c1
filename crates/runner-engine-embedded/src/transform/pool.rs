//! The memory of a transform: one half for what can be spilled, one for what can't.
//!
//! In one pool, sorts that have filled their shares leave nothing to those which begin after them, and to merges of what was
//! spilled: a join then fails for memory that could be had by spilling.

use std::fmt;

use datafusion::error::Result;
use datafusion::execution::memory_pool::{
    FairSpillPool, GreedyMemoryPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

#[derive(Debug)]
pub(crate) struct HalvedPool {
    bytes: usize,
    spilling: FairSpillPool,
    others: GreedyMemoryPool,
}

impl HalvedPool {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            bytes,
            spilling: FairSpillPool::new(bytes / 2),
            others: GreedyMemoryPool::new(bytes / 2),
        }
    }

    fn of(&self, consumer: &MemoryConsumer) -> &dyn MemoryPool {
        if consumer.can_spill() {
            &self.spilling
        } else {
            &self.others
        }
    }
}

impl fmt::Display for HalvedPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes, half of them to spill", self.bytes)
    }
}

impl MemoryPool for HalvedPool {
    fn name(&self) -> &'static str {
        "halved"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.of(consumer).register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.of(consumer).unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.of(reservation.consumer())
            .grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.of(reservation.consumer()).shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.of(reservation.consumer())
            .try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.spilling.reserved() + self.others.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
    }
}

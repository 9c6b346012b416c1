//! What a command took, as the kernel counted it.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::repository;

/// What `bench/measure.py` writes.
#[derive(Debug, Deserialize)]
pub struct Usage {
    pub code: i32,
    pub wall_s: f64,
    user_s: f64,
    system_s: f64,
    peak_rss_kib: f64,
}

impl Usage {
    /// User and system time of the program and the children that it waited for.
    pub fn cpu_s(&self) -> f64 {
        self.user_s + self.system_s
    }

    /// The peak of the largest process, in megabytes (10⁶ bytes).
    pub fn peak_rss_mb(&self) -> f64 {
        self.peak_rss_kib * 1024.0 / 1e6
    }
}

/// A finished command.
#[derive(Debug)]
pub struct Measured {
    pub usage: Usage,
    /// Both of its outputs.
    pub printed: String,
}

/// Runs a command to its end; files of the measurement lie in `scratch`.
pub fn measure(command: &Command, standard_input: Stdio, scratch: &Path) -> Result<Measured> {
    let (result, log) = (scratch.join("usage.json"), scratch.join("printed.log"));
    let output = File::create(&log)?;
    let status = below_measurement(command, &result)
        .stdin(standard_input)
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()
        .context("failed to start python3")?;
    let printed = fs::read_to_string(&log).unwrap_or_default();
    let usage =
        fs::read(&result).with_context(|| format!("nothing was measured ({status}): {printed}"))?;
    Ok(Measured {
        usage: serde_json::from_slice(&usage)?,
        printed,
    })
}

/// The command below the program that measures it, with the same environment and folder.
fn below_measurement(command: &Command, result: &Path) -> Command {
    let mut measured = Command::new("python3");
    measured
        .arg(repository().join("bench/measure.py"))
        .arg(result);
    measured.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => measured.env(name, value),
            None => measured.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        measured.current_dir(folder);
    }
    measured
}

//! datasette: a SQLite database as a JSON API with pages, `next` and `next_url`.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::{Answered, answered, answers};
use crate::{
    free_port,
    process::{Process, Signal},
};

/// A running datasette.
#[derive(Debug)]
pub struct Datasette {
    process: Process,
    port: u16,
}

impl Datasette {
    /// Serves `databases`; `max_rows` is what `_size=max` gives.
    pub fn start(component: &Path, databases: &[&Path], max_rows: u32) -> Result<Self> {
        let port = free_port()?;
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(component.join("bin/datasette"));
        command.arg("serve").args(databases).args([
            "--host",
            "127.0.0.1",
            "--port",
            &port.to_string(),
        ]);
        command.args(["--setting", "max_returned_rows", &max_rows.to_string()]);
        // On a loaded machine the default second isn't enough for a page.
        command.args(["--setting", "sql_time_limit_ms", "60000"]);
        let mut process = Process::start("datasette", &mut command, folder, Signal::Terminate)?;
        process.wait_until(|_| answers(port, "/-/versions.json"))?;
        Ok(Self { process, port })
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The requests for `path` that were answered, from the access log.
    pub fn requests(&self, path: &str) -> usize {
        let wanted = format!("\"GET {path}");
        self.process
            .log()
            .lines()
            .filter(|line| line.contains(&wanted))
            .count()
    }

    /// Every request that was answered.
    pub fn answered(&self) -> Vec<Answered> {
        answered(&self.process.log())
    }

    pub fn process(&self) -> &Process {
        &self.process
    }
}

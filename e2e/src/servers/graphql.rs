//! json-graphql-server: pages of generated readings through GraphQL variables.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{
    free_port,
    process::{Process, Signal},
};

/// A running GraphQL server; see `e2e/node/graphql.mjs` for its data.
#[derive(Debug)]
pub struct GraphqlServer {
    process: Process,
    port: u16,
}

impl GraphqlServer {
    /// Serves `rows` readings at `/graphql`.
    pub fn start(component: &Path, rows: usize) -> Result<Self> {
        let port = free_port()?;
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("node");
        command
            .arg(component.join("graphql.mjs"))
            .args([port.to_string(), rows.to_string()]);
        let mut process = Process::start("graphql", &mut command, folder, Signal::Terminate)?;
        process.wait_until(|process| process.log().contains("listening"))?;
        Ok(Self { process, port })
    }

    /// Where it listens, without a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn process(&self) -> &Process {
        &self.process
    }
}

//! json-server: the lists of a JSON file, whose numbered pages name the next one and repeat the last one.

use std::{fs, path::Path, process::Command};

use anyhow::Result;
use serde_json::Value;

use super::answers;
use crate::{
    free_port,
    process::{Process, Signal},
};

/// A running json-server.
#[derive(Debug)]
pub struct JsonServer {
    process: Process,
    port: u16,
}

impl JsonServer {
    /// Serves the lists of an object, each under its name.
    pub fn start(component: &Path, lists: &Value) -> Result<Self> {
        let port = free_port()?;
        let folder = tempfile::tempdir()?;
        let database = folder.path().join("lists.json");
        fs::write(&database, lists.to_string())?;
        let mut command = Command::new("node");
        command
            .arg(component.join("node_modules/json-server/lib/bin.js"))
            .arg(&database)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .current_dir(folder.path());
        let mut process = Process::start("json-server", &mut command, folder, Signal::Terminate)?;
        process.wait_until(|_| answers(port, "/"))?;
        Ok(Self { process, port })
    }

    /// Where it listens, without a slash at the end.
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

//! Django REST framework and Tastypie: pages of readings in the ways of either, behind the authentications of either.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::{Answered, answered, answers};
use crate::{
    free_port,
    process::{Process, Signal},
    repository,
};

/// The one user whom the API knows.
pub const USER: &str = "loader";

/// A running API; see `e2e/rest/api.py` for its paths.
#[derive(Debug)]
pub struct RestApi {
    process: Process,
    port: u16,
}

impl RestApi {
    /// Serves `rows` readings; `secret` is the user's password, token and API key.
    pub fn start(component: &Path, rows: u64, secret: &str) -> Result<Self> {
        let port = free_port()?;
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(component.join("bin/python"));
        command
            .arg(repository().join("e2e/rest/api.py"))
            .arg(folder.path().join("readings.db"))
            .args([port.to_string(), rows.to_string()])
            .env("API_SECRET", secret)
            .env("PYTHONUNBUFFERED", "1")
            .env_remove("DJANGO_SETTINGS_MODULE");
        let mut process = Process::start("rest-api", &mut command, folder, Signal::Terminate)?;
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

    /// Every request that was answered.
    pub fn answered(&self) -> Vec<Answered> {
        answered(&self.process.log())
    }
}

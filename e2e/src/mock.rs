//! The runner's own stand-in for an API (`ingestion-runner mock`), started and found.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{Process, Signal};

const LISTENING: &str = "listening on ";

/// A running `mock`; it ends with the value.
#[derive(Debug)]
pub struct Mock {
    url: String,
    _process: Process,
}

impl Mock {
    /// Starts the command and waits until it says where it listens.
    pub fn start(command: &mut Command) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut process = Process::start("mock", command, folder, Signal::Terminate)?;
        process.wait_until(|process| listening_at(&process.log()).is_some())?;
        let url = listening_at(&process.log()).context("the address has gone from the log")?;
        Ok(Self {
            url,
            _process: process,
        })
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

fn listening_at(log: &str) -> Option<String> {
    log.lines()
        .find_map(|line| line.split_once(LISTENING))
        .map(|(_, url)| url.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_the_log() {
        let log = "seed 7\nlistening on http://127.0.0.1:4711\nGET /\n";
        assert_eq!(listening_at(log).as_deref(), Some("http://127.0.0.1:4711"));
        assert_eq!(listening_at("starting"), None);
    }
}
